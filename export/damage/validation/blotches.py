"""The set `blotches`: opaque shapes that hide what lies beneath for one to three frames.

What is under them can only be known from the frames around. Half of them are drawn, half are masks of real damage made
large; half lie where the scene moves.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import torch

from export.damage.chance import Draw
from export.damage.masks import Templates
from export.damage.synthesis import Damaged
from export.damage.wear import film_grain

SHAPES = 3  # in a frame, at most; one at least
COVERED = (0.02, 0.2)  # of a frame: what one shape hides at least, and all together at most
LIFE = 3  # frames, at most
INKS = ((0.0, 0.1), (0.88, 1.0), (0.3, 0.7))  # black, white or gray
TEXTURE = 0.035  # standard deviation of the ink
HARD, SOFT = (0.3, 0.8), (2.0, 7.0)  # edges, pixels in a frame of `LINES`; as many are soft as are hard
LINES = 272
MOVING = 0.5  # share of shapes that lie where the scene moves
MASKS = 0.5  # share of shapes that are masks
CATEGORIES = ("dots", "smut", "stain")
GRAINY = 0.5  # share of clips with grain
GRAIN, GRAIN_SIZE = (0.02, 0.035), (0.5, 1.0)  # standard deviation at mid gray; sigma, pixels


class _Blotch(NamedTuple):
    """One shape: how opaque it is and what it shows, [H, W], 0..1; the share of the frame; the frame after its life."""

    alpha: np.ndarray
    ink: np.ndarray
    share: float
    end: int


def blotched(draw: Draw, clean: torch.Tensor, templates: Templates | None) -> Damaged:
    """Damage luma [T, 1, H, W], 0..1."""
    frames = _grained(Draw(draw.randint(2**31)), clean)[:, 0].numpy()
    truth = clean[:, 0].numpy()
    masks = np.zeros_like(frames)
    living: list[_Blotch] = []
    for time, frame in enumerate(frames):
        living = [blotch for blotch in living if blotch.end > time]
        wanted = draw.randint(1, SHAPES + 1)
        while len(living) < wanted:
            room = COVERED[1] - sum(blotch.share for blotch in living)
            if room < COVERED[0]:
                break
            motion = np.abs(truth[time] - truth[max(0, time - 1)] if time else truth[min(1, len(truth) - 1)] - truth[0])
            living.append(_blotch(draw, motion, draw.log_between((COVERED[0], room)), time, templates))
        for blotch in living:
            frame += blotch.alpha * (blotch.ink - frame)
            masks[time] = np.maximum(masks[time], blotch.alpha)
    return Damaged(torch.from_numpy(frames)[:, None], clean, torch.from_numpy(masks)[:, None])


def _grained(draw: Draw, clean: torch.Tensor) -> torch.Tensor:
    """The clip, in some cases with light grain; a copy."""
    grainy, amount, size = draw.happens(GRAINY), draw.log_between(GRAIN), draw.between(GRAIN_SIZE)
    if not grainy:
        return clean.clone()
    noise = torch.Generator().manual_seed(int(draw.randint(2**31)))
    # frame by frame: as many numbers are drawn for one, whatever follows
    made = [film_grain(frame[None], np.array([size]), np.array([amount]), noise) for frame in clean]
    return torch.cat(made).clamp_(0, 1)


def _blotch(draw: Draw, motion: np.ndarray, share: float, time: int, templates: Templates | None) -> _Blotch:
    """A shape that hides `share` of the frame from `time` on; `motion` [H, W] says where the scene moves."""
    height, width = motion.shape
    place = _place(draw, motion)
    soft = draw.log_between(SOFT if draw.happens(0.5) else HARD) * min(height, width) / LINES
    alpha = None
    if draw.happens(MASKS) and templates is not None:
        alpha = _enlarged(draw, (height, width), place, share, soft, templates)
    if alpha is None:
        alpha = _drawn(draw, (height, width), place, share, soft)
    level = draw.between(INKS[draw.randint(len(INKS))])
    lengths = min(height, width) / 6, min(height, width) / 24
    cloud = sum(_clouds(draw, (height, width), length) for length in lengths)
    cloud = cloud + 0.5 * draw.standard_normal((height, width))
    ink = np.clip(level + TEXTURE * cloud / cloud.std(), 0, 1)
    hidden = float((alpha > 0.5).mean())
    return _Blotch(alpha.astype(np.float32), ink.astype(np.float32), hidden, time + 1 + draw.randint(LIFE))


def _place(draw: Draw, motion: np.ndarray) -> tuple[float, float]:
    """The middle of a shape, row and column: where the scene moves, or anywhere."""
    height, width = motion.shape
    down, across = draw.between((0.05, 0.95), 2) * motion.shape
    weight = cv2.GaussianBlur(motion, (0, 0), min(height, width) / 30).astype(np.float64).ravel() ** 2
    chosen, moving = draw.random_sample(), draw.happens(MOVING)
    if not moving or weight.sum() == 0:
        return down, across
    at = int(np.searchsorted(np.cumsum(weight) / weight.sum(), chosen))
    return divmod(min(at, motion.size - 1), width)


def _drawn(draw: Draw, size: tuple[int, int], place: tuple[float, float], share: float, soft: float) -> np.ndarray:
    """A wavering ellipse: of a smooth hill the part that is high enough to cover `share` of the frame."""
    aspect, angle = draw.log_between((1.0, 2.5)), draw.between((0, math.pi))
    radius = math.sqrt(share * size[0] * size[1] / math.pi)
    y, x = np.mgrid[: size[0], : size[1]] - np.reshape(place, (2, 1, 1))
    along, beside = math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x
    hill = -np.hypot(along / aspect**0.5, beside * aspect**0.5) / radius
    hill += 0.28 * _clouds(draw, size, radius) + 0.1 * _clouds(draw, size, max(3, radius / 5))
    level = np.quantile(hill, 1 - share)
    return _edge((hill - level) * radius, soft)


def _enlarged(
    draw: Draw, size: tuple[int, int], place: tuple[float, float], share: float, soft: float, templates: Templates
) -> np.ndarray | None:
    """A mask of real damage, turned and so large that it covers `share` of the frame; None where it cannot."""
    known = [c for c in CATEGORIES if templates.count(c)]
    angle = draw.between((0, 360))
    pick = draw.random_sample(2)
    if not known:
        return None
    levels = templates.levels[known[int(pick[0] * len(known))]]
    masks = levels[max(levels)]
    mask = masks[int(pick[1] * len(masks))].numpy().astype(np.float32) / 255
    mask /= max(mask.max(), 1e-6)
    middle = (mask.shape[1] / 2, mask.shape[0] / 2)
    scale = math.sqrt(share * size[0] * size[1] / max(1.0, float((mask > 0.5).sum())))
    for _ in range(6):  # what lies beside the frame does not count
        turn = cv2.getRotationMatrix2D(middle, angle, scale)
        turn[:, 2] += (place[1] - middle[0], place[0] - middle[1])
        placed = cv2.warpAffine(mask, turn, size[::-1], flags=cv2.INTER_CUBIC)
        inside = (cv2.GaussianBlur(placed, (0, 0), max(1.0, scale)) > 0.5).astype(np.uint8)
        covered = float(inside.mean())
        if 0.9 * share < covered < 1.1 * share:
            within, without = (cv2.distanceTransform(part, cv2.DIST_L2, 5) for part in (inside, 1 - inside))
            return _edge(within - without, soft)
        scale *= min(1.5, max(0.67, math.sqrt(share / max(covered, 1e-4))))
    return None


def _edge(distance: np.ndarray, soft: float) -> np.ndarray:
    """Opacity at a distance from the edge, pixels, inside of it positive."""
    alpha = 1 / (1 + np.exp(-np.clip(distance * 2.5 / soft, -30, 30)))
    return np.where(alpha < 0.01, 0.0, np.where(alpha > 0.99, 1.0, alpha))


def _clouds(draw: Draw, size: tuple[int, int], length: float) -> np.ndarray:
    """Smooth noise [H, W] whose waves are about `length` pixels long, standard deviation near 1."""
    grid = [max(2, math.ceil(side / length) + 3) for side in size]
    noise = draw.standard_normal(grid).astype(np.float32)
    scaled = [math.ceil(side * length) for side in grid]
    made = cv2.resize(noise, (scaled[1], scaled[0]), interpolation=cv2.INTER_CUBIC)
    top, left = (int(draw.random_sample() * (have - want + 1)) for have, want in zip(scaled, size, strict=True))
    return made[top : top + size[0], left : left + size[1]]
