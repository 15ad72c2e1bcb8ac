"""Small files of people and programs: text, TOML and JSON, read with a bound, and paths that are named in them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path, PureWindowsPath
from typing import Any

from ..errors import InputError

_MOST_BYTES = 256 << 20  # shares of a film of three hours have a quarter of it
_MOST_TEXT = 16 << 20  # what people write


def read_bytes(path: Path, most: int = _MOST_BYTES) -> bytes:
    """What a file holds.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        InputError: it has more. OSError: it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{str(path)!r} is no file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(f"{str(path)!r} has more than {most >> 20} MiB: it cannot be what it should be")
    return data


def read_text(path: Path, most: int = _MOST_TEXT) -> str:
    """The text of a file in UTF-8, with or without a byte order mark, its lines ended by \\n.

    Raises:
        InputError, OSError: see `read_bytes`. UnicodeDecodeError: it is no UTF-8.
    """
    return read_bytes(path, most).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: it is none, whatever is wrong.
    """
    held = _parsed(tomllib.loads, text)
    _check_numbers(held)
    return held


def parse_json(data: bytes | str) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: it is none, whatever is wrong.
    """
    return _parsed(json.loads, data)


def _parsed(parse: Any, text: bytes | str) -> Any:
    try:
        return parse(text)
    except RecursionError as error:
        raise ValueError("too many brackets inside each other") from error


def _check_numbers(held: Any) -> None:
    """Whole numbers have 64 bits in TOML, and nothing here needs more: larger ones could not even be printed."""
    if isinstance(held, dict):
        held = list(held.values())
    if isinstance(held, list):
        for one in held:
            _check_numbers(one)
    elif isinstance(held, int) and held.bit_length() > 63:
        raise ValueError(f"it holds a number of {held.bit_length()} bits, 63 at most are taken")


def inside(file: Path, name: str, what: str, instead: str) -> Path:
    """A path that is named in a file, which may have come from anywhere: it has to stay in the folder of that.

    Args:
        file: in which it is named.
        name: as it stands there, from the folder of the file.
        what: what messages begin with.
        instead: what to do where another place is meant.

    Returns:
        The path with symbolic links followed; it need not exist.

    Raises:
        InputError: it is absolute, or leads out of the folder, also by a symbolic link.
    """
    home = file.parent.resolve()
    away = name.startswith(("/", "\\")) or PureWindowsPath(name).drive
    try:
        path = (home / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle; a name that no system takes
        raise InputError(f"{what}: {name!r} is no path that can be followed ({error})") from error
    if away or not path.is_relative_to(home):
        raise InputError(f"{what}: {name!r} does not lie in the folder of {file.name}: {instead}")
    return path
