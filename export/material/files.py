"""Which files are read, and how much smaller they are made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vs_remaster.errors import InputError

VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".y4m"}
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
SHRINK = 1.3  # compressed sources become clean targets when made smaller by this much


def find_files(folder: Path, suffixes: set[str]) -> list[Path]:
    """Files with these endings in a folder and its sub-folders, in the order of names.

    Raises:
        InputError: no such folder, or nothing in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}; give a folder of videos or photographs")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    if not found:
        raise InputError(f"nothing to read in {folder}; expected files ending in {', '.join(sorted(suffixes))}")
    return found


def target_size(height: int, width: int, short_edge: int | Sequence[int]) -> tuple[int, int]:
    """Size (height, width) after shrinking to `short_edge`; of several, the largest that shrinks by `SHRINK`."""
    short = min(height, width)
    if isinstance(short_edge, int):
        edge = short_edge
    else:
        edge = max((e for e in short_edge if e * SHRINK <= short), default=min(short_edge))
    scale = min(1.0, edge / short)
    return max(1, round(height * scale)), max(1, round(width * scale))
