"""Large damage in restored frames is filled with what the frames beside it show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from ..engines import make_fill
from ..models.fill import CELL, RADIUS
from ..models.layers import Halo
from .window import Window

_BLOCK = 16  # pixels: damage is large where it covers such a square
_COVERED = 0.6  # share of its pixels from which it does
_DAMAGED = 0.5  # mask
_TOUCHED = 0.1  # mask from which a pixel shows nothing of the scene that could be trusted


class Filler:
    """Takes what large damage hides from up to four frames on each side.

    Only cells of 64 x 64 pixels with large damage in them are worked on, so film with ordinary dust costs nothing.

    Args:
        window: frames looked at at once, see `window_beside`.
        engine, device: what it runs on, as the network that restores; see `make_fill`. It is made when the first large
            damage comes, which most film has not.
    """

    def __init__(self, window: Window, engine: str = "torch", device: str = "cpu") -> None:
        self.window = window
        self._runs_on = engine, device

    @cached_property
    def _net(self) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
        return make_fill(*self._runs_on)

    @staticmethod
    def window_beside(restoring: Window) -> Window:
        """The window that fits a network's: half as many frames at once, so that they come sooner."""
        return Window(before=RADIUS, after=RADIUS, block=max(1, restoring.block // 2))

    @torch.inference_mode()
    def process(self, frames: Sequence[tuple[Tensor, Tensor, Tensor | None]], halo: Halo) -> list[Tensor]:
        """Fill one window.

        Args:
            frames: restored luma, where damage was repaired, and where someone asked for that or None, `[1, H, W]`
                each.
            halo: how many frames at either end are context only.

        Returns:
            The luma of each frame that is no halo.
        """
        kept = range(len(frames))[halo.kept(len(frames))]
        luma = [frames[time][0] for time in kept]
        for time, cells in _damaged_cells([frames[time][1:] for time in kept]):
            luma[time] = self._filled(frames, halo.before + time, cells)
        return luma

    def _filled(self, frames: Sequence[tuple[Tensor, Tensor, Tensor | None]], time: int, cells: Tensor) -> Tensor:
        """A frame's luma with these cells `[N, 2]` filled."""
        here = range(time - RADIUS, time + RADIUS + 1)
        near = [frames[min(max(at, 0), len(frames) - 1)] for at in here]
        exists = torch.tensor([float(0 <= at < len(frames)) for at in here], device=cells.device)
        luma, masks = (torch.stack(parts).float() for parts in zip(*(frame[:2] for frame in near)))
        touched = F.max_pool2d((masks > _TOUCHED).float(), 3, 1, 1)
        sound = (1 - touched) * exists.view(-1, 1, 1, 1)
        share = F.avg_pool2d(touched[RADIUS], 3, 1, 1, count_include_pad=False)
        out = luma[RADIUS].clone()
        made = (part.to(out.device) for part in self._net(luma, sound, cells))
        for (top, left), found, known in zip(cells.tolist(), *made):
            part = out[:, top : top + CELL, left : left + CELL]
            height, width = part.shape[-2:]
            weight = share[:, top : top + CELL, left : left + CELL] * known[:, :height, :width]
            part.lerp_(found[:, :height, :width], weight)
        return out.to(frames[time][0])


def _damaged_cells(masks: Sequence[tuple[Tensor, Tensor | None]]) -> Iterator[tuple[int, Tensor]]:
    """Of frames, by their masks and what someone wants repaired, `[1, H, W]`: the number of each with large damage or
    such wishes, and the first lines and columns of the cells that these lie in, `[N, 2]`. A GPU is waited for once."""
    worked = torch.stack([_large(mask) if repair is None else _large(mask) | _any(repair) for mask, repair in masks])
    where = worked.nonzero().cpu()
    for time in where[:, 0].unique().tolist():
        yield time, (CELL * where[where[:, 0] == time, 1:]).to(masks[0][0].device)


def _any(repair: Tensor) -> Tensor:
    """Which cells of a mask `[1, H, W]` hold anything that someone wants repaired, `[h, w]`."""
    return F.max_pool2d((repair > _TOUCHED).float(), CELL, ceil_mode=True)[0] > 0


def _large(mask: Tensor) -> Tensor:
    """Which cells of a mask `[1, H, W]` large damage lies in, `[h, w]`."""
    covered = F.avg_pool2d((mask > _DAMAGED).float(), _BLOCK, ceil_mode=True, count_include_pad=False) > _COVERED
    return F.max_pool2d(covered.float(), CELL // _BLOCK, ceil_mode=True)[0] > 0
