"""`references.toml`: what is known of reference pictures beyond their pixels, in a file beside them.

    [origin.postcard]
    weight = 0.3
    likeness = 0.7

    [origin.carried]
    weight = 0.01
    nearest = 1

    [[reference]]
    picture = "0000120.png"
    frame = 120
    scope = "shot"
    weight = 2.0
    origin = "film"

Every host reads and writes it through this module.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError
from ..system import texts
from ..system.files import write_whole

NAME = "references.toml"
CARRIED = "carried"  # the origin of frames that colour was carried to
MOST_WEIGHT = 1000.0
MOST_FRAME = 2**31 - 1
MOST_TIME = 1e9
"""Seconds: 31 years, longer than any film."""

Scope = Literal["film", "shot"] | tuple[int, int | None]
"""Where a reference acts: in the whole film, in the shot that its frame lies in, or from a frame to another, the second
not included and None for the film's end."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What holds for all pictures that come from one place.

    Attributes:
        weight: 0..1000, multiplied with the weight of each of them.
        likeness: 0..1; where a frame resembles a picture less than that, the picture is not used. 0: always used;
            None: as `references.Reference` says.
        nearest: 1 or more; at most so many of its pictures act at once, those whose frames are nearest. None: all that
            are in scope.
    """

    weight: float = 1.0
    likeness: float | None = None
    nearest: int | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One picture.

    Attributes:
        picture: its file, from the folder that the manifest lies in.
        frame: number of the film's frame that it shows, from 0; None: as its name says.
        time: the same in seconds from the film's first frame, 0..1e9; one of the two.
        scope: see `Scope`; a range is written as [first, end], the end not included.
        shot: first frame and end of the shot that the frame lies in, where whoever wrote the entry knew.
        weight: 0..1000; 1 as if nothing were said, 2 as if the picture were there twice, 0 never used.
        origin: where it comes from; what that means stands under `origin`.
        sha256: of the file, None if it may be painted over.
    """

    picture: str
    frame: int | None = None
    time: float | None = None
    scope: Scope = "film"
    shot: tuple[int, int] | None = None
    weight: float = 1.0
    origin: str = ""
    sha256: str | None = None


@dataclass(frozen=True)
class Manifest:
    """All entries in their order, and the origins by name."""

    entries: tuple[Entry, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def origin(self, name: str) -> Origin:
        """What holds for an origin; nothing for one that is not described."""
        return self.origins.get(name, Origin())


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        InputError: it cannot be read, or holds something that is wrong: file, entry, value, and what to write instead.
    """
    try:
        manifest = parse_manifest(texts.read_text(path), str(path))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is not TOML: {error}; save it as UTF-8") from error
    names = [os.path.normpath(entry.picture) for entry in manifest.entries]
    for number, name in enumerate(names, 1):
        if names.index(name) != number - 1:
            raise InputError(f"{str(path)!r}, entry {number} ({name!r}): it is listed twice; remove one of the entries")
    return manifest


def parse_manifest(text: str, source: str) -> Manifest:
    """A manifest from text; `source` says in messages where that comes from.

    Raises:
        InputError: see `read_manifest`.
    """
    try:
        held = texts.parse_toml(text)
    except ValueError as error:
        raise InputError(f"{source!r} is not TOML: {error}; correct that line") from error
    _only(held, ("origin", "reference"), source)
    origins, listed = held.get("origin", {}), held.get("reference", [])
    if not isinstance(origins, dict) or not isinstance(listed, list):
        raise InputError(f"{source!r}: write origins as [origin.NAME] and pictures as [[reference]]")
    named = {name: _origin(values, f"{source!r}, origin {name!r}") for name, values in origins.items()}
    return Manifest(tuple(_entry(values, source, number) for number, values in enumerate(listed, 1)), named)


def write_manifest(path: Path, manifest: Manifest, *, overwrite: bool = False) -> None:
    """Write a manifest; it appears when it is complete.

    Raises:
        InputError: there is one that may not be replaced, or it cannot be written.
    """
    write_toml(path, to_toml(manifest), overwrite=overwrite)


def write_toml(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Write a manifest that is text already, see `write_manifest`."""
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"cannot write {str(path)!r}: a name in it is not Unicode") from error
    write_whole(path, data, overwrite=overwrite)


def to_toml(manifest: Manifest) -> str:
    """A manifest as text; what is as it would be without being said is left out."""
    blocks = []
    for name, origin in manifest.origins.items():
        blocks.append([f"[origin.{_text(name)}]", *_lines(origin)])
    for entry in manifest.entries:
        blocks.append(["[[reference]]", *_lines(entry)])
    return "\n\n".join("\n".join(lines) for lines in blocks) + "\n"


def inside(toml: Path, picture: str) -> Path:
    """Where a picture lies that a manifest names, symbolic links followed.

    Raises:
        InputError: not in the folder of the manifest.
    """
    return texts.inside(toml, picture, repr(str(toml)), "put it there, or give it on the command line instead")


def _lines(values: Origin | Entry) -> list[str]:
    out = []
    for one in fields(values):
        value = getattr(values, one.name)
        if value != one.default:
            out.append(f"{one.name} = {_value(value)}")
    return out


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return repr(value)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# What is read is checked here -----------------------------------------------------------------------------------------


def check_weight(weight: Any, what: str) -> float:
    """A weight of 0..1000, or an InputError that begins with `what`."""
    return _number(weight, 0, MOST_WEIGHT, f"{what}: weight", "1 is as without, 2 counts twice, 0 is never used")


def check_scope(scope: Any, what: str) -> Scope:
    """A scope, or an InputError that begins with `what`."""
    if isinstance(scope, str) and scope in ("film", "shot"):
        return scope
    if isinstance(scope, list | tuple) and len(scope) == 2:
        first, end = scope
        if _whole(first) and (end is None or (_whole(end) and first < end)):
            return first, end
    raise InputError(
        f'{what}: scope must be "film", "shot" or [first, end] with frame numbers, the end not included and above the '
        f"first, got {scope!r}"
    )


def _origin(values: Any, what: str) -> Origin:
    values = _table(values, Origin, what)
    if "weight" in values:
        values["weight"] = check_weight(values["weight"], what)
    if "likeness" in values:
        text = "0: pictures are always used, 1: only where they are the frame itself"
        values["likeness"] = _number(values["likeness"], 0, 1, f"{what}: likeness", text)
    if "nearest" in values and (not _whole(values["nearest"]) or values["nearest"] == 0):
        raise InputError(
            f"{what}: nearest must be a number of pictures (1, 2 ...) that act at once, got {values['nearest']!r}"
        )
    return Origin(**values)


def _entry(values: Any, path: str, number: int) -> Entry:
    what = f"{path!r}, entry {number}"
    name = values.get("picture") if isinstance(values, dict) else None
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise InputError(f'{what}: picture must be the name of a file, picture = "0000120.png" say, got {name!r}')
    what += f" ({name!r})"
    values = _table(values, Entry, what)
    for key, kind, needs in (("origin", str, "a name"), ("sha256", str, "64 hexadecimal digits")):
        if key in values and not isinstance(values[key], kind):
            raise InputError(f"{what}: {key} must be {needs} in quotes, got {values[key]!r}")
    if "sha256" in values:
        digits = values["sha256"] = values["sha256"].lower()
        if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
            raise InputError(
                f"{what}: sha256 must be 64 hexadecimal digits, got {digits!r}: remove it, or write it anew"
            )
    if "frame" in values and not _whole(values["frame"]):
        raise InputError(f"{what}: frame must be a frame number (0, 1, 2 ... {MOST_FRAME}), got {values['frame']!r}")
    if "time" in values:
        if "frame" in values:
            raise InputError(f"{what}: it has both frame and time; remove one of them")
        values["time"] = _number(values["time"], 0, MOST_TIME, f"{what}: time", "seconds from the film's first frame")
    if "weight" in values:
        values["weight"] = check_weight(values["weight"], what)
    if "scope" in values:
        values["scope"] = check_scope(values["scope"], what)
    if "shot" in values:
        shot = values["shot"]
        if not (isinstance(shot, list) and len(shot) == 2 and all(map(_whole, shot)) and shot[0] < shot[1]):
            raise InputError(f"{what}: shot must be [first, end], frame numbers, the end not included, got {shot!r}")
        values["shot"] = tuple(shot)
    return Entry(**values)


def _table(values: Any, kind: type[Origin | Entry], what: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise InputError(f"{what}: it must be a table of settings, got {values!r}")
    _only(values, tuple(one.name for one in fields(kind)), what)
    return dict(values)


def _only(values: dict[str, Any], known: tuple[str, ...], what: str) -> None:
    unknown = [name for name in values if name not in known]
    if unknown:
        raise InputError(f"{what}: unknown setting {unknown[0]!r}; known are {', '.join(known)}")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_FRAME


def _number(value: Any, low: float, high: float, what: str, text: str) -> float:
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    if not sound or not low <= value <= high:
        raise InputError(f"{what} must be a number from {low:g} to {high:g} ({text}), got {value!r}")
    return float(value)
