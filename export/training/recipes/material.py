"""What training is made from: clips and photographs, and a clip to colour with the references it is given."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from export.damage import Templates, load_templates
from export.material import Clip, cached_pack, load_clips, load_photos, photo_clip, sample_crops
from export.material.chance import between, integer, rand
from vs_remaster.system.process import processors

from .recipe import Settings

SHRUNK = 0.55  # least size at which a clip to colour is seen
BLURRED = 0.15  # share of clips in fast motion whose frames are means of a few, as with a long exposure
DECODED_AT_ONCE = 8  # clips, and four times as many wait in memory


class Material(NamedTuple):
    """Training clips, uint8, on the device where batches are made, and photographs."""

    clips: list[Clip]
    photos: list[Tensor]

    @classmethod
    def load(cls, s: Settings, color: bool) -> Material:
        """Luma or RGB of everything in `s.data`, clips through the cache where one is named."""
        root = Path(s.data)
        folder = root / "video/train"
        how = {
            "short_edge": s.lines,
            "color": color,
            "threads": min(DECODED_AT_ONCE, processors() or os.cpu_count() or 2),
        }
        clips = cached_pack(folder, Path(s.cache), **how) if s.cache else load_clips(folder, **how)
        if s.made_on != "cpu":
            clips = [Clip(c.name, c.frames.to(s.made_on)) for c in clips]
        photos = load_photos(root / "photos", color) if s.photo and (root / "photos").is_dir() else []
        return cls(clips, photos)

    def crops(self, s: Settings, generator: torch.Generator) -> Tensor:
        """A batch of random moving crops `[B, T, C, S, S]`, 0..1."""
        return sample_crops(*self, s.batch, s.frames, s.size, generator, device=s.made_on, photo_probability=s.photo)


def damage_templates(s: Settings) -> Templates | None:
    """The damage masks named by the settings, on the device where batches are made."""
    return load_templates(Path(s.damage)).to(s.made_on) if s.damage else None


class Sample(NamedTuple):
    """Frames `[T, 3, S, S]`, references `[3, R, R]`, and 1 where the references show the scene, else 0."""

    frames: Tensor
    references: list[Tensor]
    known: float


def draw_samples(material: Material, s: Settings, generator: torch.Generator) -> list[Sample]:
    """A batch of clips to colour, each with as many references as the others: 1, 2, 4 .. up to `s.references` + 1,
    those of other scenes among them, of one of three sizes. So a GPU works on all at once, and plans for few shapes."""
    side = 16 * round(s.size * (0.85, 1.0, 1.2)[integer(generator, 3)] / 16)
    count = 2 ** integer(generator, (s.references + 1).bit_length())
    return [draw_sample(material, s, side, count, generator) for _ in range(s.batch)]


def draw_sample(material: Material, s: Settings, side: int, count: int, generator: torch.Generator) -> Sample:
    """A clip to colour with `count` references of `side` pixels squared: pictures of it, near or far in time, and of
    other scenes."""
    others = 0 if rand(generator) < 0.4 else min(count - 1, 1 + integer(generator, 2))
    if material.photos and rand(generator) < s.photo:
        frames, references = from_photo(material, s, side, generator)
    else:
        frames, references = from_clip(material, s, side, count - others, generator)
    known = 1.0
    if rand(generator) < 0.04:  # nothing but pictures of something else
        references, known = [], 0.0
    references += [stranger(material, side, generator) for _ in range(count - len(references))]
    if rand(generator) < 0.5:
        frames, references = frames.flip(-1), [r.flip(-1) for r in references]
    return Sample(frames, references, known)


def from_photo(material: Material, s: Settings, side: int, generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    """A photograph moving; its reference is a later frame of the same movement."""
    photo = material.photos[integer(generator, len(material.photos))].to(s.made_on)
    moving = photo_clip(photo, s.frames + 4 + integer(generator, 24), s.size, generator)
    return moving[: s.frames], [resized(moving[-1:], side)[0]]


def from_clip(
    material: Material, s: Settings, side: int, count: int, generator: torch.Generator
) -> tuple[Tensor, list[Tensor]]:
    """A crop of a clip; its references are `count` crops of it from elsewhere in time, shifted and scaled."""
    clip = material.clips[integer(generator, len(material.clips))].frames
    total, (height, width) = clip.shape[0], clip.shape[-2:]
    factor = between(generator, SHRUNK, s.zoom)
    region = min(round(s.size / factor), height, width)
    step = 1 + int(s.stride * rand(generator) ** (1 if s.stride < 3 else 2))  # mostly small where it may be large
    first = integer(generator, max(1, total - (s.frames - 1) * step))
    times = [min(first + k * step, total - 1) for k in range(s.frames)]
    top, left = integer(generator, height - region + 1), integer(generator, width - region + 1)
    shutter = 1
    if s.stride > 2 and rand(generator) < BLURRED:
        shutter = 2 + integer(generator, 3)
    open_frames = [clip[[min(t + k, total - 1) for t in times]] for k in range(shutter)]
    frames = torch.stack([crop(part, top, left, region, s.size) for part in open_frames]).mean(0)
    references = []
    for k in range(count):
        reach = 8 if k == 0 and rand(generator) < 0.4 else total
        low, high = max(0, first - reach), min(total - 1, times[-1] + reach)
        at = low + integer(generator, high - low + 1)
        seen = 0.8 + 0.7 * rand(generator)
        if s.approach > 1 and rand(generator) < 0.5:
            seen = s.approach ** (2 * rand(generator) - 1)
        size = max(16, min(round(region * seen), height, width))
        y, x = (
            min(max(0, start + (region - size) // 2 + round((rand(generator) - 0.5) * 0.4 * region)), whole - size)
            for start, whole in ((top, height), (left, width))
        )
        picture = crop(clip[at : at + 1], y, x, size, side)[0]
        references.append(picture.flip(-1) if rand(generator) < 0.1 else picture)
    return frames, references


def stranger(material: Material, size: int, generator: torch.Generator) -> Tensor:
    """A picture `[3, size, size]` of some other clip."""
    other = material.clips[integer(generator, len(material.clips))].frames
    at = integer(generator, len(other))
    return crop(other[at : at + 1], 0, 0, min(other.shape[-2:]), size)[0]


def crop(frames: Tensor, top: int, left: int, region: int, size: int) -> Tensor:
    """A square of uint8 frames `[T, C, H, W]` as float 0..1, resized to `size`."""
    return resized(frames[..., top : top + region, left : left + region].float() / 255, size)


def resized(frames: Tensor, size: int) -> Tensor:
    """Square frames `[T, C, S, S]` at another size."""
    if frames.shape[-1] == size:
        return frames
    return F.interpolate(frames, (size, size), mode="bilinear", antialias=True)


def turn_hue(chroma: Tensor, angle: float) -> Tensor:
    """Rotate `[N, 2, H, W]` chroma by an angle in radians: colour must then come from the reference, not from habit."""
    if not angle:
        return chroma
    cos, sin = math.cos(angle), math.sin(angle)
    cb, cr = chroma.split(1, 1)
    return torch.cat([cos * cb - sin * cr, sin * cb + cos * cr], 1)


def film_tone(generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """A random tone curve with a little grain or softness, as old stock and other scans have; the same for all frames
    of a clip."""
    if rand(generator) < 0.4:
        return lambda luma: luma
    gamma = math.exp(0.35 * (2 * rand(generator) - 1))
    gain, lift = 0.85 + 0.2 * rand(generator), 0.05 * rand(generator)
    grain = 0.02 * rand(generator) if rand(generator) < 0.5 else 0.0
    soft = 1 + 1.5 * rand(generator) if rand(generator) < 0.3 else 1.0

    def apply(luma: Tensor) -> Tensor:
        if soft > 1:
            small = F.interpolate(luma, scale_factor=1 / soft, mode="bilinear", antialias=True)
            luma = F.interpolate(small, luma.shape[-2:], mode="bicubic")
        toned = lift + gain * luma.clamp(0, 1) ** gamma
        return toned + grain * torch.randn(luma.shape, generator=generator).to(luma.device) if grain else toned

    return apply
