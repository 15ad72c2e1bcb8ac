"""Restoring and colouring clips in memory."""

from __future__ import annotations

from .colorizer import Colored, Colorizer
from .merging import merge_lab
from .options import AUTOMATIC, ColorizeOptions, RestoreOptions
from .pipeline import Picture, RemasterPipeline
from .restorer import Restored, Restorer
from .scenes import CutDetector

__all__ = [
    "AUTOMATIC",
    "Colored",
    "ColorizeOptions",
    "Colorizer",
    "CutDetector",
    "Picture",
    "RemasterPipeline",
    "RestoreOptions",
    "Restored",
    "Restorer",
    "merge_lab",
]
