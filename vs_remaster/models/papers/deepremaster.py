"""The two networks of DeepRemaster, to run the authors' weights: a restorer of L and a colorizer that makes ab from L
and references.

Source: Iizuka & Simo-Serra, DeepRemaster, SIGGRAPH Asia 2019, tables 1 and 2; where the published network departs from
them (order of attention and branching), as its weights need it. The implementation is our own. The weights are
CC BY-NC-SA 4.0: users import their own copy.

Both networks mix 5 frames and know nothing of the others, so disjoint blocks show a seam every fifth frame. Here
blocks of 5 begin every second frame and fade into each other; `official` gives the disjoint ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...color.matrices import gray_to_lightness, lightness_to_gray, ycbcr_to_rgb
from ..attention import attend
from ..layers import NO_HALO, Halo, bias_of, fold, pad_to_multiple, twice, unfold, wide
from ..network import ColorizerNetwork, Network
from .results import ColoredWindow, RestoredWindow, changes, chroma_of

MEAN_L, MEAN_RGB = 0.4462414, 0.48  # taken off the luma and off the references
REFERENCE_LINES = 256  # short edge of a reference
FRAMES = 5  # a block, as trained
_STEP = 2  # frames from one block to the next
# Weight of a frame by its place in the block. Binomial: whatever the place adds to a frame, up to a cubic of it, is
# the same for even and odd frames and cannot flicker.
_TAPER = (1, 4, 6, 4, 1)
_FEW = 64  # channels


@dataclass(frozen=True)
class DeepRemasterConfig:
    """`official`: disjoint blocks of 5, the gray value taken for L, references inside black margins, as published.

    `width` multiplies all channels: narrow networks train and run where the published ones cannot. `skip` and
    `self_attention` leave out what the paper's ablations leave out.
    """

    official: bool = False
    width: float = 1.0
    skip: bool = True
    self_attention: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.width <= 4:
            raise ValueError(f"width must be above 0 and at most 4, got {self.width!r}")

    def wide(self, *layers: tuple[int, float]) -> tuple[tuple[int, float], ...]:
        """(channels, scale) of a chain's units at this width."""
        return tuple((self.channels(count), scale) for count, scale in layers)

    def channels(self, count: int) -> int:
        """How many channels `count` published ones become: a multiple of 8, but not of more than there were."""
        return count if self.width == 1 else max(min(8, count), 8 * round(self.width * count / 8))


class Unit(nn.Module):
    """3x3 or 3x3x3 convolution, batch norm, ELU on frames `[B*T, C, H, W]`; `scale` 2 doubles the size first, 0.5
    halves it."""

    def __init__(self, inputs: int, outputs: int, scale: float = 1, *, temporal: bool, padded: bool = False) -> None:
        super().__init__()
        self.doubles = scale == 2
        stride, padding = (2 if scale == 0.5 else 1), (0 if padded else 1)
        self.conv: nn.Conv2d | nn.Conv3d
        if temporal:
            self.conv = nn.Conv3d(inputs, outputs, 3, (1, stride, stride), padding)
        else:
            self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding)
        self.norm = nn.BatchNorm2d(outputs)  # over frames as over a clip: the same mean

    def forward(self, x: Tensor, batch: int) -> Tensor:
        if self.doubles:
            x = twice(x)
        x = over_time(self.conv, x, batch) if isinstance(self.conv, nn.Conv3d) else self.conv(x)
        return F.elu(self.norm(x), inplace=not self.training)

    def fuse(self) -> None:
        """Fold the batch norm into the convolution: for inference only."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv.eval(), self.norm.eval()), nn.Identity()


def over_time(conv: nn.Conv3d, x: Tensor, batch: int) -> Tensor:
    """A 3x3x3 convolution on frames `[B*T, C, H, W]`; in channels_last no view copies anything."""
    if conv.in_channels > _FEW or conv.training or torch.jit.is_tracing():
        return fold(conv(unfold(x, batch).transpose(1, 2)).transpose(1, 2))
    # The three kernels as one 2-D convolution, whose parts are summed over neighbouring frames: with few channels the
    # 3-D kernels of a CPU are 2 to 30 times slower than this. Frame by frame, so that the parts need little memory.
    assert not isinstance(conv.padding, str)
    width, padding = conv.out_channels, conv.padding[0]
    kernel = conv.weight.permute(2, 0, 1, 3, 4).flatten(0, 1).contiguous(memory_format=torch.channels_last)
    bias = F.pad(bias_of(conv), (width, width))
    clips = [_summed(clip, kernel, bias, conv.stride[1:], padding) for clip in x.chunk(batch)]
    return torch.cat(clips) if batch > 1 else clips[0]


def _summed(clip: Tensor, kernel: Tensor, bias: Tensor, stride: tuple[int, ...], padding: int) -> Tensor:
    """`kernel`: those for the frame before, the frame and the frame after one below the other; `[T, C, H, W]` in."""
    count = len(clip) + 2 * padding - 2
    out: Tensor | None = None
    for t, frame in enumerate(clip.split(1)):
        parts = F.conv2d(frame, kernel, bias, stride, padding)
        if out is None:
            shape = (count, len(bias) // 3, *parts.shape[2:])
            out = torch.empty(shape, dtype=parts.dtype, device=parts.device, memory_format=torch.channels_last).zero_()
        for to, part in zip((t, t - 1, t - 2), parts.chunk(3, 1)):
            if 0 <= to + padding < count:
                out[to + padding] += part[0]
    assert out is not None  # a clip has frames
    return out


class Chain(nn.ModuleList):
    """Units one after the other: (outputs, scale) of each, as in `Unit`."""

    def __init__(self, inputs: int, *layers: tuple[int, float], temporal: bool, padded: bool = False) -> None:
        units = []
        for i, (outputs, scale) in enumerate(layers):
            units.append(Unit(inputs, outputs, scale, temporal=temporal, padded=padded and i == 0))
            inputs = outputs
        super().__init__(units)

    def forward(self, x: Tensor, batch: int) -> Tensor:
        for unit in self:
            x = unit(x, batch)
        return x


class Attention(nn.Module):
    """Source-reference attention (equation 1 of the paper); with the source as reference, self-attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width // 8)
        self.key = nn.Linear(width, width // 8)
        self.value = nn.Linear(width, width)
        self.gamma = nn.Parameter(torch.zeros(1))

    def memorize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys `[N, d]` (float32: their product decides) and values `[N, v]` of frames `[T, C, H, W]`."""
        rows = _rows(x)
        with torch.autocast(x.device.type, enabled=False):
            keys = F.linear(wide(rows), wide(self.key.weight), wide(self.key.bias))
        return keys, self.value(rows)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """`x` `[T, C, H, W]` with what it sees added; and, for each frame, the mean of the attention on the further
        columns of `values`, beyond the C that are features: `[T, columns]`."""
        count, width, height, columns = x.shape
        with torch.autocast(x.device.type, enabled=False):
            queries = F.linear(wide(_rows(x)), wide(self.query.weight), wide(self.query.bias))
            found = attend(queries, keys, values).view(count, height, columns, -1)
            out = torch.addcmul(x, self.gamma.to(x.dtype), found[..., :width].permute(0, 3, 1, 2).to(x.dtype))
            return out, wide(found[..., width:]).mean((1, 2))

    def among(self, x: Tensor, batch: int) -> Tensor:
        """Self-attention over all frames of each of the `batch` clips in `x` `[B*T, C, H, W]`."""
        return torch.cat([self(clip, *self.memorize(clip))[0] for clip in _clips(x, batch)])


def _clips(x: Tensor, batch: int) -> tuple[Tensor, ...]:
    """The `batch` clips in `[B*T, C, H, W]`; one alone is not cut, so that an exported graph leaves its length open."""
    return x.chunk(batch) if batch > 1 else (x,)


def _matched(attention: Attention, x: Tensor, seen: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[Tensor]]:
    """Frames `[B*T, C, H, W]` of B clips, each with what it saw of its references' keys and values added, and the
    references' shares; without references a clip stays as it is."""
    made, shares = [], []
    for clip, (keys, values) in zip(_clips(x, len(seen)), seen):
        clip, share = attention(clip, keys, values) if len(keys) else (clip, x.new_zeros(len(clip), 0))
        made.append(clip)
        shares.append(share)
    return torch.cat(made), shares


def _rows(x: Tensor) -> Tensor:
    """`[T, C, H, W]` to `[T*H*W, C]`, a view in channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


class DeepMemory(NamedTuple):
    """Keys and values of all references, positions in one list, at 1/8 and 1/16 of their size; R further columns of
    the values tell whose position it is. All the colorizer needs of them, exactly."""

    keys8: Tensor  # [K, 64]
    values8: Tensor  # [K, 512 + R]
    keys16: Tensor  # [k, 64]
    values16: Tensor  # [k, 512 + R]

    def to(self, device: torch.device | str) -> DeepMemory:
        """The same memory on another device."""
        return DeepMemory(*(x.to(device) for x in self))

    def subset(self, chosen: Sequence[int], weights: Sequence[float]) -> DeepMemory:
        """Some of the references; weights cannot act in this network."""
        width = self.keys8.shape[1] * 8  # of the values without the columns that tell whose they are
        parts = []
        for keys, values in ((self.keys8, self.values8), (self.keys16, self.values16)):
            own = values[:, width:][:, list(chosen)]
            rows = torch.cat([column.nonzero()[:, 0] for column in own.unbind(1)])
            parts += [keys[rows], torch.cat([values[rows, :width], own[rows]], 1)]
        return DeepMemory(*parts)


class _Network(Network):
    """What both networks are to a caller."""

    fixed_block = True

    config: DeepRemasterConfig

    def __init__(self, config: DeepRemasterConfig) -> None:
        super().__init__(config)
        self.before, self.block, self.after = (0, FRAMES, 0) if config.official else (4, 8 * _STEP, 3)

    def fuse(self) -> None:
        """Fold all batch norms: for inference only."""
        for unit in self.modules():
            if isinstance(unit, Unit):
                unit.fuse()

    def lightness(self, gray: Tensor) -> Tensor:
        """Y' to the networks' L, both 0..1."""
        gray = wide(gray).clamp(0, 1)
        return gray if self.config.official else gray_to_lightness(gray) / 100

    def blocks(self, make: Callable[[slice], tuple[Tensor, ...]], count: int, halo: Halo) -> tuple[Tensor, ...]:
        """Run `make` on the blocks that `count` frames divide into; what it makes, `[B, t, ...]` each, blended."""
        return make(slice(0, count)) if self.config.official else blend(make, count, halo)


def blend(make: Callable[[slice], tuple[Tensor, ...]], count: int, halo: Halo) -> tuple[Tensor, ...]:
    """Blocks of 5 round every second frame of the film, blended; the halo is not returned.

    Where a scene goes on, the kept part of a window ends on the windows' grid, which is even: so neighbouring windows
    lay their blocks alike.
    """
    kept = range(count)[halo.kept(count)]
    grid = halo.before if halo.before else count - halo.after if halo.after else 0
    sums: list[tuple[Tensor, ...]] = [()] * count
    weights = [0] * count
    for first in range(grid % _STEP - 2 * _STEP, count, _STEP):  # the middle of each lies on the grid
        low, high = max(0, first), min(count, first + FRAMES)
        # What is left of a block at a scene's end is of use with three frames; two others would have to share it.
        if high - low < min(3, count) or high <= kept.start or low >= kept.stop:
            continue
        made = make(slice(low, high))
        for i in range(max(low, kept.start), min(high, kept.stop)):
            weight = _TAPER[i - first]
            parts = tuple(weight * x[:, i - low] for x in made)
            sums[i] = tuple(a + b for a, b in zip(sums[i], parts)) if sums[i] else parts
            weights[i] += weight
    return tuple(torch.stack(x, 1) for x in zip(*(tuple(x / weights[i] for x in sums[i]) for i in kept)))


class DeepRestorer(_Network):
    """The restoration network: L in, L out, spatially finite (under 64 pixels), so tiles leave no seam.

    Source: table 1 of the paper.
    """

    multiple_of = 4

    def __init__(self, config: DeepRemasterConfig = DeepRemasterConfig()) -> None:
        super().__init__(config)
        down = config.wide((64, 0.5), (128, 1), (128, 1), (256, 0.5), *(4 * [(256, 1)]))
        up = config.wide((128, 2), (64, 1), (64, 1), (16, 2))
        self.down = Chain(1, *down, temporal=True, padded=True)
        self.up = Chain(config.channels(256), *up, temporal=True)
        self.head = nn.Conv3d(config.channels(16), 1, 3, padding=1)

    def predict(self, light: Tensor) -> Tensor:
        """The network itself: L `[B, T, 1, H, W]` 0..1, sizes multiples of 4, to restored L."""
        batch = light.shape[0]
        x = F.pad((light - MEAN_L).transpose(1, 2), (1, 1, 1, 1, 1, 1), mode="replicate").transpose(1, 2)
        x = self.up(self.down(fold(x).contiguous(memory_format=torch.channels_last), batch), batch)
        change = torch.tanh(unfold(wide(over_time(self.head, x, batch)), batch))
        return ((light if self.config.skip else 0.5) + change).clamp(0, 1)

    def forward(
        self, luma: Tensor, thumbs: Tensor | None = None, halo: Halo = NO_HALO, place: object = None
    ) -> RestoredWindow:
        """Restore a window of frames `luma` `[B, T, 1, H, W]`, Y' 0..1; those that are no halo.

        `thumbs` and `place`, which other restorers need for tiles, do not matter.
        """
        return self.restored(luma, halo, self.predict)

    def restored(self, luma: Tensor, halo: Halo, predict: Callable[[Tensor], Tensor]) -> RestoredWindow:
        """`forward` with whatever runs the network itself, see `predict`."""
        batch, count, _, height, width = luma.shape
        light = unfold(pad_to_multiple(self.lightness(fold(luma)), self.multiple_of), batch)
        (restored,) = self.blocks(lambda part: (predict(light[:, part]),), count, halo)
        restored = restored[..., :height, :width]
        if not self.config.official:
            restored = lightness_to_gray(100 * restored)
        source = wide(luma[:, halo.kept(count)])
        return RestoredWindow(restored, *(unfold(x, batch) for x in changes(fold(source), fold(restored))))


class DeepColorizer(_Network, ColorizerNetwork):
    """The source-reference network: ab from L and any number of references, none included.

    Up to the first self-attention frames do not meet, so what the overlapping blocks share there is made once.
    Source: table 2 of the paper.
    """

    multiple_of = 16
    scales_references = True
    needs_references = False

    def __init__(self, config: DeepRemasterConfig = DeepRemasterConfig()) -> None:
        super().__init__(config)
        encoder = config.wide(
            (64, 0.5), (128, 1), (128, 1), (256, 0.5), (256, 1), (256, 1), (512, 0.5), (512, 1), (512, 1)
        )
        full = config.channels(512)
        up = config.wide((256, 1), (128, 2), (64, 1), (32, 2), (16, 1), (8, 2))
        self.source = Chain(1, *encoder, temporal=False, padded=True)
        self.reference = Chain(3, *encoder, temporal=False)
        self.reference_deep = Chain(full, (full, 0.5), (full, 1), (full, 1), temporal=False)
        self.flat = Chain(full, (full, 1), (full, 1), temporal=False)
        self.deep = Chain(full, (full, 0.5), (full, 1), temporal=False)
        self.mix = Chain(full, (full, 1), temporal=False)
        self.match8, self.match16 = Attention(full), Attention(full)
        self.self16, self.self8 = Attention(full), Attention(full)
        self.join = Chain(2 * full, (full, 1), temporal=True)
        self.up = Chain(full, *up, temporal=True)
        self.head = nn.Conv3d(config.channels(8), 2, 3, padding=1)

    def encode(self, rgb: Tensor, number: int = 0, count: int = 1) -> DeepMemory:
        """Reference `number` of `count`: `rgb` `[1, 3, H, W]`, 0..1, of any size."""
        return self.encode_each(rgb, [(number, count)])[0]

    def encode_each(self, rgb: Tensor, owners: list[tuple[int, int]]) -> list[DeepMemory]:
        """References of one size at once: `rgb` `[N, 3, H, W]`, 0..1, and for each its number and of how many."""
        x = (wide(rgb) - MEAN_RGB).contiguous(memory_format=torch.channels_last)
        features = self.reference(x, 1)
        pairs = ((self.match8, features), (self.match16, self.reference_deep(features, 1)))
        memories = []
        for i, (number, count) in enumerate(owners):
            parts = []
            for attention, x in pairs:
                keys, values = attention.memorize(x[i : i + 1])
                owner = values.new_zeros(len(values), count)
                owner[:, number] = 1
                parts += [keys, torch.cat([values, owner], 1)]
            memories.append(DeepMemory(*parts))
        return memories

    def encode_all(self, pictures: Iterable[tuple[Tensor, Tensor]]) -> DeepMemory:
        """Encode references `(luma [1, 1, h, w], chroma [1, 2, h, w])` of any size into one memory."""
        return self.encoded(pictures, self.encode)

    def encoded(
        self, pictures: Iterable[tuple[Tensor, Tensor]], encode: Callable[[Tensor, int, int], DeepMemory]
    ) -> DeepMemory:
        """`encode_all` with whatever runs the network itself, see `encode`."""
        rgb = [ycbcr_to_rgb(torch.cat(picture, 1)).clamp(0, 1) for picture in pictures]
        if not rgb:
            none = self.head.weight.new_zeros(0, self.match8.value.out_features)
            return DeepMemory(*(2 * (none[:, : self.match8.key.out_features], none)))
        rgb = _in_margins(rgb) if self.config.official else [_scaled(x) for x in rgb]
        parts = [encode(x, i, len(rgb)) for i, x in enumerate(rgb)]
        return DeepMemory(*(torch.cat(x) for x in zip(*parts)))

    def look(self, light: Tensor, memories: list[DeepMemory]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """What is made frame by frame from L `[B*T, 1, H, W]`, a memory for each of the B clips: features at 1/8 and
        1/16, and for each clip the references' shares `[T, R]`."""
        x = F.pad(light - MEAN_L, (1, 1, 1, 1), mode="replicate")
        x = self.source(x.contiguous(memory_format=torch.channels_last), 1)
        x, shares8 = _matched(self.match8, x, [(m.keys8, m.values8) for m in memories])
        deep, shares16 = _matched(self.match16, self.deep(x, 1), [(m.keys16, m.values16) for m in memories])
        return self.flat(x, 1), self.mix(deep, 1), [(a + b) / 2 for a, b in zip(shares8, shares16)]

    def decode(self, flat: Tensor, deep: Tensor, batch: int) -> Tensor:
        """Features at 1/8 and 1/16 `[B*T, 512, h, w]` of one block to ab `[B, T, 2, H, W]`, 0..1."""
        among = self.config.self_attention
        deep = self.self16.among(deep, batch) if among else deep
        deep = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        x = self.join(torch.cat([deep, flat], 1), batch)
        x = self.self8.among(x, batch) if among else x
        return torch.sigmoid(unfold(wide(over_time(self.head, self.up(x, batch), batch)), batch))

    def predict(self, light: Tensor, memories: list[DeepMemory]) -> Tensor:
        """The network itself: L `[B, T, 1, H, W]` 0..1, sizes multiples of 16, to ab `[B, T, 2, H, W]`, 0..1."""
        flat, deep, _ = self.look(fold(light), memories)
        return self.decode(flat, deep, len(light))

    def forward(self, luma: Tensor, memories: list[DeepMemory], halo: Halo = NO_HALO) -> ColoredWindow:
        """Colour a window of frames `luma` `[B, T, 1, H, W]`, Y' 0..1, sizes multiples of 16.

        The chroma is that of the colour with the gray's L* and the predicted ab, brought into the gamut; Y' stays.
        """
        return self.colored(luma, memories, halo, self.look, self.decode)

    def colored[Known](
        self,
        luma: Tensor,
        memories: list[Known],
        halo: Halo,
        look: Callable[[Tensor, list[Known]], tuple[Tensor, Tensor, list[Tensor]]],
        decode: Callable[[Tensor, Tensor, int], Tensor],
    ) -> ColoredWindow:
        """`forward` with whatever runs the two halves of the network, see `look` and `decode`."""
        count = luma.shape[1]
        light = self.lightness(luma)
        chroma, shares = [], []
        for clip, memory in zip(light, memories):
            looks = [look(part, [memory]) for part in clip.split(FRAMES)]
            flat, deep = (torch.cat([made[i] for made in looks]) for i in (0, 1))
            share = torch.cat([made[2][0] for made in looks])
            (ab,) = self.blocks(partial(_decoded, decode, flat, deep), count, halo)
            kept = halo.kept(count)
            chroma.append(chroma_of(clip[kept], ab[0]))
            shares.append(share[kept])
        return ColoredWindow(torch.stack(chroma), shares)


def _decoded(decode: Callable[[Tensor, Tensor, int], Tensor], flat: Tensor, deep: Tensor, part: slice) -> tuple[Tensor]:
    return (decode(flat[part], deep[part], 1),)


def _resized(rgb: Tensor, size: tuple[int, int]) -> Tensor:
    if rgb.shape[-2:] == size:
        return rgb
    return F.interpolate(rgb, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def _scaled(rgb: Tensor) -> Tensor:
    """A reference `[1, 3, H, W]` with a short edge of 256 pixels and its own shape; at most eight times as long."""
    height, width = rgb.shape[-2:]
    scale = REFERENCE_LINES / min(height, width)
    most = 8 * REFERENCE_LINES
    return _resized(rgb, (min(most, round(height * scale)), min(most, round(width * scale))))


def _in_margins(pictures: list[Tensor]) -> list[Tensor]:
    """References as the authors prepare them: all of the mean shape, short edge 256, black round the picture."""
    aspect = sum(x.shape[-1] / x.shape[-2] for x in pictures) / len(pictures)
    height, width = int(REFERENCE_LINES / min(1, aspect)), int(REFERENCE_LINES * max(1, aspect))
    framed = []
    for x in pictures:
        if x.shape[-2:] != (height, width):
            scale = max(height, width) / max(x.shape[-2:])
            lines, columns = (max(16, int(side * scale / 16) * 16) for side in x.shape[-2:])
            x = _resized(x, (lines, columns))
        top, left = (height - x.shape[-2]) // 2, (width - x.shape[-1]) // 2
        framed.append(F.pad(x, (left, width - x.shape[-1] - left, top, height - x.shape[-2] - top)))
    return framed
