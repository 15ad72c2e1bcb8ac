"""Our own recipe: damage from `export/damage/`, directly supervised masks and matches."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.damage import Damaged, DamageSettings, damage_batch
from export.material import Clip
from export.material.chance import rand
from export.material.scenery import add_captions, add_details, add_lines
from export.scores.perceptual import LPIPS
from export.training.losses import colorize_loss, restore_loss
from export.training.networks import network_in
from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.errors import InputError
from vs_remaster.models.attention import join
from vs_remaster.models.colorizer import ColorizerNet, ColorizerOutput
from vs_remaster.models.layers import bias_of
from vs_remaster.models.network import Network
from vs_remaster.models.restorer import Lines

from .blotches import add_blotches
from .degrade import add_softness
from .material import SHRUNK, Material, Sample, damage_templates, draw_samples, film_tone, turn_hue
from .recipe import BACKBONE, CRITICS, DAMAGE, FLOW, JOINT, REFERENCES, REUSE, SHARPEN, SUPPLY, WORN, Settings
from .rtn_damage import RtnDamage
from .supply import Pool, Supplied, Supply
from .validation import ColorValidation, JointValidation, RestoreValidation

log = logging.getLogger("train")

LOOKED_AT = 3  # frames of each clip that the perceptual loss sees


class Scene(NamedTuple):
    """Clips to colour and the pictures that they are coloured from, N in all."""

    luma: Tensor  # [B, T, 1, S, S]
    chroma: Tensor  # [B, T, 2, S, S], the truth
    reference_luma: Tensor  # [N, 1, R, R], as many for each clip, in their order
    reference_chroma: Tensor  # [N, 2, R, R]
    known: Tensor  # [B]: 1 where they show the scene, else 0


class Synthesis:
    """Our damage as a recipe uses it: on clean luma `[B, T, 1, S, S]`; `steady`: what has colours may not move."""

    def __init__(self, s: Settings, steady: bool = False) -> None:
        self.s = s
        self.templates = damage_templates(s)
        self.settings = DamageSettings(density=s.density)
        if steady:
            self.settings = self.settings.steady()

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Damaged:
        clean = add_lines(clean, generator, self.s.scene_lines)
        clean = add_details(clean, generator, self.s.scene_details)
        clean = add_softness(clean, generator, self.s.scene_softness)
        clean = add_captions(clean, generator, self.s.scene_captions)
        return damage_batch(clean, generator, self.settings, self.templates)


class Restore(Supplied):
    """Damaged crops in, clean crops out."""

    networks = ("restorer",)
    grows = True
    ignored = SHARPEN | BACKBONE | FLOW | JOINT | REFERENCES | {"adversarial_weight"}
    measured_by = RestoreValidation

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.perceptual = None
        if s.perceptual_weight:
            self.perceptual = LPIPS(Path(s.perceptual) if s.perceptual else None).to(s.device)
        self.material = Material.load(s, color=False)
        self.damage = Synthesis(s)
        self.others = RtnDamage(self.damage.templates, s.density, s.made_on)
        self.batches = Pool(Supply(self.batch, s), s)
        log.info("%d clips, %d photographs", len(self.material.clips), len(self.material.photos))

    def batch(self, generator: torch.Generator) -> Damaged:
        """Clips to learn from."""
        clean = self.material.crops(self.s, generator)
        worn = self.s.worn > 0 and rand(generator) < self.s.worn
        damaged = self.others(clean, generator) if worn else self.damage(clean, generator)
        return add_blotches(damaged, generator, self.s.blotches)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        frames, target, mask = self.batches(generator)
        with self.autocast():
            out = nets["restorer"](frames, place=Lines.whole(frames))
        terms = restore_loss(out, frames, target, mask)
        if self.perceptual:
            seen = torch.randperm(frames.shape[1], generator=generator)[:LOOKED_AT].tolist()
            ours, truth = (torch.cat([x[:, time] for time in seen]) for x in (out.luma, target))
            with self.autocast():
                terms["perceptual"] = self.s.perceptual_weight * self.perceptual(ours, truth).mean()
        return terms


class Colorize(Supplied):
    """Gray crops and colour references in, chroma out."""

    networks = ("colorizer",)
    grows = True
    ignored = SHARPEN | CRITICS | DAMAGE | FLOW | JOINT | REUSE
    measured_by = ColorValidation

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        if not SHRUNK <= s.zoom <= 8:
            raise InputError(f"zoom must be {SHRUNK} to 8, got {s.zoom}; 1 enlarges nothing")
        if not 1 <= s.approach <= 8:
            raise InputError(f"approach must be 1 to 8, got {s.approach}; 1 leaves references at about the same size")
        if not 1 <= s.stride <= 64:
            raise InputError(f"stride must be 1 to 64 frames, got {s.stride}; 1 takes one frame after the other")
        self.material = Material.load(s, color=True)
        self.batches = Supply(self.batch, s)
        log.info("%d clips, %d photographs", len(self.material.clips), len(self.material.photos))

    def fresh(self, network: str) -> Network:
        net = super().fresh(network)
        if self.s.backbone:
            assert isinstance(net, ColorizerNet)
            net.backbone.load_imagenet(torch.load(self.s.backbone, weights_only=True))
            start_keys(net, self.material.clips)
        return net

    def batch(self, generator: torch.Generator) -> Scene:
        """Clips to learn from."""
        samples = draw_samples(self.material, self.s, generator)
        lumas, chromas, lights, colors = zip(*(self.picture(sample, generator) for sample in samples), strict=True)
        known = torch.tensor([sample.known for sample in samples], device=self.s.made_on)
        return Scene(torch.stack(lumas), torch.stack(chromas), torch.cat(lights), torch.cat(colors), known)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        scene = self.batches(generator)
        with self.autocast():
            out = self.colored(nets, scene, scene.luma)
        return colorize_loss(out, scene.chroma, scene.known)

    def colored(self, nets: nn.ModuleDict, scene: Scene, luma: Tensor) -> ColorizerOutput:
        """What the colorizer makes of `luma`, which is the scene's or what was restored of it."""
        net = network_in(nets, ColorizerNet)
        count = len(scene.reference_luma) // self.s.batch
        portion = self.s.batch * min(count, 2)  # a GPU plans convolutions for every shape anew
        pictures = zip(scene.reference_luma.split(portion), scene.reference_chroma.split(portion))
        memories = [memory for some in pictures for memory in net.encode_batch(*some)]
        return net(luma, [join(memories[k : k + count]) for k in range(0, len(memories), count)])

    def picture(self, sample: Sample, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Luma `[T, 1, S, S]`, true chroma `[T, 2, S, S]`, and luma and chroma of the references `[N, ..., R, R]`,
        toned and turned in hue."""
        ycc = rgb_to_ycbcr(sample.frames)
        angle = (rand(generator) * 2 * math.pi) if rand(generator) < 0.3 else 0.0
        luma = film_tone(generator)(ycc[:, :1])
        references = rgb_to_ycbcr(torch.stack(sample.references))
        toned = torch.cat([film_tone(generator)(light) for light in references[:, :1].split(1)])
        return luma, turn_hue(ycc[:, 1:], angle), toned, turn_hue(references[:, 1:], angle)


class Joint(Colorize):
    """Both networks at once: damaged gray crops are restored, and what comes out is coloured."""

    networks = ("restorer", "colorizer")
    ignored = SHARPEN | CRITICS | FLOW | SUPPLY | WORN
    measured_by = JointValidation
    grows = False

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.damage = Synthesis(s, steady=True)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        scene = self.batches(generator)
        frames, target, mask = self.damage(scene.luma.clamp(0, 1), generator)
        with self.autocast():
            restored = nets["restorer"](frames, place=Lines.whole(frames))
            out = self.colored(nets, scene, restored.luma.clamp(0, 1))
        light = {f"light {k}": v for k, v in restore_loss(restored, frames, target, mask).items()}
        color = colorize_loss(out, scene.chroma, scene.known)
        return light | {f"color {k}": self.s.color_weight * v for k, v in color.items()}


@torch.no_grad()
def start_keys(net: ColorizerNet, clips: list[Clip]) -> None:
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
    bias_of(net.key).copy_(-(weight @ mean)[:, 0])
