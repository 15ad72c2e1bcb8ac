"""The numbers and choices that nodes offer: defaults are the library's own, limits are what it accepts."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .library import engines, errors, filming, remaster, stills, writing

_RESTORE, _COLORIZE, _OUTPUT = remaster.RestoreOptions(), remaster.ColorizeOptions(), filming.OutputOptions()
_PREPARE = remaster.PrepareOptions()


def _default(function: Callable, name: str) -> Any:
    return inspect.signature(function).parameters[name].default


MOST_FRAME = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number that can be set on a node; whole numbers where the default is one.

    Attributes:
        default: see above.
        low: smallest value.
        high: largest value.
        step: of the arrows beside it.
        tooltip: what it does.
    """

    default: float
    low: float
    high: float
    step: float
    tooltip: str


STRENGTH = Number(
    default=_RESTORE.strength,
    low=0.0,
    high=1.0,
    step=0.05,
    tooltip="How much of the restoration is applied: 0 leaves the pictures untouched, 1 is all of it.",
)
GRAIN = Number(
    default=_RESTORE.grain,
    low=0.0,
    high=1.0,
    step=0.05,
    tooltip="How much of the film's own grain is put back after cleaning.",
)
SHARPNESS = Number(
    default=_RESTORE.sharpness,
    low=0.0,
    high=1.0,
    step=0.05,
    tooltip="How much of what blur and a soft copy took is given back: 0 is none, 1 is all of it.",
)
SCALE = Number(
    default=_RESTORE.scale,
    low=1,
    high=2,
    step=1,
    tooltip="2: the pictures become twice as wide and high. 1: they keep their size.",
)
STEADY = Number(
    default=_PREPARE.steady,
    low=0.0,
    high=1.0,
    step=0.05,
    tooltip="How much of the weave of the film in the gate is taken out; the camera's own motion stays. 0: none.",
)
EDGES = ("fill", "crop")
LINES = Number(
    default=_RESTORE.lines,
    low=0,
    high=8192,
    step=2,
    tooltip="Height in lines at which the network sees the picture, whatever the size of the result. 0: the source's, "
    "at most 1152. Otherwise 64 or more.",
)
TILE = Number(
    default=_RESTORE.tile,
    low=0,
    high=8192,
    step=32,
    tooltip="Largest side in pixels of the pieces a frame is cut into to save memory. 0: whole frames up to 1.3 "
    "million pixels, above that pieces of 1088. Otherwise 384 or more; smaller pieces need less memory, more time.",
)
START = Number(
    default=0,
    low=0,
    high=MOST_FRAME,
    step=1,
    tooltip="First frame that is done, counted from 0: to try settings on a piece of a film.",
)
END = Number(
    default=0,
    low=0,
    high=MOST_FRAME,
    step=1,
    tooltip="First frame that is not done any more. 0: to the end of the film.",
)
SATURATION = Number(
    default=_COLORIZE.saturation,
    low=0.0,
    high=4.0,
    step=0.05,
    tooltip="1: colours as predicted; 0: gray; above 1: stronger.",
)
COLOR_LINES = Number(
    default=_COLORIZE.lines,
    low=64,
    high=2160,
    step=16,
    tooltip="Height in lines at which colour is computed, whatever the size of the pictures; its edges then follow the "
    "full picture. More is slower and needs more memory; the network was trained near the default.",
)
WEIGHT = Number(
    default=_default(remaster.merge_lab, "weight"),
    low=0.0,
    high=1.0,
    step=0.05,
    tooltip="1 takes the colours of `chroma`, 0 keeps those that `luma` has; between them they are mixed.",
)
COUNT = Number(
    default=_default(stills.choose, "count"),
    low=0,
    high=1000,
    step=1,
    tooltip="How many frames to pick. 0: one of each shot. Fewer than there are shots: one of each of the longest; "
    "more: several of the longer ones.",
)
ALIGNED = Number(default=0, low=0, high=1000, step=1, tooltip="How many pictures at most. 0: one or two of each shot.")
SHOWN = Number(default=4, low=1, high=64, step=1, tooltip="How many frames are shown.")
COVERAGE = Number(
    default=_default(stills.cover, "coverage"),
    low=0.0,
    high=1.0,
    step=0.05,
    tooltip="Above 0: picks as many frames as it takes to cover the film so well, scenes that come back once; count is "
    "then the most, 0 for no limit. 1 would be every frame itself. The colorizer in model compares them.",
)
AUTOMATIC = -1.0
"""The crf that stands for the library's default, None."""
CRF = Number(
    default=AUTOMATIC if _OUTPUT.crf is None else _OUTPUT.crf,
    low=AUTOMATIC,
    high=51.0,
    step=0.5,
    tooltip="Quality of x264 and x265, lower is better and larger. -1: automatic, "
    + ", ".join(f"{crf:g} for {codec}" for codec, crf in writing.DEFAULT_CRF.items())
    + ". The other codecs ignore it.",
)

NOT_SAVED = ("prores", "prores4444")
"""Codecs that ComfyUI's own Save Video cannot copy into a file."""
UNFINISHED = ("keep", "remove")
"""What becomes of jobs under the same name that a run does not go on with."""
DEVICES = ("auto", "cpu")
PRECISIONS = ("auto", *engines.PRECISIONS)
SCENES: dict[str, Literal["auto", "none"]] = {"detect": "auto", "none": "none"}
"""What nodes call it as the filters do, and what the library is told."""
SCENES_DEFAULT = next(name for name, told in SCENES.items() if told == _default(remaster.RemasterPipeline, "scenes"))
CODEC = _OUTPUT.codec
# Nodes give back a VIDEO, which is no folder, and are used with pictures of any size.
CODECS = tuple(name for name, row in writing.TABLE.items() if not row.is_folder and row.smallest == (1, 1))
SUFFIXES = {codec: writing.TABLE[codec].suffixes[0] for codec in CODECS}
"""What a codec is written into: .mp4 wherever it can be, for that is what the page plays."""


def crf_of(value: float) -> float | None:
    """The library's crf of what the node says: None for anything below 0."""
    return None if value < 0 else value


def prepared(bad_frames: str, steady: float, edges: Any) -> remaster.PrepareOptions:
    """What a node says of lost frames and weave.

    Raises:
        InputError: numbers that cannot be read, or edges cut off where nothing is steadied.
    """
    if edges == "crop" and not steady:
        raise errors.InputError(
            "crop cuts the edges of a steadied film off, and steady is 0: set it to 1, or take fill"
        )
    lost = remaster.parse_lost(bad_frames) if bad_frames.strip() else ()
    return remaster.PrepareOptions(bad_frames=lost, steady=steady, steady_edges=edges)
