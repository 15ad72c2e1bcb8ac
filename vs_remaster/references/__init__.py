"""The colour pictures that are given, and when each of them acts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy import face

if TYPE_CHECKING:
    from .manifest import Manifest, read_manifest, write_manifest
    from .reference import Reference, load_references, rules_text, with_rules
    from .rules import settle
    from .saving import save_references
    from .stamping import stamp

__all__ = [
    "Manifest",
    "Reference",
    "load_references",
    "read_manifest",
    "rules_text",
    "save_references",
    "settle",
    "stamp",
    "with_rules",
    "write_manifest",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "manifest": "Manifest read_manifest write_manifest",
        "reference": "Reference load_references rules_text with_rules",
        "rules": "settle",
        "saving": "save_references",
        "stamping": "stamp",
    },
)
