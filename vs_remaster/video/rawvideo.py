"""Uncompressed film as programs hand it to each other: the formats of its frames, and the header of a y4m stream.

Sources: yuv4mpeg(5) of the MJPEG Tools; formats of more than 8 bits, `XCOLORRANGE` and where the chroma of each 4:2:0
lies are those of FFmpeg's yuv4mpegpipe and rawvideo. Samples of more than 8 bits are little-endian.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..color.chroma import Siting
from ..color.matrices import guess_matrix
from ..color.samples import MOST_PIXELS, Kind, Samples, plane_sizes
from ..errors import InputError, UnsupportedError
from .planes import SUBSAMPLINGS, pixel_layout, planar_format

MAGIC = b"YUV4MPEG2 "
LARGEST = 32768
"""Pixels of a side; whoever says more is mistaken."""

_FORMAT = re.compile(r"mono(?P<mono>\d+)?|(?P<ratio>420|422|444|411)(p(?P<bits>\d+))?|420(?P<siting>jpeg|mpeg2|paldv)")
_SITINGS: dict[str, Siting] = {"420": "center", "jpeg": "center", "mpeg2": "left", "paldv": "topleft"}
_PACKED = {"rgb24": 8, "rgb48": 16}
_FIELDS = {"t": "interlaced, top field first", "b": "interlaced, bottom field first", "m": "interlaced in parts"}


@dataclass(frozen=True, kw_only=True)
class RawFormat(Samples):
    """The bytes of an uncompressed frame: plane after plane, rows without padding.

    Attributes:
        width: of a frame, in pixels.
        height: of a frame, in pixels.
        pix_fmt: the name that its host gives the format: "420p10" in y4m, "yuv420p10le" in FFmpeg.
        packed: R'G'B' pixel after pixel instead; planes of R'G'B' come in the order G', B', R'.
    """

    width: int
    height: int
    pix_fmt: str
    packed: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.width <= LARGEST and 0 < self.height <= LARGEST):
            raise InputError(
                f"a size of {self.width}x{self.height} pixels cannot be right: "
                f"frames of 1x1 to {LARGEST}x{LARGEST} are taken"
            )
        if self.width * self.height > MOST_PIXELS:
            raise InputError(
                f"a size of {self.width}x{self.height} pixels cannot be right: "
                f"frames of {MOST_PIXELS / 1e6:.0f} million pixels at most are taken"
            )

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return sum(h * w for h, w in self._sizes()) * self.dtype.itemsize

    def _sizes(self) -> list[tuple[int, int]]:
        return plane_sizes(self.kind, self.width, self.height, self.subsampling)

    def planes(self, data: bytes | bytearray) -> list[np.ndarray]:
        """The planes of a frame of `frame_bytes` bytes, in the order of `Frame.planes`; views of them."""
        values = np.frombuffer(data, self.dtype.newbyteorder("<")).astype(self.dtype, copy=False)
        if self.packed:
            return list(np.moveaxis(values.reshape(self.height, self.width, 3), -1, 0))
        planes = []
        for h, w in self._sizes():
            planes.append(values[: h * w].reshape(h, w))
            values = values[h * w :]
        return [planes[i] for i in (2, 0, 1)] if self.kind == "rgb" else planes

    def data(self, planes: list[np.ndarray]) -> bytes:
        """Undo `planes`."""
        if self.packed:
            planes = [np.stack(planes, -1)]
        elif self.kind == "rgb":
            planes = [planes[i] for i in (1, 2, 0)]
        return b"".join(np.ascontiguousarray(plane, self.dtype.newbyteorder("<")) for plane in planes)


def y4m_format(name: str, width: int, height: int, *, matrix: str | None, full_range: bool | None) -> RawFormat:
    """Describe a format of y4m by its name, what stands behind C in a header.

    Args:
        name: 420, 420jpeg, 420mpeg2, 420paldv, 422, 444, 411, mono; of 9 to 16 bits 420p10, 422p12, mono16 and so on.
        width: pixels.
        height: pixels.
        matrix: None: see `color.guess_matrix`.
        full_range: None: gray counts from black to white, as FFmpeg has it, Y'CbCr does not.

    Raises:
        UnsupportedError: another name. InputError: a size that cannot be right.
    """
    match = _FORMAT.fullmatch(name)
    bits = int((match["mono"] or match["bits"] or 8) if match else 0)
    if match is None or not 8 <= bits <= 16:
        raise UnsupportedError(
            f"y4m format {name!r} is not known: use 420, 420jpeg, 420mpeg2, 420paldv, 422, 444, 411 or mono; with 9 to "
            "16 bits 420p10, 422p12, 444p16, mono16 and so on"
        )
    kind: Kind = "gray" if name.startswith("mono") else "yuv"
    ratios = {ratio: subsampling for subsampling, ratio in SUBSAMPLINGS.items()}
    return RawFormat(
        kind=kind,
        bits=bits,
        subsampling=ratios[name[:3]] if kind == "yuv" else (0, 0),
        matrix=matrix or guess_matrix(height),
        full_range=kind == "gray" if full_range is None else full_range,
        siting=_SITINGS.get(match["siting"] or name, "left"),
        width=width,
        height=height,
        pix_fmt=name,
    )


def raw_format(name: str, width: int, height: int, *, matrix: str | None, full_range: bool | None) -> RawFormat:
    """Describe raw frames by FFmpeg's name of their pixel format.

    Args:
        name: planar Y'CbCr, gray or gbrp of 8 to 16 bits, "yuv420p10le" for example; rgb24, rgb48le.
        width: pixels.
        height: pixels.
        matrix: None: see `color.guess_matrix`; of R'G'B' that of BT.709.
        full_range: None: all but Y'CbCr counts from black to white.

    Raises:
        UnsupportedError: another format. InputError: a size that cannot be right.
    """
    packed = _PACKED.get(name.removesuffix("le"))
    try:
        layout = pixel_layout(name)
        kind, bits, subsampling = layout.kind, packed or layout.bits, layout.subsampling
        known = packed or name in ((planar := planar_format(kind, bits, subsampling)), planar.removesuffix("le"))
    except UnsupportedError:
        known = False
    if not known:
        raise UnsupportedError(
            f"raw frames of {name!r} cannot be taken: use gray, gray16le, yuv420p, yuv422p10le, yuv444p16le and so on, "
            "gbrp, rgb24 or rgb48le"
        )
    return RawFormat(
        kind=kind,
        bits=bits,
        subsampling=subsampling,
        matrix=matrix or ("bt709" if kind == "rgb" else guess_matrix(height)),
        full_range=kind != "yuv" if full_range is None else full_range,
        width=width,
        height=height,
        pix_fmt=name,
        packed=bool(packed),
    )


@dataclass(frozen=True)
class Header:
    """The first line of a y4m stream.

    Attributes:
        width: of a frame, in pixels.
        height: of a frame, in pixels.
        pix_fmt: the format of its frames, see `y4m_format`.
        full_range: None where it does not say.
        tags: everything that it says, as it came.
    """

    width: int
    height: int
    pix_fmt: str
    full_range: bool | None
    tags: tuple[str, ...]

    @classmethod
    def parse(cls, line: bytes) -> Header:
        """Read a header.

        Args:
            line: beginning with `MAGIC`, with or without the end of the line.

        Raises:
            InputError: no size, or one that is no number. UnsupportedError: interlaced.
        """
        text = line.removeprefix(MAGIC).removesuffix(b"\n").decode("ascii", "surrogateescape")
        tags = tuple(tag for tag in text.split(" ") if tag)
        own = {tag[0]: tag[1:] for tag in reversed(tags) if tag[0] != "X"}
        more = dict(tag[1:].split("=", 1) for tag in tags if tag[0] == "X" and "=" in tag)
        fields = own.get("I", "?")
        if fields not in ("p", "?"):
            raise UnsupportedError(
                f"the film is {_FIELDS.get(fields, f'of field order {fields!r}')}: deinterlace it first with "
                "ffmpeg -i FILE -vf bwdif -f yuv4mpegpipe -strict -1 - (-vf setfield=prog where only the mark is wrong)"
            )
        sizes = []
        for letter, what in (("W", "width"), ("H", "height")):
            if not re.fullmatch(r"[0-9]+", own.get(letter, "")):
                raise InputError(f"the y4m header has no {what}: {letter} and a number, got {own.get(letter)!r}")
            sizes.append(int(own[letter]))
        full_range = {"FULL": True, "LIMITED": False}.get(more.get("COLORRANGE", ""))
        return cls(*sizes, own.get("C") or more.get("YSCSS", "").lower() or "420jpeg", full_range, tags)

    def line(self, out: RawFormat) -> bytes:
        """The header of a stream that was made of this one: what has not changed is said as it came.

        Where the range was not said it is added with a new format, whose reader might guess another.
        """
        changed = out.pix_fmt != self.pix_fmt
        sizes = {"W": f"W{out.width}", "H": f"H{out.height}"}
        tags = [sizes.get(tag[0], tag) for tag in self.tags if not (changed and tag.startswith(("C", "XYSCSS=")))]
        if changed:
            tags.append(f"C{out.pix_fmt}")
        said = self.full_range
        if said is None and not changed:
            said = out.kind == "gray"
        if out.full_range != said:
            tags = [tag for tag in tags if not tag.startswith("XCOLORRANGE=")]
            tags.append(f"XCOLORRANGE={'FULL' if out.full_range else 'LIMITED'}")
        return MAGIC + " ".join(tags).encode("ascii", "surrogateescape") + b"\n"
