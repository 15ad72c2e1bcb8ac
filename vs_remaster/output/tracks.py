"""How a track that is not the picture gets into a container: copied, converted, as an attachment, or not at all."""

from __future__ import annotations

import io
import logging
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.stream import Discard, Disposition

from ..video.containers import media_url, reason
from ..video.timecode import KEY

log = logging.getLogger(__name__)

COVERS = {
    "mjpeg": ("jpg", "image/jpeg"),
    "png": ("png", "image/png"),
    "bmp": ("bmp", "image/bmp"),
    "gif": ("gif", "image/gif"),
    "tiff": ("tif", "image/tiff"),
    "webp": ("webp", "image/webp"),
}
"""Codecs of covers: end of a file's name and MIME type."""

# What describes the file that was, not the film; the timecode is set anew, for a part begins later.
_STALE = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", KEY}
    | {"uid", "generation_uid", "operational_pattern_ul", "material_package_umid", "file_package_umid"}  # MXF
    | {"company_name", "product_name", "product_uid", "product_version", "product_version_num", "application_platform"}
    | {"toolkit_version_num", "modification_date"}
)
_STALE_TRACK = _STALE | {"bps", "number_of_frames", "number_of_bytes", "handler_name", "vendor_id"}

_TEXT = {"matroska": "subrip", "mp4": "mov_text", "mov": "mov_text"}  # what other text is made into
_TRIED = 8  # packets of a track that are read back before it is copied
_MILLISECOND = Fraction(1, 1000)
_COARSE = Fraction(1, 10)  # seconds that times may go back without being another part of the film


def kept_metadata(metadata: dict[str, str], track: bool = False) -> dict[str, str]:
    """Leave out the entries that describe the old file and not the film."""
    stale = _STALE_TRACK if track else _STALE
    return {
        k: v for k, v in metadata.items() if k.lower().split("-")[0] not in stale and not k.startswith("_STATISTICS")
    }


def described(stream: Any) -> str:
    """A track in words, as warnings name it."""
    name = getattr(stream, "name", None) or "unknown"
    language = f", {stream.language}" if stream.language else ""
    return f"stream {stream.index} ({stream.type}, {name}{language})"


def is_cover(stream: Any) -> bool:
    """Whether a track is a picture that stands for the film."""
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


def is_derived(stream: Any) -> bool:
    """Data that the muxer writes anew: MOV's time code (from metadata) and chapter tracks."""
    handlers = "SubtitleHandler", "TimeCodeHandler"
    return stream.type == "data" and (stream.metadata.get("handler_name", "") in handlers or KEY in stream.metadata)


class _Nowhere(io.RawIOBase):
    """A file that forgets what is written into it."""

    def __init__(self) -> None:
        self._at = self._size = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def write(self, data: Any) -> int:
        self._at += len(data)
        self._size = max(self._size, self._at)
        return len(data)


class _Guarded:
    """A track that is written; what its container refuses is left out, for it would end the film.

    Each packet is first given to a muxer that has this track alone and throws away what it writes.

    Args:
        stream: of the source.
        output: the container being written, before its header.

    Raises:
        av.FFmpegError, ValueError: the container does not take such a track.
    """

    def __init__(self, stream: Any, output: Any) -> None:
        self._name, self._format = described(stream), output.format.name
        self._trial = av.open(_Nowhere(), "w", format=self._format)
        self._tried = self.add(stream, self._trial)
        try:
            self._trial.start_encoding()
            self.target = self.add(stream, output)
        except BaseException:
            self.close()
            raise
        self._output = output
        self._refused, self._why = 0, ""
        self._behind = Fraction(-(1 << 62))  # seconds: the first time that no packet has yet

    def add(self, stream: Any, output: Any) -> Any:
        """Add the track to a container."""
        raise NotImplementedError

    def feed(self, packet: av.Packet) -> None:
        """Write a packet of the source, with its times in the output."""
        self.mux(packet)

    def mux(self, packet: av.Packet) -> None:
        self._keep_order(packet)
        packet.stream = self._tried
        try:
            self._trial.mux(packet)
        except av.FFmpegError as error:
            self._refused, self._why = self._refused + 1, self._why or reason(error)
            return
        packet.stream = self.target
        self._output.mux(packet)

    def _keep_order(self, packet: av.Packet) -> None:
        """Move a packet that is a little early, as in files whose times are coarse, just behind the one before."""
        if packet.dts is None:
            return
        base = Fraction(packet.time_base.numerator, packet.time_base.denominator)
        if self._behind - _COARSE < packet.dts * base < self._behind:
            packet.dts = -(-self._behind // base)
            packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
        self._behind = max(self._behind, (packet.dts + 1) * base)

    def finish(self) -> None:
        """Say what was refused."""
        if self._refused:
            log.warning(
                "%d packets of %s are left out: %s does not take them (%s)",
                self._refused, self._name, self._format, self._why,
            )  # fmt: skip

    def close(self) -> None:
        """Close the trial."""
        try:
            self._trial.close()
        except (av.FFmpegError, ValueError) as error:
            log.debug("%s: end of the trial: %s", self._name, error)


class CopiedTrack(_Guarded):
    """A track whose packets are copied; see `_Guarded`."""

    def add(self, stream: Any, output: Any) -> Any:
        return copy_stream(stream, output)


def copy_stream(stream: Any, output: Any) -> Any:
    """Add a track like another to a container.

    Raises:
        av.FFmpegError, ValueError, NotImplementedError: it does not take it.
    """
    try:
        target = output.add_stream_from_template(stream)
    except ValueError:
        target = _copy_unlisted(stream, output)
    target.disposition = stream.disposition
    target.metadata.update(
        stream.metadata if stream.type == "attachment" else kept_metadata(stream.metadata, track=True)
    )
    return target


def _copy_unlisted(stream: Any, output: Any) -> Any:
    """Add a track that FFmpeg's muxer takes though it is not in its list of codecs, which PyAV asks: in Matroska all
    that has a code in WAV files. A track of a codec that is listed gets the parameters of the one to be copied."""
    form = output.format.name
    seed = {"audio": "ac3", "subtitle": "ass" if form == "matroska" else "mov_text"}.get(stream.type)
    if seed is None:
        raise ValueError(f"{form} does not hold {stream.type}")
    with av.open(io.BytesIO(), "w", format=form) as other:
        target = output.add_stream_from_template(other.add_stream(seed))
    BitStreamFilterContext("null", stream, target)
    target.codec_context.codec_tag = "\0" * 4  # that of the other container
    target.time_base = target.codec_context.time_base = stream.time_base
    return target


def refusal(stream: Any, source: Path, format_name: str) -> str | None:
    """Try whether a container takes a track: a muxer decides for good only when it writes its header.

    Args:
        stream: of the source.
        source: its file, which is opened once more where the first packets have to be tried.
        format_name: FFmpeg's name of the container.

    Returns:
        What to say if it does not.
    """
    no = f"{format_name} cannot hold it"
    if format_name == "mxf":  # it says so only with a picture beside it
        return no
    if is_cover(stream) and (format_name == "mov" or stream.name not in ("mjpeg", "png", "bmp")):  # FFmpeg drops it
        return no
    trial = io.BytesIO()
    try:
        with av.open(trial, "w", format=format_name) as container:
            target = copy_stream(stream, container)
            container.start_encoding()
            if stream.type != "audio":
                return None
            listed = _is_listed(stream, container)
            with av.open(media_url(source)) as film:
                packets, heard = _first_packets(film, stream.index, decode=not listed)
                sent = [bytes(packet) for packet in packets]
                for packet in packets:
                    packet.stream = target
                    container.mux(packet)
        if listed:
            return None
        with av.open(io.BytesIO(trial.getvalue())) as film:  # some are written, and then cannot be decoded
            packets, again = _first_packets(film, 0, decode=True)
            same = [bytes(packet) for packet in packets] == sent and film.streams[0].name == stream.name
            return None if same and np.array_equal(heard, again) else no
    except (av.FFmpegError, ValueError, OSError, NotImplementedError) as error:
        log.debug("%s in %s: %s", described(stream), format_name, error)
        return no


def _is_listed(stream: Any, container: Any) -> bool:
    return stream.codec_context is not None and stream.codec_context.codec.name in container.supported_codecs


def _first_packets(film: Any, index: int, decode: bool) -> tuple[list[av.Packet], np.ndarray]:
    """The first packets of a track of sound, and the samples in them; none where there is no decoder."""
    for stream in film.streams:
        if stream.index != index:
            stream.discard = Discard.all
    track = film.streams[index]
    packets = list(islice((packet for packet in film.demux(track) if packet.size), _TRIED))
    if track.codec_context is None or not decode:
        return packets, np.zeros(0)
    samples = [frame.to_ndarray().reshape(-1) for packet in packets for frame in packet.decode()]
    return packets, np.concatenate([np.zeros(0), *samples])


class TextTrack(_Guarded):
    """Subtitles of text that are written in the kind that a container holds; see `_Guarded`."""

    def __init__(self, stream: Any, output: Any) -> None:
        self._decoder = stream.codec_context
        self._decoder.open(strict=False)
        self._broken = False
        super().__init__(stream, output)
        log.warning("%s is converted to %s: %s cannot hold it", self._name, self.target.name, self._format)

    def add(self, stream: Any, output: Any) -> Any:
        target = output.add_stream(_TEXT[output.format.name])
        target.codec_context.subtitle_header = self._decoder.subtitle_header
        target.time_base = target.codec_context.time_base = _MILLISECOND
        target.disposition = stream.disposition
        target.metadata.update(kept_metadata(stream.metadata, track=True))
        return target

    def feed(self, packet: av.Packet) -> None:
        try:
            text = self._decoder.decode2(packet)
            if text is None or not len(text):
                return
            shown = text.end_display_time * _MILLISECOND
            made = self.target.codec_context.encode_subtitle(text)
        except (av.FFmpegError, UnicodeError) as error:
            if not self._broken:
                log.warning("%s is damaged: what cannot be read is left out (%s)", self._name, reason(error))
            self._broken = True
            return
        base = Fraction(packet.time_base.numerator, packet.time_base.denominator)
        shown = packet.duration * base if packet.duration else shown
        time = round((packet.pts or 0) * base / _MILLISECOND)
        made.time_base = _MILLISECOND
        made.pts = made.dts = time
        made.duration = round(shown / _MILLISECOND)
        self.mux(made)


def can_convert_text(stream: Any, format_name: str) -> bool:
    """Whether subtitles are text that can be written in another kind."""
    context = stream.codec_context
    return stream.type == "subtitle" and format_name in _TEXT and context is not None and context.codec.text_sub


def attach_cover(stream: Any, source: Path, output: Any) -> bool:
    """Attach a cover to a container that keeps pictures as attachments.

    Returns:
        Whether there is a picture of a kind that is known.
    """
    kind = COVERS.get(stream.name)
    if kind is None:
        return False
    with av.open(media_url(source)) as film:
        data = next((bytes(packet) for packet in film.demux(film.streams[stream.index]) if packet.size), b"")
    if not data:
        return False
    told = kept_metadata(stream.metadata, track=True)
    name = told.pop("filename", f"cover.{kind[0]}")
    target = output.add_attachment(name, told.pop("mimetype", kind[1]), data)
    target.metadata.update(told)
    return True
