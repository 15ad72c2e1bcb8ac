"""Random moving crops of clips and photographs: what a batch is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from export.material.chance import integer, rand, uniform
from export.material.clips import Clip
from export.material.photos import photo_clip


def sample_crops(
    clips: Sequence[Clip],
    photos: Sequence[torch.Tensor],
    batch: int,
    frames: int,
    size: int,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    scale: tuple[float, float] = (0.5, 1.0),
    photo_probability: float = 0.1,
    stride: int = 2,
    shake: float = 0.15,
) -> torch.Tensor:
    """Draw a batch of random moving crops.

    Args:
        clips: as `load_clips` gives them; their frames may lie on a GPU.
        photos: as `load_photos` gives them; may be empty.
        batch: crops in the batch.
        frames: frames a crop; a clip with fewer runs to and fro.
        size: height and width of a crop in pixels.
        generator: CPU generator of all random choices.
        device: where the batch is wanted; None: where the clips lie.
        scale: range of the random shrinking before the crop (1: as loaded), with antialiasing.
        photo_probability: share of pseudo-clips from photographs.
        stride: frames are taken 1..stride apart.
        shake: share of clips filmed as from the hand or from a car: the crop jumps from frame to frame.

    Returns:
        float32 [B, T, C, size, size], 0..1; C is 1 for luma and 3 for RGB.
    """
    crops = []
    for _ in range(batch):
        if photos and rand(generator) < photo_probability:
            photo = photos[integer(generator, len(photos))]
            crop = photo_clip(photo, frames, size, generator)
        else:
            clip = clips[integer(generator, len(clips))]
            crop = _clip_crop(clip.frames, frames, size, generator, scale, stride, shake)
        flip, reverse = uniform(generator, 2).tolist()
        crop = crop.flip(-1) if flip < 0.5 else crop
        crop = crop.flip(0) if reverse < 0.5 else crop
        crops.append(crop if device is None else crop.to(device, non_blocking=True))
    return torch.stack(crops)


def _clip_crop(
    clip: torch.Tensor, frames: int, size: int, generator: torch.Generator | None, scale: tuple[float, float],
    stride: int, shake: float,
) -> torch.Tensor:  # fmt: skip
    """A moving crop [T, C, size, size] of one clip's frames; see `sample_crops`."""
    total, (height, width) = clip.shape[0], clip.shape[-2:]
    apart, start, zoom, down, across, shaken = uniform(generator, 6).tolist()
    factor = scale[0] + (scale[1] - scale[0]) * zoom
    region = min(round(size / factor), height, width)
    top, left = int(down * (height - region + 1)), int(across * (width - region + 1))
    jumps = _jumps(frames, region / size, generator) if shaken < shake else torch.zeros(2, frames)
    tops, lefts = (jumps + torch.tensor([[top], [left]])).round().int().tolist()
    places = [(min(max(y, 0), height - region), min(max(x, 0), width - region)) for y, x in zip(tops, lefts)]
    times = _times(total, frames, apart, start, stride)
    part = torch.stack([clip[t, ..., y : y + region, x : x + region] for t, (y, x) in zip(times, places)])
    part = (part if part.ndim == 4 else part[:, None]).float().div_(255)
    if region == size:
        return part
    return F.interpolate(part, (size, size), mode="bilinear", antialias=region > size, align_corners=False)


def _times(total: int, frames: int, apart: float, start: float, stride: int) -> Sequence[int]:
    """Which of a clip's `total` frames are taken; `apart` and `start`, 0..1, choose how far apart, and the first. A
    short clip runs to and fro."""
    step = min(1 + int(apart * stride), max(1, (total - 1) // max(1, frames - 1)))
    span = (frames - 1) * step + 1
    first = int(start * (max(0, total - span) + 1))
    if first + span <= total:
        return range(first, first + span, step)
    return [min(t, 2 * total - 2 - t) for t in (k % max(1, 2 * total - 2) for k in range(frames))]


def _jumps(frames: int, pixel: float, generator: torch.Generator | None) -> torch.Tensor:
    """Shifts [2, T] of an unsteady camera: up to a dozen crop pixels of `pixel` each, now more now less shaken."""
    reach = 1.5 * 8 ** rand(generator) * pixel
    swing = torch.randn(2, frames, generator=generator)
    push = (uniform(generator, 1, frames) < rand(generator)).float()
    return reach * swing * push
