"""What a report says of a film: collected in one pass over the source and what was made of it.

`Collector` takes pairs of frames wherever they come from; `collect` reads them from two films. Of a film of any length
it holds a dozen pairs of frames, the numbers of each shot, and curves of a bounded number of steps.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..film.frames import decode_frame
from ..jobs.result import MadeFilm
from ..references.manifest import CARRIED
from ..references.reference import Reference
from ..remaster.scenes import CutDetector
from ..stills.focus import sharpness
from ..version import __version__
from ..video.info import VideoInfo
from ..video.planes import Frame
from ..video.reader import VideoReader
from .album import Album
from .coverage import COVERED, Describer, Scenes
from .drift import thumbnail
from .measures import Curve, glance, local_change, saturation, shrunk, tiles
from .shots import Moment, ShotFacts, ShotInProgress

SUGGESTIONS = 24
"""Frames that are suggested for painting at most."""
_SCENES = 64  # held while the film passes by
_STILLS = 12  # frames over the film, at most
CURVES = ("flicker_before", "flicker_after", "luma_before", "luma_after", "saturation", "coverage")


@dataclass(frozen=True)
class Still:
    """A frame that is shown: its number, its time in seconds, and the shot it lies in."""

    frame: int
    time: float
    shot: int


@dataclass(frozen=True)
class Suggestion:
    """A frame worth painting, and the shots that it would serve: how many, their numbers (from 1; the first few), and
    their length in seconds together."""

    frame: int
    time: float
    shot: int
    shots: list[int]
    count: int
    seconds: float


@dataclass
class Facts:
    """All that a report says.

    Attributes:
        before, after: names of the two films.
        width, height: of the source, in pixels.
        scale: how many times as wide and high the result is.
        shape: width by height as displayed.
        fps: frames a second of the source.
        first: number of the first frame.
        frames: how many.
        seconds: length.
        references: names of the references.
        carried: how many of them are frames that colour was carried to.
        colored: the result has colours.
        masked: `damage` comes from the restorer's mask and not from the two films.
        flicker_before, flicker_after, damage, drift, coverage: of the whole film, as in `ShotFacts`.
        shots: every shot.
        stills: a few frames over the film.
        suggestions: frames worth painting, the most useful first.
        pictured: frames that have pictures.
        curves: name to mean values of steps of `curve_step` frames, None where there are none.
        curve_step: frames a step.
        version: of the program.
    """

    before: str
    after: str
    width: int
    height: int
    shape: float
    fps: float
    scale: int = 1
    first: int = 0
    frames: int = 0
    seconds: float = 0.0
    references: list[str] = field(default_factory=list)
    carried: int = 0
    colored: bool = False
    masked: bool = False
    flicker_before: float = 0.0
    flicker_after: float = 0.0
    damage: float = 0.0
    drift: float = 0.0
    coverage: float | None = None
    shots: list[ShotFacts] = field(default_factory=list)
    stills: list[Still] = field(default_factory=list)
    suggestions: list[Suggestion] = field(default_factory=list)
    pictured: list[int] = field(default_factory=list)
    curves: dict[str, list[float | None]] = field(default_factory=dict)
    curve_step: int = 1
    version: str = __version__

    def as_dict(self) -> dict[str, Any]:
        """For JSON, numbers to seven digits after the point."""
        return _rounded(asdict(self))


class Collector:
    """Collects the facts from frames that come in order.

    Args:
        before: the source.
        after: what was made of it.
        album: where pictures go.
        references: what it was coloured from.
        cuts: frames that start a shot; None: they are looked for.
    """

    def __init__(
        self,
        before: VideoInfo,
        after: VideoInfo,
        album: Album,
        references: Sequence[Reference] = (),
        cuts: Sequence[int] | None = None,
    ) -> None:
        self._before, self._after, self._album = before, after, album
        self._describer = Describer(references)
        self._every = max(1, round(before.fps / 2))  # between frames that are compared with the references
        self._detector = CutDetector() if cuts is None else None
        self._cuts = set(cuts or ())
        self._waiting: list[Moment] = []
        self._shot: ShotInProgress | None = None
        self._scenes = Scenes(_SCENES)
        self._stills: list[Still] = []
        self._still_step = 1
        self._shown: dict[int, int] = {}  # frames with pictures to how often they are shown
        self._curves = {name: Curve() for name in CURVES}
        self._facts = Facts(
            before=before.path.name,
            after=after.path.name,
            width=before.width,
            height=before.height,
            shape=float(before.width * before.sar / before.height),
            fps=float(before.fps),
            scale=after.width // before.width,
            references=self._describer.names,
            carried=sum(one.origin == CARRIED for one in references),
        )

    def push(
        self,
        before: Frame,
        after: Frame,
        damage: float | None = None,
        shares: Sequence[tuple[str, float]] | None = None,
    ) -> None:
        """Take the next frame of both films.

        Args:
            before: of the source.
            after: the same frame as it became.
            damage: share of its pixels that were repaired, 0..1, where the restorer's mask is known; None: estimated.
            shares: how much of its colour references gave, by name, where that is known.
        """
        luma = decode_frame(before, self._before, chroma=False)[0]
        became = glance(after, self._after)
        was = shrunk(before, self._before, became.luma.shape[::-1])  # whatever the scale, they are compared pixelwise
        index = before.index
        if not self._facts.frames:
            self._facts.first = index
            for curve in self._curves.values():
                curve.first = index
        restored = decode_frame(after, self._after, chroma=False)[0]
        moment = Moment(
            frame=index,
            time=self._time(before),
            before=before,
            after=after,
            tiles=(tiles(was.luma), tiles(became.luma)),
            damage=local_change(was.luma, became.luma) if damage is None else damage,
            small=thumbnail(became),
            saturation=saturation(became.chroma),
            sharpness=sharpness(restored),
            shares=shares,
            look=self._describer.describe(restored) if self._describer.names and index % self._every == 0 else None,
        )
        for name, value in zip(("luma_before", "luma_after"), moment.tiles, strict=True):
            self._curves[name].add(index, float(value.mean()))
        self._curves["saturation"].add(index, moment.saturation)
        self._facts.frames += 1
        self._facts.colored |= became.chroma is not None
        self._facts.masked |= damage is not None
        self._waiting.append(moment)
        if self._detector:
            self._cuts = set(self._detector.push(luma))
        self._decide(self._detector.decided if self._detector else index + 1)

    def finish(self, end: float) -> Facts:
        """Say that the film ends, after `end` seconds; return what is known of it.

        Raises:
            InputError: there was no frame.
        """
        if self._detector:
            self._cuts = set(self._detector.finish())
            self._decide(self._detector.decided)
        if self._shot is None:
            raise InputError(f"{self._before.path} has no frames to report on")
        self._close(self._shot, end)
        facts = self._facts
        facts.seconds = end
        self._sum_up()
        self._settle()
        facts.curve_step = self._curves["luma_before"].step
        facts.curves = {name: curve.values for name, curve in self._curves.items()}
        for name in ("flicker_before", "flicker_after"):
            facts.curves[name] = [None if v is None else math.sqrt(v) for v in facts.curves[name]]
        return facts

    def _time(self, frame: Frame) -> float:
        if not self._facts.frames:
            self._first_pts = frame.pts or 0
        return float(((frame.pts or 0) - self._first_pts) * self._before.time_base)

    def _decide(self, decided: int) -> None:
        """Hand frames on of which it is known whether they start a shot: those before `decided`."""
        while self._waiting and self._waiting[0].frame < decided:
            moment = self._waiting.pop(0)
            if self._shot is None or moment.frame in self._cuts:
                if self._shot is not None:
                    self._close(self._shot, moment.time)
                self._shot = ShotInProgress(len(self._facts.shots) + 1, moment, self._curves)
            self._shot.push(moment)
            if moment.look is not None:
                cover = self._describer.coverage(moment.look, moment.frame)
                self._shot.cover(*cover)
                self._curves["coverage"].add(moment.frame, cover[0])
            if moment.frame % self._still_step == 0:
                self._add_still(moment)

    def _add_still(self, moment: Moment) -> None:
        """Keep frames evenly over the film, whatever its length will be."""
        self._show(moment)
        self._stills.append(Still(moment.frame, moment.time, len(self._facts.shots) + 1))
        while len(self._stills) > _STILLS:
            self._still_step *= 2
            for still in self._stills:
                if still.frame % self._still_step:
                    self._hide(still.frame)
            self._stills = [still for still in self._stills if still.frame % self._still_step == 0]

    def _show(self, moment: Moment) -> None:
        if moment.frame not in self._shown:
            self._album.put(moment.before, moment.after, self._after)
        self._shown[moment.frame] = self._shown.get(moment.frame, 0) + 1

    def _hide(self, frame: int) -> None:
        self._shown[frame] -= 1
        if not self._shown[frame]:
            del self._shown[frame]
            self._album.remove(frame)

    def _close(self, shot: ShotInProgress, end: float) -> None:
        key = shot.finish()
        look = self._describer.describe(decode_frame(key.after, self._after, chroma=False)[0])
        if self._describer.names:
            cover = self._describer.coverage(look, key.frame)
            shot.cover(*cover)
            self._curves["coverage"].add(key.frame, cover[0])
        facts = shot.facts(end)
        self._facts.shots.append(facts)
        self._show(key)
        if (facts.coverage or 0.0) < COVERED:
            self._album.put_paint(key.after, self._after)
            self._album.drop(self._scenes.add(facts.number, key.frame, facts.end - facts.start, look))

    def _sum_up(self) -> None:
        """The film's own numbers, from those of its shots."""
        facts, frames = self._facts, self._facts.frames

        def mean(values: Iterator[float]) -> float:
            return sum(value * shot.frames for value, shot in zip(values, facts.shots)) / frames

        for name in ("flicker_before", "flicker_after", "drift"):
            setattr(facts, name, math.sqrt(mean(getattr(shot, name) ** 2 for shot in facts.shots)))
        facts.damage = mean(shot.damage for shot in facts.shots)
        if self._describer.names:
            facts.coverage = mean(shot.coverage or 0.0 for shot in facts.shots)

    def _settle(self) -> None:
        """Choose among pictures and suggestions what fits."""
        facts = self._facts
        self._album.drop(self._scenes.thin(SUGGESTIONS))
        longest = sorted(facts.shots, key=lambda shot: shot.start - shot.end)
        wanted = [still.frame for still in self._stills] + [shot.frame for shot in longest]
        paint = [scene.frame for scene in self._scenes.found]
        kept, painted = self._album.settle(list(dict.fromkeys(wanted)), paint)
        facts.pictured = sorted(kept)
        facts.stills = [still for still in self._stills if still.frame in set(kept)]
        for scene in self._scenes.found:
            if scene.frame in painted:
                time = facts.shots[scene.shot - 1].time
                facts.suggestions.append(
                    Suggestion(scene.frame, time, scene.shot, scene.shots[:50], len(scene.shots), scene.seconds)
                )


def collect(
    before: Path | MadeFilm,
    after: Path | None,
    folder: Path,
    references: Sequence[Reference] = (),
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    fps: Fraction | None = None,
) -> Facts:
    """Collect the facts of two films, frame by frame, and write their pictures.

    Args:
        before: the source, a video or a folder of pictures; or what a job has made, which knows its source, its shots,
            what was repaired and what coloured what.
        after: what was made of it: as many frames, of its size or twice as wide and high. None: the frames that the job
            holds.
        folder: where the pictures go.
        references: what it was coloured from.
        progress: called with the frames done and how many there will be, None where that is not known.
        fps: of the source, see `VideoReader`; a job knows it.

    Raises:
        InputError: a film that cannot be read; films of different size or length; a job that is not finished.
    """
    job = before if isinstance(before, MadeFilm) else None
    with contextlib.ExitStack() as stack:
        opened = _source(before) if isinstance(before, MadeFilm) else VideoReader(before, fps=fps)
        source = stack.enter_context(opened)
        made: Iterable[Frame]
        if after is not None:
            made = result = stack.enter_context(VideoReader(after))
            info = result.info
        else:
            assert job is not None  # a film alone has nothing to be compared with
            info, made = job.info(source.info), job.frames()
        _check_alike(source.info, info, source.expected)
        album, cuts = Album(folder, source.info), job.cuts if job else None
        collector = Collector(source.info, info, album, references, cuts)
        progress(0, source.expected)
        done = 0
        for was, became in _pairs(source, made, info.path):
            known = (job.damage(was.index), job.shares(was.index)) if job else ()
            collector.push(was, replace(became, index=was.index), *known)
            done += 1
            progress(done, source.expected)
        end = (source.end_pts - (source.first_pts or 0)) * source.info.time_base
        return collector.finish(float(end))


def _source(job: MadeFilm) -> VideoReader:
    return VideoReader(job.source, job.start, job.end, fps=job.fps)


def _pairs(source: VideoReader, result: Iterable[Frame], path: Path) -> Iterator[tuple[Frame, Frame]]:
    """Each frame with that of the film at `path`."""
    others = iter(result)
    count = 0
    for frame in source:
        other = next(others, None)
        if other is None:
            raise _lengths(path, source.info.path, count)
        yield frame, other
        count += 1
    if next(others, None) is not None:
        raise _lengths(source.info.path, path, count)


def _lengths(shorter: Path, longer: Path, frames: int) -> InputError:
    return InputError(
        f"lengths differ: {longer} goes on where {shorter} ends, after {frames} frames: give a film and what was made "
        "of all of it"
    )


def _check_alike(info: VideoInfo, other: VideoInfo, frames: int | None) -> None:
    if (other.width, other.height) not in {(scale * info.width, scale * info.height) for scale in (1, 2)}:
        raise InputError(
            f"sizes differ: {info.path} is {info.width}x{info.height}, {other.path} is {other.width}x{other.height}: "
            "give a film and what was made of it at its own size or twice that"
        )
    if frames and other.frames:
        # what a file promises may be a little off; the frames themselves are counted on the way
        if abs(frames - other.frames) > 24 + min(frames, other.frames) // 50:
            raise InputError(
                f"lengths differ: {info.path} has about {frames} frames, {other.path} about {other.frames}: give "
                "a film and what was made of all of it"
            )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 7)
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
