"""Between the code values of a film's frames and the float tensors that the networks see."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from .color import convert_chroma, decode_plane, encode_plane, fit_gamut, resize_chroma, rgb_to_ycbcr, ycbcr_to_rgb
from .film import VideoInfo
from .output import OutputFormat
from .planes import Frame, plane_sizes
from .remaster import Picture


def to_picture(frame: Frame, info: VideoInfo, *, chroma: bool = True) -> Picture:
    """Normalise a frame.

    Args:
        frame: as read.
        info: the film it comes from.
        chroma: also bring chroma to the size of luma; not needed where all chroma will be new.

    Returns:
        Luma and BT.709 chroma, with the frame as payload; chroma is None where it is not wanted or the frame has none.
    """
    luma, colors = decode_frame(frame, info, chroma=chroma and not _colorless(frame, info))
    return Picture(luma=luma, chroma=colors, index=frame.index, payload=frame)


def from_picture(
    picture: Picture, frame: Frame, info: VideoInfo, out: OutputFormat, *, colored: bool, luma_kept: bool = False
) -> Frame:
    """Put a processed picture into the samples of an output.

    Args:
        picture: luma and BT.709 chroma at the size of the film.
        frame: the frame it was made of.
        info: the film.
        out: the samples wanted.
        colored: chroma is new; otherwise that of the film stays, bit-exact where it was not changed.
        luma_kept: luma was not touched: the film's own code values are used.

    Returns:
        A frame with the number and the time of `frame`.
    """
    planes = encode_frame(picture.luma, picture.chroma, frame, info, out, colored=colored, luma_kept=luma_kept)
    return Frame(frame.index, frame.pts, planes, frame.duration)


def decode_frame(frame: Frame, info: VideoInfo, *, chroma: bool = True) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Normalise the planes of a frame.

    Args:
        frame: as read.
        info: the film.
        chroma: see `to_picture`.

    Returns:
        Luma `[1, H, W]`, nominally 0..1, of the film's own matrix (BT.709 for rgb); chroma `[2, H, W]`, BT.709, or
        None.
    """
    if info.kind == "rgb":
        ycc = rgb_to_ycbcr(_decode(frame.planes, info, chroma=False), "bt709")
        return ycc[:1], ycc[1:] if chroma else None
    luma = _decode(frame.planes[:1], info, chroma=False)
    if info.kind == "gray" or not chroma:
        return luma, None
    colors = _decode(frame.planes[1:], info, chroma=True)
    colors = resize_chroma(colors, luma.shape[-2:], source_siting=info.siting, source_subsampling=info.subsampling)
    return luma, convert_chroma(colors, info.matrix, "bt709")


def encode_frame(
    luma: torch.Tensor,
    chroma: torch.Tensor | None,
    frame: Frame,
    info: VideoInfo,
    out: OutputFormat,
    *,
    colored: bool,
    luma_kept: bool = False,
) -> list[np.ndarray]:
    """Make the planes of an output.

    Args:
        luma: `[1, H, W]`.
        chroma: `[2, H, W]`, BT.709; None for what the film has.
        frame: see `from_picture`.
        info: see `from_picture`.
        out: see `from_picture`.
        colored: see `from_picture`.
        luma_kept: see `from_picture`.

    Returns:
        Planes as in `Frame.planes`, for `out`.
    """
    if out.kind == "rgb":
        colors = luma.new_zeros((2, *luma.shape[1:])) if chroma is None else convert_chroma(chroma, "bt709", out.matrix)
        rgb = ycbcr_to_rgb(torch.cat((luma, fit_gamut(luma, colors, out.matrix))), out.matrix)
        return _encode(rgb, out, chroma=False)
    kept = luma_kept and info.kind != "rgb"
    planes = [_recode(frame.planes[0], info, out)] if kept else _encode(luma, out, chroma=False)
    if out.kind == "gray":
        return planes
    return planes + _chroma_planes(chroma, frame, info, out, colored)


def _chroma_planes(
    chroma: torch.Tensor | None, frame: Frame, info: VideoInfo, out: OutputFormat, colored: bool
) -> list[np.ndarray]:
    size = plane_sizes("yuv", info.width, info.height, out.subsampling)[1]
    if colored or info.kind == "rgb":
        return _neutral(size, out) if chroma is None else _encode(_shrink(chroma, size, out), out, chroma=True)
    if info.kind == "gray":
        return _neutral(size, out)
    same = (info.bits, info.subsampling, info.matrix, info.full_range) == (
        out.bits,
        out.subsampling,
        out.matrix,
        out.full_range,
    )
    if not same:
        original = decode_frame(frame, info)[1] if chroma is None else chroma
        return _encode(_shrink(original, size, out), out, chroma=True)
    if chroma is None:
        return frame.planes[1:]
    # The film's own code values plus what changed: where nothing did they stay bit-exact, which resizing twice would
    # not give.
    change = chroma - decode_frame(frame, info)[1]
    if not change.any():
        return frame.planes[1:]
    return _encode(_decode(frame.planes[1:], info, chroma=True) + _shrink(change, size, out), out, chroma=True)


def _colorless(frame: Frame, info: VideoInfo) -> bool:
    """Whether a frame with chroma is all gray, as those of most black-and-white films are: then there is less to do."""
    if info.kind == "yuv":
        return all((plane == 1 << (info.bits - 1)).all() for plane in frame.planes[1:])
    return info.kind == "rgb" and all(np.array_equal(frame.planes[0], plane) for plane in frame.planes[1:])


def _shrink(chroma: torch.Tensor, size: tuple[int, int], out: OutputFormat) -> torch.Tensor:
    return convert_chroma(resize_chroma(chroma, size, out.siting, subsampling=out.subsampling), "bt709", out.matrix)


def _neutral(size: tuple[int, int], out: OutputFormat) -> list[np.ndarray]:
    return [np.full(size, 1 << (out.bits - 1), np.uint8 if out.bits == 8 else np.uint16) for _ in range(2)]


def _decode(planes: Iterable[np.ndarray], info: VideoInfo, chroma: bool) -> torch.Tensor:
    codes = torch.stack([torch.from_numpy(plane) for plane in planes])
    return decode_plane(codes, info.bits, info.full_range, chroma)


def _encode(values: torch.Tensor, out: OutputFormat, chroma: bool) -> list[np.ndarray]:
    codes = encode_plane(values.float().cpu(), out.bits, out.full_range, chroma).numpy()
    return list(codes.astype(np.uint8 if out.bits == 8 else np.uint16))


def _recode(plane: np.ndarray, info: VideoInfo, out: OutputFormat) -> np.ndarray:
    """The film's own luma in the depth and range of an output: the same code values, or those times a power of two."""
    if info.full_range != out.full_range or (info.full_range and info.bits != out.bits) or info.bits > out.bits:
        return _encode(decode_plane(torch.from_numpy(plane), info.bits, info.full_range)[None], out, chroma=False)[0]
    if info.bits == out.bits:
        return plane
    return plane.astype(np.uint16) << (out.bits - info.bits)
