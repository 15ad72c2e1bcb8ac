"""Which reference coloured what, as a picture: the frame tinted with a hue for each reference, and below it the
references themselves, the more solid the more they gave."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..references.reference import Reference

_GOLDEN = (math.sqrt(5) - 1) / 2  # steps round the circle of hues by this part never come close to an earlier one
_TINT = 0.6  # of a place whose colour is known for certain
_COLUMNS = 6
_MOST = 12  # references that are shown, those that gave most
_FAINTEST = 0.12  # opacity of one that gave nothing
_FRAME = 3  # width of the frame in a reference's hue, pixels


def hue(number: int) -> tuple[float, float, float]:
    """The colour, R'G'B' of 0..1, that stands for a reference."""
    return colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.8, 1.0)


def tinted(luma: Tensor, shares: Tensor) -> Tensor:
    """A frame with the hues of the references that its colours come from.

    Args:
        luma: `[1, H, W]`, 0..1.
        shares: `[R, h, w]`, see `Colorizer.share_map`.

    Returns:
        `[3, H, W]`, 0..1; what came from no reference stays gray.

    Raises:
        InputError: other shapes.
    """
    if luma.ndim != 3 or luma.shape[0] != 1 or shares.ndim != 3:
        raise InputError(f"luma must be [1, H, W] and shares [R, h, w], got {tuple(luma.shape)}, {tuple(shares.shape)}")
    hues = torch.tensor([hue(i) for i in range(len(shares))]).view(-1, 3)
    large = F.interpolate(shares[None], luma.shape[-2:], mode="bilinear", align_corners=False)[0].clamp(0, 1)
    color = torch.einsum("rhw,rc->chw", large, hues)
    known = large.sum(0, keepdim=True).clamp(0, 1)
    light = luma.float().clamp(0, 1)
    return (light * (1 - _TINT * known) + _TINT * color * (0.25 + 0.75 * light)).clamp(0, 1)


def reference_row(references: Sequence[Reference], shares: Sequence[float], width: int) -> Tensor:
    """References side by side, in rows of six, framed in their hues; the opacity of each is its importance.

    Args:
        references: all of them, in their order.
        shares: how much each gave, 0 or more; the largest is shown solid.
        width: of the whole, in pixels.

    Returns:
        `[3, H, width]`, 0..1: the twelve that gave most, in their order; black where nothing is known.

    Raises:
        InputError: there are none, or not as many shares.
    """
    if not references or len(references) != len(shares):
        raise InputError(f"one share for each reference is needed, got {len(shares)} for {len(references)}")
    most = max(*shares, 1e-6)
    shown = sorted(sorted(range(len(shares)), key=lambda i: (-shares[i], i))[:_MOST])
    columns = min(_COLUMNS, len(shown))
    side = width // columns
    height = max(2 * _FRAME + 1, round(side * references[shown[0]].rgb.shape[1] / references[shown[0]].rgb.shape[2]))
    tiles = []
    for i in shown:
        inside = max(1, side - 2 * _FRAME), max(1, height - 2 * _FRAME)
        rgb, known = references[i].rgb, references[i].known
        rgb = rgb if known is None else rgb * known
        small = cv2.resize(rgb.permute(1, 2, 0).numpy(), inside, interpolation=cv2.INTER_AREA)
        opacity = _FAINTEST + (1 - _FAINTEST) * shares[i] / most
        tile = np.empty((height, side, 3), np.float32)
        tile[:] = hue(i)
        tile[_FRAME : _FRAME + small.shape[0], _FRAME : _FRAME + small.shape[1]] = small * opacity
        tiles.append(tile)
    tiles += [np.zeros((height, side, 3), np.float32)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[at : at + columns], 1) for at in range(0, len(tiles), columns)]
    whole = torch.from_numpy(np.concatenate(rows)).permute(2, 0, 1)
    return F.pad(whole, (0, width - whole.shape[2])).clamp(0, 1)


def overlay(luma: Tensor, shares: Tensor, references: Sequence[Reference]) -> Tensor:
    """The tinted frame with the row of references below it, `[3, H', W]`; see `tinted` and `reference_row`."""
    given = shares.mean((1, 2)).tolist()
    return torch.cat([tinted(luma, shares), reference_row(references, given, luma.shape[-1])], 1)
