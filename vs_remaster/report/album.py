"""The pictures of a report: written while the film passes by, made smaller in the end if they are too many."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ..color.samples import colorless, decode_rgb
from ..errors import RemasterError
from ..system.files import make_folder, named_errors
from ..video.info import VideoInfo
from ..video.planes import Frame
from .measures import resized, shrunk

FOLDER = "pictures"
NAME = re.compile(r"(before|after|thumb)_\d{6,}\.jpg|paint_\d{6,}\.png")
"""Of every file in it."""
EDGES = (960, 720, 540, 400, 300)
"""Longer edges of the pictures before and after: the first at which they fit is taken."""
PAINT_LINES = (1080, 720, 480)
"""Shorter edges of the frames to paint: the same."""
_THUMB = 160  # longer edge
_QUALITY, _THUMB_QUALITY = 84, 72


class Album:
    """Writes pictures into a folder.

    Args:
        folder: of the report; its subfolder `pictures` is made.
        info: the film, for the shape of its pixels.
        budget: bytes that the pictures before and after may take in the end, their thumbnails too.
        paint: bytes that the frames to paint may take in the end.
    """

    def __init__(self, folder: Path, info: VideoInfo, budget: int = 28 << 20, paint: int = 16 << 20) -> None:
        self._folder, self._info, self._budget, self._paint = folder / FOLDER, info, budget, paint
        make_folder(self._folder)

    def path(self, kind: str, frame: int, suffix: str = ".jpg") -> Path:
        """Where a frame's picture lies; `kind` is before, after, thumb or paint."""
        return self._folder / f"{kind}_{frame:06d}{suffix}"

    def put(self, before: Frame, after: Frame, after_info: VideoInfo) -> None:
        """Write a frame as it was and as it became, both as large as what it became, and a thumbnail."""
        height, width = after.planes[0].shape
        whole, small = ((width, height, edge) for edge in (EDGES[0], _THUMB))
        for kind, frame, info in (("before", before, self._info), ("after", after, after_info)):
            self._jpeg(kind, frame, info, whole, _QUALITY)
        self._jpeg("thumb", after, after_info, small, _THUMB_QUALITY)

    def put_paint(self, frame: Frame, info: VideoInfo) -> None:
        """Write a frame's luma as a PNG, at its own size up to 1080 lines, to be coloured by hand."""
        height, width = frame.planes[0].shape
        scale = min(1.0, PAINT_LINES[0] / min(height, width))
        luma = shrunk(frame, info, (round(width * scale), round(height * scale)), chroma=False).luma
        _write(self.path("paint", frame.index, ".png"), _gray(luma))

    def drop(self, frames: Sequence[int]) -> None:
        """Remove frames to paint that were given up."""
        for frame in frames:
            self.path("paint", frame, ".png").unlink(missing_ok=True)

    def remove(self, frame: int) -> None:
        """Remove the pictures of a frame."""
        for kind in ("before", "after", "thumb"):
            self.path(kind, frame).unlink(missing_ok=True)

    def settle(self, frames: Sequence[int], paint: Sequence[int]) -> tuple[list[int], list[int]]:
        """Make all pictures fit.

        Args:
            frames: those that have pictures, in the order in which they are wanted.
            paint: those to paint, in the order in which they are wanted.

        Returns:
            The frames of both that still have pictures: of very many the last are left out.
        """
        pairs = [self.path(kind, frame) for frame in frames for kind in ("before", "after")]
        thumbs = sum(map(_size, (self.path("thumb", frame) for frame in frames)))
        _shrink(pairs, EDGES[1:], max, self._budget - thumbs)
        _shrink([self.path("paint", f, ".png") for f in paint], PAINT_LINES[1:], min, self._paint)
        kinds = ("before", "after", "thumb")
        kept = _first(frames, lambda f: sum(_size(self.path(kind, f)) for kind in kinds), self._budget)
        for frame in frames[len(kept) :]:
            self.remove(frame)
        painted = _first(paint, lambda f: _size(self.path("paint", f, ".png")), self._paint)
        self.drop(paint[len(painted) :])
        return kept, painted

    def _jpeg(self, kind: str, frame: Frame, info: VideoInfo, room: tuple[int, int, int], quality: int) -> None:
        """Write a frame at a width and height, or smaller where an edge of that is longer than the third number."""
        width, height, edge = room
        width = round(width * info.sar)
        scale = min(1.0, edge / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        _write(self.path(kind, frame.index), _pixels(frame, info, size), quality)


def _write(path: Path, pixels: np.ndarray, quality: int = 0) -> None:
    """Write a picture into the report in the making, which comes to the disk as a whole."""
    with named_errors(path):
        path.write_bytes(_encoded(path.suffix, pixels, quality))


def _pixels(frame: Frame, info: VideoInfo, size: tuple[int, int]) -> np.ndarray:
    """A frame at (width, height) as 8-bit gray `[h, w]` or BGR `[h, w, 3]`."""
    if info.kind == "gray" or colorless(frame.planes, info):
        return _gray(shrunk(frame, info, size, chroma=False).luma)
    planes = [resized(plane, size) for plane in frame.planes]
    rgb = decode_rgb(planes, replace(info, subsampling=(0, 0))).clamp(0, 1)
    return np.ascontiguousarray((rgb * 255).round().byte().numpy()[::-1].transpose(1, 2, 0))


def _gray(luma: np.ndarray) -> np.ndarray:
    return np.rint(luma.clip(0, 1) * 255).astype(np.uint8)


def _encoded(suffix: str, pixels: np.ndarray, quality: int) -> bytes:
    done, data = cv2.imencode(suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else [])
    if not done:
        raise RemasterError(f"cannot encode a picture of {pixels.shape[1]}x{pixels.shape[0]} as {suffix[1:]}")
    return data.tobytes()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _shrink(
    paths: Sequence[Path], edges: Sequence[int], edge_of: Callable[[tuple[int, int]], int], budget: int
) -> None:
    """Encode pictures again, with ever shorter edges, until all of them take `budget` bytes or edges run out."""
    for edge in edges:
        if sum(map(_size, paths)) <= budget:
            return
        for path in paths:
            # from bytes: OpenCV cannot open every path that the file system allows
            pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
            assert pixels is not None  # it is one that we have encoded
            height, width = pixels.shape[:2]
            scale = edge / edge_of((height, width))
            if scale < 1:
                size = max(1, round(width * scale)), max(1, round(height * scale))
                pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
                _write(path, pixels, _QUALITY)


def _first(frames: Sequence[int], size: Callable[[int], int], budget: int) -> list[int]:
    kept, total = [], 0
    for frame in frames:
        total += size(frame)
        if total > budget:
            break
        kept.append(frame)
    return kept
