"""Masks that a person, a scanner or another program gives: what is damage, and what is to be left alone."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections import defaultdict, deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..color.samples import MOST_PIXELS, decode_luma
from ..errors import InputError
from ..references.reference import frame_number
from ..remaster.picture import Picture
from ..remaster.worker import resize
from ..system import texts
from ..system.inputs import check_input
from ..video.folder import PICTURE_SUFFIXES, files_of
from ..video.planes import Frame
from ..video.reader import VideoReader

log = logging.getLogger(__name__)

MANIFEST = "masks.toml"
_COLOURED = 0.1  # difference between R', G' and B' from which a mask is no gray picture
_BOTH = 0.5  # product of two masks that are white at one place
_ALL = 0.99  # mean of a mask that is white all over
_RECENT, _RECENT_BYTES = 128, 256 << 20  # frames of a video that are kept, for whoever comes back to them


@dataclass(frozen=True)
class Drawn:
    """A picture of a mask, and the frames that it acts on, the second not included and None for the film's end."""

    path: Path
    first: int
    end: int | None

    def acts(self, frame: int) -> bool:
        """Whether it acts on a frame."""
        return self.first <= frame and (self.end is None or frame < self.end)


class Given(NamedTuple):
    """What is given for the frames of a film: where there is damage, and what stays as it was."""

    repair: Masks | None = None
    protect: Masks | None = None

    @classmethod
    def at(cls, repair: Path | None, protect: Path | None) -> Given:
        """Those in files."""
        return cls(Masks(repair, "repair") if repair else None, Masks(protect, "protect") if protect else None)

    def check(self, frames: int | None) -> None:
        """See `Masks.check`."""
        for masks in self:
            if masks:
                masks.check(frames)

    def lay_on(self, picture: Picture) -> Picture:
        """A picture with the masks of its frame."""
        if self.repair is None and self.protect is None:
            return picture
        size = picture.luma.shape[-2], picture.luma.shape[-1]
        repair, protect = (masks.at(picture.index, size) if masks else None for masks in self)
        if self.repair and repair is not None and protect is not None and not self.repair.told_of_both:
            if (repair * protect).max() > _BOTH:
                self.repair.told_of_both = True
                log.warning("frame %d: repair and protect are both white at one place: protect wins", picture.index)
        return replace(picture, repair=repair, protect=protect)


class Masks:
    """Masks of a film's frames, 0..1: white is 1.

    Args:
        path: a video with a frame for each of the film's; a picture; or a folder of pictures. The last number in a
            picture's name is that of its frame; one without a number acts on all frames, or on those that `masks.toml`
            beside it gives: `[[mask]]`, `picture = "hair.png"`, `frames = [120, 340]`, the second not included. Frames
            without a picture have no mask. Where a picture has transparent places, what is opaque is white; else it
            has to be gray, of 8 or 16 bits.
        name: what messages call it, such as `repair`.

    Raises:
        InputError: nothing there, or `masks.toml` is wrong.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self.pictures = self._drawn()
        self._single: dict[int, list[Path]] = defaultdict(list)
        self._ranges: list[Drawn] = []
        for picture in self.pictures or ():
            if picture.end == picture.first + 1:
                self._single[picture.first].append(picture.path)
            else:
                self._ranges.append(picture)
        self._kept: dict[Path, np.ndarray] = {}
        self._hashes: dict[tuple[Path, int, int], str] = {}
        self._reader: VideoReader | None = None
        self._film: Iterator[Frame] = iter(())
        self._recent: deque[Frame] = deque()
        self._next = 0
        self._told = self.told_of_both = False

    def _drawn(self) -> list[Drawn] | None:
        """The pictures; None where it is a video."""
        if not self.path.exists():
            raise InputError(f"{self.name}: {str(self.path)!r} is not there: give a video, a picture or a folder")
        files = files_of(self.path) if self.path.is_dir() else [self.path]
        if self.path.is_file() and self.path.suffix.lower() not in PICTURE_SUFFIXES:
            return None
        if not files:
            raise InputError(f"{self.name}: {str(self.path)!r} holds no pictures")
        ranges = _listed((self.path if self.path.is_dir() else self.path.parent) / MANIFEST)
        unknown = sorted(ranges.keys() - {file.name for file in files})
        if unknown and self.path.is_dir():
            raise InputError(f"{self.name}: {MANIFEST} in {str(self.path)!r} names {unknown[0]!r}, which is not there")
        if (
            self.path.is_file()
            and self.path.name not in ranges
            and (number := frame_number(self.path.name)) is not None
        ):
            _tell_of_number(self.name, self.path.name, number)
        return [Drawn(file, *ranges.get(file.name, _named(file))) for file in files]

    @property
    def files(self) -> list[Path]:
        """All that is read: the video, or the pictures and what says on which frames they act."""
        toml = (self.path if self.path.is_dir() else self.path.parent) / MANIFEST
        told = [toml] if self.pictures is not None and toml.is_file() else []
        return [self.path] if self.pictures is None else [*(picture.path for picture in self.pictures), *told]

    def check(self, frames: int | None) -> None:
        """Refuse masks for frames that the film has not; `frames`: how many it has, None where that is not known.

        Raises:
            InputError: with the first of them.
        """
        if frames is None:
            return
        if self.pictures is None:
            with VideoReader(self.path, notes=False) as reader:
                held = reader.expected
            if held is not None and held != frames:
                raise InputError(
                    f"{self.name}: {self.path} has {held} frames and the film {frames}: a video of masks needs one for "
                    "each; pictures need not"
                )
            return
        for picture in self.pictures:
            if picture.first >= frames or (picture.end or 0) > frames:
                last = picture.first if picture.first >= frames else (picture.end or 0) - 1
                raise InputError(
                    f"{self.name}: {picture.path} is for frame {last}, and the film has {frames}, from 0 to "
                    f"{frames - 1}: the last number in a name is that of the frame"
                )

    def at(self, frame: int, size: tuple[int, int]) -> Tensor | None:
        """The mask of a frame at a size (height, width), `[1, H, W]`; None where there is none.

        Raises:
            InputError: a picture that cannot be read or is not gray; a video that ends before this frame.
        """
        found = self._video_at(frame) if self.pictures is None else self._drawn_at(frame, size)
        if found is None or not found.any():
            return None
        if found.mean() > _ALL and not self._told:
            self._told = True
            log.warning("%s: the mask of frame %d is white all over", self.name, frame)
        return resize(torch.from_numpy(found)[None, None], size)[0]

    def digest(self, first: int, end: int) -> str:
        """Tells the masks of frames `first` to `end` (not included) from others: of pictures those that act there, of a
        video the whole file. Empty where no picture acts."""
        if self.pictures is None:
            return self._hash(self.path)
        told = []
        for picture in self.pictures:
            if picture.first < end and (picture.end is None or picture.end > first):
                bounds = max(picture.first, first), end if picture.end is None else min(picture.end, end)
                told.append(f"{bounds} {self._hash(picture.path)}\n")
        return hashlib.sha256("".join(told).encode()).hexdigest() if told else ""

    def _hash(self, path: Path) -> str:
        check_input(path)
        with _readable(path, self.name), path.open("rb") as file:
            stat = os.fstat(file.fileno())
            state = path, stat.st_size, stat.st_mtime_ns
            if state not in self._hashes:
                self._hashes[state] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._hashes[state]

    def _drawn_at(self, frame: int, size: tuple[int, int]) -> np.ndarray | None:
        assert self.pictures is not None
        acting = [*self._single.get(frame, ()), *(picture.path for picture in self._ranges if picture.acts(frame))]
        self._kept = {path: kept for path, kept in self._kept.items() if path in acting}
        for path in acting:
            if path not in self._kept:
                self._kept[path] = read_mask(path, self.name)
        held = list(self._kept.values())
        if len({mask.shape for mask in held}) > 1:
            held = [cv2.resize(mask, size[::-1], interpolation=cv2.INTER_LINEAR) for mask in held]
        return np.maximum.reduce(held) if held else None

    def _video_at(self, frame: int) -> np.ndarray:
        if self._reader is None or frame < self._next:
            kept = next((one for one in self._recent if one.index == frame), None)
            if kept is not None and self._reader:
                return self._decoded(self._reader, kept)
            self.close()
            self._reader, self._next = VideoReader(self.path, frame, notes=False), frame
            self._film = iter(self._reader)
        for one in self._film:
            self._next = one.index + 1
            self._recent.append(one)
            most = max(1, _RECENT_BYTES // sum(plane.nbytes for plane in one.planes))
            while len(self._recent) > min(most, _RECENT):
                self._recent.popleft()
            if one.index == frame:
                return self._decoded(self._reader, one)
        raise InputError(
            f"{self.name}: {self.path} ends before frame {frame} of the film: a video of masks needs a frame for each; "
            "pictures need not"
        )

    @staticmethod
    def _decoded(reader: VideoReader, frame: Frame) -> np.ndarray:
        return decode_luma(frame.planes, reader.info)[0].clamp(0, 1).numpy()

    def close(self) -> None:
        """Close the video; it is opened again where it is asked for a frame."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._film = None, iter(())
        self._recent.clear()


def read_mask(path: Path, name: str) -> np.ndarray:
    """The mask in a picture, `[H, W]` float32, 0..1.

    Raises:
        InputError: it cannot be read, or it is coloured.
    """
    data = np.frombuffer(_bytes_of(path, name), np.uint8)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error:  # more pixels than OpenCV takes
        pixels = None
    if pixels is None or pixels.size > 4 * MOST_PIXELS or pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name}: cannot read {str(path)!r}: give a gray picture of 8 or 16 bits, such as a PNG")
    pixels = pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 65535)
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] in (2, 4) and pixels[..., -1].min() < 1:
        return np.ascontiguousarray(pixels[..., -1])
    shown = pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., :1]
    if (shown.max(2) - shown.min(2)).max() > _COLOURED:
        raise InputError(
            f"{name}: {str(path)!r} is a picture in colours: a mask is gray, white where it acts, or transparent where "
            "it does not"
        )
    return np.ascontiguousarray(shown.mean(2))


def _bytes_of(path: Path, name: str) -> bytes:
    check_input(path)
    with _readable(path, name):
        return path.read_bytes()


@contextlib.contextmanager
def _readable(path: Path, name: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{name}: cannot read {str(path)!r}: {error.strerror or error}") from error


@cache  # it is said once
def _tell_of_number(what: str, name: str, number: int) -> None:
    log.warning(
        "%s: %r acts on frame %d only, the last number of its name: name it without a number for all frames",
        what, name, number,
    )  # fmt: skip


def _named(file: Path) -> tuple[int, int | None]:
    """The frames that a picture acts on by its name."""
    number = frame_number(file.name)
    return (0, None) if number is None else (number, number + 1)


def _listed(toml: Path) -> dict[str, tuple[int, int | None]]:
    """The frames of pictures by the manifest; nothing where there is none."""
    if not toml.is_file():
        return {}
    try:
        held = texts.parse_toml(texts.read_text(toml))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {str(toml)!r}: {error}") from error
    found: dict[str, tuple[int, int | None]] = {}
    rows = held.get("mask")
    if held.keys() - {"mask"} or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f'{str(toml)!r} has to hold [[mask]] entries with picture = "hair.png" and frames = [0, 240]')
    for number, row in enumerate(rows, 1):
        found[_picture(row, toml, number)] = _range(row.get("frames"), toml, number)
    return found


def _picture(row: dict[str, Any], toml: Path, number: int) -> str:
    picture = row.get("picture")
    if row.keys() - {"picture", "frames"} or not isinstance(picture, str) or Path(picture).name != picture:
        raise InputError(
            f'{str(toml)!r}, entry {number}: it has to say picture = "hair.png", a file beside it, and frames = [0, '
            f"240], got {', '.join(chain(row)) or 'nothing'}"
        )
    return picture


def _range(value: Any, toml: Path, number: int) -> tuple[int, int | None]:
    whole = isinstance(value, list) and len(value) == 2 and all(type(one) is int and one >= 0 for one in value)
    if not whole or value[0] >= value[1]:
        raise InputError(
            f"{str(toml)!r}, entry {number}: frames has to be [first, end], the end not included, got {value!r}"
        )
    return value[0], value[1]
