"""The shots of a film as a file that a person may edit (TOML), and what its settings mean."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...color.hues import HueGain
from ...errors import InputError
from ...remaster.options import Levels
from ...system.texts import parse_toml
from .survey import Shot

_HEAD = """\
# The shots of {film}, made by vs-remaster. Edit the settings, then run the same command again: only what they touch
# is done again. This file is never overwritten.
#
# number, first, last       which shot it is: frames first to last, the last not included; not to be changed
# kind, black, duplicates   what it looks like: gray, tinted, coloured (it has colours of its own) or black; how many of
#                           its frames are black, and how many show the picture before once more; for information only
#
# Settings of a shot; those left out are as the command line says:
# references = ["a.png", "more/b.png"]   the only pictures this shot takes its colours from: names of those given with
#                                        --references, or paths inside this folder
# strength = 0.5      of the restoration, 0..1
# grain = 0.2         how much of the film's own grain is put back, 0..1
# sharpness = 0.5     how much of what blur took is given back, 0..1
# levels = [0.1, 0.9, 1.0]   what of the restored luma, 0..1, becomes black and white, and gamma: above 1 what lies
#                            between becomes brighter; [0, 1] leaves the luma as it is
# saturation = 0.8    1: as predicted, 0: gray
# saturation_hues = "330-30:1.2"   the same for ranges of hue in degrees; "" for none
# repair = "hair"      a picture, a folder of pictures or a video inside this folder, white where there is damage, and
# protect = "stars"    white where the picture stays as it was; in place of those given with --repair and --protect
# bad_frames = [120]   frames that are lost and made anew from those around them, also named with --bad-frames
# steady = 0.5        how much of the weave of the film in the gate is taken out, 0..1
# color = false       keep the colours that the shot has; it is only restored
# skip = true         leave the shot as it is; with --scale 2 it is enlarged and nothing else
#
# Lines that end in "proposed" are proposals: take the # in front away to follow one. With --levels auto, shots without
# levels have those that are proposed.
"""


@dataclass(frozen=True, kw_only=True)
class ShotSettings:
    """How a shot is done where it differs from the film; None: as the film.

    Attributes:
        references: names or paths of the only references to colour it from.
        strength, grain, sharpness: see `RestoreOptions`.
        levels: see `Levels`; also those that change nothing.
        saturation, saturation_hues: see `ColorizeOptions`.
        repair, protect: paths of the only masks of the shot, see `Masks`.
        bad_frames: frames in it that are lost, beside those that the film names.
        steady: see `PrepareOptions`.
        color: False: it keeps its own colours.
        skip: it is left as it is, at scale 2 but for its size.
    """

    references: tuple[str, ...] | None = None
    strength: float | None = None
    grain: float | None = None
    sharpness: float | None = None
    levels: Levels | None = None
    saturation: float | None = None
    saturation_hues: tuple[HueGain, ...] | None = None
    repair: str | None = None
    protect: str | None = None
    bad_frames: tuple[int, ...] = ()
    steady: float | None = None
    color: bool = True
    skip: bool = False


def _number(low: float, high: float) -> tuple[str, Callable[[Any], bool]]:
    bounds = f"a number of {low:g}..{high:g}" if math.isfinite(high) else f"a number of {low:g} or more"
    return (
        bounds,
        lambda value: (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and low <= value <= high
        ),
    )


def _levels(value: Any) -> bool:
    try:
        Levels.of(value)
    except InputError:
        return False
    return isinstance(value, list)


def _hues(value: Any) -> bool:
    try:
        HueGain.all_of(value)
    except InputError:
        return False
    return isinstance(value, str)


def _frames(value: Any) -> bool:
    return isinstance(value, list) and all(type(frame) is int and frame >= 0 for frame in value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) and text for text in value)


_PATH = 'a path inside the job\'s folder, such as "hair"', lambda value: isinstance(value, str) and bool(value)
_TRUTH = "true or false", lambda value: isinstance(value, bool)
_SETTINGS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "references": ('a list of pictures, such as ["a.png"]; for none write color = false', _texts),
    "strength": _number(0, 1),
    "grain": _number(0, 1),
    "sharpness": _number(0, 1),
    "levels": ("[LOW, HIGH] or [LOW, HIGH, GAMMA] with 0 <= LOW < HIGH <= 1 and a GAMMA of 0.1..10", _levels),
    "saturation": _number(0, math.inf),
    "saturation_hues": ('a text such as "330-30:1.2,90-150:0.7": degrees of hue, and a number of 0 or more', _hues),
    "repair": _PATH,
    "protect": _PATH,
    "bad_frames": ("a list of frame numbers, such as [120, 121]", _frames),
    "steady": _number(0, 1),
    "color": _TRUTH,
    "skip": _TRUTH,
}
_FACTS = ("number", "first", "last", "kind", "black", "duplicates")


def proposals(shot: Shot) -> list[tuple[str, str]]:
    """Settings that suit what a shot looks like: (line of TOML, why)."""
    found = []
    if shot.looks.kind == "coloured":
        found.append(("color = false", "the shot has colours of its own"))
    if shot.looks.kind == "black":
        found.append(("skip = true", "all frames are black"))
    if shot.lost:
        found.append((f"bad_frames = {list(shot.lost)}", "they look lost"))
    if shot.levels:
        found.append((f"levels = {list(shot.levels)}", "the picture has faded"))
    return found


def shots_toml(shots: Sequence[Shot], film: str) -> str:
    """The file for a film whose shots nobody has looked at yet."""
    parts = [_HEAD.format(film=json.dumps(film, ensure_ascii=False))]
    for number, shot in enumerate(shots, 1):
        looks = shot.looks
        lines = [
            "[[shot]]",
            f"number = {number}",
            f"first = {shot.first}",
            f"last = {shot.last}",
            f'kind = "{looks.kind}"',
            *(
                f"{name} = {count}"
                for name, count in (("black", looks.black), ("duplicates", looks.duplicates))
                if count
            ),
            *(f"# {line}  # {why}: proposed" for line, why in proposals(shot)),
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def parse_shots(text: str, shots: Sequence[Shot], path: Path) -> list[ShotSettings]:
    """Read the settings of every shot.

    Args:
        text: of the file.
        shots: those that were found in the film.
        path: of the file, for messages.

    Returns:
        The settings of each shot; shots that the file leaves out have those of the film.

    Raises:
        InputError: no TOML, an unknown name, a bad value, a shot that is not the film's.
    """
    try:
        told = parse_toml(text)
    except ValueError as error:
        raise InputError(f"{path} is no TOML: {error}; correct that line") from error
    unknown = sorted(set(told) - {"shot"})
    entries = told.get("shot", [])
    if unknown or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path} must hold [[shot]] tables and nothing else, got {unknown[0] if unknown else 'shot'}")
    settings = [ShotSettings()] * len(shots)
    met: set[int] = set()
    for entry in entries:
        number = _shot_number(entry, shots, path)
        if number in met:
            raise InputError(f"{path}: shot {number} is there twice: leave one of them out")
        met.add(number)
        own = settings[number - 1] = _settings(entry, f"{path}, shot {number}")
        shot = shots[number - 1]
        if beyond := [frame for frame in own.bad_frames if not shot.first <= frame < shot.last]:
            raise InputError(
                f"{path}, shot {number}: bad frame {beyond[0]} is not in it: it has frames {shot.first} to "
                f"{shot.last - 1}"
            )
    return settings


def _shot_number(entry: dict[str, Any], shots: Sequence[Shot], path: Path) -> int:
    number = entry.get("number")
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= len(shots):
        raise InputError(f"{path}: a shot must have a number of 1..{len(shots)}, got {number!r}")
    shot = shots[number - 1]
    for name, value in (("first", shot.first), ("last", shot.last)):
        if entry.get(name, value) != value:
            raise InputError(
                f"{path}, shot {number}: {name} is {value}, got {entry[name]!r}: cuts are not moved here, use --scenes"
            )
    return number


def _settings(entry: dict[str, Any], where: str) -> ShotSettings:
    given: dict[str, Any] = {}
    for name, value in entry.items():
        if name in _FACTS:
            continue
        if name not in _SETTINGS:
            raise InputError(f"{where}: unknown setting {name!r}: use {', '.join(_SETTINGS)}")
        wanted, fits = _SETTINGS[name]
        if not fits(value):
            raise InputError(f"{where}: {name} must be {wanted}, got {value!r}")
        if isinstance(value, list):
            value = Levels(*value) if name == "levels" else tuple(value)
        given[name] = HueGain.all_of(value) if name == "saturation_hues" else value
    return ShotSettings(**given)
