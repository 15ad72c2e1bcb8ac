"""Dense optical flow (DIS, OpenCV), warping with it, and where it cannot be trusted: for measuring only."""

from __future__ import annotations

import cv2
import numpy as np


def to_gray8(luma: np.ndarray) -> np.ndarray:
    """Luma 0..1, any shape, as the uint8 pictures that OpenCV's classic algorithms take."""
    return np.clip(np.rint(luma * 255), 0, 255).astype(np.uint8)


class DenseFlow:
    """DIS flow (Kroeger et al., ECCV 2016; OpenCV's preset MEDIUM) between uint8 pictures [H, W]."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Flow float32 [H, W, 2], (x, y) in pixels: pixel p of `source` is found at p + flow[p] in `target`."""
        # ty: ignore[no-matching-overload] stubs want a flow to begin with, and there may be none
        return self._dis.calc(source, target, None)


def warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Fetch `picture` [H, W] or [H, W, C] at p + flow[p], bilinear; beyond its edges the edge goes on."""
    return cv2.remap(picture, *_destination(flow), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _destination(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x + flow[..., 0], y + flow[..., 1]


def compose(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """The flow that does `first`, then `then` from where `first` arrived."""
    return first + warp(then, first)


def trusted(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Where a flow may be used: neither occluded nor at a motion boundary, as in Ruder et al. (GCPR 2016, section 4).

    Args:
        forward: flow from the picture in question to another, [H, W, 2].
        backward: flow from the other back.

    Returns:
        bool [H, W].
    """
    returned = warp(backward, forward)
    gap = ((forward + returned) ** 2).sum(axis=-1)
    length = (forward**2).sum(axis=-1) + (returned**2).sum(axis=-1)
    height, width = forward.shape[:2]
    x, y = _destination(forward)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    slope = sum((np.gradient(forward[..., c], axis=a) ** 2) for c in (0, 1) for a in (0, 1))
    boundary = slope > 0.01 * (forward**2).sum(axis=-1) + 0.002
    return (gap <= 0.01 * length + 0.5) & inside & ~boundary
