"""Pieces of the two papers' degradation models; clips are float `[T, C, H, W]` or `[B, T, 1, H, W]`, 0..1.

Textures of dirt come from `export/damage/`: the papers' collections of scanned textures cannot be had, the masks of
real film damage stand in for them.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from export.damage import DamageSettings, Templates, damage_batch
from export.damage.wear import quantise_blocks
from export.material.chance import between, integer, rand

TEXTURES = ("dust", "streaks", "blotches", "clusters", "hairs", "scratches")

# ITU-T T.81, annex K, table K.1: the luminance table at quality 50.
_JPEG = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip


def view(
    clip: Tensor, size: int, generator: torch.Generator, edge: tuple[float, float], turn: float = 0.0, full: int = 256
) -> Tensor:
    """A random view of a clip: scaled so that its short edge would be `edge` pixels beside a crop of `full`, turned by
    up to `turn` degrees, cropped to `size`, flipped half of the time.

    Args:
        clip: uint8 or float 0..1 `[T, C, H, W]`.
        size: side of the crop; the scale is taken with it, so that small crops show as much as large ones.

    Returns:
        Float `[T, C, size, size]`, 0..1.
    """
    frames = clip.float() / 255 if clip.dtype == torch.uint8 else clip
    height, width = frames.shape[-2:]
    short = between(generator, *edge) * size / full
    half = size / short  # half the crop as a share of half the short edge
    angle = math.radians(between(generator, -turn, turn))
    reach = 1 - min(1.0, half * (math.cos(angle) + abs(math.sin(angle))))
    flip = -1.0 if rand(generator) < 0.5 else 1.0
    across, down = min(height, width) / width, min(height, width) / height
    x, y = (between(generator, -1, 1) * (1 - (1 - reach) * share) for share in (across, down))
    cos, sin = math.cos(angle) * half, math.sin(angle) * half
    matrix = frames.new_tensor([[flip * cos * across, -sin * across, x], [flip * sin * down, cos * down, y]])
    grid = F.affine_grid(matrix.expand(len(frames), -1, -1), [len(frames), 1, size, size], align_corners=False)
    pixels = half * min(height, width) / size  # source pixels for one of the crop's
    if pixels > 1.5:
        frames = F.interpolate(frames, scale_factor=1.5 / pixels, mode="area")
    return F.grid_sample(frames, grid, mode="bilinear", padding_mode="reflection", align_corners=False).clamp(0, 1)


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """What JPEG of `quality` (1..100, one for each picture) does to pictures `[N, C, H, W]`, plane by plane, without
    the loss of chroma resolution."""
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    table = (x.new_tensor(_JPEG) * scale.to(x).view(-1, 1, 1)).round().clamp(1, 255) / 255
    middle = 128 / 255
    planes = quantise_blocks(x.flatten(0, 1)[:, None] - middle, table.repeat_interleave(x.shape[1], 0))
    return (planes + middle).view(x.shape).clamp(0, 1)


def contrast(x: Tensor, factor: float) -> Tensor:
    """Pull a clip's values toward its mean."""
    mean = x.mean()
    return (mean + factor * (x - mean)).clamp(0, 1)


def soften(x: Tensor, factor: float, mode: str = "bicubic") -> Tensor:
    """Make pictures `[N, C, H, W]` smaller by `factor` and large again."""
    size = [max(2, round(side / factor)) for side in x.shape[-2:]]
    small = F.interpolate(x, size, mode=mode, antialias=mode != "nearest")
    return F.interpolate(small, x.shape[-2:], mode=mode).clamp(0, 1)


def textures(
    shape: torch.Size, generator: torch.Generator, templates: Templates | None, density: float, device: str
) -> Tensor:
    """Dirt and scratches as pictures of their own, each frame by itself: `[N, 1, H, W]`, 0..1; `shape` says N, H, W."""
    settings = replace(DamageSettings(density=density).only(*TEXTURES), scratches=(0.0, 2.0))
    flat = torch.full((shape[0], 1, 1, *shape[-2:]), 0.5, device=device)
    return damage_batch(flat, generator, settings, templates).mask[:, 0]


def fractal_noise(shape: torch.Size, generator: torch.Generator, device: torch.device) -> Tensor:
    """Noise with as much of every size, `[N, 1, H, W]`, mean 0, largest value 1."""
    total = torch.zeros(shape[0], 1, *shape[-2:], device=device)
    side = 2
    while side <= min(shape[-2:]):
        noise = torch.randn(shape[0], 1, side, side, generator=generator).to(device)
        total += F.interpolate(noise, shape[-2:], mode="bilinear") * (2 / side) ** between(generator, 0.4, 1.0)
        side *= 2
    total = total - total.mean((1, 2, 3), keepdim=True)
    return total / total.abs().amax((1, 2, 3), keepdim=True)


def gauss_blur(x: Tensor, across: float, down: float, angle: float) -> Tensor:
    """Gaussian blur of pictures `[N, 1, H, W]`, of different sigma (pixels) in two directions turned by `angle`."""
    reach = max(1, math.ceil(2.5 * max(across, down)))
    axis = torch.arange(-reach, reach + 1, dtype=torch.float32, device=x.device)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    cos, sin = math.cos(angle), math.sin(angle)
    kernel = torch.exp(-0.5 * (((cos * u + sin * v) / across) ** 2 + ((cos * v - sin * u) / down) ** 2))
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    return F.conv2d(padded, (kernel / kernel.sum())[None, None])


def add_softness(clips: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Blur a share of clean clips `[B, T, 1, H, W]`: an old lens drew softly, and what was never sharp must not get
    the halos of sharpening."""
    soft = [rand(generator) < share for _ in clips]
    sigmas = [between(generator, 0.4, 1.6) for _ in clips]
    return torch.stack([gauss_blur(c, s, s, 0.0) if on else c for c, s, on in zip(clips, sigmas, soft)])


def moving_line(frames: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """One upright line that wanders through a clip: `[T, 1, H, W]`, 0..1."""
    steps = torch.randn(frames, generator=generator)
    x = integer(generator, width) + torch.cumsum(steps, 0)
    columns = torch.arange(width, dtype=torch.float32)
    lean = between(generator, -0.02, 0.02) * (torch.arange(height) - height / 2)
    distance = (columns - x[:, None, None] - lean[:, None]).abs()
    return ((0.6 + rand(generator) - distance).clamp(0, 1) * between(generator, 0.3, 0.9))[:, None]
