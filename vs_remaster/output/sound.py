"""Sound as PCM or FLAC without gaps, in step with the picture, for a container that does not hold it as it is."""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import Any

import av
import numpy as np

from .tracks import described, kept_metadata

log = logging.getLogger(__name__)

RATE = 48000
"""Samples a second that FFmpeg's MXF takes."""

_SLACK = Fraction(1, 100)  # seconds that a file's times may be off before silence is put in or sound cut
_AHEAD = 10  # seconds that sound may lie behind the picture's last frame before its times are not believed
_PATIENCE = 5  # seconds that sound may lie behind its picture in the file


class PcmTrack:
    """Decodes a track of sound and writes it as PCM, or FLAC in MP4.

    MXF stores no times: sample n is heard at n / 48000 s. Where a track begins late or has a gap silence is written,
    and what lies before the first picture is cut off; in MXF also what lies behind the last, and a track that ends
    early is filled up.

    16 bits stay 16, PCM of more bits keeps them where the container holds it, everything else becomes 24; PCM of 16 and
    24 bits at a rate that the container has is kept exactly.

    Args:
        source: a stream of sound for which `takes` is true.
        output: the container being written, before its header.
        start: time of the first picture, in seconds of the source.
        format_name: FFmpeg's name of the container.
    """

    def __init__(self, source: Any, output: Any, start: Fraction, format_name: str) -> None:
        context = source.codec_context
        self._name, self._source_rate, self._output = described(source), context.sample_rate, output
        self._start, self._fills = start, format_name == "mxf"
        self._rate = RATE if self._fills else self._source_rate
        codec, self._kind, bits = _written_as(context, format_name)
        self._type = {"s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}[self._kind]
        self._layout = context.layout
        self.target = output.add_stream(codec, rate=self._rate, layout=context.layout)
        self.target.codec_context.format = self._kind
        self.target.disposition = source.disposition
        if not self._fills:
            self.target.metadata.update(kept_metadata(source.metadata, track=True))
        self._to_kind = av.AudioResampler(self._kind, self._layout, self._source_rate)
        self._to_rate = None
        if self._source_rate != self._rate:
            self._to_rate = av.AudioResampler(self._kind, self._layout, self._rate)
        self._fifo = av.AudioFifo()
        self._placed = 0  # samples of the source behind the first picture so far
        self._written = 0
        self._last: int | None = None  # time of the last frame
        self._shown = 0  # samples of the source that the picture has reached
        self._broken = self._late = self._astray = False
        if context.name not in ("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be") or self._to_rate:
            log.warning(
                "%s, %d Hz, is converted to %s of %s bits and %d Hz: %s cannot hold it",
                self._name, self._source_rate, "FLAC" if codec == "flac" else "PCM", bits, self._rate, format_name,
            )  # fmt: skip

    @staticmethod
    def takes(stream: Any) -> bool:
        """Whether a stream is sound that can be decoded."""
        context = stream.codec_context if stream.type == "audio" else None
        return context is not None and context.format is not None and context.sample_rate > 0

    def feed(self, packet: av.Packet) -> None:
        """Decode a packet."""
        try:
            for frame in packet.decode():
                self._place(frame)
        except (av.FFmpegError, ValueError) as error:  # ValueError: its decoder could not be opened
            if not self._broken:
                log.warning("%s is damaged: silence takes the place of what is missing (%s)", self._name, error)
            self._broken = True

    def _place(self, frame: Any) -> None:
        apart, last, self._last = 0, self._last, frame.pts
        if frame.pts is not None and frame.pts != last:  # the same time again is that of a group, not of the frame
            base = Fraction(frame.time_base.numerator, frame.time_base.denominator)
            place = round((frame.pts * base - self._start) * self._source_rate)
            apart = place - self._placed
            if self._placed and abs(apart) <= _SLACK * self._source_rate:
                apart = 0
            if place > self._shown + _AHEAD * self._source_rate:
                if not self._astray:
                    log.warning("%s: its times lie far behind the picture's: it goes on without a gap", self._name)
                self._astray, apart = True, 0
        if apart > 0:
            self._fill(apart)
        elif self._placed and -apart >= frame.samples and not self._late:
            log.warning("%s: what comes twice or too late in the file is left out", self._name)
            self._late = True
        for part in self._to_kind.resample(frame):
            self._push(part.to_ndarray().reshape(-1, self._layout.nb_channels)[max(0, -apart) :])

    def _fill(self, count: int) -> None:
        for at in range(0, count, self._source_rate):
            shape = min(count - at, self._source_rate), self._layout.nb_channels
            self._push(np.zeros(shape, self._type))

    def _push(self, samples: np.ndarray) -> None:
        if not len(samples):
            return
        self._placed += len(samples)
        frame = self._frame(samples, self._source_rate)
        self._queue(self._to_rate.resample(frame) if self._to_rate else [frame])

    def _frame(self, samples: np.ndarray, rate: int) -> Any:
        packed = np.ascontiguousarray(samples).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format=self._kind, layout=self._layout.name)
        frame.sample_rate = rate
        return frame

    def _queue(self, frames: list[Any]) -> None:
        for frame in frames:
            frame.pts = None
            self._fifo.write(frame)

    def release(self, until: Fraction) -> None:
        """Write what is heard before a time, in seconds of the source.

        A muxer holds pictures back until it has their sound: where none came for long, there is silence.
        """
        self._shown = max(self._shown, round((until - self._start) * self._source_rate))
        silent = round((until - _PATIENCE - self._start) * self._source_rate) - self._placed
        if silent > 0:
            self._fill(silent)
        self._write(round((until - self._start) * self._rate) - self._written)

    def _write(self, count: int) -> None:
        count = min(count, self._fifo.samples)
        while count > 0 and (frame := self._fifo.read(min(count, self._rate))) is not None:
            frame.pts, frame.time_base = self._written, Fraction(1, self._rate)
            self._written += frame.samples
            count -= frame.samples
            self._mux(frame)

    def _mux(self, frame: Any) -> None:
        for packet in self.target.encode(frame):
            self._output.mux(packet)

    def finish(self, end: Fraction | None) -> None:
        """Write the rest, in MXF exactly as long as the picture.

        Args:
            end: time at which the last picture ends, in seconds of the source; None: write all there is.
        """
        if end is not None:
            self.release(end)
        if self._to_rate and self._placed:
            self._queue(self._to_rate.resample(None))
        if end is None:
            self._write(self._fifo.samples)
        else:
            missing = round((end - self._start) * self._rate) - self._written - self._fifo.samples
            if missing > 0 and self._fills:
                self._queue([self._frame(np.zeros((missing, self._layout.nb_channels), self._type), self._rate)])
            self.release(end)
        self._mux(None)


def _written_as(context: Any, format_name: str) -> tuple[str, str, int]:
    """(encoder, sample format, bits) for sound that a container does not hold as it is."""
    kind = context.format.packed.name
    if kind in ("s16", "u8"):
        return ("flac" if format_name == "mp4" else "pcm_s16le"), "s16", 16
    if format_name in ("matroska", "mov") and context.name.startswith("pcm_"):
        if kind in ("flt", "dbl"):
            return {"flt": ("pcm_f32le", "flt", 32), "dbl": ("pcm_f64le", "dbl", 64)}[kind]
        if "24" not in context.name and context.name not in ("pcm_dvd", "pcm_bluray"):
            return "pcm_s32le", "s32", 32
    return ("flac" if format_name == "mp4" else "pcm_s24le"), "s32", 24
