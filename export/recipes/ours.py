"""Our own recipe: damage from `export/damage.py`, directly supervised masks and matches."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.damage import DamageSettings, damage_batch
from export.data import Clip, add_details, add_lines
from export.losses import colorize_loss, restore_loss
from export.perceptual import LPIPS
from vs_remaster.color import rgb_to_ycbcr

from .material import Material, Sample, damage_templates, draw_sample, film_tone, rand, turn_hue
from .recipe import BACKBONE, CRITICS, DAMAGE, FLOW, JOINT, REFERENCES, Recipe, Settings
from .validation import ColorValidation, JointValidation, RestoreValidation

log = logging.getLogger("train")

LOOKED_AT = 3  # frames of each clip that the perceptual loss sees


class Synthesis:
    """Our damage as a recipe uses it: on clean luma `[B, T, 1, S, S]`; `steady`: what has colours may not move."""

    def __init__(self, s: Settings, steady: bool = False) -> None:
        self.s = s
        self.templates = damage_templates(s)
        self.settings = DamageSettings(density=s.density)
        if steady:
            self.settings = self.settings.steady()

    def __call__(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Damaged frames, what they should become, and where the damage is; all `[B, T, 1, S, S]`."""
        clean = add_lines(clean, generator, self.s.scene_lines)
        clean = add_details(clean, generator, self.s.scene_details)
        made = damage_batch(clean, generator, self.settings, self.templates)
        return made.frames, made.target, made.mask


class Restore(Recipe):
    """Damaged crops in, clean crops out."""

    networks = ("restorer",)
    ignored = BACKBONE | FLOW | JOINT | REFERENCES | {"adversarial_weight"}

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.perceptual = None
        if s.perceptual_weight:
            self.perceptual = LPIPS(Path(s.perceptual) if s.perceptual else None).to(s.device)
        self.material = Material.load(s, color=False)
        self.damage = Synthesis(s)
        self.validation = RestoreValidation(Path(s.data), s.device, s.validate_every)
        log.info("%d clips, %d photographs", len(self.material.clips), len(self.material.photos))

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Damaged, clean, mask."""
        return self.damage(self.material.crops(self.s, generator), generator)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        frames, target, mask = self.batch(generator)
        with self.autocast():
            out = nets["restorer"](frames)
            terms = restore_loss(out, target, mask)
            if self.perceptual:
                seen = torch.randperm(frames.shape[1], generator=generator)[:LOOKED_AT]
                ours, truth = (x[:, seen].flatten(0, 1) for x in (out.luma, target))
                terms["perceptual"] = self.s.perceptual_weight * self.perceptual(ours, truth).mean()
        return terms


class Colorize(Recipe):
    """Gray crops and colour references in, chroma out."""

    networks = ("colorizer",)
    ignored = CRITICS | DAMAGE | FLOW | JOINT

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.material = Material.load(s, color=True)
        self.validation = ColorValidation(Path(s.data), s.device, s.validate_every)
        log.info("%d clips, %d photographs", len(self.material.clips), len(self.material.photos))

    def fresh(self, network: str) -> nn.Module:
        net = super().fresh(network)
        if self.s.backbone:
            net.backbone.load_imagenet(torch.load(self.s.backbone, weights_only=True))
            start_keys(net, self.material.clips)
        return net

    def optimizer(self, nets: nn.ModuleDict) -> torch.optim.Optimizer:
        if self.s.freeze:
            nets["colorizer"].backbone.requires_grad_(False)
        return super().optimizer(nets)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        samples = [draw_sample(self.material, self.s, generator) for _ in range(self.s.batch)]
        lumas, chromas, pictures = zip(*(self.picture(sample, generator) for sample in samples), strict=True)
        with self.autocast():
            memories = [nets["colorizer"].encode_all(references) for references in pictures]
            out = nets["colorizer"](torch.stack(lumas), memories)
        known = torch.tensor([sample.known for sample in samples], device=self.s.device)
        return colorize_loss(out, torch.stack(chromas), known)

    def picture(self, sample: Sample, generator: torch.Generator) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """Luma `[T, 1, S, S]`, true chroma `[T, 2, S, S]` and the references' luma and chroma, toned and turned in
        hue."""
        ycc = rgb_to_ycbcr(sample.frames.to(self.s.device))
        angle = (rand(generator) * 2 * math.pi) if rand(generator) < 0.3 else 0.0
        luma = film_tone(generator)(ycc[:, :1])
        references = []
        for reference in sample.references:
            r = rgb_to_ycbcr(reference.to(self.s.device))[None]
            references.append((film_tone(generator)(r[:, :1]), turn_hue(r[:, 1:], angle)))
        return luma, turn_hue(ycc[:, 1:], angle), references


class Joint(Colorize):
    """Both networks at once: damaged gray crops are restored, and what comes out is coloured."""

    networks = ("restorer", "colorizer")
    ignored = CRITICS | FLOW

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.damage = Synthesis(s, steady=True)
        self.validation = JointValidation(Path(s.data), s.device, s.validate_every)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        samples = [draw_sample(self.material, self.s, generator) for _ in range(self.s.batch)]
        lumas, chromas, pictures = zip(*(self.picture(sample, generator) for sample in samples), strict=True)
        frames, target, mask = self.damage(torch.stack(lumas).clamp(0, 1), generator)
        with self.autocast():
            restored = nets["restorer"](frames)
            memories = [nets["colorizer"].encode_all(references) for references in pictures]
            out = nets["colorizer"](restored.luma.clamp(0, 1), memories)
        known = torch.tensor([sample.known for sample in samples], device=self.s.device)
        light = {f"light {k}": v for k, v in restore_loss(restored, target, mask).items()}
        color = colorize_loss(out, torch.stack(chromas), known)
        return light | {f"color {k}": self.s.color_weight * v for k, v in color.items()}


@torch.no_grad()
def start_keys(net: nn.Module, clips: list[Clip]) -> None:
    """Start the matching features as the principal components of what the backbone sees, so that matching works from
    step one."""
    step = max(1, len(clips) // 24)
    samples = []
    for clip in clips[::step]:
        rgb = clip.frames[:1].float() / 255
        height, width = (side // 16 * 16 for side in rgb.shape[-2:])
        luma = rgb_to_ycbcr(rgb[..., :height, :width])[:, :1].cpu()
        _, f8, f16 = net.backbone(luma)
        f16 = F.interpolate(f16, scale_factor=2, mode="bilinear", align_corners=False)
        samples.append(torch.cat([0.1 * f8, 0.2 * f16], 1).flatten(2)[0])
    x = torch.cat(samples, 1)
    mean = x.mean(1, keepdim=True)
    whitened = (x - mean) / x.std(1, keepdim=True)
    directions = torch.linalg.svd(whitened @ whitened.t() / whitened.shape[1]).U[:, : net.key.out_channels]
    weight = directions.t() / x.std(1)
    net.key.weight.zero_()
    net.key.weight[:, : weight.shape[1], 0, 0] = weight
    net.key.bias.copy_(-(weight @ mean)[:, 0])
