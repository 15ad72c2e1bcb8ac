"""Shows which reference gave which place of a frame its colour."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch

from ..color.samples import decode_luma
from ..errors import InputError
from ..film.shots import settle_for_film
from ..references.reference import Reference
from ..remaster.colorizer import Colorizer
from ..remaster.options import ColorizeOptions
from ..system.files import check_replaceable, make_folder
from ..video.reader import VideoReader
from .contact_sheet import put
from .overlays import overlay


def show_shares(
    source: Path,
    folder: Path,
    references: Sequence[Reference],
    frames: Sequence[int],
    colorize: ColorizeOptions | Colorizer = ColorizeOptions(),
    fps: Fraction | None = None,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write pictures of which reference colours what, see `overlay.overlay`: PNG files named by frame number.

    Args:
        source: a video or a folder of pictures.
        folder: made where it is missing.
        references: as they were loaded.
        frames: numbers of the frames to show.
        colorize: how they are coloured.
        fps: see `VideoReader`; references may say a time.
        overwrite: replace pictures that have these names.

    Raises:
        RemasterError: anything wrong with what was given, frames that the film does not have, pictures that are there.
    """
    if not frames or min(frames) < 0:
        raise InputError(f"frames must be frame numbers of 0 or more, at least one, got {list(frames)}")
    colorizer = Colorizer(colorize) if isinstance(colorize, ColorizeOptions) else colorize
    make_folder(folder)
    paths = {frame: folder / f"{frame:07}.png" for frame in frames}
    for path in paths.values():
        check_replaceable(path, overwrite)
    written = []
    with torch.inference_mode(), VideoReader(source, end=max(frames) + 1, fps=fps) as reader:
        memory = colorizer.encode_references(settle_for_film(references, "auto", source, reader.info.fps))
        for frame in reader:
            if frame.index in frames:
                luma = decode_luma(frame.planes, reader.info)
                shown = overlay(luma, colorizer.share_map(luma, memory, frame.index), references)
                pixels = (255 * shown).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
                put(paths[frame.index], pixels, overwrite=overwrite)
                written.append(paths[frame.index])
    if len(written) < len(set(frames)):
        raise InputError(f"{source} has no frame {max(frames)}: the last of it is {reader.count - 1}")
    return written
