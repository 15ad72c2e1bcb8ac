"""Clips: videos decoded into memory, or through a file on the disk."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from export.material.files import VIDEO_SUFFIXES, find_files, target_size
from vs_remaster.errors import InputError

log = logging.getLogger(__name__)

_PACK_VERSION = 1


@dataclass(frozen=True)
class Clip:
    """One shot: `frames` uint8, [T, H, W] luma (BT.709, full range) or [T, 3, H, W] RGB; on any device."""

    name: str
    frames: torch.Tensor


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
                height, width = target_size(*pixels.shape[:2], short_edge)
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
    files = find_files(folder, VIDEO_SUFFIXES)
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
    files = find_files(folder, VIDEO_SUFFIXES)
    edges = [short_edge] if isinstance(short_edge, int) else list(short_edge)
    stamp: list[Any] = [_PACK_VERSION, isinstance(short_edge, int), edges, color, limit_frames]
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
