"""References without a painter: the pictures that were picked are coloured by an image model."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..color.matrices import fitted_rgb, rgb_to_ycbcr
from ..errors import InputError
from ..film.writing import ProgressCallback
from ..references.image_files import Still, load_still
from ..references.manifest import Origin, check_weight
from ..references.reference import GRAY, Reference, load_references, pictures_in
from ..references.stamping import set_origin
from ..remaster.colorizer import Colorizer
from ..remaster.options import ColorizeOptions, RestoreOptions
from ..system.inputs import sha256
from .contact_sheet import put
from .copies import kept_in, made_once, stamp_of
from .image_models import Paint, load_image_model
from .picking import pick_references

log = logging.getLogger(__name__)

WEIGHT = 0.25
"""Of pictures that an image model coloured, so that those that a person painted count more."""
COVERAGE, MOST = 0.8, 64
"""How well a film is covered by pictures that nobody has to paint, and how many there are at most."""


def color_references(
    folder: Path,
    image_model: Path,
    *,
    weight: float = WEIGHT,
    device: str = "auto",
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Colour the gray pictures of a folder of references in place, as `pick_references` wrote them.

    Their luma stays, to the rounding of 8 bits. `references.toml` gets an origin with a low weight for them.

    Args:
        folder: of references. Pictures that have colours, and those that are transparent in part, are left alone.
        image_model: see `load_image_model`.
        weight: 0..1000, of all pictures that are coloured.
        device: see `load_image_model`.
        overwrite: also colour pictures anew that have colours.
        progress: called with the pictures that are coloured and how many will be.

    Returns:
        The pictures that were coloured.

    Raises:
        RemasterError: no pictures, gray ones that are no PNG, a manifest that is wrong; see also `load_image_model`.
    """
    check_weight(weight, "references colorize")
    found = {path: load_still(path) for path in sorted(pictures_in(folder))}
    chosen = [path for path, still in found.items() if still.known is None and (overwrite or _is_gray(still))]
    if left := len(found) - len(chosen):
        log.info("%d of %d pictures in %s have colours and stay as they are", left, len(found), folder)
    if other := [path for path in chosen if path.suffix.lower() != ".png"]:
        raise InputError(f"{other[0]} is no PNG, and pictures are coloured in place: save it as png, or move it away")
    if not chosen:
        return []
    before = {path: _digest(path) for path in chosen}
    paint = load_image_model(image_model, device)
    # first, so that no picture counts as if a person had coloured it when this is stopped
    set_origin(folder, [path.name for path in chosen], f"image-model:{image_model.name}", Origin(weight=weight))
    written = []
    for number, path in enumerate(chosen, 1):
        made = _coloured(found[path], paint)
        if _digest(path) != before[path]:
            log.warning("%s was changed meanwhile and stays as it is", path)
            continue
        put(path, np.ascontiguousarray(made[..., ::-1]), overwrite=True)
        written.append(path)
        progress(number, len(chosen))
    return written


def painted_references(
    source: Path,
    image_model: Path,
    *,
    restore: RestoreOptions | None = RestoreOptions(),
    colorize: ColorizeOptions | Colorizer = ColorizeOptions(),
    lines: int | None = None,
    keep: Path | None = None,
    progress: ProgressCallback = lambda done, total: None,
) -> list[Reference]:
    """References for a film that nobody painted: frames are picked as by `pick_references` and coloured.

    Args:
        source: a video or a folder of pictures.
        image_model: see `load_image_model`.
        restore: how the pictures are restored, see `pick_references`.
        colorize: whose features are compared; the image model runs on its device.
        lines: see `load_references`.
        keep: a folder for the pictures, which are used again while neither film nor model has changed; None: nothing is
            kept.
        progress: see `pick_references`.

    Raises:
        RemasterError: see `pick_references` and `load_image_model`.
    """
    options = colorize if isinstance(colorize, ColorizeOptions) else colorize.options
    load_image_model(image_model, options.device)  # what is wrong with it is said before the film is read
    told = [*stamp_of(source), sha256(image_model), repr(restore), options.model, options.device]

    def make(folder: Path) -> bool:
        picked, covered = pick_references(
            source, folder, count=MOST, coverage=COVERAGE, restore=restore, colorize=colorize, progress=progress
        )
        color_references(folder, image_model, device=options.device)
        log.info("%d frames picked (coverage %.2f) and coloured by %s", len(picked), covered, image_model.name)
        return True

    with kept_in(keep) as place:
        folder = made_once(place, "image-model", told, make)
        assert folder is not None
        made = load_references(folder, lines=lines)
        return made if keep else [replace(one, path=None) for one in made]


def _is_gray(still: Still) -> bool:
    return bool((still.pixels.max(2) - still.pixels.min(2)).max() < GRAY)


def _coloured(still: Still, paint: Paint) -> np.ndarray:
    """A picture `[H, W, 3]` uint8 with the luma of another and colours that are made."""
    luma = rgb_to_ycbcr(torch.from_numpy(np.ascontiguousarray(still.pixels.transpose(2, 0, 1))))[:1]
    return (fitted_rgb(luma, paint(luma)) * 255).round().byte().permute(1, 2, 0).numpy()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
