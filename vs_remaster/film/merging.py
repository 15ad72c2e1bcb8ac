"""Gives the frames of one film the colours of another, from file to file."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from ..errors import InputError
from ..output.formats import check_output, output_format
from ..remaster.merging import merge_lab
from ..remaster.options import check_weight
from ..remaster.picture import Picture
from ..system.threads import overlap
from ..video.info import VideoInfo
from ..video.planes import Frame
from ..video.reader import VideoReader
from .frames import decode_frame, from_picture
from .remastering import _capacity
from .writing import Done, OutputOptions, ProgressCallback, open_output


def merge_films(
    luma: Path,
    chroma: Path,
    output: Path,
    *,
    weight: float = 1.0,
    offset: int = 0,
    fps: Fraction | None = None,
    write: OutputOptions = OutputOptions(),
    progress: ProgressCallback = lambda done, total: None,
) -> Done:
    """Give the frames of one film the colours of another.

    Frame n takes the colour of frame n + `offset`; beyond the ends of the other film it takes that of its first or last
    frame.

    Args:
        luma: the film whose luma, size, times and sound are kept.
        chroma: the film whose colours are taken, of any size.
        output: see `remaster_film`.
        weight: 0..1; 1 takes the colours, 0 keeps the film's own.
        offset: see above.
        fps: of `luma`, see `VideoReader`.
        write: see `OutputOptions`.
        progress: see `ProgressCallback`.

    Raises:
        RemasterError: films of different rate, or whose lengths differ by more than the offset; see also
            `remaster_film`.
    """
    check_weight(weight)
    check_output(output, write.codec, write.overwrite, luma if luma.exists() else None)
    check_output(output, write.codec, write.overwrite, chroma if chroma.exists() else None)
    with VideoReader(luma, fps=fps) as reader, VideoReader(chroma) as other:
        info, their = reader.info, other.info
        _check_alike(info, their, offset, reader.timed and other.timed)
        out = output_format(info, write.codec, True, write.bits)
        with open_output(output, reader, out, write) as writer:
            written = 0

            def transform(pairs: Iterator[tuple[Frame, Frame]]) -> Iterator[Picture]:
                for frame, donor in pairs:
                    own_luma, own_chroma = decode_frame(frame, info, chroma=weight < 1)
                    other_luma, colors = decode_frame(donor, their)
                    assert colors is not None  # `_check_alike`: that film is in colour
                    merged = merge_lab(
                        own_luma[None],
                        colors[None],
                        own_chroma=None if own_chroma is None else own_chroma[None],
                        other_luma=other_luma[None],
                        weight=weight,
                    )
                    yield Picture(own_luma, merged[0], frame.index, frame)

            def put(picture: Picture) -> None:
                nonlocal written
                # with weight 0 no colour is new
                writer.write(from_picture(picture, picture.payload, info, out, colored=weight > 0, luma_kept=True))
                written += 1
                progress(written, reader.expected)

            progress(0, reader.expected)
            overlap(_pairs(reader, other, offset), transform, put, _capacity(info))
    return Done(written, reader.truncated or other.truncated)


def _pairs(reader: VideoReader, other: VideoReader, offset: int) -> Iterator[tuple[Frame, Frame]]:
    """Each frame with the one whose colours it takes.

    Raises:
        InputError: the lengths differ by more than the offset.
    """
    donors = iter(other)
    donor = next(donors)
    met = 1  # frames of the other film so far
    frames = 0
    for frame in reader:
        while met <= frame.index + offset and (following := next(donors, None)) is not None:
            donor, met = following, met + 1
        frames += 1
        if frames - met > abs(offset):
            break
        yield frame, donor
    while met - frames <= abs(offset) and next(donors, None) is not None:
        met += 1
    if abs(met - frames) > abs(offset):
        longer, shorter = (reader, other) if frames > met else (other, reader)
        raise InputError(
            f"lengths differ by more than the offset of {offset}: {longer.info.path} goes on where {shorter.info.path} "
            f"ends, after {min(met, frames)} frames: give films of one length, or an --offset"
        )


def _check_alike(info: VideoInfo, their: VideoInfo, offset: int, timed: bool) -> None:
    if their.kind == "gray":
        raise InputError(f"{their.path} has no colour to give ({their.pix_fmt})")
    if timed and info.fps != their.fps:
        raise InputError(
            f"rates differ: {info.path} has {info.fps} frames a second, {their.path} has {their.fps}: "
            "bring both to one rate first"
        )
    if info.frames and their.frames:
        if offset >= their.frames or -offset >= info.frames:
            raise InputError(
                f"with an offset of {offset} no frame of {info.path} has one of {their.path}: they have about "
                f"{info.frames} and {their.frames} frames"
            )
        apart = abs(info.frames - their.frames)
        # what a file promises may be a little off; the frames themselves are counted on the way
        if apart > abs(offset) + 24 + min(info.frames, their.frames) // 50:
            raise InputError(
                f"lengths differ: {info.path} has about {info.frames} frames, {their.path} about {their.frames}: "
                "cut them to one length, or give an --offset"
            )
