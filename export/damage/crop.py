"""Where the picture of a clip lies in the whole frame that it was cut from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from export.damage.chance import Draw

NOMINAL_LINES = 400  # sizes and counts of damage are given for a frame of so many lines, 4:3


class Crop(NamedTuple):
    """One clip of a batch, and where its pictures lie in whole frames; all in pixels.

    Attributes:
        clip: number in the batch.
        frames: how many it has.
        height, width: of its pictures.
        frame_height, frame_width: of the whole frame.
        top, left: of the picture in the frame.
        unit: pixels for one pixel of a frame of `NOMINAL_LINES`.
        area: size of the frame in 4:3 frames of as many lines: counts grow with it.
    """

    clip: int
    frames: int
    height: int
    width: int
    frame_height: float
    frame_width: float
    top: float
    left: float
    unit: float
    area: float

    @classmethod
    def somewhere(cls, draw: Draw, clip: int, frames: int, size: tuple[int, int], lines: float) -> Crop:
        """Put the pictures, of height and width `size`, somewhere in a 4:3 frame of `lines`, in three of four cases at
        its border, which is else too rare; with as short an edge they are whole frames themselves."""
        height, width = size
        whole = lines <= min(height, width)
        down, across = (height, width) if whole else (max(lines, height), max(lines * 4 / 3, width))
        u = np.clip(2 * draw.random_sample(2) - 0.5, 0, 1)
        area = down * across / (lines * lines * 4 / 3)
        top, left = u[0] * (down - height), u[1] * (across - width)
        return cls(clip, frames, height, width, down, across, top, left, lines / NOMINAL_LINES, area)
