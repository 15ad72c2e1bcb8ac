"""How close a restored or coloured clip is to the truth, and how steady it is in time.

Clips are float tensors [T, C, H, W]: luma Y' or RGB, nominally 0..1. PSNR is taken over all samples of what is handed
in at once (a clip: mean squared error first, decibels then); a result without any error is `BEST`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from export.scores.flow import DenseFlow, to_gray8, trusted, warp
from export.scores.perceptual import LPIPS
from vs_remaster import color
from vs_remaster.errors import InputError

BEST = 100.0  # decibels: what stands for a perfect match, so that means stay finite
CDC_GAPS = (1, 2, 4)
DIRTY = 0.3  # how opaque damage is where it counts as damage
DETAIL = (0.7, 2.0)  # sigmas of the two Gaussians, pixels, whose difference is detail


def _same_shape(result: torch.Tensor, truth: torch.Tensor) -> None:
    if result.shape != truth.shape:
        raise InputError(f"clips differ in shape: {tuple(result.shape)} and {tuple(truth.shape)}; make them alike")


def psnr(result: torch.Tensor, truth: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1, over all samples of two tensors of one shape."""
    _same_shape(result, truth)
    error = float(((result.double() - truth.double()) ** 2).mean())
    return min(BEST, -10 * math.log10(error)) if error > 0 else BEST


def frame_psnr(result: torch.Tensor, truth: torch.Tensor) -> list[float]:
    """`psnr` of each frame of clips [T, C, H, W] by itself."""
    _same_shape(result, truth)
    return [psnr(a, b) for a, b in zip(result, truth, strict=True)]


def packed_lab(rgb: torch.Tensor) -> torch.Tensor:
    """RGB [..., 3, H, W] 0..1 as Lab with the papers' scaling: L* / 100, (ab + 128) / 255 (DeepRemaster, section 3)."""
    return color.pack_lab(color.rgb_to_lab(rgb.clamp(0, 1)))


def psnr_lightness(luma: torch.Tensor, truth: torch.Tensor) -> float:
    """PSNR of L* / 100 of two gray clips of luma Y' [..., 1, H, W]."""
    return psnr(*(color.gray_to_lightness(y.clamp(0, 1)) / 100 for y in (luma, truth)))


def psnr_ab(rgb: torch.Tensor, truth: torch.Tensor) -> float:
    """PSNR of (ab + 128) / 255 of two RGB clips [..., 3, H, W]."""
    return psnr(*(packed_lab(x)[..., 1:, :, :] for x in (rgb, truth)))


def psnr_lab(rgb: torch.Tensor, truth: torch.Tensor) -> float:
    """PSNR of all three channels of Lab, scaled as in `packed_lab`, of two RGB clips [..., 3, H, W]."""
    return psnr(packed_lab(rgb), packed_lab(truth))


def saturation(rgb: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean distance from gray (length of ab in CIE Lab) of an RGB clip [..., 3, H, W] as a share of the truth's; 1: as
    saturated, 0: gray."""
    _same_shape(rgb, truth)
    ours, wanted = (color.rgb_to_lab(x.clamp(0, 1))[..., 1:, :, :].norm(dim=-3).mean() for x in (rgb, truth))
    return float(ours / wanted.clamp_min(1e-6))


def fit_gain_and_offset(result: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The result after the one gain and offset that bring the whole clip closest to the truth (least squares).

    Overall brightness is lost in fading, and nobody can know it: this says how good the rest is.
    """
    _same_shape(result, truth)
    x, y = result.double(), truth.double()
    spread = float(((x - x.mean()) ** 2).mean())
    gain = float(((x - x.mean()) * (y - y.mean())).mean()) / spread if spread > 0 else 0.0
    return (gain * (x - x.mean()) + y.mean()).to(result.dtype)


def ssim(result: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean structural similarity (Wang et al. 2004: Gaussian window, sigma 1.5) of the frames of [T, C, H, W]."""
    from skimage.metrics import structural_similarity  # here, so that training needs no scikit-image

    _same_shape(result, truth)
    settings = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    pairs = zip(result.numpy(), truth.numpy(), strict=True)
    return float(np.mean([structural_similarity(a, b, channel_axis=0, **settings) for a, b in pairs]))


def temporal_difference_error(result: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean |(out_t - out_t-1) - (gt_t - gt_t-1)| over a clip [T, C, H, W]; 0 for a single frame."""
    _same_shape(result, truth)
    if len(result) < 2:
        return 0.0
    return float((result.diff(dim=0) - truth.diff(dim=0)).abs().mean())


def dirt_left(result: torch.Tensor, soiled: torch.Tensor, truth: torch.Tensor, dirt: torch.Tensor) -> float | None:
    """How much of dirt is left: the error where `dirt` is above `DIRTY`, as a share of what it was (root mean squares).

    Luma [T, 1, H, W]; `soiled` is what was to be restored. None where there was nothing to see.
    """
    _same_shape(result, truth)
    there = dirt > DIRTY
    before, after = (((clip - truth)[there] ** 2).mean().sqrt() for clip in (soiled, result))
    return float(after / before) if before > 0 else None


def psnr_inside(result: torch.Tensor, truth: torch.Tensor, dirt: torch.Tensor) -> float | None:
    """`psnr` over the pixels where `dirt` is above `DIRTY` alone; luma [T, 1, H, W]. None where there are none."""
    _same_shape(result, truth)
    there = dirt > DIRTY
    return psnr(result[there], truth[there]) if bool(there.any()) else None


class Detail(NamedTuple):
    """Fine detail of a clip beside that of the truth.

    Attributes:
        energy: as a share of the truth's; below 1: softer, above 1: sharper, or with noise.
        correlation: with the truth's, -1 to 1; 1: each detail is where it belongs, 0: none is.
    """

    energy: float
    correlation: float


def detail(result: torch.Tensor, truth: torch.Tensor) -> Detail:
    """How much of the detail of luma [T, 1, H, W] there is, and whether it is the truth's.

    Detail is the band b = G_0.7 * x - G_2 * x between Gaussians of sigma 0.7 and 2 pixels (a difference of Gaussians;
    Marr and Hildreth 1980): energy = sum b_out^2 / sum b_true^2, correlation = Pearson's of b_out and b_true, both over
    the whole clip. A clip of noise has energy without correlation, so read both. nan where a clip has no detail.
    """
    _same_shape(result, truth)
    ours, true = (_band(clip) for clip in (result, truth))
    own, wanted = float((ours**2).sum()), float((true**2).sum())
    if not wanted:
        return Detail(math.nan, math.nan)
    return Detail(own / wanted, float(np.corrcoef(ours.ravel(), true.ravel())[0, 1]) if own else math.nan)


def _band(clip: torch.Tensor) -> np.ndarray:
    """Detail of luma [T, 1, H, W] as [T, H, W]."""
    fine, coarse = (
        np.stack(
            [cv2.GaussianBlur(frame, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101) for frame in clip[:, 0].numpy()]
        )
        for sigma in DETAIL
    )
    return (fine - coarse).astype(np.float64)


def overshoot(result: torch.Tensor, truth: torch.Tensor, percentile: float = 99.9) -> float:
    """How far sharpening goes beyond the edges of the truth: a percentile over all pixels, as a share of white.

    Of each pixel of luma [T, 1, H, W] max(0, x - max3(truth), min3(truth) - x), where max3 and min3 are the largest and
    the smallest value of the truth in the 3x3 pixels round it: halos count, sharper edges do not.
    """
    _same_shape(result, truth)
    above = result - F.max_pool2d(truth, 3, 1, 1)
    below = -F.max_pool2d(-truth, 3, 1, 1) - result
    beyond = torch.maximum(above, below).clamp_min(0)
    return float(np.percentile(beyond.numpy(), percentile))


@dataclass(frozen=True)
class WarpError:
    """Warp error of clips against the motion of a clean one, which is computed once.

    E = 1/(T-1) sum_t [ sum_p M_t(p) |V_t(p) - V_t+1(p + flow_t(p))|^2 / sum_p M_t(p) ] (Lai et al., ECCV 2018), with
    DIS flow on the clean clip and M without occlusions (forward-backward check) and motion boundaries. Always read it
    beside the clean clip's own value: a blurred clip has less than the truth.
    """

    flows: list[np.ndarray]
    masks: list[np.ndarray]

    @classmethod
    def of(cls, clean: torch.Tensor) -> WarpError:
        """Take the motion from clean luma [T, 1, H, W], 0..1."""
        flow, pictures = DenseFlow(), to_gray8(clean[:, 0].numpy())
        forward = [flow(a, b) for a, b in pairwise(pictures)]
        backward = [flow(b, a) for a, b in pairwise(pictures)]
        return cls(forward, [trusted(f, b) for f, b in zip(forward, backward, strict=True)])

    def __call__(self, clip: torch.Tensor) -> float:
        """The warp error of a clip [T, C, H, W], as long as the clean one; 0 for a single frame."""
        if len(clip) != len(self.flows) + 1:
            raise InputError(f"a clip of {len(clip)} frames, but motion of {len(self.flows) + 1}; give the same frames")
        pictures = clip.permute(0, 2, 3, 1).contiguous().numpy()
        errors = []
        for here, there, flow, mask in zip(pictures, pictures[1:], self.flows, self.masks, strict=False):
            fetched = warp(there, flow).reshape(here.shape)
            squared = ((here - fetched) ** 2).sum(axis=-1)
            errors.append(float(squared[mask].mean()) if mask.any() else 0.0)
        return float(np.mean(errors)) if errors else 0.0


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence, natural logarithm, of distributions along the last axis."""
    middle = (p + q) / 2

    def relative_entropy(of: np.ndarray) -> np.ndarray:
        return np.where(of > 0, of * np.log(np.where(of > 0, of, 1) / np.where(middle > 0, middle, 1)), 0).sum(axis=-1)

    return (relative_entropy(p) + relative_entropy(q)) / 2


def color_distribution_consistency(rgb: torch.Tensor, gaps: Iterable[int] = CDC_GAPS) -> float:
    """How much the distribution of colours changes in time (CDC; Liu et al., TCVC, 2021); 0: not at all.

    The mean over gaps, channels and frames of the Jensen-Shannon divergence (natural logarithm) of 256-bin histograms
    of R, G, B; gaps longer than the clip are left out. To be read beside the true clip's own value.

    Args:
        rgb: [T, 3, H, W], 0..1.
        gaps: distances in frames.
    """
    codes = to_gray8(rgb.numpy())
    counts = np.stack([[np.bincount(plane.ravel(), minlength=256) for plane in frame] for frame in codes])
    shares = counts / codes[0, 0].size
    means = [float(_divergence(shares[gap:], shares[:-gap]).mean()) for gap in gaps if gap < len(shares)]
    return float(np.mean(means)) if means else 0.0


def lpips(result: torch.Tensor, truth: torch.Tensor, network: LPIPS, batch: int = 8) -> float:
    """Mean LPIPS (Zhang et al., CVPR 2018; AlexNet) of the frames of two clips [T, 1 or 3, H, W], 0..1; 0: alike.

    Args:
        network: `export.scores.perceptual.LPIPS` with its weights.
        batch: frames compared at once.
    """
    _same_shape(result, truth)
    parts = zip(result.split(batch), truth.split(batch), strict=True)
    device = network.mean.device
    return float(torch.cat([network(a.to(device), b.to(device)) for a, b in parts]).mean())
