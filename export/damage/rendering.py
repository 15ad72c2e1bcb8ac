"""Draws sprites and pastes them into the frames of their lives."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from export.damage.chance import Draw
from export.damage.kinds import CURVE, MASK
from export.damage.layers import Layers
from export.damage.masks import CATEGORIES, FILL, Templates

_PASTED_AT_ONCE = 1 << 22  # pixels


class _Look(NamedTuple):
    """What sprites look like, see `SPRITE`; each [M, 1, 1]."""

    diameter: torch.Tensor
    angle: torch.Tensor
    aspect: torch.Tensor
    soft: torch.Tensor
    alpha: torch.Tensor
    seed: torch.Tensor

    @classmethod
    def of(cls, sprites: np.ndarray, device: torch.device) -> _Look:
        columns = np.stack([sprites[name] for name in cls._fields], axis=1).astype(np.float32)
        return cls(*torch.from_numpy(columns).to(device).T[:, :, None, None])


def paste_sprites(layers: Layers, sprites: np.ndarray, frames: int, draw: Draw, templates: Templates | None) -> None:
    """Draw each of the sprites (an array of `SPRITE`) once and paste it into the frames of its life."""
    masked = sprites["shape"] == MASK
    diameter = sprites["diameter"]
    cover = np.where(masked, 1.42 * diameter, 1.15 * diameter + 5 * sprites["soft"]) + 3
    side = 2.0 ** np.ceil(np.log2(np.maximum(cover, 8)))
    # those of one size, shape and category are drawn together
    sorts = np.stack([side, sprites["shape"], np.where(masked, sprites["category"], 0)], axis=1).astype(np.int64)
    for sort in np.unique(sorts, axis=0):
        alike = sprites[(sorts == sort).all(axis=1)]
        _paste(layers, alike, _render(alike, int(sort[0]), templates, layers.log.device), frames, draw)


def _paste(layers: Layers, sprites: np.ndarray, patches: torch.Tensor, frames: int, draw: Draw) -> None:
    """Paste the picture of each sprite, `patches` [M, size, size], wherever it lies in a frame of its life."""
    size = patches.shape[-1]
    first, last = np.maximum(sprites["first"], 0), np.minimum(sprites["last"], frames)
    which = np.repeat(np.arange(len(sprites)), last - first)
    time = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
    shown = sprites[which]
    age = time - shown["first"]
    wobble = draw.standard_normal((2, len(shown))) * shown["jitter"]
    # the patch is drawn round its middle, so whole-pixel places suffice
    top = np.rint(shown["y"] + age * shown["vy"] + wobble[0] - size / 2).astype(np.int64)
    left = np.rint(shown["x"] + age * shown["vx"] + wobble[1] - size / 2).astype(np.int64)
    seen = (top > -size) & (top < layers.height) & (left > -size) & (left < layers.width)
    picture = shown["clip"] * frames + time
    table = torch.from_numpy(np.stack([which, picture, shown["white"], top, left])[:, seen]).to(patches.device)
    for part in table.split(max(1, _PASTED_AT_ONCE // (size * size)), dim=1):
        index, *places = part
        layers.paste(patches[index], *places)


def _render(sprites: np.ndarray, size: int, templates: Templates | None, device: torch.device) -> torch.Tensor:
    """Alpha [M, size, size] of sprites of one shape and category."""
    look = _Look.of(sprites, device)
    axis = torch.arange(size, dtype=torch.float32, device=device) - (size - 1) / 2
    y, x = axis[None, :, None], axis[None, None, :]
    cos, sin = torch.cos(look.angle), torch.sin(look.angle)
    u, v = cos * x + sin * y, cos * y - sin * x  # along and across
    shape = sprites["shape"][0]
    if shape == MASK:
        assert templates is not None  # masks are drawn of them only
        return look.alpha * _masks(u, v, look.diameter, sprites, templates)
    return _hairs(u, v, look) if shape == CURVE else _blobs(u, v, look)


def _hairs(u: torch.Tensor, v: torch.Tensor, look: _Look) -> torch.Tensor:
    """A hair is the graph of a few sines over its chord: cheap, and never crosses itself."""
    radius, seed = look.diameter / 2, look.seed
    bend = seed * 6.283
    k = 3.0 / radius
    high = radius * 0.28 * (seed - 0.5)
    height = high * torch.cos(k * u * (0.5 + seed) + bend) + 0.1 * radius * torch.sin(2.3 * k * u + 5 * bend)
    slope = -high * k * (0.5 + seed) * torch.sin(k * u * (0.5 + seed) + bend)
    slope = slope + 0.23 * radius * k * torch.cos(2.3 * k * u + 5 * bend)
    distance = (v - height).abs() / torch.sqrt(1 + slope * slope)
    ends = torch.sigmoid((radius * 0.92 - u.abs()) / look.soft)
    return look.alpha * torch.exp(-0.5 * (distance / look.soft) ** 2) * ends


def _blobs(u: torch.Tensor, v: torch.Tensor, look: _Look) -> torch.Tensor:
    """A blob is an ellipse whose radius wavers with the direction."""
    radius, aspect = look.diameter / 2, look.aspect
    v = v * aspect
    theta = torch.atan2(v, u)
    phase = look.seed * 6.283
    wave = 0.16 * torch.cos(2 * theta + 7 * phase) + 0.12 * torch.cos(3 * theta + 13 * phase)
    wave = wave + 0.08 * torch.cos(5 * theta + 29 * phase) + 0.05 * torch.cos(9 * theta + 41 * phase)
    calm = (look.diameter / aspect / 4).clamp(max=1)  # thin or tiny shapes have no room to waver
    rim = radius * (1 + wave * calm) - torch.sqrt(u * u + v * v)
    steep = torch.minimum(look.soft * aspect, radius * 0.6)
    cloud = torch.sin(5.1 * u / radius + 17 * phase) * torch.sin(6.7 * v / radius + phase)
    body = look.alpha * (1 - 0.17 * calm * (1 + cloud))
    return body * torch.sigmoid(2.5 * rim / steep) * (rim > -2.2 * steep)


def _masks(
    u: torch.Tensor, v: torch.Tensor, diameter: torch.Tensor, sprites: np.ndarray, templates: Templates
) -> torch.Tensor:
    """Scanned masks of one category, turned, and half of them mirrored."""
    levels = templates.levels[CATEGORIES[sprites["category"][0]]]
    masks = levels[min(levels, key=lambda side: (abs(math.log2(side / u.shape[-1])), side))]
    index = torch.from_numpy(sprites["index"].copy()).to(masks.device)
    flip = np.where(sprites["seed"] < 0.5, -1.0, 1.0).astype(np.float32)
    reach = diameter / (2 * FILL)  # pixels from the middle to the rim of the mask's square
    grid = torch.stack([torch.from_numpy(flip).to(u.device)[:, None, None] * u / reach, v / reach], dim=-1)
    patch = F.grid_sample(masks[index][:, None].float() / 255, grid, align_corners=False)[:, 0]
    # thin shapes fade when shrunk: bring the strongest point back
    return patch / patch.amax(dim=(1, 2), keepdim=True).clamp_min(0.3)
