"""Building blocks shared by the networks: temporal shift, residual block, padding. Only operations that every
exporter knows."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIDDLE = 0.45  # mean luma of films, taken off so that activations centre on 0


class Halo(NamedTuple):
    """How many frames at the start and end of a window are context only and will not be returned."""

    before: int
    after: int

    def within(self, radius: int) -> Halo:
        """What is left of the halo when only `radius` frames on each side still matter."""
        return Halo(min(self.before, radius), min(self.after, radius))

    def kept(self, count: int) -> slice:
        """Which of a window's `count` frames will be returned."""
        return slice(self.before, count - self.after)


NO_HALO = Halo(0, 0)


def in_large_steps(device: torch.device | str) -> bool:
    """Whether work goes in few large steps: a GPU would wait for many small ones. On a CPU small ones are quicker, as
    what they hold fits its caches."""
    return torch.device(device).type != "cpu"


def constant(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """What `make` gives, made once for the same arguments; in an exported or compiled graph it is part of the graph."""
    cached = lru_cache(64)(torch.inference_mode(False)(make))

    @wraps(make)
    def made(*given: Hashable) -> Tensor:
        return (make if torch.jit.is_tracing() or torch.compiler.is_compiling() else cached)(*given)

    return made


def wide(x: Tensor) -> Tensor:
    """At least float32: tone, colour and matching are never computed in half precision."""
    return x if x.dtype == torch.float64 else x.float()


def fold(x: Tensor) -> Tensor:
    """`[B, T, C, H, W]` to `[B*T, C, H, W]`."""
    return x.flatten(0, 1)


def unfold(x: Tensor, batch: int) -> Tensor:
    """`[B*T, C, H, W]` back to `[B, T, C, H, W]`."""
    return x.view(batch, x.shape[0] // batch, *x.shape[1:])


def twice(x: Tensor) -> Tensor:
    """`[N, C, H, W]` to `[N, C, 2H, 2W]`, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def bias_of(layer: nn.Conv2d | nn.Conv3d | nn.Linear) -> Tensor:
    """The bias of a layer that was made with one, as all of ours are."""
    assert layer.bias is not None
    return layer.bias


def rows(x: Tensor) -> Tensor:
    """`[N, C, H, W]` to `[N, H*W, C]`."""
    return x.flatten(2).transpose(1, 2).contiguous()


def trim(x: Tensor, batch: int, have: Halo, want: Halo) -> Tensor:
    """Drop the context frames of `x` `[B*T, C, H, W]` that lie in `have` but not in `want`."""
    if have == want:
        return x
    clip = unfold(x, batch)
    return fold(clip[:, have.before - want.before : clip.shape[1] - (have.after - want.after)])


class Edges(NamedTuple):
    """Where the scene begins and ends in a window of fixed length, known only when an exported graph runs."""

    frames: int  # of the window with its whole halo, of which as much is trimmed at either end
    first: Tensor  # [] int64
    last: Tensor  # [] int64

    def seen(self, count: int, offset: int) -> Tensor:
        """For each of the `count` frames that are left of the window which one is its neighbour: `[count]` int64."""
        trimmed = (self.frames - count) // 2
        first, last = torch.clamp_min(self.first - trimmed, 0), torch.clamp_max(self.last - trimmed, count - 1)
        return torch.minimum(torch.maximum(torch.arange(count, device=first.device) + offset, first), last)


def neighbours(x: Tensor, offset: int, edges: Edges | None = None) -> Tensor:
    """The clip `x` `[B, T, ...]` seen from frame `t + offset`; the first and last frame repeat, or those at `edges`
    inside the window."""
    if offset == 0:
        return x
    if edges is not None:
        return x.index_select(1, edges.seen(x.shape[1], offset))
    edge = x[:, :1] if offset < 0 else x[:, -1:]
    count = min(abs(offset), x.shape[1])
    pad = edge.expand(-1, count, *x.shape[2:])
    return torch.cat([pad, x[:, : x.shape[1] - count]] if offset < 0 else [x[:, count:], pad], 1)


def around(x: Tensor, offsets: range, edges: Edges | None = None) -> Tensor:
    """The clip `x` `[B, T, C, ...]` seen from the frames at `offsets`, one after the other along the channels, see
    `neighbours`."""
    if edges is not None or torch.jit.is_tracing():
        return torch.cat([neighbours(x, offset, edges) for offset in offsets], 2)
    near = x.index_select(1, _around(x.shape[1], offsets, x.device))
    return near.view(x.shape[0], x.shape[1], len(offsets) * x.shape[2], *x.shape[3:])


@constant
def _around(count: int, offsets: range, device: torch.device) -> Tensor:
    """Of each of `count` frames, those at `offsets`, where the clip has any."""
    at = torch.arange(count)[:, None] + torch.tensor(offsets)
    return at.clamp(0, count - 1).flatten().to(device)


def shift(x: Tensor, channels: int, edges: Edges | None = None) -> Tensor:
    """Take the first `channels` of `x` `[B, T, C, H, W]` from the frame before, the next `channels` from the frame
    after."""
    if torch.jit.is_tracing():  # an exported graph knows no memory formats
        return _shifted(x, channels, 2, edges)
    # Joined along the channels where they lie together, as in channels_last: no change of layout to and fro.
    clip = x.permute(0, 1, 3, 4, 2)
    if in_large_steps(x.device) and not torch.is_grad_enabled() and edges is None:  # one step, much slower on a CPU
        frames = _sources(x.shape[1], channels, x.shape[2], x.device)
        return clip.gather(1, frames[None, :, None, None].expand_as(clip)).permute(0, 1, 4, 2, 3)
    return _shifted(clip, channels, 4, edges).permute(0, 1, 4, 2, 3)


@constant
def _sources(count: int, channels: int, width: int, device: torch.device) -> Tensor:
    """Of each of `count` frames, the frame that each of its channels is taken from in `shift`: `[T, C]`."""
    offset = torch.zeros(width, dtype=torch.int64)
    offset[:channels], offset[channels : 2 * channels] = -1, 1
    return (torch.arange(count)[:, None] + offset).clamp(0, count - 1).to(device)


def _shifted(x: Tensor, channels: int, dim: int, edges: Edges | None) -> Tensor:
    past, future, here = x.split([channels, channels, x.shape[dim] - 2 * channels], dim)
    return torch.cat([neighbours(past, -1, edges), neighbours(future, 1, edges), here], dim)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution made as a matrix product in half precision, which is faster where it makes few channels of
    many, and does not depend on the number of threads.

    Args:
        inputs, outputs: channels.
        always: in float32 too. For small pictures only: there oneDNN's convolution sums over the channels in another
            order for every number of threads, for large ones MKL's matrix product does.
    """

    def __init__(self, inputs: int, outputs: int, always: bool = False) -> None:
        super().__init__(inputs, outputs, 1)
        self.always = always

    def forward(self, input: Tensor) -> Tensor:
        if not (self.always or torch.is_autocast_enabled(input.device.type)):
            return super().forward(input)
        return F.linear(input.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)


class ResBlock(nn.Module):
    """Two 3x3 convolutions with a skip; the second starts small so that a fresh block is near the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():
            self.conv2.weight.mul_(0.2)
            bias_of(self.conv2).zero_()

    def change(self, x: Tensor) -> Tensor:
        """What the block adds to its input."""
        return self.conv2(F.leaky_relu(self.conv1(x), 0.1, inplace=not self.training))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


class Stage(nn.Module):
    """Residual blocks at one resolution; a temporal one shifts channels by a frame before its first block."""

    def __init__(self, width: int, blocks: int, temporal: bool) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"a stage needs at least one block, got {blocks}")
        self.shifted = width // 4 if temporal else 0
        self.blocks = nn.Sequential(*(ResBlock(width) for _ in range(blocks)))

    def forward(
        self, x: Tensor, batch: int, halo: Halo, radius: int, edges: Edges | None = None
    ) -> tuple[Tensor, Halo]:
        """`x` `[B*T, C, H, W]` with `halo` context frames; `radius` is how far later stages still look; `edges`: see
        `neighbours`."""
        if not self.shifted:
            return self.blocks(x), halo
        kept = halo.within(radius)
        mixed = fold(shift(unfold(x, batch), self.shifted, edges))
        # The skip of the first block stays on the unshifted features: a shift must never replace a frame's own detail.
        first = self.blocks[0]
        assert isinstance(first, ResBlock)
        x = trim(x, batch, halo, kept) + first.change(trim(mixed, batch, halo, kept))
        return self.blocks[1:](x), kept


class Lift(nn.Sequential):
    """Learned convex upsampling, by 4 or as much as `factor` says: every pixel of the luma mixes the 9 chroma values
    round it.

    Source: the upsampling of RAFT (Teed & Deng 2020), here led by the pixels of the luma.
    """

    def __init__(self, width: int, factor: int = 4) -> None:
        pixels = factor * factor
        super().__init__(
            nn.Conv2d(width + pixels, width, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(width, 9 * pixels, 1)
        )
        self.factor = factor

    # ty: ignore[incompatible-method-override] it is a Sequential for the names of its weights only
    def forward(self, chroma: Tensor, hidden: Tensor, luma: Tensor) -> Tensor:
        """`chroma` `[N, 2, h, w]` and `hidden` `[N, width, h, w]` at a `factor`th of the size, `luma` `[N, 1, H, W]` to
        chroma `[N, 2, H, W]`."""
        pixels = F.pixel_unshuffle(luma - MIDDLE, self.factor).to(hidden.dtype)
        logits = super().forward(torch.cat([hidden, pixels], 1))
        if in_large_steps(chroma.device) or torch.is_grad_enabled() or torch.jit.is_tracing():
            return self._mixed(logits, chroma)
        return torch.cat([self._mixed(*frame) for frame in zip(logits.split(1), chroma.split(1))])  # fits a cache

    def _mixed(self, logits: Tensor, chroma: Tensor) -> Tensor:
        count, _, height, width = chroma.shape
        apart = logits.to(wide(logits[:0]).dtype, memory_format=torch.contiguous_format)  # in one step
        weights = apart.view(count, 9, self.factor**2, height, width)
        weights = (weights - weights.detach().amax(1, keepdim=True)).exp_()
        padded = F.pad(chroma, (1, 1, 1, 1), mode="replicate")
        near = [padded[:, :, None, y : y + height, x : x + width] for y in range(3) for x in range(3)]
        mixed = near[0] * weights[:, None, 0]
        for k in range(1, 9):
            mixed = mixed.addcmul_(near[k], weights[:, None, k])
        return F.pixel_shuffle(mixed.div_(weights.sum(1)[:, None]).flatten(1, 2), self.factor)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Repeat the right and bottom edge of `[N, C, H, W]` until both sizes are multiples of `multiple`."""
    right, bottom = -x.shape[-1] % multiple, -x.shape[-2] % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if right or bottom else x
