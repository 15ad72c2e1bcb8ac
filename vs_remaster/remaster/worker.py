"""What restoring and colouring share: a loaded network, its temporal window and its device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Self
from weakref import ref

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import weights
from ..engines import Engine, choose_device, make_engine
from ..errors import InputError
from ..models import ModelInfo, info
from ..models.layers import in_large_steps
from .options import AUTOMATIC, ColorizeOptions, RestoreOptions
from .window import Window


def chosen_model(network: str, options: RestoreOptions | ColorizeOptions) -> str:
    if options.model != "auto":
        return weights.today(network, options.model)
    shipped = [name for name in weights.variants(network) if name != AUTOMATIC]
    wanted = "quality" if choose_device(options.device) != "cpu" else "fast"
    return wanted if wanted in shipped or not shipped else shipped[0]


def window_of(facts: ModelInfo, *beside: ModelInfo, block: int | None = None) -> Window:
    """The window of a network, wide enough for those that work beside it."""
    every = [facts, *beside]
    before, after = max(one.before for one in every), max(one.after for one in every)
    return Window(before=before, after=after, block=facts.block if block is None else block)


def guesses_beside(facts: ModelInfo, options: RestoreOptions | ColorizeOptions) -> bool:
    """Whether a second network guesses what no reference acts on."""
    return isinstance(options, ColorizeOptions) and options.automatic and facts.takes_references


class Worker[Options: RestoreOptions | ColorizeOptions]:
    """A loaded network with its window; another block size changes speed, and the picture by rounding only."""

    def __init__(self, network: str, options: Options, block: int | None) -> None:
        self.options = options
        self.model = chosen_model(network, options)
        net = weights.load_model(network, self.model)
        self.info = info(net)
        if self.info.fixed_block and block not in (None, self.info.block):
            raise InputError(f"block must be {self.info.block} for {self.model}, whose blocks overlap, got {block!r}")
        self.engine: Engine = make_engine(net, options.engine, options.device, options.precision)
        self.window: Window = window_of(self.info, block=block)

    def like(self, options: Options) -> Self:
        """This network with other options of the kind that need no other network."""
        other = copy.copy(self)
        other.options = options
        return other


def check_luma(luma: Tensor) -> None:
    if luma.ndim != 4 or luma.shape[1] != 1 or not luma.numel() or not luma.is_floating_point():
        raise InputError(
            f"luma must be a float tensor [T, 1, H, W] with at least one frame, got {tuple(luma.shape)} {luma.dtype}"
        )


class Overlap[Made]:
    """What was made of single frames of the last window: those that the next window has too are not worked on twice.

    The frames themselves are not kept: whoever hands them in again has them.

    Args:
        most: how many frames two windows have in common.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._last: tuple[object, list[tuple[ref[Tensor], Made]]] = None, []

    def of(
        self, frames: Sequence[Tensor], make: Callable[[Sequence[int]], Sequence[Made]], given: object = None
    ) -> list[Made]:
        """What there is of each frame, in order; a frame is known again as the same tensor.

        Args:
            frames: those of a window.
            make: makes it of those by their numbers, where it is not there yet.
            given: what it depends on beside the frame: what was made with something else is forgotten.
        """
        before, last = self._last
        known = {id(frame()): made for frame, made in last} if before is given else {}
        new = [number for number, frame in enumerate(frames) if id(frame) not in known]
        if new:
            known.update(zip((id(frames[number]) for number in new), make(new), strict=True))
        found = [known[id(frame)] for frame in frames]
        self._last = given, list(zip(map(ref, frames), found))[-self._most :] if self._most else []
        return found


def stack(frames: Sequence[Tensor], device: str, size: tuple[int, int] | None = None) -> Tensor:
    """Frames `[1, H, W]` as one float32 tensor `[T, 1, H, W]` on a device, of one size if none is given."""
    if not in_large_steps(device):
        # One by one, so that few are held at full size.
        sound = (finite(frame[None].to(device)) for frame in frames)
        return torch.cat([frame if size is None else resize(frame, size) for frame in sound])
    whole = finite(torch.stack([frame.to(device) for frame in frames]))
    return whole if size is None else resize(whole, size)


def finite(frames: Tensor) -> Tensor:
    """Frames as float32; what is not a number becomes black, so that it cannot spread."""
    return frames.float().nan_to_num(0.0, 1.0, 0.0)


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, antialiased when made smaller."""
    if x.shape[-2:] == size:
        return x
    smaller = size[0] < x.shape[-2] or size[1] < x.shape[-1]
    return F.interpolate(x, size, mode="bilinear", antialias=smaller, align_corners=False)
