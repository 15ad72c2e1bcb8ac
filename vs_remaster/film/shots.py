"""Shots of a film on disk, for what has to know them before the film goes by."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from ..color.samples import decode_luma
from ..references.reference import Reference
from ..references.rules import settle
from ..remaster.levels import ShotLevels, find_levels, measure
from ..remaster.scenes import CutDetector, Scenes
from ..video.reader import FormatChange, VideoReader

log = logging.getLogger(__name__)


@dataclass
class SeenShot[Look]:
    """Frames `first` to `last` (not included) between two cuts, and what was seen in each."""

    first: int
    last: int
    looks: list[Look]


def seen_shots[Look](
    source: Path,
    look: Callable[[Tensor], Look],
    scenes: Scenes = "auto",
    *,
    lost: Collection[int] = (),
    fps: Fraction | None = None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[SeenShot[Look]]:
    """The shots of a film in order, while it is read from its start; who has met all that matter stops.

    Where the size or format changes a shot ends, too: what comes is looked at as another film.

    Args:
        source: a video or a folder of pictures.
        look: called for every frame with its luma, `[1, H, W]`, 0..1.
        scenes: see `RemasterPipeline`.
        lost: frames that show nothing of the film, see `CutDetector`.
        fps: see `VideoReader`.
        check: called for every frame; what it raises ends the work.
    """
    known = None if scenes == "auto" else frozenset() if scenes == "none" else frozenset(scenes)
    detector, shot = CutDetector(0, lost), SeenShot[Look](0, 0, [])

    def ended(cuts: Iterable[int]) -> Iterator[SeenShot[Look]]:
        nonlocal shot
        for cut in cuts:
            count = cut - shot.first
            if count:
                yield SeenShot(shot.first, cut, shot.looks[:count])
                shot = SeenShot(cut, shot.last, shot.looks[count:])

    more = True
    while more:
        try:
            with VideoReader(source, shot.last, fps=fps, notes=False) as reader:
                for frame in reader:
                    check()
                    luma = decode_luma(frame.planes, reader.info)
                    if known is not None and frame.index in known:
                        yield from ended([frame.index])
                    shot.last = frame.index + 1
                    shot.looks.append(look(luma))
                    if known is None:
                        yield from ended(detector.push(luma))
            more = False
        except FormatChange as change:
            yield from ended([*(detector.finish() if known is None else []), change.frame])
            detector = CutDetector(change.frame, lost)
    yield from ended([*(detector.finish() if known is None else []), shot.last])


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
    if left:
        for shot in seen_shots(source, lambda luma: None):
            found.update((frame, (shot.first, shot.last)) for frame in left if frame < shot.last)
            left.difference_update(found)
            if not left:
                break
    return found


def measure_levels(
    source: Path,
    start: int = 0,
    end: int | None = None,
    scenes: Scenes = "auto",
    *,
    lost: Collection[int] = (),
    fps: Fraction | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[ShotLevels]:
    """Levels of the shots of a part of a film; each whole shot is looked at, also where it lies in the part in part.

    Args:
        source: a video or a folder of pictures.
        start: first frame of the part.
        end: first frame behind it; None: to the end.
        scenes, lost, fps, check: see `seen_shots`; lost frames are left out.
    """
    found = []
    for shot in seen_shots(source, measure, scenes, lost=lost, fps=fps, check=check):
        if shot.last > start:
            levels = find_levels(sound(shot.looks, shot.first, lost))
            found.append(ShotLevels(shot.first, shot.last, levels))
            if levels:
                log.info("frames %d to %d: levels %g,%g", shot.first, shot.last - 1, levels.low, levels.high)
        if end is not None and shot.last >= end:
            break
    return found


def sound[Look](looks: Sequence[Look], first: int, lost: Collection[int]) -> list[Look]:
    """What was seen in consecutive frames from `first` on, without those that are lost, if that leaves any."""
    return [look for number, look in enumerate(looks, first) if number not in lost] or list(looks)


def settle_for_film(
    references: Sequence[Reference],
    scenes: Scenes,
    source: Path,
    fps: Fraction | float,
) -> list[Reference]:
    """`references.settle` for a film on disk: shots that nobody has named are looked for in it, and pictures that are
    transparent in part are laid over the frames that they show.

    Args:
        references: as they were loaded.
        scenes: see `RemasterPipeline`.
        source: a video or a folder of pictures.
        fps: frames a second.

    Raises:
        InputError: see `references.settle`.
    """
    references = [laid_over(one, source, fps) for one in references]
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


def laid_over(reference: Reference, source: Path, fps: Fraction | float) -> Reference:
    """A reference on the frame of the film that it shows, see `Reference.over`; as it is where that is not known."""
    frame = _frame(reference, fps)
    if reference.known is None or reference.in_film or frame is None:
        return reference
    with VideoReader(source, frame, frame + 1, notes=False) as reader:
        for shown in reader:
            return reference.over(decode_luma(shown.planes, reader.info))
    return reference


def _frame(reference: Reference, fps: Fraction | float) -> int | None:
    return round(reference.time * float(fps)) if reference.time is not None else reference.frame
