"""What shooting, printing and copying do to whole frames: weave, repeats, grain, blur, halo, compression."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from export.damage.chance import Draw
from export.damage.crop import Crop
from export.damage.filters import gauss, separable, shifted
from export.damage.settings import DamageSettings


def draw_weave(draw: Draw, settings: DamageSettings, crop: Crop, jumps: np.ndarray) -> np.ndarray:
    """Shifts [2, T] in pixels, down and across; `jumps` [T] are frames after a splice."""
    reach = draw.log_between(settings.weave) * min(1.0, settings.severity) * crop.unit
    memory = draw.random_sample() * 0.8
    path = np.stack([draw.wander(crop.frames, reach * share, memory) for share in (0.5, 0.35)])
    path[0] += jumps * reach * draw.standard_normal(crop.frames)
    return np.clip(path, -reach, reach)


def weave(x: torch.Tensor, shift: np.ndarray) -> torch.Tensor:
    """Move the frames of clips [B, T, 1, H, W] by `shift` [2, B * T]."""
    if not shift.any():
        return x
    rows, columns = (shifted(s) for s in shift)
    return separable(x.flatten(0, 1), rows, columns).clamp_(0, 1).view(x.shape)


def draw_repeats(draw: Draw, settings: DamageSettings, frames: int) -> np.ndarray:
    """Which frame is shown when: now and then one twice, or one left out."""
    step = np.ones(frames, np.int64)
    step[draw.random_sample(frames) < settings.repeat / 2] = 0
    step[draw.random_sample(frames) < settings.repeat / 2] = 2
    step[0] = 0
    return np.minimum(np.cumsum(step), frames - 1)


def add_grain(draw: Draw, settings: DamageSettings, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Film grain on clips [B, T, 1, H, W]; each draws whether, how strong and how coarse."""
    batch, frames = x.shape[:2]
    on = np.array([draw.happens(settings.chance["grain"]) for _ in range(batch)])
    amount = np.where(on, draw.log_between(settings.grain, batch) * settings.severity, 0.0)
    sigma = draw.between(settings.grain_size, batch)
    if not on.any():
        return x
    noisy = film_grain(x.flatten(0, 1), np.repeat(sigma, frames), np.repeat(amount, frames), generator)
    return noisy.view(x.shape)


def film_grain(x: torch.Tensor, sigma: np.ndarray, amount: np.ndarray, generator: torch.Generator) -> torch.Tensor:
    """Add film grain to pictures [N, 1, H, W]: correlated, new in every frame, strongest in the middle tones."""
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    taps = gauss(sigma, unit_energy=True)
    noise = separable(noise, taps, taps)
    strength = torch.from_numpy(amount.astype(np.float32)).to(x.device)[:, None, None, None]
    y = x.clamp(0, 1)
    return x + noise * strength * (0.35 + 2.6 * y * (1 - y))


def wear_copies(draw: Draw, settings: DamageSettings, x: torch.Tensor) -> torch.Tensor:
    """Scan blur, sharpening halo and compression blocks on clips [B, T, 1, H, W]; each clip draws its own."""
    batch, frames = x.shape[:2]
    on = {k: np.array([draw.happens(settings.chance[k]) for _ in range(batch)]) for k in ("blur", "halo", "blocks")}
    blur, halo, size = (draw.between(r, batch) for r in (settings.blur, settings.halo, (0.8, 1.8)))
    step = draw.log_between(settings.blocks, batch)
    if settings.compressed:
        on["blocks"] |= on["blur"] & (draw.random_sample(batch) < settings.compressed)
    wear = {
        "blur": lambda part, clips: _blurred(part, blur[clips]),
        "halo": lambda part, clips: _sharpened(part, size[clips], halo[clips]),
        "blocks": lambda part, clips: _block_artefacts(part, step[clips]),
    }
    for kind, worn in wear.items():
        clips = np.flatnonzero(on[kind])
        if len(clips):
            where = torch.from_numpy(clips).to(x.device)
            part = worn(x[where].flatten(0, 1), np.repeat(clips, frames))
            x = x.index_copy(0, where, part.view(len(clips), *x.shape[1:]))
    return x


def _blurred(x: torch.Tensor, sigma: np.ndarray) -> torch.Tensor:
    """Gaussian blur of pictures [N, 1, H, W]; sigma [N] in pixels."""
    return separable(x, gauss(sigma), gauss(sigma))


def _sharpened(x: torch.Tensor, sigma: np.ndarray, amount: np.ndarray) -> torch.Tensor:
    """Unsharp mask, which leaves halos round edges, on pictures [N, 1, H, W]."""
    strength = torch.from_numpy(amount.astype(np.float32)).to(x.device)[:, None, None, None]
    return x + strength * (x - _blurred(x, sigma))


def _block_artefacts(x: torch.Tensor, step: np.ndarray) -> torch.Tensor:
    """Quantise the 8x8 cosine transform of pictures [N, 1, H, W], coarser at high frequencies."""
    k = torch.arange(8, dtype=torch.float32, device=x.device)
    quant = torch.from_numpy(step.astype(np.float32)).to(x.device).view(-1, 1, 1)
    return quantise_blocks(x, quant * (1 + 0.35 * (k[:, None] + k)))


def quantise_blocks(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Round the orthonormal 8x8 cosine transform of pictures [N, 1, H, W] to multiples of `table` [N, 8, 8]."""
    count, _, height, width = x.shape
    k = torch.arange(8, dtype=torch.float32, device=x.device)
    basis = torch.cos(math.pi * k[:, None] * (2 * k + 1) / 16) * 0.5
    basis[0] *= math.sqrt(0.5)
    pad = (0, -width % 8, 0, -height % 8)
    y = F.pad(x, pad, mode="replicate")
    y = y.view(count, y.shape[2] // 8, 8, y.shape[3] // 8, 8).transpose(2, 3)
    quant = table[:, None, None]
    y = basis @ y @ basis.T
    y = basis.T @ (torch.round(y / quant) * quant) @ basis
    return y.transpose(2, 3).reshape(count, 1, height + pad[3], width + pad[1])[..., :height, :width]
