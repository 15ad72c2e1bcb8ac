"""How large pictures are cut into pieces that overlap."""

from __future__ import annotations

import math

from .options import TILE_OVERLAP


def tiles(length: int, tile: int) -> list[tuple[int, int, int, int]]:
    """Cut `length` pixels into tiles of about equal size, at most `tile`: (first, last, kept first, kept last),
    overlapping, starting at multiples of 32."""
    inner, overlaps = length - 2 * TILE_OVERLAP, 2 * TILE_OVERLAP
    count = max(1, math.ceil(inner / ((tile - overlaps) // 32 * 32)))
    step = math.ceil(inner / count / 32) * 32
    parts = []
    for start in range(0, max(1, inner), max(32, step)):
        stop = min(length, start + step + overlaps)
        keep = 0 if start == 0 else start + TILE_OVERLAP
        parts.append((start, stop, keep, length if stop == length else stop - TILE_OVERLAP))
    return parts
