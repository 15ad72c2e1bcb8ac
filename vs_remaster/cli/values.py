"""Values of the command line as a person gives them: names of files, frames per second."""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..remaster.scenes import Scenes

_LOWEST, _HIGHEST = Fraction(1, 1000), 1000
_NEAR = Fraction(1, 10_000)  # 24 and 24000/1001 are ten times as far apart


def parse_fps(text: str) -> Fraction:
    """Read `25`, `24000/1001` or `23.976`, which stands for 24000/1001.

    Raises:
        ArgumentTypeError: it is none of these.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not _LOWEST <= rate <= _HIGHEST:
        raise argparse.ArgumentTypeError(f"must be frames a second, such as 16 or 24000/1001, got {text!r}")
    exact = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    return exact if "." in text and abs(exact - rate) < rate * _NEAR else rate


def add_fps(parser: argparse.ArgumentParser, film: str) -> None:
    """Add the option `--fps`.

    Args:
        parser: of a command.
        film: what it calls the film.
    """
    parser.add_argument(
        "--fps",
        type=parse_fps,
        metavar="N|N/D",
        help=f"frames a second of {film}, where it has no times: a folder of pictures, a raw stream",
    )


def parse_reach(text: str) -> int:
    """Frames to which colour is carried, 12 to 1000.

    Raises:
        ArgumentTypeError: it is none of these.
    """
    if not text.isdecimal() or not 12 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(
            f"must be a number of frames, 12 to 1000, got {text!r}; put the film before the options"
        )
    return int(text)


def parse_scenes(text: str) -> Scenes:
    """Where the cuts are: `auto`, `none`, or a file that holds the number of each scene's first frame."""
    from ..remaster.scenes import parse_cuts

    return text if text in ("auto", "none") else parse_cuts(text)


def add_scenes(parser: Any) -> None:
    """Add the option `--scenes`."""
    parser.add_argument(
        "--scenes",
        default="auto",
        metavar="auto|none|FILE",
        help="where the cuts are; a file holds the number of each scene's first frame, one a line (default: auto)",
    )


def named_path(text: str) -> Path:
    """A path of the command line. An empty one, of a variable that is not set, say, would be the working folder.

    Raises:
        ArgumentTypeError: it is empty.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("the name of a file or folder is empty")
    return Path(text)
