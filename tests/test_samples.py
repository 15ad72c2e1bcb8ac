"""New chroma goes no further than luma can show, in every format; luma and chroma that were there stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vs_remaster.color.matrices import MATRICES, encode_plane, fit_gamut
from vs_remaster.color.samples import Samples, decode_chroma, decode_rgb, encode, plane_sizes

BLUE = torch.tensor([0.4, -0.05])[:, None, None]


def steps(height: int = 32, width: int = 64) -> torch.Tensor:
    """Luma `[1, H, W]` in wide steps, from below black to above white."""
    values = torch.linspace(-0.06, 1.06, 8).repeat_interleave(width // 8)
    return values.expand(1, height, width).clone()


def gray_planes(samples: Samples, luma: torch.Tensor) -> list[np.ndarray]:
    if samples.floats:
        return [luma[0].numpy().astype(samples.dtype)]
    return [encode_plane(luma, samples.bits, samples.full_range)[0].numpy().astype(samples.dtype)]


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("bits", [8, 10, 16, 32])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("subsampling", [(0, 0), (1, 0), (1, 1)])
def test_new_colours_exist_in_rgb_and_luma_is_bit_exact(matrix, bits, full_range, subsampling):
    how = {"bits": bits, "full_range": full_range, "floats": bits == 32}
    source = Samples("gray", matrix=matrix, **how)
    out = Samples("yuv", matrix=matrix, subsampling=subsampling, siting="center", **how)
    planes = gray_planes(source, steps())
    made = encode(None, BLUE.expand(2, 32, 64), planes, source, out, colored=True)
    assert np.array_equal(made[0], planes[0])
    neutral = 0 if bits == 32 else 1 << bits - 1
    edge = 8 >> subsampling[0]  # the first and the last step: darker than black, brighter than white
    for plane in made[1:]:
        assert (plane[:, : edge - 1] == neutral).all() and (plane[:, 1 - edge :] == neutral).all()
    whole = Samples("yuv", matrix=matrix, **how) if subsampling == (0, 0) else out
    rgb = decode_rgb(made, whole)
    step = 2.5 / 255 if bits == 8 else 0.01 if bits == 10 else 2e-4
    middle = rgb[..., [column for column in range(8, 56) if column % 8 in (3, 4)]]  # no chroma of two steps
    if matrix != "bt2020cl":
        assert middle.min() > -step and middle.max() < 1 + step
    assert (middle.amax((0, 1)) - middle.amin((0, 1)) > 0.02).any()  # it is still blue where it can be


def test_black_stays_black_to_the_code_value():
    source = Samples("gray", 8)
    black = [np.full((16, 16), 16, np.uint8)]
    for kind in ("yuv", "rgb"):
        out = Samples(kind, 8, full_range=kind == "rgb")
        made = encode(None, BLUE.expand(2, 16, 16), black, source, out, colored=True)
        assert decode_rgb(made, out).abs().max() == 0


def test_colours_that_exist_are_left_as_they_are():
    rng = torch.Generator().manual_seed(0)
    rgb = torch.rand(3, 32, 64, generator=rng)
    ycc = encode_ycc(rgb)
    source, out = Samples("gray", 16), Samples("yuv", 16)
    made = encode(None, ycc[1:], gray_planes(source, ycc[:1]), source, out, colored=True)
    expected = encode_plane(ycc[1:], 16, False, True).numpy().astype(np.uint16)
    assert np.abs(np.stack(made[1:]).astype(int) - expected).max() <= 2  # luma was rounded to 16 bits


def encode_ycc(rgb: torch.Tensor) -> torch.Tensor:
    from vs_remaster.color.matrices import rgb_to_ycbcr

    return rgb_to_ycbcr(rgb, "bt709")


def test_chroma_of_the_source_is_never_reduced():
    samples = Samples("yuv", 8, (1, 1))
    rng = np.random.default_rng(0)
    planes = [rng.integers(0, 256, size, dtype=np.uint8) for size in plane_sizes("yuv", 64, 32, (1, 1))]
    for chroma in (None, decode_chroma(planes, samples)):
        made = encode(None, chroma, planes, samples, samples, colored=False)
        assert all(np.array_equal(one, other) for one, other in zip(made, planes, strict=True))


def test_strips_make_no_difference():
    luma, chroma = torch.rand(2, 1, 700, 300), torch.rand(2, 2, 700, 300) - 0.5
    whole = fit_gamut(luma, chroma)
    for row in (0, 217, 218, 699):
        part = fit_gamut(luma[..., row : row + 1, :], chroma[..., row : row + 1, :])
        assert torch.equal(whole[..., row : row + 1, :], part)
