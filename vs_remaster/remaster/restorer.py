"""Restores luma in steps, each with a temporal window of its own: first the network, in whole frames or tiles at the
height it likes, then large damage is filled from the frames beside it, then comes what sharpens and enlarges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from ..models.layers import Halo
from ..models.restorer import Place, thumbnails
from ..models.sharpener import enlarged
from .filling import Filler
from .levels import levelled_chroma, levelled_luma
from .merging import fit_size, repair_chroma
from .options import Levels, RestoreOptions, frame_numbers
from .sharpening import Sharpener
from .tiling import tiles
from .window import Window
from .worker import Worker, check_luma, finite, resize, stack

# Taller sources are restored at this height unless asked otherwise: grain and dirt have then a known size.
FULL_LINES = 1152


class Restored(NamedTuple):
    """Restored luma, and where damage was repaired (0..1); both `[T, 1, H, W]`."""

    luma: Tensor
    mask: Tensor


class Step(NamedTuple):
    """A step of restoring.

    Attributes:
        window: which frames it is handed.
        make: from luma `[1, H, W]` and mask (before the first step None) of a window's frames, and its halo, to luma
            and mask of those that are no halo.
    """

    window: Window
    make: Callable[[Sequence[tuple[Tensor, Any]], Halo], list[tuple[Tensor, Tensor]]]


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
        if options.scale > 1 and not self.info.sharpens:
            raise InputError(
                f"scale {options.scale} is not for {self.model}, which restores as it was published: take another "
                "model, or scale 1"
            )
        fills = self.info.marks_damage and options.strength > 0
        self.filler = Filler(max(1, self.window.block // 2)) if fills else None
        sharpens = self.info.sharpens and options.strength > 0 and (options.scale > 1 or options.sharpness > 0)
        self.sharpener = Sharpener(options, block) if sharpens else None

    @property
    def steps(self) -> list[Step]:
        """The steps in their order; after the last one comes `finish`."""
        steps = [Step(self.window, lambda pairs, halo: self.process([luma for luma, _ in pairs], halo))]
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

    def restore(self, luma: Tensor, cuts: Sequence[int] = ()) -> Restored:
        """Restore a whole clip that lies in memory: `luma` `[T, 1, H, W]`, 0..1; `cuts`: frames that start a scene."""
        check_luma(luma)
        starts = frame_numbers(cuts)
        made: list[tuple[Tensor, Any]] = [(frame, None) for frame in luma]
        for window, make in self.steps:
            made = list(window.run(((pair, i in starts) for i, pair in enumerate(made)), make))
        parts = zip(luma, made)
        ends = [self.finish(source, *pair, levels=self.options.levels) for source, pair in parts]
        frames, masks, _ = zip(*ends)
        return Restored(torch.stack(frames), torch.stack(masks))

    def fill(self, frames: Sequence[tuple[Tensor, Tensor]], halo: Halo) -> list[tuple[Tensor, Tensor]]:
        """Fill large damage in one window of what `process` made, with its halo; (luma, mask) for each frame that is no
        halo."""
        assert self.filler is not None  # whoever has no such step does not ask
        masks = [mask for _, mask in frames[halo.kept(len(frames))]]
        return list(zip(self.filler.process(frames, halo), masks))

    def sharpen(self, frames: Sequence[tuple[Tensor, Tensor]], halo: Halo) -> list[tuple[Tensor, Tensor]]:
        """Sharpen, and at scale 2 enlarge, one window of what the steps before made; the masks keep their size."""
        assert self.sharpener is not None  # as above
        masks = [mask for _, mask in frames[halo.kept(len(frames))]]
        size = self.size(*frames[0][0].shape[-2:])
        return list(zip(self.sharpener.process([luma for luma, _ in frames], halo, size), masks))

    def finish(
        self, source: Tensor, luma: Tensor, mask: Tensor, chroma: Tensor | None = None, levels: Levels | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What comes after the last step, frame by frame: as much of the source is left as `strength` says.

        Args:
            source: luma as it was, `[1, H, W]`.
            luma: what the steps made of it, `[1, sH, sW]`.
            mask: `[1, H, W]`.
            chroma: the film's own, `[2, H, W]`, BT.709, or None.
            levels: that luma and chroma are brought to.

        Returns:
            Luma, mask, and chroma repaired where damage was, all of the luma's size.
        """
        strength, scale = self.options.strength, self.options.scale
        size = scale * mask.shape[-2], scale * mask.shape[-1]
        if strength < 1:
            source = finite(source, str(luma.device))
            source = enlarged(source) if scale > 1 else source
            luma = torch.lerp(source[0], luma, strength) if strength else source[0]
        if chroma is not None:
            chroma = repair_chroma(chroma[None], mask[None] * strength)
            chroma = fit_size(chroma, resize(luma[None], mask.shape[-2:]), luma[None])[0]
        mask = resize(mask[None], size)[0]
        levelled = levelled_luma(luma, levels)
        return levelled, mask, None if chroma is None else levelled_chroma(chroma, levelled, levels)

    def process(self, frames: Sequence[Tensor], halo: Halo) -> list[tuple[Tensor, Tensor]]:
        """Restore one window: frames `[1, H, W]` with their halo; (luma, mask) for each frame that is no halo, on the
        device that the frames lie on."""
        kept = halo.kept(len(frames))
        if self.options.strength == 0:
            return [(frame, torch.zeros_like(frame)) for frame in frames[kept]]
        size = self.size(*frames[0].shape[-2:])
        thumbs = torch.cat([thumbnails(finite(frame, self.engine.home)[None])[0] for frame in frames])
        own = halo.within(self.window.before if self.info.sees is None else self.info.sees)
        low = stack(frames[halo.before - own.before : len(frames) - (halo.after - own.after)], self.engine.home, size)
        low_kept = low[own.kept(len(low))]
        source = low_kept if size == frames[0].shape[-2:] else stack(frames[kept], self.engine.home)
        restored, mask, toned = self._tiled(low, thumbs, halo)
        if self.options.grain:
            restored = restored + self.options.grain * (1 - mask) * (toned - restored)
        if size != source.shape[-2:]:
            restored, mask = self._enlarge(source, low_kept, restored, mask)
        return list(zip(restored.to(frames[0].device), mask.to(frames[0].device)))

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
