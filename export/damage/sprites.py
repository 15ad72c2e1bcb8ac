"""Dirt of one frame or many: which shapes a clip gets, where and how long they lie, what they look like."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from export.damage.chance import Draw
from export.damage.crop import Crop
from export.damage.kinds import BLOB, MASK, Kind
from export.damage.masks import CATEGORIES, Templates
from export.damage.settings import DamageSettings

SPRITE = np.dtype(
    [
        ("clip", np.int64),  # number in the batch
        ("first", np.int64),  # frame
        ("last", np.int64),  # frame after its life
        ("y", np.float64),  # of its middle in its first frame, pixels of the picture
        ("x", np.float64),
        ("vy", np.float64),  # drift, pixels a frame
        ("vx", np.float64),
        ("jitter", np.float64),  # standard deviation of its place, pixels
        ("diameter", np.float64),  # pixels
        ("angle", np.float64),  # radians
        ("aspect", np.float64),  # length by width
        ("soft", np.float64),  # edge, pixels; for curves half the width
        ("alpha", np.float64),
        ("white", np.bool_),
        ("shape", np.int64),  # BLOB, CURVE or MASK
        ("category", np.int64),  # of the mask, a place in CATEGORIES
        ("index", np.int64),  # of the mask in its category
        ("seed", np.float64),  # 0..1: what else tells it from others
    ]
)
"""A sprite: one shape, drawn once and pasted into the frames of its life."""


def draw_sprites(draw: Draw, settings: DamageSettings, templates: Templates | None, crop: Crop) -> np.ndarray:
    """All sprites of one clip that touch its pictures: an array of `SPRITE`."""
    whiteness = draw.choice([0.08, 0.5, 0.92], p=[0.3, 0.3, 0.4])
    parts = [np.zeros(0, SPRITE)]
    for name, kind in settings.kinds.items():
        if not draw.happens(settings.chance[name]):
            continue
        mean = draw.mostly_low(getattr(settings, name)) * settings.density * crop.area
        categories = [c for c in kind.categories if templates is not None and templates.count(c)]
        if kind.shape == MASK and not categories:
            continue
        count = draw.poisson(mean / kind.mean_life * (crop.frames + kind.longest))
        if count == 0:
            continue
        sprites = sprites_of_kind(draw, kind, count, crop, whiteness)
        if templates is not None and categories:
            share = 1.0 if kind.shape == MASK else settings.template
            take_masks(draw, sprites, categories, [templates.count(c) for c in categories], share)
        parts.append(sprites)
    sprites = np.concatenate(parts)
    reach = sprites["diameter"] / 2 + 8
    seen = (sprites["y"] > -reach) & (sprites["y"] < crop.height + reach)
    seen &= (sprites["x"] > -reach) & (sprites["x"] < crop.width + reach)
    return sprites[seen & (sprites["first"] < crop.frames) & (sprites["last"] > 0)]


def sprites_of_kind(draw: Draw, kind: Kind, count: int, crop: Crop, whiteness: float) -> np.ndarray:
    """So many sprites of one kind, in procedural shapes."""
    sprites = np.zeros(count, SPRITE)
    sprites["clip"] = crop.clip
    lasting = draw.random_sample(count) < kind.lasting
    life = np.where(lasting, np.rint(draw.between(kind.life, count)), 1)
    sprites["first"] = _first_frames(draw, count, crop.frames, kind.longest)
    sprites["last"] = sprites["first"] + life
    sprites["diameter"] = draw.log_between(kind.diameter, count) * crop.unit
    sprites["y"], sprites["x"] = _places(draw, kind, sprites["diameter"], crop)
    drift = np.where(lasting & (not kind.edge), 1.0, 0.0) * crop.unit
    sprites["vy"], sprites["vx"] = draw.standard_normal((2, count)) * drift
    sprites["jitter"] = 0.4 if kind.edge else 0.0
    tilt = 0.05 * draw.standard_normal(count)
    sprites["angle"] = math.pi / 2 + tilt if kind.upright else draw.random_sample(count) * 2 * math.pi
    sprites["aspect"] = draw.log_between(kind.aspect, count)
    sprites["soft"] = draw.log_between(kind.soft, count) * (1.0 if kind.shape == BLOB else crop.unit)
    sprites["alpha"] = draw.between(kind.alpha, count)
    sprites["white"] = draw.random_sample(count) < whiteness
    sprites["shape"] = kind.shape
    sprites["seed"] = draw.random_sample(count)
    return sprites


def _first_frames(draw: Draw, count: int, frames: int, longest: int) -> np.ndarray:
    """First frames [count], some before the clip; dirt comes in bursts: some frames get several times the mean."""
    weight = np.exp(0.6 * draw.standard_normal(frames + longest))
    return np.searchsorted(np.cumsum(weight) / weight.sum(), draw.random_sample(count)) - longest + 1


def _places(draw: Draw, kind: Kind, diameter: np.ndarray, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
    """Down and across in the picture: anywhere in the frame, or mostly at its upper and lower border."""
    count = len(diameter)
    down, across = draw.random_sample((2, count))
    if kind.edge:
        below = draw.randint(0, 2, count)
        reach = diameter / 2 * (draw.random_sample(count) * 1.6 - 0.6)
        border = np.where(below, crop.frame_height - reach, reach) / crop.frame_height
        down = np.where(draw.random_sample(count) < 0.7, border, down)
    return down * crop.frame_height - crop.top, across * crop.frame_width - crop.left


def take_masks(draw: Draw, sprites: np.ndarray, categories: Sequence[str], counts: Sequence[int], share: float) -> None:
    """Give a share of the sprites the shape of masks, of which each of the categories has so many."""
    from_mask = draw.random_sample(len(sprites)) < share
    pick = draw.randint(0, len(categories), len(sprites))
    sprites["shape"] = np.where(from_mask, MASK, sprites["shape"])
    sprites["category"] = np.array([CATEGORIES.index(c) for c in categories])[pick]
    sprites["index"] = np.floor(draw.random_sample(len(sprites)) * np.array(counts)[pick])
    stain = from_mask & (sprites["category"] == CATEGORIES.index("stain"))
    sprites["alpha"] = np.where(stain, sprites["alpha"] * 0.5, sprites["alpha"])
