"""The ComfyUI nodes, over `vs_remaster.remaster` and `vs_remaster.film.remastering`.

Nothing of ComfyUI is imported before it asks for the nodes, so that the modules beneath can be used without it.
"""

from __future__ import annotations

import sys
from typing import Any

WEB_DIRECTORY = "./comfy_nodes/web"
"""Where the help pages lie, from the pack's root."""


async def comfy_entrypoint() -> Any:
    """What ComfyUI calls to get the nodes: a `ComfyExtension`."""
    if sys.version_info < (3, 12):  # noqa: UP036 - a pack is cloned, not installed, so nothing has checked this yet
        version = ".".join(map(str, sys.version_info[:2]))
        raise RuntimeError(f"vs-remaster needs Python 3.12 or newer, ComfyUI runs on {version}: install a newer one")
    from .nodes import Remaster

    return Remaster()
