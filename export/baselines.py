"""The simple methods that ours has to beat: a temporal median, non-local means, colour carried by optical flow."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import torch

from export.flow import DenseFlow, compose, to_gray8, warp

NLM_WINDOW = 5  # frames that non-local means looks at
NLM_STRENGTH = 11  # filter strength h in code values of 255; best of 5, 8, 11, 15, 20 on frames 22-27 of each clip


def temporal_median(luma: torch.Tensor) -> torch.Tensor:
    """Median of each pixel and its two neighbours in time; the first and last frame are repeated. [T, 1, H, W]."""
    padded = torch.cat([luma[:1], luma, luma[-1:]])
    return torch.stack([padded[:-2], padded[1:-1], padded[2:]]).median(dim=0).values


def non_local_means(luma: torch.Tensor, strength: float = NLM_STRENGTH) -> torch.Tensor:
    """OpenCV's `fastNlMeansDenoisingMulti` (Buades et al.) on luma [T, 1, H, W], 0..1; 8 bit inside."""
    pictures = list(to_gray8(luma[:, 0].numpy()))
    margin = NLM_WINDOW // 2
    padded = [pictures[0]] * margin + pictures + [pictures[-1]] * margin
    cleaned = [
        cv2.fastNlMeansDenoisingMulti(padded, index + margin, NLM_WINDOW, None, strength, 7, 21)
        for index in range(len(pictures))
    ]
    return torch.from_numpy(np.stack(cleaned))[:, None].float() / 255


def propagate_chroma(luma: torch.Tensor, first: torch.Tensor, composed: bool) -> torch.Tensor:
    """Carry the first frame's chroma through the clip by dense optical flow.

    Args:
        luma: [T, 1, H, W], 0..1.
        first: chroma of frame 0, [2, H, W].
        composed: True: add the flows up, so that every frame takes its chroma from frame 0 in one step; False: take it
            from the frame before (which blurs a little each time, and so hides small errors).

    Returns:
        Chroma [T, 2, H, W].
    """
    flow, pictures = DenseFlow(), to_gray8(luma[:, 0].numpy())
    origin = first.permute(1, 2, 0).contiguous().numpy()
    carried, total = [origin], None
    for before, here in pairwise(pictures):
        step = flow(here, before)
        if composed:
            total = step if total is None else compose(step, total)
            carried.append(warp(origin, total))
        else:
            carried.append(warp(carried[-1], step))
    return torch.from_numpy(np.stack(carried)).permute(0, 3, 1, 2)
