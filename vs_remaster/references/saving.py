"""Writes reference pictures into a folder as `load_references` reads them: a number in the name, an entry beside it."""

from __future__ import annotations

import io
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ..errors import InputError
from ..system.files import make_folder, write_whole
from .manifest import Entry
from .stamping import add_entries


def save_references(
    folder: Path,
    pictures: Sequence[np.ndarray],
    frames: Sequence[int | None],
    *,
    scope: Literal["film", "shot"] = "film",
    overwrite: bool = False,
) -> list[Path]:
    """Write pictures with the frames that they show. What `references.toml` says of them already stays.

    Args:
        folder: made where it is not there.
        pictures: `[H, W, 3]` uint8, R'G'B'.
        frames: the frame of the film that each shows; None: not known.
        scope: where they act, see `manifest.Scope`; those whose frame is not known act in the film.
        overwrite: replace pictures that have changed.

    Returns:
        The files in their order, PNG. One that holds the very picture already is left alone.

    Raises:
        InputError: a picture that is there is another one (nothing is written then), or nothing can be written.
    """
    if len(pictures) != len(frames):
        raise InputError(f"there are {len(pictures)} pictures and {len(frames)} frame numbers: give one for each")
    paths = [folder / name for name in _names(frames)]
    todo = [(path, picture) for path, picture in zip(paths, pictures) if not _holds(path, picture)]
    taken = [path for path, _ in todo if path.exists()]
    if taken and not overwrite:
        raise InputError(
            f"{taken[0]} is there and shows something else; was it painted by hand? Give another folder, or allow "
            "overwriting"
        )
    make_folder(folder)
    for path, picture in todo:
        data = io.BytesIO()
        Image.fromarray(picture).save(data, "PNG")
        write_whole(path, data.getvalue(), overwrite=overwrite)
    scopes = ["film" if frame is None else scope for frame in frames]
    add_entries(
        folder,
        [Entry(picture=path.name, frame=frame, scope=where) for path, frame, where in zip(paths, frames, scopes)],
    )
    return paths


def _names(frames: Sequence[int | None]) -> list[str]:
    """File names: the last number in one is the frame, and there is none where that is not known."""
    seen: Counter[int | None] = Counter()
    names = []
    for frame in frames:
        earlier = seen[frame]
        seen[frame] += 1
        if frame is None:
            names.append(f"picture-{_letters(earlier)}.png")
        else:
            names.append(f"{_letters(earlier) + '-' if earlier else ''}{frame:07}.png")
    return names


def _letters(number: int) -> str:
    """a, b, ... z, aa, ab ..."""
    more, last = divmod(number, 26)
    return (_letters(more - 1) if more else "") + string.ascii_lowercase[last]


def _holds(path: Path, picture: np.ndarray) -> bool:
    try:
        with Image.open(path) as held:
            return held.mode == "RGB" and np.array_equal(np.asarray(held), picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # nothing there, or no picture
        return False
