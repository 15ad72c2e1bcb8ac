"""Reading film: any video that PyAV decodes, or a folder of pictures, frame by frame from the start.

Frames are counted as they are decoded. There is no seeking by number: that returns other frames in files of variable
frame rate, in MPEG-TS and wherever an index is wrong. Only who has seen the whole film, and compares every frame with
what it was then, may begin at a key frame (`VideoReader.decode`).
"""

from __future__ import annotations

import heapq
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame

from .color import h273_matrix
from .containers import declared_size, media_url, reason
from .encode import VideoWriter
from .errors import InputError, UnsupportedError
from .film import INEXACT_MATRIX, ColorTags, VideoInfo, describe_samples
from .pictures import BOUNDED, PICTURE_RATE, PICTURE_SUFFIXES, PictureFolder
from .planes import Frame, pixel_layout, planes_of
from .stretches import Stretch, find_stretches, jumps
from .timecode import stored_timecode

__all__ = ["PICTURE_SUFFIXES", "ColorTags", "Frame", "VideoInfo", "VideoReader", "VideoWriter"]

log = logging.getLogger(__name__)


class VideoReader:
    """Reads the frames of a film one after the other; iterate once.

    Args:
        path: a video, or a folder of pictures of one size (natural order).
        start: first frame of the part that is wanted, counted from 0.
        end: first frame behind that part; None for all there are.
        notes: warn of what is unusual about the film; False where that has been said.

    Attributes:
        info: see `VideoInfo`.
        start: as given.
        end: as given.
        context: frames to deliver before `start` and after `end` as well, for networks that look at neighbours; to be
            set before iteration. They do not count below.
        count: frames delivered so far.
        truncated: the file ends early or is damaged; known when iteration has ended.
        cut: iteration ended because `end` was reached, so there may be more film behind it.
        watch: called with the number and the decoded picture of every frame that iteration meets, wanted or not.
        first_pts: time of the first delivered frame, None before there is one.
        end_pts: time at which the last delivered frame ends.

    Raises:
        InputError: missing, not a video, no video stream, no frame, an empty range; while iterating: `start` lies
            behind the end, a picture that cannot be read.
        UnsupportedError: no decoder for it, or the size or format changes on the way.
    """

    def __init__(self, path: Path | str, start: int = 0, end: int | None = None, *, notes: bool = True) -> None:
        if start < 0 or (end is not None and end <= start):
            raise InputError(
                f"no frames from {start} to {end}: start must be 0 or more and end, which is not included, above it"
            )
        self.start, self.end = start, end
        self.context = (0, 0)
        self.count = 0
        self.truncated = self.cut = False
        self.first_pts: int | None = None
        self.end_pts = 0
        self.watch: Callable[[int, VideoFrame], None] | None = None
        path = Path(path)
        if not path.exists():
            raise InputError(f"no such file or folder: {path}")
        self._source: _File | PictureFolder = PictureFolder(path) if path.is_dir() else _File(path)
        try:
            self._pictures = self._source.pictures()
            first = next(self._pictures, None)
            if first is None:
                raise InputError(f"{path} has no video frames that can be decoded: is the file whole?")
            self.info = self._source.describe(first)
        except BaseException:
            self.close()
            raise
        self._pending: VideoFrame | None = first
        if notes:
            self._note_format(first)

    @property
    def expected(self) -> int | None:
        """How many frames will be delivered, by what the file promises; None where it promises nothing."""
        if self.info.frames is None:
            return None if self.end is None else self.end - self.start
        return max(0, min(self.info.frames, self.info.frames if self.end is None else self.end) - self.start)

    @property
    def seekable(self) -> bool:
        """Whether the times met so far are the file's own, so that a frame can be found by its time."""
        return self._source.own_times

    @property
    def stream(self) -> Any | None:
        """PyAV's stream that the frames come from; None for a folder."""
        return getattr(self._source, "stream", None)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def __iter__(self) -> Iterator[Frame]:
        clock = _Clock(self.info, self.stream.index if self.stream else None)
        lead, trail = self.context
        number = 0
        while (picture := self._next()) is not None:
            self.cut = self.end is not None and number >= self.end
            if self.end is not None and number >= self.end + trail:
                return
            if self.watch:
                self.watch(number, picture)
            pts, duration = clock.time(picture)
            if number >= self.start - lead:
                self._check(picture, number)
                if self.start <= number and not self.cut:
                    self.first_pts = pts if self.first_pts is None else self.first_pts
                    self.end_pts = pts + (duration or clock.step)
                    self.count += 1
                yield Frame(number, pts, self._source.planes(picture), duration)
            number += 1
        self._finish(number, clock)

    def decode(self, key: tuple[int, int] | None = None, aims: Sequence[int] = ()) -> Iterator[tuple[int, VideoFrame]]:
        """Number and picture of every frame, instead of iterating: nothing is checked, and times are not looked at.

        Args:
            key: number and time of a key frame, as `watch` was shown them; decoding begins there. None: at the first
                frame.
            aims: times to seek to, in turn, until that frame is met; those of some key frames from it back.

        Returns:
            An iterator, empty where no frame of that time is found. A seek promises nothing: what is delivered has to
            be compared with what the frames were when the film was decoded from its start.
        """
        if key is None:
            pictures, number = iter(self._next, None), 0
        else:
            number = key[0]
            pictures = self._source.pictures_from(*key, aims)
        return enumerate(pictures, number)

    def planes(self, picture: VideoFrame) -> list[np.ndarray]:
        """The planes of a picture that `decode` gave, see `Frame`."""
        return self._source.planes(picture)

    def _next(self) -> VideoFrame | None:
        picture, self._pending = self._pending, None
        return picture if picture is not None else next(self._pictures, None)

    def _finish(self, number: int, clock: _Clock) -> None:
        path = self.info.path
        if not self.count:
            raise InputError(f"{path} has {number} frames, none from frame {self.start} on: choose an earlier start")
        if clock.repaired:
            log.warning(
                "%s: %d frames had a time not later than the frame before and were moved just behind it",
                path,
                clock.repaired,
            )
        damage = self._source.damage()
        if damage:
            self.truncated = True
            promised = self.info.frames
            of = f" of about {promised}" if promised and promised > number else ""
            log.warning("%s is %s: %d%s whole frames could be read", path, damage, number, of)

    def _check(self, picture: VideoFrame, number: int) -> None:
        info = self.info
        if (picture.width, picture.height) != (info.width, info.height):
            raise UnsupportedError(
                f"{self._source.name(number)}: the size changes from {info.width}x{info.height} to "
                f"{picture.width}x{picture.height}: process the parts one by one (--start, --end)"
            )
        if picture.format.name != info.pix_fmt and not self._source.fits(picture):
            raise UnsupportedError(
                f"{self._source.name(number)}: the pixel format changes from {info.pix_fmt} to {picture.format.name}: "
                "process the parts one by one (--start, --end)"
            )

    def _note_format(self, first: VideoFrame) -> None:
        info, layout = self.info, pixel_layout(self.info.pix_fmt)
        if layout.alpha:
            log.warning("%s has an alpha channel (%s), which is dropped", info.path, info.pix_fmt)
        if layout.converted:
            log.warning("%s is %s, which is read as %d-bit %s", info.path, info.pix_fmt, info.bits, info.kind)
        tag = info.tags.matrix
        if info.kind == "yuv" and tag not in (0, 2) and h273_matrix(tag, info.tags.primaries) is None:
            name = INEXACT_MATRIX.get(tag, f"matrix {tag}")
            log.warning(
                "%s is tagged %s, which is taken for %s: colours may be slightly off", info.path, name, info.matrix
            )
        if info.interlaced:
            log.warning("%s is interlaced; its frames are treated as whole pictures: deinterlace it first", info.path)


class _Clock:
    """Gives every frame a time that is later than the one before; where the film's clock begins anew, it goes on.

    Args:
        info: the film.
        stream: index of its pictures in the file, None for a folder.
    """

    def __init__(self, info: VideoInfo, stream: int | None) -> None:
        self.step = max(1, round(1 / (info.fps * info.time_base)))
        self.repaired = 0
        self._info, self._stream = info, stream
        self._last: int | None = None
        self._shift = 0
        self._runs: list[Stretch] | None = None  # from the one that we are in; None: not looked for yet

    def time(self, picture: VideoFrame) -> tuple[int, int | None]:
        duration = picture.duration or None
        pts = picture.pts
        if pts is not None:
            pts = self._moved(pts)
        if self._last is None:
            pts = pts or 0
        elif pts is None:
            pts = self._last + self.step
        elif pts <= self._last:
            self.repaired += 1
            pts = self._last + 1
        self._last = pts
        return pts, duration

    def _moved(self, pts: int) -> int:
        base, moved = self._info.time_base, pts + self._shift
        if self._stream is None or self._last is None or not jumps(self._last * base, moved * base):
            return moved
        if self._runs is None:
            found = find_stretches(self._info, self._stream)
            self._runs = found.runs if found else []
            if found:
                log.warning(
                    "%s: its clock begins anew (%d times), as in joined captures: the film goes on there, one frame "
                    "after the other, and what belongs to it is moved as well", self._info.path, len(found.runs) - 1,
                )  # fmt: skip
        stays = moved > self._last and any(run.first <= pts <= run.last for run in self._runs[:1])
        for number, run in enumerate(self._runs[1:], 1):
            if run.first <= pts <= run.last and not stays:
                self._shift = run.shift
                del self._runs[:number]
                return pts + run.shift
        return moved


class _File:
    """The frames of a video file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._errors = 0
        self._incomplete = False
        self._stamps: list[int] = []  # times of packets whose frames are still to come, a heap
        self.own_times = True
        try:
            self.container = av.open(media_url(path), options=BOUNDED)
        except PermissionError as error:
            raise InputError(f"cannot read {path}: permission denied") from error
        except av.EOFError as error:
            raise InputError(f"{path} holds no frames: the file ends before the first") from error
        except (av.FFmpegError, OSError, ValueError) as error:
            cut_off = (declared_size(path) or 0) > path.stat().st_size
            why = "it was cut off before its index" if cut_off else reason(error)
            raise InputError(f"{path} is not a video that can be read ({why})") from error
        # AVI stores no times of presentation; FFmpeg makes them up, in the wrong order where there are B-frames.
        self._made_up_times = self.container.format.name == "avi"
        try:
            self.stream = self._choose()
        except BaseException:
            self.container.close()
            raise

    def _choose(self) -> Any:
        if self.container.format.name in (
            "tty",
            "bin",
            "xbin",
            "adf",
            "idf",
        ):  # text files "decode" to pictures of their text
            raise InputError(f"{self.path} is not a video: it is read as text")
        films = [s for s in self.container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not films:
            raise InputError(f"{self.path} has no video stream")
        stream = next((s for s in films if s.disposition & av.stream.Disposition.default), films[0])
        if stream.codec_context is None:
            raise UnsupportedError(
                f"{self.path}: there is no decoder for its video codec: convert it with ffmpeg first"
            )
        stream.thread_type = "AUTO"
        stream.codec_context.options = BOUNDED
        return stream

    def pictures(self) -> Iterator[VideoFrame]:
        """Decode; a frame that is damaged is delivered unless it is the last, which is only a part of one."""
        held: VideoFrame | None = None
        for picture in self._decode():
            if held is not None:
                yield held
            held = picture if picture.is_corrupt else None
            if held is None:
                yield picture
        self._errors += held is not None

    def pictures_from(self, number: int, pts: int, aims: Sequence[int]) -> Iterator[VideoFrame]:
        """Decode from the key frame of a time on; nothing where it is not found. Some seeks lead behind what they were
        asked for, so `aims` are tried one after the other."""
        for aim in aims:
            try:
                self.container.seek(aim, stream=self.stream)
            except (av.FFmpegError, OSError) as error:
                log.debug("%s: seek to %d: %s", self.path, aim, error)
                continue
            found = False
            for picture in self.pictures():
                found = found or picture.pts == pts
                if found:
                    yield picture
                elif picture.pts is not None and picture.pts > pts:
                    break
            if found:
                return

    def _decode(self) -> Iterator[VideoFrame]:
        held = None
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError as error:
                log.debug("%s: demuxing stopped: %s", self.path, error)
                self._incomplete = True
                break
            if held is not None and packet.size:
                yield from self._frames_of(held)
                held = None
            # A packet cut off by the end of the file is no whole frame; one damaged on the way still counts as one.
            if packet.is_corrupt:
                self._errors += 1
                held = packet
            elif packet.size or held is None:
                yield from self._frames_of(packet)
        try:
            yield from (self._timed(picture) for picture in self.stream.decode(None))
        except (av.FFmpegError, EOFError, ValueError) as error:
            log.debug("%s: flushing: %s", self.path, error)

    def _frames_of(self, packet: av.Packet) -> list[VideoFrame]:
        if not packet.size:
            return []
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None and (packet.pts is None or self._made_up_times):
            heapq.heappush(self._stamps, stamp)
            self.own_times = False
        try:
            return [self._timed(picture) for picture in packet.decode()]
        except (av.FFmpegError, ValueError) as error:  # ValueError: its decoder could not be opened
            log.debug("%s: packet at %s: %s", self.path, packet.pts, error)
            self._errors += 1
            if stamp in self._stamps:
                self._stamps.remove(stamp)
                heapq.heapify(self._stamps)
            return []

    def _timed(self, picture: VideoFrame) -> VideoFrame:
        """Where times are those of decoding, the frame that is shown next has the earliest that is left."""
        if self._stamps and (picture.pts is None or self._made_up_times):
            picture.pts = heapq.heappop(self._stamps)
        return picture

    def damage(self) -> str | None:
        promised = declared_size(self.path)
        if self._incomplete or (promised is not None and promised > self.path.stat().st_size):
            return "truncated"
        return f"damaged in {self._errors} places" if self._errors > 1 else "damaged" if self._errors else None

    def planes(self, picture: VideoFrame) -> list[np.ndarray]:
        return planes_of(picture)

    def fits(self, picture: VideoFrame) -> bool:
        return False

    def name(self, number: int) -> str:
        return f"{self.path}, frame {number}"

    def describe(self, first: VideoFrame) -> VideoInfo:
        stream = self.stream
        fps = next((r for r in (stream.average_rate, stream.guessed_rate, stream.base_rate) if r), PICTURE_RATE)
        fps = Fraction(fps.numerator, fps.denominator)
        time_base = Fraction(stream.time_base.numerator, stream.time_base.denominator)
        sar = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        matrix = stream.codec_context.coded_side_data.get("display_matrix")
        others = (s for s in self.container.streams if s.type == "data")
        numbers = tuple(int(n) for n in np.frombuffer(matrix, "=i4")) if matrix and len(matrix) == 36 else None
        return VideoInfo(
            path=self.path,
            width=first.width,
            height=first.height,
            sar=Fraction(sar.numerator, sar.denominator) if sar else Fraction(1),
            fps=fps,
            time_base=time_base,
            frames=self._promised(fps, time_base),
            display_matrix=numbers,
            interlaced=first.interlaced_frame,
            has_audio=bool(self.container.streams.audio),
            timecode=stored_timecode([stream.metadata, self.container.metadata, *(s.metadata for s in others)]),
            **describe_samples(first, pixel_layout(first.format.name), stream.codec_context.name),
        )

    def _promised(self, fps: Fraction, time_base: Fraction) -> int | None:
        if self.stream.frames:
            return self.stream.frames
        tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", self.stream.metadata.get("DURATION", ""))
        if tag:  # Matroska
            seconds = int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])
        elif self.stream.duration:
            seconds = self.stream.duration * time_base
        elif self.container.duration:
            seconds = Fraction(self.container.duration, av.time_base)
        else:
            return None
        return round(seconds * fps) or None

    def close(self) -> None:
        self.container.close()
