"""How the sharpener is taught: sharp clips are softened, some made half as large, some worn and restored; it gives back
what was there before."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.damage import DamageSettings, damage_batch
from export.material.chance import between, integer, rand
from export.scores.perceptual import LPIPS
from export.training.losses import sharpen_loss
from export.training.networks import network_in
from vs_remaster import weights
from vs_remaster.models.restorer import RestorerNet
from vs_remaster.models.sharpener import SharpenerNet, enlarged, softness

from .degrade import gauss_blur, soften
from .material import Material, damage_templates
from .recipe import BACKBONE, FLOW, JOINT, REFERENCES, REUSE, Settings, half_precision
from .rtn_damage import RtnDamage
from .supply import Supplied, Supply
from .validation import SharpenValidation

WORN = (0.3, 0.65)  # shares of batches with no wear at all, and with none or ours
LOOKED_AT = {1: 2, 2: 1}  # frames of each clip that the perceptual loss sees at either scale


class Blurred(NamedTuple):
    """Restored soft clips `[B, T, 1, S, S]`, what they were before, and that at twice the size, `[B, T, 1, 2S, 2S]`, or
    none of it, `[0]`."""

    frames: Tensor
    target: Tensor
    large: Tensor


class Sharpen(Supplied):
    """Soft restored crops in, sharp crops out, of the same size and of twice the size."""

    networks = ("sharpener",)
    grows = True
    ignored = BACKBONE | FLOW | JOINT | REFERENCES | REUSE | {"adversarial_weight", "worn", "blotches"} | {
        "scene_lines", "scene_details", "scene_softness", "scene_captions"
    }  # fmt: skip
    measured_by = SharpenValidation

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.perceptual = None
        if s.perceptual_weight:
            self.perceptual = LPIPS(Path(s.perceptual) if s.perceptual else None).to(s.device)
        self.material = Material.load(s, color=False)
        net = weights.load_model("restorer", s.restorer)
        assert isinstance(net, RestorerNet)
        self.restorer = net.to(s.made_on).eval().requires_grad_(False)
        templates = damage_templates(s)
        self.settings = DamageSettings(density=s.density).steady()
        self.templates = templates
        self.others = RtnDamage(templates, s.density, s.made_on)
        self.batches = Supply(self.batch, s)

    def batch(self, generator: torch.Generator) -> Blurred:
        """Clips to learn from."""
        s = self.s
        halved = rand(generator) < s.halved
        size = 2 * s.size if halved else s.size
        clips = self.material.crops(replace(s, size=size), generator)
        large = clips if halved else clips.new_zeros(0)
        target = smaller(clips, "bicubic") if halved else clips
        soft = torch.stack([softened(large[i] if halved else clip, clip, generator) for i, clip in enumerate(target)])
        return Blurred(self.restored(soft.clamp(0, 1), generator), target.clamp(0, 1), large)

    @torch.no_grad()
    def restored(self, soft: Tensor, generator: torch.Generator) -> Tensor:
        """Soft clips after wear and the restorer, or as they are."""
        kind = rand(generator)
        if kind < WORN[0]:
            return soft
        worn = (
            damage_batch(soft, generator, self.settings, self.templates)
            if kind < WORN[1]
            else self.others(soft, generator)
        )
        with half_precision(self.s.made_on.split(":")[0]):
            return self.restorer(worn.frames).luma.float().clamp(0, 1)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        frames, target, large = self.batches(generator)
        net = network_in(nets, SharpenerNet)
        with self.autocast():
            x, due = net.features(frames, softness(frames))
            same = net.sharpen(x, due, frames)
            twice = net.enlarge(x, due, frames) if large.numel() else None
        made = {1: (frames + same.change, target)}
        if twice is not None:
            made[2] = enlarged(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]) + twice.change, large
        terms = sharpen_loss(frames, same.due_logits, made)
        if self.perceptual:
            for scale, pair in made.items():
                seen = torch.randperm(frames.shape[1], generator=generator)[: LOOKED_AT[scale]].tolist()
                ours, truth = (torch.cat([x[:, time] for time in seen]) for x in pair)
                with self.autocast():
                    terms[f"perceptual {scale}"] = self.s.perceptual_weight * self.perceptual(ours, truth).mean()
        return terms


def smaller(x: Tensor, mode: str) -> Tensor:
    """Clips `[..., 1, H, W]` at half the size."""
    flat = x.reshape(-1, 1, *x.shape[-2:])
    half = F.avg_pool2d(flat, 2) if mode == "area" else F.interpolate(flat, scale_factor=0.5, mode=mode, antialias=True)
    return half.view(*x.shape[:-2], *half.shape[-2:])


def softened(source: Tensor, clip: Tensor, generator: torch.Generator) -> Tensor:
    """A sharp clip `clip` `[T, 1, S, S]` as soft as some films are, made from `source`: the clip, or the same at twice
    the size."""
    kind = rand(generator)
    if source.shape[-1] > clip.shape[-1]:
        if kind < 0.6:
            source = gauss_blur(source, sigma := between(generator, 0.3, 2.4), sigma, 0.0)
        return smaller(source, ("area", "bicubic", "bilinear")[integer(generator, 3)])
    if kind < 0.35:
        return clip
    if kind < 0.8:
        across = between(generator, 0.4, 2.0)
        down = across if rand(generator) < 0.7 else between(generator, 0.4, 2.0)
        return gauss_blur(clip, across, down, between(generator, 0, math.pi))
    return soften(clip, between(generator, 1, 2.5), "bilinear" if rand(generator) < 0.5 else "bicubic")
