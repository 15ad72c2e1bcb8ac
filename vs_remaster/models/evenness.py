"""Even areas stay even: where matching is unsure, colour varies slowly, and only as the luma does."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .layers import twice, wide

UNSURE, SURE = 0.55, 0.8
"""Best cosines of the coarse matching. 27 frames away from their only reference 19 in 20 places have 0.67 or more, half
of them 0.84 to 0.99; from pictures of something else half have less than 0.57 to 0.68, and 19 in 20 less than 0.72 to
0.86 (12 validation clips, three photographs)."""
_REACH = 6  # positions at 1/8 that colour is averaged over, each way
_EDGE = 1e-3  # variance of luma from which on an edge of it is one of colour
_LEAST = 0.02  # weight of a place that is wholly doubtful: where all are, they count alike


def doubt(similarity: Tensor, known: Tensor) -> Tensor:
    """How far the colour of a place is not to be trusted, 0..1: where a reference is `known` to show it, as its best
    cosine says; what no reference shows is left as it is. All `[N, 1, h, w]`."""
    return known * ((SURE - similarity) / (SURE - UNSURE)).clamp(0, 1)


def even(chroma: Tensor, luma: Tensor, doubtful: Tensor) -> Tensor:
    """Chroma with what is doubtful made from what is round it, of which what is not counts most.

    Where all is doubtful nearby, it is the mean of all that was guessed there.
    Source: He, Sun & Tang, Guided Image Filtering (ECCV 2010), with weights.

    Args:
        chroma: `[N, 2, H/4, W/4]`.
        luma: `[N, 1, H, W]`, sizes multiples of 16.
        doubtful: `[N, 1, H/8, W/8]`, see `doubt`.
    """
    with torch.autocast(chroma.device.type, enabled=False):
        light4 = F.avg_pool2d(wide(luma), 4)
        light, color = F.avg_pool2d(torch.cat([light4, chroma], 1), 2).split([1, 2], 1)
        weight = (1 + _LEAST) - doubtful
        given = torch.cat([light, light * light, color, light * color], 1)
        total, means = _around(torch.cat([weight, weight * given], 1)).split([1, 6], 1)
        light, square, color, both = (means / total).split([1, 1, 2, 2], 1)
        slope = (both - light * color) / (square - light * light + _EDGE)
        line = torch.cat([slope, color - slope * light], 1)
        slope, base = twice(_around(total * line) / _around(total)).split(2, 1)
        return torch.lerp(chroma, torch.addcmul(base, slope, light4), twice(doubtful))


def _around(x: Tensor) -> Tensor:
    """The mean of what lies up to `_REACH` positions away, on the picture."""
    side = 2 * _REACH + 1
    down = F.avg_pool2d(x, (side, 1), 1, (_REACH, 0), count_include_pad=False)
    return F.avg_pool2d(down, (1, side), 1, (0, _REACH), count_include_pad=False)
