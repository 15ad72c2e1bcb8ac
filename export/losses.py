"""Losses of our own networks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vs_remaster.models.colorizer import ColorizerOutput
from vs_remaster.models.restorer import RestorerOutput


def charbonnier(error: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Smooth L1, per element."""
    return torch.sqrt(error * error + epsilon * epsilon)


def spectrum(output: Tensor, target: Tensor) -> Tensor:
    """L1 distance of the 2-D spectra: keeps fine texture that a pixel loss gives up."""
    return (torch.fft.rfft2(output, norm="ortho") - torch.fft.rfft2(target, norm="ortho")).abs().mean()


def dice(probability: Tensor, target: Tensor) -> Tensor:
    """1 - Dice coefficient of soft masks."""
    return 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)


def temporal(output: Tensor, target: Tensor) -> Tensor:
    """L1 between the frame-to-frame changes of output and target `[B, T, ...]`."""
    if output.shape[1] < 2:
        return output.new_zeros(())
    return (output.diff(dim=1) - target.diff(dim=1)).abs().mean()


def restore_loss(out: RestorerOutput, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Terms of the restorer's loss; `target` and `mask` `[B, T, 1, H, W]`. Their sum is minimised.

    Damage covers about one pixel in a hundred, so its pixels count more, in the picture and in the mask.
    """
    bce = F.binary_cross_entropy_with_logits(out.mask_logits, mask, pos_weight=mask.new_tensor(5.0))
    return {
        "pixel": (charbonnier(out.luma - target) * (1 + 4 * mask)).mean(),
        "spectrum": 0.05 * spectrum(out.luma, target),
        "mask": 0.2 * bce + 0.05 * dice(out.mask, mask),
        "temporal": 0.3 * temporal(out.luma, target),
        "fill": 0.1 * (charbonnier(out.fill - target) * (1 + 8 * mask)).mean(),
        "tone": 0.2 * charbonnier((out.toned - target) * (1 - mask)).mean(),
    }


def colorize_loss(out: ColorizerOutput, target: Tensor, has_reference: Tensor) -> dict[str, Tensor]:
    """Terms of the colorizer's loss.

    `target`: true chroma `[B, T, 2, H, W]`; `has_reference` `[B]` 1 where a clip has references that show it: only
    there is the colour carried by the attention asked to be right.
    """
    saturation = target.norm(dim=2, keepdim=True)
    weight = 1 + 4 * saturation
    carried = has_reference.view(-1, 1, 1, 1, 1)
    quarter = F.avg_pool2d(target.flatten(0, 1), 4).unflatten(0, target.shape[:2])
    eighth = F.avg_pool2d(target.flatten(0, 1), 8).unflatten(0, target.shape[:2])
    return {
        "pixel": 4 * (charbonnier(out.chroma - target, 4e-3) * weight).mean(),
        "quarter": 1 * (out.chroma4 - quarter).abs().mean(),
        "coarse": 2 * ((out.coarse - eighth).abs() * carried).mean(),
        "refined": 2 * ((out.refined - quarter).abs() * carried).mean(),
        "temporal": 1.2 * temporal(out.chroma, target),
    }
