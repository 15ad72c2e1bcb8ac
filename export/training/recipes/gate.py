"""The restorer's part for hairs in the gate alone: clips of many frames in the time of a few for the whole network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.damage import Damaged
from export.material.scenery import add_lines, stand_still
from export.training.losses import dice
from export.training.networks import network_in
from vs_remaster.models.gate import Gate
from vs_remaster.models.layers import fold, nearby_mean
from vs_remaster.models.restorer import RestorerNet

from .ours import Restore
from .recipe import BACKBONE, CRITICS, FLOW, JOINT, REFERENCES, SHARPEN, WORN, Settings

LOOKED_AT = 4  # frames of each clip that are learnt from
STAYS = 0.4  # share of the frames round it in which there is dirt, where it stays


class GateRecipe(Restore):
    """Finds the dirt that stays where it is; the rest of the network stays as it is."""

    defaults: ClassVar[dict[str, Any]] = {
        "batch": 12, "frames": 41, "size": 128, "density": 1.0, "scene_lines": 0.0, "learn": "gate"
    }  # fmt: skip
    ignored = SHARPEN | BACKBONE | CRITICS | FLOW | JOINT | REFERENCES | WORN

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        # No scratches: upright lines of a scene that weaves look like them, and the U-Net finds scratches by itself.
        often = self.damage.settings.chance | {"gate_hairs": 0.75, "splice": 0.02, "scratches": 0.0}
        self.damage.settings = replace(self.damage.settings, gate_hairs=(2.0, 16.0), chance=often)

    def batch(self, generator: torch.Generator) -> Damaged:
        """Clips to learn from. Lines are drawn first: they belong to what stays, and are hidden by what passes."""
        scenes = add_lines(self.material.crops(self.s, generator), generator)
        return self.damage(stand_still(scenes, generator), generator)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        frames, _, mask = self.batches(generator)
        kept = torch.randperm(frames.shape[1], generator=generator)[:LOOKED_AT].to(frames.device)
        due = fold(mask[:, kept] * (nearby_mean(mask, Gate.radius, kept) > STAYS))
        gate = network_in(nets, RestorerNet).gate
        assert gate is not None  # it is what learns
        with self.autocast():
            found = gate(frames, kept)
        return {
            "mask": F.binary_cross_entropy_with_logits(found, due, pos_weight=due.new_tensor(1.5)),
            "overlap": 0.1 * dice(torch.sigmoid(found), due),
        }
