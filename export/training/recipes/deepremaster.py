"""DeepRemaster's recipe (Iizuka & Simo-Serra, SIGGRAPH Asia 2019, section 4): the augmentations of table 3, dirt added
to and taken off each frame by itself, L1 on L and on ab, ADADELTA; each network by itself, then both.

The paper gives "gamma = 1e-4" beside the batch size. It is read as the value that the attentions' gammas begin with:
there they must not be 0 for the attention to learn in joint training, while as the loss weight beta, which has no value
in the paper, 1e-4 would leave colour untrained. beta is the setting `color_weight`.
"""

from __future__ import annotations

import logging
import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.material.chance import between, integer, rand
from export.training.networks import network_in
from vs_remaster.color.matrices import gray_to_lightness, pack_lab, rgb_to_lab, rgb_to_ycbcr
from vs_remaster.errors import InputError
from vs_remaster.models.network import Network
from vs_remaster.models.papers.deepremaster import DeepColorizer, DeepMemory, DeepRestorer

from .degrade import contrast, fractal_noise, jpeg, soften, textures, view
from .material import Material, damage_templates
from .ours import Synthesis
from .recipe import BACKBONE, CRITICS, DAMAGE, DECAY, FLOW, JOINT, REFERENCES, SHARPEN, SUPPLY, WORN, Recipe, Settings
from .supply import Pair, Pool, Supplied, Supply
from .validation import ColorValidation, JointValidation, RestoreValidation

log = logging.getLogger("train")

EDGE = (256, 400)  # short edge of the frames which crops of 256 are cut from
REFERENCE_EDGE = (256, 320)
GAMMA = 1e-4
NEAR = 5  # frames: one reference is as near as this


# The view of a clip is its own, and the rate too.
_IGNORED = BACKBONE | CRITICS | DECAY | FLOW | {"learn", "photo", "warmup", "zoom", "stride", "approach"}


class _Deep(Recipe):
    """What its three tasks share."""

    defaults: ClassVar[dict[str, Any]] = {
        "frames": 5, "size": 256, "batch": 20, "references": 6, "lr": 1.0, "clip": math.inf, "ema": 0.0, "photo": 0.0,
        "lines": 320,
    }  # fmt: skip

    def __init__(self, s: Settings, color: bool) -> None:
        super().__init__(s)
        material = Material.load(s, color)
        clips = [clip for clip in material.clips if len(clip.frames) >= s.frames]
        if not clips:
            raise InputError(f"no clip in {s.data}/video/train has {s.frames} frames; give longer clips")
        self.material = material._replace(clips=clips)
        self.ours = Synthesis(s, steady=color) if s.synthesis == "ours" else None
        self.templates = None if self.ours else damage_templates(s)
        log.info("%d clips", len(self.material.clips))

    def fresh(self, network: str) -> Network:
        net = super().fresh(network)
        for name, value in net.named_parameters():
            if name.endswith("gamma"):
                nn.init.constant_(value, GAMMA)
        return net

    def optimizer(self, nets: nn.ModuleDict) -> torch.optim.Optimizer:
        return torch.optim.Adadelta(nets.parameters(), self.s.lr)

    def rate(self, progress: float, step: int) -> float:
        """Constant: ADADELTA finds its own."""
        return 1.0

    def clips(self, generator: torch.Generator) -> tuple[Tensor, list[tuple[Tensor, int]]]:
        """The batch `y` `[B, T, C, S, S]`, and which clip and frame each comes from."""
        s, frames, origins = self.s, [], []
        for _ in range(s.batch):
            clip = self.material.clips[integer(generator, len(self.material.clips))].frames
            first = integer(generator, len(clip) - s.frames + 1)
            part = clip[first : first + s.frames]
            made = view(part if part.ndim == 4 else part[:, None], s.size, generator, EDGE, turn=5)
            if rand(generator) < 0.2:
                made = (made * between(generator, 0.8, 1.2)).clamp(0, 1)
            if rand(generator) < 0.2:
                made = contrast(made, between(generator, 0.9, 1.0))
            frames.append(made)
            origins.append((clip, first))
        return torch.stack(frames), origins

    def deteriorate(self, gray: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`gray` `[B, T, 1, S, S]`, Y' 0..1: what the network gets, and what it shall make of it."""
        if self.ours:
            return self.ours(gray, generator)[:2]
        return torch.stack([self.worn(clip, generator) for clip in gray]), gray

    def worn(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """Table 3 on x, and the example-based deterioration, on a clip `[T, 1, S, S]`."""
        x = clip
        if rand(generator) < 0.5:
            x = soften(x, between(generator, 2, 4))
        if rand(generator) < 0.33:
            x = contrast(x, between(generator, 0.6, 1.0))
        for make in (self.dirt, fractal_noise):
            noise = make(x.shape, generator, x.device)
            sign = torch.randint(0, 2, (len(x), 1, 1, 1), generator=generator).to(x) * 2 - 1
            strength = 0.5 + torch.rand(len(x), 1, 1, 1, generator=generator).to(x)
            amount = 1.0 if make == self.dirt else 0.1 * rand(generator)
            x = x + amount * sign * strength * noise
        if rand(generator) < 0.1:
            x = x + 0.04 * torch.randn(x.shape, generator=generator).to(x)
        x = x.clamp(0, 1)
        if rand(generator) < 0.9:
            x = jpeg(x, between(generator, 15, 40) * torch.ones(len(x)))
        return x

    def dirt(self, shape: torch.Size, generator: torch.Generator, device: torch.device) -> Tensor:
        return textures(shape, generator, self.templates, self.s.density, str(device))

    def pictures(self, origin: tuple[Tensor, int], generator: torch.Generator) -> list[Tensor]:
        """0 to `references` pictures `[3, S, S]`: one from within 5 frames of the clip, the others from anywhere."""
        clip, first = origin
        count = integer(generator, self.s.references + 1)
        sources = []
        for k in range(count):
            source = clip if k == 0 else self.material.clips[integer(generator, len(self.material.clips))].frames
            low, high = (first - NEAR, first + self.s.frames + NEAR) if k == 0 else (0, len(source))
            low, high = max(0, low), min(len(source), high)
            at = low + integer(generator, high - low)
            picture = view(source[at : at + 1], self.s.size, generator, REFERENCE_EDGE)
            if rand(generator) < 0.1:
                gray = picture.mean(1, keepdim=True)
                picture = gray + between(generator, 0.3, 1.0) * (picture - gray)
            if rand(generator) < 0.1:
                picture = (picture + 0.04 * torch.randn(picture.shape, generator=generator).to(picture)).clamp(0, 1)
            if rand(generator) < 0.9:
                picture = jpeg(picture, torch.tensor([between(generator, 15, 40)]))
            sources.append(picture[0])
        return sources

    def references(self, net: DeepColorizer, origins: list, generator: torch.Generator) -> list[DeepMemory]:
        """The batch's references, encoded all at once so that batch norm sees more than one picture."""
        sets = [self.pictures(origin, generator) for origin in origins]
        owners = [(i, len(pictures)) for pictures in sets for i in range(len(pictures))]
        if not owners:
            return [net.encode_all([])] * len(sets)
        each = iter(net.encode_each(torch.stack([x for pictures in sets for x in pictures]), owners))
        memories = []
        for pictures in sets:
            parts = [next(each) for _ in pictures]
            memories.append(DeepMemory(*map(torch.cat, zip(*parts))) if parts else net.encode_all([]))
        return memories


class DeepRestore(_Deep, Supplied):
    """The pre-processing network: L1 on L."""

    networks = ("deepremaster-restorer",)
    ignored = SHARPEN | _IGNORED | JOINT | REFERENCES | WORN
    measured_by = RestoreValidation

    def __init__(self, s: Settings) -> None:
        super().__init__(s, color=False)
        self.batches = Pool(Supply(self.batch, s), s)

    def batch(self, generator: torch.Generator) -> Pair:
        """Clips to learn from."""
        return Pair(*self.deteriorate(self.clips(generator)[0], generator))

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        x, y = (gray_to_lightness(v) / 100 for v in self.batches(generator))
        with self.autocast():
            out = network_in(nets, DeepRestorer).predict(x)
        return {"L": F.l1_loss(out, y)}


def lightness(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """The gray film of colours `[..., 3, H, W]`: its Y' and its L, both 0..1. Film knows no other L than its gray's."""
    gray = rgb_to_ycbcr(rgb)[..., :1, :, :]
    return gray, gray_to_lightness(gray) / 100


class DeepColorize(_Deep):
    """The source-reference network on undamaged L: L1 on ab."""

    networks = ("deepremaster-colorizer",)
    ignored = SHARPEN | _IGNORED | DAMAGE | JOINT | SUPPLY
    measured_by = ColorValidation

    def __init__(self, s: Settings) -> None:
        super().__init__(s, color=True)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        rgb, origins = self.clips(generator)
        net = network_in(nets, DeepColorizer)
        with self.autocast():
            out = net.predict(lightness(rgb)[1], self.references(net, origins, generator))
        return {"ab": F.l1_loss(out, pack_lab(rgb_to_lab(rgb))[:, :, 1:])}


class DeepJoint(_Deep):
    """Both networks end to end (equation 3)."""

    networks = ("deepremaster-restorer", "deepremaster-colorizer")
    ignored = SHARPEN | _IGNORED | SUPPLY | WORN
    measured_by = JointValidation

    def __init__(self, s: Settings) -> None:
        super().__init__(s, color=True)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        rgb, origins = self.clips(generator)
        x, y = (gray_to_lightness(v) / 100 for v in self.deteriorate(lightness(rgb)[0], generator))
        net = network_in(nets, DeepColorizer)
        with self.autocast():
            light = network_in(nets, DeepRestorer).predict(x)
            out = net.predict(light, self.references(net, origins, generator))
        ab = F.l1_loss(out, pack_lab(rgb_to_lab(rgb))[:, :, 1:])
        return {"L": F.l1_loss(light, y), "ab": self.s.color_weight * ab}
