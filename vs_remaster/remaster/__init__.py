"""Restoring and colouring clips in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy import face

if TYPE_CHECKING:
    from .colorizer import Colored, Colorizer
    from .merging import merge_lab
    from .options import AUTOMATIC, ColorizeOptions, Levels, PrepareOptions, RestoreOptions
    from .picture import Picture
    from .pipeline import RemasterPipeline
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
    "merge_lab",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "colorizer": "Colored Colorizer",
        "merging": "merge_lab",
        "options": "AUTOMATIC ColorizeOptions Levels PrepareOptions RestoreOptions",
        "picture": "Picture",
        "pipeline": "RemasterPipeline",
        "restorer": "Restored Restorer",
        "scenes": "CutDetector Scenes",
    },
)
