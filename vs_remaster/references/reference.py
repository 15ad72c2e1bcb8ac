"""The reference set: colour pictures that say what colours a film has."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ..color.matrices import fitted_rgb, rgb_to_ycbcr
from ..errors import InputError
from ..system.files import LEFT_BY_SYSTEMS
from ..system.inputs import check_input, sha256
from . import image_files, manifest
from .image_files import EXTENSIONS, load_still, pixels_digest, shrink
from .manifest import Entry, Manifest, Origin, Scope

logger = logging.getLogger(__name__)

FILM_EXTENSIONS = frozenset(
    ".mkv .mp4 .m4v .mov .mxf .avi .mpg .mpeg .vob .m2v .ts .m2ts .mts .webm .ogv .wmv .flv .3gp .y4m".split()
)
"""Of references that are coloured copies of a film; see `stills.film_references`."""

OPAQUE = 0.5
"""Of a pixel or a place, from which what it shows counts as known."""
_TOLD = 5  # unused files that are named
GRAY = 0.02
"""A picture whose channels differ by less everywhere has no colour to give."""


@dataclass(frozen=True)
class Reference:
    """One colour picture.

    Attributes:
        name: file name, for messages.
        rgb: `[3, H, W]` float32, gamma-encoded R'G'B', 0..1, upright.
        frame: number of the film's frame it shows, None when unknown.
        weight: 0..1000; how much it counts beside the others: 1 as it is, 2 as if it were there twice, 0 never used.
        scope: where it acts, see `manifest.Scope`.
        time: seconds from the film's first frame to the one it shows, where that is said instead of `frame`.
        shot: first frame and end of the shot that its frame lies in, None when unknown.
        origin: where it comes from.
        likeness: 0..1; it is left out where a frame resembles it less than that. None: `remaster.memory.STRANGE`
            where it shows no frame of the film and others do, else 0.
        nearest: 1 or more; of the pictures with its origin at most so many act at once, those whose frames are nearest.
            None: all that are in scope.
        known: `[H, W]` float32, 0..1; where it is below 0.5 nothing is known, no frame takes its colour from there, and
            `rgb` has the colours that are nearest. None: all of it is known.
        in_film: `rgb` has the luma of its frame where nothing is known, see `over`.
        path: of the file that it was read from, None where there was none.
        whole: where `rgb` was made smaller, the `digest` of the picture before that; else empty.
    """

    name: str
    rgb: torch.Tensor
    frame: int | None = None
    weight: float = 1.0
    scope: Scope = "film"
    time: float | None = None
    shot: tuple[int, int] | None = None
    origin: str = ""
    likeness: float | None = None
    nearest: int | None = None
    known: torch.Tensor | None = None
    in_film: bool = False
    path: Path | None = field(default=None, compare=False)
    whole: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        manifest.check_weight(self.weight, f"reference {self.name!r}")
        manifest.check_scope(self.scope, f"reference {self.name!r}")
        if self.rgb.ndim != 3 or self.rgb.shape[0] != 3 or self.rgb.dtype != torch.float32 or not self.rgb.numel():
            raise InputError(
                f"reference {self.name!r}: rgb must be float32 [3, H, W], got {tuple(self.rgb.shape)} {self.rgb.dtype}"
            )
        known = self.known
        if known is None:
            return
        if known.shape != self.rgb.shape[1:] or known.dtype != torch.float32:
            raise InputError(
                f"reference {self.name!r}: known must be float32 {list(self.rgb.shape[1:])} as its rgb, got "
                f"{tuple(known.shape)} {known.dtype}"
            )
        if not bool((known >= OPAQUE).any()):
            raise InputError(
                f"reference {self.name!r} is transparent everywhere, so it shows no colour: paint something, or leave "
                "it out"
            )

    @property
    def digest(self) -> str:
        """SHA-256 of the picture at its full size, whatever file or host it came from and whatever size it has now."""
        known = None if self.known is None else self.known.numpy()
        return self.whole or pixels_digest(self.rgb.permute(1, 2, 0).numpy(), known)

    @property
    def is_gray(self) -> bool:
        """Whether it has no colour to give."""
        return bool((self.rgb.amax(0) - self.rgb.amin(0)).max() < GRAY)

    def shrunk(self, lines: int) -> Reference:
        """The same with a shorter edge of `lines` pixels at most; what `load_references` makes of it too."""
        if min(self.rgb.shape[1:]) <= lines:
            return self
        known = None if self.known is None else self.known.numpy()
        made = shrink(np.ascontiguousarray(self.rgb.permute(1, 2, 0).numpy()), lines, known)
        rgb, known = _tensors(made)
        return replace(self, rgb=rgb, known=known, whole=self.whole or made.whole)

    def showing(self, opacity: torch.Tensor) -> Reference:
        """The same where `opacity` `[H, W]`, 0..1, is 0.5 or more, and nothing known elsewhere: what `load_references`
        makes of a file with these pixels and such an alpha channel. To be called before `shrunk`.

        Raises:
            InputError: another size, or opaque nowhere.
        """
        solid = opacity >= OPAQUE
        if bool(solid.all()) and solid.shape == self.rgb.shape[1:]:
            return self
        known = replace(self, known=solid.float()).known  # which is checked there
        colours = image_files.filled(np.ascontiguousarray(self.rgb.permute(1, 2, 0).numpy()), ~solid.numpy())
        return replace(self, rgb=torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1))), known=known)

    def over(self, luma: torch.Tensor) -> Reference:
        """The same on the frame of the film that it shows, `luma` `[1, H, W]`, 0..1, of any size: where nothing is
        known of its colours, it has the film's luma, so that it can be told what the picture does not show. A picture
        all of which is known stays as it is."""
        if self.known is None or self.in_film:
            return self
        luma = luma[None].float().cpu().clamp(0, 1)
        smaller = luma.shape[-2] > self.rgb.shape[1] or luma.shape[-1] > self.rgb.shape[2]
        luma = F.interpolate(luma, self.rgb.shape[1:], mode="bilinear", antialias=smaller, align_corners=False)[0]
        below = fitted_rgb(luma, rgb_to_ycbcr(self.rgb)[1:])
        rgb = torch.where(self.known >= OPAQUE, self.rgb, below).contiguous()
        return replace(self, rgb=rgb, in_film=True, whole=self.digest)


def _tensors(still: image_files.Still) -> tuple[torch.Tensor, torch.Tensor | None]:
    """`rgb` and `known` of a reference."""
    rgb = torch.from_numpy(np.ascontiguousarray(still.pixels.transpose(2, 0, 1)))
    return rgb, None if still.known is None else torch.from_numpy(still.known)


def load_references(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, lines: int | None = None
) -> list[Reference]:
    """Load reference pictures.

    Files are read as `image_files.load_still` says: by their colour profile, upright; what is transparent is not known,
    see `Reference.known`.

    A folder with a `references.toml` is read with what that says of its pictures; those that it does not name are as if
    it were not there. Pictures that are named one by one are never looked up in it.

    Args:
        paths: a folder (its pictures by extension, hidden files and subfolders left out), a picture, a
            `references.toml` (the pictures that it names), or a list of these.
        lines: shrink pictures whose shorter edge is longer than this many pixels; None keeps their size.

    Returns:
        By frame number where the manifest or the name holds one (its last group of digits), then those without in
        natural order.

    Raises:
        InputError: nothing there, nothing readable, a picture that is broken (named), or a manifest that is wrong.
    """
    if lines is not None and lines < 1:
        raise InputError(f"lines must be at least 1, got {lines}")
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths) if isinstance(paths, Iterable) else None
    if given is None or not all(isinstance(path, str | os.PathLike) for path in given):
        raise InputError(f"references must be a folder, a picture, or a list of both, got {paths!r}")
    if not given:
        raise InputError("no reference pictures were given: name a folder or files")
    files = [file for path in given for file in _files(Path(path))]
    if not files:  # manifests that name none
        pictures_in(Path(given[0]))
    return [_load(file, lines) for file in sorted(files, key=_order)]


def rules_text(references: Sequence[Reference]) -> str:
    """What is known of references beyond their pixels, as the text of a manifest: for hosts that hand pictures on
    without files. Empty where nothing is."""
    entries, origins = [], {}
    for one in references:
        frame = None if one.frame == frame_number(one.name) else one.frame
        entries.append(
            Entry(
                picture=one.name,
                frame=frame,
                time=one.time,
                scope=one.scope,
                shot=one.shot,
                weight=one.weight,
                origin=one.origin,
            )
        )
        if one.likeness is not None or one.nearest is not None:
            origins[one.origin] = Origin(likeness=one.likeness, nearest=one.nearest)
    mixed = len({one.frame is None and one.time is None for one in references}) > 1  # only some show frames of the film
    if not origins and not mixed and all(entry == Entry(picture=entry.picture) for entry in entries):
        return ""
    return manifest.to_toml(Manifest(tuple(entries), origins))


def with_rules(references: Sequence[Reference], text: str, source: str) -> list[Reference]:
    """References with what a text of `rules_text` says of each, in their order; without text as they are.

    Raises:
        InputError: the text is wrong, or has another number of entries; `source` says where it comes from.
    """
    if not text.strip():
        return list(references)
    held = manifest.parse_manifest(text, source)
    if len(held.entries) != len(references):
        raise InputError(
            f"{source} has {len(held.entries)} entries, but there are {len(references)} references: it must have one "
            "for each, in their order"
        )
    out = []
    for one, entry in zip(references, held.entries):
        origin = held.origin(entry.origin)
        named = frame_number(entry.picture) if one.frame is None and entry.time is None else one.frame
        out.append(
            replace(
                one,
                frame=named if entry.frame is None else entry.frame,
                time=entry.time,
                weight=min(entry.weight * origin.weight, manifest.MOST_WEIGHT),
                scope=entry.scope,
                shot=entry.shot,
                origin=entry.origin,
                likeness=origin.likeness,
                nearest=origin.nearest,
            )
        )
    return out


@dataclass(frozen=True)
class _ReferenceFile:
    """A picture on disk, and what a manifest says of it."""

    path: Path
    entry: Entry | None = None
    weight: float = 1.0
    likeness: float | None = None
    nearest: int | None = None

    @property
    def frame(self) -> int | None:
        if self.entry and (self.entry.frame is not None or self.entry.time is not None):
            return self.entry.frame
        return frame_number(self.path.name)


def frame_number(name: str) -> int | None:
    """Frame number in a file name: its last group of digits before the extension, None when there is none."""
    groups = re.findall(r"[0-9]+", Path(name).stem)
    number = int(groups[-1]) if groups else None
    return None if number is None or number > manifest.MOST_FRAME else number


def _order(file: _ReferenceFile) -> tuple:
    frame = file.frame
    parts = re.split(r"([0-9]+)", file.path.name.casefold())
    natural = [(int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)]
    return frame is None, frame or 0, natural, str(file.path)


def _files(path: Path) -> list[_ReferenceFile]:
    if path.name == manifest.NAME and path.is_file():
        listed = _listed(path)
        if not listed:
            raise InputError(f"{str(path)!r} names no pictures: add [[reference]] entries, or give its folder")
        return list(listed.values())
    if not path.is_dir():
        if path.suffix.lower() in FILM_EXTENSIONS and path.exists():
            raise InputError(
                f"reference {str(path)!r} is a film, which has to be laid beside the one that is coloured: run "
                "'vs-remaster references align' first, and give the folder that it makes"
            )
        if path.exists():
            check_input(path)
            return [_ReferenceFile(path)]
        raise InputError(f"reference {str(path)!r} does not exist: give a folder or a picture")
    toml = path / manifest.NAME
    listed = _listed(toml) if toml.is_file() else {}
    found = pictures_in(path, required=not toml.is_file())
    warn_of_unused(path)
    return [*listed.values(), *(_ReferenceFile(file) for file in found if os.path.normpath(file) not in listed)]


def _listed(toml: Path) -> dict[str, _ReferenceFile]:
    """The pictures that a manifest names, by their paths."""
    held = manifest.read_manifest(toml)
    return {os.path.normpath(toml.parent / entry.picture): _listed_file(toml, entry, held) for entry in held.entries}


def _listed_file(toml: Path, entry: Entry, held: Manifest) -> _ReferenceFile:
    path = toml.parent / entry.picture
    manifest.inside(toml, entry.picture)
    if not path.is_file():
        raise InputError(
            f"{str(toml)!r}: the picture {entry.picture!r} is not there: put it into the folder, or remove its entry"
        )
    if entry.sha256 and sha256(path) != entry.sha256:
        logger.warning(
            "reference %r is another picture than the one that %s describes (its sha256 differs): it was changed or "
            "replaced since; if that is right, run: vs-remaster references stamp",
            str(path), toml.name,
        )  # fmt: skip
    origin = held.origin(entry.origin)
    weight = min(entry.weight * origin.weight, manifest.MOST_WEIGHT)
    return _ReferenceFile(path, entry, weight, origin.likeness, origin.nearest)


def pictures_in(path: Path, required: bool = True) -> list[Path]:
    """The pictures of a folder by extension, hidden files and subfolders left out.

    Raises:
        InputError: it cannot be read, or holds none although some are required.
    """
    try:
        found = [p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS and not p.name.startswith(".")]
    except OSError as error:
        raise InputError(f"cannot read reference folder {str(path)!r}: {error.strerror}") from error
    found = [p for p in found if p.is_file()]
    if required and not found:
        kinds = ", ".join(image_files.known())
        raise InputError(f"no pictures in reference folder {str(path)!r}: put {kinds} files there")
    return found


def warn_of_unused(folder: Path) -> None:
    """Say which files of a reference folder are not used, and why; nothing of hidden ones, and of those of systems."""
    unused = []
    for path in sorted(folder.iterdir()):
        kind = path.suffix.lower()
        known_one = kind in EXTENSIONS or path.name == manifest.NAME or path.name.startswith(".")
        if known_one or path.name.lower() in LEFT_BY_SYSTEMS or not path.is_file():
            continue
        film = kind in FILM_EXTENSIONS
        unused.append(f"{path.name} ({'a film: run references align' if film else 'no kind of picture that is read'})")
    if unused:
        more = f" and {len(unused) - _TOLD} more" if len(unused) > _TOLD else ""
        logger.warning("reference folder %r: not used: %s%s", str(folder), ", ".join(unused[:_TOLD]), more)


def _load(file: _ReferenceFile, lines: int | None) -> Reference:
    path = file.path
    still = load_still(path, lines, what=f"reference {str(path)!r}")
    if (still.pixels.max(2) - still.pixels.min(2)).max() < GRAY:
        logger.warning("reference %r is gray all over: it will pull the film's colours toward gray", str(path))
    rgb, known = _tensors(still)
    about = file.entry or Entry(picture=path.name)
    return Reference(
        path.name,
        rgb,
        file.frame,
        weight=file.weight,
        scope=about.scope,
        time=about.time,
        shot=about.shot,
        origin=about.origin,
        likeness=file.likeness,
        nearest=file.nearest,
        known=known,
        path=path.absolute(),
        whole=still.whole,
    )
