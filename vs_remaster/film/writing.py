"""How a film is written, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..output.formats import OutputFormat
from ..output.pictures import PictureWriter
from ..output.writer import VideoWriter, open_writer
from ..video.reader import VideoReader


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How to write.

    Attributes:
        codec: one of `output.CODECS`.
        crf: quality of x264 and x265, lower is better; None: 17 and 19.
        overwrite: replace an output that exists.
        bits: a sample; None: as many as the film has, or the next that the codec takes.
        timecode: HH:MM:SS:FF of the first frame written; None: as it is in the film, if it has one.
    """

    codec: str = "x264"
    crf: float | None = None
    overwrite: bool = False
    bits: int | None = None
    timecode: str | None = None


@dataclass(frozen=True)
class Done:
    """What became of a film: frames written, and whether the source was cut off or damaged."""

    frames: int
    truncated: bool


ProgressCallback = Callable[[int, int | None], None]
"""Called with the frames written so far and how many there will be, None where that is not known."""


def open_output(
    output: Path, reader: VideoReader, out: OutputFormat, write: OutputOptions, joined: bool = False
) -> VideoWriter | PictureWriter:
    """Open the writer that options ask for; see `open_writer`."""
    how = {name: getattr(write, name) for name in ("codec", "crf", "overwrite", "timecode")}
    return open_writer(output, reader, out, **how, joined=joined)
