"""The VapourSynth filters."""

from __future__ import annotations

from .definitions import colorize, merge_lab, restore

__all__ = ["colorize", "merge_lab", "restore"]
