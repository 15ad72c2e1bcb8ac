"""Damages clean clips: everything that happens to them, in its order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from export.damage.chance import Draw
from export.damage.crop import Crop
from export.damage.layers import Dirt, Layers
from export.damage.masks import Templates
from export.damage.rendering import paste_sprites
from export.damage.scratches import paste_scratches, paste_splices
from export.damage.settings import DamageSettings
from export.damage.sprites import draw_sprites
from export.damage.tone import Tone, apply_tone, draw_tone
from export.damage.wear import add_grain, draw_repeats, draw_weave, wear_copies, weave
from vs_remaster.errors import InputError


class Damaged(NamedTuple):
    """A damaged clip, what it should be restored to, and where dirt or scratches lie (0..1); shapes alike."""

    frames: torch.Tensor
    target: torch.Tensor
    mask: torch.Tensor


class _Plan(NamedTuple):
    """What happens to one clip, besides what is drawn for all clips at once.

    Attributes:
        crop: where its pictures lie.
        sprites: an array of `SPRITE`.
        shift: weave, pixels [2, T], down and across.
        tone: of its brightness.
        order: which frame is shown when, [T].
        scanned: frames are repeated and left out in scanning, not in printing.
    """

    crop: Crop
    sprites: np.ndarray
    shift: np.ndarray
    tone: Tone
    order: np.ndarray
    scanned: bool

    @property
    def printed_order(self) -> np.ndarray:
        """Of the frames when they get their dirt and grain."""
        return np.arange(self.crop.frames) if self.scanned else self.order

    @property
    def scanned_order(self) -> np.ndarray:
        """Of the frames that have them."""
        return self.order if self.scanned else np.arange(self.crop.frames)


def _plan(draw: Draw, settings: DamageSettings, templates: Templates | None, crop: Crop, layers: Layers) -> _Plan:
    """Choose what happens to one clip; its scratches and splices are pasted into the layers at once."""
    chance, frames = settings.chance, crop.frames
    sprites = draw_sprites(draw, settings, templates, crop)
    if draw.happens(chance["scratches"]):
        paste_scratches(layers, draw, settings, crop)
    spliced = draw.happens(chance["splice"])
    jumps = paste_splices(layers, draw, settings, crop) if spliced else np.zeros(frames, bool)
    weaves = draw.happens(chance["weave"])
    shift = draw_weave(draw, settings, crop, jumps) if weaves else np.zeros((2, frames))
    tone = draw_tone(draw, settings, frames)
    repeats = draw.happens(chance["repeat"])
    order = draw_repeats(draw, settings, frames) if repeats else np.arange(frames)
    return _Plan(crop, sprites, shift, tone, order, scanned=draw.happens(0.5))


def damage_batch(
    clean: torch.Tensor,
    generator: torch.Generator | None = None,
    settings: DamageSettings = DamageSettings(),
    templates: Templates | None = None,
    lines: float | None = None,
) -> Damaged:
    """Damage a batch of clean clips, each in its own way.

    Args:
        clean: luma [B, T, 1, H, W], 0..1, float32, any device.
        generator: CPU generator of all random choices.
        settings: what may happen and how strongly.
        templates: masks of real damage, on the device of `clean`; None: procedural shapes only.
        lines: lines of the whole frame which the pictures are cut from, in their own pixels; None: drawn a clip
            from `settings.lines`. It sets how large and how many the damages are.

    Returns:
        frames, target and mask, each [B, T, 1, H, W]. The target has the same weave and the same repeated and
        dropped frames as the input; the mask is 0 where no dirt, hair or scratch changed the picture.
    """
    if clean.ndim != 5 or clean.shape[2] != 1:
        raise InputError(f"clean clips must be [B, T, 1, H, W], got {tuple(clean.shape)}; add the missing dimensions")
    batch, frames, _, height, width = clean.shape
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
    draw = Draw(seed)
    noise = torch.Generator(clean.device).manual_seed(seed)
    layers = Layers(batch * frames, height, width, clean.device)
    plans = []
    for clip in range(batch):
        crop = Crop.somewhere(draw, clip, frames, (height, width), lines or draw.between(settings.lines))
        plans.append(_plan(draw, settings, templates, crop, layers))
    paste_sprites(layers, np.concatenate([plan.sprites for plan in plans]), frames, draw, templates)

    # a frame repeated when printing gets its own dirt and grain; one repeated when scanning brings them along
    target = weave(
        _reorder(clean, [plan.printed_order for plan in plans]), np.concatenate([plan.shift for plan in plans], axis=1)
    )
    x = apply_tone(target, [plan.tone for plan in plans], [plan.crop for plan in plans])
    x = add_grain(draw, settings, x, noise)
    dirt = Dirt.of(draw, layers, target)
    x, mask = dirt.over(x)
    x = wear_copies(draw, settings, x).clamp_(0, 1)
    fate = draw.random_sample(batch)
    clean_clips = np.flatnonzero(fate < settings.clean)
    if len(clean_clips):
        x[clean_clips], mask[clean_clips] = target[clean_clips], 0.0
    sound = np.flatnonzero((fate >= settings.clean) & (fate < settings.clean + settings.sound))
    if len(sound):
        x[sound], mask[sound] = dirt.of_clips(sound).over(target[sound])
    order = [plan.scanned_order for plan in plans]
    return Damaged(*(_reorder(part, order) for part in (x, target, mask)))


def _reorder(x: torch.Tensor, order: list[np.ndarray]) -> torch.Tensor:
    """The frames of clips [B, T, 1, H, W] in another order, [T] for each."""
    if all((o == np.arange(len(o))).all() for o in order):
        return x
    index = torch.from_numpy(np.stack(order)).to(x.device)
    return x[torch.arange(len(order), device=x.device)[:, None], index]


def damage(
    clean: torch.Tensor,
    generator: torch.Generator | None = None,
    settings: DamageSettings = DamageSettings(),
    templates: Templates | None = None,
    lines: float | None = None,
) -> Damaged:
    """Damage one clean clip [T, 1, H, W]: a whole frame unless `lines` is given; see `damage_batch`."""
    made = damage_batch(clean[None], generator, settings, templates, lines or min(clean.shape[-2:]))
    return Damaged(*(part[0] for part in made))
