"""The set `paper`: the degradation model of RTN ("Bringing Old Films Back to Life", CVPR 2022, section 4.1).

A clip has one set of parameters, a little different in each frame. Dirt comes first, in shapes and blending of each
frame's own; then noise, blur, loss of size and JPEG, in an order of the clip's own; brightness and contrast come last.
For the paper's scanned textures stand masks of real damage.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch

from export.damage.chance import Draw
from export.damage.crop import Crop
from export.damage.kinds import BLOB, CURVE, Kind
from export.damage.layers import Layers
from export.damage.masks import Templates
from export.damage.rendering import paste_sprites
from export.damage.sprites import SPRITE, sprites_of_kind, take_masks
from export.damage.synthesis import Damaged

CHANCE = 0.7  # of each loss of quality
NOISE = (5 / 255, 50 / 255)  # sigma
SPECKLE = 0.5  # share of clips whose noise grows with the luma
BLUR = (0.2, 2.2)  # sigma, pixels
SLANTED = 0.5  # share of blurred clips whose blur has a direction
SIZE = (0.5, 1.0)  # that the frames are made smaller to
UP = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
JPEG = (40.0, 100.0)  # quality
GAIN, CONTRAST = (0.8, 1.2), (0.9, 1.0)
OPACITY = (0.6, 1.0)  # with which dirt is blended in
LINE = 0.2  # share of clips with an upright line that wanders
OPAQUE = 1.6  # how much denser than scanned shapes are, 1 at most

# each with the range of its mean number in a 4:3 frame
DIRT = (
    (Kind((2, 24), (1, 1), (1, 1), (0.35, 0.9), BLOB, ("dots", "smut", "hair-short", "lint"), (1.0, 2.2)), (8, 60)),
    (Kind((60, 300), (1, 1), (1, 1), (0.6, 3), BLOB, ("dirt", "spots", "sprinkles", "scratches", "smut", "stain"),
          (1.0, 2.0)), (1, 6)),
    (Kind((40, 300), (1, 1), (1, 1), (0.5, 1.0), CURVE, ("hair", "hair-short", "lint")), (0.5, 3)),
)  # fmt: skip

_Step = Callable[[np.ndarray], np.ndarray]


def worn(draw: Draw, clean: torch.Tensor, templates: Templates | None) -> Damaged:
    """Damage luma [T, 1, H, W], 0..1."""
    wear, texture = Draw(draw.randint(2**31)), _texture(Draw(draw.randint(2**31)), clean, templates)
    steps, tone = _steps(wear), _tone(wear)
    frames, masks = [], []
    for frame, dirt in zip(clean[:, 0].numpy(), texture, strict=True):
        soiled = _blended(wear, frame, dirt)
        masks.append(np.minimum(dirt, np.abs(soiled - frame) / 0.04))  # dirt that changes nothing does not count
        for step in (*steps, tone):
            soiled = np.clip(step(soiled), 0, 1)
        frames.append(soiled)
    made = (torch.from_numpy(np.stack(part).astype(np.float32))[:, None] for part in (frames, masks))
    return Damaged(next(made), clean, next(made))


def _texture(draw: Draw, clean: torch.Tensor, templates: Templates | None) -> np.ndarray:
    """Dirt as pictures of their own, [T, H, W], 0..1: new shapes in every frame, and the line."""
    count, _, height, width = clean.shape
    crop = Crop.somewhere(draw, 0, 1, (height, width), min(height, width))
    means = [draw.mostly_low(span) * crop.area for _, span in DIRT]
    line = _Line(draw, width) if draw.happens(LINE) else None
    sprites, lines = [np.zeros(0, SPRITE)], np.zeros((count, height, width), np.float32)
    for time in range(count):
        if line:
            lines[time] = line.drawn(draw, height, width)
        for (kind, _), mean in zip(DIRT, means, strict=True):
            made = sprites_of_kind(draw, kind, draw.poisson(mean), crop, whiteness=0.0)
            categories = [c for c in kind.categories if templates is not None and templates.count(c)]
            if templates is not None and categories and len(made):
                take_masks(draw, made, categories, [templates.count(c) for c in categories], share=1.0)
            made["first"], made["last"], made["alpha"] = time, time + 1, 1.0
            sprites.append(made)
    layers = Layers(count, height, width, clean.device)
    paste_sprites(layers, np.concatenate(sprites), count, draw, templates)
    dark, _ = layers.transmission()
    return np.maximum(np.minimum(1, OPAQUE * (1 - dark[:, 0].numpy())), lines)


class _Line:
    """An upright line that wanders through a clip."""

    def __init__(self, draw: Draw, width: int) -> None:
        self.column = draw.between((0.1, 0.9)) * width
        self.pace, self.lean, self.half = (
            draw.between((0.3, 1.0)),
            draw.between((-0.01, 0.01)),
            draw.between((0.6, 1.6)),
        )

    def drawn(self, draw: Draw, height: int, width: int) -> np.ndarray:
        """The line in the next frame, [H, W], 0..1."""
        self.column += self.pace * draw.standard_normal()
        middle = self.column + self.lean * (np.arange(height) - height / 2)
        return np.clip(self.half - np.abs(np.arange(width) - middle[:, None]), 0, 1)


def _blended(draw: Draw, frame: np.ndarray, dirt: np.ndarray) -> np.ndarray:
    """Dirt added, taken off or multiplied in."""
    layer = draw.between(OPACITY) * dirt
    mode = draw.randint(3)
    return np.clip((frame + layer, frame - layer, frame * (1 - layer))[mode], 0, 1)


def _steps(draw: Draw) -> list[_Step]:
    """The losses of quality of one clip in their order; what is called draws each frame's small change."""
    makers = (_noise, _blur, _resize, _jpeg)
    return [makers[i](draw) for i in draw.permutation(len(makers)) if draw.happens(CHANCE)]


def _near(draw: Draw, value: float, by: float = 0.05) -> float:
    """A clip's value in one frame."""
    return value * (1 + by * draw.standard_normal())


def _noise(draw: Draw) -> _Step:
    sigma, speckle = draw.between(NOISE), draw.happens(SPECKLE)

    def step(x: np.ndarray) -> np.ndarray:
        noise = _near(draw, sigma) * draw.standard_normal(x.shape)
        return x + (noise * x if speckle else noise)

    return step


def _blur(draw: Draw) -> _Step:
    across, down = draw.between(BLUR), draw.between(BLUR)
    angle, slanted = draw.between((0, math.pi)), draw.happens(SLANTED)

    def step(x: np.ndarray) -> np.ndarray:
        sigmas = [_near(draw, across), _near(draw, down)]
        kernel = _gaussian(sigmas[0], sigmas[1] if slanted else sigmas[0], _near(draw, angle, 0.02))
        return cv2.filter2D(x.astype(np.float32), -1, kernel, borderType=cv2.BORDER_REFLECT_101)

    return step


def _gaussian(across: float, down: float, angle: float) -> np.ndarray:
    """A Gaussian of two sigmas, in pixels, turned by an angle."""
    reach = max(1, math.ceil(3 * max(across, down)))
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    cos, sin = math.cos(angle), math.sin(angle)
    kernel = np.exp(-0.5 * (((cos * u + sin * v) / across) ** 2 + ((cos * v - sin * u) / down) ** 2))
    return (kernel / kernel.sum()).astype(np.float32)


def _resize(draw: Draw) -> _Step:
    scale, up = draw.between(SIZE), UP[draw.randint(len(UP))]

    def step(x: np.ndarray) -> np.ndarray:
        factor = min(1.0, max(SIZE[0], _near(draw, scale, 0.02)))
        height, width = x.shape
        size = round(width * factor), round(height * factor)
        small = cv2.resize(x.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=up)

    return step


def _jpeg(draw: Draw) -> _Step:
    quality = draw.between(JPEG)

    def step(x: np.ndarray) -> np.ndarray:
        now = round(min(JPEG[1], max(JPEG[0], _near(draw, quality))))
        _, data = cv2.imencode(".jpg", np.rint(x * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, now])
        decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        assert decoded is not None  # of what was just encoded
        return decoded / np.float32(255)

    return step


def _tone(draw: Draw) -> _Step:
    gain, contrast = draw.between(GAIN), draw.between(CONTRAST)

    def step(x: np.ndarray) -> np.ndarray:
        bright = np.clip(_near(draw, gain, 0.02) * x, 0, 1)
        return bright.mean() + contrast * (bright - bright.mean())

    return step
