"""The restorer's tone parts alone, on small pictures: many and long clips in the time of one for the whole network."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.damage import Damaged, DamageSettings, damage_batch
from export.training.losses import charbonnier, temporal
from export.training.networks import network_in
from vs_remaster.errors import InputError
from vs_remaster.models.layers import fold, unfold
from vs_remaster.models.restorer import RestorerNet, apply_tone, thumbnails

from .material import Material
from .recipe import BACKBONE, CRITICS, DAMAGE, FLOW, JOINT, REFERENCES, SHARPEN, Settings
from .supply import Pool, Supplied, Supply
from .validation import RestoreValidation

log = logging.getLogger("train")

# What the thumbnails of damaged film show: the grain is what their averages leave of it, of dirt only the large.
SMALL = DamageSettings(
    clean=0.25,
    sound=0.0,
    grain=(0.001, 0.02),
    grain_size=(0.2, 0.8),
    chance=dict.fromkeys(DamageSettings().chance, 0.0)
    | {"flicker": 0.75, "uneven": 0.6, "fade": 0.5, "vignette": 0.35, "grain": 0.9, "weave": 0.4, "repeat": 0.15}
    | {"blotches": 0.4, "splice": 0.1},
)
PARTS = ("tone", "far")
CELLS = (9, 12)  # lines x columns in which errors of tone are seen


class Flicker(Supplied):
    """Small clips whose brightness wavers in, steady ones out; the rest of the network stays as it is."""

    networks = ("restorer",)
    grows = True
    defaults: ClassVar[dict[str, Any]] = {
        "batch": 24, "frames": 49, "size": 64, "lines": 96, "photo": 0.1, "learn": ",".join(PARTS)
    }  # fmt: skip
    ignored = SHARPEN | BACKBONE | CRITICS | DAMAGE | FLOW | JOINT | REFERENCES
    measured_by = RestoreValidation

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        if others := sorted({part for part in s.learn.split(",") if part} - set(PARTS)):
            raise InputError(f"the recipe flicker teaches {' and '.join(PARTS)}, not {others[0]}; use the recipe ours")
        self.material = Material.load(s, color=False)
        self.batches = Pool(Supply(self.batch, s), s)
        log.info("%d clips, %d photographs", len(self.material.clips), len(self.material.photos))

    def batch(self, generator: torch.Generator) -> Damaged:
        """Clips to learn from: each is damaged as a whole frame of so few lines."""
        clean = self.material.crops(self.s, generator)
        return damage_batch(clean, generator, SMALL, lines=self.s.size)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        """How far what comes out is from the target, and how much that changes in time. What is the same in all frames
        of a faded clip nobody can know: a guess is left to the first part, the second one may not make another."""
        frames, target, _ = self.batches(generator)
        small, truth = thumbnails(frames), thumbnails(target)
        errors = []
        for tone in network_in(nets, RestorerNet).tones:
            small = unfold(apply_tone(fold(small), *tone(small)), len(small))
            errors.append(unfold(F.adaptive_avg_pool2d(fold(small - truth), CELLS), len(small)))
        same = errors[0].mean(1, keepdim=True)
        steady = errors[-1] - same.detach()
        return {
            "light": charbonnier(same).mean(),
            "steady": 3 * charbonnier(steady).mean(),
            "temporal": 0.5 * temporal(steady),
        }
