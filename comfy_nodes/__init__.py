"""The ComfyUI nodes, over `vs_remaster.remaster` and `vs_remaster.film.remastering`.

Nothing of ComfyUI is imported before it asks for the nodes, so that the modules beneath can be used without it.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from typing import Any

WEB_DIRECTORY = "./comfy_nodes/web"
"""Where the help pages lie, and what the page runs, from the pack's root."""
OLDEST = (0, 8)
"""Version of ComfyUI."""


def unfit() -> str:
    """One line that says why the nodes cannot run here; empty where they can, or nothing of ComfyUI is loaded."""
    if sys.version_info < (3, 12):  # noqa: UP036 - a pack is cloned, not installed, so nothing has checked this yet
        version = ".".join(map(str, sys.version_info[:2]))
        return f"vs-remaster needs Python 3.12 or newer, ComfyUI runs on {version}: install a newer one"
    if "folder_paths" not in sys.modules:
        return ""
    version = _version()
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if numbers < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return f"vs-remaster needs ComfyUI {wanted} or newer, this is {version or 'an older one'}: update ComfyUI"
    if importlib.util.find_spec("cv2") is None:
        return "vs-remaster needs OpenCV: run install.py in its folder with the Python of ComfyUI"
    return ""


def _version() -> str:
    try:
        from comfyui_version import __version__ as version
    except ImportError:
        return ""
    return version


async def comfy_entrypoint() -> Any:
    """What ComfyUI calls to get the nodes: a `ComfyExtension`."""
    if why := unfit():
        raise RuntimeError(why)
    from .nodes import Remaster

    return Remaster()
