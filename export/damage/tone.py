"""Brightness that is not that of the scene: flicker, fading, uneven light, vignettes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from export.damage.chance import Draw
from export.damage.crop import Crop
from export.damage.settings import DamageSettings

_FALL = np.array([[0, 1, 0.6], [1, 0.7, 0.4], [0.6, 0.4, 0.3]]).ravel()  # uneven light has more slow than quick waves


class Tone(NamedTuple):
    """What happens to the brightness of one clip: gain * x^gamma * field + lift.

    Attributes:
        gain, gamma, lift: of each frame, [T].
        field: coefficients on a cosine basis of the frame, [T, 9]; 0: even light.
        vignette: how much darker the corners are, 0..1.
    """

    gain: np.ndarray
    gamma: np.ndarray
    lift: np.ndarray
    field: np.ndarray
    vignette: float


def draw_tone(draw: Draw, settings: DamageSettings, frames: int) -> Tone:
    """Choose what happens to a clip."""
    strength = settings.severity
    gain, gamma, lift = np.ones(frames), np.ones(frames), np.zeros(frames)
    field = np.zeros((frames, 9))
    if draw.happens(settings.chance["flicker"]):
        memory = draw.random_sample() * 0.8
        flicker = draw.wander(frames, draw.log_between(settings.flicker) * strength, memory)
        contrast = draw.wander(frames, draw.between(settings.gamma) * strength, memory)
        gain, gamma = np.exp(np.clip(flicker, -0.16, 0.16)), np.exp(np.clip(contrast, -0.2, 0.2))
    if draw.happens(settings.chance["fade"]):
        gain = gain * draw.between(settings.fade_gain)
        lift = lift + draw.between(settings.fade_lift) * draw.random_sample() * min(1.0, strength)
    if draw.happens(settings.chance["uneven"]):
        deviation = draw.between(settings.uneven) * strength
        memory = draw.random_sample()
        field = np.stack([draw.wander(frames, deviation * fall, memory) for fall in _FALL], axis=1)
    dark = draw.between(settings.vignette) if draw.happens(settings.chance["vignette"]) else 0.0
    return Tone(gain, gamma, lift, field, dark * min(1.0, strength))


def apply_tone(x: torch.Tensor, tones: Sequence[Tone], crops: Sequence[Crop]) -> torch.Tensor:
    """Change the brightness of clips [B, T, 1, H, W], each by its own tone."""
    batch, frames = x.shape[:2]

    def tensor(values: Sequence) -> torch.Tensor:
        return torch.from_numpy(np.stack(values).astype(np.float32)).to(x.device)

    down, across, dy, dx = (tensor(parts) for parts in zip(*(_basis(crop) for crop in crops), strict=True))
    gain, gamma, lift, field, vignette = (tensor(parts) for parts in zip(*tones, strict=True))
    gain, gamma, lift = (each[..., None, None, None] for each in (gain, gamma, lift))
    light = torch.einsum("bih,btij,bjw->bthw", down, field.view(batch, frames, 3, 3), across) + 1
    light = light * (1 - vignette[:, None, None] * (dy[:, :, None] + dx[:, None, :]) / 2)[:, None]
    if bool((gamma != 1).any()):
        x = torch.exp2(torch.log2(x.clamp_min(1e-4)) * gamma)
    return x * (light[:, :, None] * gain * (1 - lift)) + lift


def _basis(crop: Crop) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Three cosines down [3, H] and across [3, W], and the squared distance from the middle down [H] and across [W]."""
    y = (np.arange(crop.height) + 0.5 + crop.top) / crop.frame_height
    x = (np.arange(crop.width) + 0.5 + crop.left) / crop.frame_width
    down = np.cos(np.pi * np.arange(3)[:, None] * y)
    across = np.cos(np.pi * np.arange(3)[:, None] * x)
    return down, across, (2 * y - 1) ** 2, (2 * x - 1) ** 2
