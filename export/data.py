"""Clean training material: clips from any folder of videos, pseudo-clips from photographs, random crops of both."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
import torch.nn.functional as F

from vs_remaster.errors import InputError

log = logging.getLogger(__name__)

VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".y4m"}
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
SHRINK = 1.3  # compressed sources become clean targets when made smaller by this much
_PACK_VERSION = 1


@dataclass(frozen=True)
class Clip:
    """One shot: `frames` uint8, [T, H, W] luma (BT.709, full range) or [T, 3, H, W] RGB; on any device."""

    name: str
    frames: torch.Tensor


def _files(folder: Path, suffixes: set[str]) -> list[Path]:
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}; give a folder of videos or photographs")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    if not found:
        raise InputError(f"nothing to read in {folder}; expected files ending in {', '.join(sorted(suffixes))}")
    return found


def _target_size(height: int, width: int, short_edge: int | Sequence[int]) -> tuple[int, int]:
    """Size (height, width) after shrinking to `short_edge`; of several, the largest that shrinks by `SHRINK`."""
    short = min(height, width)
    if isinstance(short_edge, int):
        edge = short_edge
    else:
        edge = max((e for e in short_edge if e * SHRINK <= short), default=min(short_edge))
    scale = min(1.0, edge / short)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _frame_pixels(frame: av.VideoFrame, color: bool) -> np.ndarray:
    """Pixels of a decoded frame: [H, W] full-range luma or [H, W, 3] RGB, uint8."""
    if color:
        # untagged small files come from HD uploads: BT.709 is the better guess than swscale's BT.601
        tagged = int(frame.colorspace) in (5, 6, 7, 9)
        return frame.reformat(format="rgb24", src_colorspace=None if tagged else "ITU709").to_ndarray()
    name = frame.format.name
    if name.startswith("yuv") and all(c.bits == 8 for c in frame.format.components):
        plane = frame.planes[0]
        luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
        if name.startswith("yuvj") or int(frame.color_range) == 2:
            return luma.copy()
        return _LIMITED_TO_FULL[luma]
    rgb = frame.to_ndarray(format="rgb24").astype(np.float32)
    return np.rint(rgb @ np.array([0.2126, 0.7152, 0.0722], np.float32)).astype(np.uint8)


_LIMITED_TO_FULL = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


def decode_clip(
    path: Path, *, short_edge: int | Sequence[int] = 288, color: bool = False, limit_frames: int | None = None
) -> np.ndarray:
    """Decode one video from its start, shrunk by area averaging, never enlarged.

    Returns:
        uint8 [T, H, W] full-range luma, or [T, 3, H, W] RGB; T is at most `limit_frames`.

    Raises:
        InputError: the file holds no video that can be decoded.
    """
    frames: list[np.ndarray] = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                pixels = _frame_pixels(frame, color)
                height, width = _target_size(*pixels.shape[:2], short_edge)
                if (height, width) != pixels.shape[:2]:
                    pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
                frames.append(pixels.transpose(2, 0, 1) if color else pixels)
                if limit_frames is not None and len(frames) >= limit_frames:
                    break
    except (av.FFmpegError, IndexError) as error:
        if not frames:
            raise InputError(f"cannot decode {path}: {error}; remove it from the folder") from error
        log.warning("%s ends early after %d frames: %s", path, len(frames), error)
    if not frames:
        raise InputError(f"no frame in {path}; remove it from the folder")
    return np.ascontiguousarray(np.stack([f for f in frames if f.shape == frames[0].shape]))


def _decode_all(files: list[Path], threads: int, **options) -> Iterator[tuple[Path, np.ndarray]]:
    """Decode in order, `threads` at once, holding only a few clips in memory."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for start in range(0, len(files), 4 * threads):
            part = files[start : start + 4 * threads]
            yield from zip(part, pool.map(lambda p: decode_clip(p, **options), part), strict=True)


def load_clips(
    folder: Path,
    short_edge: int | Sequence[int] = 288,
    color: bool = False,
    limit_frames: int | None = None,
    threads: int = 2,
) -> list[Clip]:
    """Decode every video of a folder into memory.

    Args:
        folder: searched with its sub-folders, read in the order of names.
        short_edge: lines (pixels of the short edge) to shrink to; a sequence means, for each clip, the largest of
            them that is at least `SHRINK` times smaller than the source. Nothing is enlarged.
        color: RGB instead of luma.
        limit_frames: at most this many frames a clip, from its start.
        threads: clips decoded at once.

    Raises:
        InputError: no folder, no videos, or a video that cannot be decoded.
    """
    options = {"short_edge": short_edge, "color": color, "limit_frames": limit_frames}
    files = _files(folder, VIDEO_SUFFIXES)
    return [Clip(path.stem, torch.from_numpy(frames)) for path, frames in _decode_all(files, threads, **options)]


def cached_pack(
    folder: Path,
    cache_dir: Path,
    short_edge: int | Sequence[int] = 288,
    color: bool = False,
    limit_frames: int | None = None,
    threads: int = 2,
) -> list[Clip]:
    """`load_clips` through a file on disk, so that a restart takes seconds.

    One .npy (all frames in a row, memory-mapped copy-on-write) and one .json index are written for each folder and
    setting; changed, added or removed videos make a new pack.
    """
    files = _files(folder, VIDEO_SUFFIXES)
    edges = [short_edge] if isinstance(short_edge, int) else list(short_edge)
    stamp = [_PACK_VERSION, isinstance(short_edge, int), edges, color, limit_frames]
    stamp += [[str(p.relative_to(folder)), p.stat().st_size] for p in files]
    key = hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:12]
    cache = Path(cache_dir)
    data_path, index_path = cache / f"pack-{key}.npy", cache / f"pack-{key}.json"
    if not index_path.is_file() or not data_path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        options = {"short_edge": short_edge, "color": color, "limit_frames": limit_frames}
        _write_pack(data_path, index_path, _decode_all(files, threads, **options))
    data = np.load(data_path, mmap_mode="c")
    clips = []
    for entry in json.loads(index_path.read_text()):
        shape, offset = entry["shape"], entry["offset"]
        frames = torch.from_numpy(data[offset : offset + math.prod(shape)]).view(*shape)
        clips.append(Clip(entry["name"], frames))
    return clips


def _write_pack(data_path: Path, index_path: Path, decoded: Iterator[tuple[Path, np.ndarray]]) -> None:
    """Write clips one after another; both files appear under their names only when complete."""
    index, offset = [], 0
    raw_path = data_path.with_suffix(".part")
    with raw_path.open("wb") as raw:
        for path, frames in decoded:
            index.append({"name": path.stem, "shape": list(frames.shape), "offset": offset})
            frames.tofile(raw)
            offset += frames.size
    packed_path = data_path.with_suffix(".part.npy")
    packed = np.lib.format.open_memmap(packed_path, "w+", np.uint8, (offset,))
    flat = np.memmap(raw_path, np.uint8, "r")
    for start in range(0, offset, 1 << 26):
        packed[start : start + (1 << 26)] = flat[start : start + (1 << 26)]
    packed.flush()
    del packed, flat
    raw_path.unlink()
    packed_path.replace(data_path)
    part = index_path.with_suffix(".json.part")
    part.write_text(json.dumps(index))
    part.replace(index_path)


def load_photos(
    folder: Path, color: bool = False, short_edge: int | None = None, minimum: int = 128
) -> list[torch.Tensor]:
    """Read the photographs of a folder as uint8 tensors, [H, W] luma (BT.709) or [3, H, W] RGB.

    Args:
        short_edge: shrink larger photographs to it.
        minimum: skip photographs whose short edge is smaller, in pixels.
    """
    photos = []
    for path in _files(folder, PHOTO_SUFFIXES):
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            log.warning("skipped %s: not a readable photograph", path)
            continue
        if min(bgr.shape[:2]) < minimum:
            continue
        if short_edge is not None and min(bgr.shape[:2]) > short_edge:
            height, width = _target_size(*bgr.shape[:2], short_edge)
            bgr = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA)
        if color:
            photos.append(torch.from_numpy(np.ascontiguousarray(bgr[..., ::-1].transpose(2, 0, 1))))
        else:
            luma = bgr.astype(np.float32) @ np.array([0.0722, 0.7152, 0.2126], np.float32)
            photos.append(torch.from_numpy(np.rint(luma).astype(np.uint8)))
    return photos


def _uniform(generator: torch.Generator | None, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    return torch.rand(*shape, generator=generator) * (high - low) + low


def _camera_path(frames: int, generator: torch.Generator | None, reach: tuple[float, float], step: float):
    """Homographies [T, 3, 3] from output pixels (centred) to photo pixels (centred), drifting smoothly.

    `reach` is how far (photo pixels, down and across) the centre may lie from the photo's; `step` photo pixels an
    output pixel.
    """
    time = torch.linspace(-0.5, 0.5, frames) * (frames - 1)
    start = _uniform(generator, 2, low=-1, high=1) * torch.tensor(reach)
    speed = torch.randn(2, generator=generator) * 1.5
    accel = torch.randn(2, generator=generator) * 0.05
    centre = start[:, None] + speed[:, None] * time + accel[:, None] * time**2
    centre = torch.stack([c.clamp(-r, r) for c, r in zip(centre, reach, strict=True)])
    rates = torch.randn(4, generator=generator) * torch.tensor([0.004, 0.004, 1e-6, 1e-6])
    zoom = step * torch.exp((rates[0] * time).clamp(-0.15, 0.15))
    angle = _uniform(generator, 1, low=-0.12, high=0.12) + rates[1] * time
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    zero, one = torch.zeros(frames), torch.ones(frames)
    tilt = _uniform(generator, 2, low=-2e-4, high=2e-4)[:, None] + rates[2:, None] * time
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
    step = min(float(_uniform(generator, 1, low=1.2, high=1.8)), fit)
    reach = (max(0.0, (image.shape[1] - height * step) / 2), max(0.0, (image.shape[2] - width * step) / 2))
    clip = _warp(image, _camera_path(frames, generator, reach, step), height, width)
    if float(_uniform(generator, 1)) < occluder:
        texture = _warp(image, _camera_path(frames, generator, reach, step), height, width)
        alpha = _occluder_mask(frames, height, width, generator).to(image.device)
        clip = torch.lerp(clip, texture, alpha)
    return clip.clamp(0, 1)


def _occluder_mask(frames: int, height: int, width: int, generator: torch.Generator | None) -> torch.Tensor:
    """Soft outline [T, 1, h, w] of a wavy-edged body crossing the picture at constant speed."""
    time = torch.arange(frames, dtype=torch.float32) - frames * float(_uniform(generator, 1))
    angle = float(_uniform(generator, 1, high=2 * math.pi))
    speed = float(_uniform(generator, 1, low=1, high=8))
    offset = _uniform(generator, 2, low=-0.3, high=0.3)
    centre_y = height * (0.5 + offset[0]) + math.sin(angle) * speed * time
    centre_x = width * (0.5 + offset[1]) + math.cos(angle) * speed * time
    y = torch.arange(height, dtype=torch.float32)[None, :, None] - centre_y[:, None, None]
    x = torch.arange(width, dtype=torch.float32)[None, None, :] - centre_x[:, None, None]
    radii = _uniform(generator, 2, low=0.1, high=0.35) * min(height, width)
    theta = torch.atan2(y, x)
    phase = _uniform(generator, 2, high=2 * math.pi)
    edge = 1 + 0.2 * torch.cos(2 * theta + phase[0]) + 0.12 * torch.cos(5 * theta + phase[1])
    distance = torch.sqrt((y / radii[0]) ** 2 + (x / radii[1]) ** 2)
    return torch.sigmoid((edge - distance) * float(radii.min()) / 0.7)[:, None]


def sample_crops(
    clips: Sequence[Clip],
    photos: Sequence[torch.Tensor],
    batch: int,
    frames: int,
    size: int,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    scale: tuple[float, float] = (0.5, 1.0),
    photo_probability: float = 0.1,
    stride: int = 2,
    shake: float = 0.15,
) -> torch.Tensor:
    """Draw a batch of random moving crops.

    Args:
        clips: as `load_clips` gives them; their frames may lie on a GPU.
        photos: as `load_photos` gives them; may be empty.
        batch: crops in the batch.
        frames: frames a crop; a clip with fewer runs to and fro.
        size: height and width of a crop in pixels.
        generator: CPU generator of all random choices.
        device: where the batch is wanted; None: where the clips lie.
        scale: range of the random shrinking before the crop (1: as loaded), with antialiasing.
        photo_probability: share of pseudo-clips from photographs.
        stride: frames are taken 1..stride apart.
        shake: share of clips filmed as from the hand or from a car: the crop jumps from frame to frame.

    Returns:
        float32 [B, T, C, size, size], 0..1; C is 1 for luma and 3 for RGB.
    """
    crops = []
    for _ in range(batch):
        if photos and float(_uniform(generator, 1)) < photo_probability:
            photo = photos[int(torch.randint(len(photos), (1,), generator=generator))]
            crop = photo_clip(photo, frames, size, generator)
        else:
            clip = clips[int(torch.randint(len(clips), (1,), generator=generator))]
            crop = _clip_crop(clip.frames, frames, size, generator, scale, stride, shake)
        flip, reverse = _uniform(generator, 2).tolist()
        crop = crop.flip(-1) if flip < 0.5 else crop
        crop = crop.flip(0) if reverse < 0.5 else crop
        crops.append(crop if device is None else crop.to(device, non_blocking=True))
    return torch.stack(crops)


def _clip_crop(clip, frames, size, generator, scale, stride, shake) -> torch.Tensor:
    total, (height, width) = clip.shape[0], clip.shape[-2:]
    pick = _uniform(generator, 6).tolist()
    step = min(1 + int(pick[0] * stride), max(1, (total - 1) // max(1, frames - 1)))
    span = (frames - 1) * step + 1
    first = int(pick[1] * (max(0, total - span) + 1))
    factor = scale[0] + (scale[1] - scale[0]) * pick[2]
    region = min(round(size / factor), height, width)
    top, left = int(pick[3] * (height - region + 1)), int(pick[4] * (width - region + 1))
    if first + span <= total:
        times = range(first, first + span, step)
    else:
        times = [min(t, 2 * total - 2 - t) for t in (k % max(1, 2 * total - 2) for k in range(frames))]
    jumps = _jumps(frames, region / size, generator) if pick[5] < shake else torch.zeros(2, frames)
    tops, lefts = (jumps + torch.tensor([[top], [left]])).round().int().tolist()
    places = [(min(max(y, 0), height - region), min(max(x, 0), width - region)) for y, x in zip(tops, lefts)]
    part = torch.stack([clip[t, ..., y : y + region, x : x + region] for t, (y, x) in zip(times, places)])
    part = (part if part.ndim == 4 else part[:, None]).float().div_(255)
    if region == size:
        return part
    return F.interpolate(part, (size, size), mode="bilinear", antialias=region > size, align_corners=False)


def _jumps(frames: int, pixel: float, generator: torch.Generator | None) -> torch.Tensor:
    """Shifts [2, T] of an unsteady camera: up to a dozen crop pixels of `pixel` each, now more now less shaken."""
    reach = 1.5 * 8 ** float(_uniform(generator, 1)) * pixel
    swing = torch.randn(2, frames, generator=generator)
    push = (_uniform(generator, 1, frames) < float(_uniform(generator, 1))).float()
    return reach * swing * push


def _some(clips, generator, share: float, draw: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """`clips` [B, ...], each redrawn by `draw` with the probability `share`."""
    return torch.stack([draw(clip) if float(_uniform(generator, 1)) < share else clip for clip in clips])


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
    y = torch.arange(height, dtype=torch.float32)[:, None] - height / 2
    x = torch.arange(width, dtype=torch.float32)[None, :] - width / 2
    time = torch.arange(frames, dtype=torch.float32)[:, None, None]

    def drawn(clip: torch.Tensor) -> torch.Tensor:
        pick = _uniform(generator, 12).tolist()
        # mostly upright, as scratches are; the rest at any angle
        angle = (pick[0] - 0.5) * (0.15 if pick[1] < 0.7 else math.pi)
        speed = 0.0 if pick[2] < 0.4 else (pick[3] - 0.5) * 5
        across = x * math.cos(angle) + y * math.sin(angle) - time * speed
        along = y * math.cos(angle) - x * math.sin(angle)
        half = 0.4 + 1.6 * pick[4] ** 2
        if pick[5] < 0.5:  # a regular group
            period = 6 + 40 * pick[6]
            across = torch.remainder(across + period * pick[7], period) - period / 2
        else:
            across = across - (pick[7] - 0.5) * width
        line = ((half + 0.5 - across.abs()).clamp(0, 1)) * (0.3 + 0.7 * pick[8])
        if pick[9] < 0.6:  # it ends inside of the picture
            line = line * torch.sigmoid((along - (pick[10] - 0.5) * height) * (2 if pick[11] < 0.5 else -2))
        shade = 0.02 + 0.15 * pick[6] if pick[3] < 0.5 else 0.75 + 0.25 * pick[6]
        return torch.lerp(clip, torch.full_like(clip, shade), line[:, None].to(clip))

    return _some(clips, generator, share, drawn)


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
    y = torch.arange(height, dtype=torch.float32)[:, None]
    x = torch.arange(width, dtype=torch.float32)[None, :]
    time = torch.arange(frames, dtype=torch.float32)

    def drawn(clip: torch.Tensor) -> torch.Tensor:
        common = torch.randn(2, generator=generator) * (3 * float(_uniform(generator, 1)) ** 2)  # the scene's movement
        shaken = torch.cumsum(torch.randn(2, frames, generator=generator), 1) * 2 * float(_uniform(generator, 1)) ** 2
        cover = torch.zeros(frames, 1, height, width)
        value = torch.zeros(frames, 1, height, width)
        for _ in range(1 + int(torch.randint(8, (1,), generator=generator))):
            pick = _uniform(generator, 8).tolist()
            own = torch.randn(2, generator=generator) * (4 * pick[0] if pick[1] < 0.2 else 0.0)
            path = (common + own)[:, None] * (time - frames / 2) + shaken
            centre = path + torch.tensor([[pick[2] * height], [pick[3] * width]])
            radius = 0.8 * 6 ** pick[4]
            angle = math.pi * pick[5]
            dy, dx = y[None] - centre[0, :, None, None], x[None] - centre[1, :, None, None]
            u = dx * math.cos(angle) + dy * math.sin(angle)
            v = (dy * math.cos(angle) - dx * math.sin(angle)) * (1 + 1.5 * pick[6])
            shape = ((radius - torch.sqrt(u * u + v * v)) / (0.5 + 0.5 * pick[7]) + 0.5).clamp(0, 1)
            if pick[6] < 0.25:  # it appears or vanishes
                seen = (time < frames * (0.3 + 0.4 * pick[0])).float()
                shape = shape * (seen if pick[1] < 0.5 else 1 - seen)[:, None, None]
            shade = 0.75 + 0.25 * pick[0] if pick[7] < 0.6 else 0.12 * pick[0]
            shape = shape[:, None] * (0.4 + 0.6 * pick[5])
            value = torch.where(shape > cover, shade, value)
            cover = torch.maximum(cover, shape)
        return torch.lerp(clip, value.to(clip), cover.to(clip))

    return _some(clips, generator, share, drawn)


def stand_still(clips: torch.Tensor, generator: torch.Generator | None = None, share: float = 0.3) -> torch.Tensor:
    """Turn moving clips into such as are filmed from a tripod: one frame stays, and bodies of the moving clip pass in
    front of it. What stays there is hidden now and then, as no hair in the gate is.

    Args:
        clips: float [B, T, 1, H, W], 0..1.
        generator: CPU generator of all random choices.
        share: probability that a clip is one.

    Returns:
        Clips of the same shape; the others unchanged.
    """
    frames, height, width = clips.shape[1], *clips.shape[-2:]

    def drawn(clip: torch.Tensor) -> torch.Tensor:
        still = clip[int(torch.randint(frames, (1,), generator=generator))].expand_as(clip)
        for _ in range(int(torch.randint(4, (1,), generator=generator))):
            still = torch.lerp(still, clip, _occluder_mask(frames, height, width, generator).to(clip))
        return still

    return _some(clips, generator, share, drawn)


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
        pick = _uniform(generator, 4).tolist()
        draw = np.random.RandomState(int(torch.randint(2**31 - 1, (1,), generator=generator)))
        cover = _letters(draw, height, width) if pick[0] < 0.7 else _gate_edge(draw, height, width)
        shade = 0.06 * pick[1] if pick[0] >= 0.7 or pick[2] < 0.3 else 0.7 + 0.3 * pick[1]
        first, last = sorted(np.rint(draw.uniform(-0.5, 1.5, 2) * frames)) if pick[3] < 0.5 else (0, frames)
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
