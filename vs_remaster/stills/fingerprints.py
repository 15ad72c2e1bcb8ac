"""What the frames of a film show, in a few hundred bytes each, so that another copy of the film can be laid beside it.

A fingerprint is a small thumbnail without its mean and contrast. Compared are the details of thumbnails, each relative
to its surroundings, so that fading, gamma, flicker, vignettes and colours make little difference. How another copy is
cropped and stretched is found from the fingerprints themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from torch import Tensor

from ..color.matrices import code_range
from ..color.samples import decode_luma
from ..video.info import VideoInfo
from ..video.reader import VideoReader

ROWS, COLUMNS = 24, 32

_LEVELS = 32  # one standard deviation of a thumbnail
_FLAT = 0.02  # contrast, of luma 0..1, of a picture that shows next to nothing
_AREA = 7  # what is round a detail, in thumbnail pixels
_FAINT = 3.0  # contrast of an area, in levels, that is as good as none
_PLAIN = 0.25  # share of a whole picture's detail, below which a thumbnail has none to compare
_GLIMPSES = 48  # frames that are looked at for black borders
_BLACK = 0.07  # luma that nothing in a black border is above
_MOST_BORDER = 0.25  # of height or width, on each side
_INSIDE = 0.01  # of height or width: what is cut off more where there is a border, for its edge is soft


@dataclass(frozen=True)
class Area:
    """The part of a frame inside its black borders, in pixels: rows `top` to `bottom`, columns `left` to `right`, the
    ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index `[..., H, W]` with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class Geometry:
    """Where a point of one picture lies in another one: `across * x + right`, `down * y + below`, with 0 in the middle
    of both pictures and 1 at their right and lower edges."""

    across: float = 1.0
    down: float = 1.0
    right: float = 0.0
    below: float = 0.0


class Fingerprints:
    """Fingerprints of a film's frames, 768 bytes each; they are pushed one after the other."""

    def __init__(self) -> None:
        self._levels = bytearray()

    def __len__(self) -> int:
        return len(self._levels) // (ROWS * COLUMNS)

    def push(self, luma: np.ndarray) -> None:
        """Take the next frame: luma `[H, W]` float32, nominally 0..1, without borders."""
        thumb = cv2.resize(luma, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA).astype(np.float32)
        thumb -= thumb.mean()
        contrast = math.sqrt(float(np.square(thumb).mean()) + _FLAT**2)
        self._levels += np.round(thumb * (_LEVELS / contrast)).clip(-127, 127).astype(np.int8).tobytes()

    def thumbs(self, numbers: Sequence[int] | np.ndarray) -> Tensor:
        """Thumbnails `[N, 24, 32]` float32, in levels, of the frames of some numbers."""
        held = np.frombuffer(self._levels, np.int8).reshape(-1, ROWS, COLUMNS)
        return torch.from_numpy(held[np.asarray(numbers, np.int64)].astype(np.float32))


def details(
    thumbs: Tensor, geometry: Geometry | None = None, seen: Geometry | None = None, *, smooth: bool = False
) -> Tensor:
    """What thumbnails show, as vectors whose product is their likeness.

    Args:
        thumbs: `[N, 24, 32]`, see `Fingerprints.thumbs`.
        geometry: where the points of the picture that is wanted lie in these; None: as they are.
        seen: where the points of these lie in the picture that they will be compared with, for what lies outside does
            not count; None: all is there.
        smooth: blur all alike, whatever the geometry: between its points a thumbnail is blurred anyway, and noise would
            draw a search for the geometry there.

    Returns:
        `[N, 768]` float32: vectors of length 1, and of 0 where a picture is flat. Products are 1 for one picture and
        about 0 for two that have nothing in common.
    """
    x = thumbs
    if smooth or geometry is not None:
        to, lines = geometry or Geometry(), _smooth_lines if smooth else _lines
        x = lines(ROWS, to.down, to.below) @ x @ lines(COLUMNS, to.across, to.right).T
    seen, counts = geometry or seen, None
    if seen is not None:
        down, across = _inside(ROWS, seen.down, seen.below), _inside(COLUMNS, seen.across, seen.right)
        counts = (down[:, None] * across[None])[None]
    detail = x - _around(x)
    strength = (_around(detail.square()) + _FAINT**2).sqrt()
    flat = detail / strength
    if counts is not None:
        flat = flat * counts
    flat = flat.flatten(1)
    length = flat.norm(dim=1, keepdim=True)
    plain = _PLAIN * math.sqrt(ROWS * COLUMNS if counts is None else max(1.0, float(counts.sum())))
    return torch.where(length > plain, flat / length.clamp_min(1e-6), 0.0)


def _around(x: Tensor) -> Tensor:
    """Means of the areas round all points; at the edges of what there is of them."""
    down, across = (_means(count) for count in x.shape[-2:])
    return down @ x @ across.T


def _means(count: int) -> Tensor:
    at = torch.arange(count)
    near = ((at[:, None] - at).abs() <= _AREA // 2).float()
    return near / near.sum(1, keepdim=True)


def _points(count: int, scale: float, offset: float) -> Tensor:
    return scale * ((2 * torch.arange(count) + 1) / count - 1) + offset


def _from_points(count: int, scale: float, offset: float) -> Tensor:
    """`[count, count]`: how far the places that are sampled lie from the points of a line, in points."""
    at = ((_points(count, scale, offset) + 1) * count - 1) / 2
    return (at[:, None].clamp(0, count - 1) - torch.arange(count)).abs()


def _lines(count: int, scale: float, offset: float) -> Tensor:
    """`[count, count]`: takes samples of a line between its points."""
    return (1 - _from_points(count, scale, offset)).clamp_min(0)


def _smooth_lines(count: int, scale: float, offset: float) -> Tensor:
    """The same with cubic B-splines."""
    apart = _from_points(count, scale, offset)
    weights = torch.where(apart < 1, 2 / 3 - apart**2 + apart**3 / 2, (2 - apart).clamp_min(0) ** 3 / 6)
    return weights / weights.sum(1, keepdim=True)


def _inside(count: int, scale: float, offset: float) -> Tensor:
    return (_points(count, scale, offset).abs() <= 1).float()


def find_geometry(thumbs: Tensor, others: Tensor, start: Geometry) -> Geometry:
    """Find how two copies of a film lie in each other.

    Args:
        thumbs: `[N, 24, 32]` of frames of one.
        others: `[N, 24, 32]` of the same frames of the other.
        start: a guess.

    Returns:
        Where the points of `thumbs` lie in `others`.
    """
    values, best = list(astuple(start)), _alike(thumbs, others, start)
    step = 0.04
    while step > 0.002:
        improved = False
        for i in range(4):
            for change in (-step, step):
                tried = [value + change * (k == i) for k, value in enumerate(values)]
                likeness = _alike(thumbs, others, Geometry(*tried))
                if likeness > best:
                    values, best, improved = tried, likeness, True
        step = step if improved else step / 2
    return Geometry(*values)


def _alike(thumbs: Tensor, others: Tensor, geometry: Geometry) -> float:
    a, b = details(thumbs, seen=geometry, smooth=True), details(others, geometry, smooth=True)
    # the median: some pairs may not belong together
    return float((a * b).sum(1).median())


# Films on disk --------------------------------------------------------------------------------------------------------


def luma_of(planes: Sequence[np.ndarray], info: VideoInfo) -> np.ndarray:
    """Luma `[H, W]` float32, nominally 0..1, of a frame's planes."""
    return decode_luma(planes, info)[0].numpy()


def colourfulness(planes: Sequence[np.ndarray], info: VideoInfo) -> float:
    """How much colour a frame has: rms of Cb and Cr, -0.5..0.5, of some of its samples."""
    if info.kind == "gray":
        return 0.0
    if info.kind == "rgb":
        samples = np.stack([plane[::8, ::8].astype(np.float32) for plane in planes]) / ((1 << info.bits) - 1)
        return float(np.sqrt(np.square(samples - samples.mean(0)).mean()))
    zero, one = code_range(info.bits, info.full_range, True, info.matrix)
    chroma = np.stack([plane[::4, ::4].astype(np.float32) for plane in planes[1:]])
    return float(np.sqrt(np.square((chroma - zero) / one).mean()))


def picture_area(path: Path) -> Area:
    """The part of a film's frames inside black borders, from frames spread over the film."""
    lit: tuple[np.ndarray, np.ndarray] | None = None
    with VideoReader(path, notes=False) as reader:
        for planes in _glimpses(reader):
            luma = luma_of(planes, reader.info)
            now = np.quantile(luma, 0.98, axis=1), np.quantile(luma, 0.98, axis=0)
            lit = now if lit is None else (np.maximum(lit[0], now[0]), np.maximum(lit[1], now[1]))
        size = reader.info.height, reader.info.width
    assert lit is not None  # a film has frames
    (top, bottom), (left, right) = (_between(line, n) for line, n in zip(lit, size))
    return Area(top, bottom, left, right)


def _between(lit: np.ndarray, size: int) -> tuple[int, int]:
    bright = np.flatnonzero(lit > _BLACK)
    if not len(bright):
        return 0, size
    first, last = int(bright[0]), int(bright[-1]) + 1
    if max(first, size - last) > _MOST_BORDER * size:  # a dark film, not a border
        return 0, size
    more = math.ceil(_INSIDE * size)
    return first + more * (first > 0), last - more * (last < size)


def _glimpses(reader: VideoReader) -> Iterator[list[np.ndarray]]:
    """Planes of frames all over a film; of its beginning where it cannot be searched. Numbers are not known."""
    stream = reader.stream
    length = None if stream is None else stream.container.duration
    if stream is None or not length:
        for number, picture in reader.decode():
            if number % 8 == 0:
                yield reader.planes(picture)
            if number >= 8 * _GLIMPSES:
                return
        return
    container = stream.container
    yield reader.planes(next(reader.decode())[1])
    for i in range(_GLIMPSES):
        try:
            container.seek((container.start_time or 0) + length * (2 * i + 1) // (2 * _GLIMPSES))
            picture = next(iter(container.decode(stream)), None)
        except (av.FFmpegError, OSError, ValueError):
            continue
        if picture is not None and reader.alike(picture):
            yield reader.planes(picture)
