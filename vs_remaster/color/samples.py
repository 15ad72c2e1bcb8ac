"""Between the code values of a frame's planes and the float tensors that the networks see, whatever the host.

Planes are numpy arrays `[h, w]`: one for gray; Y', Cb, Cr (chroma at its own size) for yuv; R', G', B' for rgb. Where
they are `Lifted`, all of this is done on a device, and only code values cross the bus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch

from .chroma import Siting, resize_chroma
from .matrices import code_range, convert_chroma, encode_plane, fit_gamut, rgb_to_ycbcr, ycbcr_to_rgb

Kind = Literal["gray", "yuv", "rgb"]

Plane = np.ndarray | torch.Tensor
"""In this machine's memory, or where it was computed."""

_CHROMA = slice(1, None)

MOST_PIXELS = 1 << 27
"""Of a frame or a picture, 16384 x 8192: who says more is mistaken, or wants memory."""


@dataclass(frozen=True)
class Samples:
    """What the numbers in a frame's planes mean.

    Attributes:
        kind: gray, yuv or rgb.
        bits: bits a sample: 8 to 16, or 16 and 32 for floats.
        subsampling: log2 of luma samples per chroma sample, (horizontal, vertical).
        matrix: of yuv planes, see `color.H273_MATRICES`; for rgb the one whose luma is kept.
        full_range: black and white at the ends of the code range; without meaning for floats.
        siting: where chroma samples lie, as in `color.resize_chroma`.
        floats: samples are floats, Y', R', G', B' of 0..1 and chroma of -0.5..0.5.
    """

    kind: Kind
    bits: int
    subsampling: tuple[int, int] = (0, 0)
    matrix: str = "bt709"
    full_range: bool = False
    siting: Siting = "left"
    floats: bool = False

    @property
    def dtype(self) -> np.dtype:
        """The type of a plane's samples."""
        if self.floats:
            return np.dtype(np.float16 if self.bits == 16 else np.float32)
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    def same_codes(self, other: Samples) -> bool:
        """Whether a plane of the other has the same numbers for the same picture."""
        ranges = self.floats or self.full_range == other.full_range
        return (self.bits, self.floats) == (other.bits, other.floats) and ranges


class Bus(Protocol):
    """What carries planes `[h, w]` to a device and back."""

    def up(self, plane: np.ndarray) -> torch.Tensor:
        """The plane on the device, in its own samples."""
        ...

    def down(self, planes: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """Planes from the device, in their own samples."""
        ...


class Lifted(list[np.ndarray]):
    """Planes that are made into floats on a device. Each goes up when it is first asked for, and only once.

    Args:
        planes: as they lie in this machine's memory.
        bus: how they get there, and what is made of them back.
    """

    def __init__(self, planes: Sequence[np.ndarray], bus: Bus) -> None:
        super().__init__(planes)
        self.bus = bus
        self._there: dict[int, torch.Tensor] = {}

    def there(self, number: int) -> torch.Tensor:
        """A plane on the device."""
        if number not in self._there:
            self._there[number] = self.bus.up(self[number])
        return self._there[number]

    def cut(self, parts: Sequence[tuple[slice, slice]]) -> Lifted:
        """These lines and columns of each plane; what is on the device already does not go up again."""
        smaller = Lifted([plane[part] for plane, part in zip(self, parts, strict=True)], self.bus)
        smaller._there = {number: plane[parts[number]] for number, plane in self._there.items()}
        return smaller


def plane_sizes(kind: Kind, width: int, height: int, subsampling: tuple[int, int] = (0, 0)) -> list[tuple[int, int]]:
    """(height, width) of each plane; chroma of odd sizes is rounded up."""
    if kind == "gray":
        return [(height, width)]
    chroma = (-(-height >> subsampling[1]), -(-width >> subsampling[0])) if kind == "yuv" else (height, width)
    return [(height, width), chroma, chroma]


def decode(
    planes: Sequence[np.ndarray], samples: Samples, *, chroma: bool = True
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What `decode_luma` and, where it is wanted, `decode_chroma` give; rgb is converted only once."""
    if chroma and samples.kind == "rgb":
        luma, colors = rgb_to_ycbcr(_decode(planes, samples), "bt709").split([1, 2])
        return luma, colors
    return decode_luma(planes, samples), decode_chroma(planes, samples) if chroma else None


def decode_luma(planes: Sequence[np.ndarray], samples: Samples) -> torch.Tensor:
    """Luma `[1, H, W]`, nominally 0..1, of the planes' own matrix (BT.709 for rgb)."""
    if samples.kind == "rgb":
        return decode(planes, samples)[0]
    return _decode(planes, samples, slice(1))


def decode_chroma(planes: Sequence[np.ndarray], samples: Samples) -> torch.Tensor | None:
    """Chroma `[2, H, W]` at the size of luma, BT.709; None for gray."""
    return None if samples.kind == "gray" else decode_colors(planes, samples)


def decode_colors(planes: Sequence[np.ndarray], samples: Samples) -> torch.Tensor:
    """`decode_chroma` of planes that have colours."""
    if samples.kind == "rgb":
        return rgb_to_ycbcr(_decode(planes, samples), "bt709").split([1, 2])[1]
    return convert_chroma(_upsample(planes, samples), samples.matrix, "bt709")


def decode_rgb(planes: Sequence[np.ndarray], samples: Samples) -> torch.Tensor:
    """R'G'B' `[3, H, W]`, nominally 0..1, of yuv or rgb planes, by their own matrix."""
    if samples.kind == "rgb":
        return _decode(planes, samples)
    matrix = _linear(samples.matrix)
    colors = convert_chroma(_upsample(planes, samples), samples.matrix, matrix)
    return ycbcr_to_rgb(torch.cat((decode_luma(planes, samples), colors)), matrix)


def encode(
    luma: torch.Tensor | None,
    chroma: torch.Tensor | None,
    planes: Sequence[np.ndarray],
    samples: Samples,
    out: Samples,
    *,
    colored: bool,
    moved: bool = False,
) -> list[np.ndarray]:
    """Make the planes of an output from a processed picture and the planes it was made of.

    Args:
        luma: `[1, H, W]`; None where it was not touched: yuv and gray then keep their very code values. It may be
            larger than the planes: what these have by way of colours has then to come as `chroma`.
        chroma: `[2, H, W]`, BT.709; None for what the planes have.
        planes: of the source.
        samples: what they mean.
        out: the samples wanted.
        colored: chroma is new, and reduced where luma cannot show it; otherwise that of the source stays, bit-exact
            where it was not changed.
        moved: the picture is no longer where the planes show it, or another one: nothing of them is kept.

    Returns:
        Planes for `out`; some may be those that were given.
    """
    made = _encoded(luma, chroma, planes, samples, out, colored, moved)
    new = [plane for plane in made if isinstance(plane, torch.Tensor)]
    arrays = iter(planes.bus.down(new) if isinstance(planes, Lifted) else [plane.cpu().numpy() for plane in new])
    return [next(arrays) if isinstance(plane, torch.Tensor) else plane for plane in made]


def _encoded(
    luma: torch.Tensor | None,
    chroma: torch.Tensor | None,
    planes: Sequence[np.ndarray],
    samples: Samples,
    out: Samples,
    colored: bool,
    moved: bool,
) -> list[Plane]:
    """What `encode` gives; planes that are new lie where they were computed."""
    if out.kind == "rgb":
        return _encode_rgb(luma, chroma, planes, samples, out)
    if samples.kind == out.kind == "yuv" and samples.matrix != out.matrix and not colored:
        colors = None if colorless(planes, samples) else decode_chroma(planes, samples)
        if (colors := colors if chroma is None else chroma) is not None:
            return _encode_other_matrix(luma, colors, planes, samples, out)
    if luma is None and samples.kind != "rgb":
        made: list[Plane] = [_recode(planes, samples, out)]
    else:
        made = _encode(decode_luma(planes, samples) if luma is None else luma, out)
    if out.kind == "gray":
        return made
    if colored and chroma is not None:
        luma = decode_luma(planes, samples) if luma is None else luma
        return made + _new_chroma(luma, chroma, out)
    shape = made[0].shape
    if chroma is None and shape != planes[0].shape:
        return made + _neutral(plane_sizes("yuv", shape[1], shape[0], out.subsampling)[1], out)
    return made + _chroma_planes(chroma, planes, samples, out, colored, moved)


def colorless(planes: Sequence[np.ndarray], samples: Samples) -> bool:
    """Whether planes with chroma are all gray, as in most black-and-white films: then there is less to do."""
    if samples.kind == "yuv":
        neutral = 0 if samples.floats else 1 << (samples.bits - 1)
        return all((plane == neutral).all() for plane in planes[1:])
    return samples.kind == "rgb" and all(np.array_equal(planes[0], plane) for plane in planes[1:])


def _encode_rgb(
    luma: torch.Tensor | None,
    chroma: torch.Tensor | None,
    planes: Sequence[np.ndarray],
    samples: Samples,
    out: Samples,
) -> list[Plane]:
    luma = decode_luma(planes, samples) if luma is None else luma
    matrix = _linear(out.matrix)
    colors = luma.new_zeros((2, *luma.shape[1:])) if chroma is None else convert_chroma(chroma, "bt709", matrix)
    return _encode(ycbcr_to_rgb(torch.cat((luma, fit_gamut(luma, colors, matrix))), matrix), out)


def _encode_other_matrix(
    luma: torch.Tensor | None, chroma: torch.Tensor, planes: Sequence[np.ndarray], samples: Samples, out: Samples
) -> list[Plane]:
    """The same R'G'B' in another matrix: of colours luma is another number, too."""
    matrix = _linear(samples.matrix)
    luma = decode_luma(planes, samples) if luma is None else luma
    rgb = ycbcr_to_rgb(torch.cat((luma, convert_chroma(chroma, "bt709", matrix))), matrix)
    made = rgb_to_ycbcr(rgb, out.matrix)
    size = plane_sizes("yuv", luma.shape[-1], luma.shape[-2], out.subsampling)[1]
    colors = resize_chroma(made[1:], size, out.siting, subsampling=out.subsampling)
    return _encode(made[:1], out) + _encode(colors, out, chroma=True)


def _linear(matrix: str) -> str:
    """The matrix in which RGB is reckoned: there is no constant luminance in it."""
    return "bt2020" if matrix == "bt2020cl" else matrix


def _chroma_planes(
    chroma: torch.Tensor | None,
    planes: Sequence[np.ndarray],
    samples: Samples,
    out: Samples,
    colored: bool,
    moved: bool,
) -> list[Plane]:
    height, width = planes[0].shape if chroma is None else chroma.shape[-2:]
    size = plane_sizes("yuv", width, height, out.subsampling)[1]
    if colored or samples.kind == "rgb":
        return _neutral(size, out) if chroma is None else _encode(_shrink(chroma, size, out), out, chroma=True)
    if samples.kind == "gray":
        return _neutral(size, out)
    alike = (samples.subsampling, samples.matrix, samples.siting) == (out.subsampling, out.matrix, out.siting)
    kept = alike and samples.same_codes(out) and (height, width) == planes[0].shape
    if not kept or (moved and chroma is not None):
        original = decode_colors(planes, samples) if chroma is None else chroma
        return _encode(_shrink(original, size, out), out, chroma=True)
    if chroma is None:
        return list(planes[1:])
    # The source's own code values plus what changed: where nothing did they stay bit-exact, which resizing twice would
    # not give.
    change = chroma - decode_colors(planes, samples)
    if not change.any():
        return list(planes[1:])
    return _encode(_decode(planes, samples, _CHROMA, chroma=True) + _shrink(change, size, out), out, chroma=True)


def _new_chroma(luma: torch.Tensor, chroma: torch.Tensor, out: Samples) -> list[Plane]:
    """Planes of chroma that luma did not come with: what luma cannot show, as any colour in black, is made paler."""
    matrix = _linear(out.matrix)
    fitted = fit_gamut(luma, convert_chroma(chroma, "bt709", matrix), matrix)
    size = plane_sizes("yuv", luma.shape[-1], luma.shape[-2], out.subsampling)[1]
    fitted = resize_chroma(fitted, size, out.siting, subsampling=out.subsampling)
    return _encode(convert_chroma(fitted, matrix, out.matrix), out, chroma=True)


def _upsample(planes: Sequence[np.ndarray], samples: Samples) -> torch.Tensor:
    return resize_chroma(
        _decode(planes, samples, _CHROMA, chroma=True),
        planes[0].shape,
        source_siting=samples.siting,
        source_subsampling=samples.subsampling,
    )


def _shrink(chroma: torch.Tensor, size: tuple[int, int], out: Samples) -> torch.Tensor:
    return convert_chroma(resize_chroma(chroma, size, out.siting, subsampling=out.subsampling), "bt709", out.matrix)


def _neutral(size: tuple[int, int], out: Samples) -> list[Plane]:
    return [np.full(size, 0 if out.floats else 1 << (out.bits - 1), out.dtype) for _ in range(2)]


def _decode(
    planes: Sequence[np.ndarray], samples: Samples, part: slice = slice(None), *, chroma: bool = False
) -> torch.Tensor:
    """Some of the planes, all of one size, as floats `[P, h, w]`."""
    if isinstance(planes, Lifted):
        there = [planes.there(number) for number in range(len(planes))[part]]
        return _scaled(torch.stack([plane.float() for plane in there]), samples, chroma)
    # Planes may be views of memory that must not be written, which PyTorch does not know: copies. NumPy does it without
    # the threads that the networks need.
    values = np.empty((len(planes[part]), *planes[part][0].shape), np.float32)
    for i, plane in enumerate(planes[part]):
        np.copyto(values[i], plane, casting="unsafe")
    if samples.floats:
        # what is no number, or far from any picture, would spread over the whole frame
        np.nan_to_num(values, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        np.clip(values, -1.0, 2.0, out=values)
    else:
        zero, one = code_range(samples.bits, samples.full_range, chroma, samples.matrix)
        values -= zero
        values /= one
    return torch.from_numpy(values)


def _scaled(values: torch.Tensor, samples: Samples, chroma: bool) -> torch.Tensor:
    """What `_decode` makes of code values on a device."""
    if samples.floats:
        return values.nan_to_num_(0.0, 1.0, 0.0).clamp_(-1.0, 2.0)
    zero, one = code_range(samples.bits, samples.full_range, chroma, samples.matrix)
    return values.sub_(zero).div_(one)


def _encode(values: torch.Tensor, out: Samples, *, chroma: bool = False) -> list[Plane]:
    values = values.float()
    if not out.floats:
        values = encode_plane(values, out.bits, out.full_range, chroma, matrix=out.matrix)
    return list(values.to(getattr(torch, out.dtype.name)))


def _recode(planes: Sequence[np.ndarray], samples: Samples, out: Samples) -> Plane:
    """A source's own luma in the samples of an output: the same code values, or those times a power of two."""
    if samples.same_codes(out):
        return planes[0]
    if samples.floats or out.floats or samples.full_range or out.full_range or samples.bits > out.bits:
        return _encode(_decode(planes, samples, slice(1)), out)[0]
    return planes[0].astype(out.dtype) << (out.bits - samples.bits)
