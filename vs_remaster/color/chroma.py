"""Planes of chroma: where their samples lie, and how they are brought to another size.

Pure functions on torch tensors, on any device; float32 stays float32, float64 stays float64.
"""

from __future__ import annotations

import functools
import math
from typing import Literal, get_args

import torch

from ..errors import InputError, UnsupportedError

Siting = Literal["left", "center", "topleft", "top", "bottomleft", "bottom"]
SITINGS: tuple[Siting, ...] = get_args(Siting)
"""By chroma sample location type of ITU-T H.273, as in VapourSynth's `_ChromaLocation`; FFmpeg's is one more, for its 0
is unspecified."""

# Where in its cell of luma samples a chroma sample lies (across, down): -1 on the first, 0 mid, 1 on the last.
PLACES = dict(zip(SITINGS, ((-1, 0), (0, 0), (-1, -1), (0, -1), (-1, 1), (0, 1)), strict=True))


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def _taps(
    source: int, target: int, ratio: float, offset: float, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each sample of a resized axis comes from: indices and weights `[K, target]` of a triangle filter.

    Sample i lies at `(i + 0.5) * ratio - 0.5 + offset` of the source; the triangle widens with the ratio when shrinking
    and is cut off at the ends, as in torch's antialiased bilinear.
    """
    centre = (torch.arange(target, dtype=torch.float64) + 0.5) * ratio - 0.5 + offset
    centre = centre.clamp(0, source - 1)
    reach = max(1.0, ratio)
    index = (centre - reach).ceil() + torch.arange(2 * math.ceil(reach) + 1, dtype=torch.float64)[:, None]
    weight = (1 - (index - centre).abs() / reach).clamp_min(0)
    weight = weight * ((index >= 0) & (index < source))
    weight = weight / weight.sum(0)
    used = (weight > 0).any(1)
    return index[used].clamp(0, source - 1).long().to(device), weight[used].to(device, dtype)


def _resample(x: torch.Tensor, dim: int, target: int, ratio: float, offset: float) -> torch.Tensor:
    source = x.shape[dim]
    if source == target and ratio == 1 and offset == 0:
        return x
    index, weight = _taps(source, target, ratio, offset, x.device, x.dtype)
    if dim == -2:
        weight = weight[..., None]
    out = x.index_select(dim, index[0]) * weight[0]
    for k in range(1, len(index)):
        out = out.addcmul(x.index_select(dim, index[k]), weight[k])
    return out


def resize_chroma(
    chroma: torch.Tensor,
    size: tuple[int, int],
    siting: Siting = "left",
    *,
    subsampling: tuple[int, int] = (0, 0),
    source_siting: Siting = "left",
    source_subsampling: tuple[int, int] = (0, 0),
) -> torch.Tensor:
    """Resize chroma (or any plane) with a bilinear filter that is widened when shrinking, minding where samples lie.

    Args:
        chroma: `[..., h, w]`, float.
        size: (height, width) of the result, in samples.
        siting: where the result's samples lie in their cell of luma samples; matters only where `subsampling` is not 0.
        subsampling: log2 of luma samples per chroma sample (horizontal, vertical) of the result: 4:2:0 is (1, 1),
            4:2:2 is (1, 0), a picture at full or any other resolution (0, 0).
        source_siting: the same of `chroma`.
        source_subsampling: the same of `chroma`.

    Returns:
        `[..., size[0], size[1]]`; `chroma` itself when there is nothing to do.

    Raises:
        InputError: an empty plane or size. UnsupportedError: unknown siting.
    """
    if chroma.ndim < 2 or not chroma.is_floating_point() or min(*chroma.shape[-2:], *size) < 1:
        raise InputError(f"cannot resize chroma {tuple(chroma.shape)} of {chroma.dtype} to {tuple(size)}")
    for name in (siting, source_siting):
        if name not in SITINGS:
            raise UnsupportedError(f"unknown chroma siting {name!r}: use one of {', '.join(SITINGS)}")
    # fewer rows first: rows are copied, columns are gathered
    for dim in (-2, -1) if size[0] <= chroma.shape[-2] else (-1, -2):
        axis = 1 if dim == -2 else 0
        ratio, offset = _axis_map(
            (chroma.shape[dim], source_subsampling[axis], PLACES[source_siting][axis]),
            (size[dim], subsampling[axis], PLACES[siting][axis]),
        )
        chroma = _resample(chroma, dim, size[dim], ratio, offset)
    return chroma


def _axis_map(source: tuple[int, int, int], target: tuple[int, int, int]) -> tuple[float, float]:
    """(ratio, offset) for `_taps` from (samples, log2 subsampling, place in the cell) of both sides of an axis."""
    (n, log_n, place_n), (m, log_m, place_m) = source, target
    # Planes of odd-sized pictures cover a bit more than the picture (427 samples for 853 pixels): the ratio is then
    # that of the subsampling, not of the sizes.
    exact = m == -(-(n << log_n) >> log_m) or n == -(-(m << log_m) >> log_n)
    ratio = 2.0 ** (log_m - log_n) if exact else n / m
    shift_n, shift_m = (place * (1 - 2.0**-log) / 2 for place, log in ((place_n, log_n), (place_m, log_m)))
    return ratio, shift_m * ratio - shift_n


def guided_upsample(
    chroma: torch.Tensor, luma_low: torch.Tensor, luma: torch.Tensor, *, sigma: float = 0.12
) -> torch.Tensor:
    """Enlarge chroma so that its edges follow those of the full-resolution luma (joint bilateral upsampling).

    Each pixel mixes its four low-resolution neighbours; a neighbour's weight is the bilinear one times a Gaussian of
    how far its luma lies from the pixel's. The mixture is convex: it never goes beyond the chroma of the neighbours.
    Source: Kopf et al., Joint Bilateral Upsampling, SIGGRAPH 2007, with a support of 2x2 (3x3 measured worse).

    Args:
        chroma: `[T, 2, h, w]`, float.
        luma_low: `[T, 1, h, w]`, the luma at the size of `chroma`, antialiased.
        luma: `[T, 1, H, W]`, the luma at full size, the same scale (0..1).
        sigma: how far in luma (0..1) a neighbour may be and still count; large values give plain bilinear.

    Returns:
        `[T, 2, H, W]`; frames are worked on one by one and in strips, so little memory is needed beyond the result.

    Raises:
        InputError: shapes that do not fit.
    """
    frames = len(chroma)
    fit = chroma.ndim == luma.ndim == 4 and luma.shape[:2] == (frames, 1)
    if not fit or luma_low.shape != (frames, 1, *chroma.shape[2:]):
        raise InputError(
            "chroma [T, C, h, w], luma_low [T, 1, h, w] and luma [T, 1, H, W] do not fit: "
            f"got {tuple(chroma.shape)}, {tuple(luma_low.shape)}, {tuple(luma.shape)}"
        )
    height, width = luma.shape[-2:]
    top, bottom, y_weight = _neighbours(chroma.shape[-2], height, chroma.device, chroma.dtype)
    left, right, x_weight = _neighbours(chroma.shape[-1], width, chroma.device, chroma.dtype)
    out = chroma.new_empty((frames, chroma.shape[1], height, width))
    # What fits in a core's cache, or keeps a GPU busy; the result does not depend on it.
    strip = max(1, (1 << (16 if chroma.device.type == "cpu" else 22)) // width)
    for t in range(frames):
        low = torch.cat((luma_low[t], chroma[t]))
        columns = (low.index_select(-1, left), 1 - x_weight), (low.index_select(-1, right), x_weight)
        for start in range(0, height, strip):
            rows = slice(start, start + strip)
            total: torch.Tensor | float = 0.0
            mixed: torch.Tensor | float = 0.0
            for row_index, row_weight in ((top[rows], 1 - y_weight[rows]), (bottom[rows], y_weight[rows])):
                for column, column_weight in columns:
                    near = column.index_select(-2, row_index)
                    distance = (near[:1] - luma[t, :, rows]).square()
                    # the floor: where no neighbour resembles the pixel the mixture becomes bilinear
                    weight = (distance * (-0.5 / sigma**2)).exp().add(1e-3) * (row_weight[:, None] * column_weight)
                    total = weight + total
                    mixed = near[1:] * weight + mixed
            out[t, :, rows] = mixed / total
    return out


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def _neighbours(
    source: int, target: int, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Indices of the two samples around each of `target` positions and the weight of the second."""
    centre = ((torch.arange(target, dtype=torch.float64) + 0.5) * (source / target) - 0.5).clamp(0, source - 1)
    first = centre.floor().long()
    weight = (centre - first).to(device, dtype)
    return first.to(device), (first + 1).clamp_max(source - 1).to(device), weight
