"""Carrying over what is not picture: sound, subtitles, chapters, attachments and metadata, by copying packets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.stream import Discard

from ..video.containers import media_url, reason
from ..video.info import VideoInfo
from ..video.stretches import Stretches, find_stretches, jumps
from .sound import PcmTrack
from .tracks import (
    CopiedTrack,
    TextTrack,
    attach_cover,
    can_convert_text,
    described,
    is_cover,
    is_derived,
    kept_metadata,
    refusal,
)

log = logging.getLogger(__name__)

_BEYOND = Fraction(1, 10)  # seconds of sound behind the picture that are nobody's loss
_MOST_ERRORS = 100  # one after the other, until a file is given up


class StreamCopier:
    """Copies everything but the picture from one file into another while that one is being written.

    What the container cannot hold as it is becomes PCM, FLAC or another kind of text. The source is read a second
    time, only as far as the picture has been written: memory does not depend on how far sound and picture lie apart in
    the file. Where its clock begins anew (see `stretches`) times are moved as those of the picture are.

    Args:
        info: the film.
        output: the container being written, before its header.
        format_name: FFmpeg's name of that container.
        start: time of the first picture in seconds, when the film is cut there; else None.
        shift: seconds to subtract from all times.
        picture: index of the stream that is being remastered.

    Attributes:
        metadata: the film's, as handed to the output.
    """

    def __init__(
        self, info: VideoInfo, output: Any, format_name: str, *, start: Fraction | None, shift: Fraction, picture: int
    ) -> None:
        self._info, self._picture = info, picture
        self._input = av.open(media_url(info.path))
        self._output, self._format = output, format_name
        self._start, self._shift = start, shift
        self._copied: dict[int, CopiedTrack | TextTrack] = {}
        self._pcm: dict[int, PcmTrack] = {}
        for stream in self._input.streams:
            if stream.index != picture and not is_derived(stream):
                self._add(stream)
        self.metadata = kept_metadata(self._input.metadata)
        output.metadata.update(self.metadata)
        wanted = [self._input.streams[index] for index in (*self._copied, *self._pcm)]
        self._wanted = [stream for stream in wanted if stream.type != "attachment"]
        for stream in self._input.streams:
            if stream not in self._wanted:
                stream.discard = Discard.all
        self._packets = self._demuxed()
        self._held: av.Packet | None = None
        self._stretches: Stretches | None = None
        self._searched = False
        self._met: dict[int, tuple[int, Fraction]] = {}  # packets of a stream so far, and the time of the last
        self._behind: dict[int, Fraction] = {}  # the same time in the film
        if self._wanted and all(stream.type != "audio" for stream in self._wanted):
            self._search()  # subtitles are too few to show where the clock begins anew

    def _add(self, stream: Any) -> None:
        form, index, path = self._format, stream.index, self._info.path
        if stream.type == "video" and not is_cover(stream):
            why = "only one video stream is remastered"
        elif form == "matroska" and is_cover(stream):
            if attach_cover(stream, path, self._output):
                return
            why = f"{form} cannot hold it"
        elif not (why := refusal(stream, path, form)):
            self._copied[index] = CopiedTrack(stream, self._output)
            return
        elif PcmTrack.takes(stream):
            if form == "mxf":
                warn_of_lost_tags(stream, form)
            self._pcm[index] = PcmTrack(stream, self._output, self._start or self._shift, form)
            return
        elif can_convert_text(stream, form):
            self._copied[index] = TextTrack(stream, self._output)
            return
        log.warning("%s is left out: %s", described(stream), why)

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
        while packet := self._held or self._next():
            self._held = packet
            if until is not None and _time(packet) > until:
                break
            self._held = None
            self._copy(packet, end)
        for track in self._pcm.values():
            if until is not None:
                track.release(until)

    def finish(self, end: Fraction | None, cut: bool) -> None:
        """Write what was kept back, and make sound in MXF as long as the picture.

        Args:
            end: time at which the last picture ends, in seconds of the source; None: all that there is was copied.
            cut: the film goes on there, so the sound does as well.
        """
        while self._format == "mxf" and self._pcm and not cut and (packet := self._held or self._next()):
            self._held = None
            if end is not None and _time(packet) > end + _BEYOND and packet.stream.index in self._pcm:
                log.warning("sound behind the last picture is left out: mxf holds none there")
                break
        for track in self._pcm.values():
            track.finish(end)
        for copied in self._copied.values():
            copied.finish()

    def _demuxed(self) -> Iterator[av.Packet]:
        errors = 0
        while self._wanted and errors < _MOST_ERRORS:
            try:
                for packet in self._input.demux(self._wanted):
                    errors = 0
                    yield packet
                return
            except av.FFmpegError as error:  # the reader of the picture says that the file is damaged
                log.debug("%s: copying: %s", self._info.path, error)
                errors += 1
                why = reason(error)
        if errors:
            log.warning("%s: the rest of the sound and so on cannot be read (%s)", self._info.path, why)

    def _next(self) -> av.Packet | None:
        """The next packet that belongs to the film, with its times there."""
        for packet in self._packets:
            if packet.size and self._place(packet):
                return packet
        return None

    def _place(self, packet: av.Packet) -> bool:
        """Move a packet to where it belongs when the clock begins anew; False if that is where another is."""
        index, time = packet.stream.index, _time(packet)
        number, last = self._met.get(index, (0, time))
        self._met[index] = number + 1, time
        if jumps(last, time):
            self._search()
        if self._stretches is None:
            self._behind[index] = time
            return True
        place = self._stretches.place(index, number)
        base = Fraction(packet.time_base.numerator, packet.time_base.denominator)
        ticks = round(self._stretches.shift(place) / base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        limit, begin = self._stretches.limit(index, place), _time(packet)
        if limit is not None and begin + (packet.duration or 0) * base / 2 >= limit:
            return False
        late = index in self._copied and place > 0 and begin <= self._behind.get(index, begin - 1)
        self._behind[index] = max(begin, self._behind.get(index, begin))
        return not late

    def _search(self) -> None:
        if not self._searched:
            self._searched = True
            self._stretches = find_stretches(self._info, self._picture)

    def _copy(self, packet: av.Packet, end: Fraction | None) -> None:
        stream = packet.stream
        base = Fraction(packet.time_base.numerator, packet.time_base.denominator)
        if stream.index in self._pcm:
            self._pcm[stream.index].feed(packet)
            return
        if packet.pts is not None and (self._start is not None or end is not None):
            if end is not None and packet.pts * base >= end:
                return
            if self._start is not None and packet.pts * base < self._start:
                # a subtitle that is on screen at the cut stays; sound begins with its first whole packet
                length = packet.duration or 0
                finish = (packet.pts + length) * base
                if stream.type != "subtitle" or finish <= self._start:
                    return
                first = -(-self._start // base)
                packet.duration = packet.pts + length - first
                packet.pts = packet.dts = first
        ticks = round(self._shift / base)
        packet.pts = None if packet.pts is None else packet.pts - ticks
        packet.dts = None if packet.dts is None else packet.dts - ticks
        self._copied[stream.index].feed(packet)

    def close(self) -> None:
        """Close the source."""
        for track in self._copied.values():
            track.close()
        self._input.close()


def warn_of_lost_tags(stream: Any, format_name: str) -> None:
    """Name what is known of a track and not of the film, for a container that has no place for it."""
    tags = kept_metadata(stream.metadata, track=True)
    lost = sorted(key for key, value in tags.items() if key != "creation_time" and value != "und")
    if lost:
        log.warning("%s of stream %d left out: %s cannot hold it", ", ".join(lost), stream.index, format_name)


def _time(packet: av.Packet) -> Fraction:
    """When a packet is decoded, in seconds."""
    base = Fraction(packet.time_base.numerator, packet.time_base.denominator)
    stamp = packet.dts if packet.dts is not None else packet.pts
    return (stamp or 0) * base
