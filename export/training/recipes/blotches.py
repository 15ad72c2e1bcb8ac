"""Large opaque shapes that live for one to three frames: emulsion that is gone, drops, stuck dirt. What they hide is to
be seen in the frames beside them only."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from export.damage import Damaged
from export.material.chance import between, integer, rand

LONGEST = 3  # frames that a blotch lives
SHARES = (0.01, 0.45)  # of a crop that a blotch covers


def add_blotches(clips: Damaged, generator: torch.Generator, share: float) -> Damaged:
    """Lay one to three blotches over a share of damaged clips `[B, T, 1, S, S]`."""
    if share <= 0:
        return clips
    frames, mask = clips.frames.clone(), clips.mask.clone()
    for clip, hidden in zip(frames, mask):
        if rand(generator) < share:
            for _ in range(1 + integer(generator, 3)):
                _lay(clip, hidden, generator)
    return clips._replace(frames=frames, mask=mask)


def _lay(clip: Tensor, mask: Tensor, generator: torch.Generator) -> None:
    """Lay a blotch over some frames of `clip` `[T, 1, S, S]` and mark it in `mask`."""
    count, size = len(clip), clip.shape[-1]
    life = 1 + integer(generator, LONGEST)
    first = integer(generator, count + life - 1) - life + 1
    alpha, picture = _drawn(2 * size, size, generator)
    at = torch.tensor([between(generator, 0, size), between(generator, 0, size)])
    drift = between(generator, 0, 4) * torch.randn(2, generator=generator) if rand(generator) < 0.5 else torch.zeros(2)
    for time in range(max(0, first), min(count, first + life)):
        top, left = (size - at - (time - first) * drift).round().clamp(0, size).int().tolist()
        here = (slice(top, top + size), slice(left, left + size))
        cover = alpha[here].to(clip)
        clip[time, 0] = torch.lerp(clip[time, 0], picture[here].to(clip), cover)
        mask[time, 0] = torch.maximum(mask[time, 0], cover)


def _drawn(canvas: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Opacity and brightness of a blotch in the middle of a canvas, `[canvas, canvas]` each: an ellipse with a ragged
    rim, dark, light or gray, even or textured."""
    low, high = (math.log(edge) for edge in SHARES)
    radius = size * math.sqrt(math.exp(between(generator, low, high)) / math.pi)
    aspect, angle = math.exp(between(generator, -0.5, 0.5)), between(generator, 0, math.pi)
    axis = torch.arange(canvas) - (canvas - 1) / 2
    y, x = axis[:, None], axis[None]
    u = (math.cos(angle) * x + math.sin(angle) * y) * aspect
    v = (math.cos(angle) * y - math.sin(angle) * x) / aspect
    ragged = between(generator, 0.05, 0.4) * _clouds(canvas, between(generator, 0.4, 1.5) * radius, generator)
    rim = 1 - torch.sqrt(u * u + v * v) / radius + ragged
    soft = between(generator, 0.5, 8) / radius
    alpha = between(generator, 0.85, 1.0) * torch.sigmoid(4 * rim / soft)
    kind = rand(generator)
    level = between(generator, *((0, 0.15) if kind < 0.4 else (0.85, 1.0) if kind < 0.8 else (0.15, 0.85)))
    texture = between(generator, 0, 0.1) * _clouds(canvas, between(generator, 2, 20), generator)
    return alpha, (level + texture).clamp(0, 1)


def _clouds(side: int, scale: float, generator: torch.Generator) -> Tensor:
    """Smooth noise `[side, side]` of standard deviation 1 with features of `scale` pixels."""
    cells = max(2, min(side, round(side / max(scale, 1.0))))
    noise = torch.randn(1, 1, cells, cells, generator=generator)
    smooth = F.interpolate(noise, (side, side), mode="bicubic")[0, 0]
    return smooth / smooth.std().clamp_min(1e-3)
