"""Pictures as numbers: colour matrices, CIE Lab, chroma planes, samples of every format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy import face

if TYPE_CHECKING:
    from .chroma import SITINGS, Siting, guided_upsample, resize_chroma
    from .look import HueGain, Lut
    from .matrices import (
        H273_MATRICES,
        MATRICES,
        Matrix,
        code_range,
        convert_chroma,
        decode_plane,
        encode_plane,
        fit_gamut,
        gray_to_lightness,
        guess_matrix,
        h273_code,
        h273_matrix,
        lab_to_rgb,
        lightness_to_gray,
        linear_to_srgb,
        pack_lab,
        rgb_to_lab,
        rgb_to_ycbcr,
        srgb_to_linear,
        unpack_lab,
        ycbcr_to_rgb,
    )
    from .samples import Samples, decode_luma, decode_rgb

__all__ = [
    "H273_MATRICES",
    "MATRICES",
    "SITINGS",
    "HueGain",
    "Lut",
    "Matrix",
    "Samples",
    "Siting",
    "code_range",
    "convert_chroma",
    "decode_luma",
    "decode_plane",
    "decode_rgb",
    "encode_plane",
    "fit_gamut",
    "gray_to_lightness",
    "guess_matrix",
    "guided_upsample",
    "h273_code",
    "h273_matrix",
    "lab_to_rgb",
    "lightness_to_gray",
    "linear_to_srgb",
    "pack_lab",
    "resize_chroma",
    "rgb_to_lab",
    "rgb_to_ycbcr",
    "srgb_to_linear",
    "unpack_lab",
    "ycbcr_to_rgb",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "chroma": "SITINGS Siting guided_upsample resize_chroma",
        "look": "HueGain Lut",
        "matrices": "H273_MATRICES MATRICES Matrix code_range convert_chroma decode_plane encode_plane "
        "fit_gamut gray_to_lightness guess_matrix h273_code h273_matrix lab_to_rgb "
        "lightness_to_gray linear_to_srgb pack_lab rgb_to_lab rgb_to_ycbcr srgb_to_linear "
        "unpack_lab ycbcr_to_rgb",
        "samples": "Samples decode_luma decode_rgb",
    },
)
