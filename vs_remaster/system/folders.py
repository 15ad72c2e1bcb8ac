"""Where each system keeps a user's own files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

_NAME = "vs-remaster"


def user_folder(kind: Literal["data", "cache"]) -> Path:
    """This program's folder for what the user brought (`data`) or for what can be made again (`cache`); it need not
    exist."""
    if sys.platform == "darwin":  # not as platformdirs: it prefers XDG_DATA_HOME and would not find today's folder
        return Path.home() / "Library" / {"data": "Application Support", "cache": "Caches"}[kind] / _NAME
    import platformdirs  # here, for few commands need it

    # opinion: no folder "Cache" in that of the program on Windows, where today's cache would not be found
    folders = platformdirs.PlatformDirs(_NAME, appauthor=False, opinion=False)
    return folders.user_data_path if kind == "data" else folders.user_cache_path
