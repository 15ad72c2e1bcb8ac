"""What is to be done to a film: chunks, what each depends on, and whether a job that was begun is the same one."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from ... import weights
from ...errors import InputError
from ...film.remastering import context
from ...film.request import will_color
from ...models import info as info_of
from ...output.codecs import codec_info
from ...output.encoding import Encoding
from ...output.formats import OutputFormat
from ...references.reference import Reference, load_references
from ...remaster.colorizer import Colorizer
from ...remaster.options import AUTOMATIC, ColorizeOptions, PrepareOptions, RestoreOptions
from ...remaster.preparing import windows_of as preparing_windows
from ...remaster.restorer import Restorer
from ...remaster.restorer import windows_of as restoring_windows
from ...remaster.window import Window
from ...remaster.worker import chosen_model, guesses_beside, window_of
from ...system import texts
from .identity import computation, digest, samples_of, together
from .options import CHUNK_FRAMES
from .shot_masks import ShotMasks
from .shot_settings import ShotSettings
from .survey import Shot, Survey

_NOTHING = PrepareOptions()
_CHUNK_BYTES = 4 << 30  # of samples; FFV1 makes about a third of them


@dataclass(frozen=True)
class Segment:
    """Frames `first` to `last` (not included) of one chunk that are done alike.

    Attributes:
        restore: None: the luma stays as it is.
        colorize: None: the colours stay as they are.
        references: `digest` of those to colour from.
        repair, protect: names of masks, see `Work`; None: without.
        prepare: with the lost frames that these depend on.
    """

    first: int
    last: int
    restore: RestoreOptions | None
    colorize: ColorizeOptions | None
    references: tuple[str, ...]
    repair: str | None = None
    protect: str | None = None
    prepare: PrepareOptions = field(default_factory=PrepareOptions)

    def is_like(self, other: Segment) -> bool:
        """Whether other frames are done alike."""
        return self == replace(other, first=self.first, last=self.last)


@dataclass(frozen=True)
class Chunk:
    """Frames `first` to `last` (not included), which are made in one go and kept in one file.

    Attributes:
        segments: its parts, in order.
        key: of everything that its frames depend on; a chunk with the same key has the same frames.
        suffix: of its file.
        masks: what was repaired is kept beside it.
    """

    first: int
    last: int
    segments: tuple[Segment, ...]
    key: str
    suffix: str = ".mkv"
    masks: bool = False

    @property
    def name(self) -> str:
        """Of its files, without the ending."""
        return f"{self.first:06d}-{self.last:06d}"

    @property
    def frames(self) -> int:
        """How many it has."""
        return self.last - self.first

    def segment(self, frame: int) -> Segment:
        """The part that a frame lies in."""
        return next(part for part in self.segments if part.first <= frame < part.last)


@dataclass(frozen=True)
class Coding:
    """How the frames of chunks are encoded, where chunks are joined as they are.

    Attributes:
        encoding: of the output.
        times: time and duration of every frame that is written, in its ticks.
        start: number of the first.
    """

    encoding: Encoding
    times: tuple[tuple[int, int], ...]
    start: int

    @property
    def suffix(self) -> str:
        """Of a chunk's file."""
        return codec_info(self.encoding.codec).chunk_suffix

    def of(self, first: int, last: int) -> tuple[tuple[int, int], ...]:
        """`times` of a run of frames."""
        return self.times[first - self.start : last - self.start]


@dataclass(frozen=True)
class Work:
    """Everything that makes chunks, but for the networks; it can be sent to another process.

    Attributes:
        source: the film.
        folder: of the chunks.
        restore: see `remaster_film`.
        colorize: see `remaster_film`.
        references: by `digest`.
        windows: of the networks, in order; before them come those of what is prepared.
        prepare: with the lost frames of all shots.
        out: the frames that the encoder will get.
        survey: of the film.
        threads: of a network on a CPU: another number rounds otherwise.
        coding: None: chunks are kept without loss and encoded when all are there.
        fps: see `VideoReader`.
        masks: paths of those that a person gives, by name.
    """

    source: Path
    folder: Path
    restore: RestoreOptions | None
    colorize: ColorizeOptions | None
    references: dict[str, Reference]
    windows: tuple[Window, ...]
    out: OutputFormat
    survey: Survey
    threads: int
    coding: Coding | None = None
    fps: Fraction | None = None
    masks: dict[str, Path] = field(default_factory=dict)
    prepare: PrepareOptions = field(default_factory=PrepareOptions)

    def reach(
        self,
        first: int,
        last: int,
        windows: Sequence[Window] | None = None,
        prepare: PrepareOptions = _NOTHING,
    ) -> tuple[int, int]:
        """First and last frame (not included) that a run of frames depends on; nothing looks across a cut. `windows`:
        the last of the networks, None: all; `prepare`: what comes before them."""
        windows = [*preparing_windows(prepare), *(self.windows if windows is None else windows)]
        before, after = context(windows, first, last) if windows else (0, 0)
        begin, _ = self.survey.scene(first)
        _, end = self.survey.scene(last - 1)
        return max(first - before, begin), min(last + after, end)

    def preparing(self, first: int, last: int, prepare: PrepareOptions) -> PrepareOptions:
        """How a run of frames is prepared: with those lost frames alone that it depends on."""
        low, high = self.reach(first, last, prepare=replace(prepare, bad_frames=(0,)))
        return replace(prepare, bad_frames=tuple(n for n in self.prepare.bad_frames if low <= n < high))


def options_of(worker: RestoreOptions | ColorizeOptions | Restorer | Colorizer | None) -> Any:
    """The options of a network that is loaded, or those that it will be loaded with."""
    return worker.options if isinstance(worker, Restorer | Colorizer) else worker


def windows_of(restore: RestoreOptions | None, colorize: ColorizeOptions | None) -> tuple[Window, ...]:
    """The windows of networks that need not be loaded to where they will run.

    Raises:
        InputError: no such model, or one that cannot do what is asked.
    """
    # a shot may be restored, or sharpened, where the film is not
    found = restoring_windows(replace(restore, strength=1.0, sharpness=1.0)) if restore else []
    if colorize:
        facts = info_of(weights.load_model("colorizer", chosen_model("colorizer", colorize)))
        beside = [info_of(weights.load_model("colorizer", AUTOMATIC))] if guesses_beside(facts, colorize) else []
        found.append(window_of(facts, *beside))
    return tuple(found)


def chunk_length(out: OutputFormat, frames: int = CHUNK_FRAMES) -> int:
    """Frames that a chunk has at most: as many as are asked for, unless they are very large."""
    return max(1, min(frames, _CHUNK_BYTES // out.frame_bytes))


def chunk_table(shots: Sequence[Shot], length: int, windows: Sequence[Window]) -> list[tuple[int, int]]:
    """Cut a film into chunks: at cuts; shots longer than a chunk also between them, where all blocks begin.

    Args:
        shots: of the film.
        length: frames that a chunk should have at most; parts of a shot have a multiple of all blocks.
        windows: of the networks.

    Returns:
        (first, last) of each; short neighbours share a chunk.
    """
    grid = math.lcm(*(window.block for window in windows))
    length = max(grid, length)
    table: list[tuple[int, int]] = []
    for shot in shots:
        if table and shot.last - table[-1][0] <= length:
            table[-1] = table[-1][0], shot.last
        elif shot.last - shot.first <= length:
            table.append((shot.first, shot.last))
        else:
            table += _split(shot.first, shot.last, length // grid * grid, grid)
    return table


def _split(first: int, last: int, length: int, grid: int) -> Iterator[tuple[int, int]]:
    edges = [first, *range((first + length) // grid * grid, last, length), last]
    return pairwise(edges)


def plan_chunks(
    work: Work,
    film: str,
    table: Sequence[tuple[int, int]],
    settings: Sequence[ShotSettings],
    references: Sequence[str],
    own: Sequence[tuple[str, ...] | None],
    masks: ShotMasks,
    *,
    keep_masks: bool = False,
) -> list[Chunk]:
    """Say how each chunk is made.

    Args:
        work: what is common to all.
        film: its `fingerprint`.
        table: of the chunks.
        settings: of every shot.
        references: digests of those of the film, in order.
        own: digests of those of every shot; None: those of the film.
        masks: that a person gives.
        keep_masks: what was repaired is kept.
    """
    computed = {name: computation(f"{name}r", getattr(work, name)) for name in ("restore", "colorize")}
    done = [
        (
            *_done(work, shot, references if mine is None else mine),
            _prepared(work, shot),
            *((None, None) if shot.skip else given),
        )
        for shot, mine, given in zip(settings, own, masks.names)
    ]
    suffix = work.coding.suffix if work.coding else Chunk.suffix
    chunks = []
    for first, last in table:
        segments: list[Segment] = []
        for shot, way in zip(work.survey.shots, done):
            begin, end = max(first, shot.first), min(last, shot.last)
            if begin >= end:
                continue
            restore, colorize, named, prepare, *given = way
            prepare = work.preparing(begin, end, prepare)
            segment = Segment(begin, end, restore, colorize, _acting(work, named, begin, end), *given, prepare=prepare)
            if segments and segments[-1].is_like(segment):
                segments[-1] = replace(segments[-1], last=end)
            else:
                segments.append(segment)
        key = _key(work, film, computed, segments, masks, first, last)
        chunks.append(Chunk(first, last, tuple(segments), key, suffix, keep_masks))
    return chunks


def _acting(work: Work, names: tuple[str, ...], first: int, last: int) -> tuple[str, ...]:
    """Those references that can act on a run of frames or on what the networks see round it: another one may change
    without the frames being made again. All where none can, for then the frames stay gray, unless they get a guess."""
    low, high = work.reach(first, last)

    def acts(name: str) -> bool:
        scope = work.references[name].scope
        if isinstance(scope, str):
            return scope == "film"
        return scope[0] < high and (scope[1] is None or low < scope[1])

    acting = tuple(name for name in names if acts(name))
    guessed = work.colorize is not None and work.colorize.automatic
    return acting if guessed else acting or names


def _done(
    work: Work, shot: ShotSettings, references: Sequence[str]
) -> tuple[RestoreOptions | None, ColorizeOptions | None, tuple[str, ...]]:
    """How a shot is done."""
    restore = work.restore
    if restore and shot.skip:  # what is left as it is gets the size of all the others
        shot, restore = replace(shot, strength=0.0, levels=None), replace(restore, levels=None)
        restore = restore if restore.scale > 1 else None
    colorize = work.colorize if shot.color and not shot.skip and will_color(work.colorize, references) else None
    if restore:
        names = ("strength", "grain", "sharpness", "levels")
        changed = {name: getattr(shot, name) for name in names if getattr(shot, name) is not None}
        restore = replace(restore, **changed)
    if colorize and shot.saturation is not None:
        colorize = replace(colorize, saturation=float(shot.saturation))
    if colorize and shot.saturation_hues is not None:
        colorize = replace(colorize, saturation_hues=shot.saturation_hues)
    return restore, colorize, tuple(references) if colorize else ()


def _prepared(work: Work, shot: ShotSettings) -> PrepareOptions:
    """How the frames of a shot are prepared; its size is that of all the others."""
    steady = work.prepare.steady if shot.steady is None else float(shot.steady)
    return replace(work.prepare, steady=0.0 if shot.skip else steady)


def _key(
    work: Work,
    film: str,
    computed: dict[str, Any],
    segments: Sequence[Segment],
    masks: ShotMasks,
    first: int,
    last: int,
) -> str:
    told = []
    for part in segments:
        low, high = work.reach(part.first, part.last, prepare=part.prepare)
        told.append(
            {
                "frames": [part.first, part.last, low, high],
                "cuts": [cut for cut in work.survey.cuts if low < cut < high],
                "restore": part.restore
                and [
                    part.restore.strength,
                    part.restore.grain,
                    part.restore.sharpness,
                    *(part.restore.levels or ()),
                ],
                "colorize": part.colorize and part.colorize.saturation,
                **_own_hues(work, part),
                "references": together(part.references),
                **({"prepare": asdict(part.prepare)} if part.prepare else {}),
                **_drawn(work, part, masks),
            }
        )
    everything: dict[str, Any] = {"film": film, "samples": samples_of(work.out), "computed": computed, "segments": told}
    if work.coding:
        everything |= {"encode": work.coding.encoding.to_json(), "times": work.coding.of(first, last)}
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def _own_hues(work: Work, part: Segment) -> dict[str, Any]:
    """The ranges of hue of a shot where they are not those of the film."""
    if part.colorize is None or work.colorize is None or part.colorize.saturation_hues == work.colorize.saturation_hues:
        return {}
    return {"saturation_hues": part.colorize.saturation_hues}


def _drawn(work: Work, part: Segment, masks: ShotMasks) -> dict[str, str]:
    """What of the masks a run of frames depends on. What is protected comes after restoring, and colours only look at
    the frames beside it."""
    low, high = work.reach(part.first, part.last, prepare=part.prepare)
    first, last = work.reach(part.first, part.last, work.windows[-1:]) if part.colorize else (part.first, part.last)
    if part.prepare.steady:  # what is protected is moved and filled as the film is
        first, last = low, high
    told = {"repair": masks.digest(part.repair, low, high), "protect": masks.digest(part.protect, first, last)}
    return {name: digest for name, digest in told.items() if digest}


def find_references(
    settings: Sequence[ShotSettings], given: Sequence[Reference], folder: Path, lines: int
) -> tuple[dict[str, Reference], list[str], list[tuple[str, ...] | None]]:
    """Find the references that the film and its shots name.

    Args:
        settings: of every shot.
        given: for the film.
        folder: that paths in `settings` begin at, and must not leave.
        lines: see `load_references`.

    Returns:
        All of them by digest, the digests of `given`, and those of every shot (None: those of the film).

    Raises:
        InputError: a shot names one that is not there or elsewhere, or that several of those given are called.
    """
    digests = [digest(reference) for reference in given]
    found = dict(zip(digests, given))
    loaded: dict[str, str] = {}

    def named(name: str, shot: int) -> str:
        same = {mine for mine, reference in zip(digests, given) if reference.name == name}
        if len(same) > 1:
            raise InputError(f"shot {shot}: several references are called {name!r}: rename one")
        if same:
            return same.pop()
        if name not in loaded:
            path = texts.inside(
                folder / "shots.toml", name, f"shot {shot}", "name it with --references, and here without its folder"
            )
            if not path.is_file():
                names = ", ".join(sorted({reference.name for reference in given})) or "none was given"
                raise InputError(f"shot {shot}: no reference {name!r} among those given ({names}), and no file {path}")
            (reference,) = load_references(path, lines=lines)
            loaded[name] = digest(reference)
            found[loaded[name]] = reference
        return loaded[name]

    own = []
    for number, shot in enumerate(settings, 1):
        own.append(None if shot.references is None else tuple(named(name, number) for name in shot.references))
    return found, digests, own
