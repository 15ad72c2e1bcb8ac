"""What is measured on: clips from anywhere, damaged, cut or joined to films, and what they are coloured from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from export.damage import VALIDATION_EDGE, VALIDATION_FRAMES, Damaged, Templates, load_templates, validation_clip
from export.damage.filters import gauss, separable
from export.material import decode_clip
from export.material.files import PHOTO_SUFFIXES, VIDEO_SUFFIXES
from export.tables import progress
from vs_remaster import color
from vs_remaster.errors import InputError
from vs_remaster.references.reference import Reference
from vs_remaster.remaster.scenes import detect_cuts, thumbnail

COLOR_LINES = 320
ENLARGED_EDGE = 352  # short edge of the truth: no more than what the clips hold
REFERENCE_EVERY = 60  # frames, DeepRemaster's five references for 300 frames
_ASPECT = 4 / 3  # of joined films


@dataclass(frozen=True)
class Case:
    """One clip as the methods get it, and what it should become.

    Attributes:
        name: of the clip.
        luma: [T, 1, H, W], 0..1: what is to be restored or coloured.
        truth: luma or RGB [T, C, H, W], 0..1; None for real film.
        dirt: [T, 1, H, W], 0..1: where `luma` is dirty; None where that is not asked.
        clean: [T, 1, H, W]: undamaged luma that should come back as it is; None where that is not asked.
        references: pictures to colour from, each of a known frame.
        cuts: frames that start a scene, as networks are told.
    """

    name: str
    luma: torch.Tensor
    truth: torch.Tensor | None = None
    dirt: torch.Tensor | None = None
    clean: torch.Tensor | None = None
    references: tuple[Reference, ...] = ()
    cuts: tuple[int, ...] = ()

    def tensors(self) -> Iterator[torch.Tensor]:
        """All that a result depends on."""
        yield self.luma
        for other in (self.truth, self.dirt):
            if other is not None:
                yield other
        for reference in self.references:
            yield torch.tensor(reference.frame)
            yield reference.rgb


@dataclass(frozen=True)
class Source:
    """Where clips come from.

    Attributes:
        data: a folder with video and damage/val.
        paths: videos, folders of pictures, or folders of either, in place of those in `data`.
        clips: at most so many.
        frames: at most so many frames of each.
        folder: the one of `data`/video that clips are taken from.
    """

    data: Path | None = None
    paths: Sequence[Path] = ()
    clips: int | None = None
    frames: int | None = None
    folder: str = "val"

    def files(self) -> list[Path]:
        """The clips: videos, and folders of pictures, sorted within each folder that was named.

        Raises:
            InputError: there are none.
        """
        if self.paths:
            found = [file for path in self.paths for file in _clips_at(path)]
        elif self.data:
            folder = self.data / "video" / self.folder
            found = _clips_at(folder) if folder.is_dir() else []
            if not found:
                raise InputError(f"no videos in {folder}; name the folder that holds video/{self.folder}")
        else:
            raise InputError("no clips; give --data DATA with video/val in it, or --clips-folder PATH")
        return found

    def templates(self) -> Templates | None:
        """The masks of `data`/damage/val; None without `data`: damage is drawn then."""
        return load_templates(self.data / "damage" / "val") if self.data else None

    def read(
        self, lines: int | None, in_color: bool, frames: int | None = None, least: int = 1
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Name and frames [T, C, H, W], 0..1, of `clips` clips that have `least` frames.

        Args:
            lines: pixels of the short edge to shrink to; None: as it is.
            in_color: RGB, not luma.
            frames: at most so many of each clip.
            least: shorter clips are left out.

        Raises:
            InputError: no clip is long enough, or one cannot be read.
        """
        given, short = 0, []
        for path in self.files():
            pixels = read_clip(path, lines, in_color, frames)
            if len(pixels) < least:
                short.append(path.stem)
                continue
            tensor = torch.from_numpy(pixels).float() / 255
            yield path.stem, tensor if in_color else tensor[:, None]
            given += 1
            if given == self.clips:
                break
        if not given:
            raise InputError(f"no clip has {least} frames; give longer ones")
        if short:
            progress(f"left out, shorter than {least} frames: {', '.join(short)}")


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES)


def _clips_at(path: Path) -> list[Path]:
    """The clip `path`, or the clips in the folder `path`."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"no such file or folder: {str(path)!r}; give videos, or folders of videos or pictures")
    inside = sorted(path.iterdir())
    found = [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES]
    if not found and _pictures_in(path):
        return [path]
    found = sorted(found + [p for p in inside if p.is_dir() and _pictures_in(p)])
    if not found:
        raise InputError(f"no videos in {str(path)!r}, and no folders of pictures; give a folder that holds some")
    return found


def read_clip(path: Path, lines: int | None, in_color: bool, frames: int | None = None) -> np.ndarray:
    """A video or a folder of pictures as `decode_clip` returns it; `lines` None: not shrunk."""
    edge = lines or 1 << 20
    if path.is_file():
        return decode_clip(path, short_edge=edge, color=in_color, limit_frames=frames)
    read = []
    for file in _pictures_in(path)[:frames]:
        bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if bgr is None:
            raise InputError(f"cannot read {str(file)!r}; remove it from the folder")
        scale = min(1.0, edge / min(bgr.shape[:2]))
        read.append(_resized(bgr, round(bgr.shape[0] * scale), round(bgr.shape[1] * scale)))
        if read[-1].shape != read[0].shape:
            raise InputError(f"{str(file)!r} has another size than the pictures before; make them alike")
    rgb = np.stack(read)[..., ::-1]
    if in_color:
        return np.ascontiguousarray(rgb.transpose(0, 3, 1, 2))
    return np.rint(rgb @ np.array([0.2126, 0.7152, 0.0722], np.float32)).astype(np.uint8)


def _resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    method = cv2.INTER_AREA if height < picture.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=method)


def covering(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Frames [T, C, h, w] scaled to fill `height` x `width`, what stands out cut off on both sides."""
    scale = max(height / pixels.shape[-2], width / pixels.shape[-1])
    size = [max(want, round(side * scale)) for want, side in zip((height, width), pixels.shape[-2:])]
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    cut = [_resized(frame.transpose(1, 2, 0), *size)[top : top + height, left : left + width] for frame in pixels]
    return np.ascontiguousarray(np.stack(cut).transpose(0, 3, 1, 2))


def joined_films(files: Sequence[Path], frames: int, lines: int) -> Iterator[tuple[str, torch.Tensor, list[int]]]:
    """Films of exactly `frames` frames, made of one clip after another; 4:3, `lines` high.

    A film's last clip is cut where the film is full, and the next film begins with the next clip; what is left at the
    end and too short is dropped.

    Yields:
        Name, RGB [T, 3, H, W] of 0..1, and the frames at which clips begin (without 0), of each film.

    Raises:
        InputError: all clips together are too short for one film.
    """
    size = lines, round(lines * _ASPECT)
    parts, starts, made = [], [], 0
    for file in files:
        had = sum(map(len, parts))
        parts.append(covering(read_clip(file, None, True, frames - had), *size))
        starts.append(had)
        if had + len(parts[-1]) == frames:
            made += 1
            yield f"film-{made}", torch.from_numpy(np.concatenate(parts)).float() / 255, starts[1:]
            parts, starts = [], []
    if not made:
        total = sum(map(len, parts))
        raise InputError(f"all clips together have {total} frames; a film needs {frames}: give more clips")


def find_cuts(luma: torch.Tensor) -> tuple[int, ...]:
    """The cuts that the product finds in luma [T, 1, H, W]."""
    return tuple(detect_cuts(torch.stack([thumbnail(frame) for frame in luma])))


# What each task is measured on ---------------------------------------------------------------------------------------


def damaged(
    name: str, clean: torch.Tensor, templates: Templates | None, seed: int | None, kind: str = "frozen",
    steady: bool = False, only: Sequence[str] = (),
) -> Damaged:  # fmt: skip
    """The damage of a validation set on a clip, or with a seed another of the same kind; see `validation_clip`."""
    name = name if seed is None else f"{name} {seed}"
    return validation_clip(name, clean, templates, kind, steady=steady, only=only)


def restore_cases(
    source: Source, kind: str = "frozen", lines: int | None = None, seed: int | None = None, only: Sequence[str] = ()
) -> Iterator[Case]:
    """Luma with the damage of the set `kind`; the truth has the damage's weave and repeated frames. `kind` and `only`:
    see `validation_clip`."""
    templates, wanted = source.templates(), slice(source.frames)
    # damage depends on the length of the clip: make all of it, then cut
    for name, clean in source.read(lines or VALIDATION_EDGE, False, VALIDATION_FRAMES):
        frames, target, dirt = (part[wanted] for part in damaged(name, clean, templates, seed, kind, only=only))
        yield Case(name, frames, target, dirt, clean[wanted])


def enlarge_cases(source: Source, kind: str, lines: int | None = None, seed: int | None = None) -> Iterator[Case]:
    """Luma of half the size of the truth, blurred with a Gaussian of sigma 1 pixel of the truth before each 2x2 of them
    became one; with the damage of a validation set, or of `clean` with none."""
    templates = None if kind == "clean" else source.templates()
    for name, whole in source.read(lines or ENLARGED_EDGE, False, source.frames):
        truth = whole[..., : whole.shape[-2] // 2 * 2, : whole.shape[-1] // 2 * 2]
        taps = gauss(np.full(len(truth), 1.0))
        small = F.avg_pool2d(separable(truth, taps, taps), 2).clamp(0, 1)
        luma = small if kind == "clean" else damaged(name, small, templates, seed, kind, steady=True).frames
        yield Case(name, luma, truth)


def references_of(rgb: torch.Tensor, every: int | None = None) -> tuple[Reference, ...]:
    """Frame 0 of a clip [T, 3, H, W], or every so many frames from there, as references."""
    return tuple(Reference(f"{t}.png", rgb[t], t) for t in range(0, len(rgb), every or len(rgb)))


def color_cases(source: Source, protocol: str, lines: int | None = None, seed: int | None = None) -> Iterator[Case]:
    """Clean luma with references: `first` and `reds` whole clips and their first frame; `90` and `300` as
    DeepRemaster: 90 frames and the first of them, films of 300 frames joined from clips and every 60th."""
    for name, rgb in _color_clips(source, protocol, lines or COLOR_LINES, seed):
        luma = color.rgb_to_ycbcr(rgb)[:, :1]
        joined = protocol == "300"
        references = references_of(rgb, REFERENCE_EVERY if joined else None)
        yield Case(name, luma, rgb, references=references, cuts=find_cuts(luma) if joined else ())


def remaster_cases(source: Source, protocol: str, lines: int | None = None, seed: int | None = None) -> Iterator[Case]:
    """Damaged luma without weave or repeated frames, so that the colours of the truth still fit, with references as in
    `color_cases`; `protocol`: `90` or `300`."""
    templates = source.templates()
    whole = Source(source.data, source.paths, source.clips)
    for name, rgb in _color_clips(whole, protocol, lines or COLOR_LINES, seed):
        made = damaged(name, color.rgb_to_ycbcr(rgb)[:, :1], templates, seed, steady=True)
        rgb, luma = (x[: source.frames] for x in (rgb, made.frames))
        references = references_of(rgb, REFERENCE_EVERY if protocol == "300" else None)
        yield Case(name, luma, rgb, references=references, cuts=find_cuts(luma))


def _color_clips(source: Source, protocol: str, lines: int, seed: int | None) -> Iterator[tuple[str, torch.Tensor]]:
    if protocol == "300":
        yield from _films(source, lines, seed)
        return
    if protocol == "90":
        for name, rgb in source.read(lines, True, 90, least=90):
            yield name, rgb[: source.frames]
        return
    yield from source.read(lines, True, source.frames)


def _films(source: Source, lines: int, seed: int | None) -> Iterator[tuple[str, torch.Tensor]]:
    files = source.files()
    if seed is not None:
        np.random.RandomState(seed).shuffle(files)  # ty: ignore[invalid-argument-type] it takes any sequence
    for number, (name, rgb, starts) in enumerate(joined_films(files, 300, lines)):
        if number == source.clips:
            return
        found = set(find_cuts(color.rgb_to_ycbcr(rgb)[:, :1]))
        right, wrong = found & set(starts), found - set(starts)
        progress(
            f"{name}: {len(starts) + 1} clips joined at {', '.join(map(str, starts))}; "
            f"cuts found at {len(right)} of these {len(starts)} frames and at {len(wrong)} others"
        )
        yield name, rgb[: source.frames]


def film_cases(source: Source, lines: int | None = None) -> Iterator[Case]:
    """Real film: luma alone, with the cuts that are found in it."""
    for name, luma in source.read(lines, False, source.frames):
        yield Case(name, luma, cuts=find_cuts(luma))
