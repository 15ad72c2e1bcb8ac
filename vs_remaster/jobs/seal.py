"""What a job writes down, as JSON with a checksum: a bit that turns over on a disk seldom makes it unreadable. It makes
other frames, or a traceback hours later."""

from __future__ import annotations

import json
import zlib
from typing import Any

from ..texts import parse_json


def sealed(told: dict[str, Any]) -> bytes:
    """What `unsealed` takes: a line of JSON, and one with the CRC-32 of that."""
    text = json.dumps(told, separators=(",", ":")).encode()
    return text + _seal(text)


def unsealed(data: bytes) -> dict[str, Any]:
    """What was sealed; a single line without an end, as older programs wrote it, is taken as it is.

    Raises:
        ValueError: it is not JSON, no table, or not what was sealed.
    """
    text, end, _ = data.partition(b"\n")
    if end and data != text + _seal(text):
        raise ValueError("its checksum differs")
    told = parse_json(text)
    if not isinstance(told, dict):
        raise ValueError(f"a table is missing, it holds {told!r:.40}")
    return told


def _seal(text: bytes) -> bytes:
    return b"\n%08x\n" % zlib.crc32(text)
