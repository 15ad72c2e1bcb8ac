"""What MXF (operational pattern 1a) asks of a film: one constant rate, from the first frame on."""

from __future__ import annotations

import logging
import struct
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from ..errors import InputError
from ..video.containers import media_url
from ..video.info import VideoInfo
from ..video.planes import Frame
from ..video.stretches import find_stretches

log = logging.getLogger(__name__)

# SMPTE ST 377-1 leaves the rate open; these are the ones that programs are known to take.
_RATES = (
    *(Fraction(rate * 1000, 1001) for rate in (24, 30, 60, 120)),
    *(Fraction(rate) for rate in (24, 25, 30, 48, 50, 60, 100, 120)),
)
_NEAR = Fraction(1, 10_000)  # 24 and 24000/1001 are ten times as far apart
_TOLERANCE = Fraction(2, 1000)  # seconds: Matroska and others round times to a millisecond


def mxf_rate(info: VideoInfo) -> Fraction:
    """The rate at which a film is written: that of the file, or the exact one that it stands for.

    Args:
        info: the film; files that only have times give a rate that is a little off.
    """
    near = min(_RATES, key=lambda rate: abs(rate - info.fps))
    if abs(near - info.fps) <= near * _NEAR:
        return near
    log.warning(
        "%s has %s frames a second, which MXF holds but not every program takes: use .mkv or .mov if yours does not",
        info.path,
        info.fps,
    )
    return info.fps


class ConstantTiming:
    """Numbers the frames of a film whose rate is constant, for a container that stores no times.

    Args:
        info: the film.
        rate: frames a second that are written.
        first: time of the first frame, in ticks of the film.

    Attributes:
        base: seconds a tick of the output: one frame.
        count: frames so far.
    """

    def __init__(self, info: VideoInfo, rate: Fraction, first: int) -> None:
        self._info, self._first = info, first * info.time_base
        self.base = 1 / rate
        self.count = 0

    def __call__(self, frame: Frame) -> tuple[int, int]:
        """(time, duration) of the next frame, in ticks of the output.

        Raises:
            InputError: it is not shown when it should be.
        """
        away = (frame.pts or 0) * self._info.time_base - self._first - self.count * self.base
        if abs(away) > max(_TOLERANCE, self._info.time_base):
            raise _varies(self._info, frame.index, away)
        self.count += 1
        return self.count - 1, 1


def check_constant(info: VideoInfo, stream: int, rate: Fraction, start: int, end: int | None) -> None:
    """Refuse a film of variable rate before any work is done: its file is read once, without decoding.

    What a file does not say of its times is left to `ConstantTiming`.

    Args:
        info: the film.
        stream: index of its pictures in the file.
        rate: frames a second that will be written.
        start: first frame of the part that is wanted.
        end: first frame behind it, None for all there are.

    Raises:
        InputError: the rate varies.
    """
    times = _packet_times(info.path, stream)
    try:
        _check_times(info, rate, times[start:end], start)
    except InputError:
        found = find_stretches(info, stream)
        if found is None:
            raise
        moved = _packet_times(info.path, stream, [run.shift for run in found.runs], found.ends[stream])
        _check_times(info, rate, moved[start:end], start)


def _check_times(info: VideoInfo, rate: Fraction, times: list[int], start: int) -> None:
    timing = ConstantTiming(info, rate, times[0] if times else 0)
    for number, time in enumerate(times, start):
        timing(Frame(number, time, []))


def _packet_times(path: Path, stream: int, shifts: Sequence[int] = (0,), ends: Sequence[int] = ()) -> list[int]:
    """Times of the packets of a stream, ascending; none where the file does not say all. Each shift is added to the
    packets from the end before it on."""
    times: list[int] = []
    with av.open(media_url(path)) as container:
        try:
            for packet in container.demux(container.streams[stream]):
                if not packet.size:
                    continue
                if packet.pts is None:
                    return []
                times.append(packet.pts + shifts[min(bisect_right(ends, len(times)), len(shifts) - 1)])
        except av.FFmpegError as error:  # the reader of the film will say what is wrong with it
            log.debug("%s: the check of its times stopped: %s", path, error)
    return sorted(times)


def _varies(info: VideoInfo, number: int, away: Fraction) -> InputError:
    side = "late" if away > 0 else "early"
    return InputError(
        f"{info.path} has a variable rate (frame {number} is {abs(float(away)):.3f} s {side} "
        f"for {float(info.fps):.5g} frames a second), which .mxf cannot hold: end the output in .mkv or .mov"
    )


def set_mxf_aspect(path: Path, info: VideoInfo) -> bool:
    """Write a film's aspect ratio into the header of an MXF file: for DNxHR FFmpeg takes pixels for square.

    Args:
        path: a finished file.
        info: the film.

    Returns:
        Whether the header says it now.
    """
    shown = info.width * info.sar / info.height
    tag = b"\x32\x0e\x00\x08"  # AspectRatio of the picture's descriptor: SMPTE ST 377-1, annex F
    with path.open("r+b") as file:
        at = file.read(1 << 16).find(tag)
        if at < 0:
            return False
        file.seek(at + len(tag))
        file.write(struct.pack(">ii", shown.numerator, shown.denominator))
    return True
