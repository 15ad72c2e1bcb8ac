"""The first pass over a film: its cuts, the time and a checksum of every frame, and what its shots look like.

Everything after it may then begin in mid-film: see `cursor`.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from ...color.samples import decode_luma
from ...film.remastering import context
from ...film.shots import measure_levels, sound
from ...remaster.levels import Ends, find_levels, measure
from ...remaster.lost_detection import LostDetector
from ...remaster.options import Levels
from ...remaster.scenes import CutDetector, Scenes, thumbnail
from ...remaster.window import Window
from ...video.planes import Frame
from ...video.reader import VideoReader
from .appearance import Appearance, AppearanceMeter


@dataclass(frozen=True)
class Shot:
    """Frames `first` to `last` (not included) between two cuts.

    Attributes:
        looks: what they look like.
        levels: those that would suit the whole shot, see `find_levels`; None: those it has, or only a part of it was
            looked at.
        lost: frames that look lost, see `lost_detection`.
    """

    first: int
    last: int
    looks: Appearance
    levels: Levels | None = None
    lost: tuple[int, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What one look at all frames tells.

    Attributes:
        start: first frame wanted.
        end: first frame behind those wanted; there is always one.
        low: first frame that those wanted depend on; `checks` begins here.
        times: of the frames wanted, in ticks of the film's time base.
        durations: of the frames wanted, in ticks; 0 where the file does not say.
        checks: `checksum` of the frames from `low` on, also of those behind `end` that matter.
        keys: number and time of the frames where decoding may begin; empty where it may not.
        cuts: frames that start a scene, from `low` on.
        shots: between the cuts, from `start` to `end`.
        truncated: see `VideoReader`.
        cut: see `VideoReader`.
        end_pts: see `VideoReader`.
    """

    start: int
    end: int
    low: int
    times: tuple[int, ...]
    durations: tuple[int, ...]
    checks: tuple[int, ...]
    keys: tuple[tuple[int, int], ...]
    cuts: tuple[int, ...]
    shots: tuple[Shot, ...]
    truncated: bool
    cut: bool
    end_pts: int

    @property
    def high(self) -> int:
        """First frame behind all that were looked at."""
        return self.low + len(self.checks)

    def frames(self) -> Iterator[Frame]:
        """All frames from `start` to `end`, with their times and without planes."""
        for number, (time, duration) in enumerate(zip(self.times, self.durations), self.start):
            yield Frame(number, time, [], duration or None)

    def scene(self, frame: int) -> tuple[int, int]:
        """First and last frame (not included) of the scene that a frame lies in, within what was looked at."""
        if not self.low <= frame < self.high:
            raise ValueError(f"frame {frame} was not looked at, only {self.low} to {self.high}, that not included")
        at = bisect_right(self.cuts, frame)
        return self.cuts[at - 1] if at else self.low, self.cuts[at] if at < len(self.cuts) else self.high

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Survey:
        """The survey that `to_json` told of."""
        shots = tuple(
            Shot(s["first"], s["last"], Appearance(**s["looks"]), Levels.of(s.get("levels")), tuple(s.get("lost", ())))
            for s in told["shots"]
        )
        lists = {name: tuple(told[name]) for name in ("times", "durations", "checks", "cuts")}
        keys = tuple((number, time) for number, time in told["keys"])
        fields: dict[str, Any] = {**told, **lists, "keys": keys, "shots": shots}
        return cls(**fields)


def checksum(planes: Sequence[np.ndarray]) -> int:
    """CRC-32 of the samples of a frame."""
    value = 0
    for plane in planes:
        value = zlib.crc32(np.ascontiguousarray(plane), value)
    return value


def survey_film(
    path: Path,
    start: int,
    end: int | None,
    windows: Sequence[Window],
    scenes: Scenes,
    *,
    lost: Collection[int] = (),
    fps: Fraction | None = None,
    levels: bool = False,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    check: Callable[[], None] = lambda: None,
) -> Survey:
    """Look at every frame that a part of a film depends on.

    Args:
        path: see `VideoReader`.
        start: see `VideoReader`.
        end: see `VideoReader`.
        windows: of the networks, in order.
        scenes: see `RemasterPipeline`.
        lost: frames that are known to be lost, see `CutDetector`.
        fps: see `VideoReader`.
        levels: also find those of shots that lie in the part only in part, which takes a second look at the film.
        progress: called with the frames looked at and how many there will be, None where that is not known.
        check: called for every frame; what it raises ends the work.

    Raises:
        RemasterError: see `VideoReader`.
    """
    keys: list[tuple[int, int]] = []
    times: list[int | None] = []

    def note(number: int, picture: VideoFrame) -> None:
        times.append(picture.pts)
        if picture.key_frame and not picture.is_corrupt and picture.pts is not None:
            keys.append((number, picture.pts))

    with VideoReader(path, start, end, fps=fps, notes=False) as reader:
        reader.context = context(windows, start, end)
        reader.watch = note
        low = reader.low
        detector, looking = CutDetector(low, lost), LostDetector(low)
        seen, looks = _Seen(), AppearanceMeter(reader.info)
        for frame in reader:
            check()
            seen.checks.append(checksum(frame.planes))
            luma = decode_luma(frame.planes, reader.info)
            thumb = thumbnail(luma)
            if scenes == "auto":
                detector.push(thumb)
            looking.push(thumb)
            if frame.index >= start and not reader.cut:
                assert frame.pts is not None  # a reader's frames have their times
                seen.times.append(frame.pts)
                seen.durations.append(frame.duration or 0)
                looks.push(frame, thumb)
                seen.ends.append(measure(luma))
                progress(len(seen.times), reader.expected)
        if scenes == "auto":
            detector.finish()
        last = start + reader.count
        exact = reader.seekable and not reader.truncated and all(a < b for a, b in pairwise(map(_number, times)))
        cuts = detector.cuts if scenes == "auto" else [] if scenes == "none" else sorted(set(scenes))
        cuts = [cut for cut in cuts if low < cut < low + len(seen.checks)]
        parts = _between(start, last, cuts)
        gone = [number for number in looking.finish() if number not in lost]
        edges = {*cuts, 0, *([] if reader.cut else [last])}
        found = {
            (a, b): find_levels(sound(seen.ends[a - start : b - start], a, lost)) for a, b in parts if {a, b} <= edges
        }
        if levels and len(found) < len(parts):
            whole = measure_levels(path, start, end, scenes, lost=lost, fps=fps, check=check)
            found = {(max(shot.first, start), min(shot.last, last)): shot.levels for shot in whole}
        return Survey(
            start=start,
            end=last,
            low=low,
            times=tuple(seen.times),
            durations=tuple(seen.durations),
            checks=tuple(seen.checks),
            keys=tuple(keys) if exact and not reader.info.is_folder else (),
            cuts=tuple(cuts),
            shots=tuple(
                Shot(a, b, looks.of(a - start, b - start), found.get((a, b)), tuple(n for n in gone if a <= n < b))
                for a, b in parts
            ),
            truncated=reader.truncated,
            cut=reader.cut,
            end_pts=reader.end_pts,
        )


class _Seen:
    def __init__(self) -> None:
        self.checks: list[int] = []
        self.times: list[int] = []
        self.durations: list[int] = []
        self.ends: list[Ends] = []


def _number(time: int | None) -> float:
    return float("-inf") if time is None else time


def _between(start: int, end: int, cuts: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise([start, *(cut for cut in cuts if start < cut < end), end]))
