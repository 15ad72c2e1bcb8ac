"""From the frames of a film to pictures for the networks, and back to frames for an output."""

from __future__ import annotations

import numpy as np
import torch

from ..color.samples import Lifted, Samples, colorless, decode, encode
from ..remaster.picture import Picture
from ..video.planes import Frame


def to_picture(frame: Frame, info: Samples, *, chroma: bool = True) -> Picture:
    """Normalise a frame.

    Args:
        frame: as read.
        info: the film it comes from.
        chroma: also bring chroma to the size of luma; not needed where all chroma will be new.

    Returns:
        Luma and BT.709 chroma, with the frame as payload; chroma is None where it is not wanted or the frame has none.
    """
    luma, colors = decode_frame(frame, info, chroma=chroma and not colorless(frame.planes, info))
    return Picture(luma=luma, chroma=colors, index=frame.index, payload=frame)


def from_picture(
    picture: Picture, frame: Frame, info: Samples, out: Samples, *, colored: bool, luma_kept: bool = False
) -> Frame:
    """Put a processed picture into the samples of an output.

    Args:
        picture: luma and BT.709 chroma at the size of the output.
        frame: the frame it was made of.
        info: the film.
        out: the samples wanted.
        colored: chroma is new; otherwise that of the film stays, bit-exact where it was not changed.
        luma_kept: luma was not touched: the film's own code values are used.

    Returns:
        A frame with the number and the time of `frame`.
    """
    planes = encode_frame(
        picture.luma, picture.chroma, frame, info, out, colored=colored, luma_kept=luma_kept, moved=picture.altered
    )
    return Frame(frame.index, frame.pts, planes, frame.duration)


def cropped(frame: Frame, info: Samples, cut: int) -> Frame:
    """A frame without `cut` pixels of luma at each border, a multiple of 4."""
    if not cut:
        return frame
    parts = []
    for number, plane in enumerate(frame.planes):
        across, down = info.subsampling if number and info.kind == "yuv" else (0, 0)
        rows, columns = cut >> down, cut >> across
        parts.append((slice(rows, plane.shape[0] - rows), slice(columns, plane.shape[1] - columns)))
    held = frame.planes
    planes = held.cut(parts) if isinstance(held, Lifted) else [plane[part] for plane, part in zip(held, parts)]
    return Frame(frame.index, frame.pts, planes, frame.duration)


def decode_frame(frame: Frame, info: Samples, *, chroma: bool = True) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Normalise the planes of a frame.

    Args:
        frame: as read.
        info: the film.
        chroma: see `to_picture`.

    Returns:
        Luma `[1, H, W]`, nominally 0..1, of the film's own matrix (BT.709 for rgb); chroma `[2, H, W]`, BT.709, or
        None.
    """
    return decode(frame.planes, info, chroma=chroma)


def encode_frame(
    luma: torch.Tensor,
    chroma: torch.Tensor | None,
    frame: Frame,
    info: Samples,
    out: Samples,
    *,
    colored: bool,
    luma_kept: bool = False,
    moved: bool = False,
) -> list[np.ndarray]:
    """Make the planes of an output: see `from_picture` and `samples.encode`."""
    return encode(None if luma_kept else luma, chroma, frame.planes, info, out, colored=colored, moved=moved)
