"""Frames that look lost: other than those before and after, which resemble each other.

A person decides what is made anew; this only proposes, and rather too little than too much. Frames are compared as for
cuts, see `scenes`: motion, flicker and grain are no difference. Not proposed are flashes of light (most of the picture
is brighter than before and after), short shots (three or more frames that resemble each other), what lies within two
frames of a cut, and damage to a small part of the picture.

Whether frame n is proposed depends on frames n - REACH .. n + REACH only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .lost_frames import MOST
from .scenes import difference, thumbnail

REACH = MOST + 1

# Measured on 98 real shots: a frame differs from both beside it by at most 0.12 more than these from each other.
_FAR = 0.25  # difference from the frames around, at least ...
_FARTHER = 0.2  # ... and beyond that between these
_ALIKE = 0.15  # difference of frames that resemble each other
_BRIGHTER = 0.02  # luma
_FLASH = 0.6  # share of the picture that a flash of light makes brighter
_FLAT = 0.02  # contrast (standard deviation of luma) of a picture that shows nothing


class LostDetector:
    """Finds frames that look lost while frames come in; the same as `find_lost`.

    To start in mid-film, begin REACH frames earlier and leave out what is found in those.

    Attributes:
        lost: frame numbers found so far, ascending.
    """

    def __init__(self, first: int = 0) -> None:
        """Args: first: number of the first frame that will be pushed."""
        self.lost: list[int] = []
        self._next = first
        self._thumbs: deque[Tensor] = deque(maxlen=MOST + 4)  # a gap, two frames before it and two after it

    def push(self, frame: Tensor) -> None:
        """Take the next frame: its luma `[1, H, W]` (0..1) or its thumbnail `[48, 64]`, see `scenes.thumbnail`."""
        self._thumbs.append(frame if frame.ndim == 2 else thumbnail(frame))
        self._next += 1
        self._look(False)

    def finish(self) -> list[int]:
        """Say that no frame follows; return all that were found."""
        self._look(True)
        return self.lost

    def _look(self, ended: bool) -> None:
        """Look for a gap before the last frame, or before the one that has been followed by another one."""
        thumbs = list(self._thumbs)
        known = len(thumbs) if ended else len(thumbs) - 1
        after = thumbs[known:]
        del thumbs[known:]
        if len(thumbs) < 3 or _alike(thumbs[-2], thumbs[-1]) or (after and not _alike(thumbs[-1], after[0])):
            return
        oldest = self._next - len(after) - len(thumbs)
        for first in range(len(thumbs) - 2, 0, -1):
            count = len(thumbs) - 1 - first
            if count > MOST:
                return
            supported = first < 2 or _alike(thumbs[first - 2], thumbs[first - 1])
            if supported and _gap(thumbs[first - 1], thumbs[first:-1], thumbs[-1]):
                self.lost += range(oldest + first, oldest + first + count)
                return


def find_lost(thumbs: Tensor) -> list[int]:
    """Propose frames of a film that look lost.

    Args:
        thumbs: `[T, 48, 64]`, see `scenes.thumbnail`.

    Returns:
        Their numbers, ascending.

    Raises:
        InputError: another shape.
    """
    detector = LostDetector()
    for thumb in thumbs:
        detector.push(thumb)
    return detector.finish()


def _gap(before: Tensor, between: Sequence[Tensor], after: Tensor) -> bool:
    """Whether all frames between two look lost."""
    own = difference(before, after)
    if own >= _ALIKE:
        return False
    least = max(_FAR, own + _FARTHER)
    for thumb in between:
        if difference(before, thumb) < least or difference(thumb, after) < least:
            return False
        if float((thumb > torch.maximum(before, after) + _BRIGHTER).float().mean()) > _FLASH:
            return False
    shown = all(float(thumb.std()) > _FLAT for thumb in between)
    return len(between) < 3 or not shown or not all(_alike(a, b) for a, b in pairwise(between))


def _alike(a: Tensor, b: Tensor) -> bool:
    # most frames are nearly the one before: no need to look for where their parts have moved
    contrast = torch.minimum(a.var(), b.var())
    return bool((a - b).var() < 0.02 * contrast) or difference(a, b) < _ALIKE
