"""A folder of references as it is written: pictures that appear when they are complete, and a contact sheet of them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from ..references.manifest import NAME
from ..references.reference import pictures_in
from ..system.files import Part, check_no_link, make_folder, write_whole

SHEET = Path("sheet", "contact-sheet.png")
"""Where the contact sheet lies: in a folder of its own, or it would be taken for a reference."""
_TILE = 320  # width of a picture on the contact sheet, pixels
_COLUMNS = 4
_CAPTION = 26  # height, pixels


def check_new(folder: Path) -> None:
    """Refuse a folder that references cannot be written to.

    Raises:
        InputError: it is a file or a link, or holds references.
    """
    check_no_link(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file: name a folder for the pictures")
    if folder.is_dir() and ((folder / NAME).exists() or pictures_in(folder, required=False)):
        raise InputError(f"{str(folder)!r} holds references already, which are never overwritten: name another folder")
    if (folder / SHEET.parent).exists():
        raise InputError(f"{str(folder)!r} holds a folder {str(SHEET.parent)!r} already: name another folder")


def tile(pixels: np.ndarray, caption: str) -> np.ndarray:
    """A picture `[H, W, 3]`, 8 bits, small and with a caption, for `sheet`."""
    height = max(1, round(pixels.shape[0] * _TILE / pixels.shape[1]))
    small = cv2.resize(pixels, (_TILE, height), interpolation=cv2.INTER_AREA)
    band = np.zeros((_CAPTION, _TILE, 3), np.uint8)
    cv2.putText(band, caption, (6, _CAPTION - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([small, band])


def sheet(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Tiles `[h, 320, 3]` of one height in rows."""
    columns = min(_COLUMNS, len(tiles))
    empty = np.zeros_like(tiles[0])
    padded = [*tiles, *[empty] * (-len(tiles) % columns)]
    return np.concatenate([np.concatenate(padded[i : i + columns], 1) for i in range(0, len(padded), columns)])


@contextmanager
def filled(folder: Path) -> Generator[Path]:
    """A folder of references in the making.

    A new or empty one appears when it is complete, by way of the folder that is given here; into one that holds other
    files the references are written at once.

    Raises:
        InputError: it cannot be made, or another run writes it.
    """
    if folder.is_dir() and any(folder.iterdir()):
        yield folder
        return
    make_folder(folder.parent)
    part = Part(folder, folder=True)
    try:
        yield part.place
        part.settle()
    finally:
        part.discard()


def put(path: Path, bgr: np.ndarray, *, overwrite: bool = False) -> None:
    """Write a PNG; it appears when it is complete.

    Raises:
        InputError: a file of that name exists and may not be replaced, or nothing can be written.
    """
    write_whole(path, cv2.imencode(".png", bgr)[1].tobytes(), overwrite=overwrite)
