"""The part of the restorer for hairs in the gate: what stays where it is while the picture moves behind it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Edges, Pointwise, ResBlock, bias_of, fold, nearby_mean, neighbours, unfold, wide

GAIN = 16.0  # brings contrasts of a few percent to about 1
LAG = 2  # frames before and after between which movement is seen


class Gate(nn.Module):
    """Finds hairs and lint in the gate from each frame and the mean of those round it. There a place counts when
    something moves at it: what moves is blurred, what is of the scene is hidden by what passes, a hair is neither. A
    fresh one finds nothing.

    Args:
        width: channels at 1/4.
    """

    radius = 16
    cell = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(8, width, 3, 2, 1)
        self.moved = Pointwise(1, width, always=True)
        self.body = nn.Sequential(nn.LeakyReLU(0.1), ResBlock(width), ResBlock(width), nn.LeakyReLU(0.1))
        self.head = nn.Conv2d(width, self.cell**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(bias_of(self.head), -7.0)

    def forward(self, luma: Tensor, kept: slice | Tensor = slice(None), edges: Edges | None = None) -> Tensor:
        """`luma` `[B, T, 1, H, W]`, both sides multiples of 4, to logits `[B*K, 1, H, W]` of the `kept` frames;
        `edges`: see `neighbours`."""
        with torch.autocast(luma.device.type, enabled=False):
            cells = unfold(F.avg_pool2d(fold(luma), self.cell), len(luma))
            lasting, moved = self.lasting(luma, cells, kept, edges)
            even = torch.cat([fold(cells[:, kept]), F.avg_pool2d(lasting, self.cell)], 1)
            even = F.interpolate(around(even), scale_factor=self.cell / 2)
            pixels = F.pixel_unshuffle(torch.cat([fold(luma[:, kept]), lasting], 1), 2)
            pixels = pixels.unflatten(1, (2, 4)).sub_(even[:, :, None]).mul_(GAIN).flatten(1, 2)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        x = self.stem(pixels) + self.moved(GAIN * moved)
        return wide(F.pixel_shuffle(self.head(self.body(x)), self.cell))

    def lasting(self, luma: Tensor, cells: Tensor, kept: slice | Tensor, edges: Edges | None) -> tuple[Tensor, Tensor]:
        """The mean `[B*K, 1, H, W]` round each of the `kept` frames, and how much moved at each cell `[B*K, 1, H/4,
        W/4]`; `cells`: the means of `luma` there."""
        contrast = cells - unfold(around(fold(cells)), len(luma))  # flicker does not move
        change = neighbours(contrast, LAG, edges) - neighbours(contrast, -LAG, edges)
        moved = around(fold(change).abs()).square() + 1e-5
        weighted = unfold(self.spread(moved), len(luma)).mul_(luma)
        near = fold(nearby_mean(unfold(moved, len(luma)), self.radius - LAG, kept, edges))
        total = fold(nearby_mean(weighted, self.radius - LAG, kept, edges))
        return total / self.spread(near), near.sqrt()

    def spread(self, cells: Tensor) -> Tensor:
        """What is known of cells `[N, 1, h, w]` for each of their pixels."""
        return F.interpolate(cells, scale_factor=float(self.cell))


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
