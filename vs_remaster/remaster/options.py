"""How to restore and how to colour: what users set, checked when it is made."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypedDict, get_args

from ..color.hues import HueGain
from ..errors import InputError

if TYPE_CHECKING:
    from ..color.look import Lut

AUTOMATIC = "automatic"
"""The shipped colorizer that takes no references."""
TILE_OVERLAP = 96
"""Pixels that tiles share at each side; a multiple of 16, as the network decides in cells of 32. With 64 a pixel in
100,000 differs by over 1/255."""

_WHOLE = 1_300_000  # pixels; larger pictures are cut into tiles of `_TILE`, so that a window takes under 2 GB
CARRY_REACH = 48
"""Frames each way to which colour is carried from a reference, see `stills.carry_references`,"""
CARRY_WEIGHT = 0.1
"""and what those pictures weigh. With 1 their errors add up."""
CARRY_WHOLE_WEIGHT = 0.01
"""The same where an engine cannot tell which of their places are wanted: with 0.05 five calm clips lost 0.2 dB
20 frames away."""
_TILE = 1088  # 1080 lines in one piece


def _check(options: Any, kind: type = numbers.Real, which: str = "", **bounds: tuple[float, float]) -> None:
    for name, (low, high) in bounds.items():
        _check_number(f"{which}{name}", getattr(options, name), low, high, kind)


def _check_number(name: str, value: Any, low: float, high: float, kind: type = numbers.Real) -> None:
    number = isinstance(value, kind) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        limits = f"between {low:g} and {high:g}" if math.isfinite(high) else f"{low:g} or more"
        whole = "a whole number " if kind is numbers.Integral else ""
        raise InputError(f"{name} must be {whole}{limits}, got {value!r}")


def check_weight(weight: float) -> None:
    """Refuse a share of other colours, see `merge_lab`, outside 0..1.

    Raises:
        InputError: with the value.
    """
    _check_number("weight", weight, 0, 1)


class Levels(NamedTuple):
    """What of the restored luma becomes black and white: out = ((luma - low) / (high - low)) ** (1 / gamma), clipped to
    0..1, as in VapourSynth's std.Levels.

    Attributes:
        low: luma that becomes black, 0..1, whatever the code values of the film are.
        high: luma that becomes white, above `low`, at most 1.
        gamma: 0.1..10; above 1 what lies between becomes brighter, below 1 darker.
    """

    low: float
    high: float
    gamma: float = 1.0

    @classmethod
    def of(cls, given: Any) -> Self | None:
        """Levels as they were given: (low, high) or (low, high, gamma); None for None and for those that change
        nothing.

        Raises:
            InputError: with the value.
        """
        if given is None:
            return None
        if isinstance(given, str) and given == "auto":
            raise InputError(
                "levels are auto, which looks at whole shots of a film on disk (run, Remaster Video), and here nobody "
                "knows where a shot will end: give LOW and HIGH, such as those that run --plan proposes"
            )
        values = given if isinstance(given, Iterable) and not isinstance(given, str | bytes) else ()
        values = [value.item() if hasattr(value, "item") else value for value in values]
        if len(values) not in (2, 3):
            raise InputError(f"levels must be two or three numbers, LOW, HIGH and GAMMA, got {given!r}")
        for name, value, least, most in zip(cls._fields, values, (0, 0, 0.1), (1, 1, 10)):
            _check_number(f"{name} of levels", value, least, most)
        levels = cls(*map(float, values))
        if levels.low >= levels.high:
            raise InputError(f"levels need LOW below HIGH, got {levels.low:g} and {levels.high:g}")
        return None if levels == (0, 1, 1) else levels

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """`of` what a person writes: LOW,HIGH or LOW,HIGH,GAMMA; None for an empty text.

        Raises:
            InputError: see `of`.
        """
        if not text.strip() or text.strip() == "auto":
            return cls.of(text.strip() or None)
        try:
            return cls.of([float(part) for part in text.split(",")])
        except ValueError as error:
            raise InputError(
                f"levels must be LOW,HIGH or LOW,HIGH,GAMMA, such as 0.1,0.85, got {text.strip()!r}"
            ) from error


class Running(TypedDict, total=False):
    """What a network runs on: settings that both kinds of options have, to be handed to either as `**running`."""

    device: str
    precision: str
    engine: str


Edges = Literal["fill", "crop"]
"""What becomes of a steadied picture's edge: what the frames beside it show there is filled in, or it is cut off."""


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """What is done to whole frames, before they are restored.

    Attributes:
        bad_frames: numbers of frames that are lost (torn, spliced, black, garbage): they are made anew from those
            around them.
        steady: 0..1; how much of the weave of the film in the gate is taken out.
        steady_edges: see `Edges`.
    """

    bad_frames: tuple[int, ...] = ()
    steady: float = 0.0
    steady_edges: Edges = "fill"

    def __post_init__(self) -> None:
        _check(self, steady=(0, 1))
        if self.steady_edges not in get_args(Edges):
            raise InputError(f"steady_edges must be one of {', '.join(get_args(Edges))}, got {self.steady_edges!r}")
        object.__setattr__(self, "bad_frames", _bad_frames(self.bad_frames))

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.bad_frames) or self.steady > 0 or self.crops

    @property
    def crops(self) -> bool:
        """Whether pictures become smaller; in all shots of a film alike, also where it is not steadied."""
        return self.steady_edges == "crop"


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """How to restore.

    Attributes:
        model: `auto`, a shipped variant, imported weights (`deepremaster`, `deepremaster-official`), or the path of a
            weight file.
        strength: 0..1; 0 leaves the source untouched, 1 is the full restoration.
        grain: 0..1; how much of the original grain is put back after cleaning.
        sharpness: 0..1; how much of what blur and a soft copy took is given back, 1 as it was trained.
        scale: 1, or 2: the restored film at twice the size.
        levels: what of the restored luma becomes black and white, see `Levels`, or such numbers in a row; None: the
            luma stays as it is.
        sharpener: what sharpens and enlarges: `auto` (the shipped one), or the path of a weight file.
        lines: height in lines at which the network sees the picture; 0: the source's, at most 1152.
        tile: largest side in pixels of the pieces a frame is cut into to save memory; 0: 1088 where the network sees
            more than 1.3 million pixels, else whole frames.
        device: `auto`, `cpu`, `cuda`, `cuda:n`, `xpu`, `xpu:n`, `mps`.
        precision: `auto`, `fp32`, `bf16`, `fp16`.
        engine: `auto` (which is `torch`), `torch`, `onnxruntime`, `tensorrt`.
    """

    model: str = "auto"
    strength: float = 1.0
    grain: float = 0.0
    sharpness: float = 1.0
    scale: int = 1
    levels: Levels | None = None
    sharpener: str = "auto"
    lines: int = 0
    tile: int = 0
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"

    def __post_init__(self) -> None:
        _check(self, strength=(0, 1), grain=(0, 1), sharpness=(0, 1))
        _check(self, numbers.Integral, scale=(1, 2))
        object.__setattr__(self, "levels", Levels.of(self.levels))
        _check(self, numbers.Integral, lines=(0, 8192), tile=(0, 8192))
        if 0 < self.lines < 64:
            raise InputError(f"restore lines must be 0 (automatic) or 64..8192, got {self.lines}")
        if 0 < self.tile < 4 * TILE_OVERLAP:
            raise InputError(f"tile must be 0 (automatic) or at least {4 * TILE_OVERLAP} pixels, got {self.tile}")

    def tile_of(self, height: int, width: int) -> int:
        """Largest side of the pieces that a picture is cut into which the network sees at this size."""
        return self.tile or (_TILE if height * width > _WHOLE else max(height, width))


@dataclass(frozen=True, kw_only=True)
class ColorizeOptions:
    """How to colour.

    Attributes:
        model: `auto`, a shipped variant, imported weights (`deepremaster`, `deepremaster-official`), or the path of a
            weight file.
        saturation: 0 or more; 1 leaves colours as predicted.
        saturation_hues: the same for ranges of hue, see `HueGain`: a text such as 330-30:1.2,90-150:0.7, or (first,
            last, gain) for each.
        lut: a look-up table that comes last: the path of a .cube file, or a `Lut`. Luma stays what it is.
        lines: height in lines at which colour is computed, whatever the source's. More are finer and take longer.
        automatic: colours are guessed for frames that no reference acts on, by the model `automatic`, which takes none
            itself; else those stay gray.
        device, precision, engine: as in `RestoreOptions`; what guesses runs in PyTorch.
    """

    model: str = "auto"
    saturation: float = 1.0
    saturation_hues: tuple[HueGain, ...] = ()
    lut: Lut | None = None
    lines: int = 432
    automatic: bool = False
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"

    def __post_init__(self) -> None:
        _check(self, saturation=(0, math.inf))
        object.__setattr__(self, "saturation_hues", HueGain.all_of(self.saturation_hues))
        if self.lut is not None:
            from ..color.look import Lut  # loads PyTorch, which help and errors need not wait for

            object.__setattr__(self, "lut", Lut.of(self.lut))
        _check(self, numbers.Integral, "color ", lines=(64, 2160))


def frame_numbers(scenes: Iterable[int]) -> frozenset[int]:
    try:
        return frozenset(operator.index(cut) for cut in scenes)
    except TypeError as error:
        raise InputError(f"scenes must be 'auto', 'none' or a list of frame numbers, got {scenes!r}") from error


def _bad_frames(given: Any) -> tuple[int, ...]:
    found = list(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [given]
    if not all(isinstance(one, numbers.Integral) and not isinstance(one, bool) and one >= 0 for one in found):
        raise InputError(f"bad_frames must be a list of frame numbers, such as [120, 341], got {given!r}")
    return tuple(sorted({int(one) for one in found}))
