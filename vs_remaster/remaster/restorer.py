"""Restores luma: whole frames or tiles, at the height the network likes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.layers import Halo
from ..models.restorer import Place, thumbnails
from .filling import Filler
from .levels import levelled_luma
from .options import TILE_OVERLAP, RestoreOptions, frame_numbers
from .window import Window
from .worker import Worker, check_luma, finite, resize, stack

# Taller sources are restored at this height unless asked otherwise: grain and dirt have then a known size.
FULL_LINES = 1152

_WHOLE = 1_300_000  # pixels; larger pictures are cut into tiles of `_TILE`, so that a window takes under 2 GB

_TILE = 1088  # 1080 lines in one piece


class Restored(NamedTuple):
    """Restored luma, and where damage was repaired (0..1); both `[T, 1, H, W]`."""

    luma: Tensor
    mask: Tensor


class Restorer(Worker[RestoreOptions]):
    """Removes dust, scratches, flicker and grain from luma.

    Args:
        options: see `RestoreOptions`.
        block: frames made at once; None: as the network likes.

    Raises:
        InputError: no such model. UnsupportedError: no such device.
    """

    def __init__(self, options: RestoreOptions = RestoreOptions(), *, block: int | None = None) -> None:
        super().__init__("restorer", options, block)
        fills = self.info.marks_damage and options.strength > 0
        self.filler = Filler(max(1, self.window.block // 2)) if fills else None

    @property
    def windows(self) -> list[Window]:
        """The windows that frames go through, in order: `process`, then `fill`."""
        return [self.window, self.filler.window] if self.filler else [self.window]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The size (lines, columns) at which the network sees a `height` x `width` picture."""
        lines = min(height, self.options.lines or FULL_LINES)
        return lines, max(1, round(width * lines / height))

    def restore(self, luma: Tensor, cuts: Sequence[int] = ()) -> Restored:
        """Restore a whole clip that lies in memory: `luma` `[T, 1, H, W]`, 0..1; `cuts`: frames that start a scene."""
        check_luma(luma)
        starts = frame_numbers(cuts)
        made = list(self.window.run(((frame, i in starts) for i, frame in enumerate(luma)), self.process))
        if self.filler:
            made = list(self.filler.window.run(((pair, i in starts) for i, pair in enumerate(made)), self.fill))
        frames, masks = zip(*made)
        return Restored(torch.stack(frames), torch.stack(masks))

    def fill(self, frames: Sequence[tuple[Tensor, Tensor]], halo: Halo) -> list[tuple[Tensor, Tensor]]:
        """Fill large damage in one window of what `process` made, with its halo; (luma, mask) for each frame that is no
        halo."""
        assert self.filler is not None  # whoever has no second window does not ask
        masks = [mask for _, mask in frames[halo.kept(len(frames))]]
        return list(zip(self.filler.process(frames, halo, self.options.strength), masks))

    def process(self, frames: Sequence[Tensor], halo: Halo) -> list[tuple[Tensor, Tensor]]:
        """Restore one window: frames `[1, H, W]` with their halo; (luma, mask) for each frame that is no halo, on the
        device that the frames lie on."""
        kept, levels = halo.kept(len(frames)), self.options.levels
        if self.options.strength == 0:
            return [(levelled_luma(frame, levels), torch.zeros_like(frame)) for frame in frames[kept]]
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
        out = levelled_luma(torch.lerp(source, restored, self.options.strength), levels)
        return list(zip(out.to(frames[0].device), mask.to(frames[0].device)))

    def _enlarge(self, source: Tensor, low: Tensor, restored: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Bring a restoration made at a lower size back: the source's finest detail returns where nothing was
        damaged."""
        size = source.shape[-2:]
        mask = resize(mask, size).clamp(0, 1)
        return resize(restored, size) + (1 - mask) * (source - resize(low, size)), mask

    def _tiled(self, luma: Tensor, thumbs: Tensor, halo: Halo) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network on whole frames or on overlapping tiles; the tone correction always sees the whole frame."""
        height, width = luma.shape[-2:]
        tile = self.options.tile or (_TILE if height * width > _WHOLE else max(height, width))
        if height <= tile and width <= tile:
            return self.engine.restore(luma, thumbs, halo)
        out = [torch.empty_like(luma[: len(thumbs) - sum(halo)]) for _ in range(3)]
        for top, bottom, y0, y1 in _tiles(height, tile):
            for left, right, x0, x1 in _tiles(width, tile):
                place = Place(top, left, height, width)
                parts = self.engine.restore(luma[..., top:bottom, left:right], thumbs, halo, place)
                for whole, part in zip(out, parts):
                    whole[..., y0:y1, x0:x1] = part[..., y0 - top : y1 - top, x0 - left : x1 - left]
        restored, mask, toned = out
        return restored, mask, toned


def _tiles(length: int, tile: int) -> list[tuple[int, int, int, int]]:
    """Cut `length` pixels into tiles of about equal size, at most `tile`: (first, last, kept first, kept last),
    overlapping, starting at multiples of 32."""
    inner, overlaps = length - 2 * TILE_OVERLAP, 2 * TILE_OVERLAP
    count = max(1, math.ceil(inner / ((tile - overlaps) // 32 * 32)))
    step = math.ceil(inner / count / 32) * 32
    parts = []
    for start in range(0, max(1, inner), max(32, step)):
        stop = min(length, start + step + overlaps)
        keep = 0 if start == 0 else start + TILE_OVERLAP
        parts.append((start, stop, keep, length if stop == length else stop - TILE_OVERLAP))
    return parts
