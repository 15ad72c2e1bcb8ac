"""Cuts: where one shot ends and another starts.

As in PySceneDetect's adaptive detector, small thumbnails are compared and a cut must stand out from its surroundings.
Here all is relative to the picture's own contrast (flicker is no cut), local motion is compensated, and a cut must part
all frames before from all frames after (a flash, a splice or a blotch on one or two frames is no cut). Dissolves are
not found; a fade may count as a cut where it meets full black.

Whether frame n starts a scene depends on frames n - BEFORE .. n + AFTER only, never on the film's start or on the order
frames are asked for.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view

from ..errors import InputError
from ..system.texts import read_text

Scenes = Literal["auto", "none"] | Sequence[int]
"""`auto` finds cuts, `none` treats a film as one scene, a list gives the frames that start a scene."""

BEFORE = 3
AFTER = 2
HEIGHT, WIDTH = 48, 64

_BLOCK = 16  # thumbnails are compared in blocks of this size ...
_REACH = 4  # ... that may have moved by this much: 6 % of the picture's width between two frames
_LEVELS = 32  # one standard deviation of a normalised thumbnail
_GRAIN = 0.008  # contrast of a block (standard deviation, 0..1) that may be grain alone
_FLAT = 0.02  # contrast of a picture that is as good as flat
_NOISE = 0.05  # contrast of a block, in standard deviations of its picture, that says little
# Measured on 196 real shots: frames across a cut differ by 0.42 or more, those of a shot by 0.3 at most.
_THRESHOLD = 0.36
_RATIO = 1.6  # how much more two shots must differ than the frames within each


def thumbnail(luma: torch.Tensor) -> torch.Tensor:
    """Shrink a frame for comparison.

    Args:
        luma: `[1, H, W]`, Y' nominally 0..1.

    Returns:
        `[48, 64]` float32 on the CPU, each value the mean of its area.

    Raises:
        InputError: another shape or an integer tensor.
    """
    if luma.ndim != 3 or luma.shape[0] != 1 or not luma.numel() or not luma.is_floating_point():
        raise InputError(f"luma must be a float tensor [1, H, W], got {tuple(luma.shape)} {luma.dtype}")
    return F.adaptive_avg_pool2d(luma.float(), (HEIGHT, WIDTH))[0].cpu()


def _normalise(thumb: torch.Tensor) -> tuple[np.ndarray, float]:
    """Take out gain and offset; also how much of a block's variance may be noise.

    The values are whole numbers, so that sums of products are exact and the same on every machine.
    """
    values = thumb.detach().cpu().numpy().astype(np.float64)
    values -= values.mean()
    contrast = float(np.sqrt(np.square(values).mean() + _FLAT**2))
    levels = np.round(values * (_LEVELS / contrast)).clip(-127, 127).astype(np.float32)
    return levels, _LEVELS**2 * (_NOISE**2 + (_GRAIN / contrast) ** 2)


class _Descriptor(NamedTuple):
    """A normalised thumbnail, as what lies at each of its blocks and wherever another one's block may have moved to:
    the shift in the middle is none."""

    noise: float
    patches: np.ndarray  # [blocks, shifts, pixels]
    totals: np.ndarray  # [blocks, shifts]: their sums ...
    details: np.ndarray  # ... and their variances times their pixels


_SHIFTS, _PIXELS = (2 * _REACH + 1) ** 2, _BLOCK**2
# Lines and columns of a thumbnail with its border repeated, and where in it the shifts of each block begin.
_LINES, _COLUMNS = (np.arange(-_REACH, side + _REACH).clip(0, side - 1) for side in (HEIGHT, WIDTH))
_DOWN, _ACROSS = (np.arange(0, side, _BLOCK)[:, None] + np.arange(2 * _REACH + 1) for side in (HEIGHT, WIDTH))


def _descriptor(thumb: torch.Tensor) -> _Descriptor:
    """See `_Descriptor`.

    Raises:
        InputError: another shape.
    """
    if thumb.shape != (HEIGHT, WIDTH):
        raise InputError(f"a thumbnail must be [{HEIGHT}, {WIDTH}], got {list(thumb.shape)}")
    levels, noise = _normalise(thumb)
    everywhere = sliding_window_view(levels[_LINES[:, None], _COLUMNS], (_BLOCK, _BLOCK))
    patches = everywhere[_DOWN[:, None, :, None], _ACROSS[None, :, None, :]].reshape(-1, _SHIFTS, _PIXELS)
    totals, squares = (x.astype(np.float64) for x in (patches.sum(2), np.einsum("bsp,bsp->bs", patches, patches)))
    return _Descriptor(noise, patches, totals, squares - totals**2 / _PIXELS)


def _unpredicted(a: _Descriptor, b: _Descriptor) -> float:
    """Share of the detail of `a` that no shift of `b`'s blocks explains: 0 the same picture, about 0.75 another one."""
    noise, (own, total, detail) = (a.noise + b.noise) / 2, (x[:, _SHIFTS // 2, None] for x in a[1:])
    product = (b.patches @ own.swapaxes(1, 2))[..., 0].astype(np.float64)
    shared = product - total * b.totals / _PIXELS
    left = ((detail + b.details - 2 * shared) / (detail + b.details + 2 * _PIXELS * noise)).min(1, keepdims=True)
    weight = detail + _PIXELS * noise
    return float((left * weight).sum() / weight.sum())


def _difference(a: _Descriptor, b: _Descriptor) -> float:
    return (_unpredicted(a, b) + _unpredicted(b, a)) / 2


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """How much two thumbnails `[48, 64]` differ beyond gain, offset and motion: 0 not at all, about 0.75 two shots."""
    return _difference(_descriptor(a), _descriptor(b))


def _starts_scene(look: Callable[[int], _Descriptor], position: int, count: int) -> bool:
    """Whether a scene starts at frame `position` of `count` frames that can be looked at."""
    before = range(max(0, position - BEFORE), position)
    after = range(position, min(count, position + AFTER + 1))
    if not before:
        return False
    parting = 2.0
    # neighbours first: in most frames of most films that is all there is to do
    for a in reversed(before):
        for b in after:
            parting = min(parting, _difference(look(a), look(b)))
            if parting < _THRESHOLD:
                return False
    return parting > _RATIO * max(_unrest(look, before), _unrest(look, after))


def _unrest(look: Callable[[int], _Descriptor], frames: Sequence[int]) -> float:
    """How much the two or three frames on one side of a cut differ among themselves, one odd frame forgiven."""
    return min((_difference(look(a), look(b)) for a, b in combinations(frames, 2)), default=0.0)


def is_cut(thumbs: torch.Tensor, position: int) -> bool:
    """Say whether a scene starts at a frame, from that frame's surroundings alone.

    Args:
        thumbs: `[N, 48, 64]`, thumbnails of consecutive frames: BEFORE before the frame to AFTER after it, fewer only
            where the film starts or ends. Frames beyond that are not looked at.
        position: index in `thumbs` of the frame in question.

    Returns:
        True where the frame is the first of a scene; never for the film's first frame.

    Raises:
        InputError: another shape, or a position outside.
    """
    if thumbs.ndim != 3 or thumbs.shape[1:] != (HEIGHT, WIDTH) or not 0 <= position < len(thumbs):
        raise InputError(f"thumbs must be [N, 48, 64] with {position = } inside, got {tuple(thumbs.shape)}")
    return _starts_scene(cache(lambda i: _descriptor(thumbs[i])), position, len(thumbs))


def detect_cuts(thumbs: torch.Tensor) -> list[int]:
    """Find all cuts of a film or a part of it.

    Args:
        thumbs: `[T, 48, 64]`, see `thumbnail`.

    Returns:
        Numbers of the frames that start a scene, ascending, without 0.

    Raises:
        InputError: another shape.
    """
    detector = CutDetector()
    for thumb in thumbs:
        detector.push(thumb)
    detector.finish()
    return detector.cuts


class CutDetector:
    """Finds cuts while frames come in, AFTER frames behind; the same cuts as `detect_cuts`.

    To start in mid-film, begin BEFORE frames earlier and leave out what is found in those.

    Args:
        first: number of the first frame that will be pushed.
        lost: numbers of frames that show nothing of the film. They count as the sound frame before them, at the film's
            start as the one after them.

    Attributes:
        cuts: frame numbers found so far, ascending.
        decided: it is known of all frames below this number whether they start a scene.
    """

    def __init__(self, first: int = 0, lost: Collection[int] = ()) -> None:
        self.cuts: list[int] = []
        self.decided = first
        self._lost = frozenset(lost)
        self._pushed = self._next = first
        self._sound: _Descriptor | None = None
        self._looks: deque[_Descriptor] = deque(maxlen=BEFORE + 1 + AFTER)

    def push(self, frame: torch.Tensor) -> list[int]:
        """Take the next frame: its luma `[1, H, W]` (0..1) or its thumbnail `[48, 64]`; return the cuts now found."""
        if self._pushed not in self._lost:
            self._sound = _descriptor(frame if frame.shape == (HEIGHT, WIDTH) else thumbnail(frame))
        self._pushed += 1
        found = []
        while self._sound is not None and self._next < self._pushed:
            self._looks.append(self._sound)
            self._next += 1
            found += self._decide(self._next - AFTER)
        return found

    def finish(self) -> list[int]:
        """Say that no frame follows; return the cuts among the last AFTER frames."""
        found = self._decide(self._next)
        self.decided = self._pushed  # also where no frame was sound
        return found

    def _decide(self, end: int) -> list[int]:
        found = []
        for n in range(self.decided, end):
            oldest = self._next - len(self._looks)
            if _starts_scene(self._looks.__getitem__, n - oldest, len(self._looks)):
                found.append(n)
            self.decided = n + 1
        self.cuts += found
        return found


def parse_cuts(path: str | os.PathLike[str]) -> list[int]:
    """Read cuts from a text file: one frame number a line; blank lines and what follows a # are skipped.

    Args:
        path: the file, UTF-8.

    Returns:
        The frame numbers, ascending, each once, without 0 (a film's first frame always starts a scene).

    Raises:
        InputError: an unreadable file, or a line that is no frame number (named).
    """
    cuts = set()
    for number, entry in entries_of(path, "scenes file"):
        if not (entry.isascii() and entry.isdigit() and len(entry) < 19):
            shown = entry[:40]
            raise InputError(f"scenes file {str(path)!r}, line {number}: {shown!r} is not a frame number (0, 1, 2 ...)")
        cuts.add(int(entry))
    return sorted(cuts - {0})


def entries_of(path: str | os.PathLike[str], what: str) -> Iterator[tuple[int, str]]:
    """The lines of a text file that hold something, each with its number; what follows a # is left out.

    Args:
        path: the file, UTF-8.
        what: it is, for messages.

    Raises:
        InputError: an unreadable file.
    """
    try:
        text = read_text(Path(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"cannot read {what} {str(path)!r}: {reason}") from error
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if entry:
            yield number, entry
