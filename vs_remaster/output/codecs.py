"""What can be written: the one table of codecs, the containers that hold them and the samples they take."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from ..errors import InputError

Codec = Literal["x264", "x265", "ffv1", "prores", "prores4444", "dnxhr", "dnxhr444", "png", "tiff", "dpx"]
CODECS: tuple[str, ...] = get_args(Codec)
CONTAINERS = {".mkv": "matroska", ".mp4": "mp4", ".mov": "mov", ".mxf": "mxf"}
"""FFmpeg's name of each container, by the end of a file's name."""


@dataclass(frozen=True, kw_only=True)
class CodecInfo:
    """One row of the table.

    Attributes:
        encoder: FFmpeg's name of it; "" where something else writes.
        suffixes: of the containers that hold it, the usual one first; none for a folder of pictures.
        depths: bits a sample, ascending.
        options: for the encoder.
        crf: default quality, None where there is no such setting.
        subsampling: log2 of luma samples per chroma sample that it always has; None for the film's own.
        full_range: it can say that samples are of full range.
        matrix: the only one that it can say, None for any.
        smallest: (width, height) of the smallest picture.
        extension: of a picture's name.
        gray_depths: bits a sample of gray pictures, where these differ.
        chunk_suffix: of the container that keeps the encoder's packets as they are until they are joined.
        joined_options: further ones for that.
        room: bytes that it takes by bytes of samples (two each above 8 bits); what a disk should have room for.
    """

    encoder: str
    suffixes: tuple[str, ...] = ()
    depths: tuple[int, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    crf: float | None = None
    subsampling: tuple[int, int] | None = None
    full_range: bool = True
    matrix: str | None = None
    smallest: tuple[int, int] = (1, 1)
    extension: str = ""
    gray_depths: tuple[int, ...] = ()
    chunk_suffix: str = ".mov"
    joined_options: Mapping[str, str] = field(default_factory=dict)
    room: float = 1.0

    @property
    def is_folder(self) -> bool:
        """It writes a folder of pictures."""
        return not self.suffixes


def _prores(profile: str, subsampling: tuple[int, int]) -> CodecInfo:
    return CodecInfo(
        encoder="prores_ks",
        suffixes=(".mov", ".mxf", ".mkv"),
        depths=(10,),
        options={"profile": profile, "vendor": "apl0"},
        subsampling=subsampling,
        full_range=False,  # MOV has no place for it
        room=0.16,
    )


def _dnxhr(profile: str, subsampling: tuple[int, int]) -> CodecInfo:
    return CodecInfo(
        encoder="dnxhd",
        suffixes=(".mov", ".mxf"),
        depths=(10,),  # of HQX's 10 and 12 bits FFmpeg writes 10
        options={"profile": profile},
        subsampling=subsampling,
        full_range=False,
        matrix="bt709",  # FFmpeg writes no other into the frames, whatever the container says
        smallest=(256, 120),
        room=0.15,  # the same for every picture: 0.11 of 4:2:2
    )


_H26X = (".mp4", ".mkv", ".mov")

# Both encoders ask the machine for a number of threads and decide by it what may refer to what: another machine would
# make another film. These numbers are for every machine. x264 gets frame threads; slices, which PyAV asks for, make
# files larger.
X264_THREADS = "threads=8:sliced-threads=0"
X265_THREADS = "log-level=error:frame-threads=3:pools=12"

TABLE: dict[str, CodecInfo] = {
    "x264": CodecInfo(
        encoder="libx264",
        suffixes=_H26X,
        depths=(8, 10),
        options={"preset": "medium", "x264-params": X264_THREADS},
        crf=17.0,
        chunk_suffix=".nut",
        room=0.1,
    ),
    "x265": CodecInfo(
        encoder="libx265",
        suffixes=_H26X,
        depths=(8, 10, 12),
        options={"preset": "medium", "x265-params": X265_THREADS},
        crf=19.0,
        smallest=(64, 16),  # narrower ones make it write behind its memory
        chunk_suffix=".nut",
        room=0.1,
        # without its description of itself, which names the processor
        joined_options={"x265-params": f"{X265_THREADS}:info=0"},
    ),
    "ffv1": CodecInfo(
        encoder="ffv1",
        suffixes=(".mkv", ".mxf"),
        depths=(8, 9, 10, 12, 14, 16),
        options={"level": "3", "slicecrc": "1", "g": "1"},
        chunk_suffix=".mkv",
        room=1 / 3,
    ),
    "prores": _prores("hq", (1, 0)),
    "prores4444": _prores("4444", (0, 0)),
    "dnxhr": _dnxhr("dnxhr_hqx", (1, 0)),
    "dnxhr444": _dnxhr("dnxhr_444", (0, 0)),
    "png": CodecInfo(encoder="", depths=(8, 16), extension=".png"),
    "tiff": CodecInfo(encoder="", depths=(8, 16), extension=".tif"),
    # FFmpeg knows no gray of 10 bits in DPX; 10 bits go into 16 without loss.
    "dpx": CodecInfo(encoder="dpx", depths=(10, 12, 16), gray_depths=(16,), extension=".dpx"),
}


def codec_info(codec: str) -> CodecInfo:
    """Look a codec up.

    Args:
        codec: one of `CODECS`.

    Raises:
        InputError: unknown codec.
    """
    if codec not in TABLE:
        raise InputError(f"unknown codec {codec!r}: use one of {', '.join(CODECS)}")
    return TABLE[codec]


def encoder_options(codec: str, *, joined: bool) -> dict[str, str]:
    """What an encoder is told on this machine, so that it makes the packets that it makes on others.

    x264's macroblock tree reads past the end of rows where it uses AVX-512 (8 bits, a width that is no multiple of
    128), and so memory of the next row or such that nobody has written to. With AVX2 and all before it back to SSSE3
    it makes one and the same film.

    Args:
        codec: one of `CODECS`.
        joined: see `Encoding`.
    """
    info = codec_info(codec)
    options = {**info.options, **(info.joined_options if joined else {})}
    if codec == "x264" and platform.machine().lower() in ("x86_64", "amd64"):
        import torch  # late: it takes seconds

        newer = torch.backends.cpu.get_cpu_capability().startswith(("AVX2", "AVX512"))
        options["x264-params"] += ":asm=avx2" if newer else ":asm=ssse3"
    return options


def check_container(path: Path, codec: str) -> None:
    """Refuse a name whose container does not hold a codec.

    Args:
        path: the output.
        codec: one of `CODECS`.

    Raises:
        InputError: they do not fit; says what would.
    """
    info, suffix = codec_info(codec), path.suffix.lower()
    if info.is_folder:
        if suffix in CONTAINERS:
            raise InputError(
                f"codec {codec} writes a folder of pictures, not {path.name}: give a name without {suffix}"
            )
        return
    if suffix not in CONTAINERS:
        raise InputError(f"cannot tell the container from {path.name}: end it in {', '.join(CONTAINERS)}")
    if suffix not in info.suffixes:
        held = (name for name, other in TABLE.items() if suffix in other.suffixes)
        raise InputError(
            f"{path.name}: {suffix} does not hold {codec}: end it in {either(info.suffixes)}, "
            f"or use --codec {either(held)}"
        )


def either(names: Iterable[object]) -> str:
    """`a, b or c`."""
    *others, last = map(str, names)
    return f"{', '.join(others)} or {last}" if others else last
