"""The look of made colours: how strong those of a range of hue are, and a look-up table."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..system.inputs import check_input
from ..system.texts import read_bytes
from .hues import HueGain
from .matrices import fit_gamut, rgb_to_ycbcr, ycbcr_to_rgb

_MOST = {"LUT_1D_SIZE": 65536, "LUT_3D_SIZE": 256}  # of Adobe's Cube LUT Specification 1.0
_RANGES = ("LUT_1D_INPUT_RANGE", "LUT_3D_INPUT_RANGE")  # how others write DOMAIN_MIN and DOMAIN_MAX


def hues_of(chroma: Tensor) -> Tensor:
    """Hue of HSV in degrees, 0..360, of (Cb, Cr) of BT.709, `[..., 2, H, W]`; of gray 0. Luma has no part in it."""
    red, green, blue = ycbcr_to_rgb(torch.cat((torch.zeros_like(chroma[..., :1, :, :]), chroma), -3)).unbind(-3)
    most = torch.maximum(torch.maximum(red, green), blue)
    spread = (most - torch.minimum(torch.minimum(red, green), blue)).clamp_min(1e-12)
    sector = torch.where(
        most == red,
        (green - blue) / spread,
        torch.where(most == green, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    return 60 * sector % 360


def strengthened(chroma: Tensor, gains: Sequence[HueGain]) -> Tensor:
    """Chroma of BT.709, `[..., 2, H, W]`, with the colours of some hues stronger or weaker."""
    hues = hues_of(chroma)
    factor = 1 + sum((one.gain - 1) * one.acts(hues) for one in gains)
    return chroma * torch.as_tensor(factor).clamp_min(0).unsqueeze(-3)


class Lut:
    """A look-up table of colours, as a .cube file holds it.

    Args:
        table: `[N, 3]` for three curves; `[N, N, N, 3]` for a cube, blue first; R'G'B', float32.
        low, high: the values of R'G'B' that its ends stand for.
        name: for messages.

    Attributes:
        sha256: of all that it does.
    """

    def __init__(
        self,
        table: Tensor,
        low: Sequence[float] = (0.0, 0.0, 0.0),
        high: Sequence[float] = (1.0, 1.0, 1.0),
        name: str = "",
    ) -> None:
        self.table, self.name = table.float().contiguous(), name
        self.low, self.high = tuple(map(float, low)), tuple(map(float, high))
        digest = hashlib.sha256(f"{tuple(table.shape)} {self.low} {self.high}".encode())
        digest.update(self.table.numpy().tobytes())
        self.sha256 = digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lut) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"Lut({self.name!r})"

    @classmethod
    def of(cls, given: Any) -> Lut | None:
        """A table as it was given: one, or the path of a .cube file; None for None and an empty text.

        Raises:
            InputError: see `read_cube`.
        """
        if given is None or isinstance(given, Lut):
            return given
        if not isinstance(given, str | os.PathLike):
            raise InputError(f"lut must be the path of a .cube file, got {given!r}")
        return read_cube(Path(given)) if str(given).strip() else None

    def __call__(self, rgb: Tensor) -> Tensor:
        """R'G'B' `[3, H, W]` by the table, linear between its entries; what lies beyond its ends is as they are."""
        low, high = (torch.tensor(end, device=rgb.device)[:, None, None] for end in (self.low, self.high))
        at, table = ((rgb - low) / (high - low)).clamp(0, 1), self.table.to(rgb.device)
        if table.ndim == 4:
            volume = table.permute(3, 0, 1, 2)[None]
            grid = (2 * at - 1).permute(1, 2, 0)[None, None]
            return F.grid_sample(volume, grid, mode="bilinear", padding_mode="border", align_corners=True)[0, :, 0]
        at = at * (len(table) - 1)
        below = at.floor().clamp_max(max(len(table) - 2, 0)).long()
        first, second = (torch.stack([table[at, i] for i, at in enumerate(part)]) for part in (below, below + 1))
        return torch.lerp(first, second, at - below)


def looked_up(luma: Tensor, chroma: Tensor, lut: Lut) -> Tensor:
    """Chroma `[2, H, W]` of what a table makes of colours: luma `[1, H, W]` and chroma of BT.709. Luma is not told, for
    it stays."""
    rgb = ycbcr_to_rgb(torch.cat((luma.clamp(0, 1), fit_gamut(luma, chroma))))
    return rgb_to_ycbcr(lut(rgb))[1:]


def read_cube(path: Path) -> Lut:
    """Read a .cube file of one table, 1D or 3D (Adobe's Cube LUT Specification 1.0; also with LUT_3D_INPUT_RANGE).

    Raises:
        InputError: nothing there, no .cube, or rows that are wrong, with their line.
    """
    what = f"lut {str(path)!r}"
    check_input(path)
    try:
        text = read_bytes(path).decode("utf-8", "replace").removeprefix("\ufeff")
    except OSError as error:
        raise InputError(f"cannot read {what}: {error.strerror}") from error
    size, key = 0, ""
    ends = {"DOMAIN_MIN": [0.0] * 3, "DOMAIN_MAX": [1.0] * 3}
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] == "TITLE":
            continue
        where = f"{what}, line {number}"
        if words[0] in _MOST:
            if key:
                raise InputError(f"{where}: it has a second table ({words[0]}): give a file with one")
            key, size = words[0], _size(words, where)
        elif words[0] in ends:
            ends[words[0]] = _numbers(words[1:], 3, where)
        elif words[0] in _RANGES:
            low, high = _numbers(words[1:], 2, where)
            ends = {"DOMAIN_MIN": [low] * 3, "DOMAIN_MAX": [high] * 3}
        elif not key:
            raise InputError(f"{what} is no .cube: its line {number} is neither LUT_1D_SIZE, LUT_3D_SIZE nor a comment")
        else:
            count = size**3 if key == "LUT_3D_SIZE" else size
            if len(rows) == count:
                raise InputError(f"{where}: there are more than the {count} rows that {key} {size} says")
            rows.append(_numbers(words, 3, where))
    if not key:
        raise InputError(f"{what} is no .cube: it has neither LUT_1D_SIZE nor LUT_3D_SIZE")
    count = size**3 if key == "LUT_3D_SIZE" else size
    if len(rows) != count:
        last = len(text.splitlines())
        raise InputError(f"{what}, line {last}: it ends after {len(rows)} of the {count} rows that {key} {size} says")
    low, high = ends.values()
    if not all(a < b for a, b in zip(low, high)):
        raise InputError(f"{what}: DOMAIN_MIN must be below DOMAIN_MAX, got {low} and {high}")
    table = torch.tensor(rows, dtype=torch.float32)
    return Lut(table.view(size, size, size, 3) if key == "LUT_3D_SIZE" else table, low, high, str(path))


def _size(words: Sequence[str], where: str) -> int:
    most = _MOST[words[0]]
    if len(words) != 2 or not words[1].isdecimal() or not 2 <= int(words[1]) <= most:
        raise InputError(f"{where}: {words[0]} must be a whole number of 2 to {most}, got {' '.join(words[1:])!r}")
    return int(words[1])


def _numbers(words: Sequence[str], count: int, where: str) -> list[float]:
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = []
    if len(found) != count or not all(map(math.isfinite, found)):
        raise InputError(f"{where}: there must be {count} numbers, got {' '.join(words)[:60]!r}")
    return found
