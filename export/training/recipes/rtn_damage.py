"""The degradation model of RTN ("Bringing Old Films Back to Life", section 4): one set of parameters a clip, a little
different in each frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from export.damage import Damaged, Templates
from export.material.chance import between, rand

from .degrade import contrast, gauss_blur, jpeg, moving_line, soften, textures


class RtnDamage:
    """Damages clean luma `[B, T, 1, S, S]`, 0..1.

    Args:
        templates: shapes of dirt; None: procedural ones.
        density: of dirt, as a multiple of what real film has.
        device: on which clips lie.
    """

    def __init__(self, templates: Templates | None, density: float, device: str) -> None:
        self.templates, self.density, self.device = templates, density, device

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Damaged:
        dirt = textures(clean.flatten(0, 1).shape, generator, self.templates, self.density, self.device)
        dirt = dirt.view(clean.shape)
        worn = [self.wear(self.soil(clip, texture, generator), generator) for clip, texture in zip(clean, dirt)]
        return Damaged(torch.stack(worn), clean, dirt)

    def wear(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """Loss of quality, dirt and lines included, in a random order; each kind with its probability."""
        frames = len(clip)

        def noise(x: Tensor) -> Tensor:
            sigma = jitter(between(generator, 5, 50) / 255, frames, generator).to(x)
            grain = sigma * torch.randn(x.shape, generator=generator).to(x)
            return x + (grain * x if rand(generator) < 0.5 else grain)

        def blur(x: Tensor) -> Tensor:
            across = between(generator, 0.4, 2.0)
            down = across if rand(generator) < 0.5 else between(generator, 0.4, 2.0)
            return gauss_blur(x, across, down, between(generator, 0, math.pi))

        def resize(x: Tensor) -> Tensor:
            return soften(x, between(generator, 1, 3), "bilinear" if rand(generator) < 0.5 else "bicubic")

        def compress(x: Tensor) -> Tensor:
            return jpeg(x.clamp(0, 1), jitter(between(generator, 40, 100), frames, generator, 0.02).flatten().clamp(40))

        def tone(x: Tensor) -> Tensor:
            gains = jitter(between(generator, 0.8, 1.2), frames, generator, 0.02).to(x)
            return contrast((gains * x).clamp(0, 1), between(generator, 0.9, 1.0))

        steps = (noise, blur, resize, compress, tone)
        for i in torch.randperm(len(steps), generator=generator).tolist():
            if rand(generator) < 0.6:
                clip = steps[i](clip)
        return clip.clamp(0, 1)

    def soil(self, clip: Tensor, texture: Tensor, generator: torch.Generator) -> Tensor:
        """Blend contaminants in: added, subtracted or multiplied with an opacity of 0.6 to 1; a line in a fifth of
        the clips."""
        opacity = jitter(between(generator, 0.6, 1.0), len(clip), generator, 0.02).to(clip)
        mode = rand(generator)
        if mode < 1 / 3:
            clip = clip + opacity * texture
        elif mode < 2 / 3:
            clip = clip - opacity * texture
        else:
            clip = clip * (1 - opacity * texture)
        if rand(generator) < 0.2:
            line = moving_line(len(clip), *clip.shape[-2:], generator).to(clip)
            clip = clip + line if rand(generator) < 0.5 else clip - line
        return clip.clamp(0, 1)


def jitter(value: float, frames: int, generator: torch.Generator, by: float = 0.05) -> Tensor:
    """A clip's value for each frame, a little different every time: `[T, 1, 1, 1]`."""
    return value * (1 + by * torch.randn(frames, 1, 1, 1, generator=generator))
