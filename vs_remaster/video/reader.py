"""Reading film: any video that PyAV decodes, or a folder of pictures, frame by frame from the start.

Frames are counted as they are decoded. There is no seeking by number: that returns other frames in files of variable
frame rate, in MPEG-TS and wherever an index is wrong. Only who has seen the whole film, and compares every frame with
what it was then, may begin at a key frame (`VideoReader.decode`).
"""

from __future__ import annotations

import contextlib
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
from av.stream import Disposition
from av.video.frame import VideoFrame

from ..color.matrices import h273_matrix
from ..errors import InputError, UnsupportedError
from ..system.inputs import check_input
from .containers import declared_size, is_joined, media_url, reason
from .folder import BOUNDED, PICTURE_RATE, PictureFolder
from .info import INEXACT_MATRIX, VideoInfo, describe_samples, turned
from .planes import Frame, pixel_layout, planes_of
from .rotation import UPRIGHT, display_matrix, turn_of
from .stretches import Stretch, find_stretches, jumps
from .timecode import stored_timecode

log = logging.getLogger(__name__)

THREADS = 0
"""That decode a frame together; 0: one a core. Never several frames at a time: PyAV loses those that are under way
behind a damaged one when the film ends."""
_MOST_FRAMES = 1 << 31
_NO_TIMES = av.format.Flags.no_timestamps.value
_PICTURES = ("_pipe", "image2")  # pictures one behind the other: FFmpeg counts 25 to a second
_A_FRAME_A_PACKET = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "vp9", "av1", "libdav1d"})
"""Of these, unless fields are coded, every packet of a container gives a frame."""
_FIELDS = (2, 3, 4, 5)  # of FFmpeg's AVFieldOrder: all but progressive and unknown
_SLACK = Fraction(1, 5)  # seconds
_RAW_RATE = Fraction(25)
_RATES = 1, 1000  # what a rate in the header of a raw stream may be
_NEAR = Fraction(1, 10_000)  # 24 and 24000/1001 are ten times as far apart
_HDR = {
    "MASTERING_DISPLAY_METADATA": "mastering display",
    "CONTENT_LIGHT_LEVEL": "content light level",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DOVI_METADATA": "Dolby Vision",
}


class VideoReader:
    """Reads the frames of a film one after the other, upright; iterate once.

    Args:
        path: a video, or a folder of pictures of one size (natural order).
        start: first frame of the part that is wanted, counted from 0.
        end: first frame behind that part; None for all there are.
        fps: frames a second of a film that has no times of its own: a raw stream, a folder of pictures; None: what its
            header says, or 25, and 24 for pictures.
        notes: warn of what is unusual about the film; False where that has been said.

    Attributes:
        info: see `VideoInfo`.
        start: as given.
        end: as given.
        context: frames to deliver before `start` and after `end` as well, for networks that look at neighbours; to be
            set before iteration. They do not count below. What has another size or format than the frame at `start` is
            left out, and what lies beyond it, as if the film began or ended there.
        count: frames delivered so far.
        truncated: the file ends early or is damaged; known when iteration has ended.
        cut: iteration ended because `end` was reached, so there may be more film behind it.
        watch: called with the number and the decoded picture of every frame that iteration meets, wanted or not.
        first_pts: time of the first delivered frame, None before there is one.
        end_pts: time at which the last delivered frame ends.

    Raises:
        InputError: missing, a pipe, not a video, no video stream, no frame, an empty range, a rate for a film that has
            times; while iterating: `start` lies behind the end, a picture that cannot be read.
        UnsupportedError: no decoder for it, or the size or format changes on the way.
    """

    def __init__(
        self,
        path: Path | str,
        start: int = 0,
        end: int | None = None,
        *,
        fps: Fraction | None = None,
        notes: bool = True,
    ) -> None:
        if start < 0 or (end is not None and end <= start):
            to = "the end" if end is None else end
            raise InputError(
                f"no frames from {start} to {to}: start must be 0 or more and end, which is not included, above it"
            )
        if start > _MOST_FRAMES:
            raise InputError(f"no film has a frame {start}: choose an earlier start")
        self.start, self.end = start, end
        self.context = (0, 0)
        self.count = 0
        self.truncated = self.cut = False
        self.first_pts: int | None = None
        self.end_pts = 0
        self.watch: Callable[[int, VideoFrame], None] | None = None
        path = Path(path)
        check_input(path, film=True)
        self._source: _VideoFile | PictureFolder = PictureFolder(path) if path.is_dir() else _VideoFile(path)
        try:
            if fps is not None and self._source.timed:
                raise InputError(f"{path} has times of its own: a rate (--fps) is for films that have none")
            self._pictures = self._source.pictures()
            first = next(self._pictures, None)
            if first is None:
                raise InputError(f"{path} has no video frames that can be decoded: is the file whole?")
            self.info = self._source.describe(self._source.at(start, first), fps)
        except BaseException:
            self.close()
            raise
        self._pending: VideoFrame | None = first
        if notes:
            self._note_format(first, fps)

    @property
    def expected(self) -> int | None:
        """How many frames will be delivered, by what the file promises; None where it promises nothing."""
        if self.info.frames is None:
            return None if self.end is None else self.end - self.start
        return max(0, min(self.info.frames, self.info.frames if self.end is None else self.end) - self.start)

    @property
    def low(self) -> int:
        """The first frame that iteration will deliver, `context` included."""
        return self._source.like_from(max(0, self.start - self.context[0]), self.start)

    @property
    def timed(self) -> bool:
        """Whether the film has times of its own."""
        return self._source.timed

    @property
    def seekable(self) -> bool:
        """Whether the times met so far are the file's own, so that a frame can be found by its time."""
        return self._source.own_times

    @property
    def stream(self) -> Any | None:
        """PyAV's stream that the frames come from; None for a folder."""
        return self._source.stream

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
        low, trail = self.low, self.context[1]
        number = 0
        while (picture := self._next()) is not None:
            self.cut = self.end is not None and number >= self.end
            if self.end is not None and number >= self.end + trail:
                return
            if self.watch:
                self.watch(number, picture)
            pts, duration = clock.time(picture)
            if number >= low:
                if self.cut and not self.alike(picture):
                    return
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

    def alike(self, picture: VideoFrame) -> bool:
        """Whether a picture has the size and format of the film."""
        info = self.info
        size = self._source.size(picture) == (info.width, info.height)
        return size and (picture.format.name == info.pix_fmt or self._source.fits(picture))

    def _check(self, picture: VideoFrame, number: int) -> None:
        if self.alike(picture):
            return
        info, (width, height) = self.info, self._source.size(picture)
        changes = f"size changes from {info.width}x{info.height} to {width}x{height}"
        if (width, height) == (info.width, info.height):
            changes = f"pixel format changes from {info.pix_fmt} to {picture.format.name}"
        raise FormatChange(
            f"{self._source.name(number)}: the {changes}: process the parts one by one, with --end {number} and with "
            f"--start {number}",
            number,
        )

    def _note_format(self, first: VideoFrame, fps: Fraction | None) -> None:
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
            log.warning(
                "%s is interlaced; its frames are treated as whole pictures and written as progressive: deinterlace it "
                "first", info.path,
            )  # fmt: skip
        if info.display_matrix:
            log.warning("%s is turned by an angle that is no multiple of 90 degrees: it is left as it is", info.path)
        lost = [name for kind, name in _HDR.items() if kind in first.side_data]
        if lost:
            log.warning("%s of %s left out: nothing holds it here", " and ".join(lost), info.path)
        if not (self.timed or info.is_folder or fps or self._source.rate):
            log.warning(
                "%s does not say its rate: %s frames a second are taken, --fps gives another", info.path, info.fps
            )


class FormatChange(UnsupportedError):
    """The size or format of the pictures changes on the way.

    Attributes:
        frame: number of the first that is another.
    """

    def __init__(self, message: str, frame: int) -> None:
        super().__init__(message)
        self.frame = frame


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


class _VideoFile:
    """The frames of a video file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._errors = 0
        self._incomplete = False
        self._stamps: list[int] = []  # times of packets whose frames are still to come, a heap
        self._low = 0  # from there on all frames are like the one that the film is described by
        self._end = 0  # of the frames so far, in ticks
        self._expected: set[int] = set()  # times of packets that no frame has come of, so far
        self._first: int | None = None  # time of the first frame
        self._turn = UPRIGHT
        self._interlaced = False
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
        kind = self.container.format
        self.timed = self.own_times = not (kind.flags & _NO_TIMES or kind.name.endswith(_PICTURES))
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
        films = [s for s in self.container.streams.video if not s.disposition & Disposition.attached_pic]
        if not films:
            raise InputError(f"{self.path} has no video stream")
        stream = next((s for s in films if s.disposition & Disposition.default), films[0])
        if stream.codec_context is None:
            raise UnsupportedError(
                f"{self.path}: there is no decoder for its video codec: convert it with ffmpeg first"
            )
        stream.thread_type, stream.codec_context.thread_count = "SLICE", THREADS
        # dav1d has threads of its own
        own = {"max_frame_delay": "1"} if stream.codec_context.name == "libdav1d" else {}
        stream.codec_context.options = {**BOUNDED, **own}
        return stream

    @property
    def rate(self) -> Fraction | None:
        """What the header of a raw stream says."""
        rate = self.stream.codec_context.framerate
        known = rate and _RATES[0] <= rate <= _RATES[1]
        return Fraction(rate.numerator, rate.denominator) if known else None

    def at(self, start: int, first: VideoFrame) -> VideoFrame:
        """The picture that a film from frame `start` on is described by: that frame, or the first where it is alike.

        Its size may change before. Only where it seems to is the film decoded up to there.
        """
        if not start or not self._changes(start, first):
            return first
        last = first
        with contextlib.closing(_VideoFile(self.path)) as other:
            for number, picture in enumerate(other.pictures()):
                self._low, last = (self._low if _same(picture, last) else number), picture
                if number == start:
                    return picture
        return first  # there is no such frame: said when the film ends

    def _changes(self, start: int, first: VideoFrame) -> bool:
        """Whether pictures round frame `start`, or the last, differ from the first."""
        if not self.timed:
            return True
        second = 1 / Fraction(self.stream.time_base)
        near = (first.pts or 0) + start / self._fps() * second
        with contextlib.closing(_VideoFile(self.path)) as other:
            return not all(
                _same(picture, first)
                for begin, end in ((near - second, near + second), (self._declared_end() or near, None))
                for picture in other.some(begin, end)
            )

    def some(self, begin: Fraction | int, end: Fraction | None) -> Iterator[VideoFrame]:
        """Pictures from a key frame before a time to another time, in ticks; only one where that is None. None where it
        cannot be found."""
        try:
            self.container.seek(int(begin), stream=self.stream)
        except (av.FFmpegError, OSError) as error:
            log.debug("%s: seek to %d: %s", self.path, begin, error)
            return
        for picture in self._decode():
            yield picture
            if end is None or picture.pts is None or picture.pts > end:
                return

    def like_from(self, low: int, start: int) -> int:
        """The first frame from `low` on from which all up to `start` are alike."""
        return max(low, self._low)

    def size(self, picture: VideoFrame) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        return self._turn.pair(picture.width, picture.height)

    def pictures(self) -> Iterator[VideoFrame]:
        """Decode; a frame that is damaged is delivered unless it is the last, which is only a part of one."""
        held: VideoFrame | None = None
        for picture in self._decode():
            if held is not None:
                yield held
            held = picture if picture.is_corrupt else None
            self._errors += picture.is_corrupt
            if held is None:
                yield picture

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
        yield from self._decoded(None)

    def _frames_of(self, packet: av.Packet) -> list[VideoFrame]:
        if not packet.size:
            return []
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None and self.timed and (packet.pts is None or self._made_up_times):
            heapq.heappush(self._stamps, stamp)
            self.own_times = False
        errors = self._errors
        if packet.pts is not None and not packet.is_discard:
            self._expected.add(packet.pts)
        pictures = self._decoded(packet)
        if self._errors > errors:
            self._expected.discard(packet.pts)
            if stamp in self._stamps:
                self._stamps.remove(stamp)
                heapq.heapify(self._stamps)
        return pictures

    def _decoded(self, packet: av.Packet | None) -> list[VideoFrame]:
        """What comes of a packet; of None: what the decoder still holds."""
        try:
            return [self._timed(picture) for picture in self.stream.decode(packet)]
        except EOFError:  # it has said so before
            return []
        except (av.FFmpegError, ValueError) as error:  # ValueError: its decoder could not be opened
            log.debug("%s: packet at %s: %s", self.path, packet and packet.pts, error)
            self._errors += 1
            return []

    def _timed(self, picture: VideoFrame) -> VideoFrame:
        """Where times are those of decoding, the frame that is shown next has the earliest that is left."""
        if not self.timed:  # what FFmpeg makes up follows no rate
            picture.pts, picture.duration = None, 0
        elif self._stamps and (picture.pts is None or self._made_up_times):
            picture.pts = heapq.heappop(self._stamps)
        self._end = max(self._end, (picture.pts or 0) + (picture.duration or 0))
        self._expected.discard(picture.pts)
        self._first = picture.pts if self._first is None else self._first
        return picture

    def _lost(self) -> int:
        """Frames that a decoder has left out without an error: MPEG-2's skips what it does not understand. Those before
        the first that it could show need what was before the film."""
        if not self.own_times or self.stream.codec_context.name not in _A_FRAME_A_PACKET or self._interlaced:
            return 0
        return sum(time > (self._first or 0) for time in self._expected)

    def damage(self) -> str | None:
        promised = declared_size(self.path)
        if self._incomplete or (promised is not None and promised > self.path.stat().st_size):
            return "truncated"
        if is_joined(self.path):
            return "several files one behind the other, which its format does not allow (ffmpeg's concat joins films)"
        self._errors += self._lost()
        self._expected.clear()
        end = self._declared_end()
        if not self._errors and end is not None and (end - self._end) * self.stream.time_base > self._slack():
            return "damaged or truncated"
        return f"damaged in {self._errors} places" if self._errors > 1 else "damaged" if self._errors else None

    def planes(self, picture: VideoFrame) -> list[np.ndarray]:
        return self._turn.planes(planes_of(picture))

    def fits(self, picture: VideoFrame) -> bool:
        return False

    def name(self, number: int) -> str:
        return f"{self.path}, frame {number}"

    def describe(self, first: VideoFrame, fps: Fraction | None = None) -> VideoInfo:
        stream = self.stream
        fps = fps or self._fps()
        time_base = Fraction(stream.time_base.numerator, stream.time_base.denominator) if self.timed else 1 / fps
        sar = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        others = (s for s in self.container.streams if s.type == "data")
        matrix = display_matrix(first, stream)
        turn = turn_of(matrix)
        self._turn = turn or UPRIGHT
        self._interlaced = first.interlaced_frame or stream.codec_context.field_order in _FIELDS
        info = VideoInfo(
            path=self.path,
            width=first.width,
            height=first.height,
            sar=Fraction(sar.numerator, sar.denominator) if sar else Fraction(1),
            fps=fps,
            time_base=time_base,
            frames=self._promised(fps, time_base),
            display_matrix=matrix if turn is None else None,
            interlaced=self._interlaced,
            has_audio=bool(self.container.streams.audio),
            timecode=stored_timecode([stream.metadata, self.container.metadata, *(s.metadata for s in others)]),
            **describe_samples(first, pixel_layout(first.format.name), stream.codec_context.name),
        )
        return turned(info, self._turn)

    def _fps(self) -> Fraction:
        """Frames a second; files that only have times give an average that is a little off."""
        if not self.timed:
            return self.rate or _RAW_RATE
        stream = self.stream
        rates = [Fraction(r) for r in (stream.average_rate, stream.guessed_rate, stream.base_rate) if r]
        if len(rates) > 1 and abs(rates[1] - rates[0]) < rates[0] * _NEAR:
            return rates[1]
        return rates[0] if rates else PICTURE_RATE

    def _declared_end(self) -> int | None:
        """When the film ends by what its file says of these pictures, in ticks; None where it says nothing exact."""
        base, stream = self.stream.time_base, self.stream
        if self.container.format.name.startswith("matroska"):
            seconds = _tagged_duration(stream)
            return None if seconds is None else int(seconds / base)
        if self.container.format.name.startswith(("mov", "mxf")) and stream.duration:
            return (stream.start_time or 0) + stream.duration
        return None

    def _slack(self) -> Fraction:
        """Seconds that a film may end before its file says so."""
        return _SLACK + 2 / self._fps()

    def _promised(self, fps: Fraction, time_base: Fraction) -> int | None:
        if not self.timed:
            return None
        if self.stream.frames:
            return self.stream.frames
        if (seconds := _tagged_duration(self.stream)) is not None:
            pass
        elif self.stream.duration:
            seconds = self.stream.duration * time_base
        elif self.container.duration:
            seconds = Fraction(self.container.duration, av.time_base)
        else:
            return None
        return round(seconds * fps) or None

    def close(self) -> None:
        self.container.close()


def _tagged_duration(stream: Any) -> Fraction | None:
    """Seconds from the start of the file to the end of a track of Matroska."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3]) if tag else None


def _same(a: VideoFrame, b: VideoFrame) -> bool:
    return (a.width, a.height, a.format.name) == (b.width, b.height, b.format.name)
