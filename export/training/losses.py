"""Losses of our own networks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vs_remaster.models.colorizer import ColorizerOutput
from vs_remaster.models.restorer import Lines, Need, RestorerOutput

TONE_CELL = 24  # pixels: what is even over so many is tone, what is not is detail
LEAST = 2e-3  # an error of that much is as good as none
SEEN = 4 / 255  # an error that counts in full as something to be done


def charbonnier(error: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Smooth L1, per element."""
    return torch.sqrt(error * error + epsilon * epsilon)


def spectrum(error: Tensor) -> Tensor:
    """Mean magnitude of the 2-D spectrum of an error: keeps fine texture that a pixel loss gives up."""
    return torch.fft.rfft2(error, norm="ortho").abs().mean()


def dice(probability: Tensor, target: Tensor) -> Tensor:
    """1 - Dice coefficient of soft masks."""
    return 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)


def temporal(error: Tensor) -> Tensor:
    """How much an error `[B, T, ...]` changes from frame to frame: L1."""
    return error.diff(dim=1).abs().mean() if error.shape[1] > 1 else error.new_zeros(())


def smooth(error: Tensor) -> Tensor:
    """The part of an error `[B, T, 1, H, W]` that changes slowly across the frame: what tone and shading make."""
    lines, columns = (max(1, side // TONE_CELL) for side in error.shape[-2:])
    means = F.adaptive_avg_pool2d(error.flatten(0, 1), (lines, columns))
    # Matrix products: the gradient of F.interpolate took a third of a step on a GPU.
    return Lines.whole(error).spread(means).unflatten(0, error.shape[:2])


def to_be_done(frames: Tensor, target: Tensor) -> Tensor:
    """Whether anything is wrong in each cell of `frames` `[B, T, 1, H, W]`, 0..1: `[B, T, 1, h, w]`, as
    `RestorerOutput.need_logits` has them. Dirt counts too: its faint edges are left to the residual."""
    error = (frames - target).abs().flatten(0, 1)
    return (F.max_pool2d(error, Need.cell, ceil_mode=True) / SEEN).clamp(max=1).unflatten(0, frames.shape[:2])


def restore_loss(out: RestorerOutput, frames: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Terms of the restorer's loss; damaged `frames`, `target` and `mask` `[B, T, 1, H, W]`. Their sum is minimised.

    How bright a faded film was nobody can know. So errors of tone count apart from those of detail: in one absolute
    error the sign of a pixel's would be that of the tone, and removing grain or blur would gain nothing. Damage covers
    about one pixel in a hundred, so its pixels count more, in the picture and in the mask.
    """
    bce = F.binary_cross_entropy_with_logits(out.mask_logits, mask, pos_weight=mask.new_tensor(5.0))
    error = out.luma - target
    light = smooth(error)
    detail = error - light
    painted = out.fill - target
    terms = {
        "pixel": 3 * (charbonnier(detail) * (1 + 4 * mask)).mean(),
        "spectrum": 0.15 * spectrum(detail),
        "mask": 0.03 * bce + 0.02 * dice(out.mask, mask),
        "temporal": 0.6 * temporal(detail),
        "fill": 0.3 * (charbonnier(painted - smooth(painted)) * (1 + 8 * mask)).mean(),
        "light": charbonnier(light).mean() + 0.3 * temporal(light),
        "tone": 0.2 * charbonnier(smooth((out.toned - target) * (1 - mask))).mean(),
    }
    if out.need_logits is not None:
        # In doubt all is done: half of it, now here and now there, would look worse than all or nothing.
        due, doubt = to_be_done(frames, target), mask.new_tensor(5.0)
        terms["need"] = 0.02 * F.binary_cross_entropy_with_logits(out.need_logits, due, pos_weight=doubt)
    return terms


def sharpen_loss(frames: Tensor, due: Tensor, made: dict[int, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Terms of the sharpener's loss; their sum is minimised.

    `frames` `[B, T, 1, H, W]` as it was given them, its logits `due` of how much is to be done, and by the scale what
    it made and the truth. Tone is the restorer's task, so errors of tone do not count. Every clip counts alike by the
    logarithm of its error: what the restorer left of a worn clip is larger than all that blur took from a clean one,
    and nobody can give it back.
    """
    terms = {}
    for scale, (ours, truth) in made.items():
        error = ours - truth
        detail = error - smooth(error)
        terms[f"pixel {scale}"] = 0.06 * (charbonnier(detail).mean((1, 2, 3, 4)) + LEAST).log().mean()
        terms[f"spectrum {scale}"] = 0.15 * spectrum(detail)
        terms[f"temporal {scale}"] = 0.4 * temporal(detail)
    truth = made[1][1]
    wrong = to_be_done(frames - smooth(frames - truth), truth)
    terms["due"] = 0.02 * F.binary_cross_entropy_with_logits(due, wrong)
    return terms


def colorize_loss(out: ColorizerOutput, target: Tensor, has_reference: Tensor) -> dict[str, Tensor]:
    """Terms of the colorizer's loss.

    `target`: true chroma `[B, T, 2, H, W]`; `has_reference` `[B]` 1 where a clip has references that show it: only
    there is the colour carried by the attention asked to be right.
    """
    saturation = target.norm(dim=2, keepdim=True)
    weight = 1 + 4 * saturation
    carried = has_reference.view(-1, 1, 1, 1, 1)

    def smaller(factor: int) -> Tensor:
        return F.avg_pool2d(target.flatten(0, 1), factor).unflatten(0, target.shape[:2])

    quarter = smaller(4)
    terms = {
        "pixel": 4 * (charbonnier(out.chroma - target, 4e-3) * weight).mean(),
        "quarter": 1 * (out.chroma4 - quarter).abs().mean(),
        "coarse": 2 * ((out.coarse - smaller(8)).abs() * carried).mean(),
        "refined": 2 * ((out.refined - quarter).abs() * carried).mean(),
        "temporal": 1.2 * temporal(out.chroma - target),
    }
    if out.detail is not None:
        terms["detail"] = 2 * ((out.detail - smaller(2)).abs() * carried).mean()
    return terms
