"""Frames worth colouring, out of a film and into a folder: pictures to paint, a contact sheet, a `references.toml`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..color.samples import decode_luma
from ..film.writing import ProgressCallback
from ..references.manifest import NAME, Entry, Manifest, write_manifest
from ..remaster.colorizer import Colorizer
from ..remaster.options import ColorizeOptions, RestoreOptions
from ..remaster.pipeline import RemasterPipeline
from ..system.files import make_folder
from ..video.reader import VideoReader
from .contact_sheet import SHEET, check_new, filled, put, sheet, tile
from .coverage import AROUND, Cover, Described, check_amount, cover, describe
from .focus import steady
from .parts import needed_parts, restored_parts

log = logging.getLogger(__name__)

ORIGIN = "film"
_DAMAGE = 4.0  # what the damaged share of a frame costs, beside its sharpness of 0..1


@dataclass(frozen=True)
class Picked:
    """One frame.

    Attributes:
        frame: its number.
        shot: first frame and end of its shot.
        share: of the film's frames that it covers best.
        path: of the picture, or where it will be.
    """

    frame: int
    shot: tuple[int, int]
    share: float
    path: Path


def pick_references(
    source: Path,
    folder: Path,
    *,
    count: int = 0,
    coverage: float = 0.0,
    restore: RestoreOptions | None = RestoreOptions(),
    colorize: ColorizeOptions | Colorizer = ColorizeOptions(),
    progress: ProgressCallback = lambda done, total: None,
) -> tuple[list[Picked], float]:
    """Choose the frames of a film that are worth colouring and write them, restored and numbered.

    The film is read twice; memory grows by a few bytes a frame. Round every chosen frame the sharpest is taken that
    shows little damage.

    Args:
        source: a video or a folder of pictures.
        folder: gets PNG files whose names are frame numbers, `sheet/contact-sheet.png` and `references.toml`; made
            where it is missing.
        count: see `coverage.cover`.
        coverage: see `coverage.cover`.
        restore: how the pictures are restored; None: they are written as they are. They keep their size, whatever the
            scale: the film is coloured from pictures of any size.
        colorize: whose features are compared.
        progress: called with the frames read in the first pass and how many there will be.

    Returns:
        What was picked, in the order of usefulness, and how well it covers the film.

    Raises:
        RemasterError: anything wrong with what was given; a folder that holds references already.
    """
    check_new(folder)
    check_amount(count, coverage)
    colorizer = Colorizer(colorize) if isinstance(colorize, ColorizeOptions) else colorize
    with torch.inference_mode():
        film = _describe(source, colorizer, progress)
        chosen = cover(film, count, coverage)
        pictures = _best(source, film, chosen.frames, restore)
    picked = _write(folder, film, chosen, pictures)
    return picked, chosen.covered[-1]


def _describe(source: Path, colorizer: Colorizer, progress: ProgressCallback) -> Described:
    with VideoReader(source) as reader:

        def lumas() -> Iterator[Tensor]:
            for frame in reader:
                yield decode_luma(frame.planes, reader.info)
                progress(frame.index + 1, reader.expected)

        return describe(lumas(), colorizer)


@dataclass
class _Place:
    """The neighbourhood of a chosen frame, and the best frame found in it so far."""

    first: int
    stop: int
    score: float = -np.inf
    frame: int = -1
    luma: Tensor | None = None


def _best(
    source: Path, film: Described, frames: Sequence[int], restore: RestoreOptions | None
) -> dict[int, tuple[int, Tensor]]:
    """By chosen frame, the frame near it that is best to paint: its number and luma `[1, H, W]`."""
    cuts, length = film.survey.cuts, len(film.survey.sharpness)
    sharp = steady(film.survey.sharpness, sorted({film.shot(frame) for frame in frames}))
    places = {}
    for frame in frames:
        first, stop = film.shot(frame)
        places[frame] = _Place(max(first, frame - AROUND), min(stop, frame + AROUND + 1))
    pipeline = RemasterPipeline(replace(restore, scale=1), None, (), cuts) if restore else None
    parts = needed_parts([(place.first, place.stop) for place in places.values()], pipeline, length)
    for picture in restored_parts(source, parts, pipeline):
        damage = 0.0 if picture.mask is None else float(picture.mask.mean())
        for place in places.values():
            if place.first <= picture.index < place.stop:
                top = max(sharp[n] for n in range(place.first, place.stop))
                score = (sharp[picture.index] / top if top > 0 else 1.0) - _DAMAGE * damage
                if score > place.score:
                    place.score, place.frame, place.luma = score, picture.index, picture.luma
    best = {}
    for frame, place in places.items():
        assert place.luma is not None  # all its frames have gone by
        best[frame] = place.frame, place.luma
    return best


def _write(folder: Path, film: Described, chosen: Cover, pictures: dict[int, tuple[int, Tensor]]) -> list[Picked]:
    with filled(folder) as place:
        return [replace(one, path=folder / one.path.name) for one in _write_into(place, film, chosen, pictures)]


def _write_into(folder: Path, film: Described, chosen: Cover, pictures: dict[int, tuple[int, Tensor]]) -> list[Picked]:
    make_folder((folder / SHEET).parent)
    digits = max(7, len(str(len(film.survey.sharpness))))
    picked, tiles, entries = [], {}, {}
    for given, share in zip(chosen.frames, chosen.shares):
        frame, luma = pictures[given]
        if frame in tiles:  # two neighbourhoods with one best frame
            continue
        pixels = np.repeat((luma[0].clamp(0, 1).cpu() * 255).round().numpy().astype(np.uint8)[..., None], 3, 2)
        path = folder / f"{frame:0{digits}}.png"
        put(path, pixels)
        shot = film.shot(frame)
        entries[frame] = Entry(picture=path.name, frame=frame, shot=shot, origin=ORIGIN)
        tiles[frame] = tile(pixels, f"{frame}  ({100 * share:.0f} %)")
        picked.append(Picked(frame, shot, share, path))
    put(folder / SHEET, sheet([tiles[frame] for frame in sorted(tiles)]))
    write_manifest(folder / NAME, Manifest(tuple(entries[frame] for frame in sorted(entries))))
    return picked
