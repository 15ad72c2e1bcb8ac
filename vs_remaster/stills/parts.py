"""Parts of a film that are read and restored, where only some of its frames are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from ..film.frames import to_picture
from ..remaster.pipeline import Picture, RemasterPipeline
from ..video.reader import VideoReader

Part = tuple[int, int]
"""First frame and end."""


def needed_parts(wanted: Sequence[Part], pipeline: RemasterPipeline | None, length: int) -> list[Part]:
    """Parts of a film of `length` frames that have to be read, with all frames that those wanted depend on,
    ascending."""
    reach = []
    for first, stop in wanted:
        for window in reversed(pipeline.windows if pipeline else []):
            first = max(0, first // window.block * window.block - window.before)
            stop = min(length, -(-stop // window.block) * window.block + window.after)
        reach.append((first, stop))
    merged: list[Part] = []
    for first, stop in sorted(reach):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((first, stop))
    return merged


def restored_parts(
    source: Path, parts: Sequence[Part], pipeline: RemasterPipeline | None, fps: Fraction | None = None
) -> Iterator[Picture]:
    """The frames of such parts, restored; without a pipeline as they are. `fps`: see `VideoReader`."""
    with VideoReader(source, end=parts[-1][1], fps=fps) as reader:
        film = iter(reader)

        def part(first: int, stop: int) -> Iterator[Picture]:
            for frame in film:
                if frame.index >= first:
                    yield to_picture(frame, reader.info, chroma=False)
                if frame.index == stop - 1:
                    return

        for edges in parts:
            yield from pipeline.process(part(*edges)) if pipeline else part(*edges)
