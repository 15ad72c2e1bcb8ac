"""Shots of a film on disk, for what has to know them before the film goes by."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ..color.samples import decode_luma
from ..references.reference import Reference
from ..references.rules import settle
from ..remaster.scenes import CutDetector, Scenes
from ..video.reader import FormatChange, VideoReader

log = logging.getLogger(__name__)


def find_shots(source: Path, frames: Iterable[int]) -> dict[int, tuple[int, int]]:
    """First frame and end of the shots that some frames of a film lie in.

    The film is read from its start until the last of these shots has ended; memory does not grow with it.

    Args:
        source: a video or a folder of pictures.
        frames: their numbers.

    Returns:
        By frame; what lies behind the film's end is left out.
    """
    left, found = set(frames), {}
    detector, start = CutDetector(), 0

    def ended(cuts: Sequence[int]) -> None:
        nonlocal start
        for cut in cuts:
            found.update((frame, (start, cut)) for frame in left if frame < cut)
            left.difference_update(found)
            start = cut

    length = 0
    while left:
        try:
            with VideoReader(source, length, notes=not length) as reader:
                for frame in reader:
                    length = frame.index + 1
                    ended(detector.push(decode_luma(frame.planes, reader.info)))
                    if not left:
                        return found
            break
        except FormatChange as change:  # as good as a cut: what comes is looked at as another film
            ended([*detector.finish(), change.frame])
            detector, length = CutDetector(change.frame), change.frame
    ended([*detector.finish(), length])
    return found


def settle_for_film(
    references: Sequence[Reference],
    scenes: Scenes,
    source: Path,
    fps: Fraction | float,
) -> list[Reference]:
    """`references.settle` for a film on disk: shots that nobody has named are looked for in it.

    Args:
        references: as they were loaded.
        scenes: see `RemasterPipeline`.
        source: a video or a folder of pictures.
        fps: frames a second.

    Raises:
        InputError: see `references.settle`.
    """
    if not isinstance(scenes, str) or scenes == "none":
        return settle(references, () if isinstance(scenes, str) else scenes, fps)
    unknown = [(i, _frame(one, fps)) for i, one in enumerate(references) if one.scope == "shot" and one.shot is None]
    at = {i: frame for i, frame in unknown if frame is not None}
    if at:
        log.info("%s is read up to frame %d for the shots that references act in", source, max(at.values()))
        shots = find_shots(source, set(at.values()))
        found = {i: shots[frame] for i, frame in at.items() if frame in shots}
        references = [replace(one, shot=found[i]) if i in found else one for i, one in enumerate(references)]
    return settle(references, None, fps)


def _frame(reference: Reference, fps: Fraction | float) -> int | None:
    return round(reference.time * float(fps)) if reference.time is not None else reference.frame
