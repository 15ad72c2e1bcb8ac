"""One frame on its way through the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..models.layers import Halo
from .options import Levels
from .shifts import NO_SHIFT, Shift

PLANES = ("luma", "chroma", "repair", "protect")
"""Of a picture, as it comes."""


@dataclass
class Picture:
    """One frame on its way.

    Attributes:
        luma: `[1, H, W]`, 0..1; restored at scale 2, it and all that follows are of twice the size.
        chroma: `[2, H, W]`, BT.709; None for gray.
        index: number of the frame in the film.
        payload: what the host hangs on it.
        mask: `[1, H, W]`, 0..1, where damage was repaired; None before it is restored.
        shares: `[R]`, see `Colored`; None before it is coloured.
        repair: `[1, H, W]`, 0..1: what is damage whatever the network thinks; None: nothing.
        protect: `[1, H, W]`, 0..1: what is left as it was; None: nothing.
        levels: that its luma was brought to.
        source: its luma as it was, while it is restored.
        lost: it was made anew from the frames around it.
        shift: how far it moved since the frame before, see `Steadier`.
        weave: what was taken out of it.
        thumbnail: what cuts are told by, `[48, 64]`, see `scenes.thumbnail`; None: it is made of `luma`.
        made: a mark for `Transfer.lowering` of what made it on a device where it stays.
    """

    luma: Tensor
    chroma: Tensor | None
    index: int
    payload: Any = None
    mask: Tensor | None = None
    shares: Tensor | None = None
    repair: Tensor | None = None
    protect: Tensor | None = None
    levels: Levels | None = None
    source: Tensor | None = None
    lost: bool = False
    shift: Shift = NO_SHIFT
    weave: Shift = NO_SHIFT
    thumbnail: Tensor | None = None
    made: Any = None

    @property
    def altered(self) -> bool:
        """Whether it is no longer what the film shows even before it is restored."""
        return self.lost or self.weave != NO_SHIFT


def only(
    needed: tuple[int, int | None], process: Callable[[Sequence[Picture], Halo], list[Picture]]
) -> Callable[[Sequence[Picture], Halo], list[Picture]]:
    """`process` for the windows that make needed frames, see `window.needed`; the pictures of others stay as they
    came, and nothing looks at them."""
    first, last = needed

    def some(pictures: Sequence[Picture], halo: Halo) -> list[Picture]:
        kept = pictures[halo.kept(len(pictures))]
        if kept[-1].index < first or (last is not None and kept[0].index >= last):
            return list(kept)
        return process(pictures, halo)

    return some
