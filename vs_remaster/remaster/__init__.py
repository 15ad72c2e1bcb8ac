"""Restoring and colouring clips in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy import face

if TYPE_CHECKING:
    from .colorizer import Colored, Colorizer
    from .lost_frames import check_within, parse_lost
    from .merging import merge_lab
    from .options import AUTOMATIC, ColorizeOptions, Levels, PrepareOptions, RestoreOptions
    from .picture import Picture
    from .pipeline import RemasterPipeline
    from .preparing import margins
    from .restorer import Restored, Restorer
    from .scenes import CutDetector, Scenes

__all__ = [
    "AUTOMATIC",
    "Colored",
    "ColorizeOptions",
    "Colorizer",
    "CutDetector",
    "Levels",
    "Picture",
    "PrepareOptions",
    "RemasterPipeline",
    "RestoreOptions",
    "Restored",
    "Restorer",
    "Scenes",
    "check_within",
    "margins",
    "merge_lab",
    "parse_lost",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "colorizer": "Colored Colorizer",
        "lost_frames": "check_within parse_lost",
        "merging": "merge_lab",
        "options": "AUTOMATIC ColorizeOptions Levels PrepareOptions RestoreOptions",
        "picture": "Picture",
        "pipeline": "RemasterPipeline",
        "preparing": "margins",
        "restorer": "Restored Restorer",
        "scenes": "CutDetector Scenes",
    },
)
