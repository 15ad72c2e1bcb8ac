"""Where references come from: frames that are picked, coloured copies that are aligned, contact sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy import face

if TYPE_CHECKING:
    from .carrying import carried_references, carry_in_clip, carry_references
    from .copies import align_references, film_references
    from .coverage import cover, describe, sharpest
    from .focus import choose, survey_sharpness
    from .painting import color_references, painted_references
    from .picking import pick_references
    from .shares import show_shares

__all__ = [
    "align_references",
    "carried_references",
    "carry_in_clip",
    "carry_references",
    "choose",
    "color_references",
    "cover",
    "describe",
    "film_references",
    "painted_references",
    "pick_references",
    "sharpest",
    "show_shares",
    "survey_sharpness",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "carrying": "carried_references carry_in_clip carry_references",
        "copies": "align_references film_references",
        "coverage": "cover describe sharpest",
        "focus": "choose survey_sharpness",
        "painting": "color_references painted_references",
        "picking": "pick_references",
        "shares": "show_shares",
    },
)
