"""Where each system keeps a user's own files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal


def user_folder(kind: Literal["data", "cache"]) -> Path:
    """This program's folder for what the user brought (`data`) or for what can be made again (`cache`); it need not
    exist."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / {"data": "Application Support", "cache": "Caches"}[kind]
    else:
        own = {"data": Path(".local", "share"), "cache": Path(".cache")}[kind]
        base = os.environ.get(f"XDG_{kind.upper()}_HOME") or Path.home() / own
    return Path(base) / "vs-remaster"
