"""The frozen damage that networks are validated on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

from export.damage.masks import Templates
from export.damage.settings import DamageSettings
from export.damage.synthesis import Damaged, damage

# Frozen, and spelt out so that new training defaults leave it alone: figures measured with other numbers here (or
# other ranges in sprites.py) cannot be compared.
VALIDATION = DamageSettings(
    clean=0.0,
    sound=0.0,
    template=0.7,
    density=1.3,
    severity=1.2,
    dust=(20.0, 60.0),
    streaks=(2.0, 12.0),
    blotches=(1.0, 3.0),
    clusters=(0.2, 0.9),
    hairs=(0.4, 1.5),
    gate_hairs=(0.5, 2.0),
    scratches=(2.0, 6.0),
    splice=0.0,
    flicker=(0.06, 0.1),
    gamma=(0.0, 0.1),
    uneven=(0.015, 0.04),
    fade_gain=(0.86, 1.04),
    fade_lift=(0.0, 0.06),
    vignette=(0.0, 0.25),
    grain=(0.02, 0.052),
    grain_size=(0.5, 1.25),
    weave=(0.3, 3.0),
    repeat=0.05,
    blur=(0.3, 1.1),
    halo=(0.1, 0.45),
    blocks=(0.015, 0.09),
    compressed=0.0,
    chance={
        "dust": 1.0, "streaks": 0.8, "blotches": 1.0, "clusters": 0.5, "hairs": 0.8, "gate_hairs": 0.3,
        "scratches": 0.9, "splice": 0.0, "flicker": 1.0, "uneven": 0.8, "fade": 0.6, "vignette": 0.4,
        "grain": 1.0, "weave": 0.6, "repeat": 0.1, "blur": 0.5, "halo": 0.3, "blocks": 0.2,
    },
)  # fmt: skip
VALIDATION_EDGE = 272  # short edge of the clean validation clips: at least 1.3 times smaller than every source
VALIDATION_FRAMES = 48


def validation_clip(
    name: str, clean: torch.Tensor, templates: Templates | None, steady: bool = False, only: Sequence[str] = ()
) -> Damaged:
    """The frozen validation damage of one clip: the same on every machine and in every run.

    Args:
        name: the clip's name (file name without its ending): it alone chooses the damage.
        clean: luma [T, 1, H, W], 0..1, whole frames; moved to the CPU in float32. At most `VALIDATION_FRAMES` frames
            for figures that can be compared.
        templates: the masks of `damage/val`, on the CPU.
        steady: no weave and no repeated frames (`DamageSettings.steady`).
        only: kinds of damage in place of all of them (`DamageSettings.only`).
    """
    settings = VALIDATION.only(*only) if only else VALIDATION
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    generator = torch.Generator().manual_seed(seed)
    clean = clean.detach().float().cpu()
    frames = len(clean)
    # always made for the same length, so that fewer frames get the same damage as the first of many
    padded = torch.cat([clean, clean[-1:].expand(max(0, VALIDATION_FRAMES - frames), -1, -1, -1)])
    made = damage(padded, generator, settings.steady() if steady else settings, templates)
    return Damaged(*(part[:frames] for part in made))
