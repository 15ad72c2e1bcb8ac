"""A film through the networks, picture by picture."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from ..engines.transfer import Transfer
from ..errors import InputError
from ..models.layers import Halo
from ..references.reference import Reference
from ..references.rules import settle
from .colorizer import Colorizer
from .levels import ShotLevels, levels_at
from .lost_frames import check_lost
from .memory import ReferenceSet
from .options import ColorizeOptions, PrepareOptions, RestoreOptions, frame_numbers
from .picture import PLANES, Picture, only
from .preparing import Preparer
from .restorer import Passing, Restorer, Step
from .scenes import CutDetector, Scenes
from .window import Window, needed, stage


class RemasterPipeline:
    """Restores and colours a film frame by frame; holds a few dozen frames, however long the film.

    Args:
        restore: options, or a restorer that is there already; None leaves the luma as it is.
        colorize: options, or a colorizer that is there already; None leaves the colours as they are.
        references: needed when colouring, unless that is automatic. With scenes `auto`, those that act in their shot
            have to say where it lies.
        scenes: `auto` finds cuts, `none` treats the film as one scene, a list gives the frames that start a scene.
        levels: of single shots, where `restore` has none for the whole film.
        prepare: what is done to whole frames before all else.

    Attributes:
        transfer: the way to the device and back.

    Raises:
        InputError: with what does not fit.

    Frames are numbered by their `index`, one after the other from wherever the first begins: blocks lie on the grid of
    the whole film. Frames before the first cannot be seen, so a host that starts in mid-film begins early enough.
    """

    def __init__(
        self,
        restore: RestoreOptions | Restorer | None = RestoreOptions(),
        colorize: ColorizeOptions | Colorizer | None = None,
        references: Sequence[Reference] = (),
        scenes: Scenes = "auto",
        levels: Sequence[ShotLevels] = (),
        prepare: PrepareOptions = PrepareOptions(),
    ) -> None:
        if isinstance(scenes, str) and scenes not in ("auto", "none"):
            raise InputError(f"scenes must be 'auto', 'none' or a list of frame numbers, got {scenes!r}")
        if colorize is None and len(references):
            raise InputError(f"{len(references)} references were given, but colouring is off; leave one of them out")
        self.levels = levels
        self.scenes = scenes if isinstance(scenes, str) else frame_numbers(scenes)
        self.restorer = Restorer(restore) if isinstance(restore, RestoreOptions) else restore
        self.colorizer = Colorizer(colorize) if isinstance(colorize, ColorizeOptions) else colorize
        known = None if self.scenes == "auto" else () if self.scenes == "none" else self.scenes
        check_lost(prepare.bad_frames, known or ())
        self.preparer = Preparer(prepare)
        self.memory = self.colorizer.encode_references(settle(references, known)) if self.colorizer else None
        workers = [worker for worker in (self.restorer, self.colorizer) if worker]
        self.transfer = Transfer(workers[0].engine.home if workers else "cpu")
        self._behind = 0 if self.transfer.idle else workers[-1].window.block

    @property
    def scale(self) -> int:
        """How many times as wide and high pictures become."""
        return self.restorer.options.scale if self.restorer else 1

    def process(
        self, frames: Iterable[Picture], start: int = 0, end: int | None = None, *, lifted: bool = False
    ) -> Iterator[Picture]:
        """Remaster frames in order; what comes out has the same numbers and payloads, with new luma and chroma.

        Args:
            frames: see above.
            start: first frame that is wanted. Those before it come out too, but half-made or not at all.
            end: first frame that is not wanted any more, likewise; None: all are.
            lifted: the host has brought pictures to the device, `Transfer.lifting`, and takes them there: they are
                ready where work is `Transfer.lowering` with their mark `made`.
        """
        frames = iter(frames)
        opening = next(frames, None)
        if opening is None:
            return iter(())
        needs = iter(needed(self.windows, start, end))
        preparing = [next(needs) for _ in self.preparer.windows]
        film = self._with_cuts(chain([opening], frames), opening.index)
        film = self._used(film) if lifted else film
        film = self.preparer.process(film, opening.index, preparing)
        film = film if lifted else self._there(film)
        if self.restorer:
            film = ((replace(picture, source=picture.luma), flag) for picture, flag in film)
            for step in self.restorer.steps:
                film = stage(film, step.window, only(next(needs), partial(self._restore, step)), opening.index)
            film = ((self._finished(self.restorer, picture), flag) for picture, flag in film)
        if self.colorizer and self.memory is not None:
            process = partial(self._colorize, self.colorizer, self.memory)
            film = stage(film, self.colorizer.window, only(next(needs), process), opening.index)
        return self._left(film) if lifted else self._back(film)

    def _there(self, film: Iterator[tuple[Picture, bool]]) -> Iterator[tuple[Picture, bool]]:
        """Bring pictures to the device, where they stay from one network to the next."""
        there = self.transfer.there
        for picture, flag in film:
            yield replace(picture, **{name: there(getattr(picture, name)) for name in PLANES}), flag

    def _used(self, film: Iterator[tuple[Picture, bool]]) -> Iterator[tuple[Picture, bool]]:
        """Pictures that another thread has brought to the device."""
        for picture, flag in film:
            self.transfer.used([getattr(picture, name) for name in PLANES])
            yield picture, flag

    def _left(self, film: Iterator[tuple[Picture, bool]]) -> Iterator[Picture]:
        """Leave pictures on the device; a block later, so that it works on the next one while another thread takes
        them."""
        waiting: deque[Picture] = deque()
        for picture, _ in film:
            waiting.append(replace(picture, made=self.transfer.made()))
            while len(waiting) > self._behind:
                yield waiting.popleft()
        yield from waiting

    def _back(self, film: Iterator[tuple[Picture, bool]]) -> Iterator[Picture]:
        """Bring pictures back; from a GPU a block later, while it works on the next one."""
        coming: deque[tuple[Picture, Callable[[], list]]] = deque()

        def landed() -> Picture:
            picture, finish = coming.popleft()
            luma, chroma, mask, shares = finish()
            return replace(picture, luma=luma, chroma=chroma, mask=mask, shares=shares)

        for picture, _ in film:
            values = picture.luma, picture.chroma, picture.mask, picture.shares
            coming.append((picture, self.transfer.back(values)))
            while len(coming) > self._behind:
                yield landed()
        while coming:
            yield landed()

    @property
    def windows(self) -> list[Window]:
        """The windows that frames go through, in order."""
        workers = [
            *(self.restorer.windows if self.restorer else ()),
            *([self.colorizer.window] if self.colorizer else ()),
        ]
        return self.preparer.windows + workers

    def _with_cuts(self, frames: Iterable[Picture], first: int) -> Iterator[tuple[Picture, bool]]:
        lost = frozenset(self.preparer.options.bad_frames)
        if lost:
            frames = (replace(picture, lost=picture.index in lost) for picture in frames)
        if self.scenes != "auto":
            starts = set() if self.scenes == "none" else self.scenes
            yield from ((picture, picture.index in starts) for picture in frames)
            return
        detector, waiting = CutDetector(first, lost), deque()

        def decided() -> Iterator[tuple[Picture, bool]]:
            while waiting and waiting[0].index < detector.decided:
                picture = waiting.popleft()
                yield picture, picture.index in found

        found: set[int] = set()
        for picture in frames:
            waiting.append(picture)
            found = {cut for cut in found if cut >= waiting[0].index} | set(detector.push(_look(picture)))
            yield from decided()
        found |= set(detector.finish())
        yield from decided()

    @staticmethod
    def _restore(step: Step, pictures: Sequence[Picture], halo: Halo) -> list[Picture]:
        kept = pictures[halo.kept(len(pictures))]
        made = step.make([Passing(picture.luma, picture.mask, picture.repair) for picture in pictures], halo)
        return [replace(picture, luma=frame.luma, mask=frame.mask) for picture, frame in zip(kept, made)]

    def _finished(self, restorer: Restorer, picture: Picture) -> Picture:
        """A restored picture at its levels, with its own chroma, if it is to keep that, made to fit."""
        assert picture.source is not None
        if picture.mask is None:  # nobody wants it
            return replace(picture, source=None)
        levels = restorer.options.levels or levels_at(self.levels, picture.index)
        own = None if self.colorizer else picture.chroma
        made = Passing(picture.luma, picture.mask, picture.repair)
        luma, mask, chroma = restorer.finish(picture.source, made, own, levels, picture.protect)
        mask = torch.ones_like(mask) if picture.lost else mask
        chroma = picture.chroma if own is None else chroma
        return replace(picture, luma=luma, mask=mask, chroma=chroma, levels=levels, source=None)

    @staticmethod
    def _colorize(colorizer: Colorizer, memory: ReferenceSet, pictures: Sequence[Picture], halo: Halo) -> list[Picture]:
        kept = pictures[halo.kept(len(pictures))]
        made = colorizer.process([p.luma for p in pictures], memory, halo, pictures[0].index)
        return [replace(picture, chroma=chroma, shares=shares) for picture, (chroma, shares) in zip(kept, made)]


def _look(picture: Picture) -> Tensor:
    """What cuts are told by."""
    return picture.luma if picture.thumbnail is None else picture.thumbnail
