"""What a job writes down, as JSON with a checksum: a bit that turns over on a disk seldom makes it unreadable. It makes
other frames, or a traceback hours later."""

from __future__ import annotations

import json
import zlib
from typing import Any

from ...system.texts import parse_json

_KEY = "crc32"


def sealed(told: dict[str, Any]) -> bytes:
    """What `unsealed` takes."""
    return _text({**told, _KEY: zlib.crc32(_text(told))})


def unsealed(data: bytes) -> dict[str, Any]:
    """What was sealed; what has no checksum, which older programs did not write, as it is.

    Raises:
        ValueError: it is not JSON, no table, or not what was sealed.
    """
    told = parse_json(data)
    if not isinstance(told, dict):
        raise ValueError(f"a table is missing, it holds {told!r:.40}")
    seal = told.pop(_KEY, None)
    if seal is None and any(_is_nearly(key) for key in told):
        raise ValueError("its checksum has another name")
    if seal is not None and seal != zlib.crc32(_text(told)):
        raise ValueError("its checksum differs")
    return told


def _is_nearly(key: str) -> bool:
    """Whether one letter makes the difference between a name and that of the checksum."""
    return len(key) == len(_KEY) and sum(a != b for a, b in zip(key, _KEY)) == 1


def _text(told: dict[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()
