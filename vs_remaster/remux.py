"""Carrying over what is not picture: sound, subtitles, chapters, attachments and metadata, by copying packets."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from .containers import media_url
from .sound import PcmTrack
from .timecode import KEY

log = logging.getLogger(__name__)

# What describes the file that was, not the film; the timecode is set anew, for a part begins later.
_STALE = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", KEY}
    | {"uid", "generation_uid", "operational_pattern_ul", "material_package_umid", "file_package_umid"}  # MXF
    | {"company_name", "product_name", "product_uid", "product_version", "product_version_num", "application_platform"}
    | {"toolkit_version_num", "modification_date"}
)
_BEYOND = Fraction(1, 10)  # seconds of sound behind the picture that are nobody's loss
_STALE_TRACK = _STALE | {"bps", "number_of_frames", "number_of_bytes", "handler_name", "vendor_id"}


def kept_metadata(metadata: dict[str, str], track: bool = False) -> dict[str, str]:
    """Leave out the entries that describe the old file and not the film."""
    stale = _STALE_TRACK if track else _STALE
    return {
        k: v for k, v in metadata.items() if k.lower().split("-")[0] not in stale and not k.startswith("_STATISTICS")
    }


class StreamCopier:
    """Copies everything but the picture from one file into another while that one is being written.

    The source is read a second time, only as far as the picture has been written: memory does not depend on how far
    sound and picture lie apart in the file.

    Args:
        source: the film.
        output: the container being written, before its header.
        format_name: FFmpeg's name of that container.
        start: time of the first picture in seconds, when the film is cut there; else None.
        shift: seconds to subtract from all times.
        picture: index of the stream that is being remastered.

    Attributes:
        metadata: the film's, as handed to the output.
    """

    def __init__(
        self, source: Path, output: Any, format_name: str, *, start: Fraction | None, shift: Fraction, picture: int
    ) -> None:
        self._input = av.open(media_url(source))
        self._output = output
        self._start, self._shift = start, shift
        self._streams: dict[int, Any] = {}
        self._pcm: dict[int, PcmTrack] = {}
        for stream in self._input.streams:
            if stream.index == picture:
                continue
            target = None if _is_derived(stream) else self._add(stream, format_name)
            if target is not None:
                self._streams[stream.index] = target
            else:
                stream.discard = av.stream.Discard.all
        self._input.streams[picture].discard = av.stream.Discard.all
        self.metadata = kept_metadata(self._input.metadata)
        output.metadata.update(self.metadata)
        wanted = [self._input.streams[i] for i, t in self._streams.items() if t.type != "attachment"]
        self._packets: Iterator[av.Packet] = self._input.demux(wanted) if wanted else iter(())
        self._held: av.Packet | None = None

    def _add(self, stream: Any, format_name: str) -> Any | None:
        name = getattr(stream, "name", None) or "unknown"
        if stream.type == "video" and not stream.disposition & av.stream.Disposition.attached_pic:
            reason = "only one video stream is remastered"
        elif format_name == "mxf" and stream.type == "audio":
            warn_of_lost_tags(stream, format_name)
            track = self._pcm[stream.index] = PcmTrack(stream, self._output, self._start or self._shift)
            return track.target
        elif reason := _refusal(stream, format_name):
            pass
        else:
            target = _copy_stream(stream, self._output)
            return target
        language = f", {stream.language}" if stream.language else ""
        log.warning("stream %d (%s, %s%s) is left out: %s", stream.index, stream.type, name, language, reason)
        return None

    def chapters(self, end: Fraction | None) -> list[dict[str, Any]]:
        """Chapters that touch the part from the start to `end` (seconds; None: the end of the film), moved with it."""
        kept = []
        for chapter in self._input.chapters():
            base = Fraction(chapter["time_base"].numerator, chapter["time_base"].denominator)
            begin, finish = chapter["start"] * base, chapter["end"] * base
            if (self._start is not None and finish <= self._start) or (end is not None and begin >= end):
                continue
            begin = max(begin, self._start) if self._start is not None else begin
            finish = min(finish, end) if end is not None else finish
            ticks = {"start": round((begin - self._shift) / base), "end": round((finish - self._shift) / base)}
            kept.append({**chapter, **ticks})
        return kept

    def advance(self, until: Fraction | None, end: Fraction | None = None) -> None:
        """Copy the packets due before a time.

        Args:
            until: seconds in the source's own time; None for all that are left.
            end: seconds; what starts there or later is left out.
        """
        self._advance(until, end)
        for track in self._pcm.values():
            if until is not None:
                track.release(until)

    def finish_sound(self, end: Fraction, cut: bool) -> None:
        """Make sound that is converted as long as the picture.

        Args:
            end: time at which the last picture ends, in seconds of the source.
            cut: the film goes on there, so the sound does as well.
        """
        while self._pcm and not cut and (packet := self._held or self._next()):
            self._held = None
            if _time(packet) > end + _BEYOND and packet.stream.index in self._pcm:
                log.warning("sound behind the last picture is left out: mxf holds none there")
                break
        for track in self._pcm.values():
            track.finish(end)

    def _advance(self, until: Fraction | None, end: Fraction | None) -> None:
        while True:
            packet, self._held = self._held, None
            packet = packet or self._next()
            if packet is None:
                return
            base = Fraction(packet.time_base.numerator, packet.time_base.denominator)
            stamp = packet.dts if packet.dts is not None else packet.pts
            if until is not None and stamp is not None and stamp * base > until:
                self._held = packet
                return
            self._copy(packet, base, end)

    def _next(self) -> av.Packet | None:
        while True:
            try:
                packet = next(self._packets, None)
            except av.FFmpegError as error:  # the reader of the picture says that the file is damaged
                log.debug("copying stopped: %s", error)
                return None
            if packet is None or packet.size:
                return packet

    def _copy(self, packet: av.Packet, base: Fraction, end: Fraction | None) -> None:
        stream = packet.stream
        if stream.index in self._pcm:
            self._pcm[stream.index].feed(packet)
            return
        if packet.pts is not None and (self._start is not None or end is not None):
            if end is not None and packet.pts * base >= end:
                return
            if self._start is not None and packet.pts * base < self._start:
                # a subtitle that is on screen at the cut stays; sound begins with its first whole packet
                finish = (packet.pts + (packet.duration or 0)) * base
                if stream.type != "subtitle" or finish <= self._start:
                    return
                first = -(-self._start // base)
                packet.duration = packet.pts + packet.duration - first
                packet.pts = packet.dts = first
        ticks = round(self._shift / base)
        packet.pts = None if packet.pts is None else packet.pts - ticks
        packet.dts = None if packet.dts is None else packet.dts - ticks
        packet.stream = self._streams[stream.index]
        self._output.mux(packet)

    def close(self) -> None:
        """Close the source."""
        self._input.close()


def warn_of_lost_tags(stream: Any, format_name: str) -> None:
    """Name what is known of a track and not of the film, for a container that has no place for it."""
    tags = kept_metadata(stream.metadata, track=True)
    lost = sorted(key for key, value in tags.items() if key != "creation_time" and value != "und")
    if lost:
        log.warning("%s of stream %d left out: %s cannot hold it", ", ".join(lost), stream.index, format_name)


def _time(packet: av.Packet) -> Fraction:
    base = Fraction(packet.time_base.numerator, packet.time_base.denominator)
    return (packet.pts or packet.dts or 0) * base


def _copy_stream(stream: Any, output: Any) -> Any:
    target = output.add_stream_from_template(stream)
    target.disposition = stream.disposition
    target.metadata.update(
        stream.metadata if stream.type == "attachment" else kept_metadata(stream.metadata, track=True)
    )
    return target


def _is_derived(stream: Any) -> bool:
    """Data that the muxer writes anew: MOV's time code (from metadata) and chapter tracks."""
    handlers = "SubtitleHandler", "TimeCodeHandler"
    return stream.type == "data" and (stream.metadata.get("handler_name", "") in handlers or KEY in stream.metadata)


def _refusal(stream: Any, format_name: str) -> str | None:
    """Try whether a container takes a stream: a muxer decides for good only when it writes its header."""
    if format_name == "mxf":  # it says so only with a picture beside it
        return "mxf cannot hold it"
    try:
        with av.open(io.BytesIO(), "w", format=format_name) as trial:
            _copy_stream(stream, trial)
            trial.start_encoding()
    except (av.FFmpegError, ValueError, OSError, NotImplementedError) as error:
        log.debug("stream %d in %s: %s", stream.index, format_name, error)
        return f"{format_name} cannot hold it"
    return None
