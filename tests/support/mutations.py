"""Small films, pictures and settings, and ways to damage them; all of it follows from a seed."""

from __future__ import annotations

import io
import json
import random
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np

from vs_remaster.output.formats import OutputFormat
from vs_remaster.video.dpx import encode_dpx
from vs_remaster.video.info import VideoInfo

SIZE = (64, 48)
FRAMES = 24
SHOT = 12  # frames

HUGE = (0, 1, 2, -1, -2, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 1 << 40, (1 << 63) - 1, 1 << 63)


class Film(NamedTuple):
    """How a film is made.

    Attributes:
        suffix: of its file.
        codec: of the picture.
        pix_fmt: of the picture.
        sound: its codec, None for a silent film.
        options: of the picture's encoder.
        marks: bytes behind which its container keeps sizes, rates and times.
    """

    suffix: str
    codec: str
    pix_fmt: str
    sound: str | None
    options: dict[str, str]
    marks: tuple[bytes, ...]


_EXACT = {"fflags": "+bitexact"}  # no random numbers and dates in containers

_MKV = tuple(map(bytes.fromhex, "2ad7b1 23e383 4489 1549a966 1654ae6b 1f43b675 1c53bb6b 55b0 63a2 e0 b0 e7".split()))
_MP4 = b"mvhd tkhd mdhd stsd stts ctts stsc stsz stco elst stss avcC hvcC pasp colr mdat".split()
_AVI = (b"avih", b"strh", b"strf", b"idx1", b"movi", b"00dc", b"LIST")
_H264 = {"g": "12", "bf": "2", "threads": "1"}
_INTRA = {"g": "1", "threads": "1"}

FILMS = {
    "mkv": Film(".mkv", "libx264", "yuv420p", "aac", _H264, _MKV),
    "mkv of key frames": Film(".mkv", "libx264", "yuv420p", "flac", _INTRA, _MKV),
    "mkv of FFV1": Film(".mkv", "ffv1", "gray16le", "pcm_s16le", {}, _MKV),
    "mp4": Film(".mp4", "libx264", "yuv420p", "aac", _H264, tuple(_MP4)),
    "mp4 of HEVC": Film(".mp4", "libx265", "yuv420p", "aac", {"x265-params": "log-level=none:pools=1"}, tuple(_MP4)),
    "mov": Film(".mov", "prores_ks", "yuv422p10le", "pcm_s16le", {}, tuple(_MP4)),
    "mov of JPEG": Film(".mov", "mjpeg", "yuvj420p", None, {}, tuple(_MP4)),
    "avi": Film(".avi", "mpeg4", "yuv420p", "pcm_s16le", {"bf": "2"}, _AVI),
    "avi of HuffYUV": Film(".avi", "huffyuv", "yuv422p", None, {}, _AVI),
    "ts": Film(".ts", "mpeg2video", "yuv420p", "mp2", {"bf": "2"}, (b"\x47\x40", b"\x47\x41", b"\0\0\1\xe0")),
    "ts of H.264": Film(".ts", "libx264", "yuv420p", "aac", _H264, (b"\x47\x40", b"\x47\x41", b"\0\0\1\xe0")),
    "mpg": Film(".mpg", "mpeg1video", "yuv420p", "mp2", {}, (b"\0\0\1\xba", b"\0\0\1\xe0", b"\0\0\1\xb3")),
    "mxf": Film(".mxf", "mpeg2video", "yuv420p", "pcm_s16le", {}, (b"\x06\x0e\x2b\x34",)),
    "webm": Film(".webm", "libvpx-vp9", "yuv420p", "libopus", {"cpu-used": "8", "deadline": "realtime"}, _MKV),
    "flv": Film(".flv", "flv", "yuv420p", "aac", {}, (b"onMetaData", b"duration", b"framerate", b"\x09\0", b"\x08\0")),
    "wmv": Film(".wmv", "wmv2", "yuv420p", "wmav2", {}, (bytes.fromhex("a1dcab8c47a9cf11"), b"WMV2", b"\x82\0\0")),
    "h264": Film(".h264", "libx264", "yuv420p", None, _H264, (b"\0\0\1\x67", b"\0\0\1\x68", b"\0\0\1\x65")),
    "gif": Film(".gif", "gif", "rgb8", None, {}, (b"GIF89a", b"\x2c\0\0", b"\x21\xf9")),
    "y4m": Film(".y4m", "rawvideo", "yuv420p", None, {}, (b"YUV4MPEG2", b" W", b" H", b" F", b"FRAME")),
}


def picture(number: int) -> np.ndarray:
    """Frame `number` of all films: luma `[H, W]` of 8 bits, a moving pattern, another in each shot."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    kind = 1 + number // SHOT
    return (128 + 80 * np.sin((x * kind + 3 * number) / 9 + kind) * np.cos((y * kind + number) / 11)).astype(np.uint8)


def make_film(path: Path, film: Film, frames: int = FRAMES) -> Path:
    """Write a film of 24 frames a second, coloured, with a second of sound."""
    if film.suffix == ".y4m":
        planes = [
            b"".join(plane.tobytes() for plane in (picture(n), picture(n)[::2, ::2], picture(n)[1::2, 1::2]))
            for n in range(frames)
        ]
        header = b"YUV4MPEG2 W%d H%d F24:1 Ip A1:1 C420jpeg\n" % SIZE
        path.write_bytes(header + b"".join(b"FRAME\n" + data for data in planes))
        return path
    with av.open(str(path), "w", options=_EXACT) as container:
        stream = container.add_stream(film.codec, rate=24, options=film.options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = film.pix_fmt
        voice = container.add_stream(film.sound, rate=48000, layout="mono", bit_rate=64000) if film.sound else None
        for number in range(frames):
            luma = picture(number)
            colours = np.dstack([luma, luma[::-1], 255 - luma])
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colours), "rgb24").reformat(format=film.pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice:
            tone = (8000 * np.sin(np.arange(48000 * frames // 24) / 20)).astype(np.int16)[None]
            block = av.AudioFrame.from_ndarray(tone, "s16", "mono")
            block.sample_rate, block.pts, block.time_base = 48000, 0, Fraction(1, 48000)
            fifo, made = av.AudioFifo(), av.AudioResampler(voice.format, "mono", 48000).resample(block)
            for part in made:
                fifo.write(part)
            size = voice.codec_context.frame_size or 1024
            for part in fifo.read_many(size, partial=False):
                container.mux(voice.encode(part))
            container.mux(voice.encode(None))
    return path


PICTURES = ("png", "png of 16 bits", "jpg", "tif", "webp", "bmp", "gif", "dpx")

_PICTURE_MARKS = {
    "png": (b"IHDR", b"IDAT", b"PLTE", b"iCCP", b"eXIf"),
    "jpg": (b"\xff\xc0", b"\xff\xc4", b"\xff\xda", b"\xff\xdb", b"\xff\xe1"),
    "tif": (b"II*\0", b"\0\x01\x03\0", b"\x01\x01\x03\0", b"\x11\x01\x04\0", b"\x17\x01\x04\0"),
    "webp": (b"RIFF", b"VP8 ", b"VP8L", b"VP8X"),
    "bmp": (b"BM", b"\x28\0\0\0", b"\x6c\0\0\0"),
    "gif": (b"GIF89a", b"\x2c", b"\x21\xf9"),
    "dpx": (b"SDPX", b"XPDS"),
}


def make_picture(kind: str) -> bytes:
    """A coloured picture of `SIZE`."""
    luma = picture(3)
    colours = np.ascontiguousarray(np.dstack([luma, luma[::-1], 255 - luma]))
    if kind == "dpx":
        info = VideoInfo(
            path=Path(), width=SIZE[0], height=SIZE[1], fps=Fraction(24), time_base=Fraction(1, 24), frames=1,
            pix_fmt="rgb24", kind="rgb", bits=8, subsampling=(0, 0), matrix="bt709", full_range=True,
        )  # fmt: skip
        planes = [colours[..., channel].astype(np.uint16) * 257 for channel in range(3)]
        return encode_dpx(planes, OutputFormat("rgb", 16, full_range=True, width=SIZE[0], height=SIZE[1]), info, None)
    if kind == "gif":
        file = io.BytesIO()
        from PIL import Image

        Image.fromarray(colours).save(file, "gif")
        return file.getvalue()
    wide = colours.astype(np.uint16) * 257 if "16" in kind else colours
    return cv2.imencode(f".{kind.split()[0]}", wide)[1].tobytes()


# Damage: bytes, packets, fields ---------------------------------------------------------------------------------------


def flip(data: bytes, rng: random.Random, low: int = 0, high: int | None = None) -> bytes:
    """Turn one to twenty bits over, somewhere from `low` to `high`."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20))):
        out[rng.randrange(low, min(len(out), high or len(out)))] ^= 1 << rng.randrange(8)
    return bytes(out)


def flip_head(data: bytes, rng: random.Random) -> bytes:
    """Bits of the first bytes, where sizes stand."""
    return flip(data, rng, 0, rng.choice((64, 512, 2048)))


def flip_tail(data: bytes, rng: random.Random) -> bytes:
    """Bits of the last bytes, where indexes stand."""
    return flip(data, rng, max(0, len(data) - rng.choice((64, 512, 2048))))


def cut(data: bytes, rng: random.Random) -> bytes:
    """Without its end."""
    return data[: rng.randrange(len(data))]


def behead(data: bytes, rng: random.Random) -> bytes:
    """Without its beginning."""
    return data[rng.randrange(1, min(len(data), 4096)) :]


def runs(data: bytes, rng: random.Random) -> bytes:
    """A stretch of bytes that is zeroed, random, doubled, taken out or swapped with another."""
    size = min(len(data) // 3, rng.choice((1, 4, 16, 188, 512, 4096)))
    a = rng.randrange(len(data) - 2 * size)
    b = rng.randrange(a + size, len(data) - size + 1)
    run, other = data[a : a + size], data[b : b + size]
    new = rng.choice((bytes(size), rng.randbytes(size), b"\xff" * size, run + run, b"", None))
    if new is None:
        return data[:a] + other + data[a + size : b] + run + data[b + size :]
    return data[:a] + new + data[a + size :]


def field(data: bytes, rng: random.Random, marks: tuple[bytes, ...]) -> bytes:
    """An impossible value a little behind a mark."""
    mark = rng.choice(marks)
    places = [at for at in range(min(len(data), 1 << 16)) if data.startswith(mark, at)]
    at = rng.choice(places) + len(mark) if places else rng.randrange(min(256, len(data)))
    at += rng.randrange(rng.choice((2, 12, 48)))
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(HUGE) % (1 << 8 * size)
    return data[:at] + value.to_bytes(size, rng.choice(("big", "little"))) + data[at + size :]


def joined(data: bytes, rng: random.Random) -> bytes:
    """The same file twice, as captures are joined."""
    return data + data


def packets(data: bytes, rng: random.Random, suffix: str) -> bytes:
    """Packets that are zeroed, empty, cut, damaged, doubled, dropped, swapped, or whose times are impossible.

    Raises:
        av.FFmpegError: the container does not take them.
    """
    with av.open(io.BytesIO(data)) as source:
        streams = [s for s in source.streams if s.type in ("video", "audio")]
        held = [(p.stream.index, bytes(p), p.pts, p.dts, p.is_keyframe, p.duration) for p in source.demux(streams)]
        held = [one for one in held if one[1]]
        for _ in range(rng.choice((1, 1, 2, 6))):
            _damage_packet(held, rng)
        file = io.BytesIO()
        file.name = f"x{suffix}"
        with av.open(file, "w", format=_MUXERS.get(suffix), options=_EXACT) as target:
            out = {stream.index: target.add_stream_from_template(stream) for stream in streams}
            for index, payload, pts, dts, key, duration in held:
                packet = av.Packet(payload)
                packet.stream, packet.time_base = out[index], source.streams[index].time_base
                packet.pts, packet.dts, packet.is_keyframe, packet.duration = pts, dts, key, duration or 0
                target.mux_one(packet)
    return file.getvalue()


_MUXERS = {".ts": "mpegts", ".mpg": "vob", ".mkv": "matroska", ".wmv": "asf", ".h264": "h264"}


def _damage_packet(held: list[Any], rng: random.Random) -> None:
    at = rng.randrange(len(held))
    index, payload, pts, dts, key, duration = held[at]
    way = rng.choice(("zero", "cut", "flip", "double", "drop", "swap", "later", "before", "far", "long", "none"))
    if way == "zero":
        payload = bytes(len(payload))
    elif way == "cut":
        payload = payload[: rng.randrange(1, len(payload) + 1)]
    elif way == "flip":
        payload = flip(payload, rng)
    elif way == "later":
        jump = rng.choice((1000, 90000 * 60, 1 << 33))
        for n in range(at, len(held)):
            held[n] = (*held[n][:2], (held[n][2] or 0) + jump, (held[n][3] or 0) + jump, *held[n][4:])
        return
    elif way == "before":
        for n in range(len(held)):
            held[n] = (*held[n][:2], (held[n][2] or 0) - 100000, (held[n][3] or 0) - 100000, *held[n][4:])
        return
    elif way == "far":
        pts = rng.choice((-1, 0, (1 << 31) - 1, (1 << 33) - 1, 1 << 62, -(1 << 62)))
    elif way == "long":
        duration = rng.choice((-1, 1 << 31, 1 << 62))
    elif way == "none":
        pts = None
    held[at] = index, payload, pts, dts, key, duration
    if way == "double":
        held.insert(at, held[at])
    elif way == "drop" and len(held) > 1:
        del held[at]
    elif way == "swap":
        other = rng.randrange(len(held))
        held[at], held[other] = held[other], held[at]


_WAYS = (flip, flip, flip_head, flip_tail, cut, behead, runs, runs, field, field, packets, packets, joined)


def damaged_film(data: bytes, film: Film, rng: random.Random) -> tuple[bytes, str]:
    """A film that is damaged in one way, or in two; with what was done to it."""
    told = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        way = rng.choice(
            (flip, flip, flip_head, flip_tail, cut, behead, runs, runs, field, field, packets, packets, joined)
        )
        if way is packets:
            try:
                data = packets(data, rng, film.suffix)
            except (av.FFmpegError, ValueError, OverflowError, TypeError, KeyError):
                way, data = flip, flip(data, rng)
        else:
            data = way(data, rng, film.marks) if way is field else way(data, rng)
        told.append(way.__name__)
        if len(data) < 64:
            break
    return data, " and ".join(told)


def damaged_bytes(data: bytes, rng: random.Random, marks: tuple[bytes, ...] = ()) -> tuple[bytes, str]:
    """Any file."""
    way = rng.choice((flip, flip_head, flip_tail, cut, behead, runs, *([field] * 3 if marks else ())))
    return (field(data, rng, marks) if way is field else way(data, rng)), way.__name__


def damaged_picture(data: bytes, kind: str, rng: random.Random) -> tuple[bytes, str]:
    """A picture; in PNG checksums are right again afterwards, or the decoder would look no further."""
    kind = kind.split()[0]
    data, told = damaged_bytes(data, rng, _PICTURE_MARKS[kind])
    return (_whole_png(data) if kind == "png" and rng.random() < 0.7 else data), told


def _whole_png(data: bytes) -> bytes:
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        size = int.from_bytes(out[at : at + 4], "big")
        end = at + 8 + size
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


def value(rng: random.Random) -> Any:
    """Any value that JSON and TOML know."""
    return rng.choice(
        (
            0, 1, -1, 3, 7, 1 << 31, 1 << 63, 1 << 70, -(1 << 70), 0.5, 1e308, -0.0, float("inf"), float("nan"), True,
            False, "", "film", "shot", "a.png", "../a.png", "/dev/zero", "a" * 5000, "\x00", "ä\u2028\x7f\n", "%d", [],
            [0], [0, 5], [5, 0], [-1, 1 << 70], [0.5, 1], ["a.png"], ["../job.json"], [[[]]], {}, {"a": 1},
        )
    )  # fmt: skip


def toml_text(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {toml_text(one)}' for key, one in value.items())}}}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else str(value)


def damaged_toml(text: str, keys: tuple[str, ...], rng: random.Random) -> tuple[str, str]:
    """Settings some of whose values are replaced, added or doubled; seldom bytes that are no TOML."""
    lines, told = text.split("\n"), []
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines) + 1)
        key, new = rng.choice(keys), value(rng)
        there = [n for n, line in enumerate(lines) if line.startswith(f"{key} =")]
        line = f"{key} = {toml_text(new)}"
        if there and rng.random() < 0.8:
            lines[rng.choice(there)] = line
        else:
            lines.insert(at, line)
        told.append(line[:60])
    return "\n".join(lines), "; ".join(told)


def damaged_json(held: Any, rng: random.Random) -> tuple[Any, str]:
    """A value in a tree of JSON replaced or removed; with where it stands."""
    held = json.loads(json.dumps(held))
    at, path = held, []
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = rng.choice(keys)
        path.append(str(key))
        if not isinstance(at[key], dict | list) or not at[key] or rng.random() < 0.15:
            break
        at = at[key]
    if rng.random() < 0.2:
        del at[key]
        return held, f"without {'.'.join(path)}"
    old = at[key]
    if isinstance(old, int | float) and rng.random() < 0.5:
        at[key] = old + rng.choice((-1, 1, 0.5, 1 << 31))
    else:
        at[key] = value(rng)
    return held, f"{'.'.join(path)} = {at[key]!r:.40}"
