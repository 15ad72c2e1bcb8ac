"""RTN's recipe (Wan et al., CVPR 2022, section 3.4 and 4.1): one set of damage parameters a clip with a little change
from frame to frame, L1 + perceptual + Temporal-PatchGAN hinge, Adam, the flow network still at first and slower later.

What cannot be had offline is stood in for: VGG16 for VGG19, SPyNet for RAFT, masks of real damage for its textures. The
layers of the perceptual term and their weights are those of the published code, not of the paper's text.
Colour, whose code and training were never published, is trained by the same objective without the perceptual term:
the first frame's ab is given, at times the last one's too, and the recurrence carries it.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from export.perceptual import Perceptual
from vs_remaster.color import gray_to_lightness, rgb_to_lab, rgb_to_ycbcr
from vs_remaster.models.flow import load_spynet
from vs_remaster.models.rtn import AB

from .degrade import contrast, gauss_blur, jpeg, moving_line, soften, textures
from .material import Material, between, damage_templates, rand
from .ours import Synthesis
from .recipe import BACKBONE, DAMAGE, DECAY, JOINT, REFERENCES, SUPPLY, Recipe, Settings
from .supply import Pair, Pool, Supplied, Supply
from .validation import ColorValidation, RestoreValidation

log = logging.getLogger("train")

FLOW_STILL = 0.25  # of the run: 5 of 20 epochs
FLOW_RATE = 0.125
STEADY = 0.5  # of the run: the learning rate falls after it


class TemporalPatchGAN(nn.Module):
    """Tells true clips `[B, T, C, H, W]` from made ones, patch by patch in space and time.

    Source: Chang et al., Free-form Video Inpainting, ICCV 2019: six 3-D convolutions with spectral norm.
    """

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, factor in enumerate((1, 2, 4, 4, 4, 4)):
            conv = nn.Conv3d(channels, factor * width, (3, 5, 5), (1, 2, 2), (1, 2, 2))
            layers += [spectral_norm(conv), nn.LeakyReLU(0.2)] if i < 5 else [conv]
            channels = factor * width
        self.layers = nn.Sequential(*layers)

    def forward(self, clip: Tensor) -> Tensor:
        return self.layers(clip.transpose(1, 2))


class _Rtn(Recipe):
    """What restoration and colour share."""

    channels: ClassVar[int]
    defaults: ClassVar[dict[str, Any]] = {
        "frames": 7, "size": 256, "batch": 4, "lr": 2e-4, "clip": math.inf, "ema": 0.0, "lines": 320, "warmup": 1,
        "photo": 0.0, "perceptual_weight": 1.0,
    }  # fmt: skip

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.perceptual = None
        if s.perceptual_weight:
            self.perceptual = Perceptual(Path(s.perceptual) if s.perceptual else None).to(s.device)
        if s.adversarial_weight:
            self.critic = TemporalPatchGAN(self.channels)
        self.made = self.true = torch.empty(0)

    def fresh(self, network: str) -> nn.Module:
        net = super().fresh(network)
        if net.config.flow == "spynet":
            net.flow.load_state_dict(load_spynet(Path(self.s.flow) if self.s.flow else None).state_dict())
        return net

    def optimizer(self, nets: nn.ModuleDict) -> torch.optim.Optimizer:
        (net,) = nets.values()
        own = [p for name, p in net.named_parameters() if not name.startswith("flow.")]
        groups = [{"params": own}, {"params": net.flow.parameters(), "lr": FLOW_RATE * self.s.lr}]
        return torch.optim.Adam(groups, self.s.lr, betas=(0.9, 0.99))

    def rate(self, progress: float, step: int) -> float:
        """Steady, then falling to 0."""
        return min(1.0, (1 - progress) / (1 - STEADY), (step + 1) / max(1, self.s.warmup))

    def begin_step(self, nets: nn.ModuleDict, progress: float) -> None:
        (net,) = nets.values()
        net.flow.eval().requires_grad_(progress >= FLOW_STILL)  # eval: RAFT's batch norm stays as it is

    def objective(self, made: Tensor, true: Tensor, beside: Tensor | None = None) -> dict[str, Tensor]:
        """L1 and the critic's opinion of clips `[B, T, C, H, W]`; `beside`: planes that only the critic sees too."""
        terms = {"pixel": F.l1_loss(made, true)}
        if self.critic:
            seen, given = (x if beside is None else torch.cat([beside, x], 2) for x in (made, true))
            self.made, self.true = seen.detach(), given
            self.critic.requires_grad_(False)
            with self.autocast():
                terms["adversarial"] = -self.s.adversarial_weight * self.critic(seen).float().mean()
            self.critic.requires_grad_(True)
        return terms

    def critic_loss(self) -> Tensor:
        """Hinge loss."""
        with self.autocast():
            return F.relu(1 - self.critic(self.true).float()).mean() + F.relu(1 + self.critic(self.made).float()).mean()


class RtnRestore(_Rtn, Supplied):
    """Restoration: luma to luma."""

    networks = ("rtn-restorer",)
    ignored = BACKBONE | DECAY | JOINT | REFERENCES | {"learn"}
    measured_by = RestoreValidation
    channels = 1

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.material = Material.load(s, color=False)
        self.ours = Synthesis(s) if s.synthesis == "ours" else None
        self.templates = None if self.ours else damage_templates(s)
        self.batches = Pool(Supply(self.batch, s), s)
        log.info("%d clips, %d photographs", *map(len, self.material))

    def batch(self, generator: torch.Generator) -> Pair:
        """Clips to learn from."""
        clean = self.material.crops(self.s, generator)
        return Pair(*self.ours(clean, generator)[:2]) if self.ours else Pair(self.degrade(clean, generator), clean)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        worn, clean = self.batches(generator)
        with self.autocast():
            made = nets["restorer"].predict(worn)
        terms = self.objective(made, clean)
        if self.perceptual:
            with self.autocast():
                distance = self.perceptual(made.flatten(0, 1), clean.flatten(0, 1))
            terms["perceptual"] = self.s.perceptual_weight * distance
        return terms

    def degrade(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """The degradation model on clips `[B, T, 1, S, S]`."""
        dirt = textures(clean.flatten(0, 1).shape, generator, self.templates, self.s.density, self.s.made_on)
        clips = zip(clean, dirt.view(clean.shape))
        return torch.stack([self.wear(self.soil(clip, texture, generator), generator) for clip, texture in clips])

    def wear(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """Loss of quality, dirt and lines included, in a random order; each kind with its probability."""
        frames = len(clip)

        def noise(x: Tensor) -> Tensor:
            sigma = jitter(between(generator, 5, 50) / 255, frames, generator).to(x)
            grain = sigma * torch.randn(x.shape, generator=generator).to(x)
            return x + (grain * x if rand(generator) < 0.5 else grain)

        def blur(x: Tensor) -> Tensor:
            across = between(generator, 0.4, 2.0)
            down = across if rand(generator) < 0.5 else between(generator, 0.4, 2.0)
            return gauss_blur(x, across, down, between(generator, 0, math.pi))

        def resize(x: Tensor) -> Tensor:
            return soften(x, between(generator, 1, 3), "bilinear" if rand(generator) < 0.5 else "bicubic")

        def compress(x: Tensor) -> Tensor:
            return jpeg(x.clamp(0, 1), jitter(between(generator, 40, 100), frames, generator, 0.02).flatten().clamp(40))

        def tone(x: Tensor) -> Tensor:
            gains = jitter(between(generator, 0.8, 1.2), frames, generator, 0.02).to(x)
            return contrast((gains * x).clamp(0, 1), between(generator, 0.9, 1.0))

        steps = (noise, blur, resize, compress, tone)
        for i in torch.randperm(len(steps), generator=generator).tolist():
            if rand(generator) < 0.6:
                clip = steps[i](clip)
        return clip.clamp(0, 1)

    def soil(self, clip: Tensor, texture: Tensor, generator: torch.Generator) -> Tensor:
        """Blend contaminants in: added, subtracted or multiplied with an opacity of 0.6 to 1; a line in a fifth of
        the clips."""
        opacity = jitter(between(generator, 0.6, 1.0), len(clip), generator, 0.02).to(clip)
        mode = rand(generator)
        if mode < 1 / 3:
            clip = clip + opacity * texture
        elif mode < 2 / 3:
            clip = clip - opacity * texture
        else:
            clip = clip * (1 - opacity * texture)
        if rand(generator) < 0.2:
            line = moving_line(len(clip), *clip.shape[-2:], generator).to(clip)
            clip = clip + line if rand(generator) < 0.5 else clip - line
        return clip.clamp(0, 1)


class RtnColorize(_Rtn):
    """Colour: L and the ab of the first frame, at times of the last, to ab."""

    networks = ("rtn-colorizer",)
    ignored = BACKBONE | DAMAGE | DECAY | JOINT | REFERENCES | SUPPLY | {"learn", "perceptual", "perceptual_weight"}
    measured_by = ColorValidation
    channels = 3
    defaults: ClassVar[dict[str, Any]] = _Rtn.defaults | {"perceptual_weight": 0.0}

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.material = Material.load(s, color=True)
        log.info("%d clips, %d photographs", *map(len, self.material))

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        s = self.s
        rgb = self.material.crops(s, generator)
        light = gray_to_lightness(rgb_to_ycbcr(rgb)[:, :, :1]) / 100
        ab = rgb_to_lab(rgb)[:, :, 1:] / AB
        known = torch.zeros(s.batch, s.frames, 1, 1, 1, device=s.device)
        known[:, 0] = 1
        known[:, -1, 0, 0, 0] = (torch.rand(s.batch, generator=generator) < 0.5).to(known)
        with self.autocast():
            made = nets["colorizer"].predict(light, ab, known)
        return self.objective(made, ab, light)


def jitter(value: float, frames: int, generator: torch.Generator, by: float = 0.05) -> Tensor:
    """A clip's value for each frame, a little different every time: `[T, 1, 1, 1]`."""
    return value * (1 + by * torch.randn(frames, 1, 1, 1, generator=generator))
