"""Makes damaged black-and-white film out of clean luma: dirt, scratches, flicker, weave, grain, wear of copies.

Procedural shapes by default, scanned masks of real damage where a folder is given. Small parameters come from a
Mersenne Twister seeded by the caller's generator (its stream is frozen, so validation damage stays comparable); the
pictures are made with tensor operations on the device of the clean clip.
"""

from export.damage.masks import CATEGORIES, Templates, load_templates
from export.damage.settings import STRUCTURAL, DamageSettings
from export.damage.synthesis import Damaged, damage, damage_batch
from export.damage.validation import ALONE, SETS, VALIDATION, VALIDATION_EDGE, VALIDATION_FRAMES, validation_clip

__all__ = [
    "ALONE",
    "CATEGORIES",
    "SETS",
    "STRUCTURAL",
    "VALIDATION",
    "VALIDATION_EDGE",
    "VALIDATION_FRAMES",
    "DamageSettings",
    "Damaged",
    "Templates",
    "damage",
    "damage_batch",
    "load_templates",
    "validation_clip",
]
