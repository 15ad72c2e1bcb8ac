"""What flies through the picture looks like dirt: in each frame it lies somewhere else, before what it hides. But dirt
is gone with its frame, and a ball is in the next one, too. What was taken for damage is looked for there, and given
back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.layers import Halo

NEAR = 2
"""Frames each way in which things are looked for."""

_LINES = 240  # about as many has the short edge of the pictures that are compared
_FASTEST = 48  # of their pixels, from one frame to the next
_LOST = 0.4  # mask from which a pixel counts as taken for damage
_AREA, _EDGE = 40, 5  # pixels that a thing has at least, in all and across
_MOST = 16  # things in a frame
_SEEN = 0.03  # of white: what the repair changes less than that is no loss
_ALIKE = 0.25  # of its contrast: how far a thing may differ from itself in the next frame
_ELSEWHERE = 0.5  # of its contrast: how far it must differ from what lay at that place before it came
_BEND = 10  # pixels by which a path may leave a straight line, or its speed change
_RIM = 4  # pixels round a thing that come back with it
_NOWHERE = np.float32(np.inf)


def give_back(luma: Tensor, halo: Halo, restored: Tensor, mask: Tensor, toned: Tensor) -> tuple[Tensor, Tensor]:
    """Restored frames and masks in which nothing is missing that only flew by.

    A thing comes back if a network took it for damage, two frames next to this one show it (those on both sides, or two
    on one), and these three lie on a path. A thing that stays where it is may be dirt.

    Args:
        luma: frames `[N, 1, H, W]`, 0..1, with their `halo`, of which `NEAR` frames on each side are looked at.
        restored, mask, toned: what was made of those that are no halo, `[K, 1, H, W]`: luma, where damage was repaired,
            and luma with the tone corrected and nothing else.
    """
    scale = max(1, round(min(luma.shape[-2:]) / _LINES))
    masks = F.avg_pool2d(mask.float(), scale, ceil_mode=True, count_include_pad=False)
    solid = F.avg_pool2d((masks > _LOST).float(), _EDGE, 1) > 0.7 if min(masks.shape[-2:]) >= _EDGE else masks[:0]
    where = solid.flatten(1).any(1).nonzero()[:, 0].tolist() if len(solid) else []
    if not where:
        return restored, mask
    restored, mask = restored.clone(), mask.clone()

    @cache
    def picture(at: int) -> np.ndarray | None:
        return _small(luma[at], scale) if 0 <= at < len(luma) else None

    for i in where:
        at = halo.before + i
        found = moving(lambda later, at=at: picture(at + later), masks[i, 0].cpu().numpy(), _small(restored[i], scale))
        if found is None:
            continue
        large = F.interpolate(torch.from_numpy(found)[None, None], scale_factor=float(scale), mode="bilinear")
        back = large[0, :, : luma.shape[-2], : luma.shape[-1]].to(restored)
        restored[i] = torch.lerp(restored[i], toned[i].to(restored), back)
        mask[i] = mask[i] * (1 - back.to(mask))
    return restored, mask


def moving(frames: Callable[[int], np.ndarray | None], mask: np.ndarray, restored: np.ndarray) -> np.ndarray | None:
    """Where things lie that were taken for damage and only fly by, `[H, W]` of 0..1; None: nowhere.

    Args:
        frames: the picture `[H, W]` so many frames later than the one that was restored, or None where there is none.
        mask, restored: what was made of it.
    """
    here, out = frames(0), None
    assert here is not None
    for thing in _things(mask, np.abs(here - restored)):
        if _flies(thing, here, frames):
            out = np.zeros_like(here) if out is None else out
            part = out[thing.place]
            np.maximum(part, thing.shape, out=part)
    if out is None:
        return None
    wide = cv2.dilate(out, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _RIM + 1, 2 * _RIM + 1)))
    return cv2.GaussianBlur(wide, (0, 0), 1.0)


class _Thing(NamedTuple):
    """Something that was taken for damage: its `shape` is 1 where it is, and begins at `top`, `left`; `contrast`: how
    much the repair changed there."""

    top: int
    left: int
    shape: np.ndarray
    contrast: float

    @property
    def place(self) -> tuple[slice, slice]:
        """The lines and columns that `shape` covers."""
        height, width = self.shape.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def _things(mask: np.ndarray, change: np.ndarray) -> Iterator[_Thing]:
    _, labels, figures, _ = cv2.connectedComponentsWithStats((mask > _LOST).astype(np.uint8), connectivity=8)
    for label in np.argsort(-figures[1:, cv2.CC_STAT_AREA], kind="stable")[:_MOST] + 1:
        left, top, width, height, area = figures[label].tolist()
        if area < _AREA or not _EDGE <= min(width, height) <= max(width, height) <= 2 * _FASTEST:
            continue
        shape = (labels[top : top + height, left : left + width] == label).astype(np.float32)
        contrast = _difference(change[top : top + height, left : left + width], shape)
        if contrast > _SEEN:
            yield _Thing(top, left, shape, contrast)


def _flies(thing: _Thing, here: np.ndarray, frames: Callable[[int], np.ndarray | None]) -> bool:
    """Whether two of the other pictures show it on a path that leads through this one."""
    enough = _ALIKE * thing.contrast
    elsewhere = _differences(thing, here, here) > _ELSEWHERE * thing.contrast

    @cache
    def places(later: int) -> np.ndarray | None:
        """How far it differs from that picture, by the place; None where it is nowhere in it."""
        other = frames(later)
        if other is None:
            return None
        found = np.where(elsewhere, _differences(thing, here, np.float32(_gain(here, other)) * other), _NOWHERE)
        return found if found.min() < enough else None

    for one, two in ((1, -1), (1, 2), (-1, -2)):
        first, second = places(one), places(two)
        if first is None or second is None:
            continue
        second = cv2.erode(second, np.ones((2 * _BEND + 1, 2 * _BEND + 1), np.uint8), borderValue=float(_NOWHERE))
        if (np.maximum(first, _along(second, two // one)) < enough).any():
            return True
    return False


def _along(places: np.ndarray, times: int) -> np.ndarray:
    """The map of displacements `[2R + 1, 2R + 1]` at `times` each displacement."""
    steps = times * np.arange(-_FASTEST, _FASTEST + 1)
    inside = np.abs(steps) <= _FASTEST
    out = np.full_like(places, _NOWHERE)
    out[np.ix_(inside, inside)] = places[np.ix_(steps[inside] + _FASTEST, steps[inside] + _FASTEST)]
    return out


def _differences(thing: _Thing, here: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far a thing differs from what a picture shows at its place and up to `_FASTEST` pixels from it: root mean
    squares by displacement, `[2R + 1, 2R + 1]`."""
    height, width = thing.shape.shape
    # beyond the picture is nothing that looks like it
    wide = np.pad(other, _FASTEST, constant_values=-1)
    area = wide[thing.top : thing.top + height + 2 * _FASTEST, thing.left : thing.left + width + 2 * _FASTEST]
    squares = cv2.matchTemplate(area, here[thing.place], cv2.TM_SQDIFF, mask=thing.shape)
    return np.sqrt(np.maximum(squares / thing.shape.sum(), 0))


def _difference(change: np.ndarray, shape: np.ndarray) -> float:
    return float(np.sqrt((shape * change * change).sum() / shape.sum()))


def _gain(here: np.ndarray, other: np.ndarray) -> float:
    """What brings another picture to the brightness of this one."""
    return float(np.clip(here.mean() / max(1e-3, other.mean()), 0.7, 1.4))


def _small(frame: Tensor, scale: int) -> np.ndarray:
    """A frame `[1, H, W]` at 1/`scale`, a little smoothed: `[h, w]`, float32."""
    small = F.avg_pool2d(frame[None].float(), scale, ceil_mode=True, count_include_pad=False)[0, 0].cpu().numpy()
    return cv2.GaussianBlur(small, (0, 0), 0.7)
