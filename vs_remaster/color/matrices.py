"""RGB, Y'CbCr, CIE Lab and gray: matrices, ranges, gamut; and from `chroma` the resizing of chroma.

Everything here is a pure function on torch tensors with any leading dimensions, on any device; float32 stays float32,
float64 stays float64. Y' is nominally 0..1, Cb and Cr are -0.5..0.5; values beyond extrapolate. What is said of Cb and
Cr holds for the two planes behind Y' of any matrix: those of "ycgco" are Cg and Co.
"""

from __future__ import annotations

import functools

import torch

from ..errors import InputError, UnsupportedError
from .h273 import H273_MATRICES

Matrix = str
"""A name in `MATRICES`."""

# Chromaticities x, y of red, green, blue and white by code point of colour primaries: ITU-T H.273, table 2.
_PRIMARIES: dict[int, tuple[tuple[float, float], ...]] = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), (0.3127, 0.3290)),
    4: ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), (0.310, 0.316)),
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), (0.3127, 0.3290)),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), (0.3127, 0.3290)),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), (0.3127, 0.3290)),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), (0.310, 0.316)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), (0.3127, 0.3290)),
}


def _derived_weights(primaries: int) -> tuple[float, float]:
    """(Kr, Kb) of chromaticity-derived matrices: ITU-T H.273, equations 40 to 46, whose determinants are areas here."""
    red, green, blue, white = _PRIMARIES[primaries]

    def area(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])

    whole = white[1] * area(red, green, blue)
    return red[1] * area(white, green, blue) / whole, blue[1] * area(red, green, white) / whole


MATRICES: dict[str, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "bt2020cl": (0.2627, 0.0593),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "ycgco": (0.25, 0.25),
    **{f"derived-{primaries}": _derived_weights(primaries) for primaries in _PRIMARIES},
}
"""Luma weights (Kr, Kb): Rec. ITU-R BT.601-7, BT.709-6 and BT.2020-2; FCC Title 47 73.682, SMPTE ST 240, Y'CgCo.

"bt2020" has non-constant luminance. "bt2020cl" has constant luminance: its weights are for linear light, so here its
chroma can be converted, but not to or from R'G'B'. "derived-9" has the weights that follow from primaries 9 of H.273.
"""

_DERIVED_CODE = 12
_SD_HEIGHT = 576

# What B'-Y' and R'-Y' are divided by to become Cb and Cr, where they are (negative, positive): BT.2020-2, table 4.
_CONSTANT_LUMINANCE = ((1.9404, 1.5816), (1.7184, 0.9936))

# Linear sRGB to XYZ, rounded as in OpenCV and scikit-image. White is the row sums, so that neutrals have a = b = 0
# (scikit-image divides by a differently rounded white and gives grays an ab of up to 0.01).
_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = tuple(sum(row) for row in _XYZ)
_DELTA = 6 / 29


def h273_matrix(code: int, primaries: int = 2) -> str | None:
    """Name the matrix of a tagged film.

    Args:
        code: matrix coefficients, a code point of ITU-T H.273, as in FFmpeg's colorspace and VapourSynth's `_Matrix`.
        primaries: colour primaries, likewise; 2 for unspecified. Code 12 takes its luma weights from them.

    Returns:
        A name in `MATRICES`; None for code points that name no matrix (0, 2) and for those not known here.
    """
    if code == _DERIVED_CODE and primaries in _PRIMARIES:
        return f"derived-{primaries}"
    return H273_MATRICES.get(code)


def h273_code(matrix: str) -> int:
    """Code point of ITU-T H.273 for a name in `MATRICES`: what `h273_matrix` turns back into that name."""
    codes = {name: code for code, name in H273_MATRICES.items()}
    return codes.get(matrix, _DERIVED_CODE)


def guess_matrix(height: int) -> str:
    """Name the matrix of a film that does not say: BT.601 for pictures of up to 576 lines, else BT.709."""
    return "bt601" if height <= _SD_HEIGHT else "bt709"


def _check_matrix(matrix: str) -> None:
    if matrix not in MATRICES:
        raise UnsupportedError(f"unknown matrix {matrix!r}: use one of {', '.join(MATRICES)}")


def _weights(matrix: str) -> tuple[float, float, float]:
    _check_matrix(matrix)
    if matrix == "bt2020cl":
        raise UnsupportedError("matrix 'bt2020cl' has constant luminance, so RGB never comes in it: use 'bt2020'")
    kr, kb = MATRICES[matrix]
    return kr, 1.0 - kr - kb, kb


def _split(x: torch.Tensor, channels: int, name: str) -> tuple[torch.Tensor, ...]:
    if x.ndim < 3 or x.shape[-3] != channels:
        raise InputError(f"{name} must be a tensor [..., {channels}, H, W], got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise InputError(f"{name} must be a floating point tensor, got {x.dtype}: convert its code values first")
    return x.unbind(-3)


def _chroma_of(blue: torch.Tensor, red: torch.Tensor, matrix: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(Cb, Cr) of B'-Y' and R'-Y'; (Cg, Co) for ycgco: H.273, equations for matrix coefficients 8."""
    if matrix == "ycgco":
        return -0.5 * (blue + red), 0.5 * (red - blue)
    if matrix == "bt2020cl":
        cb, cr = (
            torch.where(difference > 0, difference / above, difference / below)
            for difference, (below, above) in zip((blue, red), _CONSTANT_LUMINANCE, strict=True)
        )
        return cb, cr
    kr, _, kb = _weights(matrix)
    return blue / (2 * (1 - kb)), red / (2 * (1 - kr))


def _blue_and_red(chroma: torch.Tensor, matrix: str) -> tuple[torch.Tensor, torch.Tensor]:
    """B'-Y' and R'-Y', the inverse of `_chroma_of`."""
    cb, cr = _split(chroma, 2, "chroma")
    if matrix == "ycgco":
        return -cb - cr, cr - cb
    if matrix == "bt2020cl":
        blue, red = (
            torch.where(plane > 0, plane * above, plane * below)
            for plane, (below, above) in zip((cb, cr), _CONSTANT_LUMINANCE, strict=True)
        )
        return blue, red
    kr, _, kb = _weights(matrix)
    return cb * (2 * (1 - kb)), cr * (2 * (1 - kr))


def _differences(chroma: torch.Tensor, matrix: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """R'-Y', G'-Y' and B'-Y' of (Cb, Cr)."""
    kr, kg, kb = _weights(matrix)
    blue, red = _blue_and_red(chroma, matrix)
    return red, red * (-kr / kg) + blue * (-kb / kg), blue


def rgb_to_ycbcr(rgb: torch.Tensor, matrix: Matrix = "bt709") -> torch.Tensor:
    """Turn gamma-encoded R'G'B' into Y'CbCr.

    Args:
        rgb: `[..., 3, H, W]`, nominally 0..1.
        matrix: any of `MATRICES` but bt2020cl.

    Returns:
        `[..., 3, H, W]`: Y' 0..1, Cb and Cr -0.5..0.5.

    Raises:
        UnsupportedError: unknown matrix or bt2020cl. InputError: wrong shape or an integer tensor.
    """
    r, g, b = _split(rgb, 3, "rgb")
    kr, kg, kb = _weights(matrix)
    y = kr * r + kg * g + kb * b
    return torch.stack((y, *_chroma_of(b - y, r - y, matrix)), dim=-3)


def ycbcr_to_rgb(ycc: torch.Tensor, matrix: Matrix = "bt709") -> torch.Tensor:
    """Turn Y'CbCr into gamma-encoded R'G'B', not clipped.

    Args:
        ycc: `[..., 3, H, W]`, Y' nominally 0..1, Cb and Cr -0.5..0.5.
        matrix: any of `MATRICES` but bt2020cl.

    Returns:
        `[..., 3, H, W]`, outside 0..1 where the colour does not exist in RGB (see `fit_gamut`).

    Raises:
        UnsupportedError: unknown matrix or bt2020cl. InputError: wrong shape or an integer tensor.
    """
    y, _, _ = _split(ycc, 3, "ycc")
    red, green, blue = _differences(ycc[..., 1:, :, :], matrix)
    return torch.stack((y + red, y + green, y + blue), dim=-3)


def fit_gamut(luma: torch.Tensor, chroma: torch.Tensor, matrix: Matrix = "bt709") -> torch.Tensor:
    """Scale chroma toward gray just as far as needed for R'G'B' to lie in 0..1; hue and luma stay.

    R' = Y' + s (R'-Y') is linear in the scale s, so the largest s is the smallest of three quotients.

    Args:
        luma: `[..., 1, H, W]`; taken as clipped to 0..1 (black and white have no chroma at all).
        chroma: `[..., 2, H, W]`, (Cb, Cr) of `matrix`.
        matrix: the matrix RGB will be computed with, any of `MATRICES` but bt2020cl.

    Returns:
        `[..., 2, H, W]`; where the colour was inside already, the very values that came in.

    Raises:
        UnsupportedError: unknown matrix or bt2020cl. InputError: wrong shape or an integer tensor.
    """
    (y,) = _split(luma, 1, "luma")
    _split(chroma, 2, "chroma")
    # what fits in a core's cache, which takes half the time; a GPU gets all at once
    rows = max(1, (1 << 16) // y.shape[-1]) if y.device.type == "cpu" else y.shape[-2]
    parts = zip(y.split(rows, -2), chroma.split(rows, -2))
    return torch.cat([part * _gamut_scale(line, part, matrix).unsqueeze(-3) for line, part in parts], -2)


def fitted_rgb(luma: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """R'G'B' `[3, H, W]`, 0..1, of luma `[1, H, W]` and BT.709 chroma `[2, H, W]`, which goes toward gray where colours
    of that brightness go no farther, see `fit_gamut`."""
    return ycbcr_to_rgb(torch.cat((luma, fit_gamut(luma, chroma)))).clamp(0, 1)


def _gamut_scale(y: torch.Tensor, chroma: torch.Tensor, matrix: str) -> torch.Tensor:
    y = y.clamp(0.0, 1.0)
    red, green, blue = _differences(chroma, matrix)
    most = torch.maximum(torch.maximum(red, green), blue)
    least = torch.minimum(torch.minimum(red, green), blue)
    above = 1.0 - y  # 1 exactly where there is room: x / x
    up = above / torch.maximum(above, most).clamp_min(1e-30)
    down = y / torch.maximum(y, -least).clamp_min(1e-30)
    return torch.minimum(up, down)


def convert_chroma(chroma: torch.Tensor, src_matrix: Matrix, dst_matrix: Matrix) -> torch.Tensor:
    """Express the colour differences B'-Y' and R'-Y' in another matrix's Cb and Cr.

    Y' stays what it is, so a luma plane that must not change keeps its values; G' follows from the new matrix.
    Sources: ITU-T H.273, table 4; for bt2020cl, whose Cb and Cr are piecewise linear, BT.2020-2, table 4.

    Args:
        chroma: `[..., 2, H, W]`, (Cb, Cr) of `src_matrix`; (Cg, Co) for ycgco.
        src_matrix: matrix of `chroma`, any of `MATRICES`.
        dst_matrix: matrix of the result, any of `MATRICES`.

    Returns:
        `[..., 2, H, W]`, (Cb, Cr) of `dst_matrix`; (Cg, Co) for ycgco. `chroma` itself where the matrices are the same.

    Raises:
        UnsupportedError: unknown matrix. InputError: wrong shape or an integer tensor.
    """
    _split(chroma, 2, "chroma")
    _check_matrix(src_matrix)
    _check_matrix(dst_matrix)
    if src_matrix == dst_matrix:
        return chroma
    return torch.stack(_chroma_of(*_blue_and_red(chroma, src_matrix), dst_matrix), dim=-3)


def code_range(bits: int, full_range: bool, chroma: bool, matrix: str) -> tuple[float, float]:
    """(code value of zero, code values to one) of a plane: BT.709-6 items 4.6 and 5.3, H.264 equations E-4 to E-9.

    Y'CgCo is made of the code values of R'G'B' (H.273, matrix coefficients 8), so its chroma has the steps of luma.
    """
    if not 8 <= bits <= 16:
        raise UnsupportedError(f"unsupported bit depth {bits}: use 8 to 16")
    if full_range:
        return (float(1 << (bits - 1)) if chroma else 0.0), float((1 << bits) - 1)
    step = 1 << (bits - 8)
    if not chroma:
        return 16.0 * step, 219.0 * step
    return 128.0 * step, (219.0 if matrix == "ycgco" else 224.0) * step


def decode_plane(
    codes: torch.Tensor, bits: int, full_range: bool, chroma: bool = False, *, matrix: Matrix = "bt709"
) -> torch.Tensor:
    """Turn code values of one plane into normalised values.

    Args:
        codes: integer or float tensor of any shape, nominally 0..2**bits - 1.
        bits: 8 to 16.
        full_range: black and white at the ends of the code range; otherwise 16..235 (chroma 16..240) times 2**(bits-8).
        chroma: a Cb or Cr plane, not Y', R', G' or B'.
        matrix: of chroma; matters for ycgco of limited range alone, whose chroma is 128 -+ 109.5 times 2**(bits-8).

    Returns:
        float32 (float64 for float64 codes): nominally 0..1, chroma -0.5..0.5; code values beyond go beyond.

    Raises:
        UnsupportedError: a bit depth outside 8..16.
    """
    zero, one = code_range(bits, full_range, chroma, matrix)
    values = codes.to(codes.dtype if codes.dtype == torch.float64 else torch.float32)
    return (values - zero) / one if zero else values / one


def encode_plane(
    plane: torch.Tensor, bits: int, full_range: bool, chroma: bool = False, *, matrix: Matrix = "bt709"
) -> torch.Tensor:
    """Turn normalised values of one plane into code values, the exact inverse of `decode_plane`.

    Args:
        plane: float tensor of any shape, nominally 0..1, chroma -0.5..0.5.
        bits: 8 to 16.
        full_range: see `decode_plane`.
        chroma: a Cb or Cr plane, not Y', R', G' or B'.
        matrix: of chroma; matters for ycgco of limited range alone, whose chroma is 128 -+ 109.5 times 2**(bits-8).

    Returns:
        int32, rounded half to even and clipped to 0..2**bits - 1 (foot- and headroom of limited range is kept).

    Raises:
        UnsupportedError: a bit depth outside 8..16.
    """
    zero, one = code_range(bits, full_range, chroma, matrix)
    values = plane.to(plane.dtype if plane.dtype == torch.float64 else torch.float32) * one
    return values.add(zero).round().clamp(0, (1 << bits) - 1).to(torch.int32)


def srgb_to_linear(x: torch.Tensor) -> torch.Tensor:
    """Undo the sRGB transfer function (IEC 61966-2-1); below 0 its linear part goes on."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(x: torch.Tensor) -> torch.Tensor:
    """Apply the sRGB transfer function (IEC 61966-2-1); below 0 its linear part goes on."""
    return torch.where(x <= 0.0031308, x * 12.92, 1.055 * x.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)


def _lab_curve(t: torch.Tensor) -> torch.Tensor:
    """CIE 15:2004, equation 8.6: cube root with a linear toe."""
    # the clamp keeps gradients of the branch that is not taken finite
    return torch.where(t > _DELTA**3, t.clamp_min(_DELTA**3) ** (1 / 3), t / (3 * _DELTA**2) + 4 / 29)


def _lab_curve_inverse(f: torch.Tensor) -> torch.Tensor:
    return torch.where(f > _DELTA, f**3, (f - 4 / 29) * (3 * _DELTA**2))


@functools.cache
def _rgb_of_xyz() -> tuple[tuple[float, ...], ...]:
    inverse = torch.linalg.inv(torch.tensor(_XYZ, dtype=torch.float64))
    return tuple(tuple(row) for row in inverse.tolist())


def _mix(rows: tuple[tuple[float, ...], ...], a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> list[torch.Tensor]:
    return [row[0] * a + row[1] * b + row[2] * c for row in rows]


def rgb_to_lab(rgb: torch.Tensor) -> torch.Tensor:
    """Turn sRGB into CIE L*a*b* (D65, 2 degrees).

    Args:
        rgb: `[..., 3, H, W]`, gamma-encoded sRGB, nominally 0..1.

    Returns:
        `[..., 3, H, W]`: L* 0..100, a* and b* in their real units (about -86..98 and -108..94 for colours of sRGB).

    Raises:
        InputError: wrong shape or an integer tensor.
    """
    xyz = _mix(_XYZ, *(srgb_to_linear(c) for c in _split(rgb, 3, "rgb")))
    x, y, z = (_lab_curve(c / white) for c, white in zip(xyz, _WHITE, strict=True))
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-3)


def lab_to_rgb(lab: torch.Tensor) -> torch.Tensor:
    """Turn CIE L*a*b* (D65) into sRGB, not clipped.

    Args:
        lab: `[..., 3, H, W]`: L* 0..100, a* and b* in real units.

    Returns:
        `[..., 3, H, W]`, gamma-encoded; outside 0..1 where the colour does not exist in sRGB.

    Raises:
        InputError: wrong shape or an integer tensor.
    """
    lightness, a, b = _split(lab, 3, "lab")
    y = (lightness + 16) / 116
    curves = (y + a / 500, y, y - b / 200)
    xyz = [_lab_curve_inverse(f) * white for f, white in zip(curves, _WHITE, strict=True)]
    return torch.stack([linear_to_srgb(c) for c in _mix(_rgb_of_xyz(), *xyz)], dim=-3)


def pack_lab(lab: torch.Tensor) -> torch.Tensor:
    """Scale L*a*b* `[..., 3, H, W]` to the papers' 0..1: L* / 100, (a* + 128) / 255, (b* + 128) / 255."""
    lightness, a, b = _split(lab, 3, "lab")
    return torch.stack((lightness / 100, (a + 128) / 255, (b + 128) / 255), dim=-3)


def unpack_lab(packed: torch.Tensor) -> torch.Tensor:
    """Undo `pack_lab`: `[..., 3, H, W]` in 0..1 to L* 0..100 and a*, b* in real units."""
    lightness, a, b = _split(packed, 3, "packed")
    return torch.stack((lightness * 100, a * 255 - 128, b * 255 - 128), dim=-3)


def gray_to_lightness(gray: torch.Tensor) -> torch.Tensor:
    """L* of a neutral colour with the gray value Y' (of any shape): Y' 0.5 is L* 53.4, not 50.

    Args:
        gray: Y' of sRGB-encoded gray, nominally 0..1.

    Returns:
        L*, 0..100 for Y' of 0..1, the same shape.
    """
    return 116 * _lab_curve(srgb_to_linear(gray)) - 16


def lightness_to_gray(lightness: torch.Tensor) -> torch.Tensor:
    """Undo `gray_to_lightness`: L* 0..100 of a neutral colour to its gray value Y' 0..1, the same shape."""
    return linear_to_srgb(_lab_curve_inverse((lightness + 16) / 116))
