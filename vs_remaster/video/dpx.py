"""DPX pictures (SMPTE ST 268): FFmpeg codes the samples; rate and timecode of the film are put into the header here."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import av
import numpy as np

from ..color.samples import Samples
from .info import VideoInfo
from .planes import frame_of, planar_format
from .timecode import Timecode

LOGARITHMIC = {1: "printing density", 3: "logarithmic"}
"""Transfer characteristics of the header whose code values are those of a film scan, not of video."""
LINEAR = 2
"""The one whose code values are light."""

# Big-endian, as the files of scanners are; 12 bits lie in 16.
_FORMATS = {("gray", 16): "gray16be", ("rgb", 10): "gbrp10be", ("rgb", 12): "gbrp12be", ("rgb", 16): "rgb48be"}
_SHORT, _LONG = 1664, 2048  # bytes of FFmpeg's header, and of one with the parts for film and television
_FILM_RATE, _TIMECODE, _VIDEO_RATE, _TRANSFER = 1724, 1920, 1940, 801
_DROP = 0x40  # in the byte of the frames, as in SMPTE ST 12-1


def encode_dpx(planes: list[np.ndarray], out: Samples, info: VideoInfo, timecode: Timecode | None) -> bytes:
    """Make a file of a picture; its code values are those of the planes, whatever they mean.

    The header names transfer and primaries of RGB as far as the film does; else they are unspecified.

    Args:
        planes: gray or R', G', B'.
        out: what they are.
        info: the film: rate, aspect, tags.
        timecode: of the frame.
    """
    encoder = av.CodecContext.create("dpx", "w")
    height, width = planes[0].shape
    encoder.width, encoder.height, encoder.pix_fmt = width, height, _FORMATS[out.kind, out.bits]
    encoder.time_base, encoder.sample_aspect_ratio = 1 / info.fps, info.sar
    if out.kind == "rgb":  # a transfer would make FFmpeg take gray for limited range
        encoder.color_primaries, encoder.color_trc = info.tags.primaries, info.tags.transfer
    picture = frame_of(planes, planar_format(out.kind, out.bits)).reformat(format=encoder.pix_fmt)
    data = b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
    return _with_header(data, info.fps, timecode)


def _with_header(data: bytes, fps: Fraction, timecode: Timecode | None) -> bytes:
    header = bytearray(data[:_SHORT]) + bytearray(b"\xff" * (_LONG - _SHORT))  # all ones: not said
    size = len(data) - _SHORT + _LONG
    for at, value in ((4, _LONG), (16, size), (28, _LONG - _SHORT), (808, _LONG)):
        struct.pack_into(">I", header, at, value)
    for at in (_FILM_RATE, _VIDEO_RATE):
        struct.pack_into(">f", header, at, fps)
    if timecode:
        digits = [n // 10 << 4 | n % 10 for n in timecode.fields()]
        digits[3] |= _DROP if timecode.drop else 0
        header[_TIMECODE : _TIMECODE + 4] = bytes(digits)
    return bytes(header) + data[_SHORT:]


def read_header(data: bytes) -> tuple[Fraction | None, str | None, int | None]:
    """(frames a second, timecode, transfer characteristic) of a DPX file, None for what it does not say."""
    order = {b"SDPX": ">", b"XPDS": "<"}.get(data[:4])
    if order is None or len(data) < _LONG:
        return None, None, None
    (offset,) = struct.unpack_from(f"{order}I", data, 4)
    if offset < _LONG:
        return None, None, data[_TRANSFER]
    rates = (struct.unpack_from(f"{order}f", data, at)[0] for at in (_VIDEO_RATE, _FILM_RATE))
    rate = next((_exact(rate) for rate in rates if math.isfinite(rate) and 1 <= rate <= 240), None)
    (packed,) = struct.unpack_from(f"{order}I", data, _TIMECODE)
    hours, minutes, seconds, frames = packed.to_bytes(4, "big")
    shown = f"{hours:02x}:{minutes:02x}:{seconds:02x}{';' if frames & _DROP else ':'}{frames & ~_DROP & 0xFF:02x}"
    known = packed != 0xFFFFFFFF and shown.replace(":", "").replace(";", "").isdecimal()
    return rate, shown if known else None, data[_TRANSFER]


def _exact(rate: float) -> Fraction:
    """The rate that 32-bit floats like 23.976 stand for."""
    for exact in (Fraction(round(rate)), Fraction(round(rate * 1.001) * 1000, 1001)):
        if abs(rate - exact) < 1e-3:
            return exact
    return Fraction(rate).limit_denominator(1001)
