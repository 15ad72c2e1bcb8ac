"""How a picture is turned and mirrored for display, and doing so by moving its samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..color.chroma import PLACES, SITINGS, Siting

_SLANT = 1e-3  # of a matrix whose other entries are of size 1: what is less is rounding


@dataclass(frozen=True)
class Turn:
    """A turn by a multiple of 90 degrees, mirrored or not.

    Attributes:
        transposed: rows become columns, before anything else.
        across: then left and right change places.
        down: then top and bottom change places.
    """

    transposed: bool = False
    across: bool = False
    down: bool = False

    def __bool__(self) -> bool:
        return self.transposed or self.across or self.down

    def planes(self, planes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The planes `[h, w]` of the turned picture: the same samples in other places."""
        if not self:
            return list(planes)
        return [np.ascontiguousarray(self._turned(plane)) for plane in planes]

    def _turned(self, plane: np.ndarray) -> np.ndarray:
        plane = plane.T if self.transposed else plane
        return plane[:: -1 if self.down else 1, :: -1 if self.across else 1]

    def pair[Value](self, across: Value, down: Value) -> tuple[Value, Value]:
        """(across, down) of something that the picture has in both directions: its size, say."""
        return (down, across) if self.transposed else (across, down)

    def siting(self, siting: Siting, subsampling: tuple[int, int], size: tuple[int, int]) -> Siting:
        """Where chroma samples lie in the turned picture, or the nearest place that has a name.

        Args:
            siting: where they lie as the picture is stored.
            subsampling: log2 of luma samples per chroma sample, (across, down), of the stored picture.
            size: (width, height) of the stored picture.
        """
        if not self or not any(subsampling):
            return siting
        axes = zip(self.pair(*PLACES[siting]), (self.across, self.down), self.pair(*subsampling), self.pair(*size))
        there = [_mirrored(place, 1 << half, length) if flipped else place for place, flipped, half, length in axes]
        return min(SITINGS, key=lambda name: math.dist(PLACES[name], there))


def _mirrored(place: float, cell: int, length: int) -> float:
    """Where in its cell of luma samples a chroma sample lies when a line of `length` samples is read from its end: -1
    on the first, 1 on the last."""
    if cell == 1:
        return place
    at = (place + 1) / 2 * (cell - 1)
    return 2 * ((length - 1) % cell - at) / (cell - 1) - 1


UPRIGHT = Turn()


def display_matrix(picture: Any, stream: Any = None) -> tuple[int, ...] | None:
    """How a picture is turned for display, nine numbers as in FFmpeg; None where nothing says so.

    Args:
        picture: decoded; codecs say it as well (H.264, JPEG by its EXIF).
        stream: that it comes from; what the container says comes first.
    """
    told = stream.codec_context.coded_side_data.get("display_matrix") if stream is not None else None
    if told is None:
        told = picture.side_data.get("DISPLAYMATRIX")
        told = None if told is None else bytes(told)
    if not told or len(told) != 36:
        return None
    return tuple(int(number) for number in np.frombuffer(told, "=i4"))


def turn_of(matrix: Sequence[int] | None) -> Turn | None:
    """The turn that a display matrix stands for; None for one by another angle, or with perspective.

    Args:
        matrix: see `display_matrix`.
    """
    if matrix is None:
        return UPRIGHT
    straight, slanted = (matrix[0], matrix[4]), (matrix[1], matrix[3])
    if all(straight) and _nothing(slanted, straight):
        return Turn(False, straight[0] < 0, straight[1] < 0)
    if all(slanted) and _nothing(straight, slanted):
        return Turn(True, slanted[1] < 0, slanted[0] < 0)
    return UPRIGHT if not any(straight + slanted) else None


def _nothing(numbers: Sequence[int], beside: Sequence[int]) -> bool:
    return max(map(abs, numbers)) <= _SLANT * min(map(abs, beside))
