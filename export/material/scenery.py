"""Things drawn into clean clips that look like damage and are none: wires, glints, letters, what stands still."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch

from export.material.chance import integer, rand, uniform


def _some(clips, generator, share: float, draw: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """`clips` [B, ...], each redrawn by `draw` with the probability `share`."""
    return torch.stack([draw(clip) if rand(generator) < share else clip for clip in clips])


def add_lines(clips: torch.Tensor, generator: torch.Generator | None = None, share: float = 0.3) -> torch.Tensor:
    """Draw poles, wires and ruled grids into clean clips: lines that belong to the scene and must not be restored away.

    Unlike a scratch such a line ends somewhere, is one of a regular group, or moves steadily with the scene.

    Args:
        clips: float [B, T, 1, H, W], 0..1.
        generator: CPU generator of all random choices.
        share: probability that a clip gets lines.

    Returns:
        Clips of the same shape; those without lines unchanged.
    """
    frames, height, width = clips.shape[1], *clips.shape[-2:]

    def drawn(clip: torch.Tensor) -> torch.Tensor:
        line, shade = _line(frames, height, width, generator)
        return torch.lerp(clip, torch.full_like(clip, shade), line[:, None].to(clip))

    return _some(clips, generator, share, drawn)


def _line(frames: int, height: int, width: int, generator: torch.Generator | None) -> tuple[torch.Tensor, float]:
    """How much a line, or a group of parallel ones, covers [T, H, W], and how bright it is."""
    y = torch.arange(height, dtype=torch.float32)[:, None] - height / 2
    x = torch.arange(width, dtype=torch.float32)[None, :] - width / 2
    time = torch.arange(frames, dtype=torch.float32)[:, None, None]
    # two of the numbers decide two things each: how fast and whether dark, how far apart and how bright
    turn, upright, still, speed, thick, grouped, gap, place, strength, ends, end, side = uniform(generator, 12).tolist()
    # mostly upright, as scratches are; the rest at any angle
    angle = (turn - 0.5) * (0.15 if upright < 0.7 else math.pi)
    moved = 0.0 if still < 0.4 else (speed - 0.5) * 5
    across = x * math.cos(angle) + y * math.sin(angle) - time * moved
    along = y * math.cos(angle) - x * math.sin(angle)
    half = 0.4 + 1.6 * thick**2
    if grouped < 0.5:  # a regular group
        period = 6 + 40 * gap
        across = torch.remainder(across + period * place, period) - period / 2
    else:
        across = across - (place - 0.5) * width
    line = ((half + 0.5 - across.abs()).clamp(0, 1)) * (0.3 + 0.7 * strength)
    if ends < 0.6:  # it ends inside of the picture
        line = line * torch.sigmoid((along - (end - 0.5) * height) * (2 if side < 0.5 else -2))
    return line, 0.02 + 0.15 * gap if speed < 0.5 else 0.75 + 0.25 * gap


def add_details(clips: torch.Tensor, generator: torch.Generator | None = None, share: float = 0.3) -> torch.Tensor:
    """Put small bright and dark things into clean clips: buttons, lamps, glints, birds, that are no dirt.

    Unlike dirt such a thing is there for more than one frame, at the place that its own movement leads to; it may
    appear, vanish, or pass quickly.

    Args:
        clips: float [B, T, 1, H, W], 0..1.
        generator: CPU generator of all random choices.
        share: probability that a clip gets some.

    Returns:
        Clips of the same shape; those without details unchanged.
    """
    frames, height, width = clips.shape[1], *clips.shape[-2:]

    def drawn(clip: torch.Tensor) -> torch.Tensor:
        scene = torch.randn(2, generator=generator) * (3 * rand(generator) ** 2)  # its movement, pixels a frame
        shaken = torch.cumsum(torch.randn(2, frames, generator=generator), 1) * 2 * rand(generator) ** 2
        cover, value = torch.zeros(2, frames, 1, height, width)
        for _ in range(1 + integer(generator, 8)):
            shape, shade = _detail(scene, shaken, height, width, generator)
            value = torch.where(shape > cover, shade, value)
            cover = torch.maximum(cover, shape)
        return torch.lerp(clip, value.to(clip), cover.to(clip))

    return _some(clips, generator, share, drawn)


def _detail(
    scene: torch.Tensor, shaken: torch.Tensor, height: int, width: int, generator: torch.Generator | None
) -> tuple[torch.Tensor, float]:
    """How much a small ellipse covers [T, 1, H, W], and how bright it is.

    Args:
        scene: how the scene moves, pixels a frame [2], down and across; some things have a movement of their own.
        shaken: how the camera shakes, pixels [2, T].
    """
    frames = shaken.shape[1]
    y = torch.arange(height, dtype=torch.float32)[:, None]
    x = torch.arange(width, dtype=torch.float32)[None, :]
    time = torch.arange(frames, dtype=torch.float32)
    # most of the numbers decide two things each
    pace, moves, top, left, size, turn, slim, soft = uniform(generator, 8).tolist()
    own = torch.randn(2, generator=generator) * (4 * pace if moves < 0.2 else 0.0)
    path = (scene + own)[:, None] * (time - frames / 2) + shaken
    centre = path + torch.tensor([[top * height], [left * width]])
    radius = 0.8 * 6**size
    angle = math.pi * turn
    dy, dx = y[None] - centre[0, :, None, None], x[None] - centre[1, :, None, None]
    u = dx * math.cos(angle) + dy * math.sin(angle)
    v = (dy * math.cos(angle) - dx * math.sin(angle)) * (1 + 1.5 * slim)
    shape = ((radius - torch.sqrt(u * u + v * v)) / (0.5 + 0.5 * soft) + 0.5).clamp(0, 1)
    if slim < 0.25:  # it appears or vanishes
        seen = (time < frames * (0.3 + 0.4 * pace)).float()
        shape = shape * (seen if moves < 0.5 else 1 - seen)[:, None, None]
    shade = 0.75 + 0.25 * pace if soft < 0.6 else 0.12 * pace
    return shape[:, None] * (0.4 + 0.6 * turn), shade


def add_captions(clips: torch.Tensor, generator: torch.Generator | None = None, share: float = 0.15) -> torch.Tensor:
    """Lay letters, logos and the edge of the gate over clean clips: they stand still before a moving scene, as hairs in
    the gate do, and are no dirt.

    Args:
        clips: float [B, T, 1, H, W], 0..1.
        generator: CPU generator of all random choices.
        share: probability that a clip gets some.

    Returns:
        Clips of the same shape; those without captions unchanged.
    """
    frames, height, width = clips.shape[1], *clips.shape[-2:]

    def drawn(clip: torch.Tensor) -> torch.Tensor:
        kind, level, dark, passing = uniform(generator, 4).tolist()
        draw = np.random.RandomState(integer(generator, 2**31 - 1))
        lettered = kind < 0.7
        cover = _letters(draw, height, width) if lettered else _gate_edge(draw, height, width)
        shade = 0.7 + 0.3 * level if lettered and dark >= 0.3 else 0.06 * level
        first, last = sorted(np.rint(draw.uniform(-0.5, 1.5, 2) * frames)) if passing < 0.5 else (0, frames)
        seen = [float(first <= time < last) for time in range(frames)]
        alpha = torch.from_numpy(cover)[None, None] * torch.tensor(seen)[:, None, None, None]
        return torch.lerp(clip, torch.full_like(clip, shade), alpha.to(clip))

    return _some(clips, generator, share, drawn)


_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
          cv2.FONT_HERSHEY_COMPLEX_SMALL, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX)  # fmt: skip


def _letters(draw: np.random.RandomState, height: int, width: int) -> np.ndarray:
    """Lines of letters, rings and rules [H, W], 0..1, drawn at four times the size."""
    large = np.zeros((4 * height, 4 * width), np.uint8)
    scale, thick = 4 * math.exp(draw.uniform(-1.2, 0.5)), int(4 * math.exp(draw.uniform(-0.6, 0.9))) + 1
    font = _FONTS[draw.randint(len(_FONTS))]
    x, y = draw.uniform(-0.3, 0.6) * 4 * width, draw.uniform(0.1, 0.9) * 4 * height
    for line in range(draw.randint(1, 4)):
        text = "".join(chr(draw.choice([draw.randint(65, 91), draw.randint(97, 123), 32])) for _ in range(24))
        cv2.putText(large, text, (int(x), int(y + line * 34 * scale)), font, scale, 255, thick, cv2.LINE_AA)
    if draw.random_sample() < 0.3:
        centre = (int(draw.uniform(0, 4 * width)), int(draw.uniform(0, 4 * height)))
        cv2.circle(large, centre, int(draw.uniform(4, 30) * 4), 255, thick, cv2.LINE_AA)
    if draw.random_sample() < 0.3:
        level = int(draw.uniform(0, 4 * height))
        cv2.line(large, (int(x), level), (int(x + draw.uniform(0.2, 1) * 4 * width), level), 255, thick, cv2.LINE_AA)
    small = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return small * np.float32(draw.uniform(0.4, 1.0))


def _gate_edge(draw: np.random.RandomState, height: int, width: int) -> np.ndarray:
    """The dark frame that a scan shows round the picture, some of its sides, not quite straight, [H, W], 0..1."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    inside = np.full((height, width), np.inf, np.float32)
    for distance, along in ((y, x), (height - 1 - y, x), (x, y), (width - 1 - x, y)):
        if draw.random_sample() < 0.5:
            edge = draw.uniform(0, 12) + draw.uniform(-0.03, 0.03) * along
            for wave in (40, 11, 4):
                edge = edge + draw.uniform(0, 0.02 * wave) * np.sin(along * 6.283 / wave + draw.uniform(0, 6.283))
            inside = np.minimum(inside, distance - edge)
    return np.clip(0.5 - inside / draw.uniform(1, 4), 0, 1).astype(np.float32)
