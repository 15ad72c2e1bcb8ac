"""Where references come from: frames that are picked, coloured copies that are aligned, contact sheets."""

from __future__ import annotations

from .copies import align_references, film_references
from .coverage import cover, describe, sharpest
from .focus import choose, survey_sharpness
from .picking import pick_references
from .shares import show_shares

__all__ = [
    "align_references",
    "choose",
    "cover",
    "describe",
    "film_references",
    "pick_references",
    "sharpest",
    "show_shares",
    "survey_sharpness",
]
