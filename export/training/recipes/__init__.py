"""Ways to train: our own, parts of our networks alone, our automatic colorizer, and the two papers' for their networks.

`RECIPES[recipe][task]` makes a `Recipe`, which knows everything that differs; the loop is in `export/train.py`.
"""

from __future__ import annotations

from .deepremaster import DeepColorize, DeepJoint, DeepRestore
from .flicker import Flicker
from .matching import Matching
from .ours import Colorize, Joint, Restore
from .palette import Palette
from .recipe import Recipe, Settings
from .rtn import RtnColorize, RtnRestore
from .sharpen import Sharpen

RECIPES: dict[str, dict[str, type[Recipe]]] = {
    "ours": {"restore": Restore, "colorize": Colorize, "joint": Joint, "sharpen": Sharpen},
    "flicker": {"restore": Flicker},
    "palette": {"colorize": Palette},
    "matching": {"colorize": Matching},
    "deepremaster": {"restore": DeepRestore, "colorize": DeepColorize, "joint": DeepJoint},
    "rtn": {"restore": RtnRestore, "colorize": RtnColorize},
}

TASKS = tuple(RECIPES["ours"])

__all__ = ["RECIPES", "TASKS", "Recipe", "Settings"]
