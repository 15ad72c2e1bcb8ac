"""Upright scratches that run through many frames, and splices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from export.damage.chance import Draw
from export.damage.crop import Crop
from export.damage.layers import Layers
from export.damage.settings import DamageSettings

_HALF = 12  # columns that are drawn on each side of a scratch


class _Scratch(NamedTuple):
    """Scratches as they look in one frame each; tensors [E, 1, 1]. Lengths are in pixels, phases in radians.

    Attributes:
        alpha: opacity.
        white: 1 where it lets light through, else 0.
        width: sigma of its profile.
        tilt: columns a line.
        sway, wave, phase: how far to the side it bends, over how many lines, from where on.
        gap, cover, roll: gaps come about every so many lines; how little is gap; lines that the gaps move a frame.
        x: column in the middle of the picture.
        time: frame.
        strength: factor on the opacity, of this frame.
    """

    alpha: torch.Tensor
    white: torch.Tensor
    width: torch.Tensor
    tilt: torch.Tensor
    sway: torch.Tensor
    wave: torch.Tensor
    phase: torch.Tensor
    gap: torch.Tensor
    cover: torch.Tensor
    roll: torch.Tensor
    x: torch.Tensor
    time: torch.Tensor
    strength: torch.Tensor


def paste_scratches(layers: Layers, draw: Draw, settings: DamageSettings, crop: Crop) -> None:
    """Scratches of one clip, wandering and with gaps."""
    frames, unit = crop.frames, crop.unit
    mean = draw.mostly_low(settings.scratches) * settings.density * crop.area**0.5
    life = np.rint(draw.log_between((10, 300), draw.poisson(mean * (frames + 90) / 90)))
    count = len(life)
    if not count:
        return
    first = np.floor(draw.random_sample(count) * (frames + life)) - life
    start = draw.random_sample(count) * crop.frame_width - crop.left
    pace = draw.between((0.3, 1.0), count) * unit * draw.choice([0.15, 1.0], count)
    walk = start[:, None] + pace[:, None] * np.cumsum(draw.standard_normal((count, frames)), axis=1)
    each = {
        "tilt": 0.004 * draw.standard_normal(count),
        "width": draw.log_between((0.35, 1.6), count) * unit,
        "alpha": draw.between((0.15, 0.9), count),
        "white": draw.random_sample(count) < draw.choice([0.15, 0.85]),
        "sway": draw.between((0, 1.5), count) * unit,
        "wave": draw.log_between((60, 600), count) * unit,
        "phase": draw.random_sample(count) * 6.283,
        "gap": draw.log_between((60, 500), count) * unit,
        "cover": draw.random_sample(count) * 2.2 - 0.5,
        "roll": draw.standard_normal(count) * 40 * unit,
    }
    t = np.arange(frames)
    alive = (t >= first[:, None]) & (t < (first + life)[:, None]) & (walk > -6) & (walk < layers.width + 6)
    which, time = np.nonzero(alive)
    if not len(which):
        return
    strength = np.clip(1 + 0.2 * draw.standard_normal(len(which)), 0.4, 1.4)
    shown = {name: values[which] for name, values in each.items()}
    shown |= {"x": walk[which, time], "time": time, "strength": strength}
    columns = np.stack([shown[name] for name in _Scratch._fields], axis=1).astype(np.float32)
    scratch = _Scratch(*torch.from_numpy(columns).to(layers.log.device).T[:, :, None, None])
    alpha, left = _render(scratch, layers.height, crop.top)
    picture = torch.from_numpy(crop.clip * frames + time).to(left.device)
    layers.paste(alpha, picture, scratch.white.flatten().long(), torch.zeros_like(left), left)


def _render(s: _Scratch, height: int, top: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Strips [E, height, 25] round scratches and their left columns [E]."""
    left = torch.round(s.x[:, 0, 0]).long() - _HALF
    y = torch.arange(height, dtype=torch.float32, device=left.device)[None, :, None] + top
    line = s.x + s.tilt * (y - top - height / 2) + s.sway * torch.sin(6.283 * y / s.wave + s.phase)
    columns = left[:, None, None] + torch.arange(2 * _HALF + 1, device=left.device)
    # the gaps roll through the frames like the film does
    along, gap, phase = y + s.roll * s.time, s.gap, s.phase
    beat = torch.sin(6.283 * along / gap + phase) + 0.7 * torch.sin(9.71 * along / gap + 5 * phase)
    beat = beat + 0.5 * torch.sin(22.3 * along / gap + 11 * phase) + 0.25 * torch.sin(53.9 * along / gap + 23 * phase)
    open_ = torch.sigmoid(5 * (beat + s.cover))
    profile = torch.exp(-0.5 * ((columns - line) / s.width) ** 2)
    profile = torch.where(profile > 0.01, profile, 0.0)
    return (s.alpha * s.strength).clamp(max=0.97) * open_ * profile, left


def paste_splices(layers: Layers, draw: Draw, settings: DamageSettings, crop: Crop) -> np.ndarray:
    """A bright or dark band at the top or bottom of the frame where a splice passes; returns the frames [T] bool."""
    hit = draw.random_sample(crop.frames) < settings.splice
    for time in np.flatnonzero(hit):
        thick = draw.between((1.5, 6.0)) * crop.unit
        at = draw.choice([0.02, 0.98]) * crop.frame_height - crop.top
        y = torch.arange(layers.height, dtype=torch.float32, device=layers.log.device)
        band = 0.9 * torch.exp(-(((y - at) / thick) ** 4))
        alpha = torch.where(band > 0.01, band, 0.0)[None, :, None].expand(1, -1, layers.width)
        picture, white, zero = torch.tensor([[crop.clip * crop.frames + time], [draw.randint(2)], [0]]).to(y.device)
        layers.paste(alpha, picture, white, zero, zero)
    return hit
