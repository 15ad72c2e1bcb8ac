"""Remasters old black-and-white film: restores it and colours it from reference frames.

The public names are loaded when they are first used, so that importing the package costs nothing and touches nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .errors import InputError, RemasterError, UnsupportedError
    from .filters.definitions import colorize, merge_lab, restore, steady
    from .output.writer import VideoWriter
    from .references.reference import Reference, load_references
    from .remaster.colorizer import Colored, Colorizer
    from .remaster.options import ColorizeOptions, PrepareOptions, RestoreOptions
    from .remaster.restorer import Restored, Restorer
    from .video.info import VideoInfo
    from .video.reader import VideoReader

_MODULE_OF = {
    "Colored": "remaster",
    "ColorizeOptions": "remaster",
    "Colorizer": "remaster",
    "InputError": "errors",
    "PrepareOptions": "remaster",
    "Reference": "references",
    "RemasterError": "errors",
    "RestoreOptions": "remaster",
    "Restored": "remaster",
    "Restorer": "remaster",
    "UnsupportedError": "errors",
    "VideoInfo": "video",
    "VideoReader": "video",
    "VideoWriter": "output",
    "colorize": "filters",
    "load_references": "references",
    "merge_lab": "filters",
    "restore": "filters",
    "steady": "filters",
}

__all__ = [
    "Colored",
    "ColorizeOptions",
    "Colorizer",
    "InputError",
    "PrepareOptions",
    "Reference",
    "RemasterError",
    "RestoreOptions",
    "Restored",
    "Restorer",
    "UnsupportedError",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "__version__",
    "colorize",
    "load_references",
    "merge_lab",
    "restore",
    "steady",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value  # the next use does not come through here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
