"""The set `frozen`: our own synthesis, as strong as on a worn print."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from export.damage.kinds import BLOB, CURVE, MASK, Kind
from export.damage.masks import Templates
from export.damage.settings import DamageSettings
from export.damage.synthesis import Damaged, damage

# Frozen, and spelt out so that new training defaults leave it alone: figures measured with other numbers here cannot be
# compared.
VALIDATION = DamageSettings(
    clean=0.0,
    sound=0.0,
    template=0.7,
    density=1.3,
    severity=1.2,
    kinds={
        "dust": Kind((2.0, 11.0), (1, 1), (0.45, 1.0), (0.35, 0.9), BLOB, ("dots", "smut"), (1.0, 2.2)),
        "streaks": Kind((6.0, 60.0), (1, 2), (0.3, 0.9), (0.3, 0.6), BLOB, (), (8.0, 30.0), upright=True),
        "blotches": Kind((20, 150), (3, 15), (0.12, 0.9), (0.6, 6), BLOB, ("smut", "stain", "dots"), (1.0, 1.8),
                          lasting=0.06),
        "clusters": Kind((70, 220), (1, 1), (0.3, 0.9), (1, 1), MASK, ("dirt", "spots", "sprinkles", "scratches")),
        "hairs": Kind((12, 130), (1, 2), (0.4, 0.95), (0.5, 1.0), CURVE, ("hair", "hair-short", "lint")),
        "gate_hairs": Kind((30, 140), (20, 200), (0.5, 0.98), (0.6, 1.2), CURVE, ("hair", "hair-short", "lint"),
                            lasting=1.0, edge=True),
    },
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


def frozen(
    seed: int, clean: torch.Tensor, templates: Templates | None, steady: bool = False, only: Sequence[str] = ()
) -> Damaged:
    """Damage luma [T, 1, H, W]; `steady` and `only`: see `DamageSettings`.

    The damage of a frame depends on how many there are: give as many, and cut afterwards.
    """
    settings = VALIDATION.only(*only) if only else VALIDATION
    generator = torch.Generator().manual_seed(seed)
    return damage(clean, generator, settings.steady() if steady else settings, templates)
