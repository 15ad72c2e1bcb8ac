"""Sizes on a disk, for a reader."""

from __future__ import annotations


def size_text(count: float) -> str:
    """Bytes for a reader: `3.1 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
