"""Still pictures in files of every kind, as sRGB, without more memory than they need."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, TiffImagePlugin

from ..color.samples import MOST_PIXELS
from ..errors import InputError

logger = logging.getLogger(__name__)

_FORMATS: dict[str, tuple[str, ...]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "PSD": (".psd",),
    "QOI": (".qoi",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
}
"""By Pillow's names: all of its formats that hold photographs and need no other program to be read."""
EXTENSIONS = tuple(extension for extensions in _FORMATS.values() for extension in extensions)
"""Of files that are taken for pictures, in lower case."""
SMALLEST = 16
"""Pixels of a side at least: less than that is no picture, and its colour would tint a whole film."""

_MOST_BYTES = 2 << 30
_HUSHED = threading.Lock()
_STRIP = 1 << 20  # pixels that are worked on at once
# Orientation in EXIF to (transpose first, then mirror left-right, then mirror top-bottom), and Pillow's name for it.
_TURNS = {
    2: (False, True, False, Image.Transpose.FLIP_LEFT_RIGHT),
    3: (False, True, True, Image.Transpose.ROTATE_180),
    4: (False, False, True, Image.Transpose.FLIP_TOP_BOTTOM),
    5: (True, False, False, Image.Transpose.TRANSPOSE),
    6: (True, True, False, Image.Transpose.ROTATE_270),
    7: (True, True, True, Image.Transpose.TRANSVERSE),
    8: (True, False, True, Image.Transpose.ROTATE_90),
}
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of a profile, and Pillow's mode for pictures of that
_COLORS = {"1": "L", "L": "L", "LA": "L", "I;16": "L", "CMYK": "CMYK"}  # of a picture, where that is not RGB

Strip = tuple[np.ndarray, np.ndarray | None]
"""Some rows of a picture: R'G'B' `[h, W, 3]` float32, 0..1, and where they are opaque `[h, W]`, None for everywhere."""


class Still(NamedTuple):
    """A picture, `[H, W, 3]` float32, gamma-encoded R'G'B' of sRGB, 0..1; where it was made smaller, the
    `pixels_digest` of what it was made of (else empty); and how much of each pixel is opaque, `[H, W]` float32, 0..1,
    None for all of it."""

    pixels: np.ndarray
    whole: str
    known: np.ndarray | None = None


def read_still(path: Path, lines: int | None = None, *, what: str | None = None) -> np.ndarray:
    """The pixels of `load_still`."""
    return load_still(path, lines, what=what).pixels


def load_still(path: Path, lines: int | None = None, *, what: str | None = None) -> Still:
    """Read a picture; of a file with several the first.

    Its colour profile is followed, and so is EXIF rotation. What is transparent takes the colour of the nearest opaque
    pixel, so that no background colour is invented, and `Still.known` says where. The size is looked at before anything
    is decoded, and what is to be shrunk is so in strips: of a large picture only the samples of the file are held,
    unless some of it is transparent.

    Args:
        path: a file in one of the formats of `EXTENSIONS`, whatever its name.
        lines: shrink it where its shorter edge is longer than this many pixels, as `shrink` does; None keeps its size.
        what: what messages begin with; None: its path.

    Returns:
        See `Still`. Samples of 16 bits keep their precision; where a profile changes them, the change has that of 8
        bits.

    Raises:
        InputError: not a picture, damaged, fully transparent, larger than `MOST_PIXELS` or smaller than `SMALLEST`.
    """
    what = what or repr(str(path))
    with _opened(path, what) as picture:
        strips = _decoded(path, picture, what)
    if strips.opaque(what):
        return _shrunk(strips.parts(), strips.height, strips.width, lines)
    pixels, known = _whole(strips)
    return _shrunk([pixels], strips.height, strips.width, lines, known)


def shrink(pixels: np.ndarray, lines: int, known: np.ndarray | None = None) -> Still:
    """A picture `[H, W, 3]` float32 with a shorter edge of `lines` pixels at most: the very one that `load_still` makes
    of a file with these pixels. `known`: see `Still`."""
    return _shrunk([pixels], *pixels.shape[:2], lines, known)


def pixels_digest(pixels: np.ndarray, known: np.ndarray | None = None) -> str:
    """SHA-256 of the size and the pixels of a picture `[H, W, 3]` float32, and of where it is opaque, see `Still`."""
    digest = _digest_of_size(*pixels.shape[:2])
    digest.update(np.ascontiguousarray(pixels))
    if known is not None:
        digest.update(np.ascontiguousarray(known))
    return digest.hexdigest()


def _digest_of_size(height: int, width: int) -> hashlib._Hash:
    return hashlib.sha256(f"{height} {width}\n".encode())


@contextmanager
def _opened(path: Path, what: str) -> Generator[ImageFile.ImageFile | None]:
    """A picture whose header has been read and found to be sound; None for a TIFF that Pillow does not know."""
    wrong = f"{what} is damaged or not a picture: use a whole file of {', '.join(known())}"
    try:
        if not path.is_file():
            raise InputError(f"{what} is no file")
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{what} has {path.stat().st_size} bytes, {_MOST_BYTES} at most are read: make it smaller")
        Image.init()
        # of a TGA nothing but its name tells; AVIF is not in every build of Pillow
        formats = [
            name for name in _FORMATS if name in Image.OPEN and (name != "TGA" or path.suffix.lower() in _FORMATS[name])
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow about large pictures, ours are bounded; and about broken tags
            try:
                picture = Image.open(path, formats=formats)
            except Image.UnidentifiedImageError:
                size = _tiff_size(path)
                if size is None:
                    raise
                _check_large(*size, what)
                yield None
                return
            with picture:
                _check_large(*picture.size, what)
                _check_small(*picture.size, what)
                yield picture
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{what} has more than {MOST_PIXELS / 1e6:.0f} million pixels: make it smaller") from error
    except OSError as error:
        # an error of the system has a number, what Pillow says of a broken file has none
        raise InputError(f"cannot read {what}: {error.strerror}" if error.errno else wrong) from error
    except Exception as error:  # whatever a broken file makes a decoder say
        raise InputError(wrong) from error


def known() -> list[str]:
    """The usual names of the formats, for messages."""
    return [extensions[0][1:] for name, extensions in _FORMATS.items() if name not in ("DIB", "SGI")]


def _check_large(width: int, height: int, what: str) -> None:
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{what} has {width}x{height} pixels, more than {MOST_PIXELS / 1e6:.0f} million: make it smaller, "
            "2000 lines are plenty"
        )


def _check_small(width: int, height: int, what: str) -> None:
    if min(width, height) < SMALLEST:
        raise InputError(
            f"{what} shows {width}x{height} pixels, too few to tell colours from: use one of {SMALLEST}x{SMALLEST} or "
            "more"
        )


class _Strips:
    """An upright picture that is looked at in strips of some rows.

    Attributes:
        height, width: of it, in pixels.
    """

    height: int
    width: int
    clear = False  # some of it may be transparent

    def strip(self, top: int, bottom: int) -> Strip:
        raise NotImplementedError

    def rows(self) -> Iterator[tuple[int, int]]:
        step = max(1, _STRIP // self.width)
        return ((first, min(first + step, self.height)) for first in range(0, self.height, step))

    def parts(self) -> Iterator[np.ndarray]:
        """All of its rows, whatever is transparent."""
        return (self.strip(*rows)[0] for rows in self.rows())

    def opaque(self, what: str) -> bool:
        """Whether none of it is transparent."""
        if not self.clear:
            return True
        counts = [(bottom - top) * self.width if (solid := self.strip(top, bottom)[1]) is None else int(solid.sum())
                  for top, bottom in self.rows()]  # fmt: skip
        if not any(counts):
            raise InputError(f"{what} is fully transparent, so it shows no colour: paint something, or remove it")
        return sum(counts) == self.height * self.width


class _Eight(_Strips):
    """A picture that Pillow has decoded: 8 bits a sample, or gray of more."""

    def __init__(self, picture: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> None:
        orientation = _orientation(picture)
        self._picture = picture.transpose(_TURNS[orientation][3]) if orientation in _TURNS else picture
        self._convert = convert
        self.width, self.height = self._picture.size
        self.clear = picture.has_transparency_data

    def strip(self, top: int, bottom: int) -> Strip:
        part = self._picture.crop((0, top, self.width, bottom))
        solid = None
        if self.clear:
            part = part.convert("RGBA")
            solid = np.asarray(part.getchannel("A")) >= 128
        return np.asarray(self._convert(part), np.float32) / np.float32(255), solid


class _Deep(_Strips):
    """Samples `[H, W]` or `[H, W, C]` (BGR, BGRA) of any depth, as OpenCV decodes them.

    Args:
        samples: see above.
        convert: what the colour profile does to a picture of 8 bits, None for nothing.
        orientation: what EXIF says that is still to be done.
        multiplied: colours were multiplied with alpha.
    """

    def __init__(
        self,
        samples: np.ndarray,
        convert: Callable[[Image.Image], Image.Image] | None,
        orientation: int = 1,
        multiplied: bool = False,
    ) -> None:
        samples = _upright(samples, orientation)
        self._samples = samples if samples.ndim == 3 else samples[..., None]
        self._convert, self._multiplied = convert, multiplied
        self.height, self.width = samples.shape[:2]
        self.clear = self._samples.shape[2] == 4
        self._top = np.iinfo(samples.dtype).max if samples.dtype.kind == "u" else 1

    def strip(self, top: int, bottom: int) -> Strip:
        values = self._samples[top:bottom].astype(np.float32) / np.float32(self._top)
        alpha = values[..., 3] if self.clear else None
        values = values[..., 2::-1] if values.shape[2] >= 3 else np.repeat(values[..., :1], 3, 2)
        if alpha is not None and self._multiplied:
            values = values / np.maximum(alpha, 1 / 255)[..., None]
        values = np.nan_to_num(values).clip(0, 1)
        if self._convert:
            # Pillow has no colours of more than 8 bits: what the profile changes is found with 8, and added
            eight = np.rint(values * 255).astype(np.uint8)
            made = np.asarray(self._convert(Image.fromarray(eight)), np.float32)
            values = (values + (made - eight) / np.float32(255)).clip(0, 1)
        return values, None if alpha is None else alpha >= 0.5


def _decoded(path: Path, picture: ImageFile.ImageFile | None, what: str) -> _Strips:
    if picture is None:
        samples = _deep_samples(path)
        if samples is None:
            raise ValueError("neither library knows it")
        return _Deep(samples, None)
    if picture.mode in ("I", "F"):
        scale = 65535 if picture.mode == "I" and picture.format == "PPM" else 1
        if picture.mode == "I" and scale == 1:
            raise InputError(f"{what} has samples of 32 bits: save it with 8 or 16 bits")
        _load(picture)
        return _Deep(np.asarray(picture, np.float32) / np.float32(scale), None, _orientation(picture))
    raw = str([tile.args for tile in picture.tile])
    convert, changes = _to_srgb(picture, what)
    deep = ";16" in raw and picture.mode in ("RGB", "RGBA", "L", "LA", "I;16", "I;16B")
    if deep and (samples := _deep_samples(path)) is not None:
        # TIFFs come upright from OpenCV
        orientation = 1 if picture.format == "TIFF" else _orientation(picture)
        return _Deep(samples, convert if changes else None, orientation, multiplied="RGBa" in raw)
    _load(picture)
    if picture.mode.startswith("I;16"):
        return _Deep(np.asarray(picture).astype(np.uint16), convert if changes else None, _orientation(picture))
    return _Eight(picture, convert)


def _to_srgb(picture: Image.Image, what: str) -> tuple[Callable[[Image.Image], Image.Image], bool]:
    """What makes R'G'B' of sRGB of a part of a picture, and whether that follows a profile."""
    mode = _COLORS.get(picture.mode, "LAB" if picture.mode == "LAB" else "RGB")
    held = picture.info.get("icc_profile")
    try:
        if mode == "LAB":
            profile, space = ImageCms.createProfile("LAB"), "LAB"
        elif held:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(held))
            space = _SPACES.get(profile.profile.xcolor_space.strip(), "")
            if space != mode and (space, mode) != ("RGB", "L"):  # gray may be told by the profile of a colour space
                raise ValueError(f"it is for {profile.profile.xcolor_space.strip()}, the picture is {picture.mode}")
        else:
            if mode == "CMYK":
                logger.warning("%s is CMYK without a colour profile: its colours are a rough guess", what)
            return lambda part: part.convert("RGB"), False
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        if space == "L":  # or its curve would be taken from 33 places
            flags |= ImageCms.Flags.NOOPTIMIZE
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), space, "RGB", intent, flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        logger.warning("%s: its colour profile cannot be used (%s): it is taken as if it had none", what, error)
        return lambda part: part.convert("RGB"), False

    def convert(part: Image.Image) -> Image.Image:
        made = ImageCms.applyTransform(part.convert(space) if part.mode != space else part, transform)
        assert made is not None  # it is only where a picture is changed in place
        return made

    return convert, True


def _deep_samples(path: Path) -> np.ndarray | None:
    """What OpenCV decodes, None for what it cannot; from bytes, for it cannot open every path."""
    log = cv2.utils.logging
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)  # OpenCV's own lines about a broken file would come before our error
    try:
        with _hushed():
            samples = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    finally:
        log.setLogLevel(level)
    return samples if samples is not None and samples.dtype.kind in "uf" and samples.dtype.itemsize <= 8 else None


def _load(picture: Image.Image) -> None:
    """Decode, where that is still to be done."""
    with _hushed():
        picture.load()


@contextmanager
def _hushed() -> Generator[None]:
    """Keep libpng and libtiff from writing about a broken file to stderr, past Python, before our one line of error.
    Nothing of ours is said meanwhile; what other threads say in these milliseconds is lost."""
    with _HUSHED, open(os.devnull, "wb") as nothing:
        try:
            kept = os.dup(2)
        except OSError:  # stderr is closed
            yield
            return
        try:
            os.dup2(nothing.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _tiff_size(path: Path) -> tuple[int, int] | None:
    """Width and height of a TIFF by its tags, None for what is none."""
    with path.open("rb") as file:
        head = file.read(8)
        if head[:4] not in (b"II*\0", b"MM\0*"):
            return None
        directory = TiffImagePlugin.ImageFileDirectory_v2(head)
        file.seek(directory.next)
        directory.load(file)
    return int(directory[TiffImagePlugin.IMAGEWIDTH]), int(directory[TiffImagePlugin.IMAGELENGTH])


def _orientation(picture: Image.Image) -> int:
    """What EXIF says of the way up, once the picture is decoded: it may stand behind it, and TIFFs are turned then."""
    _load(picture)
    return picture.getexif().get(ExifTags.Base.Orientation, 1)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    transpose, mirror, flip, _ = _TURNS.get(orientation, (False, False, False, None))
    if transpose:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if flip else 1, :: -1 if mirror else 1]


def _shrunk(
    parts: Iterable[np.ndarray], height: int, width: int, lines: int | None, known: np.ndarray | None = None
) -> Still:
    """A picture whose rows come in parts, at the size that is wanted: first less wide, row by row, then less high, so
    that it does not matter what the parts are."""
    size = shrunk_size(height, width, lines)
    smaller = size != (height, width)
    digest = _digest_of_size(height, width)
    out = np.empty((height, size[1], 3), np.float32)
    first = 0
    for values in parts:
        if smaller:
            digest.update(np.ascontiguousarray(values))
        out[first : first + len(values)] = resized(values, len(values), size[1])
        first += len(values)
    if smaller and known is not None:
        digest.update(np.ascontiguousarray(known))
        known = resized(known, *size)
    return Still(resized(out, *size), digest.hexdigest() if smaller else "", known)


def _whole(strips: _Strips) -> tuple[np.ndarray, np.ndarray]:
    """A picture in one piece, what is transparent filled, and where it is opaque, see `Still`."""
    out = np.empty((strips.height, strips.width, 3), np.float32)
    known = np.ones(out.shape[:2], np.float32)
    for first, last in strips.rows():
        values, solid = strips.strip(first, last)
        out[first:last] = values
        if solid is not None:
            known[first:last] = solid
    return filled(out, known == 0), known


def shrunk_size(height: int, width: int, lines: int | None) -> tuple[int, int]:
    """Height and width of a picture whose shorter edge is to have `lines` pixels at most."""
    if lines is None or min(height, width) <= lines:
        return height, width
    scale = lines / min(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture `[h, w, C]` at a smaller size, each pixel the mean of those that it covers."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_AREA)


def filled(colours: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """Colours `[H, W, 3]`; where there are holes `[H, W]`, those of the nearest pixel that is none."""
    _, labels = cv2.distanceTransformWithLabels(holes.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.asarray(labels, np.int32)  # which they are
    palette = np.zeros((int(nearest.max()) + 1, 3), np.float32)
    palette[nearest[~holes]] = colours[~holes]
    return palette[nearest]
