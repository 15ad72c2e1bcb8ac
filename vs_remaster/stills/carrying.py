"""Colour carried along: frames near each reference are coloured outward from it, and become references themselves.

A match is then sought a few frames away, not forty: what turns, comes nearer or moves fast changes little from one step
to the next. Errors add up on the way. So such a picture is opaque only where the given references show nothing that is
much alike, and where its own colours are sure; its weight is low, and of all of them only the nearest acts.
"""

from __future__ import annotations

import json
import logging
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..color.matrices import fitted_rgb
from ..errors import InputError, UnsupportedError
from ..film.shots import seen_shots, settle_for_film
from ..film.writing import ProgressCallback
from ..models.evenness import doubt
from ..models.layers import NO_HALO
from ..references.manifest import CARRIED, NAME, Entry, Manifest, Origin, Scope, check_weight, write_manifest
from ..references.reference import Reference, load_references
from ..references.rules import beyond, settle
from ..remaster.colorizer import Colorizer
from ..remaster.memory import ReferenceSet
from ..remaster.merging import fit_size
from ..remaster.options import (
    CARRY_REACH,
    CARRY_WEIGHT,
    CARRY_WHOLE_WEIGHT,
    ColorizeOptions,
    PrepareOptions,
    RestoreOptions,
)
from ..remaster.picture import Picture
from ..remaster.pipeline import RemasterPipeline
from ..remaster.scenes import Scenes
from ..remaster.worker import resize
from ..system.files import make_folder
from ..video.reader import VideoReader
from .contact_sheet import SHEET, check_new, filled, put, sheet, tile
from .copies import kept_in, made_once, stamp_of
from .parts import needed_parts, restored_parts

log = logging.getLogger(__name__)

STEP = 8
"""Frames from one picture of a chain to the next. With 16 next to nothing is gained."""
_SHOWN = 0.9  # best cosine from which the given references show a place well enough by themselves
_SURE = 0.5  # how far a colour has to be trusted to be carried on


class Span(NamedTuple):
    """Frames `first` to `stop` to which colour is carried from `frame`; `within`: its shot, as far as the reference
    acts."""

    frame: int
    first: int
    stop: int
    within: tuple[int, int]

    def acts_in(self, start: int, end: int | None) -> bool:
        """Whether what is carried along it acts in any frame from `start` to `end`."""
        return self.within[1] > start and (end is None or self.within[0] < end)

    def chain(self, way: int) -> list[int]:
        """The frames that are coloured one after the other, before (-1) or behind (1) the reference."""
        grid = [n for n in range(-(-self.first // STEP) * STEP, self.stop, STEP) if abs(n - self.frame) > STEP // 2]
        return [n for n in grid if n > self.frame] if way > 0 else [n for n in grid[::-1] if n < self.frame]


def carry_references(
    source: Path,
    references: Sequence[Reference],
    folder: Path,
    *,
    reach: int = CARRY_REACH,
    weight: float | None = None,
    restore: RestoreOptions | None = RestoreOptions(),
    colorize: ColorizeOptions | Colorizer = ColorizeOptions(),
    prepare: PrepareOptions = PrepareOptions(),
    scenes: Scenes = "auto",
    start: int = 0,
    end: int | None = None,
    fps: Fraction | None = None,
    progress: ProgressCallback = lambda done, total: None,
) -> list[Path]:
    """Colour frames before and after each reference, a few frames from one to the next, and write them as references.

    The film is read twice, the second time round the references only. One in two frames of a chain is written: one for
    each block of frames that a colorizer makes at once.

    Args:
        source: a video or a folder of pictures.
        references: to colour from. Colour is carried from those that show a frame of the film and are in use.
        folder: gets PNG files whose names are frame numbers, a contact sheet and `references.toml`.
        reach: frames each way, 12 to 1000, within the shot; where another reference is nearer, that one is carried on.
        weight: above 0, up to 1000, of all pictures that are made; None: `CARRY_WEIGHT`, or `CARRY_WHOLE_WEIGHT` where
            the engine cannot tell which of their places are wanted.
        restore: how frames are restored first; None: they are coloured as they are.
        prepare: what is done to them before that.
        colorize: what colours them; saturation and look-up table are left out.
        scenes: see `RemasterPipeline`.
        start, end: frames of the film that will be coloured; None: to its end. Colour is carried in their shots only.
        fps: see `VideoReader`.
        progress: called with the frames coloured and how many there will be.

    Returns:
        The pictures, in the order of their frames; none where no frame of a reference's shot is far enough from it.

    Raises:
        RemasterError: anything wrong with what was given; no reference shows a frame; a network that cannot weigh
            references; a folder that holds references already.
    """
    check_new(folder)
    if weight is not None and not check_weight(weight, "references carry"):
        raise InputError("references carry: weight 0 would never be used: give 0.1 or so")
    if not STEP + STEP // 2 <= reach <= 1000:
        raise InputError(f"reach must be 12 to 1000 frames, got {reach}")
    colorizer = Colorizer(colorize) if isinstance(colorize, ColorizeOptions) else colorize
    colorizer = colorizer.like(_plain(colorizer.options))
    weight = _weight(colorizer) if weight is None else weight
    if not colorizer.info.weighs_references:
        raise UnsupportedError(f"colour cannot be carried by model {colorizer.model}, which weighs no references")
    with VideoReader(source, fps=fps) as reader:
        rate, frames = reader.info.fps, reader.info.frames
    if text := beyond(settle([replace(one, scope="film") for one in references], None, rate), frames):
        raise InputError(text)
    settled = settle_for_film(references, scenes, source, rate)
    known = _scopes(settled)
    if not known:
        raise InputError(
            "no reference is known to show a frame of the film, so there is nothing to carry colour from (those of "
            "weight 0 and those that were carried do not count): give its frame in references.toml or as the last "
            "number of its name"
        )
    last = max(known) if end is None else min(max(known), end - 1)
    shots = _shots(source, last, scenes, prepare.bad_frames, fps)
    spans = [span for span in spans_of(settled, shots, reach) if span.acts_in(start, end)]
    cuts = [first for first, _ in shots[1:]]
    with torch.inference_mode():
        same = None if restore is None else replace(restore, scale=1)
        pipeline = RemasterPipeline(same, None, (), cuts, prepare=prepare) if same or prepare else None
        parts = needed_parts([(span.first, span.stop) for span in spans], pipeline, shots[-1][1])
        film = restored_parts(source, parts, pipeline, fps)
        memory = colorizer.encode_references(settled)
        with filled(folder) as place:
            names = _write(place, carry(film, spans, colorizer, memory, weight, progress), weight)
    return [folder / name for name in names]


def carried_references(
    source: Path,
    references: Sequence[Reference],
    *,
    reach: int = CARRY_REACH,
    lines: int | None = None,
    keep: Path | None = None,
    restore: RestoreOptions | None = RestoreOptions(),
    colorize: ColorizeOptions | Colorizer = ColorizeOptions(),
    prepare: PrepareOptions = PrepareOptions(),
    scenes: Scenes = "auto",
    start: int = 0,
    end: int | None = None,
    fps: Fraction | None = None,
    progress: ProgressCallback = lambda done, total: None,
) -> list[Reference]:
    """The references and those that `carry_references` makes of them, by frame number, as `load_references` has them.

    Args:
        lines: see `load_references`.
        keep: a folder for the pictures, which are used again while neither film nor references nor options have
            changed; None: nothing is kept.
        source, references, reach, restore, colorize, prepare, scenes, start, end, fps, progress: see
            `carry_references`.
    """
    options = colorize if isinstance(colorize, ColorizeOptions) else colorize.options
    told: list[object] = [*stamp_of(source), reach, start, end, str(fps), CARRY_WEIGHT, _SHOWN, _SURE]
    told += map(repr, (restore, replace(_plain(options), device=""), scenes, prepare))
    told += [
        json.dumps([one.digest, one.frame, one.time, one.weight, one.scope, one.shot, one.likeness, one.nearest])
        for one in references
    ]

    def make(folder: Path) -> bool:
        paths = carry_references(
            source, references, folder, reach=reach,
            restore=restore, colorize=colorize, prepare=prepare, scenes=scenes, start=start, end=end, fps=fps,
            progress=progress,
        )  # fmt: skip
        log.info("pictures that colour was carried to: %d", len(paths))
        return bool(paths)

    with kept_in(keep) as place:
        folder = made_once(place, "carried", told, make)
        made = load_references(folder, lines=lines) if folder else []
        every = [*references, *(made if keep else [replace(one, path=None) for one in made])]
        return sorted(every, key=lambda one: (one.frame is None, one.frame or 0))


def carry_in_clip(
    colorizer: Colorizer,
    luma: Tensor,
    references: Sequence[Reference],
    cuts: Sequence[int] = (),
    *,
    reach: int = CARRY_REACH,
    weight: float | None = None,
) -> list[Reference]:
    """As `carried_references`, for a whole clip that lies in memory.

    Args:
        luma: `[T, 1, H, W]`, 0..1, as it will be coloured.
        references: some of which show frames of the clip.
        cuts: frames that start a scene.
        colorizer, reach, weight: see `carry_references`.
    """
    weight = _weight(colorizer) if weight is None else weight
    settled = settle(references, cuts)
    shots = list(pairwise([0, *sorted({*cuts} - {0}), len(luma)]))
    spans = spans_of(settled, shots, reach)
    pictures = (Picture(luma=frame, chroma=None, index=number) for number, frame in enumerate(luma))
    made = []
    for one in carry(
        pictures, spans, colorizer.like(_plain(colorizer.options)), colorizer.encode_references(settled), weight
    ):
        rgb, opacity = torch.from_numpy(one.pixels.transpose(2, 0, 1).astype(np.float32) / 255).split([3, 1])
        name = f"{one.frame:07}.png"
        picture = Reference(name, rgb.contiguous(), one.frame, weight, one.span.within, origin=CARRIED, nearest=1)
        made.append(_showing(picture, opacity[0]))
    return [*settled, *made]


def _plain(options: ColorizeOptions) -> ColorizeOptions:
    """The same, with colours as they are carried: what is done to them afterwards would be done twice."""
    return replace(options, saturation=1.0, saturation_hues=(), lut=None)


def _weight(colorizer: Colorizer) -> float:
    """What is carried weighs if nobody says."""
    return CARRY_WEIGHT if colorizer.engine.tells_places else CARRY_WHOLE_WEIGHT


def _scopes(references: Iterable[Reference]) -> dict[int, list[Scope]]:
    """By the frames from which colour is carried, ascending, the scopes of the references that show each."""
    found: dict[int, list[Scope]] = {}
    for one in references:
        if one.frame is not None and one.weight > 0 and one.nearest is None:
            found.setdefault(one.frame, []).append(one.scope)
    return dict(sorted(found.items()))


def _shots(source: Path, last: int, scenes: Scenes, lost: Sequence[int], fps: Fraction | None) -> list[tuple[int, int]]:
    """First frames and ends of the shots up to the one that the frame `last` lies in."""
    shots = []
    for shot in seen_shots(source, lambda luma: None, scenes, lost=lost, fps=fps):
        shots.append((shot.first, shot.last))
        if shot.last > last:
            break
    return shots


def spans_of(references: Sequence[Reference], shots: Sequence[tuple[int, int]], reach: int) -> list[Span]:
    """Where colour is carried to from settled references, ascending: every frame to which it is carried belongs to the
    nearest of them in its shot."""
    starts = [first for first, _ in shots]
    scopes = _scopes(references)
    placed = [(frame, shots[bisect_right(starts, frame) - 1]) for frame in scopes if frame < shots[-1][1]]
    # half way to the neighbours, if they lie in the same shot
    between = [(a + b + 1) // 2 if shot == other else None for (a, shot), (b, other) in pairwise(placed)]
    spans = []
    for (frame, shot), before, behind in zip(placed, [None, *between], [*between, None]):
        within = _acting(scopes[frame], shot)
        first, stop = max(within[0], frame - reach), min(within[1], frame + reach + 1)
        first = first if before is None else max(first, before)
        stop = stop if behind is None else min(stop, behind)
        if first < stop:
            spans.append(Span(frame, first, stop, within))
    return spans


def _acting(scopes: Iterable[Scope], shot: tuple[int, int]) -> tuple[int, int]:
    """The part of a shot in which references with these scopes act."""
    ranges = [scope if isinstance(scope, tuple) else (0, None) for scope in scopes]
    stops = [shot[1] if stop is None else stop for _, stop in ranges]
    return max(shot[0], min(first for first, _ in ranges)), min(shot[1], max(stops))


class Carried(NamedTuple):
    """A frame that colour was carried to along `span`: `pixels` `[H, W, 4]`, RGB and how opaque it is, 8 bits."""

    frame: int
    span: Span
    pixels: np.ndarray


def carry(
    pictures: Iterable[Picture],
    spans: Sequence[Span],
    colorizer: Colorizer,
    memory: ReferenceSet,
    weight: float,
    progress: ProgressCallback = lambda done, total: None,
) -> Iterator[Carried]:
    """Carry colour along spans.

    Args:
        pictures: the frames of the film in their order; gaps may be outside the spans.
        spans: in the order of their frames, see `spans_of`.
        colorizer: what colours.
        memory: the given references.
        weight: 0..1000, of what is made.
        progress: see `carry_references`.
    """
    film, total, done = _Film(pictures, colorizer), sum(len(span.chain(way)) for span in spans for way in (-1, 1)), 0
    for span in spans:
        film.read(span.first, span.stop)
        made: list[Carried] = []
        for way in (-1, 1):
            for one in _chain(span, way, film, colorizer, memory, weight):
                done += 1
                progress(done, total)
                if one is not None:
                    made.append(one)
        yield from sorted(made, key=lambda one: one.frame)


def _chain(
    span: Span, way: int, film: _Film, colorizer: Colorizer, memory: ReferenceSet, weight: float
) -> Iterator[Carried | None]:
    """Colour frames one after the other away from the reference, each from the given references and from the one
    before it: every second one, and None for the others. Each by itself: with the frames beside it, a chain takes three
    to four times as long and is no better."""
    known = memory
    for frame in span.chain(way):
        light = film.low(frame)
        ((chroma, _),) = colorizer.process([light], known, NO_HALO, frame)
        chroma = chroma.float().cpu()
        opacity = _opacity(light, frame, memory, known, colorizer)
        if not _holds_some(opacity):
            known = memory
            yield None
            continue
        last = Reference(f"frame {frame}", fitted_rgb(light, chroma), frame, weight, origin=CARRIED, nearest=1)
        last = _showing(last, opacity)
        known = memory.plus(last, colorizer.encode_references([last]).whole)
        if not is_kept(frame):
            yield None
            continue
        luma = film.full(frame)
        rgb = fitted_rgb(luma, fit_size(chroma[None], light[None], luma[None])[0])
        whole = F.interpolate(opacity[None, None], luma.shape[-2:])[0]
        yield Carried(frame, span, (torch.cat([rgb, whole]) * 255).round().byte().permute(1, 2, 0).numpy())


def _opacity(light: Tensor, frame: int, memory: ReferenceSet, known: ReferenceSet, colorizer: Colorizer) -> Tensor:
    """Where the colours of a frame `light` `[1, h, w]`, found from all that is `known`, are carried on, 0 or 1:
    `[h / 8, w / 8]`. Everywhere, where the engine does not tell places."""
    if not colorizer.engine.tells_places:
        return light.new_ones([side // 8 for side in light.shape[1:]])
    given, likeness = colorizer.match_map(light, memory, frame)
    shown = likeness >= _SHOWN
    if known is not memory:
        given, likeness = colorizer.match_map(light, known, frame)
    share = given.sum(0)
    return ((share - doubt(likeness, share) >= _SURE) & ~shown).float()


def _holds_some(opacity: Tensor) -> bool:
    """Whether anywhere 2 x 2 places are opaque: of specks alone nothing might be left at another `lines`."""
    return bool((F.max_pool2d(1 - opacity[None, None], 2, 1) == 0).any())


def _showing(picture: Reference, opacity: Tensor) -> Reference:
    """A picture with the luma of its frame, of which only what is opaque is known."""
    if opacity.all():
        return picture
    return replace(picture, known=F.interpolate(opacity[None, None], picture.rgb.shape[1:])[0, 0], in_film=True)


def is_kept(frame: int) -> bool:
    """Whether a frame of a chain becomes a reference: the middle one of a block."""
    return frame % (2 * STEP) == STEP


class _Film:
    """Frames, of which those of chains are held while they are wanted: luma at the size at which it is coloured, and of
    those that become references at full size, in 8 bits."""

    def __init__(self, pictures: Iterable[Picture], colorizer: Colorizer) -> None:
        self._pictures, self._colorizer, self._next = iter(pictures), colorizer, 0
        self._low: dict[int, Tensor] = {}
        self._full: dict[int, Tensor] = {}

    def read(self, first: int, stop: int) -> None:
        """Go on to the frame before `stop` and forget those before `first`."""
        for held in (self._low, self._full):
            for number in [number for number in held if number < first]:
                del held[number]
        while self._next < stop:
            picture = next(self._pictures)
            self._next = picture.index + 1
            if picture.index < first or picture.index % STEP:
                continue
            luma = picture.luma[None].float().cpu()
            self._low[picture.index] = resize(luma, self._colorizer.size(*luma.shape[-2:]))[0]
            if is_kept(picture.index):
                self._full[picture.index] = (luma[0].clamp(0, 1) * 255).round().byte()

    def low(self, number: int) -> Tensor:
        """Luma `[1, h, w]` of a frame of a chain."""
        return self._low[number]

    def full(self, number: int) -> Tensor:
        """Luma `[1, H, W]` of one that becomes a reference."""
        return self._full[number].float() / 255


def _write(folder: Path, made: Iterable[Carried], weight: float) -> list[str]:
    """Write what colour was carried to: the names of the pictures."""
    tiles, entries = [], []
    for frame, span, pixels in made:
        name = f"{frame:07}.png"
        bgr, opacity = np.ascontiguousarray(pixels[..., 2::-1]), pixels[..., 3:]
        clear = not opacity.all()
        put(folder / name, np.concatenate([bgr, opacity], 2) if clear else bgr)
        entries.append(Entry(picture=name, frame=frame, scope=span.within, origin=CARRIED))
        gray = bgr.mean(2, keepdims=True).astype(np.uint8)
        tiles.append(tile(np.where(opacity > 0, bgr, gray), f"{frame}  (from {span.frame})"))
    if tiles:
        make_folder((folder / SHEET).parent)
        put(folder / SHEET, sheet(tiles))
    write_manifest(folder / NAME, Manifest(tuple(entries), {CARRIED: Origin(weight=weight, nearest=1)}))
    return [entry.picture for entry in entries]
