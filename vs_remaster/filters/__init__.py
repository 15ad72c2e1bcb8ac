"""The VapourSynth filters."""

from __future__ import annotations

try:
    import vapoursynth  # noqa: F401
except ImportError as error:
    raise ImportError(
        "restore, steady, colorize and merge_lab are VapourSynth filters, and VapourSynth is not installed: "
        "pip install 'vs-remaster[vapoursynth]'; on tensors use vs_remaster.remaster"
    ) from error

from .definitions import colorize, merge_lab, restore, steady

__all__ = ["colorize", "merge_lab", "restore", "steady"]
