"""What FFmpeg or PyAV do not do for container files: how long they should be, safe names, aspect in Matroska."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av

from ..errors import RemasterError

# Matroska element names, RFC 9559
_EBML_HEADER, _SEGMENT, _TRACKS, _TRACK_ENTRY, _VIDEO = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_VOID, _CRC, _DISPLAY, _DISPLAY_UNIT = 0xEC, 0xBF, (0x54B0, 0x54BA), 0x54B2
_FINEST = 255  # of the numbers that programs round an aspect ratio to
_TS_PACKETS = (188, 204)
_MXF_HEADER = b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01"  # of every partition: SMPTE ST 377-1, 7.1


def media_url(path: Path) -> str:
    """Name a local file for FFmpeg, which would take `a:b.mkv` for a protocol and a leading `-` for an option."""
    return f"file:{os.path.abspath(path)}"


def declared_size(path: Path) -> int | None:
    """Read from a container's outermost structure how many bytes the file should have.

    A file that was cut off is shorter. Decoders do not notice: they see an end of file between two frames.

    Args:
        path: MP4, MOV, Matroska, WebM, AVI, MXF or MPEG-TS.

    Returns:
        Bytes, at least; None where the container does not say.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska(file)
        if head[:4] == b"RIFF":
            return _riff(file, size)[1]
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
            return _boxes(file, size)[1]
        if head == _MXF_HEADER:
            return _mxf(file)
        for length in _TS_PACKETS:
            file.seek(length)
            if head[:1] == file.read(1) == b"\x47":
                return -(-size // length) * length
    return None


def is_joined(path: Path) -> bool:
    """Whether several whole files lie one behind the other in a file whose format does not allow that: FFmpeg reads the
    first, or a part of the others, and says nothing.

    Args:
        path: MP4, MOV, Matroska, WebM or AVI; other formats may be joined, or are not known here.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            file.seek(_matroska(file) or size)
            return file.read(4) == b"\x1a\x45\xdf\xa3"
        if head[:4] == b"RIFF":
            return _riff(file, size)[0].count(b"AVI ") > 1
        return _boxes(file, size)[0].count(b"moov") > 1


def _riff(file: BinaryIO, size: int) -> tuple[list[bytes], int]:
    """Kinds of the outermost chunks, and the first byte behind them. A film has one `AVI ` and, where it is large, some
    `AVIX` behind it; a chunk has an even length on the disk."""
    kinds, at, end = [], 0, 0
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF":
            break
        if not length:  # never filled in: the writer was killed
            return kinds, size + 1
        kinds.append(head[8:])
        end = at + 8 + length
        at = end + length % 2
    return kinds, end


def _boxes(file: BinaryIO, size: int) -> tuple[list[bytes], int]:
    """Kinds of the outermost boxes, and the first byte behind them. ISO/IEC 14496-12, 4.2: boxes lie one after the
    other, each with its size in front."""
    kinds, at = [], 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or not head[4:8].isalnum():  # 0: to the end of the file; else no box
            break
        kinds.append(head[4:8])
        at += length
    return kinds, at


def _mxf(file: BinaryIO) -> int | None:
    """SMPTE ST 377-1, 7.1: the first partition says where the last begins, once the file is complete."""
    file.seek(16)
    head = file.read(9 + 32)
    behind = 1 + (head[0] & 0x7F if head[0] & 0x80 else 0)
    footer = int.from_bytes(head[behind + 24 : behind + 32], "big")
    return footer + 17 if footer else None


def _matroska(file: BinaryIO) -> int | None:
    """RFC 8794: an EBML header and one segment, each with its size in front; all ones means unknown."""
    at = 0
    for wanted in (_EBML_HEADER, _SEGMENT):
        file.seek(at)
        head = file.read(12)
        if len(head) < 12 or not head[4] or int.from_bytes(head[:4], "big") != wanted:
            return None
        width, length = _ebml_size(head, 4)
        if length == (1 << 7 * width) - 1:
            return None
        at += 4 + width + length
    return at


def _ebml_size(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """(bytes it takes, value) of the size of an element."""
    width = 9 - data[at].bit_length()
    return width, int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)


def _ebml_elements(data: bytes | bytearray, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(id, first byte, first byte of the content, byte behind it) of the elements of a master element."""
    while at < end:
        name = 9 - data[at].bit_length()
        width, size = _ebml_size(data, at + name)
        content = at + name + width
        yield int.from_bytes(data[at : at + name], "big"), at, content, content + size
        at = content + size


def set_matroska_aspect(path: Path, width: int, height: int, aspect: Fraction) -> bool:
    """Write a sample aspect ratio into the header of a Matroska file; FFmpeg does it, but PyAV cannot ask it to.

    Nothing is moved: what is added takes the place of a void element that FFmpeg leaves in the description of a track.

    Args:
        path: a file with one track of pictures.
        width: of the pictures, in pixels.
        height: of the pictures, in pixels.
        aspect: width of a pixel by its height.

    Returns:
        Whether there was room.
    """
    across = width * aspect
    shown = int(across * across.denominator), height * across.denominator
    with path.open("r+b") as file:
        data = bytearray(file.read(1 << 20))
        try:
            *_, header, _ = _ebml_child(data, 0, len(data), _SEGMENT)
            *_, tracks, tracks_end = _ebml_child(data, header, len(data), _TRACKS)
            *_, track, track_end = _ebml_child(data, tracks, tracks_end, _TRACK_ENTRY)  # the picture is the first
            begin, video, video_end = _ebml_child(data, track, track_end, _VIDEO)
            void, _, void_end = _ebml_child(data, video_end, track_end, _VOID)
        except (StopIteration, IndexError):
            return False
        kept = b"".join(
            data[first:last]
            for name, first, _, last in _ebml_elements(data, video, video_end)
            if name not in (*_DISPLAY, _DISPLAY_UNIT)
        )
        added = _display_size(shown, video_end - video - len(kept) + void_end - void)
        if added is None or len(kept + added) > 126 or video - begin != 2:
            return False
        data[begin:void_end] = bytes([_VIDEO, 0x80 | len(kept + added)]) + kept + added + data[video_end:void]
        name, _, crc, behind = next(_ebml_elements(data, tracks, tracks_end))
        if name == _CRC:
            data[crc:behind] = zlib.crc32(data[behind:tracks_end]).to_bytes(4, "little")
        file.seek(0)
        file.write(data)
    return True


def check_aspect(path: Path, aspect: Fraction, output: Path) -> None:
    """Read a file whose header was changed as every program reads it, and see whether it says what it should.

    Args:
        path: the file.
        aspect: width of a pixel by its height, as it was written.
        output: what the file will be called, for messages.

    Raises:
        RemasterError: it says something else, or cannot be read any more.
    """
    try:
        with av.open(media_url(path)) as container:
            stream = container.streams.video[0]
            found = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1)
    except (av.FFmpegError, IndexError) as error:
        raise RemasterError(
            f"{output} cannot be read after its sample aspect ratio {aspect} was written ({reason(error)}): nothing "
            "is kept, is the disk sound?"
        ) from error
    if abs(Fraction(found.numerator, found.denominator) - aspect) > aspect / _FINEST:
        raise RemasterError(
            f"the sample aspect ratio {aspect} was written to {output}, but {found} is read there: nothing is kept, "
            "is the disk sound?"
        )


def _ebml_child(data: bytearray, at: int, end: int, name: int) -> tuple[int, int, int]:
    """(first byte, first byte of the content, byte behind it) of the first element of that name."""
    return next(element[1:] for element in _ebml_elements(data, at, end) if element[0] == name)


def _display_size(shown: tuple[int, int], room: int) -> bytes | None:
    """The elements for the displayed size, exactly `room` bytes long: numbers may have leading zeros."""
    widths = (room - 6) // 2, room - 6 - (room - 6) // 2
    if not all(1 <= width <= 8 and number < 1 << 8 * width for number, width in zip(shown, widths, strict=True)):
        return None
    return b"".join(
        name.to_bytes(2, "big") + bytes([0x80 | width]) + number.to_bytes(width, "big")
        for name, number, width in zip(_DISPLAY, shown, widths, strict=True)
    )


def reason(error: BaseException) -> str:
    """What FFmpeg or the system says went wrong, without numbers and paths."""
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".") or type(error).__name__
