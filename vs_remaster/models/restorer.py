"""The restorer: tone is corrected, then a 2-D U-Net that shifts channels in time makes a residual, and a damage mask
with what belongs under it.

`out = lerp(lerp(x, tone(x), max(need, seen)) + need * photo, fill, mask)`. Two tone parts in a row correct flicker
and shading and cannot blur; `photo` is the residual for grain and softness; `need` says how much is to be done at all,
so that clean film comes back as it was, but a change of tone that is to be `seen` is always made. `fill` is the picture
itself painted anew, used only where the mask finds damage. A fill instead of a second residual need not undo the dirt
pixel by pixel, so no rim of it stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import (
    MIDDLE,
    NO_HALO,
    Edges,
    Halo,
    Pointwise,
    Stage,
    around,
    bias_of,
    constant,
    fold,
    pad_to_multiple,
    trim,
    unfold,
    wide,
)
from .network import Network

ALL_DONE = 0.5  # share of clips that train as if `need` were 1 everywhere
JUST_SEEN = 2 / 255  # root mean square of a change of tone
THUMBNAIL = (36, 48)  # lines x columns of the small frames that the tone part sees


@dataclass(frozen=True)
class RestorerConfig:
    """Widths and residual blocks of the U-Net at 1/2, 1/4 and 1/8, and the channels of the tone parts.

    `far`: how many frames apart the second tone part looks; 0: without it. `need`: channels of the part that finds how
    much is to be done; 0: without it. `shift`, `mask` and `skip` leave something out, to measure what it is worth:
    looking at neighbouring frames, the damage mask (the residual does all), and the way of the source to the output
    (the picture is painted anew).
    """

    widths: tuple[int, int, int] = (24, 48, 96)
    encoder: tuple[int, int] = (1, 2)
    middle: int = 4
    decoder: tuple[int, int] = (2, 1)
    tone: int = 32
    far: int = 3
    need: int = 32
    shift: bool = True
    mask: bool = True
    skip: bool = True


class RestorerOutput(NamedTuple):
    """What `RestorerNet` returns: all `[B, T, 1, H, W]` float32, but for `need_logits`, which are `[B, T, 1, h, w]` of
    cells of 32 pixels, or None."""

    luma: Tensor
    mask: Tensor
    toned: Tensor
    mask_logits: Tensor
    fill: Tensor
    need_logits: Tensor | None = None


class Tone(nn.Module):
    """Per-frame tone correction from thumbnails of the frame and of four neighbours on each side, `step` apart."""

    def __init__(self, width: int, step: int = 1) -> None:
        super().__init__()
        self.step, self.radius = step, 4 * step
        self.encode = nn.Sequential(
            nn.Conv2d(3, width // 2, 3, 2, 1), nn.LeakyReLU(0.1),
            nn.Conv2d(width // 2, width, 3, 2, 1), nn.LeakyReLU(0.1),
            nn.Conv2d(width, width, 3, 2, 1), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.mix1 = Pointwise(5 * width, 2 * width, always=True)
        self.mix2 = Pointwise(10 * width, 2 * width, always=True)
        self.grid = nn.Conv2d(2 * width, 1, 3, padding=1)
        self.curve = nn.Linear(2 * width, 4)
        self.fused = False
        for layer in (self.grid, self.curve):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(bias_of(layer))

    def forward(self, thumbs: Tensor, edges: Edges | None = None) -> tuple[Tensor, Tensor]:
        """`thumbs` `[B, T, 1, 36, 48]` to a gain grid `[B*T, 1, 5, 6]` and the curve's coefficients `[B*T, 4, 1, 1]`,
        both for `apply_tone`.

        `edges`: see `neighbours`.
        """
        batch = thumbs.shape[0]
        # Means of the whole frame and contrast-stretched values make a change of gain visible to the small
        # convolutions.
        mean = thumbs.mean((-2, -1), keepdim=True).expand_as(thumbs)
        given = [thumbs, mean] if self.fused else [thumbs, 4 * (thumbs - mean), mean]
        x = self.encode(fold(torch.cat(given, 2)))
        for mix in (self.mix1, self.mix2):
            near = around(unfold(x, batch), range(-2 * self.step, 3 * self.step, self.step), edges)
            x = F.leaky_relu(mix(fold(near)), 0.1)
        curve = self.curve(x.mean((-2, -1)))[..., None, None]
        return self.grid(x), curve if self.fused else curve_of(curve)

    @torch.no_grad()
    def fuse(self) -> None:
        """Fold what is linear before the first convolution and behind the last layer into these."""
        if self.fused:
            return
        first, last = self.encode[0], self.curve
        assert isinstance(first, nn.Conv2d)
        plain, stretched, mean = first.weight.split(1, 1)
        first.weight = nn.Parameter(torch.cat([plain + 4 * stretched, mean - 4 * stretched], 1))
        told = torch.cat([last.weight, bias_of(last)[:, None]], 1).double()
        powers = curve_of(told.t()[..., None, None])[..., 0, 0]  # an affine map of each column
        powers[:-1] -= curve_of(torch.zeros_like(told[:, :1]).t()[..., None, None])[..., 0, 0]
        last.weight, last.bias = (nn.Parameter(x.to(last.weight)) for x in (powers[:-1].t(), powers[-1]))
        self.fused = True


class Need(nn.Sequential):
    """How much is to be done, from features at 1/8: logits at 1/32, so that neither grain nor a detail switches it on
    and off. A fresh one has most of it done everywhere."""

    cell = 32

    def __init__(self, inputs: int, width: int) -> None:
        first, second = nn.Conv2d(inputs, width, 3, 2, 1), nn.Conv2d(width, width, 3, 2, 1)
        last = nn.Conv2d(width, 1, 3, padding=1)
        super().__init__(first, nn.LeakyReLU(0.1), second, nn.LeakyReLU(0.1), last)
        self.length = inputs**0.5
        for layer in (first, second):
            nn.init.kaiming_normal_(layer.weight, 0.1)
        nn.init.zeros_(last.weight)
        nn.init.constant_(bias_of(last), 2.0)

    def forward(self, input: Tensor) -> Tensor:
        """Features `[N, C, H/8, W/8]` to logits `[N, 1, ceil(H/32), ceil(W/32)]`."""
        # A young network's are tiny: without a length of their own they would tell nothing for a long time.
        directions = F.normalize(wide(input), dim=1) * self.length
        return super().forward(directions.to(input.dtype))

    def over(self, picture: Tensor, logits: Tensor) -> Tensor:
        """What `logits` `[N, 1, h, w]` say for every pixel of `picture` `[N, 1, H, W]`, 0..1."""
        sides = zip(picture.shape[-2:], logits.shape[-2:])  # the last cells may reach over the edge
        down, across = (bilinear(side, self.cell * count, count, logits.device) for side, count in sides)
        with torch.autocast(picture.device.type, enabled=False):
            cells = torch.sigmoid(wide(logits))
            return down.to(cells) @ cells @ across.t().to(cells)


class Place(NamedTuple):
    """Where a tile lies: its first line and column, and the size of the whole frame."""

    top: int
    left: int
    height: int
    width: int


class Lines(NamedTuple):
    """Where each line and each column of a picture lies in the whole frame, 0..1: a `Place` for exported graphs."""

    rows: Tensor  # [H]
    columns: Tensor  # [W]

    @classmethod
    def whole(cls, picture: Tensor) -> Lines:
        """Those of a whole frame `[..., H, W]`."""
        return cls(*((torch.arange(side, device=picture.device) + 0.5) / side for side in picture.shape[-2:]))

    def spread(self, grid: Tensor) -> Tensor:
        """`grid` `[N, 1, h, w]`, over the whole frame, at these lines and columns `[N, 1, H, W]`, bilinear."""
        down, across = (mixtures(at.to(grid.dtype), count) for at, count in zip(self, grid.shape[-2:]))
        return down @ grid @ across.t()


def mixtures(at: Tensor, count: int) -> Tensor:
    """What is at places `at` `[S]`, 0..1, as a mixture of `count` cells beside each other, bilinear: `[S, count]`."""
    position = (at * count - 0.5).clamp(0, count - 1)
    return (1 - (position[:, None] - torch.arange(count, device=at.device)).abs()).clamp_min(0)


@constant
def bilinear(side: int, whole: int, count: int, device: torch.device) -> Tensor:
    """`mixtures` for the middles of the first `side` pixels of `whole`."""
    return mixtures((torch.arange(side, device=device) + 0.5) / whole, count)


def curve_of(told: Tensor) -> Tensor:
    """Curve coefficients `[N, 4, 1, 1]` as the tone part tells them (offset, gain, and two terms that leave black and
    white in place) to those of the powers of luma: of `apply_tone`."""
    offset, gain, bend, twist = told.split(1, 1)
    # x + offset + x * (field + gain) + x * (1 - x) * (bend + twist * (1 - 2 * x)), by its powers of x
    return torch.cat([offset, gain + bend + twist + 1, -3 * twist - bend, 2 * twist], 1)


def apply_tone(
    x: Tensor,
    grid: Tensor,
    curve: Tensor,
    place: Place | Lines | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Bend `x` `[N, 1, H, W]` by a curve, see `curve_of`, and a gain that is a smooth field over the whole frame;
    `place` tells which part of the frame `x` is, `size` how many of its lines and columns: what lies beyond repeats the
    last ones."""
    offset, linear, square, cube = curve.split(1, 1)
    if isinstance(place, Lines):
        field = place.spread(grid)
    else:
        height, width = size or x.shape[-2:]
        whole = (place.height, place.width) if place else (height, width)
        field = F.interpolate(grid, whole, mode="bilinear", align_corners=False)
        if place:
            field = field[..., place.top : place.top + height, place.left : place.left + width]
        if field.shape[-2:] != x.shape[-2:]:
            field = F.pad(field, (0, x.shape[-1] - width, 0, x.shape[-2] - height), mode="replicate")
    y = torch.addcmul(square, cube, x)
    y = torch.addcmul(field + linear, y, x)
    return torch.addcmul(offset, y, x)


def visible(change: Tensor) -> Tensor:
    """How much a change of tone `[N, 1, H, W]` is to be seen, 0..1 `[N, 1, 1, 1]`: half at `JUST_SEEN`."""
    power = (change.square().mean((1, 2, 3), keepdim=True) / JUST_SEEN**2).square()
    return power / (power + 1)


class RestorerNet(Network):
    """The restorer network; looks 20 frames each way, 16 of them only as thumbnails: flicker is told from light
    by a first tone part that compares frames near each other, and by a second one that compares what it made of frames
    `far` apart.

    Source: our own design; the mask follows the idea of directly supervised damage masks, the shift that of
    shift-only video denoisers.
    """

    exact = ("tone", "far")
    spatial_radius = 4
    block = 16
    multiple_of = 8
    marks_damage = True
    sharpens = True

    config: RestorerConfig

    def __init__(self, config: RestorerConfig = RestorerConfig()) -> None:
        super().__init__(config)
        w1, w2, w3 = config.widths
        self.tone = Tone(config.tone)
        self.far = Tone(config.tone, config.far) if config.far else None
        self.before = self.after = self.spatial_radius + sum(part.radius for part in self.tones)
        self.sees = self.spatial_radius
        self.stem = nn.Conv2d(4, w1, 3, padding=1)
        self.enc1 = Stage(w1, config.encoder[0], temporal=config.shift)
        self.down1 = nn.Conv2d(w1, w2, 3, 2, 1)
        self.enc2 = Stage(w2, config.encoder[1], temporal=config.shift)
        self.down2 = nn.Conv2d(w2, w3, 3, 2, 1)
        self.middle = Stage(w3, config.middle, temporal=config.shift)
        self.need = Need(w3, config.need) if config.need else None
        self.up2 = nn.Conv2d(w3, 4 * w2, 1)
        self.dec2 = Stage(w2, config.decoder[0], temporal=config.shift)
        self.up1 = nn.Conv2d(w2, 4 * w1, 1)
        self.dec1 = Stage(w1, config.decoder[1], temporal=False)
        self.head = nn.Conv2d(w1, 12, 3, padding=1)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            bias_of(self.head).zero_()
            bias_of(self.head)[8:] = -3.0  # a fresh network calls nothing damage

    def fuse(self) -> None:
        """See `Network.fuse`."""
        for tone in self.tones:
            tone.fuse()

    @property
    def tones(self) -> list[Tone]:
        """The tone parts in their order."""
        return [self.tone, self.far] if self.far else [self.tone]

    def forward(
        self,
        luma: Tensor,
        thumbs: Tensor | None = None,
        halo: Halo = NO_HALO,
        place: Place | Lines | None = None,
        edges: Edges | None = None,
    ) -> RestorerOutput:
        """Restore a window of frames.

        `luma` `[B, T, 1, H, W]` 0..1; `halo`: frames at either end that are context and are not returned. When `luma`
        is a tile, `thumbs` `[B, T, 1, 36, 48]` are those of the whole frames and `place` says where the tile lies. With
        `thumbs`, `luma` may be without the frames that are not returned and lie more than `sees` from those that are.
        `edges`: where the scene ends inside the window.
        Returns `T - halo` frames.
        """
        batch, count, _, height, width = luma.shape
        if thumbs is None:
            thumbs = thumbnails(luma)
        inner = halo.within(self.spatial_radius)
        if count == thumbs.shape[1]:
            luma = luma[:, halo.before - inner.before : count - (halo.after - inner.after)]
        x = pad_to_multiple(fold(wide(luma)), self.multiple_of)
        with torch.autocast(luma.device.type, enabled=False):
            toned = x
            untoned = small = fold(wide(thumbs))
            for tone in self.tones:
                grid, curve = tone(unfold(small, batch), edges)
                small = apply_tone(small, grid, curve)
                toned = apply_tone(toned, *(trim(y, batch, halo, inner) for y in (grid, curve)), place, (height, width))
            seen = trim(visible(small - untoned), batch, halo, inner)
        outputs, need = self.repair(toned, batch, inner, edges)
        photo, fill, logits = F.pixel_shuffle(wide(outputs), 2)[..., :height, :width].split(1, 1)
        mask = torch.sigmoid(logits) if self.config.mask else torch.zeros_like(logits)
        x, toned = (trim(x, batch, inner, NO_HALO)[..., :height, :width] for x in (x, toned))
        fill = fill + MIDDLE
        if self.need is not None and need is not None:
            weight = self.need.over(photo, need)
            if self.training:  # all is done to some clips: tone and residual leave clean film alone by themselves, too
                whole = (torch.rand(batch) < ALL_DONE).to(weight).repeat_interleave(len(weight) // batch)
                weight = torch.maximum(weight, whole.view(-1, 1, 1, 1))
            toned = torch.lerp(x, toned, torch.maximum(weight, trim(seen, batch, inner, NO_HALO)))
            repaired = torch.addcmul(toned, photo, weight)
            need = unfold(wide(need), batch)
        else:
            repaired = toned + photo
        restored = torch.lerp(repaired, fill, mask) if self.config.skip else fill
        return RestorerOutput(*(unfold(x, batch) for x in (restored, mask, toned, logits, fill)), need)

    def repair(self, toned: Tensor, batch: int, halo: Halo, edges: Edges | None) -> tuple[Tensor, Tensor | None]:
        """The U-Net on `[B*T, 1, H, W]`, and the logits of `need`; each temporal stage needs one frame less on each
        side than the one before."""
        x = self.stem(F.pixel_unshuffle(toned - MIDDLE, 2).contiguous(memory_format=torch.channels_last))
        skip1, halo1 = self.enc1(x, batch, halo, 3, edges)
        skip2, halo2 = self.enc2(self.down1(skip1), batch, halo1, 2, edges)
        x, halo3 = self.middle(self.down2(skip2), batch, halo2, 1, edges)
        skip2 = trim(skip2, batch, halo2, halo3)
        need = None
        if self.need:
            found = around(unfold(self.need(x), batch), range(-1, 2), edges)
            steady = found.mean(2, keepdim=True)  # what comes and goes would be seen as flicker
            need = trim(fold(steady), batch, halo3, NO_HALO)
        x, halo4 = self.dec2(F.pixel_shuffle(self.up2(x), 2) + skip2, batch, halo3, 0, edges)
        skip1 = trim(skip1, batch, halo1, halo4)
        x, _ = self.dec1(F.pixel_shuffle(self.up1(x), 2) + skip1, batch, halo4, 0, edges)
        return trim(self.head(x), batch, halo4, NO_HALO), need


def thumbnails(luma: Tensor) -> Tensor:
    """Area-averaged small frames `[B, T, 1, 36, 48]` of `luma` `[B, T, 1, H, W]`."""
    return unfold(F.adaptive_avg_pool2d(fold(wide(luma)), THUMBNAIL), luma.shape[0])
