"""Photographs, and moving clips made of them."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from export.material.chance import rand, uniform
from export.material.files import PHOTO_SUFFIXES, find_files, target_size

log = logging.getLogger(__name__)


def load_photos(
    folder: Path, color: bool = False, short_edge: int | None = None, minimum: int = 128
) -> list[torch.Tensor]:
    """Read the photographs of a folder as uint8 tensors, [H, W] luma (BT.709) or [3, H, W] RGB.

    Args:
        short_edge: shrink larger photographs to it.
        minimum: skip photographs whose short edge is smaller, in pixels.
    """
    photos = []
    for path in find_files(folder, PHOTO_SUFFIXES):
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            log.warning("skipped %s: not a readable photograph", path)
            continue
        if min(bgr.shape[:2]) < minimum:
            continue
        if short_edge is not None and min(bgr.shape[:2]) > short_edge:
            height, width = target_size(*bgr.shape[:2], short_edge)
            bgr = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA)
        if color:
            photos.append(torch.from_numpy(np.ascontiguousarray(bgr[..., ::-1].transpose(2, 0, 1))))
        else:
            luma = bgr.astype(np.float32) @ np.array([0.0722, 0.7152, 0.2126], np.float32)
            photos.append(torch.from_numpy(np.rint(luma).astype(np.uint8)))
    return photos


def _camera_path(frames: int, generator: torch.Generator | None, reach: tuple[float, float], step: float):
    """Homographies [T, 3, 3] from output pixels (centred) to photo pixels (centred), drifting smoothly.

    `reach` is how far (photo pixels, down and across) the centre may lie from the photo's; `step` photo pixels an
    output pixel.
    """
    time = torch.linspace(-0.5, 0.5, frames) * (frames - 1)
    start = uniform(generator, 2, low=-1, high=1) * torch.tensor(reach)
    speed = torch.randn(2, generator=generator) * 1.5
    accel = torch.randn(2, generator=generator) * 0.05
    centre = start[:, None] + speed[:, None] * time + accel[:, None] * time**2
    centre = torch.stack([c.clamp(-r, r) for c, r in zip(centre, reach, strict=True)])
    rates = torch.randn(4, generator=generator) * torch.tensor([0.004, 0.004, 1e-6, 1e-6])
    zoom = step * torch.exp((rates[0] * time).clamp(-0.15, 0.15))
    angle = uniform(generator, 1, low=-0.12, high=0.12) + rates[1] * time
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    zero, one = torch.zeros(frames), torch.ones(frames)
    tilt = uniform(generator, 2, low=-2e-4, high=2e-4)[:, None] + rates[2:, None] * time
    rows = [cos, -sin, centre[1], sin, cos, centre[0], tilt[1] + zero, tilt[0] + zero, one]
    return torch.stack(rows, dim=1).view(frames, 3, 3)


def _warp(photo: torch.Tensor, homography: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Sample a photo [C, H, W] through homographies [T, 3, 3]; returns [T, C, height, width]."""
    y = torch.arange(height, dtype=torch.float32, device=photo.device) - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float32, device=photo.device) - (width - 1) / 2
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    points = torch.stack([grid_x.flatten(), grid_y.flatten(), torch.ones_like(grid_x).flatten()])
    mapped = homography.to(photo.device) @ points
    mapped = mapped[:, :2] / mapped[:, 2:].clamp_min(0.2)
    half = torch.tensor([photo.shape[2] / 2, photo.shape[1] / 2], device=photo.device)
    grid = (mapped / half[:, None]).transpose(1, 2).view(-1, height, width, 2)
    source = photo.expand(homography.shape[0], -1, -1, -1)
    return F.grid_sample(source, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def photo_clip(
    photo: torch.Tensor,
    frames: int,
    size: int | tuple[int, int],
    generator: torch.Generator | None = None,
    occluder: float = 0.4,
) -> torch.Tensor:
    """Make a moving clip out of one photograph: a smooth camera path, at times something passing in front.

    Args:
        photo: uint8 [H, W] or [3, H, W], any device.
        frames: length of the clip.
        size: height and width of the clip in pixels (one number: square).
        generator: CPU generator of all random choices.
        occluder: probability that a piece of the photograph moves across.

    Returns:
        float32 [T, C, h, w], 0..1, on the photo's device.
    """
    height, width = (size, size) if isinstance(size, int) else size
    image = (photo if photo.ndim == 3 else photo[None]).float() / 255
    # sampling a little more than one photo pixel an output pixel keeps the bilinear result sharp
    fit = min(image.shape[1] / height, image.shape[2] / width)
    step = min(float(uniform(generator, 1, low=1.2, high=1.8)), fit)
    reach = (max(0.0, (image.shape[1] - height * step) / 2), max(0.0, (image.shape[2] - width * step) / 2))
    clip = _warp(image, _camera_path(frames, generator, reach, step), height, width)
    if rand(generator) < occluder:
        texture = _warp(image, _camera_path(frames, generator, reach, step), height, width)
        alpha = occluder_mask(frames, height, width, generator).to(image.device)
        clip = torch.lerp(clip, texture, alpha)
    return clip.clamp(0, 1)


def occluder_mask(frames: int, height: int, width: int, generator: torch.Generator | None) -> torch.Tensor:
    """Soft outline [T, 1, h, w] of a wavy-edged body crossing the picture at constant speed."""
    time = torch.arange(frames, dtype=torch.float32) - frames * rand(generator)
    angle = float(uniform(generator, 1, high=2 * math.pi))
    speed = float(uniform(generator, 1, low=1, high=8))
    offset = uniform(generator, 2, low=-0.3, high=0.3)
    centre_y = height * (0.5 + offset[0]) + math.sin(angle) * speed * time
    centre_x = width * (0.5 + offset[1]) + math.cos(angle) * speed * time
    y = torch.arange(height, dtype=torch.float32)[None, :, None] - centre_y[:, None, None]
    x = torch.arange(width, dtype=torch.float32)[None, None, :] - centre_x[:, None, None]
    radii = uniform(generator, 2, low=0.1, high=0.35) * min(height, width)
    theta = torch.atan2(y, x)
    phase = uniform(generator, 2, high=2 * math.pi)
    edge = 1 + 0.2 * torch.cos(2 * theta + phase[0]) + 0.12 * torch.cos(5 * theta + phase[1])
    distance = torch.sqrt((y / radii[0]) ** 2 + (x / radii[1]) ** 2)
    return torch.sigmoid((edge - distance) * float(radii.min()) / 0.7)[:, None]
