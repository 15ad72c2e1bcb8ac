"""Sets of one loss of quality and nothing else: what a network does to it, and what it adds."""

from __future__ import annotations

import numpy as np
import torch

from export.damage.chance import Draw
from export.damage.filters import gauss, separable
from export.damage.masks import Templates
from export.damage.synthesis import Damaged


def blurred(sigma: float, draw: Draw, clean: torch.Tensor, templates: Templates | None) -> Damaged:
    """Gaussian blur of `sigma` pixels on luma [T, 1, H, W]."""
    taps = gauss(np.full(len(clean), sigma))
    return Damaged(separable(clean, taps, taps).clamp(0, 1), clean, torch.zeros_like(clean))


def grainy(sigma: float, draw: Draw, clean: torch.Tensor, templates: Templates | None) -> Damaged:
    """White Gaussian noise of `sigma` (of white) on luma [T, 1, H, W], new in every frame."""
    noise = [draw.standard_normal(frame.shape).astype(np.float32) for frame in clean]
    return Damaged((clean + sigma * torch.from_numpy(np.stack(noise))).clamp(0, 1), clean, torch.zeros_like(clean))
