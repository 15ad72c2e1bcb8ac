"""What enlarges restored luma to twice its size beside our own network: Lanczos, and nnedi3."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from vs_remaster.errors import InputError

HOW_TO_GET = "nnedi3 is left out: pip install vapoursynth-znedi3"


def lanczos(luma: torch.Tensor) -> torch.Tensor:
    """Luma [T, 1, H, W] at twice the size, Lanczos over 8 pixels."""
    height, width = luma.shape[-2:]
    frames = [cv2.resize(f[0].numpy(), (2 * width, 2 * height), interpolation=cv2.INTER_LANCZOS4) for f in luma.cpu()]
    return torch.from_numpy(np.stack(frames))[:, None]


def has_nnedi3() -> bool:
    """Whether the VapourSynth plug-in is there."""
    try:
        import vapoursynth as vs
    except ImportError:
        return False
    return hasattr(vs.core, "znedi3")


def nnedi3(luma: torch.Tensor) -> torch.Tensor:
    """Luma [T, 1, H, W] at twice the size by nnedi3 (znedi3, default settings), pixels' centres where they belong.

    Raises:
        InputError: the plug-in is missing.
    """
    if not has_nnedi3():
        raise InputError(HOW_TO_GET)
    import vapoursynth as vs

    core, frames = vs.core, luma.cpu().float().numpy()
    count, _, height, width = frames.shape
    blank = core.std.BlankClip(None, width, height, vs.GRAYS, count, keep=True)

    def filled(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.copyto(np.asarray(out[0]), frames[n, 0])
        return out

    clip = blank.std.ModifyFrame(blank, filled)
    # Each pass keeps the given lines as every second one, which moves the picture by a quarter of a given pixel.
    clip = clip.znedi3.nnedi3(field=1, dh=True).std.Transpose().znedi3.nnedi3(field=1, dh=True).std.Transpose()
    clip = clip.resize.Spline36(src_left=-0.5, src_top=-0.5)
    return torch.from_numpy(np.stack([np.array(frame[0]) for frame in clip.frames()]))[:, None]
