"""How a film is written, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..output.formats import OutputFormat
from ..output.options import OutputOptions
from ..output.pictures import PictureWriter
from ..output.writer import VideoWriter, open_writer
from ..video.reader import VideoReader


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
