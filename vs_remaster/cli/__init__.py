"""The command line."""

from __future__ import annotations

from .entry import main, program

__all__ = ["main", "program"]
