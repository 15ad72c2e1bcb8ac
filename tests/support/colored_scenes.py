"""Constructed scenes, and references that show a scene in one colour."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vs_remaster.color.matrices import ycbcr_to_rgb
from vs_remaster.references.reference import Reference

CPU = {"device": "cpu", "precision": "fp32"}
RED, BLUE, GREEN = (-0.08, 0.15), (0.15, -0.06), (-0.1, -0.1)  # Cb, Cr


def gray(seed: int, height: int = 64, width: int = 96) -> torch.Tensor:
    """A scene with edges, `[1, H, W]`; another one for each seed."""
    generator = torch.Generator().manual_seed(seed)
    coarse = F.interpolate(torch.rand(1, 1, 8, 12, generator=generator), (height, width), mode="bicubic")[0]
    return (0.3 + 0.3 * coarse).clamp(0, 1)


def painted(luma: torch.Tensor, chroma: tuple[float, float], **more) -> Reference:
    """The scene in one colour (Cb, Cr); its luma stays."""
    plane = torch.tensor(chroma)[:, None, None].expand(2, *luma.shape[1:])
    return Reference("one colour", ycbcr_to_rgb(torch.cat([luma, plane])).clamp(0, 1).contiguous(), **more)


def film(count: int = 40, cut: int = 20) -> torch.Tensor:
    """Two shots, slowly moving, `[T, 1, H, W]`."""
    shots = [gray(1, 64, 160), gray(2, 64, 160)]
    return torch.stack([shots[n >= cut][..., n % 20 : n % 20 + 96] for n in range(count)])
