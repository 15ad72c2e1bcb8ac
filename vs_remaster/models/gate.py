"""The part of the restorer for hairs in the gate: what stays where it is while the picture moves behind it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import ResBlock, fold, nearby_mean, unfold, wide

GAIN = 16.0  # brings contrasts of a few percent to about 1


class Gate(nn.Module):
    """Finds hairs and lint in the gate from each frame and the mean of those round it, in which what moves is blurred
    and what stays is not. A fresh one finds nothing.

    Args:
        width: channels at 1/4.
    """

    radius = 16
    cell = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(8, width, 3, 2, 1)
        self.unrest = nn.Conv2d(1, width, 1)
        self.body = nn.Sequential(nn.LeakyReLU(0.1), ResBlock(width), ResBlock(width), nn.LeakyReLU(0.1))
        self.head = nn.Conv2d(width, self.cell**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, -7.0)

    def forward(self, luma: Tensor, kept: slice | Tensor = slice(None)) -> Tensor:
        """`luma` `[B, T, 1, H, W]`, both sides multiples of 4, to logits `[B*K, 1, H, W]` of the `kept` frames."""
        with torch.autocast(luma.device.type, enabled=False):
            cells = unfold(F.avg_pool2d(fold(luma), self.cell), len(luma))
            pixels, even = (torch.cat([x[:, kept], nearby_mean(x, self.radius, kept)], 2) for x in (luma, cells))
            # Each pixel without what is even round it.
            even = F.interpolate(around(fold(even)), scale_factor=self.cell / 2)
            pixels = F.pixel_unshuffle(fold(pixels), 2).unflatten(1, (2, 4)) - even[:, :, None]
            pixels = GAIN * pixels.flatten(1, 2).contiguous(memory_format=torch.channels_last)
            change = GAIN * self.change(cells, kept)
        x = self.stem(pixels) + self.unrest(change)
        return wide(F.pixel_shuffle(self.head(self.body(x)), self.cell))

    def change(self, cells: Tensor, kept: slice | Tensor) -> Tensor:
        """How much `cells` `[B, T, 1, h, w]` change in time against those round them: `[B*K, 1, h, w]`."""
        contrast = unfold(fold(cells) - around(fold(cells)), len(cells))
        moments = nearby_mean(torch.cat([contrast, contrast * contrast], 2), self.radius, kept)
        mean, power = fold(moments).split(1, 1)
        return (power - mean * mean).clamp_min(1e-8).sqrt()


def around(cells: Tensor) -> Tensor:
    """The mean of each of `cells` `[N, C, h, w]` and the eight round it."""
    return F.avg_pool2d(cells, 3, 1, 1, count_include_pad=False)


def paint_over(x: Tensor, mask: Tensor) -> Tensor:
    """`x` `[N, 1, H, W]`, both sides multiples of 4, with what lies round it where `mask` is: a mean in which clear
    places count more."""
    light, clear = (F.avg_pool2d(y, 4) for y in (x * (1 - mask), 1 - mask))
    weight = 0.05 * around(clear) + clear * clear + 1e-6
    fill = (0.05 * around(light) + light * clear) / weight
    return torch.lerp(x, F.interpolate(fill, scale_factor=4.0, mode="bilinear", align_corners=False), mask)
