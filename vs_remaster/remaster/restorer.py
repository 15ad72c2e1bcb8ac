"""Restores luma in steps, each with a temporal window of its own: first the network, in whole frames or tiles at the
height it likes, then large damage is filled from the frames beside it, then comes what sharpens and enlarges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from .. import weights
from ..errors import InputError
from ..models import ModelInfo, info
from ..models.layers import Halo, in_large_steps
from ..models.restorer import Place, thumbnails
from ..models.sharpener import enlarged
from .filling import Filler
from .levels import levelled_chroma, levelled_luma
from .merging import fit_size, painted, repair_chroma
from .movement import give_back
from .options import Levels, RestoreOptions, frame_numbers
from .sharpening import Sharpener, sharpener_file
from .tiling import tiles
from .window import Window
from .worker import Overlap, Worker, check_luma, chosen_model, finite, resize, stack, window_of

# Taller sources are restored at this height unless asked otherwise: grain and dirt have then a known size.
FULL_LINES = 1152


class Restored(NamedTuple):
    """Restored luma, and where damage was repaired (0..1); both `[T, 1, H, W]`."""

    luma: Tensor
    mask: Tensor


class Passing(NamedTuple):
    """A frame between two steps.

    Attributes:
        luma: `[1, H, W]`, after the last step `[1, sH, sW]`.
        mask: where damage was repaired, `[1, H, W]`, 0..1; None before the first step.
        repair: where someone says that there is damage, `[1, H, W]`, 0..1; None: nobody does.
    """

    luma: Tensor
    mask: Tensor | None = None
    repair: Tensor | None = None

    @property
    def found(self) -> Tensor:
        """The mask, after the first step."""
        assert self.mask is not None
        return self.mask


class Step(NamedTuple):
    """A step of restoring.

    Attributes:
        window: which frames it is handed.
        make: from the frames of a window, and its halo, to those that are no halo.
    """

    window: Window
    make: Callable[[Sequence[Passing], Halo], list[Passing]]


def windows_of(options: RestoreOptions, block: int | None = None) -> list[Window]:
    """The windows that frames go through when they are restored, in order; no network runs.

    Raises:
        InputError: no such weights, or a network that cannot enlarge at scale 2.
    """
    model = chosen_model("restorer", options)
    facts = info(weights.load_model("restorer", model))
    _check_scale(model, facts, options)
    windows = [window_of(facts, block=block)]
    if facts.marks_damage:
        windows.append(Filler.window_beside(windows[0]))
    if sharpens(facts, options):
        windows.append(window_of(info(weights.load_weights(sharpener_file(options), "sharpener")), block=block))
    return windows


def _check_scale(model: str, facts: ModelInfo, options: RestoreOptions) -> None:
    if options.scale > 1 and not facts.sharpens:
        raise InputError(
            f"scale {options.scale} is not for {model}, which restores as it was published: take another model, or "
            "scale 1"
        )


def sharpens(facts: ModelInfo, options: RestoreOptions) -> bool:
    """Whether there is a step that sharpens, or enlarges by a network."""
    return facts.sharpens and options.strength > 0 and options.sharpness > 0


class Restorer(Worker[RestoreOptions]):
    """Removes dust, scratches, flicker, grain and blur from luma, and makes it larger.

    Args:
        options: see `RestoreOptions`.
        block: frames made at once; None: as the network likes.

    Raises:
        InputError: no such model, or one that cannot enlarge at scale 2. UnsupportedError: no such device.
    """

    def __init__(self, options: RestoreOptions = RestoreOptions(), *, block: int | None = None) -> None:
        super().__init__("restorer", options, block)
        _check_scale(self.model, self.info, options)
        self._block = block
        self._thumbs: Overlap[Tensor] = Overlap(self.window.before + self.window.after)
        self.filler = None
        if self.info.marks_damage:
            self.filler = Filler(Filler.window_beside(self.window), options.engine, self.engine.device)
        self.sharpener = Sharpener(options, block) if sharpens(self.info, options) else None

    def like(self, options: RestoreOptions) -> Self:
        """This network with other options of the kind that need no other network; a sharpener is loaded where it is
        needed and was not before."""
        _check_scale(self.model, self.info, options)
        other = super().like(options)
        if not sharpens(self.info, options):
            other.sharpener = None
        elif self.sharpener is None:
            other.sharpener = Sharpener(options, self._block)
        else:
            other.sharpener = self.sharpener.like(options)
        return other

    @property
    def steps(self) -> list[Step]:
        """The steps in their order; after the last one comes `finish`."""
        steps = [Step(self.window, self.clean)]
        if self.filler:
            steps.append(Step(self.filler.window, self.fill))
        if self.sharpener:
            steps.append(Step(self.sharpener.window, self.sharpen))
        return steps

    @property
    def windows(self) -> list[Window]:
        """The windows that frames go through, in order."""
        return [step.window for step in self.steps]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The size (lines, columns) at which the network sees a `height` x `width` picture."""
        lines = min(height, self.options.lines or FULL_LINES)
        return lines, max(1, round(width * lines / height))

    def restore(
        self, luma: Tensor, cuts: Sequence[int] = (), repair: Tensor | None = None, protect: Tensor | None = None
    ) -> Restored:
        """Restore a whole clip that lies in memory.

        Args:
            luma: `[T, 1, H, W]`, 0..1.
            cuts: frames that start a scene.
            repair: `[T, 1, H, W]`, 0..1: what is damage whatever the network thinks.
            protect: `[T, 1, H, W]`, 0..1: what is left as it was.
        """
        check_luma(luma)
        for name, mask in (("repair", repair), ("protect", protect)):
            if mask is not None and mask.shape != luma.shape:
                raise InputError(f"{name} must be {list(luma.shape)}, as luma is, got {list(mask.shape)}")
        starts = frame_numbers(cuts)
        repairs = [None] * len(luma) if repair is None else list(repair)
        made = [Passing(frame, repair=mask) for frame, mask in zip(luma, repairs)]
        for window, make in self.steps:
            made = list(window.run(((frame, i in starts) for i, frame in enumerate(made)), make))
        protects = [None] * len(luma) if protect is None else list(protect)
        parts = zip(luma, made, protects)
        ends = [self.finish(source, frame, levels=self.options.levels, protect=mask) for source, frame, mask in parts]
        frames, masks, _ = zip(*ends)
        return Restored(torch.stack(frames), torch.stack(masks))

    def clean(self, frames: Sequence[Passing], halo: Halo) -> list[Passing]:
        """The first step: the network, on frames in which what is to be repaired is painted over."""
        kept = frames[halo.kept(len(frames))]
        if self.options.strength == 0 and all(frame.repair is None for frame in kept):
            return [frame._replace(mask=torch.zeros_like(frame.luma)) for frame in kept]
        made = self.process([painted(frame.luma, frame.repair) for frame in frames], halo)
        out = []
        for frame, (luma, mask) in zip(kept, made):
            if self.options.strength == 0:  # nothing but what someone wants
                mask = torch.zeros_like(mask)
                luma = frame.luma if frame.repair is None else luma
            if frame.repair is not None:
                mask = torch.maximum(mask, frame.repair.to(mask))
            out.append(Passing(luma, mask, frame.repair))
        return out

    def fill(self, frames: Sequence[Passing], halo: Halo) -> list[Passing]:
        """Fill large damage, and what is to be repaired, from the frames beside it."""
        assert self.filler is not None  # whoever has no such step does not ask
        made = self.filler.process([(frame.luma, frame.found, frame.repair) for frame in frames], halo)
        return [frame._replace(luma=luma) for frame, luma in zip(frames[halo.kept(len(frames))], made)]

    def sharpen(self, frames: Sequence[Passing], halo: Halo) -> list[Passing]:
        """Sharpen, and at scale 2 enlarge; the masks keep their size."""
        assert self.sharpener is not None  # as above
        size = self.size(*frames[0].luma.shape[-2:])
        made = self.sharpener.process([frame.luma for frame in frames], halo, size)
        return [frame._replace(luma=luma) for frame, luma in zip(frames[halo.kept(len(frames))], made)]

    def finish(
        self,
        source: Tensor,
        frame: Passing,
        chroma: Tensor | None = None,
        levels: Levels | None = None,
        protect: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What comes after the last step, frame by frame: as much of the source is left as `strength` and `protect`
        say, and nothing where it is to be repaired.

        Args:
            source: luma as it was, `[1, H, W]`.
            frame: what the steps made of it.
            chroma: the film's own, `[2, H, W]`, BT.709, or None.
            levels: that luma and chroma are brought to.
            protect: what is left as it was, `[1, H, W]`, 0..1; None: nothing.

        Returns:
            Luma, mask, and chroma repaired where damage was, all of the luma's size at `scale`.
        """
        scale, mask, luma = self.options.scale, frame.found, frame.luma
        size = scale * mask.shape[-2], scale * mask.shape[-1]
        weight: Tensor | float = self.options.strength  # of what was made, place by place
        if frame.repair is not None and self.options.strength < 1:
            weight = frame.repair.to(mask).clamp_min(self.options.strength)
        if protect is not None:
            weight = (1 - protect.to(mask)) * weight
        if chroma is not None:
            chroma = repair_chroma(chroma[None], (mask * weight)[None])[0]
        mask = mask if protect is None else mask * (1 - protect.to(mask))
        if luma.shape[-2:] != size:
            luma = enlarged(luma[None])[0]
        if isinstance(weight, Tensor) or weight < 1:
            source = finite(source.to(luma.device))
            source = enlarged(source[None])[0] if scale > 1 else source
            weight = resize(weight[None], size)[0] if isinstance(weight, Tensor) else torch.full_like(luma, weight)
            luma = torch.lerp(source, luma, weight)
        if chroma is not None and scale > 1:
            chroma = fit_size(chroma[None], resize(luma[None], mask.shape[-2:]), luma[None])[0]
        levelled = levelled_luma(luma, levels)
        mask = resize(mask[None], size)[0]
        return levelled, mask, None if chroma is None else levelled_chroma(chroma, levelled, levels)

    def process(self, frames: Sequence[Tensor], halo: Halo) -> list[tuple[Tensor, Tensor]]:
        """Restore one window: frames `[1, H, W]` with their halo; (luma, mask) for each frame that is no halo, on the
        device that the frames lie on."""
        kept = halo.kept(len(frames))
        size = self.size(*frames[0].shape[-2:])
        thumbs = torch.stack(self._thumbs.of(frames, lambda new: self._thumbnails([frames[i] for i in new])))
        own = halo.within(self.window.before if self.info.sees is None else self.info.sees)
        low = stack(frames[halo.before - own.before : len(frames) - (halo.after - own.after)], self.engine.home, size)
        low_kept = low[own.kept(len(low))]
        source = low_kept if size == frames[0].shape[-2:] else stack(frames[kept], self.engine.home)
        restored, mask, toned = self._tiled(low, thumbs, halo)
        if self.info.marks_damage:
            restored, mask = give_back(low, own, restored, mask, toned)
        if self.options.grain:
            restored = restored + self.options.grain * (1 - mask) * (toned - restored)
        if size != source.shape[-2:]:
            restored, mask = self._enlarge(source, low_kept, restored, mask)
        return list(zip(restored.to(frames[0].device), mask.to(frames[0].device)))

    def _thumbnails(self, frames: Sequence[Tensor]) -> list[Tensor]:
        """Those of frames `[1, H, W]`, on a GPU of all at once."""
        home = self.engine.home
        parts = [frames] if in_large_steps(home) else [[frame] for frame in frames]
        return [small for part in parts for small in thumbnails(stack(part, home)[None])[0]]

    def _enlarge(self, source: Tensor, low: Tensor, restored: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Bring a restoration made at a lower size back: the source's finest detail returns where nothing was
        damaged."""
        size = source.shape[-2:]
        mask = resize(mask, size).clamp(0, 1)
        return resize(restored, size) + (1 - mask) * (source - resize(low, size)), mask

    def _tiled(self, luma: Tensor, thumbs: Tensor, halo: Halo) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network on whole frames or on overlapping tiles; the tone correction always sees the whole frame."""
        height, width = luma.shape[-2:]
        tile = self.options.tile_of(height, width)
        if height <= tile and width <= tile:
            return self.engine.restore(luma, thumbs, halo)
        out = [torch.empty_like(luma[: len(thumbs) - sum(halo)]) for _ in range(3)]
        for top, bottom, y0, y1 in tiles(height, tile):
            for left, right, x0, x1 in tiles(width, tile):
                place = Place(top, left, height, width)
                parts = self.engine.restore(luma[..., top:bottom, left:right], thumbs, halo, place)
                for whole, part in zip(out, parts):
                    whole[..., y0:y1, x0:x1] = part[..., y0 - top : y1 - top, x0 - left : x1 - left]
        restored, mask, toned = out
        return restored, mask, toned
