"""Masks of real damage, scanned: read from a folder, and kept at several sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from vs_remaster.errors import InputError

CATEGORIES = ("dirt", "dots", "hair", "hair-short", "lint", "scratches", "smut", "spots", "sprinkles", "stain")
FILL = 0.75  # of a square's side is filled by a mask's longer side, so that it can turn freely
_SIDE = 256  # of the largest level, pixels
_TOP_SIDE = {"dots": 64, "hair-short": 128}


@dataclass(frozen=True)
class Templates:
    """Masks of real damage: for each category a pyramid {side: uint8 [K, side, side]}, white is damage."""

    levels: dict[str, dict[int, torch.Tensor]]

    def to(self, device: torch.device | str) -> Templates:
        return Templates({c: {s: t.to(device) for s, t in level.items()} for c, level in self.levels.items()})

    def count(self, category: str) -> int:
        return next(iter(self.levels[category].values())).shape[0] if category in self.levels else 0


def load_templates(folder: Path) -> Templates:
    """Read masks (white on black) from `folder`/<category>/*, for the categories in `CATEGORIES`.

    Raises:
        InputError: the folder holds no mask.
    """
    levels: dict[str, dict[int, torch.Tensor]] = {}
    for category in CATEGORIES:
        top = _TOP_SIDE.get(category, _SIDE)
        masks = [_fit_mask(p, top) for p in sorted((Path(folder) / category).glob("*.*"))]
        if masks:
            level = torch.from_numpy(np.stack(masks))
            levels[category] = {top: level}
            while top > 8:
                top //= 2
                level = F.avg_pool2d(level[:, None].float(), 2)[:, 0].round().to(torch.uint8)
                levels[category][top] = level
    if not levels:
        raise InputError(f"no damage masks in {folder}; expected folders named {', '.join(CATEGORIES)}")
    return Templates(levels)


def _fit_mask(path: Path, side: int) -> np.ndarray:
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise InputError(f"cannot read the mask {path}; remove it from the folder")
    scale = side * FILL / max(mask.shape)
    height, width = (max(1, round(s * scale)) for s in mask.shape)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = mask
    return canvas
