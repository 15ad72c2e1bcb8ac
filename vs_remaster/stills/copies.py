"""Colour that other tools or other prints gave a film, as references: the other copy is laid beside the film by what it
shows, and frames of it become pictures in a folder of references."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..color.samples import decode_rgb
from ..errors import InputError
from ..film.writing import ProgressCallback
from ..references.manifest import NAME, Entry, Manifest, Origin, check_weight, write_manifest
from ..references.reference import FILM_EXTENSIONS, Reference, load_references
from ..remaster.colorizer import Colorizer
from ..remaster.options import ColorizeOptions
from ..system.files import give_name, make_folder, write_whole
from ..system.inputs import sha256
from ..system.texts import parse_json, read_bytes
from ..video.folder import files_of
from ..video.reader import VideoReader
from .alignment import Alignment, align
from .contact_sheet import SHEET, check_new, filled, put, sheet, tile
from .coverage import Described, check_amount, cover, cover_shots, describe, stand_ins
from .fingerprints import Area, Fingerprints, colourfulness, luma_of, picture_area

log = logging.getLogger(__name__)

RECORD = SHEET.with_name("alignment.json")
"""Where it is written down which frame belongs to which."""
_KEPT = SHEET.with_name("made-of.json")  # what a folder was made of, where it is kept
MOST = 240
"""Pictures at most where no number is asked for: at 432 lines one takes 5 MB with `fast`, 11 MB with `quality`."""
_COLORLESS = 0.012  # rms of Cb and Cr: what has less has no colour to give
_LISTED = 12  # stretches without a counterpart that are named in a message
_SQUEEZED = 0.01  # difference of two aspects that is no more than an inexact crop


@dataclass(frozen=True)
class Aligned:
    """What was found.

    Attributes:
        alignment: frame by frame.
        frames: numbers of the film's frames that there are pictures of now, ascending.
        lonely: how many of the film's shots there is no picture of.
        shots: how many it has.
    """

    alignment: Alignment
    frames: list[int]
    lonely: int
    shots: int


def align_references(
    source: Path,
    coloured: Path,
    folder: Path,
    *,
    count: int = 0,
    every: float = 0.0,
    coverage: float = 0.0,
    weight: float = 1.0,
    fps: Fraction | None = None,
    colorize: ColorizeOptions | Colorizer = ColorizeOptions(),
    progress: ProgressCallback = lambda done, total: None,
) -> Aligned:
    """Find the frames of a film in a coloured copy of it, and write some of those as references.

    Both films are read once, and the coloured one again up to the last picture; memory grows by 0.8 KB a frame of each.
    Pictures lose their black borders and get the film's aspect. They act in the shot that they show; where shots have
    none of their own, the most alike of the others act in the whole film.

    Args:
        source: the film that will be coloured, a video or a folder of pictures.
        coloured: the other copy, of any rate, size, crop and contrast; see `alignment`.
        folder: gets PNG files named by the film's frame numbers, `references.toml`, a contact sheet, and which frame
            belongs to which (`sheet/alignment.json`); made where it is missing.
        count: how many pictures at most.
        every: one picture so many seconds, in place of `count`.
        coverage: see `coverage.cover`. Without any of the three: one or two a shot, and `MOST` at most.
        weight: 0..1000, of all of them, see `manifest.Origin`.
        fps: of the film, see `VideoReader`.
        colorize: whose features say which frames are worth most.
        progress: called with the frames of both films that were read, and how many there will be.

    Raises:
        RemasterError: anything wrong with what was given; a folder that holds references already; nothing in common.
    """
    check_new(folder)
    check_weight(weight, "references align")
    if not 0 <= every < float("inf"):
        raise InputError(f"every must be a number of seconds above 0, got {every}")
    if count or coverage:
        check_amount(count, coverage)
    if source.exists() and coloured.exists() and source.samefile(coloured):
        raise InputError(f"{coloured} is the film itself: give another copy, one that has colours")
    colorizer = Colorizer(colorize) if isinstance(colorize, ColorizeOptions) else colorize
    with torch.inference_mode():
        areas = picture_area(source), picture_area(coloured)
        film, prints, rate, done, total = _look(source, areas[0], coloured, colorizer, progress, fps)
        others, colours = _prints(coloured, areas[1], done, total, progress)
        found = align(prints, others)
        _say(found, coloured)
        good = _good(found, colours, coloured)
        chosen = _chosen(film, good, count, every * rate, coverage)
        wide = stand_ins(film, chosen)
    origin = f"film:{coloured.name}"
    entries = [
        Entry(
            picture=_name(n),
            frame=n,
            scope="film" if n in wide else "shot",
            shot=film.shot(n),
            origin=origin,
        )
        for n in chosen
    ]
    with filled(folder) as place:
        make_folder((place / SHEET).parent)
        _write_pictures(place, coloured, areas, found, chosen)
        _record(place, found, source, coloured)
        write_manifest(place / NAME, Manifest(tuple(entries), {origin: Origin(weight=weight)}))
    shots = len(film.survey.cuts) + 1
    return Aligned(found, chosen, shots - len({film.shot(n) for n in chosen}), shots)


def film_references(
    paths: Sequence[Path],
    source: Path,
    *,
    lines: int | None = None,
    keep: Path | None = None,
    colorize: ColorizeOptions | Colorizer = ColorizeOptions(),
    progress: ProgressCallback = lambda done, total: None,
) -> list[Reference]:
    """`load_references` for a film on disk: films among the paths are taken for coloured copies of it and aligned.

    Args:
        paths: see `load_references`; also films.
        source: the film that will be coloured.
        lines: see `load_references`.
        keep: a folder for what was aligned, which is used again while neither film has changed; None: nothing is kept.
        colorize: see `align_references`.
        progress: see `align_references`.

    Raises:
        RemasterError: see `load_references` and `align_references`.
    """
    if not any(is_film(path) for path in paths):
        return load_references(paths, lines=lines)
    with kept_in(keep) as place:
        given = []
        for path in paths:
            given.append(path)
            if is_film(path):
                given[-1] = _aligned(path, source, place, colorize, progress)
        return load_references(given, lines=lines)


def is_film(path: Path) -> bool:
    """Whether a path given as a reference is a film."""
    return path.suffix.lower() in FILM_EXTENSIONS and path.is_file()


@contextmanager
def kept_in(keep: Path | None) -> Generator[Path]:
    """A folder for what is made on the way: `keep`, or one that is gone at the end."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="vs-remaster-") as place:
            yield Path(place)
    else:
        make_folder(keep)
        yield keep


def _aligned(
    path: Path, source: Path, place: Path, colorize: ColorizeOptions | Colorizer, progress: ProgressCallback
) -> Path:
    """The folder of references that a film has become."""

    def make(folder: Path) -> bool:
        align_references(source, path, folder, colorize=colorize, progress=progress)
        return True

    folder = made_once(place, path.name, [stamp_of(source), stamp_of(path)], make)
    assert folder is not None
    return folder


def stamp_of(path: Path) -> list[int | str]:
    """Tells a film from another one without reading it."""
    files = files_of(path) if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    newest = max((stat.st_mtime_ns for stat in stats), default=0)
    return [str(path.absolute()), len(files), sum(stat.st_size for stat in stats), newest]


def made_once(place: Path, name: str, told: Sequence[object], make: Callable[[Path], bool]) -> Path | None:
    """A folder of references in `place` that was made of what is `told`: one that is there already and as it was when
    it was made, or a new one, which appears when it is complete.

    Args:
        place: where it lies.
        name: what its name begins with.
        told: what JSON can hold.
        make: fills the folder that it gets; False: there is nothing to keep.

    Returns:
        The folder, or None where nothing was kept.
    """
    number = 0
    while (folder := place / f"{name}-{number}").exists():
        if _made_of(folder, told):
            return folder
        number += 1
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=place) as part:
        begun = Path(part, "made")
        if not make(begun):
            return None
        write_whole(begun / _KEPT, json.dumps({"made of": told, "files": _sums(begun)}).encode())
        try:
            give_name(begun, folder)
        except FileExistsError:  # another run was quicker
            if not _made_of(folder, told):
                raise
    return folder


def _made_of(folder: Path, told: Sequence[object]) -> bool:
    """Whether a folder was made of what is `told` and is as it was then."""
    try:
        kept = parse_json(read_bytes(folder / _KEPT))
        if kept["made of"] != list(told):
            return False
        if kept["files"] != _sums(folder):
            log.warning("pictures in %s were changed or are damaged: they are made again beside it", folder)
            return False
    except (OSError, InputError, ValueError, KeyError, TypeError):
        return False
    log.info("pictures from %s are used again", folder)
    return True


def _sums(folder: Path) -> dict[str, str]:
    """Checksums of the files in a folder, by their names."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}


# Looking at the films -------------------------------------------------------------------------------------------------


def _look(
    source: Path, area: Area, coloured: Path, colorizer: Colorizer, progress: ProgressCallback, fps: Fraction | None
) -> tuple[Described, Fingerprints, float, int, int | None]:
    """The film as the picker sees it, its fingerprints, its rate, frames read, and how many there are in both."""
    prints = Fingerprints()
    with VideoReader(coloured) as other:  # says what is unusual about it
        if other.info.kind == "gray":
            raise InputError(f"{coloured} has no colour to give ({other.info.pix_fmt})")
        theirs = other.expected
    with VideoReader(source, fps=fps, notes=False) as reader:
        total = None if theirs is None or reader.expected is None else reader.expected + theirs

        def lumas() -> Iterator[Tensor]:
            for frame in reader:
                luma = luma_of(frame.planes, reader.info)
                prints.push(luma[area.slices])
                yield torch.from_numpy(luma)[None]
                progress(frame.index + 1, total)

        film = describe(lumas(), colorizer)
        return film, prints, float(reader.info.fps), len(prints), total


def _prints(
    coloured: Path, area: Area, done: int, total: int | None, progress: ProgressCallback
) -> tuple[Fingerprints, np.ndarray]:
    """Fingerprints of the coloured film, and how much colour each of its frames has."""
    prints, colours = Fingerprints(), []
    with VideoReader(coloured, notes=False) as reader:
        for frame in reader:
            prints.push(luma_of(frame.planes, reader.info)[area.slices])
            colours.append(colourfulness(frame.planes, reader.info))
            progress(done + frame.index + 1, total)
    return prints, np.array(colours)


def _say(found: Alignment, coloured: Path) -> None:
    missing = found.missing()
    count = len(found.frames)
    if not found.found:
        raise InputError(
            f"{coloured} has none of the film's {count} frames: is it a copy of this film, not mirrored or turned?"
        )
    log.info(
        "%s of %s frames found in %s, at %.4g of its frames for one and a likeness of %.2f",
        f"{found.found:,}", f"{count:,}", coloured.name, found.rate,
        float(np.median(found.likeness[found.frames >= 0])),
    )  # fmt: skip
    if missing:
        listed = ", ".join(f"{first} to {stop - 1}" for first, stop in missing[:_LISTED])
        more = f" and {len(missing) - _LISTED} more stretches" if len(missing) > _LISTED else ""
        log.info("%s frames have no counterpart: %s%s", f"{count - found.found:,}", listed, more)


# Which frames become pictures -----------------------------------------------------------------------------------------


def _good(found: Alignment, colours: np.ndarray, coloured: Path) -> np.ndarray:
    """Numbers of the frames whose counterparts have colour."""
    matched = np.flatnonzero(found.frames >= 0)
    good = matched[colours[found.frames[matched]] >= _COLORLESS]
    if not len(good):
        raise InputError(f"{coloured} is gray where it shows the film: give a copy that has colours")
    return good


def _chosen(film: Described, good: np.ndarray, count: int, every: float, coverage: float) -> list[int]:
    """Frames of the film that become pictures, ascending."""
    if every:
        at = (np.arange(len(film.survey.sharpness) // every + 1) + 0.5) * every
        nearest = _nearest(good, at)
        return sorted({int(n) for n, wanted in zip(nearest, at) if abs(n - wanted) <= every / 2})
    places = _places(film, good)
    if count or coverage:
        chosen: Collection[int] = cover(film, count, coverage, places).frames
    else:
        chosen = cover_shots(film, places)
        if len(chosen) > MOST:
            log.info("%d pictures in place of %d, one or two a shot: -n asks for more", MOST, len(chosen))
            chosen = cover(film, MOST, among=chosen).frames
    return sorted({places[frame] for frame in chosen})


def _nearest(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Of ascending numbers the nearest to each of those wanted."""
    after = np.searchsorted(numbers, wanted).clip(0, len(numbers) - 1)
    before = (after - 1).clip(0)
    back = np.abs(numbers[before] - wanted) <= np.abs(numbers[after] - wanted)
    return np.where(back, numbers[before], numbers[after])


def _places(film: Described, good: np.ndarray) -> dict[int, int]:
    """For described frames the nearest frame of their shot that has a counterpart; those of shots without are left
    out."""
    out = {}
    for frame in film.frames:
        first, stop = film.shot(frame)
        own = good[np.searchsorted(good, first) : np.searchsorted(good, stop)]
        if len(own):
            out[frame] = int(_nearest(own, np.array([frame]))[0])
    return out


# Pictures -------------------------------------------------------------------------------------------------------------


def _name(frame: int) -> str:
    return f"{frame:07}.png"


def _write_pictures(
    folder: Path, coloured: Path, areas: tuple[Area, Area], found: Alignment, chosen: Sequence[int]
) -> None:
    wanted: dict[int, list[int]] = {}
    for n in chosen:
        wanted.setdefault(int(found.frames[n]), []).append(n)
    tiles, step = {}, -(-len(chosen) // MOST)
    shown = set(sorted(chosen)[::step])
    with VideoReader(coloured, end=max(wanted) + 1, notes=False) as reader:
        for frame in reader:
            for n in wanted.get(frame.index, ()):
                bgr = _picture(decode_rgb(frame.planes, reader.info), areas, found)
                put(folder / _name(n), bgr)
                if n in shown:
                    tiles[n] = tile(bgr, f"{n}  = {frame.index}  ({found.likeness[n]:.2f})")
    put(folder / SHEET, sheet([tiles[n] for n in sorted(tiles)]))


def _picture(rgb: Tensor, areas: tuple[Area, Area], found: Alignment) -> np.ndarray:
    """`[H, W, 3]` BGR of 8 bits: without borders, and as wide as the film shows it."""
    ours, theirs = areas
    pixels = (rgb.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()[..., ::-1][theirs.slices]
    height, width = pixels.shape[:2]
    shape = (ours.right - ours.left) / found.geometry.across, (ours.bottom - ours.top) / found.geometry.down
    wide = max(1, round(height * shape[0] / shape[1]))
    if abs(wide - width) > _SQUEEZED * width:
        pixels = cv2.resize(np.ascontiguousarray(pixels), (wide, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(pixels)


def _record(folder: Path, found: Alignment, source: Path, coloured: Path) -> None:
    held = {
        "films": [stamp_of(source), stamp_of(coloured)],
        "rate": found.rate,
        "missing": found.missing(),
        "frames": found.frames.tolist(),
        "likeness": [round(float(one), 3) for one in found.likeness],
    }
    write_whole(folder / RECORD, json.dumps(held).encode(), overwrite=False)
