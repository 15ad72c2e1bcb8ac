"""How far the whole picture moved from one frame to the next, to a few hundredths of a pixel.

Both frames are made small, and freed of brightness and contrast: flicker is no motion. The whole of them gives a first
guess (normalised correlation); a picture that repeats itself, such as a fence, is likely far off, too, so what is near
goes before what is far. Then each cell says by its gradients how far it is still off, and how sure it is of that across
its edges and along them (Lucas and Kanade 1981, equation 10). From the cells' geometric median on, that is sought on
which most of them agree: people who walk, dirt and boiling grain are the minority that they are, however strong their
contrast. The shift depends on the two frames alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError

LINES = 200
"""About so many lines or columns, whichever are fewer, a frame is made small to."""

_BORDER = 0.04  # of each side: the gate's own edge does not move with the picture
_CELL = 20  # pixels of a small frame
_GRAIN = 0.8  # sigma of the blur that grain is looked through, pixels of a small frame
_ROOM = 17  # side of the square round a pixel whose brightness and contrast are taken out
_FLAT = 0.03  # contrast that may be grain alone
_DIRT = 3.0  # as many times the local contrast, no detail counts more
_REACH = 0.2  # of the height and width, no picture moves farther
_BETTER = 0.003  # likeness that a guess must gain over no shift to be tried
_FAR = 0.02  # ... and then, both made better, to be believed
_EMPTY = 0.01  # detail of a picture that shows nothing
_PASSES = ((4, 0), (2, 2), (1, 2))  # smaller by, times
_MEDIAN = 8  # steps towards the geometric median ...
_NEAR = 0.05  # pixels of a small frame: distance to it below which cells agree
_MOST = 8  # ... and from there towards what most cells say ...
_AGREE = 0.1  # ... and the distance to that
_CLEAR = 1.0  # pixels: a cell counts no more, however clearly it says to less than that how far it moved


class Shift(NamedTuple):
    """How far something moved, pixels of the full frame.

    Attributes:
        down: positive: towards the last line.
        across: positive: to the right.
    """

    down: float
    across: float


NO_SHIFT = Shift(0.0, 0.0)


class Look(NamedTuple):
    """A frame as it is compared.

    Attributes:
        levels: what is left of it without brightness and contrast, `[h, w]` float32 each, small ones first.
        factor: by how much the last of them is smaller than the frame.
    """

    levels: tuple[np.ndarray, ...]
    factor: int


def look(luma: Tensor) -> Look:
    """Make a frame small and free of brightness and contrast.

    Args:
        luma: `[1, H, W]`, 0..1.

    Raises:
        InputError: another shape, or whole numbers.
    """
    if luma.ndim != 3 or luma.shape[0] != 1 or not luma.numel() or not luma.is_floating_point():
        raise InputError(f"luma must be a float tensor [1, H, W], got {list(luma.shape)} {luma.dtype}")
    factor = max(1, round(min(luma.shape[-2:]) / LINES))
    small = F.avg_pool2d(luma[None].float(), factor)[0, 0] if factor > 1 else luma[0].float()
    plane = np.nan_to_num(small.cpu().numpy())
    levels = []
    for smaller, _ in _PASSES:
        height, width = (max(1, side // smaller) for side in plane.shape)
        size = (width, height)
        part = plane[: height * smaller, : width * smaller]
        levels.append(_freed(part if smaller == 1 else cv2.resize(part, size, interpolation=cv2.INTER_AREA)))
    return Look(tuple(levels), factor)


def _freed(plane: np.ndarray) -> np.ndarray:
    """A plane without its local brightness and contrast."""
    soft = cv2.GaussianBlur(plane, (0, 0), _GRAIN, borderType=cv2.BORDER_REFLECT)
    detail = soft - cv2.blur(soft, (_ROOM, _ROOM), borderType=cv2.BORDER_REFLECT)
    power = cv2.blur(detail * detail, (_ROOM, _ROOM), borderType=cv2.BORDER_REFLECT)
    return np.clip(detail / np.sqrt(power + _FLAT**2), -_DIRT, _DIRT)


def shift_between(before: Look, after: Look) -> Shift:
    """How far the picture moved from one frame to another of the same size.

    Raises:
        InputError: they differ in size.
    """
    if before.levels[-1].shape != after.levels[-1].shape or before.factor != after.factor:
        raise InputError(
            f"frames must be of one size, got {before.levels[-1].shape} x {before.factor} and "
            f"{after.levels[-1].shape} x {after.factor} lines and columns"
        )
    if min(after.levels[-1].shape) < 3 * _CELL or min(_detail(before), _detail(after)) < _EMPTY:
        return NO_SHIFT
    guess = _guess(before.levels[0], after.levels[0])
    starts = [np.zeros(2), guess] if guess.any() else [np.zeros(2)]
    held = _PASSES[0][0]
    for old, new, (smaller, times) in zip(before.levels, after.levels, _PASSES):
        starts = [start * (held / smaller) for start in starts]
        held = smaller
        if not times:
            continue
        for _ in range(times):
            starts = [_closer(old, new, start) for start in starts]
        if len(starts) > 1:
            near, far = _likenesses(old, new, starts)
            starts = [starts[1 if far > near + _FAR else 0]]
    shift = starts[0]
    if not np.isfinite(shift).all():
        return NO_SHIFT
    return Shift(*(shift * after.factor).tolist())


def _detail(frame: Look) -> float:
    """How much there is to be seen in a frame: 0 nothing, about 1 if every place has strong detail."""
    return float(np.square(frame.levels[-1]).mean())


def _guess(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The shift to whole pixels `[2]`, down and across: where the middle of the new frame lies in the old one."""
    reach = [round(_REACH * side) for side in old.shape]
    inner = new[reach[0] : new.shape[0] - reach[0], reach[1] : new.shape[1] - reach[1]]
    likeness = cv2.matchTemplate(old, inner, cv2.TM_CCORR_NORMED)
    found = np.unravel_index(np.argmax(likeness), likeness.shape)
    if not likeness[found] > likeness[*reach] + _BETTER:
        return np.zeros(2)
    return np.array([float(way - at) for way, at in zip(reach, found)])


def _likenesses(old: np.ndarray, new: np.ndarray, shifts: Sequence[np.ndarray]) -> list[float]:
    """How alike the frames are with each of these shifts between them, -1 to 1, all in the part that all show."""
    edge = [math.ceil(max(map(abs, ways)) / 2 + 4 + _BORDER * side) for ways, side in zip(zip(*shifts), old.shape)]
    if any(2 * cut >= side for cut, side in zip(edge, old.shape)):
        return [0.0] * len(shifts)
    inner = tuple(slice(cut, side - cut) for cut, side in zip(edge, old.shape))
    made = []
    for shift in shifts:
        a, b = (_moved(plane, part * shift)[inner] for plane, part in ((old, 0.5), (new, -0.5)))
        made.append(float((a * b).sum() / (math.sqrt((a * a).sum() * (b * b).sum()) + 1e-9)))
    return made


def taps(part: float) -> np.ndarray:
    """The filter that moves a picture by part of a pixel, `[8]` float64, sum 1: Lanczos with four lobes.

    Args:
        part: 0 (inclusive) to 1 (exclusive), towards larger coordinates; the filter's middle is its fifth value, and
            it is for correlation: output[n] = sum over k of taps[k] input[n - 4 + k].
    """
    at = np.arange(-4, 4) + part
    made = np.where(np.abs(at) < 4, np.sinc(at) * np.sinc(at / 4), 0.0)
    return made / made.sum()


def _closer(old: np.ndarray, new: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A better shift `[2]` than this one."""
    height, width = old.shape
    # Each goes half of the way: both are interpolated alike.
    parts = [_moved(plane, part * shift) for plane, part in ((old, 0.5), (new, -0.5))]
    edge = [math.ceil(abs(way) / 2 + 2 + _BORDER * side) for way, side in zip(shift, old.shape)]
    rows, columns = (max(1, (side - 2 * cut) // _CELL) for side, cut in zip((height, width), edge))
    if min(height - 2 * edge[0], width - 2 * edge[1]) < _CELL:
        return np.zeros(2)
    inner = tuple(
        slice((side - n * _CELL) // 2, (side + n * _CELL) // 2) for side, n in ((height, rows), (width, columns))
    )
    mean, error = (parts[0] + parts[1]) * 0.5, (parts[1] - parts[0])[inner]
    down, across = (cv2.Sobel(mean, cv2.CV_32F, dx, 1 - dx, ksize=1, scale=0.5)[inner] for dx in (0, 1))
    products = (down * down, down * across, across * across, down * error, across * error, error * error)
    dd, da, aa, de, ae, ee = (_cells(product, rows, columns) for product in products)
    return shift + _agreed(dd, da, aa, -de, -ae, ee)


def _moved(plane: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A plane moved down and across."""
    whole = np.floor(shift).astype(int)
    rows, columns = (taps(part) for part in (shift - whole))
    # What is rolled in from the other side lies in the border, which is not compared.
    rolled = np.roll(plane, tuple(whole), (0, 1)) if whole.any() else plane
    return cv2.sepFilter2D(rolled, cv2.CV_32F, columns, rows, anchor=(4, 4), borderType=cv2.BORDER_REFLECT)


def _cells(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Sums over cells, `[rows * columns]`."""
    lines = plane.reshape(rows, _CELL, -1).sum(1)
    return lines.reshape(rows, columns, _CELL).sum(2, dtype=np.float64).ravel()


def _agreed(dd: np.ndarray, da: np.ndarray, aa: np.ndarray, d: np.ndarray, a: np.ndarray, ee: np.ndarray) -> np.ndarray:
    """What most cells `[2]` say, each by its normal equations `[[dd, da], [da, aa]] x = [d, a]` and the squared error
    `ee` that it has without a shift."""
    texture = dd + aa
    floor = 1e-3 * texture + 1e-6
    determinant = (dd + floor) * (aa + floor) - da * da
    own = np.stack([((aa + floor) * d - da * a) / determinant, ((dd + floor) * a - da * d) / determinant])
    # What no shift of the cell explains: something turns, grows or passes there.
    left = np.maximum(ee - d * own[0] - a * own[1], 0) / _CELL**2
    # And strong contrast is no majority.
    trust = 1 / (left + 0.05 + _CLEAR**2 * texture / _CELL**2)
    weight = trust
    best = np.zeros(2)
    for turn in range(_MEDIAN + _MOST):
        sdd, sda, saa, sd, sa = (float((weight * x).sum()) for x in (dd, da, aa, d, a))
        extra = 1e-6 * (sdd + saa) + 1e-9
        scale = (sdd + extra) * (saa + extra) - sda * sda
        best = np.array([(saa + extra) * sd - sda * sa, (sdd + extra) * sa - sda * sd]) / scale
        off = best[:, None] - own
        distance = (dd * off[0] ** 2 + 2 * da * off[0] * off[1] + aa * off[1] ** 2) / (texture + 1e-9)
        weight = trust / (np.sqrt(distance + _NEAR**2) if turn < _MEDIAN - 1 else distance + _AGREE**2)
    return best
