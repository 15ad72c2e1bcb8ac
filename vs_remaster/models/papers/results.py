"""What the networks of papers return for a window, and how their plain pictures are read."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...color.matrices import lab_to_rgb, rgb_to_ycbcr, unpack_lab


class RestoredWindow(NamedTuple):
    """All `[B, T, 1, H, W]`; see `RestorerOutput`. The network tells no mask: it is read off what it changed."""

    luma: Tensor
    mask: Tensor
    toned: Tensor


class ColoredWindow(NamedTuple):
    """Chroma `[B, T, 2, H, W]` (BT.709) and, for each clip, each reference's share in it `[T, R]`."""

    chroma: Tensor
    shares: list[Tensor]


def changes(source: Tensor, restored: Tensor) -> tuple[Tensor, Tensor]:
    """Where damage was repaired (0..1), and the source with the smooth part of the change only: flicker and fading
    undone, grain and dirt still there. `[N, 1, H, W]`."""
    change = restored - source
    smooth = change
    for kernel in ((33, 1), (1, 33)):
        smooth = F.avg_pool2d(smooth, kernel, 1, (kernel[0] // 2, kernel[1] // 2), count_include_pad=False)
    # Grain changes sign from pixel to pixel and goes in the mean of nine; a speck or a scratch stays.
    local = F.avg_pool2d(change - smooth, 3, 1, 1, count_include_pad=False).abs()
    return ((local - 0.04) / 0.08).clamp(0, 1), source + smooth


def chroma_of(light: Tensor, ab: Tensor) -> Tensor:
    """Cb, Cr `[T, 2, H, W]` of the colours that L `[T, 1, H, W]` and ab `[T, 2, H, W]`, packed into 0..1, stand for."""
    lightness, ab = unpack_lab(torch.cat([light, ab], 1)).split([1, 2], 1)
    return rgb_to_ycbcr(lab_to_rgb(torch.cat([lightness, ab.clamp(-100, 100)], 1)).clamp(0, 1))[:, 1:]
