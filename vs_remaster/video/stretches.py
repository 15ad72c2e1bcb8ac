"""Films that were put one behind the other (`cat a.ts b.ts`), and captures that paused: the clock begins anew there.

Each run of one clock is a stretch. Its first picture is shown one frame after the last of the stretch before, and
what belongs to it (sound, subtitles) is moved by as much.
"""

from __future__ import annotations

import logging
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av

from .containers import media_url
from .info import VideoInfo

log = logging.getLogger(__name__)

_BACK = Fraction(1, 10)  # seconds: less than that is a time that is wrong, not another clock
_FORWARD = 10  # seconds, as in ffmpeg (-dts_delta_threshold)
_NEAR = 50  # pictures between a join of theirs in the file and that of the sound
_AROUND = 1  # seconds round a join in which sound may lie on the other side of it in the file
_ANEW = av.format.Flags.ts_discont.value  # FFmpeg: the clock of such files may begin anew


def jumps(before: Fraction, now: Fraction) -> bool:
    """Whether a clock that showed one time and then another (both in seconds) has begun anew."""
    return now < before - _BACK or now > before + _FORWARD


@dataclass
class Stretch:
    """A run of pictures with one clock.

    Attributes:
        first: earliest time of its pictures, in ticks of the film.
        last: latest.
        shift: ticks to add to all times in it.
    """

    first: int
    last: int
    shift: int = 0


@dataclass
class Stretches:
    """All stretches of a film, and which packet belongs to which.

    Attributes:
        runs: in the order of the file; at least two.
        base: seconds a tick of their times.
        ends: by stream, how many of its packets (those that are not empty) lie in each stretch and those before.
        firsts: by stream, the earliest time in each stretch, in seconds of the film that comes out; None: it has none.
    """

    runs: list[Stretch]
    base: Fraction
    ends: dict[int, list[int]] = field(default_factory=dict)
    firsts: dict[int, list[Fraction | None]] = field(default_factory=dict)

    def place(self, stream: int, number: int) -> int:
        """The stretch of a packet, by its number among those of its stream."""
        return min(bisect_right(self.ends[stream], number), len(self.runs) - 1) if stream in self.ends else 0

    def shift(self, place: int) -> Fraction:
        """Seconds to add to the times of a stretch."""
        return self.runs[place].shift * self.base

    def limit(self, stream: int, place: int) -> Fraction | None:
        """Time at which the next stretch of a stream begins, in seconds of the film that comes out."""
        later = self.firsts.get(stream, [])[place + 1 :]
        return next((first for first in later if first is not None), None)


class _Track:
    """Times of the packets of a stream in the order of the file, and how many pictures came before each."""

    def __init__(self, stream: Any) -> None:
        self.base = Fraction(stream.time_base.numerator, stream.time_base.denominator)
        self.times, self.shown, self.pictures = array("q"), array("q"), array("q")
        self.keys = bytearray()

    def add(self, packet: av.Packet, pictures: int) -> None:
        decoded = packet.dts if packet.dts is not None else packet.pts
        last = self.times[-1] if self.times else 0
        self.times.append(last if decoded is None else decoded)
        self.shown.append(self.times[-1] if packet.pts is None else packet.pts)
        self.keys.append(packet.is_keyframe)
        self.pictures.append(pictures)


def find_stretches(info: VideoInfo, picture: int) -> Stretches | None:
    """Read a film once, without decoding, to see where its clock begins anew.

    Args:
        info: the film.
        picture: index of the stream of pictures.

    Returns:
        None where it never does, or where the file can be read only once.
    """
    if not info.path.is_file():
        return None
    with av.open(media_url(info.path)) as container:
        anew = bool(container.format.flags & _ANEW)
        sounds = [stream.index for stream in container.streams if stream.type == "audio"]
        tracks = {stream.index: _Track(stream) for stream in container.streams if stream.type != "attachment"}
        try:
            for packet in container.demux([container.streams[index] for index in tracks]):
                if packet.size:
                    tracks[packet.stream.index].add(packet, len(tracks[picture].times))
        except av.FFmpegError as error:  # the reader of the film says what is wrong with it
            log.debug("%s: the search for joins stopped: %s", info.path, error)
    joins = _joins(tracks[picture], [tracks[index] for index in sounds], anew)
    if not joins:
        return None
    found = Stretches(_runs(tracks[picture], joins, info), info.time_base)
    for index, track in tracks.items():
        found.ends[index], found.firsts[index] = _assigned(track, tracks[picture], joins, found)
    return found


def _joins(picture: _Track, sounds: Sequence[_Track], anew: bool) -> list[int]:
    """Numbers of the pictures (in the order of decoding) at which a stretch begins."""
    if not anew:  # times of decoding are FFmpeg's guess; but a key frame is shown after all before it
        return _key_joins(picture)
    return [
        number
        for number in _leaps(picture)
        if picture.times[number] < picture.times[number - 1]
        or not sounds
        or any(_sound_leaps(sound, number) for sound in sounds)
    ]


def _leaps(track: _Track) -> list[int]:
    """Numbers of the packets at which a clock begins anew; one wrong time among right ones is none."""
    times, base, found, last = track.times, track.base, [], 0
    for number in range(1, len(times)):
        if jumps(times[last] * base, times[number] * base):
            if number + 1 < len(times) and not jumps(times[last] * base, times[number + 1] * base):
                continue
            found.append(number)
        last = number
    return found


def _key_joins(picture: _Track) -> list[int]:
    found, latest = [], picture.shown[0] if picture.shown else 0
    for number, (time, key) in enumerate(zip(picture.shown, picture.keys)):
        if key and time * picture.base < latest * picture.base - _BACK:
            found.append(number)
            latest = time
        latest = max(latest, time)
    return found


def _sound_leaps(sound: _Track, picture: int) -> bool:
    """Whether a sound leaps near a picture as well: else the picture only stood still."""
    return any(abs(sound.pictures[number] - picture) < _NEAR for number in _leaps(sound))


def _runs(picture: _Track, joins: Sequence[int], info: VideoInfo) -> list[Stretch]:
    edges = [0, *joins, len(picture.shown)]
    parts = [picture.shown[a:b] for a, b in pairwise(edges)]
    runs = [Stretch(min(part), max(part)) for part in parts]
    frame = 1 / (info.fps * info.time_base)
    for number, (before, run) in enumerate(pairwise(runs), 1):
        begin = before.last + before.shift + frame
        regular = runs[0].first + edges[number] * frame  # rounding does not add up in a film of one rate
        begin = regular if abs(regular - begin) <= 2 else begin
        run.shift = round(begin) - run.first
    return runs


def _assigned(
    track: _Track, picture: _Track, joins: Sequence[int], found: Stretches
) -> tuple[list[int], list[Fraction | None]]:
    """`ends` and `firsts` of a stream."""
    firsts: list[Fraction | None] = [None] * len(found.runs)
    ends, at, own = [0] * len(found.runs), 0, _leaps(track)
    for number, time in enumerate(track.times):
        if len(own) == len(joins):
            at = bisect_right(own, number)
        else:
            at = max(at, _nearest(time * track.base, track.pictures[number], picture, joins))
        ends[at:] = [number + 1] * (len(ends) - at)
        begin = track.shown[number] * track.base + found.shift(at)
        earliest = firsts[at]
        firsts[at] = begin if earliest is None else min(earliest, begin)
    return ends, firsts


def _nearest(time: Fraction, pictures: int, picture: _Track, joins: Sequence[int]) -> int:
    """The stretch of a packet that comes behind so many pictures: that of the picture before, but near a join the one
    whose clock shows about its time."""
    place = bisect_right(joins, max(0, pictures - 1))
    now = picture.shown[max(0, pictures - 1)] * picture.base
    best, away = place, abs(time - now)
    if place:
        begin, end = (picture.shown[joins[place - 1] - back] * picture.base for back in (0, 1))
        if abs(now - begin) < _AROUND and abs(time - end) < min(away, _AROUND):
            best, away = place - 1, abs(time - end)
    if place < len(joins):
        end, begin = (picture.shown[joins[place] - back] * picture.base for back in (1, 0))
        if abs(end - now) < _AROUND and abs(time - begin) < min(away, _AROUND):
            best = place + 1
    return best
