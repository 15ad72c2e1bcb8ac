"""What concerns whole frames, before anything else: lost ones are made anew, then the weave is taken out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch

from ..errors import InputError
from ..models.layers import Halo
from .lost_frames import FrameMaker
from .options import PrepareOptions
from .picture import PLANES, Picture, only
from .shifts import Shift
from .steadiness import Steadier, Woven, margin
from .window import Window, stage


class Preparer:
    """Prepares frames as options ask for.

    Args:
        options: see `PrepareOptions`.
    """

    def __init__(self, options: PrepareOptions = PrepareOptions()) -> None:
        self.options = options
        self._maker = FrameMaker() if options.bad_frames else None
        self._steadier = Steadier(options.steady, options.steady_edges) if options.steady else None

    @property
    def windows(self) -> list[Window]:
        """The windows that frames go through, in order."""
        steadying = self._steadier.windows if self._steadier else []
        return [*([self._maker.window] if self._maker else []), *steadying]

    def process(
        self, film: Iterator[tuple[Picture, bool]], first: int, needs: Sequence[tuple[int, int | None]]
    ) -> Iterator[tuple[Picture, bool]]:
        """Prepare pictures in order.

        Args:
            film: each with whether it starts a scene.
            first: number of the first.
            needs: for each of `windows` the frames that it has to make, see `needed`.
        """
        needs = list(needs)
        if self._maker:
            film = stage(film, self._maker.window, only(needs.pop(0), partial(_made, self._maker)), first)
        if self._steadier:
            measured, _, moved = needs
            film = stage(film, self._steadier.measuring, only(measured, partial(_measured, self._steadier)), first)
            film = _weighed(self._steadier, film, first)
            film = stage(film, self._steadier.moving, only(moved, partial(_moved, self._steadier)), first)
        if self.options.crops:
            film = ((_cropped(picture), flag) for picture, flag in film)
        return film


def windows_of(options: PrepareOptions) -> list[Window]:
    """The windows that frames go through when they are prepared, in order."""
    return Preparer(options).windows


def margins(options: PrepareOptions, height: int, width: int) -> int:
    """Pixels that are cut off at each border of a picture of this size; a multiple of 4, as chroma needs it.

    Raises:
        InputError: nothing would be left.
    """
    if not options.crops:
        return 0
    cut = -(-margin(height, width) // 4) * 4
    if min(height, width) <= 2 * cut:
        raise InputError(f"pictures of {width}x{height} are too small to crop their edges: use steady_edges fill")
    return cut


def _cropped(picture: Picture) -> Picture:
    height, width = picture.luma.shape[-2:]
    cut = margins(PrepareOptions(steady_edges="crop"), height, width)
    inner = (slice(None), slice(cut, height - cut), slice(cut, width - cut))
    held = {name: getattr(picture, name) for name in PLANES}
    return replace(picture, **{name: plane[inner] for name, plane in held.items() if plane is not None})


def _made(maker: FrameMaker, pictures: Sequence[Picture], halo: Halo) -> list[Picture]:
    kept = pictures[halo.kept(len(pictures))]
    if not any(picture.lost for picture in kept):
        return list(kept)
    colored = any(picture.chroma is not None for picture in pictures)

    def planes(picture: Picture) -> tuple[torch.Tensor, torch.Tensor | None, bool]:
        gray = picture.luma.new_zeros((2, *picture.luma.shape[1:])) if colored else None
        return picture.luma, gray if picture.chroma is None else picture.chroma, picture.lost

    made = maker.process([planes(picture) for picture in pictures], halo)
    return [
        replace(picture, luma=luma, chroma=chroma) if picture.lost else picture
        for picture, (luma, chroma) in zip(kept, made)
    ]


def _measured(steadier: Steadier, pictures: Sequence[Picture], halo: Halo) -> list[Picture]:
    shifts = steadier.measure([picture.luma for picture in pictures], halo)
    return [replace(picture, shift=shift) for picture, shift in zip(pictures[halo.kept(len(pictures))], shifts)]


def _weighed(steadier: Steadier, film: Iterator[tuple[Picture, bool]], first: int) -> Iterator[tuple[Picture, bool]]:
    """Only shifts go through this window: pictures that have passed it are not held."""
    waiting: deque[tuple[Picture, bool]] = deque()

    def shifts() -> Iterator[tuple[Shift, bool]]:
        for picture, flag in film:
            waiting.append((picture, flag))
            yield picture.shift, flag

    def weigh(found: Sequence[Shift], halo: Halo) -> list[Shift]:
        height, width = waiting[0][0].luma.shape[-2:]
        return steadier.weave(found, halo, (height, width))

    for weave in steadier.weighing.run(shifts(), weigh, first):
        picture, flag = waiting.popleft()
        yield replace(picture, weave=weave), flag


def _moved(steadier: Steadier, pictures: Sequence[Picture], halo: Halo) -> list[Picture]:
    """Masks are moved with the film that they were drawn on; a frame without one has it black."""
    kept = pictures[halo.kept(len(pictures))]
    names = [name for name in PLANES if any(getattr(picture, name) is not None for picture in pictures)]

    def woven(picture: Picture) -> Woven:
        held = [getattr(picture, name) for name in names]
        blank = (2 if name == "chroma" else 1 for name in names)
        size = picture.luma.shape[1:]
        planes = (picture.luma.new_zeros((count, *size)) if x is None else x for x, count in zip(held, blank))
        return Woven(tuple(planes), picture.shift, picture.weave)

    made = []
    for picture, planes in zip(kept, steadier.move([woven(picture) for picture in pictures], halo)):
        moved = {name: plane for name, plane in zip(names, planes) if getattr(picture, name) is not None}
        made.append(replace(picture, **moved))
    return made
