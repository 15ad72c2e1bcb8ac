"""Makes damaged black-and-white film out of clean luma: dirt, scratches, flicker, weave, grain, wear of copies.

Procedural shapes by default, scanned masks of real damage where a folder is given. Small parameters come from a
Mersenne Twister seeded by the caller's generator (its stream is frozen, so validation damage stays comparable); the
pictures are made with tensor operations on the device of the clean clip.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from export.material import decode_clip
from export.material.files import VIDEO_SUFFIXES
from export.scores.metrics import psnr
from vs_remaster.errors import InputError

log = logging.getLogger(__name__)

CATEGORIES = ("dirt", "dots", "hair", "hair-short", "lint", "scratches", "smut", "spots", "sprinkles", "stain")
NOMINAL_LINES = 400  # sizes and counts below are for a frame of so many lines, 4:3
Range = tuple[float, float]


class Damaged(NamedTuple):
    """A damaged clip, what it should be restored to, and where dirt or scratches lie (0..1); shapes alike."""

    frames: torch.Tensor
    target: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class DamageSettings:
    """Ranges from which each clip draws its own damage.

    Counts are means of what is visible in one whole frame; a clip has each kind with the probability `chance`
    gives it and then draws its count as low + (high - low) * u^2, so that most clips are mildly damaged.
    """

    lines: Range = (240.0, 480.0)  # lines of the whole frame which a training crop is cut from
    density: float = 1.0  # factor on all counts
    severity: float = 1.0  # factor on the strength of flicker, grain, fading, weave
    clean: float = 0.15  # share of clips left undamaged
    sound: float = 0.1  # share of clips that have dirt and scratches and nothing else
    template: float = 0.7  # share of shapes taken from masks, where masks are given

    dust: Range = (0.5, 60.0)
    streaks: Range = (0.2, 10.0)  # short upright scratches of one frame
    blotches: Range = (0.05, 1.5)
    clusters: Range = (0.05, 0.8)  # sprays of specks and abrasions; masks only
    hairs: Range = (0.1, 2.5)
    gate_hairs: Range = (1.0, 6.0)  # more than films have: the view of few frames learns them slowly
    scratches: Range = (0.5, 6.0)
    splice: float = 0.03  # probability a frame
    flicker: Range = (0.01, 0.12)  # standard deviation of log gain
    gamma: Range = (0.0, 0.1)  # standard deviation of log gamma
    uneven: Range = (0.0, 0.05)  # standard deviation of the slow gain field across the frame
    fade_gain: Range = (0.85, 1.1)
    fade_lift: Range = (0.0, 0.06)
    vignette: Range = (0.0, 0.35)
    grain: Range = (0.01, 0.075)  # standard deviation at mid gray
    grain_size: Range = (0.2, 1.5)  # sigma, pixels; the low end is as good as white noise
    weave: Range = (0.3, 3.0)  # largest shift, pixels
    repeat: float = 0.05  # probability a frame
    blur: Range = (0.3, 1.4)  # sigma, pixels
    halo: Range = (0.1, 0.9)
    blocks: Range = (0.006, 0.09)  # quantiser step
    compressed: float = 0.6  # share of blurred clips compressed afterwards, which sharpening must not bring out
    chance: dict[str, float] = field(
        default_factory=lambda: {
            "dust": 0.9, "streaks": 0.6, "blotches": 0.6, "clusters": 0.35, "hairs": 0.6, "gate_hairs": 0.6,
            "scratches": 0.6, "splice": 0.1, "flicker": 0.75, "uneven": 0.6, "fade": 0.6, "vignette": 0.35,
            "grain": 0.9, "weave": 0.6, "repeat": 0.15, "blur": 0.4, "halo": 0.4, "blocks": 0.2,
        }
    )  # fmt: skip

    def only(self, *kinds: str) -> DamageSettings:
        """These settings with every kind but `kinds` switched off and no clean clips; for tests and pictures."""
        unknown = set(kinds) - set(self.chance)
        if unknown:
            raise InputError(f"unknown damage {sorted(unknown)}; choose from {sorted(self.chance)}")
        return replace(self, clean=0.0, sound=0.0, chance={k: float(k in kinds) for k in self.chance})

    def steady(self) -> DamageSettings:
        """These settings without weave and repeated frames, so that the clean clip's colours still fit the damaged
        one."""
        return replace(self, chance=self.chance | {"weave": 0.0, "repeat": 0.0})


STRUCTURAL = ("dust", "streaks", "blotches", "clusters", "hairs", "gate_hairs", "scratches", "splice")


# Masks ---------------------------------------------------------------------------------------------------------

_ATLAS = 256  # side of the largest atlas level; a mask's longer side fills 3/4 of it, so that it can turn freely
_FILL = 0.75
_ATLAS_TOP = {"dots": 64, "hair-short": 128}


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
        top = _ATLAS_TOP.get(category, _ATLAS)
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
    scale = side * _FILL / max(mask.shape)
    height, width = (max(1, round(s * scale)) for s in mask.shape)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = mask
    return canvas


# Dirt: what to draw ----------------------------------------------------------------------------------------------

_BLOB, _CURVE, _MASK = 0, 1, 2


class _Kind(NamedTuple):
    diameter: Range  # pixels at NOMINAL_LINES, drawn log-uniformly
    life: Range  # frames
    alpha: Range
    soft: Range  # edge, pixels; for curves half the width
    shape: int
    categories: tuple[str, ...]
    aspect: Range = (1.0, 1.0)
    upright: bool = False
    lasting: float = 0.0  # share that lives as long as `life` says and drifts; the others live one frame
    edge: bool = False  # reaches in from the border of the frame


_KINDS = {
    "dust": _Kind((2.0, 11.0), (1, 1), (0.45, 1.0), (0.35, 0.9), _BLOB, ("dots", "smut"), (1.0, 2.2)),
    "streaks": _Kind((6.0, 60.0), (1, 2), (0.3, 0.9), (0.3, 0.6), _BLOB, (), (8.0, 30.0), upright=True),
    "blotches": _Kind((20, 150), (3, 15), (0.12, 0.9), (0.6, 6), _BLOB, ("smut", "stain", "dots"), (1.0, 1.8),
                      lasting=0.06),
    "clusters": _Kind((70, 220), (1, 1), (0.3, 0.9), (1, 1), _MASK, ("dirt", "spots", "sprinkles", "scratches")),
    "hairs": _Kind((12, 130), (1, 2), (0.4, 0.95), (0.5, 1.0), _CURVE, ("hair", "hair-short", "lint")),
    "gate_hairs": _Kind((30, 140), (20, 200), (0.5, 0.98), (0.6, 1.2), _CURVE, ("hair", "hair-short", "lint"),
                        lasting=1.0, edge=True),
}  # fmt: skip


class _Place(NamedTuple):
    """Where a clip's picture lies in the whole frame it was cut from, all in pixels."""

    frame_height: float
    frame_width: float
    top: float
    left: float
    unit: float  # pixels for one pixel of a NOMINAL_LINES frame
    area: float  # size of the frame in 4:3 frames of as many lines: counts grow with it


def _place(draw: np.random.RandomState, height: int, width: int, lines: float) -> _Place:
    """Put the picture somewhere in a 4:3 frame of `lines`, in three of four cases at its border, which is else too
    rare; one with as short an edge is a whole frame itself."""
    whole = lines <= min(height, width)
    down, across = (height, width) if whole else (max(lines, height), max(lines * 4 / 3, width))
    u = np.clip(2 * draw.random_sample(2) - 0.5, 0, 1)
    area = down * across / (lines * lines * 4 / 3)
    return _Place(down, across, u[0] * (down - height), u[1] * (across - width), lines / NOMINAL_LINES, area)


def _between(draw: np.random.RandomState, span: Range, size=None):
    return span[0] + (span[1] - span[0]) * draw.random_sample(size)


def _log_between(draw: np.random.RandomState, span: Range, size=None):
    return span[0] * (span[1] / span[0]) ** draw.random_sample(size)


def _on(draw: np.random.RandomState, settings: DamageSettings, kind: str) -> bool:
    return draw.random_sample() < settings.chance[kind]


_FIELDS = ("clip", "first", "last", "y", "x", "vy", "vx", "diameter", "angle", "aspect", "soft", "alpha", "white",
           "shape", "category", "index", "jitter", "seed")  # fmt: skip


def _draw_sprites(
    draw: np.random.RandomState, settings: DamageSettings, templates: Templates | None, clip: int, frames: int,
    height: int, width: int, place: _Place,
) -> np.ndarray:  # fmt: skip
    """All shapes of one clip that touch its picture; float64 [M, len(_FIELDS)], positions relative to the picture."""
    whiteness = draw.choice([0.08, 0.5, 0.92], p=[0.3, 0.3, 0.4])
    parts = []
    for name, kind in _KINDS.items():
        if not _on(draw, settings, name):
            continue
        low, high = getattr(settings, name)
        mean = (low + (high - low) * draw.random_sample() ** 2) * settings.density * place.area
        categories = [c for c in kind.categories if templates is not None and templates.count(c)]
        if kind.shape == _MASK and not categories:
            continue
        long = kind.life[1] if kind.lasting else 1.0
        share = kind.lasting * (sum(kind.life) / 2) + 1 - kind.lasting  # mean life of this kind
        count = draw.poisson(mean / share * (frames + long))
        if count == 0:
            continue
        parts.append(_draw_kind(draw, kind, categories, settings, templates, count, clip, frames, place, whiteness))
    if not parts:
        return np.zeros((0, len(_FIELDS)))
    rows = np.concatenate(parts)
    reach = rows[:, 7] / 2 + 8
    seen = (rows[:, 3] > -reach) & (rows[:, 3] < height + reach) & (rows[:, 4] > -reach) & (rows[:, 4] < width + reach)
    return rows[seen & (rows[:, 1] < frames) & (rows[:, 2] > 0)]


def _draw_kind(draw, kind, categories, settings, templates, count, clip, frames, place, whiteness) -> np.ndarray:
    rows = {name: np.zeros(count) for name in _FIELDS}
    rows["clip"][:] = clip
    lasting = draw.random_sample(count) < kind.lasting
    life = np.where(lasting, np.rint(_between(draw, kind.life, count)), 1)
    long = int(kind.life[1]) if kind.lasting else 1
    # dirt comes in bursts: some frames get several times the mean
    weight = np.exp(0.6 * draw.standard_normal(frames + long))
    first = np.searchsorted(np.cumsum(weight) / weight.sum(), draw.random_sample(count)) - long + 1
    rows["first"], rows["last"] = first, first + life
    rows["diameter"] = _log_between(draw, kind.diameter, count) * place.unit
    u = draw.random_sample((2, count))
    if kind.edge:
        side = draw.randint(0, 2, count)
        reach = rows["diameter"] / 2 * (draw.random_sample(count) * 1.6 - 0.6)
        u[0] = np.where(draw.random_sample(count) < 0.7, np.where(side, place.frame_height - reach, reach)
                        / place.frame_height, u[0])  # fmt: skip
    rows["y"] = u[0] * place.frame_height - place.top
    rows["x"] = u[1] * place.frame_width - place.left
    drift = np.where(lasting & (not kind.edge), 1.0, 0.0) * place.unit
    rows["vy"], rows["vx"] = draw.standard_normal((2, count)) * drift
    rows["jitter"][:] = 0.4 if kind.edge else 0.0
    tilt = 0.05 * draw.standard_normal(count)
    rows["angle"] = math.pi / 2 + tilt if kind.upright else draw.random_sample(count) * 2 * math.pi
    rows["aspect"] = _log_between(draw, kind.aspect, count)
    rows["soft"] = _log_between(draw, kind.soft, count) * (1.0 if kind.shape == _BLOB else place.unit)
    rows["alpha"] = _between(draw, kind.alpha, count)
    rows["white"] = draw.random_sample(count) < whiteness
    rows["shape"][:] = kind.shape
    rows["seed"] = draw.random_sample(count)
    if categories:
        from_mask = draw.random_sample(count) < (1.0 if kind.shape == _MASK else settings.template)
        pick = draw.randint(0, len(categories), count)
        sizes = np.array([templates.count(c) for c in categories])[pick]
        rows["shape"] = np.where(from_mask, _MASK, kind.shape)
        rows["category"] = np.array([CATEGORIES.index(c) for c in categories])[pick]
        rows["index"] = np.floor(draw.random_sample(count) * sizes)
        stain = from_mask & (rows["category"] == CATEGORIES.index("stain"))
        rows["alpha"] = np.where(stain, rows["alpha"] * 0.5, rows["alpha"])
    return np.stack([rows[name] for name in _FIELDS], axis=1)


# Dirt: drawing it ------------------------------------------------------------------------------------------------


class _Layers:
    """Transmission of the dark and of the white dirt, kept as log(1 - alpha) so that order does not matter."""

    def __init__(self, count: int, height: int, width: int, device: torch.device) -> None:
        self.count, self.height, self.width = count, height, width
        self.plane = count * height * width
        self.log = torch.zeros(2 * self.plane + 1, device=device)  # the last slot takes what falls outside

    def paste(self, alpha, picture, white, top, left) -> None:
        """Add patches `alpha` [E, h, w] at integer places; `picture`, `white`, `top`, `left` are int64 [E]."""
        rows = top[:, None] + torch.arange(alpha.shape[1], device=alpha.device)
        columns = left[:, None] + torch.arange(alpha.shape[2], device=alpha.device)
        base = picture * (self.height * self.width) + white * self.plane
        where = (base[:, None] + rows * self.width)[:, :, None] + columns[:, None, :]
        inside = ((rows >= 0) & (rows < self.height))[:, :, None] & ((columns >= 0) & (columns < self.width))[:, None]
        where = torch.where(inside, where, 2 * self.plane)
        self.log.index_add_(0, where.flatten(), torch.log1p(-alpha.clamp(0, 0.995)).flatten())

    def transmission(self) -> tuple[torch.Tensor, torch.Tensor]:
        both = torch.exp(self.log[:-1]).view(2, self.count, 1, self.height, self.width)
        return both[0], both[1]


def _paste_sprites(layers: _Layers, rows: np.ndarray, frames: int, draw, templates: Templates | None) -> None:
    """Draw each shape once and paste it into the frames of its life."""
    if not len(rows):
        return
    device = layers.log.device
    column = {name: i for i, name in enumerate(_FIELDS)}
    diameter, soft, shape = rows[:, column["diameter"]], rows[:, column["soft"]], rows[:, column["shape"]]
    cover = np.where(shape == _MASK, 1.42 * diameter, 1.15 * diameter + 5 * soft) + 3
    side = 2.0 ** np.ceil(np.log2(np.maximum(cover, 8)))
    group = side * 1000 + shape * 100 + np.where(shape == _MASK, rows[:, column["category"]], 0)
    for key in np.unique(group):
        part = rows[group == key]
        size = int(key // 1000)
        sheet = torch.from_numpy(part.astype(np.float32)).to(device)
        patch = _render(sheet.T[:, :, None, None], int(part[0, column["shape"]]), size, part, templates)
        first, last = np.maximum(part[:, 1], 0).astype(int), np.minimum(part[:, 2], frames).astype(int)
        which = np.repeat(np.arange(len(part)), last - first)
        time = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
        p = part[which]
        age = time - p[:, 1]
        wobble = draw.standard_normal((2, len(p))) * p[:, column["jitter"]]
        # the patch is drawn round its middle, so whole-pixel places suffice
        top = np.rint(p[:, 3] + age * p[:, 5] + wobble[0] - size / 2).astype(np.int64)
        left = np.rint(p[:, 4] + age * p[:, 6] + wobble[1] - size / 2).astype(np.int64)
        seen = (top > -size) & (top < layers.height) & (left > -size) & (left < layers.width)
        step = max(1, (1 << 22) // (size * size))
        picture = (p[:, 0] * frames + time).astype(np.int64)
        table = torch.from_numpy(np.stack([which, picture, p[:, 12].astype(np.int64), top, left])[:, seen]).to(device)
        for start in range(0, table.shape[1], step):
            index, *places = table[:, start : start + step]
            layers.paste(patch[index], *places)


def _render(s: torch.Tensor, shape: int, size: int, rows: np.ndarray, templates: Templates | None) -> torch.Tensor:
    """Draw shapes of one sort and patch size; `s` is [len(_FIELDS), M, 1, 1]. Returns alpha [M, size, size]."""
    diameter, angle, aspect, soft, alpha, seed = s[7], s[8], s[9], s[10], s[11], s[17]
    axis = torch.arange(size, dtype=torch.float32, device=s.device) - (size - 1) / 2
    y, x = axis[None, :, None], axis[None, None, :]
    cos, sin = torch.cos(angle), torch.sin(angle)
    u, v = cos * x + sin * y, cos * y - sin * x
    if shape == _MASK:
        return alpha * _render_masks(u, v, diameter, size, rows, templates)
    radius = diameter / 2
    if shape == _CURVE:
        # a hair is the graph of a few sines over its chord: cheap, and never crosses itself
        bend = seed * 6.283
        k = 3.0 / radius
        high = radius * 0.28 * (seed - 0.5)
        height = high * torch.cos(k * u * (0.5 + seed) + bend) + 0.1 * radius * torch.sin(2.3 * k * u + 5 * bend)
        slope = -high * k * (0.5 + seed) * torch.sin(k * u * (0.5 + seed) + bend)
        slope = slope + 0.23 * radius * k * torch.cos(2.3 * k * u + 5 * bend)
        distance = (v - height).abs() / torch.sqrt(1 + slope * slope)
        ends = torch.sigmoid((radius * 0.92 - u.abs()) / soft)
        return alpha * torch.exp(-0.5 * (distance / soft) ** 2) * ends
    # a blob is an ellipse whose radius wavers with the direction
    v = v * aspect
    theta = torch.atan2(v, u)
    phase = seed * 6.283
    wave = 0.16 * torch.cos(2 * theta + 7 * phase) + 0.12 * torch.cos(3 * theta + 13 * phase)
    wave = wave + 0.08 * torch.cos(5 * theta + 29 * phase) + 0.05 * torch.cos(9 * theta + 41 * phase)
    calm = (diameter / aspect / 4).clamp(max=1)  # thin or tiny shapes have no room to waver
    rim = radius * (1 + wave * calm) - torch.sqrt(u * u + v * v)
    steep = torch.minimum(soft * aspect, radius * 0.6)
    cloud = torch.sin(5.1 * u / radius + 17 * phase) * torch.sin(6.7 * v / radius + phase)
    return alpha * (1 - 0.17 * calm * (1 + cloud)) * torch.sigmoid(2.5 * rim / steep) * (rim > -2.2 * steep)


def _render_masks(u, v, diameter, size: int, rows: np.ndarray, templates: Templates) -> torch.Tensor:
    levels = templates.levels[CATEGORIES[int(rows[0, 14])]]
    side = min(levels, key=lambda s: (abs(math.log2(s / size)), s))
    atlas = levels[side]
    index = torch.from_numpy(rows[:, 15].astype(np.int64)).to(atlas.device)
    flip = torch.from_numpy(np.where(rows[:, 17] < 0.5, -1.0, 1.0).astype(np.float32)).to(u.device)[:, None, None]
    reach = diameter / (2 * _FILL)  # pixels from the middle to the rim of the atlas square
    grid = torch.stack([flip * u / reach, v / reach], dim=-1)
    patch = F.grid_sample(atlas[index][:, None].float() / 255, grid, align_corners=False)[:, 0]
    # thin shapes fade when shrunk: bring the strongest point back
    return patch / patch.amax(dim=(1, 2), keepdim=True).clamp_min(0.3)


def _paste_scratches(layers: _Layers, draw, settings, clip: int, frames: int, place: _Place) -> None:
    """Upright scratches that run through many frames, wandering and with gaps."""
    low, high = settings.scratches
    mean = (low + (high - low) * draw.random_sample() ** 2) * settings.density * place.area**0.5
    life = np.rint(_log_between(draw, (10, 300), draw.poisson(mean * (frames + 90) / 90)))
    count = len(life)
    if not count:
        return
    first = np.floor(draw.random_sample(count) * (frames + life)) - life
    start = draw.random_sample(count) * place.frame_width - place.left
    pace = _between(draw, (0.3, 1.0), count) * place.unit * draw.choice([0.15, 1.0], count)
    walk = start[:, None] + pace[:, None] * np.cumsum(draw.standard_normal((count, frames)), axis=1)
    tilt = 0.004 * draw.standard_normal(count)
    wide = _log_between(draw, (0.35, 1.6), count) * place.unit
    fixed = np.stack([
        _between(draw, (0.15, 0.9), count), draw.random_sample(count) < draw.choice([0.15, 0.85]), wide, tilt,
        _between(draw, (0, 1.5), count) * place.unit, _log_between(draw, (60, 600), count) * place.unit,
        draw.random_sample(count) * 6.283, _log_between(draw, (60, 500), count) * place.unit,
        draw.random_sample(count) * 2.2 - 0.5, draw.standard_normal(count) * 40 * place.unit,
    ], axis=1)  # fmt: skip
    t = np.arange(frames)
    alive = (t >= first[:, None]) & (t < (first + life)[:, None]) & (walk > -6) & (walk < layers.width + 6)
    which, time = np.nonzero(alive)
    if not len(which):
        return
    strength = np.clip(1 + 0.2 * draw.standard_normal(len(which)), 0.4, 1.4)
    table = np.concatenate([fixed[which], walk[which, time][:, None], time[:, None], strength[:, None]], axis=1)
    s = torch.from_numpy(table.astype(np.float32)).to(layers.log.device)
    alpha, left = _render_scratches(s.T[:, :, None, None], layers.height, place.top)
    picture = torch.from_numpy(clip * frames + time).to(s.device)
    layers.paste(alpha, picture, s[:, 1].long(), torch.zeros_like(left), left)


def _render_scratches(s: torch.Tensor, height: int, top: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Strips [E, height, 25] round scratches and their left columns [E]."""
    alpha, _, wide, tilt, sway, wave, phase, gap, cover, roll, x, time, strength = s
    left = torch.round(x[:, 0, 0]).long() - 12
    y = torch.arange(height, dtype=torch.float32, device=s.device)[None, :, None] + top
    line = x + tilt * (y - top - height / 2) + sway * torch.sin(6.283 * y / wave + phase)
    columns = left[:, None, None] + torch.arange(25, device=s.device)
    # the gaps roll through the frames like the film does
    along = y + roll * time
    beat = torch.sin(6.283 * along / gap + phase) + 0.7 * torch.sin(9.71 * along / gap + 5 * phase)
    beat = beat + 0.5 * torch.sin(22.3 * along / gap + 11 * phase) + 0.25 * torch.sin(53.9 * along / gap + 23 * phase)
    open_ = torch.sigmoid(5 * (beat + cover))
    profile = torch.exp(-0.5 * ((columns - line) / wide) ** 2)
    profile = torch.where(profile > 0.01, profile, 0.0)
    return (alpha * strength).clamp(max=0.97) * open_ * profile, left


def _paste_splice(layers: _Layers, draw, settings, clip: int, frames: int, place: _Place) -> np.ndarray:
    """A bright or dark band at the top or bottom of the frame where a splice passes; returns the frames [T] bool."""
    hit = draw.random_sample(frames) < settings.splice
    for time in np.flatnonzero(hit):
        thick = _between(draw, (1.5, 6.0)) * place.unit
        at = draw.choice([0.02, 0.98]) * place.frame_height - place.top
        y = torch.arange(layers.height, dtype=torch.float32, device=layers.log.device)
        band = 0.9 * torch.exp(-(((y - at) / thick) ** 4))
        alpha = torch.where(band > 0.01, band, 0.0)[None, :, None].expand(1, -1, layers.width)
        picture, white, zero = torch.tensor([[clip * frames + time], [draw.randint(2)], [0]]).to(y.device)
        layers.paste(alpha, picture, white, zero, zero)
    return hit


# Tone, motion, grain, copies -------------------------------------------------------------------------------------


def _filter(x: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Separable filter of pictures [N, 1, H, W], each with its own taps [N, K] down and across."""
    height, width = x.shape[-2:]
    for taps, dim in ((rows, 2), (columns, 3)):
        taps = taps.to(x)
        reach = taps.shape[1] // 2
        size = height if dim == 2 else width
        mode = "reflect" if reach < size else "replicate"
        padded = F.pad(x, (0, 0, reach, reach) if dim == 2 else (reach, reach, 0, 0), mode=mode)
        x = padded.narrow(dim, 0, size) * taps[:, 0, None, None, None]
        for k in range(1, taps.shape[1]):
            x.addcmul_(padded.narrow(dim, k, size), taps[:, k, None, None, None])
    return x


def _gauss(sigma: np.ndarray, unit_energy: bool = False) -> torch.Tensor:
    reach = int(np.ceil(2.5 * sigma.max()))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma[:, None]) ** 2)
    norm = np.sqrt((taps**2).sum(1)) if unit_energy else taps.sum(1)
    return torch.from_numpy((taps / norm[:, None]).astype(np.float32))


def _shift_taps(shift: np.ndarray) -> torch.Tensor:
    """Lanczos-3 taps [N, K] that move pictures by `shift` pixels: sharp, unlike bilinear."""
    reach = int(np.ceil(np.abs(shift).max())) + 3
    at = np.arange(-reach, reach + 1) + shift[:, None]
    taps = np.where(np.abs(at) < 3, np.sinc(at) * np.sinc(at / 3), 0.0)
    return torch.from_numpy((taps / taps.sum(1, keepdims=True)).astype(np.float32))


def _ar1(draw: np.random.RandomState, frames: int, deviation: float, memory: float) -> np.ndarray:
    """Stationary first-order autoregression [T] with the mean over the clip taken out (nobody could know it)."""
    noise = draw.standard_normal(frames)
    out = np.empty(frames)
    state = noise[0]
    for t in range(frames):
        state = memory * state + math.sqrt(1 - memory * memory) * noise[t] if t else state
        out[t] = state
    return deviation * (out - out.mean())


def _weave(draw, settings, frames: int, place: _Place, jumps: np.ndarray) -> np.ndarray:
    """Shifts [2, T] in pixels, down and across; `jumps` are frames after a splice."""
    reach = _log_between(draw, settings.weave) * min(1.0, settings.severity) * place.unit
    memory = draw.random_sample() * 0.8
    path = np.stack([_ar1(draw, frames, reach * f, memory) for f in (0.5, 0.35)])
    path[0] += jumps * reach * draw.standard_normal(frames)
    return np.clip(path, -reach, reach)


def _tone(draw, settings: DamageSettings, frames: int):
    """Per-frame gain, gamma, lift [T, 3] and the fields' coefficients [T, 9] on a cosine basis of the frame."""
    strength = settings.severity
    tone = np.tile([1.0, 1.0, 0.0], (frames, 1))
    field_ = np.zeros((frames, 9))
    if _on(draw, settings, "flicker"):
        memory = draw.random_sample() * 0.8
        gain = np.clip(_ar1(draw, frames, _log_between(draw, settings.flicker) * strength, memory), -0.16, 0.16)
        gamma = np.clip(_ar1(draw, frames, _between(draw, settings.gamma) * strength, memory), -0.2, 0.2)
        tone[:, 0], tone[:, 1] = np.exp(gain), np.exp(gamma)
    if _on(draw, settings, "fade"):
        tone[:, 0] *= _between(draw, settings.fade_gain)
        tone[:, 2] += _between(draw, settings.fade_lift) * draw.random_sample() * min(1.0, strength)
    if _on(draw, settings, "uneven"):
        deviation = _between(draw, settings.uneven) * strength
        memory = draw.random_sample()
        fall = np.array([[0, 1, 0.6], [1, 0.7, 0.4], [0.6, 0.4, 0.3]]).ravel()
        field_ += np.stack([_ar1(draw, frames, deviation * f, memory) for f in fall], axis=1)
    dark = _between(draw, settings.vignette) if _on(draw, settings, "vignette") else 0.0
    return tone, field_, dark * min(1.0, strength)


def _basis(place: _Place, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    y = (np.arange(height) + 0.5 + place.top) / place.frame_height
    x = (np.arange(width) + 0.5 + place.left) / place.frame_width
    down = np.cos(np.pi * np.arange(3)[:, None] * y)
    across = np.cos(np.pi * np.arange(3)[:, None] * x)
    return down, across, (2 * y - 1) ** 2, (2 * x - 1) ** 2


def _apply_tone(x, tones, fields, vignettes, places) -> torch.Tensor:
    """gain * x^gamma * field + lift for pictures [B, T, 1, H, W]."""
    batch, frames, _, height, width = x.shape
    device = x.device
    parts = [_basis(p, height, width) for p in places]
    stacked = (np.stack(p).astype(np.float32) for p in zip(*parts, strict=True))
    down, across, dy, dx = (torch.from_numpy(p).to(device) for p in stacked)
    tone = torch.from_numpy(np.stack(tones).astype(np.float32)).to(device)[..., None, None, None]
    grid = torch.from_numpy(np.stack(fields).astype(np.float32)).to(device).view(batch, frames, 3, 3)
    gain = torch.einsum("bih,btij,bjw->bthw", down, grid, across) + 1
    dark = torch.tensor(vignettes, dtype=torch.float32, device=device)[:, None, None]
    gain = gain * (1 - dark * (dy[:, :, None] + dx[:, None, :]) / 2)[:, None]
    gamma = tone[:, :, 1]
    if bool((gamma != 1).any()):
        x = torch.exp2(torch.log2(x.clamp_min(1e-4)) * gamma)
    lift = tone[:, :, 2]
    return x * (gain[:, :, None] * tone[:, :, 0] * (1 - lift)) + lift


def _grain(x: torch.Tensor, sigma: np.ndarray, amount: np.ndarray, generator: torch.Generator) -> torch.Tensor:
    """Add film grain to pictures [N, 1, H, W]: correlated, new in every frame, strongest in the middle tones."""
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    taps = _gauss(sigma, unit_energy=True)
    noise = _filter(noise, taps, taps)
    strength = torch.from_numpy(amount.astype(np.float32)).to(x.device)[:, None, None, None]
    y = x.clamp(0, 1)
    return x + noise * strength * (0.35 + 2.6 * y * (1 - y))


def _copy_wear(draw, settings: DamageSettings, x: torch.Tensor) -> torch.Tensor:
    """Scan blur, sharpening halo and compression blocks on clips [B, T, 1, H, W]; each clip draws its own."""
    batch, frames = x.shape[:2]
    kinds = ("blur", "halo", "blocks")
    on = {k: np.array([_on(draw, settings, k) for _ in range(batch)]) for k in kinds}
    blur, halo, size = (_between(draw, r, batch) for r in (settings.blur, settings.halo, (0.8, 1.8)))
    step = _log_between(draw, settings.blocks, batch)
    if settings.compressed:
        on["blocks"] |= on["blur"] & (draw.random_sample(batch) < settings.compressed)
    for kind in kinds:
        clips = np.flatnonzero(on[kind])
        if not len(clips):
            continue
        part = x[torch.from_numpy(clips).to(x.device)].flatten(0, 1)
        each = np.repeat(clips, frames)
        if kind == "blur":
            part = _filter(part, _gauss(blur[each]), _gauss(blur[each]))
        elif kind == "halo":
            soft = _filter(part, _gauss(size[each]), _gauss(size[each]))
            amount = torch.from_numpy(halo[each].astype(np.float32)).to(x.device)[:, None, None, None]
            part = part + amount * (part - soft)
        else:
            part = _block_artefacts(part, step[each])
        x = x.index_copy(0, torch.from_numpy(clips).to(x.device), part.view(len(clips), *x.shape[1:]))
    return x


def _block_artefacts(x: torch.Tensor, step: np.ndarray) -> torch.Tensor:
    """Quantise the 8x8 cosine transform of pictures [N, 1, H, W], coarser at high frequencies."""
    k = torch.arange(8, dtype=torch.float32, device=x.device)
    quant = torch.from_numpy(step.astype(np.float32)).to(x.device).view(-1, 1, 1)
    return quantise_blocks(x, quant * (1 + 0.35 * (k[:, None] + k)))


def quantise_blocks(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Round the orthonormal 8x8 cosine transform of pictures [N, 1, H, W] to multiples of `table` [N, 8, 8]."""
    count, _, height, width = x.shape
    k = torch.arange(8, dtype=torch.float32, device=x.device)
    basis = torch.cos(math.pi * k[:, None] * (2 * k + 1) / 16) * 0.5
    basis[0] *= math.sqrt(0.5)
    pad = (0, -width % 8, 0, -height % 8)
    y = F.pad(x, pad, mode="replicate")
    y = y.view(count, y.shape[2] // 8, 8, y.shape[3] // 8, 8).transpose(2, 3)
    quant = table[:, None, None]
    y = basis @ y @ basis.T
    y = basis.T @ (torch.round(y / quant) * quant) @ basis
    return y.transpose(2, 3).reshape(count, 1, height + pad[3], width + pad[1])[..., :height, :width]


def _repeats(draw, settings: DamageSettings, frames: int) -> np.ndarray:
    """Which frame is shown when: now and then one twice, or one left out."""
    step = np.ones(frames, np.int64)
    step[draw.random_sample(frames) < settings.repeat / 2] = 0
    step[draw.random_sample(frames) < settings.repeat / 2] = 2
    step[0] = 0
    return np.minimum(np.cumsum(step), frames - 1)


# The whole -------------------------------------------------------------------------------------------------------


def damage_batch(
    clean: torch.Tensor,
    generator: torch.Generator | None = None,
    settings: DamageSettings = DamageSettings(),
    templates: Templates | None = None,
    lines: float | None = None,
) -> Damaged:
    """Damage a batch of clean clips, each in its own way.

    Args:
        clean: luma [B, T, 1, H, W], 0..1, float32, any device.
        generator: CPU generator of all random choices.
        settings: what may happen and how strongly.
        templates: masks of real damage, on the device of `clean`; None: procedural shapes only.
        lines: lines of the whole frame which the pictures are cut from, in their own pixels; None: drawn a clip
            from `settings.lines`. It sets how large and how many the damages are.

    Returns:
        frames, target and mask, each [B, T, 1, H, W]. The target has the same weave and the same repeated and
        dropped frames as the input; the mask is 0 where no dirt, hair or scratch changed the picture.
    """
    if clean.ndim != 5 or clean.shape[2] != 1:
        raise InputError(f"clean clips must be [B, T, 1, H, W], got {tuple(clean.shape)}; add the missing dimensions")
    batch, frames, _, height, width = clean.shape
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
    draw = np.random.RandomState(seed)
    noise = torch.Generator(clean.device).manual_seed(seed)
    layers = _Layers(batch * frames, height, width, clean.device)
    places, sprites, shifts, tones, fields, vignettes, order, late = [], [], [], [], [], [], [], []
    for clip in range(batch):
        place = _place(draw, height, width, lines or _between(draw, settings.lines))
        places.append(place)
        sprites.append(_draw_sprites(draw, settings, templates, clip, frames, height, width, place))
        if _on(draw, settings, "scratches"):
            _paste_scratches(layers, draw, settings, clip, frames, place)
        jumps = np.zeros(frames, bool)
        if _on(draw, settings, "splice"):
            jumps = _paste_splice(layers, draw, settings, clip, frames, place)
        still = np.zeros((2, frames))
        shifts.append(_weave(draw, settings, frames, place, jumps) if _on(draw, settings, "weave") else still)
        for kept, new in zip((tones, fields, vignettes), _tone(draw, settings, frames), strict=True):
            kept.append(new)
        same = np.arange(frames)
        order.append(_repeats(draw, settings, frames) if _on(draw, settings, "repeat") else same)
        late.append(draw.random_sample() < 0.5)
    _paste_sprites(layers, np.concatenate(sprites), frames, draw, templates)

    # a frame repeated when printing gets its own dirt and grain; one repeated when scanning brings them along
    early = [np.arange(frames) if is_late else o for o, is_late in zip(order, late, strict=True)]
    target = _weave_pictures(_reorder(clean, early), np.concatenate(shifts, axis=1))
    x = _apply_tone(target, tones, fields, vignettes, places)
    x = _add_grain(draw, settings, x, noise)
    dirt = _Dirt.of(draw, layers, target)
    x, mask = dirt.over(x)
    x = _copy_wear(draw, settings, x).clamp_(0, 1)
    fate = draw.random_sample(batch)
    untouched = np.flatnonzero(fate < settings.clean)
    if len(untouched):
        x[untouched], mask[untouched] = target[untouched], 0.0
    sound = np.flatnonzero((fate >= settings.clean) & (fate < settings.clean + settings.sound))
    if len(sound):
        theirs = _Dirt(dirt.dark[sound], dirt.white[sound], dirt.inks[:, sound])
        x[sound], mask[sound] = theirs.over(target[sound])
    final = [o if is_late else np.arange(frames) for o, is_late in zip(order, late, strict=True)]
    return Damaged(_reorder(x, final), _reorder(target, final), _reorder(mask, final))


def _reorder(x: torch.Tensor, order: list[np.ndarray]) -> torch.Tensor:
    if all((o == np.arange(len(o))).all() for o in order):
        return x
    index = torch.from_numpy(np.stack(order)).to(x.device)
    return x[torch.arange(len(order), device=x.device)[:, None], index]


def _weave_pictures(x: torch.Tensor, shift: np.ndarray) -> torch.Tensor:
    if not shift.any():
        return x
    rows, columns = (_shift_taps(s) for s in shift)
    return _filter(x.flatten(0, 1), rows, columns).clamp_(0, 1).view(x.shape)


def _add_grain(draw, settings: DamageSettings, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    batch, frames = x.shape[:2]
    on = np.array([_on(draw, settings, "grain") for _ in range(batch)])
    amount = np.where(on, _log_between(draw, settings.grain, batch) * settings.severity, 0.0)
    sigma = _between(draw, settings.grain_size, batch)
    if not on.any():
        return x
    noisy = _grain(x.flatten(0, 1), np.repeat(sigma, frames), np.repeat(amount, frames), generator)
    return noisy.view(x.shape)


class _Dirt(NamedTuple):
    """Dirt on clips [B, T, 1, H, W]: how much light passes the dark and the white, and inks [2, B, 1, 1, 1, 1]."""

    dark: torch.Tensor
    white: torch.Tensor
    inks: torch.Tensor

    @classmethod
    def of(cls, draw, layers: _Layers, clips: torch.Tensor) -> _Dirt:
        """A near-black and a near-white for each of `clips`."""
        batch = len(clips)
        inks = np.stack([_between(draw, (0.0, 0.12), batch), _between(draw, (0.8, 1.0), batch)]).astype(np.float32)
        dark, white = (t.view(clips.shape) for t in layers.transmission())
        return cls(dark, white, torch.from_numpy(inks).to(clips.device)[..., None, None, None, None])

    def over(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lay it over clips; returns clips and mask."""
        dark, white, (black, bright) = self
        soiled = (x * dark + black * (1 - dark)) * white + bright * (1 - white)
        # faint dirt counts more than its opacity, but dirt that changes nothing (black on black) does not count
        visible = ((soiled - x).abs() / 0.04).clamp(max=1)
        clear = dark * white
        mask = (1 - clear * clear * clear) * visible
        return torch.where(clear < 1, soiled, x), mask


def damage(
    clean: torch.Tensor,
    generator: torch.Generator | None = None,
    settings: DamageSettings = DamageSettings(),
    templates: Templates | None = None,
    lines: float | None = None,
) -> Damaged:
    """Damage one clean clip [T, 1, H, W]: a whole frame unless `lines` is given; see `damage_batch`."""
    made = damage_batch(clean[None], generator, settings, templates, lines or min(clean.shape[-2:]))
    return Damaged(*(part[0] for part in made))


# Validation ------------------------------------------------------------------------------------------------------

# Frozen, and spelt out so that new training defaults leave it alone: figures measured with other numbers here (or
# other ranges in _KINDS) cannot be compared.
VALIDATION = DamageSettings(
    clean=0.0,
    sound=0.0,
    template=0.7,
    density=1.3,
    severity=1.2,
    dust=(20.0, 60.0),
    streaks=(2.0, 12.0),
    blotches=(1.0, 3.0),
    clusters=(0.2, 0.9),
    hairs=(0.4, 1.5),
    gate_hairs=(0.5, 2.0),
    scratches=(2.0, 6.0),
    splice=0.0,
    flicker=(0.06, 0.1),
    gamma=(0.0, 0.1),
    uneven=(0.015, 0.04),
    fade_gain=(0.86, 1.04),
    fade_lift=(0.0, 0.06),
    vignette=(0.0, 0.25),
    grain=(0.02, 0.052),
    grain_size=(0.5, 1.25),
    weave=(0.3, 3.0),
    repeat=0.05,
    blur=(0.3, 1.1),
    halo=(0.1, 0.45),
    blocks=(0.015, 0.09),
    compressed=0.0,
    chance={
        "dust": 1.0, "streaks": 0.8, "blotches": 1.0, "clusters": 0.5, "hairs": 0.8, "gate_hairs": 0.3,
        "scratches": 0.9, "splice": 0.0, "flicker": 1.0, "uneven": 0.8, "fade": 0.6, "vignette": 0.4,
        "grain": 1.0, "weave": 0.6, "repeat": 0.1, "blur": 0.5, "halo": 0.3, "blocks": 0.2,
    },
)  # fmt: skip
VALIDATION_EDGE = 272  # short edge of the clean validation clips: at least 1.3 times smaller than every source
VALIDATION_FRAMES = 48


def validation_clip(
    name: str, clean: torch.Tensor, templates: Templates | None, steady: bool = False, only: Sequence[str] = ()
) -> Damaged:
    """The frozen validation damage of one clip: the same on every machine and in every run.

    Args:
        name: the clip's name (file name without its ending): it alone chooses the damage.
        clean: luma [T, 1, H, W], 0..1, whole frames; moved to the CPU in float32. At most `VALIDATION_FRAMES` frames
            for figures that can be compared.
        templates: the masks of `damage/val`, on the CPU.
        steady: no weave and no repeated frames (`DamageSettings.steady`).
        only: kinds of damage in place of all of them (`DamageSettings.only`).
    """
    settings = VALIDATION.only(*only) if only else VALIDATION
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    generator = torch.Generator().manual_seed(seed)
    clean = clean.detach().float().cpu()
    frames = len(clean)
    # always made for the same length, so that fewer frames get the same damage as the first of many
    padded = torch.cat([clean, clean[-1:].expand(max(0, VALIDATION_FRAMES - frames), -1, -1, -1)])
    made = damage(padded, generator, settings.steady() if steady else settings, templates)
    return Damaged(*(part[:frames] for part in made))


def contact_sheet(made: Damaged, times: list[int]) -> np.ndarray:
    """Rows of input, target and mask at the given frames, as one uint8 picture."""
    rows = [torch.cat([part[t, 0] for t in times], dim=1) for part in made]
    return (torch.cat(rows).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _write_validation(data: Path, out: Path) -> None:
    templates = load_templates(data / "damage" / "val")
    out.mkdir(parents=True, exist_ok=True)
    values = []
    paths = sorted(p for p in (data / "video" / "val").iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
    for path in paths:
        luma = decode_clip(path, short_edge=VALIDATION_EDGE, limit_frames=VALIDATION_FRAMES)
        made = validation_clip(path.stem, torch.from_numpy(luma)[:, None].float() / 255, templates)
        values.append(psnr(made.frames, made.target))
        times = [len(luma) // 2 + k for k in (-8, 0, 1) if 0 <= len(luma) // 2 + k < len(luma)]
        cv2.imwrite(str(out / f"{path.stem}.png"), contact_sheet(made, times))
        share = 100 * float((made.mask > 0.1).float().mean())
        print(f"{path.stem:40s} {luma.shape[2]}x{luma.shape[1]} input {values[-1]:5.2f} dB  soiled {share:4.1f} %")
    print(f"mean {sum(values) / len(values):.2f} dB over {len(values)} clips; pictures in {out}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the frozen validation damage and say how strong it is.")
    parser.add_argument("--validation", action="store_true", required=True, help="damage the validation clips")
    parser.add_argument("--data", type=Path, required=True, help="folder with video/val and damage/val")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    options = parser.parse_args()
    _write_validation(options.data, options.out)


if __name__ == "__main__":
    main()
