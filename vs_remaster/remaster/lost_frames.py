"""Frames that are lost (torn, spliced, black, garbage) are made anew from those around them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..models.layers import Halo
from .interpolation import Gap, Sound
from .scenes import entries_of
from .window import Window

MOST = 4
"""Lost frames in a row that can be made anew."""

_FARTHER = 2  # frames beyond the nearest sound one in which is looked for another on that side
_BLOCK = 4
_RANGE = r"\s*\d{1,9}\s*(-\s*\d{1,9}\s*)?"
_NUMBERS = re.compile(rf"{_RANGE}(,{_RANGE})*", re.ASCII)
_MISTYPED = re.compile(r"[\d\s,.=+-]*", re.ASCII)  # what can only be meant as numbers
_LONGEST = 10_000

type Picture = tuple[Tensor, Tensor | None]
"""Luma `[1, H, W]`, 0..1, and chroma `[2, H, W]` or None."""


class FrameMaker:
    """Makes lost frames from the sound ones next to them in their scene, on both sides where there are any.

    At a scene's start and end, where there are sound frames on one side only, their motion is continued. What a lost
    frame shows never matters.

    Attributes:
        window: frames looked at at once.
    """

    def __init__(self, block: int = _BLOCK) -> None:
        """Args: block: frames made at once."""
        self.window: Window = Window(before=MOST + _FARTHER, after=MOST + _FARTHER, block=block)

    @torch.inference_mode()
    def process(self, frames: Sequence[tuple[Tensor, Tensor | None, bool]], halo: Halo) -> list[Picture]:
        """Make the lost frames of one window, which lies in one scene.

        Args:
            frames: luma `[1, H, W]`, 0..1, chroma `[2, H, W]` or None, and whether the frame is lost.
            halo: how many frames at either end are context only.

        Returns:
            Luma and chroma of each frame that is no halo; sound ones as they came.

        Raises:
            InputError: more than MOST lost frames in a row, or no sound frame near enough in the scene.
        """
        kept = range(len(frames))[halo.kept(len(frames))]
        made: list[Picture] = [frames[time][:2] for time in kept]
        for first, end in _runs(time for time, frame in enumerate(frames) if frame[2]):
            wanted = [time for time in range(first, end) if time in kept]
            if not wanted:
                continue
            if end - first > MOST:
                raise InputError(f"{end - first} or more lost frames in a row; at most {MOST} can be made anew")
            before, after = _sound(frames, first - 1, -1), _sound(frames, end, 1)
            if not before and not after:
                raise InputError("all frames of a scene are lost; leave out a cut beside it, or cut it out of the film")
            gap = Gap(before, after)
            for time in wanted:
                made[time - kept.start] = _picture(gap.at(time), frames[time])
        return made


def check_lost(lost: Collection[int], cuts: Iterable[int] = (), length: int | None = None) -> None:
    """Refuse lost frames that cannot be made anew, before any work is done.

    Args:
        lost: their numbers.
        cuts: numbers of the frames that start a scene.
        length: frames of the film; None: not known.

    Raises:
        InputError: more than MOST in a row in one scene, or a scene without a sound frame.
    """
    edges = sorted({0, *cuts} | (set() if length is None else {length}))
    starts = set(edges)
    for first, end in _runs(sorted(lost)):
        parts = [first, *(edge for edge in edges if first < edge < end), end]
        for start, stop in pairwise(parts):
            named = f"frames {start} to {stop - 1} are lost" if stop - start > 1 else f"frame {start} is lost"
            if stop - start > MOST:
                raise InputError(
                    f"{named}, {stop - start} in a row; at most {MOST} in a row can be made anew: cut them out of the "
                    "film, or leave them as they are"
                )
            if {start, stop} <= starts:
                inside = " or ".join(str(edge) for edge in (start, stop) if edge not in (0, length))
                leave = f"leave out the cut at {inside} (a job begun with these frames has none), or " if inside else ""
                raise InputError(
                    f"{named}, and the scene has no other frame that it could be made from: {leave}cut the scene out "
                    "of the film"
                )


def check_within(lost: Iterable[int], length: int | None) -> None:
    """Refuse lost frames that a film of so many frames has not; None: that is not known.

    Raises:
        InputError: with the first.
    """
    beyond = [] if length is None else [number for number in sorted(lost) if number >= length]
    if beyond:
        raise InputError(f"bad frame {beyond[0]} is not there: the film has {length} frames, 0 to {(length or 0) - 1}")


def parse_lost(text: str) -> tuple[int, ...]:
    """Read numbers of lost frames: `120,341-343`, or the name of a text file with such numbers, one or more a line;
    what follows a # is left out. 343 is lost too.

    Raises:
        InputError: anything else, with the place.
    """
    lines = [(0, text)]
    if not text.strip():
        raise InputError(f"bad frames is empty ({text!r}): give frame numbers such as 120,341-343, or leave it out")
    if not _NUMBERS.fullmatch(text) and not (_MISTYPED.fullmatch(text) and not Path(text).exists()):
        lines = list(entries_of(text, "bad frames file"))
    found: set[int] = set()
    for number, line in lines:
        where = f"bad frames file {text!r}, line {number}: " if number else "bad frames: "
        if not _NUMBERS.fullmatch(line):
            raise InputError(f"{where}{line[:40]!r} must be frame numbers such as 120,341-343")
        for part in line.split(","):
            first, _, last = part.partition("-")
            low, high = int(first), int(last or first)
            if not low <= high < low + _LONGEST:
                raise InputError(
                    f"{where}{part.strip()!r} must be FIRST-LAST, the lower number first, of {_LONGEST} frames at most"
                )
            found.update(range(low, high + 1))
    if not found:
        raise InputError(f"bad frames file {text!r} holds no numbers: give some, such as 120,341-343, or leave it out")
    return tuple(sorted(found))


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of ascending numbers, each from its first to its last, that not included."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1] = runs[-1][0], number + 1
        else:
            runs.append((number, number + 1))
    return runs


def _sound(frames: Sequence[tuple[Tensor, Tensor | None, bool]], nearest: int, way: int) -> list[Sound]:
    """The sound frame next to a gap and the next one beyond it, if they exist."""
    reach = range(nearest, nearest + way * (_FARTHER + 1), way)
    times = [time for time in reach if 0 <= time < len(frames) and not frames[time][2]][:2]
    return [Sound(time, _planes(*frames[time][:2])) for time in times]


def _planes(luma: Tensor, chroma: Tensor | None) -> np.ndarray:
    """`[H, W, C]`."""
    planes = luma if chroma is None else torch.cat([luma, chroma])
    return np.ascontiguousarray(planes.float().cpu().permute(1, 2, 0).numpy())


def _picture(planes: np.ndarray, like: tuple[Tensor, Tensor | None, bool]) -> Picture:
    luma, chroma = like[:2]
    made = torch.from_numpy(planes).permute(2, 0, 1).to(luma).contiguous()
    return made[:1], None if chroma is None else made[1:].to(chroma)
