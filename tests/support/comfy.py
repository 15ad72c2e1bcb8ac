"""IMAGE batches for the tests of the ComfyUI nodes, and the names of the nodes."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from vs_remaster.color.matrices import fit_gamut, rgb_to_ycbcr, ycbcr_to_rgb

STEP = 1 / 65535
NODES = {
    "RemasterLoadRestorer",
    "RemasterLoadColorizer",
    "RemasterLoadModel",
    "RemasterRestore",
    "RemasterReferenceColorize",
    "RemasterMergeLab",
    "RemasterSteady",
    "RemasterLoadReferences",
    "RemasterSaveReferences",
    "RemasterLoadSample",
    "RemasterPickReferences",
    "RemasterAlignReferences",
    "RemasterVideo",
    "RemasterCompare",
}


def clip(frames: int, height: int = 48, width: int = 64, seed: int = 0, cut: int | None = None) -> Tensor:
    """A coloured IMAGE that moves, with some grain; another scene from frame `cut` on."""
    generator = torch.Generator().manual_seed(seed)
    grain = 0.03 * torch.randn(frames, height, width, 3, generator=generator)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pictures = []
    for n in range(frames):
        other = cut is not None and n >= cut
        waves = [
            torch.sin((x + 2 * n) / (4 + c) + 3 * other) * torch.cos((y - n) / ((9 if other else 5) + c))
            for c in range(3)
        ]
        pictures.append(0.5 + 0.35 * torch.stack(waves, -1))
    return (torch.stack(pictures) + grain).clamp(0, 1)


def planes(batch: Tensor) -> tuple[Tensor, Tensor]:
    """Luma and chroma of an IMAGE as the library takes them."""
    ycc = rgb_to_ycbcr(batch.permute(0, 3, 1, 2))
    return ycc[:, :1], ycc[:, 1:]


def batch_of(luma: Tensor, chroma: Tensor) -> Tensor:
    """The inverse of `planes`, luma kept."""
    return ycbcr_to_rgb(torch.cat((luma, fit_gamut(luma, chroma)), 1)).clamp(0, 1).permute(0, 2, 3, 1)


def apart(a: Tensor, b: Tensor) -> float:
    """Largest difference."""
    assert a.shape == b.shape
    return float((a.double() - b.double()).abs().max())


def components(frames: int, sound: int | None = 2) -> Any:
    """A VIDEO that lies in memory, as ComfyUI holds it."""
    waves = torch.sin(torch.arange(8000 * frames // 25) / 8).repeat(1, sound or 1, 1)
    audio = {"waveform": waves, "sample_rate": 8000} if sound else None
    return SimpleNamespace(images=clip(frames or 1)[:frames], audio=audio, frame_rate=Fraction(25))
