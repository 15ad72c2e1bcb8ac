"""Timecode of SMPTE ST 12-1: the time that each frame of a film bears, also with dropped numbers."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from .info import VideoInfo

log = logging.getLogger(__name__)

KEY = "timecode"
"""FFmpeg's name for it in the metadata of a file or a stream; Matroska writes it in capitals."""

_NEAR = Fraction(1, 10_000)  # rates that were reckoned from times are a little off
_FORM = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})")


@dataclass(frozen=True)
class Timecode:
    """The time of one frame.

    With dropped numbers the first two of every minute but each tenth are left out (four at 60 frames a second), so that
    a film at 30000/1001 frames a second keeps time with the clock. No frame is dropped.

    Attributes:
        number: of the frame since midnight.
        rate: frames that are counted to a second.
        drop: numbers are dropped.
    """

    number: int
    rate: int
    drop: bool = False

    @classmethod
    def parse(cls, text: str, fps: Fraction) -> Timecode:
        """Read a timecode.

        Args:
            text: HH:MM:SS:FF, or HH:MM:SS;FF for dropped numbers.
            fps: rate of the film.

        Raises:
            InputError: not of that form, no such time, or dropped numbers at a rate that has none.
        """
        parts = _FORM.fullmatch(text.strip())
        if not parts:
            raise InputError(
                f"timecode must be HH:MM:SS:FF, or HH:MM:SS;FF for drop-frame, such as 01:00:00:00, got {text!r}"
            )
        hours, minutes, seconds, frames = (int(parts[n]) for n in (1, 2, 3, 5))
        rate, drop = max(1, round(fps)), parts[4] != ":"
        if drop and (rate % 30 or abs(fps * 1001 / 1000 - rate) > rate * _NEAR):
            raise InputError(
                f"timecode {text} is drop-frame, which a film of {fps} frames a second does not have (30000/1001 and "
                f"60000/1001 do): write {text[: parts.start(4)]}:{parts[5]}"
            )
        if hours > 23 or minutes > 59 or seconds > 59 or frames >= rate:
            raise InputError(
                f"timecode {text} does not exist at {rate} frames a second: at most 23:59:59:{rate - 1:02}"
            )
        minute = hours * 60 + minutes
        number = (minute * 60 + seconds) * rate + frames
        if not drop:
            return cls(number, rate)
        skipped = rate // 15
        if minutes % 10 and not seconds and frames < skipped:
            raise InputError(
                f"timecode {text} does not exist: drop-frame goes from {hours:02}:{minutes - 1:02}:59;{rate - 1} to "
                f"{hours:02}:{minutes:02}:00;{skipped:02}"
            )
        return cls(number - skipped * (minute - minute // 10), rate, True)

    def __add__(self, frames: int) -> Timecode:
        """The time that many frames later; behind the last of a day comes midnight."""
        day = 24 * 3600 * self.rate - (self.rate // 15 * 9 * 144 if self.drop else 0)
        return replace(self, number=(self.number + frames) % day)

    def fields(self) -> tuple[int, int, int, int]:
        """(hours, minutes, seconds, frames) as they are shown."""
        number = self.number
        if self.drop:
            skipped = self.rate // 15
            tens, rest = divmod(number, 600 * self.rate - 9 * skipped)
            number += 9 * skipped * tens
            if rest >= skipped:
                number += (rest - skipped) // (60 * self.rate - skipped) * skipped
        seconds, frames = divmod(number, self.rate)
        return seconds // 3600, seconds // 60 % 60, seconds % 60, frames

    def __str__(self) -> str:
        hours, minutes, seconds, frames = self.fields()
        return f"{hours:02}:{minutes:02}:{seconds:02}{';' if self.drop else ':'}{frames:02}"


def stored_timecode(entries: Iterable[Mapping[str, str]]) -> str | None:
    """The first timecode in the metadata of a file and its streams, as it is written there."""
    return next((text for data in entries for key, text in data.items() if key.lower() == KEY and text), None)


def first_timecode(info: VideoInfo, start: int, wanted: str | None) -> Timecode | None:
    """The timecode of the first frame that is written.

    Args:
        info: the film, which may have one of its own.
        start: number of that frame in the film.
        wanted: what it shall be; None for the film's own, `start` frames later.

    Returns:
        None where neither says; a film's own that does not fit its rate is warned of.

    Raises:
        InputError: `wanted` is no timecode of this film.
    """
    if wanted is not None:
        return Timecode.parse(wanted, info.fps)
    if info.timecode is None:
        return None
    try:
        return Timecode.parse(info.timecode, info.fps) + start
    except InputError as error:
        log.warning("%s: its timecode is left out (%s)", info.path, error)
        return None
