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

from export.scores.perceptual import Perceptual
from export.training.networks import network_in
from vs_remaster.color.matrices import gray_to_lightness, rgb_to_lab, rgb_to_ycbcr
from vs_remaster.models.network import Network
from vs_remaster.models.papers.flow import load_spynet
from vs_remaster.models.papers.rtn import AB, RtnColorizer, RtnRestorer

from .material import Material, damage_templates
from .ours import Synthesis
from .recipe import BACKBONE, DAMAGE, DECAY, JOINT, REFERENCES, SHARPEN, SUPPLY, WORN, Recipe, Settings
from .rtn_damage import RtnDamage
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

    def fresh(self, network: str) -> Network:
        net = super().fresh(network)
        assert isinstance(net, RtnRestorer | RtnColorizer)
        if net.config.flow == "spynet":
            net.flow.load_state_dict(load_spynet(Path(self.s.flow) if self.s.flow else None).state_dict())
        return net

    def optimizer(self, nets: nn.ModuleDict) -> torch.optim.Optimizer:
        net = _network(nets)
        own = [p for name, p in net.named_parameters() if not name.startswith("flow.")]
        groups = [{"params": own}, {"params": net.flow.parameters(), "lr": FLOW_RATE * self.s.lr}]
        return torch.optim.Adam(groups, self.s.lr, betas=(0.9, 0.99))

    def rate(self, progress: float, step: int) -> float:
        """Steady, then falling to 0."""
        return min(1.0, (1 - progress) / (1 - STEADY), (step + 1) / max(1, self.s.warmup))

    def begin_step(self, nets: nn.ModuleDict, progress: float) -> None:
        net = _network(nets)
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
        assert self.critic is not None  # the settings say that there is one
        with self.autocast():
            return F.relu(1 - self.critic(self.true).float()).mean() + F.relu(1 + self.critic(self.made).float()).mean()


def _network(nets: nn.ModuleDict) -> RtnRestorer | RtnColorizer:
    (net,) = nets.values()
    assert isinstance(net, RtnRestorer | RtnColorizer)
    return net


class RtnRestore(_Rtn, Supplied):
    """Restoration: luma to luma."""

    networks = ("rtn-restorer",)
    ignored = SHARPEN | BACKBONE | DECAY | JOINT | REFERENCES | WORN | {"learn"}
    measured_by = RestoreValidation
    channels = 1

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.material = Material.load(s, color=False)
        self.damage: Synthesis | RtnDamage
        if s.synthesis == "ours":
            self.damage = Synthesis(s)
        else:
            self.damage = RtnDamage(damage_templates(s), s.density, s.made_on)
        self.batches = Pool(Supply(self.batch, s), s)
        log.info("%d clips, %d photographs", *map(len, self.material))

    def batch(self, generator: torch.Generator) -> Pair:
        """Clips to learn from."""
        clean = self.material.crops(self.s, generator)
        return Pair(*self.damage(clean, generator)[:2])

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        worn, clean = self.batches(generator)
        with self.autocast():
            made = network_in(nets, RtnRestorer).predict(worn)
        terms = self.objective(made, clean)
        if self.perceptual:
            with self.autocast():
                distance = self.perceptual(made.flatten(0, 1), clean.flatten(0, 1))
            terms["perceptual"] = self.s.perceptual_weight * distance
        return terms


class RtnColorize(_Rtn):
    """Colour: L and the ab of the first frame, at times of the last, to ab."""

    networks = ("rtn-colorizer",)
    ignored = (
        SHARPEN | BACKBONE | DAMAGE | DECAY | JOINT | REFERENCES | SUPPLY | {"learn", "perceptual", "perceptual_weight"}
    )
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
            made = network_in(nets, RtnColorizer).predict(light, ab, known)
        return self.objective(made, ab, light)
