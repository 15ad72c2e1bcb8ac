"""Restored frames are sharpened, and enlarged where that is asked for."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from torch import Tensor

from .. import weights
from ..engines import Engine, make_engine
from ..models import info
from ..models.layers import Halo
from ..models.sharpener import enlarged, softness
from .options import RestoreOptions
from .tiling import tiles
from .window import Window
from .worker import resize, stack, window_of


def sharpener_file(options: RestoreOptions) -> Path:
    """The weights that sharpen.

    Raises:
        InputError: there is no such file.
    """
    return weights.find("sharpener", "fast" if options.sharpener == "auto" else options.sharpener)


class Sharpener:
    """Gives back to restored luma what blur took, and at scale 2 makes it twice as large.

    Args:
        options: see `RestoreOptions`.
        block: frames made at once; None: as the network likes.

    Raises:
        InputError: no such weights. UnsupportedError: no such device.
    """

    def __init__(self, options: RestoreOptions, block: int | None = None) -> None:
        self.options = options
        net = weights.load_weights(sharpener_file(options), "sharpener")
        engine = "torch" if options.engine == "auto" else options.engine  # which that is the restorer has said
        self.engine: Engine = make_engine(net, engine, options.device, options.precision)
        self.window: Window = window_of(info(net), block=block)

    def like(self, options: RestoreOptions) -> Self:
        """This network with other options of the kind that need no other network."""
        other = copy.copy(self)
        other.options = options
        return other

    def process(self, frames: Sequence[Tensor], halo: Halo, size: tuple[int, int]) -> list[Tensor]:
        """Sharpen one window.

        Args:
            frames: restored luma `[1, H, W]`.
            halo: how many frames at either end are context only.
            size: lines and columns at which the network sees them.

        Returns:
            Luma `[1, sH, sW]` of each frame that is no halo, on the device that the frames lie on.
        """
        scale, home, kept = self.options.scale, self.engine.home, halo.kept(len(frames))
        source = stack(frames[kept], home)
        out = source if scale == 1 else enlarged(source)
        out = out + self.options.sharpness * resize(self._change(stack(frames, home, size), halo), out.shape[-2:])
        return list(out.to(frames[0].device))

    def _change(self, luma: Tensor, halo: Halo) -> Tensor:
        """What the network adds to frames `[T, 1, H, W]`, in whole frames or tiles of them, `[T - halo, 1, sH, sW]`."""
        scale, (height, width) = self.options.scale, luma.shape[-2:]
        figures = softness(luma[None])[0]
        tile = self.options.tile_of(height, width)
        if height <= tile and width <= tile:
            return self.engine.sharpen(luma, figures, halo, scale)
        out = luma.new_empty(len(luma) - sum(halo), 1, scale * height, scale * width)
        for top, bottom, y0, y1 in tiles(height, tile):
            for left, right, x0, x1 in tiles(width, tile):
                part = self.engine.sharpen(luma[..., top:bottom, left:right], figures, halo, scale)
                rows, columns = (slice(scale * (a - c), scale * (b - c)) for a, b, c in ((y0, y1, top), (x0, x1, left)))
                out[..., scale * y0 : scale * y1, scale * x0 : scale * x1] = part[..., rows, columns]
        return out
