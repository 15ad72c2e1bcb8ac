"""The automatic colorizer: a guess at the colours of gray frames that no reference shows.

What stands in the picture is recognised by an ImageNet backbone; every place then mixes the colours of a learned
palette, and the mixture is lifted to full size along the luma's edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .backbone import CHANNELS, DEEP_STAGES, GrayEfficientNet
from .layers import MIDDLE, NO_HALO, Halo, Lift, Pointwise, Stage, fold, neighbours, trim, twice, unfold, wide
from .network import ColorizerNetwork

LINES = 224
"""It recognises things at about this height and is always given it."""

_DROPPED = 0.2  # share of the backbone's channels left out in training
_TORN = 0.05  # standard deviation of the likely chroma at which 0.63 of the guess is their mean
_PALER = 0.75  # saturation of that mean
_ALIKE = 0.06  # luma that differs by as much is hardly the same thing any more


@dataclass(frozen=True)
class PaletteConfig:
    """Colours in the palette, channels of the decoder at 1/32, 1/16, 1/8 and 1/4, and how decided the mixture is: its
    scores are divided by `temperature`."""

    colors: int = 160
    widths: tuple[int, int, int, int] = (160, 112, 80, 48)
    temperature: float = 0.45


class NoReferences(NamedTuple):
    """What a network remembers that takes no references."""

    def to(self, device: torch.device | str) -> NoReferences:
        return self

    def subset(self, chosen: Sequence[int], weights: Sequence[float]) -> NoReferences:
        return self


class PaletteWindow(NamedTuple):
    """Chroma `[B, T, 2, H, W]`; no shares, one empty tensor `[T, 0]` for each clip; for training what led to it."""

    chroma: Tensor
    shares: list[Tensor]
    scores: Tensor  # [B, T, colors, H/8, W/8]
    guess: Tensor  # [B, T, 2, H/8, W/8]


class PaletteColorizer(ColorizerNetwork):
    """Guesses chroma from luma alone; looks 6 frames each way, 4 of them only to steady the guess.

    Source: colour as a choice among quantised colours, decoded between mean and mode, after Zhang, Isola & Efros,
    Colorful Image Colorization (ECCV 2016); the network is our own.
    """

    exact = ()
    steadied = 4
    before = after = 2 + steadied
    block = 16
    multiple_of = 32
    needs_references = False
    takes_references = False
    lines = LINES

    config: PaletteConfig
    palette: Tensor

    def __init__(self, config: PaletteConfig = PaletteConfig()) -> None:
        super().__init__(config)
        w32, w16, w8, w4 = config.widths
        self.backbone = GrayEfficientNet(DEEP_STAGES)
        self.in32 = Pointwise(CHANNELS[32], w32)
        self.overall = nn.Linear(w32, w32)
        self.stage32 = Stage(w32, 2, temporal=True)
        self.in16 = Pointwise(CHANNELS[16] + w32, w16)
        self.stage16 = Stage(w16, 2, temporal=True)
        self.in8 = Pointwise(CHANNELS[8] + w16, w8)
        self.stage8 = Stage(w8, 2, temporal=False)
        self.scores = Pointwise(w8, config.colors)
        self.in4 = nn.Conv2d(CHANNELS[4] + 16 + w8, w4, 3, padding=1)
        self.stage4 = Stage(w4, 1, temporal=False)
        self.lift = Lift(w4)
        self.register_buffer("palette", torch.zeros(config.colors, 2))

    def encode_all(self, pictures: Iterable[tuple[Tensor, Tensor]]) -> NoReferences:
        """There is nothing to remember: `pictures` must be empty."""
        if any(True for _ in pictures):
            raise ValueError("this network takes no references")
        return NoReferences()

    def forward(self, luma: Tensor, memories: list[NoReferences], halo: Halo = NO_HALO) -> PaletteWindow:
        """Colour a window of frames `luma` `[B, T, 1, H, W]`, 0..1, sizes multiples of 32."""
        batch = len(luma)
        luma = fold(luma)
        f4, f8, f16, f32 = self.backbone(luma)
        f8, f16, f32 = (F.dropout2d(y, _DROPPED, self.training) for y in (f8, f16, f32))
        x = self.in32(0.2 * f32)
        x = x + self.overall(x.mean((2, 3)))[..., None, None]
        x, halo32 = self.stage32(x, batch, halo, 1 + self.steadied)
        x = twice(x)
        x = self.in16(torch.cat([0.2 * trim(f16, batch, halo, halo32), x], 1))
        x, halo16 = self.stage16(x, batch, halo32, self.steadied)
        luma, f8 = (trim(y, batch, halo, halo16) for y in (luma, f8))
        x = self.in8(torch.cat([0.1 * f8, twice(x)], 1))
        x, _ = self.stage8(x, batch, halo16, 0)
        scores = wide(self.scores(x))
        guess = self.mixed(scores)
        if not self.training:
            guess = self.steady(guess, luma, batch)
        luma, scores, guess, x = (trim(y, batch, halo16, NO_HALO) for y in (luma, scores, guess, x))
        f4 = trim(f4, batch, halo, NO_HALO)
        pixels = F.pixel_unshuffle(luma - MIDDLE, 4).to(x.dtype)
        x = self.in4(torch.cat([0.1 * f4, pixels, twice(x)], 1))
        x, _ = self.stage4(x, batch, NO_HALO, 0)
        # The mixture is learned as a choice of colour; its edges, apart from that, as a picture.
        chroma = self.lift(twice(guess.detach()), x, luma)
        none = chroma.new_zeros(len(chroma) // batch, 0)
        chroma, scores, guess = (unfold(y, batch) for y in (chroma, scores, guess))
        return PaletteWindow(chroma, [none] * batch, scores, guess)

    def steady(self, guess: Tensor, luma: Tensor, batch: int) -> Tensor:
        """Mix every frame's guess `[N, 2, h, w]` with those of its neighbours, where their luma `[N, 1, 8h, 8w]` is
        alike."""
        clip, level = unfold(guess, batch), unfold(F.avg_pool2d(wide(luma), 8), batch)
        mixed, total = clip, torch.ones_like(level)
        for offset in range(-self.steadied, self.steadied + 1):
            if offset:
                apart = (neighbours(level, offset) - level) / _ALIKE
                weight = (1 - abs(offset) / (self.steadied + 1)) * torch.exp(-apart * apart)
                mixed, total = mixed + weight * neighbours(clip, offset), total + weight
        return fold(mixed / total)

    def mixed(self, scores: Tensor) -> Tensor:
        """Scores `[N, colors, h, w]` to chroma `[N, 2, h, w]`: a decided mixture, or where colours far from each other
        are likely the mean of all, paler: a brownish gray."""
        with torch.autocast(scores.device.type, enabled=False):
            colors = wide(self.palette)
            powers = torch.cat([colors, colors.square()], 1)
            likely = torch.einsum("nkhw,kc->nchw", torch.softmax(scores, 1), powers)
            mean, square = likely.split(2, 1)
            spread = (square - mean.square()).sum(1, keepdim=True).clamp_min(0)
            share = torch.softmax(scores / self.config.temperature, 1)
            decided = torch.einsum("nkhw,kc->nchw", share, colors)
            return torch.lerp(_PALER * mean, decided, torch.exp(-spread / _TORN**2))
