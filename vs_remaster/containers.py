"""What FFmpeg does not tell of a container file: how long it should be; and how to name it to FFmpeg without traps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_EBML_HEADER, _EBML_SEGMENT = 0x1A45DFA3, 0x18538067
_TS_PACKETS = (188, 204)


def media_url(path: Path) -> str:
    """Name a local file for FFmpeg, which would take `a:b.mkv` for a protocol and a leading `-` for an option."""
    return f"file:{os.path.abspath(path)}"


def declared_size(path: Path) -> int | None:
    """Read from a container's outermost structure how many bytes the file should have.

    A file that was cut off is shorter. Decoders do not notice: they see an end of file between two frames.

    Args:
        path: MP4, MOV, Matroska, WebM, AVI or MPEG-TS.

    Returns:
        Bytes, at least; None where the container does not say.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska(file)
        if head[:4] == b"RIFF":
            return _riff(file, size)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
            return _boxes(file, size)
        for length in _TS_PACKETS:
            file.seek(length)
            if head[:1] == file.read(1) == b"\x47":
                return -(-size // length) * length
    return None


def _boxes(file: BinaryIO, size: int) -> int:
    """ISO/IEC 14496-12, 4.2: boxes one after the other, each with its size in front."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or not head[4:8].isalnum():  # 0: to the end of the file; else no box
            break
        at += length
    return at


def _riff(file: BinaryIO, size: int) -> int:
    """A RIFF chunk; large AVI files have several."""
    at = 0
    while at + 12 <= size:
        file.seek(at)
        head = file.read(8)
        if head[:4] != b"RIFF":
            break
        length = int.from_bytes(head[4:], "little")
        if not length:  # never filled in: the writer was killed
            return size + 1
        at += 8 + length
    return at


def _matroska(file: BinaryIO) -> int | None:
    """RFC 8794: an EBML header and one segment, each with its size in front; all ones means unknown."""
    at = 0
    for wanted in (_EBML_HEADER, _EBML_SEGMENT):
        file.seek(at)
        head = file.read(12)
        width = 9 - head[4].bit_length() if len(head) == 12 and head[4] else 0
        if int.from_bytes(head[:4], "big") != wanted or not width:
            return None
        length = int.from_bytes(head[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        if length == (1 << 7 * width) - 1:
            return None
        at += 4 + width + length
    return at


def reason(error: BaseException) -> str:
    """What FFmpeg or the system says went wrong, without numbers and paths."""
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".") or type(error).__name__
