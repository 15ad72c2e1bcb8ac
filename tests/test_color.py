"""Colour conversions against published numbers, OpenCV, scikit-image and torch's own resizing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.color
import torch
import torch.nn.functional as F

from vs_remaster import color
from vs_remaster.errors import InputError, UnsupportedError

LINEAR = [matrix for matrix in color.MATRICES if matrix != "bt2020cl"]
PRIMARIES = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0], [0.5, 0.5, 0.5]]).float().T[:, None, :]


def random_rgb(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(
    ("matrix", "red_luma", "blue_luma"),
    [
        ("bt601", 0.299, 0.114),
        ("bt709", 0.2126, 0.0722),
        ("bt2020", 0.2627, 0.0593),
        ("fcc", 0.30, 0.11),
        ("smpte240m", 0.212, 0.087),
    ],
)
def test_primaries_have_the_luma_and_chroma_of_the_standard(matrix, red_luma, blue_luma):
    y, cb, cr = color.rgb_to_ycbcr(PRIMARIES, matrix)[:, 0]
    assert y.tolist() == pytest.approx([red_luma, 1 - red_luma - blue_luma, blue_luma, 1, 0, 0.5], abs=1e-6)
    assert cb[2].item() == pytest.approx(0.5, abs=1e-6)
    assert cr[0].item() == pytest.approx(0.5, abs=1e-6)
    assert cb[0].item() == pytest.approx(-red_luma / (2 * (1 - blue_luma)), abs=1e-6)
    assert cb[3:].abs().max() < 1e-7 and cr[3:].abs().max() < 1e-7


def test_ycgco_of_the_primaries_is_that_of_the_standard():
    y, cg, co = color.rgb_to_ycbcr(PRIMARIES, "ycgco")[:, 0]
    assert y.tolist() == [0.25, 0.5, 0.25, 1, 0, 0.5]
    assert cg.tolist() == [-0.25, 0.5, -0.25, 0, 0, 0]
    assert co.tolist() == [0.5, 0, -0.5, 0, 0, 0]


def test_chroma_of_constant_luminance_is_piecewise():
    blue_and_red = [[-0.9702, -0.5, 0, 0.5, 0.7908], [-0.8592, -0.5, 0, 0.5, 0.4968]]
    bt709 = (torch.tensor(blue_and_red).double() / torch.tensor([[1.8556], [1.5748]]).double())[:, None]
    cb, cr = color.convert_chroma(bt709, "bt709", "bt2020cl")[:, 0]
    assert cb.tolist() == pytest.approx([-0.5, -0.5 / 1.9404, 0, 0.5 / 1.5816, 0.5], abs=1e-7)
    assert cr.tolist() == pytest.approx([-0.5, -0.5 / 1.7184, 0, 0.5 / 0.9936, 0.5], abs=1e-7)


@pytest.mark.parametrize(
    ("primaries", "matrix", "tolerance"), [(1, "bt709", 1e-4), (9, "bt2020", 1e-4), (6, "smpte240m", 5e-4)]
)
def test_derived_weights_are_those_the_standards_round(primaries, matrix, tolerance):
    assert color.MATRICES[f"derived-{primaries}"] == pytest.approx(color.MATRICES[matrix], abs=tolerance)


def test_code_points_name_matrices():
    assert set(color.H273_MATRICES.values()) <= set(color.MATRICES)
    names = {code: color.h273_matrix(code) for code in range(18)}
    assert {code: name for code, name in names.items() if name} == color.H273_MATRICES
    assert color.H273_MATRICES[5] == color.H273_MATRICES[6] == "bt601"
    assert (color.h273_matrix(12, 9), color.h273_matrix(12, 3)) == ("derived-9", None)
    assert color.h273_matrix(9, 1) == "bt2020"
    # turned around, where two codes have a name the later one is written
    assert {name: code for code, name in color.H273_MATRICES.items()}["bt601"] == 6


@pytest.mark.parametrize(("height", "matrix"), [(480, "bt601"), (576, "bt601"), (577, "bt709"), (1080, "bt709")])
def test_matrix_is_guessed_from_the_height(height, matrix):
    assert color.guess_matrix(height) == matrix


def test_bt601_limited_codes_agree_with_opencv():
    rgb = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    theirs = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)[:64]
    y = color.rgb_to_ycbcr(torch.from_numpy(rgb).permute(2, 0, 1) / 255, "bt601")[0]
    ours = color.encode_plane(y, 8, full_range=False).numpy()
    assert np.abs(ours - theirs.astype(int)).max() <= 1
    assert (ours != theirs).mean() < 0.05


def test_bt601_full_range_agrees_with_opencv_ycrcb():
    rgb = random_rgb(3, 32, 48)
    y, cr, cb = cv2.split(cv2.cvtColor(rgb.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2YCrCb))
    theirs = np.stack((y, cb - 0.5, cr - 0.5))
    # OpenCV rounds its chroma factors to three digits (0.713, 0.564)
    assert np.abs(color.rgb_to_ycbcr(rgb, "bt601").numpy() - theirs).max() < 4e-4


@pytest.mark.parametrize("matrix", LINEAR)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_rgb_round_trip_inside_and_outside_of_the_range(matrix, dtype, tolerance):
    rgb = random_rgb(2, 4, 3, 5, 7, dtype=dtype) * 3 - 1
    back = color.ycbcr_to_rgb(color.rgb_to_ycbcr(rgb, matrix), matrix)
    assert back.dtype == dtype and back.shape == rgb.shape
    assert (back - rgb).abs().max() < tolerance


@pytest.mark.parametrize("matrix", LINEAR)
def test_fit_gamut_reaches_the_border_and_leaves_the_inside_alone(matrix):
    luma = random_rgb(2, 1, 40, 50, dtype=torch.float64)
    chroma = random_rgb(2, 2, 40, 50, seed=1, dtype=torch.float64) - 0.5
    fitted = color.fit_gamut(luma, chroma, matrix)
    before = color.ycbcr_to_rgb(torch.cat((luma, chroma), 1), matrix)
    after = color.ycbcr_to_rgb(torch.cat((luma, fitted), 1), matrix)
    assert after.min() > -1e-12 and after.max() < 1 + 1e-12
    inside = ((before >= 0) & (before <= 1)).all(1)
    assert 0.05 < inside.double().mean() < 0.95
    moved = ~inside[:, None].expand_as(chroma)
    assert torch.equal(fitted[~moved], chroma[~moved])
    # not a bit more than needed: every colour that was outside now touches a face of the cube
    gap = torch.minimum(after, 1 - after).amin(1)[~inside]
    assert gap.abs().max() < 1e-12
    # hue is kept: the two chroma vectors are parallel and point the same way
    cross = fitted[:, 0] * chroma[:, 1] - fitted[:, 1] * chroma[:, 0]
    assert cross.abs().max() < 1e-14
    assert ((fitted * chroma).sum(1) >= 0).all()
    assert (color.rgb_to_ycbcr(after, matrix)[:, :1] - luma).abs().max() < 1e-12


def test_fit_gamut_takes_out_of_range_luma_as_black_or_white():
    luma = torch.tensor([-0.3, 0.0, 1.0, 1.7]).view(1, 1, 4)
    chroma = torch.full((2, 1, 4), 0.2)
    assert torch.equal(color.fit_gamut(luma, chroma, "bt709"), torch.zeros(2, 1, 4))


def test_convert_chroma_keeps_colour_differences_and_luma():
    rgb = random_rgb(3, 9, 11, dtype=torch.float64)
    ycc = color.rgb_to_ycbcr(rgb, "bt709")
    moved = torch.cat((ycc[:1], color.convert_chroma(ycc[1:], "bt709", "bt601")))
    decoded = color.ycbcr_to_rgb(moved, "bt601")
    assert (decoded[0] - rgb[0]).abs().max() < 1e-14
    assert (decoded[2] - rgb[2]).abs().max() < 1e-14
    assert (color.rgb_to_ycbcr(decoded, "bt601")[0] - ycc[0]).abs().max() < 1e-14
    assert moved[1, 0, 0] / ycc[1, 0, 0] == pytest.approx(1.8556 / 1.772)
    assert moved[2, 0, 0] / ycc[2, 0, 0] == pytest.approx(1.5748 / 1.402)
    assert (color.convert_chroma(moved[1:], "bt601", "bt709") - ycc[1:]).abs().max() < 1e-15


@pytest.mark.parametrize("source", color.MATRICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 4e-7), (torch.float64, 1e-15)])
def test_chroma_survives_any_other_matrix(source, dtype, tolerance):
    chroma = random_rgb(3, 2, 9, 11, dtype=dtype) * 1.6 - 0.8
    direct = color.convert_chroma(chroma, source, "bt709")
    for target in color.MATRICES:
        there = color.convert_chroma(chroma, source, target)
        assert there.dtype == dtype and there.shape == chroma.shape
        assert (there is chroma) == (source == target)
        assert (color.convert_chroma(there, target, source) - chroma).abs().max() < tolerance
        # by any way the colour differences are the same
        assert (color.convert_chroma(there, target, "bt709") - direct).abs().max() < 2 * tolerance


@pytest.mark.parametrize("source", LINEAR)
def test_red_and_blue_stay_in_any_other_matrix(source):
    rgb = random_rgb(3, 9, 11, dtype=torch.float64)
    ycc = color.rgb_to_ycbcr(rgb, source)
    for target in LINEAR:
        moved = color.ycbcr_to_rgb(torch.cat((ycc[:1], color.convert_chroma(ycc[1:], source, target))), target)
        assert (moved - rgb)[[0, 2]].abs().max() < 1e-14
        assert (color.rgb_to_ycbcr(moved, target)[0] - ycc[0]).abs().max() < 1e-14


def zimg_rgb(planes: np.ndarray, form: str, **options: int) -> np.ndarray:
    """R'G'B' float `[3, H, W]` that zimg makes of Y', Cb, Cr `[3, H, W]`."""
    vs = pytest.importorskip("vapoursynth")

    def fill(n, f):
        filled = f.copy()
        for i, plane in enumerate(planes):
            np.copyto(np.asarray(filled[i]), plane)
        return filled

    height, width = planes.shape[1:]
    clip = vs.core.std.BlankClip(format=getattr(vs, form), width=width, height=height, length=1)
    clip = vs.core.std.ModifyFrame(clip, clip, fill).resize.Point(format=vs.RGBS, **options)
    with clip.get_frame(0) as frame:
        return np.stack([np.asarray(frame[i]) for i in range(3)])


def red_and_blue(matrix: str, chroma: torch.Tensor) -> np.ndarray:
    """R'-Y' and B'-Y' `[2, H, W]` of (Cb, Cr) by way of `convert_chroma` to BT.709."""
    cb, cr = color.convert_chroma(chroma, matrix, "bt709")
    return torch.stack((cr * 1.5748, cb * 1.8556)).numpy()


@pytest.mark.parametrize(
    ("code", "primaries"),
    [(code, 2) for code in color.H273_MATRICES if code != 10] + [(12, p) for p in (1, 4, 5, 6, 7, 8, 9, 11, 12, 22)],
)
def test_floats_agree_with_zimg(code, primaries):
    matrix = color.h273_matrix(code, primaries)
    ycc = random_rgb(3, 32, 48) - torch.tensor([0, 0.5, 0.5])[:, None, None]
    rgb = zimg_rgb(ycc.numpy(), "YUV444PS", matrix_in=code, primaries_in=primaries)
    # zimg takes the rounded weights of BT.709 for what follows from its primaries
    tolerance = 5e-5 if matrix == "derived-1" else 1e-5
    assert np.abs(rgb[[0, 2]] - ycc[0].numpy() - red_and_blue(matrix, ycc[1:])).max() < tolerance
    assert np.abs(rgb - color.ycbcr_to_rgb(ycc, matrix).numpy()).max() < tolerance


def test_constant_luminance_agrees_with_zimg():
    # what negative R' or B' become is another matter: both stay above 0
    ycc = random_rgb(3, 32, 48) * torch.tensor([0.3, 0.6, 0.6])[:, None, None]
    ycc += torch.tensor([0.7, -0.3, -0.3])[:, None, None]
    linear = zimg_rgb(ycc.numpy(), "YUV444PS", matrix_in=10, transfer_in=14, transfer=8).astype(np.float64)
    # the transfer function of BT.2020-2, table 4: zimg would encode for display
    alpha, beta = 1.09929682680944, 0.018053968510807
    rgb = np.where(linear < beta, 4.5 * linear, alpha * linear.clip(beta) ** 0.45 - (alpha - 1))
    error = np.abs(rgb[[0, 2]] - ycc[0].numpy() - red_and_blue("bt2020cl", ycc[1:]))
    # zimg computes the four divisors (1.58197), BT.2020 rounds them to what 10 bits hold (1.5816)
    assert error.max() < 2e-4


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("code", [code for code in color.H273_MATRICES if code != 10])
def test_code_values_agree_with_zimg(code, full_range):
    matrix = color.H273_MATRICES[code]
    codes = np.random.default_rng(code).integers(16, 236, (3, 32, 48), dtype=np.uint8)
    given = torch.from_numpy(codes)
    luma = color.decode_plane(given[:1], 8, full_range)
    chroma = color.decode_plane(given[1:], 8, full_range, chroma=True, matrix=matrix)
    assert torch.equal(color.encode_plane(chroma, 8, full_range, chroma=True, matrix=matrix).to(torch.uint8), given[1:])
    rgb = zimg_rgb(codes, "YUV444P8", matrix_in=code, range_in=int(full_range))
    assert np.abs(rgb - color.ycbcr_to_rgb(torch.cat((luma, chroma)), matrix).numpy()).max() < 1e-5


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("chroma", [False, True])
def test_every_code_value_survives(bits, full_range, chroma):
    codes = torch.arange(1 << bits, dtype=torch.int32)
    for given in (codes, codes.to(torch.float32), codes.to(torch.float64), codes.to(torch.uint16)):
        decoded = color.decode_plane(given, bits, full_range, chroma)
        assert decoded.dtype == (torch.float64 if given.dtype == torch.float64 else torch.float32)
        encoded = color.encode_plane(decoded, bits, full_range, chroma)
        assert encoded.dtype == torch.int32
        assert torch.equal(encoded, codes)


@pytest.mark.parametrize(
    ("bits", "full_range", "chroma", "codes", "values"),
    [
        (8, False, False, [16, 235, 0, 255], [0, 1, -16 / 219, 239 / 219]),
        (8, False, True, [16, 128, 240], [-0.5, 0, 0.5]),
        (8, True, False, [0, 255], [0, 1]),
        (8, True, True, [128, 255, 0], [0, 127 / 255, -128 / 255]),
        (10, False, False, [64, 940], [0, 1]),
        (10, False, True, [64, 512, 960], [-0.5, 0, 0.5]),
        (12, False, False, [256, 3760], [0, 1]),
        (16, False, False, [4096, 60160], [0, 1]),
        (16, True, True, [32768], [0]),
    ],
)
def test_code_values_of_the_standard(bits, full_range, chroma, codes, values):
    decoded = color.decode_plane(torch.tensor(codes), bits, full_range, chroma)
    assert decoded.tolist() == pytest.approx(values, abs=1e-7)


def test_encoding_rounds_half_to_even_and_clips():
    halves = torch.tensor([1 / 64, 3 / 64, -1 / 64, -3 / 64])  # 131.5, 138.5, 124.5, 117.5
    assert color.encode_plane(halves, 8, False, chroma=True).tolist() == [132, 138, 124, 118]
    wild = torch.tensor([-5.0, -0.01, 1.2, 7.0, float("inf"), -float("inf")])
    assert color.encode_plane(wild, 8, False).tolist() == [0, 14, 255, 255, 255, 0]
    assert color.encode_plane(torch.tensor([0.5, -0.6]), 8, True, chroma=True).tolist() == [255, 0]
    assert color.encode_plane(torch.tensor([1.0]).half(), 16, True).item() == 65535


def test_lab_of_known_colours():
    # L*a*b* of the sRGB primaries, D65: Lindbloom's calculator to two digits
    lab = color.rgb_to_lab(PRIMARIES)[:, 0].T
    expected = [
        [53.24, 80.09, 67.20],
        [87.73, -86.18, 83.18],
        [32.30, 79.19, -107.86],
        [100, 0, 0],
        [0, 0, 0],
        [53.39, 0, 0],
    ]
    assert np.abs(lab.numpy() - np.array(expected)).max() < 0.02


def test_lab_agrees_with_scikit_image_and_opencv():
    rgb = random_rgb(3, 60, 70)
    picture = rgb.permute(1, 2, 0).numpy()
    ours = color.rgb_to_lab(rgb).permute(1, 2, 0).numpy()
    assert np.abs(ours - skimage.color.rgb2lab(picture)).max() < 0.02
    linear = color.srgb_to_linear(rgb).permute(1, 2, 0).numpy().copy()
    assert np.abs(ours - cv2.cvtColor(linear, cv2.COLOR_LRGB2Lab)).max() < 0.05
    lab = torch.from_numpy(skimage.color.rgb2lab(picture.astype(np.float64))).permute(2, 0, 1)
    assert (color.lab_to_rgb(lab) - rgb).abs().max() < 5e-4


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_lab_round_trip_inside_and_outside_of_the_range(dtype, tolerance):
    rgb = random_rgb(2, 3, 30, 30, dtype=dtype) * 1.6 - 0.3
    back = color.lab_to_rgb(color.rgb_to_lab(rgb))
    assert back.dtype == dtype
    assert (back - rgb).abs().max() < tolerance


def test_lab_has_finite_gradients_at_black_and_below():
    rgb = torch.tensor([0.0, -0.1, 1.2]).view(3, 1, 1).requires_grad_()
    color.lab_to_rgb(color.rgb_to_lab(rgb)).sum().backward()
    assert rgb.grad.flatten().tolist() == pytest.approx([1, 1, 1], abs=1e-3)


def test_packed_lab_is_the_papers_scaling():
    lab = torch.tensor([50.0, -128.0, 127.0]).view(3, 1, 1)
    packed = color.pack_lab(lab)
    assert packed.flatten().tolist() == pytest.approx([0.5, 0.0, 1.0])
    assert color.unpack_lab(packed).flatten().tolist() == pytest.approx([50.0, -128.0, 127.0])


def test_gray_is_not_lightness():
    gray = torch.linspace(0, 1, 256, dtype=torch.float64)
    lightness = color.gray_to_lightness(gray)
    theirs = skimage.color.rgb2lab(gray.numpy()[:, None, None].repeat(3, 2))[:, 0, 0]
    assert np.abs(lightness.numpy() - theirs).max() < 1e-3
    assert lightness[128].item() == pytest.approx(53.585, abs=1e-3)
    assert torch.equal(lightness, lightness.sort().values)
    assert (color.lightness_to_gray(lightness) - gray).abs().max() < 1e-12
    neutral = color.rgb_to_lab(gray[None, None].expand(3, 1, 256))
    assert (neutral[0, 0] - lightness).abs().max() < 1e-12
    assert neutral[1:].abs().max() < 1e-12


@pytest.mark.parametrize("size", [(40, 60), (29, 37), (10, 13), (81, 120), (40, 25), (95, 60)])
def test_resize_without_siting_is_torchs_antialiased_bilinear(size):
    chroma = random_rgb(2, 2, 40, 60, dtype=torch.float64)
    theirs = F.interpolate(chroma, size=size, mode="bilinear", antialias=True)
    assert (color.resize_chroma(chroma, size) - theirs).abs().max() < 1e-12


def ramp(height: int, width: int, log2: tuple[int, int], place: tuple[float, float]) -> torch.Tensor:
    """Cb = horizontal, Cr = vertical luma position of each chroma sample."""
    x = torch.arange(width, dtype=torch.float64) * (1 << log2[0]) + place[0]
    y = torch.arange(height, dtype=torch.float64) * (1 << log2[1]) + place[1]
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)))


@pytest.mark.parametrize(
    ("siting", "log2", "place"),
    [
        ("left", (1, 1), (0, 0.5)),
        ("center", (1, 1), (0.5, 0.5)),
        ("topleft", (1, 1), (0, 0)),
        ("top", (1, 1), (0.5, 0)),
        ("bottomleft", (1, 1), (0, 1)),
        ("bottom", (1, 1), (0.5, 1)),
        ("left", (1, 0), (0, 0)),
        ("left", (2, 0), (0, 0)),
        ("center", (2, 0), (1.5, 0)),
    ],
)
@pytest.mark.parametrize("luma", [(48, 64), (47, 63)])
def test_samples_land_where_their_siting_says(siting, log2, place, luma):
    height, width = (-(-n >> s) for n, s in zip(luma, (log2[1], log2[0]), strict=True))
    small, full = ramp(height, width, log2, place), ramp(*luma, (0, 0), (0, 0))
    inner = (slice(None), slice(4, -4), slice(4, -4))
    shrunk = color.resize_chroma(full, (height, width), siting, subsampling=log2)
    assert (shrunk - small)[inner].abs().max() < 1e-9
    grown = color.resize_chroma(small, luma, source_siting=siting, source_subsampling=log2)
    assert (grown - full)[inner].abs().max() < 1e-9
    # planes of equal size but other siting move by the difference only
    moved = color.resize_chroma(
        small, (height, width), "center", subsampling=log2, source_siting=siting, source_subsampling=log2
    )
    centre = ramp(height, width, log2, tuple(((1 << s) - 1) / 2 for s in log2))
    assert (moved - centre)[inner].abs().max() < 1e-9


def test_resize_is_convex_and_identity_costs_nothing():
    chroma = random_rgb(1, 2, 30, 30)
    assert color.resize_chroma(chroma, (30, 30)) is chroma
    assert color.resize_chroma(torch.full((2, 5, 7), 0.25), (3, 19), subsampling=(1, 1)).sub(0.25).abs().max() < 1e-7
    assert color.resize_chroma(chroma, (1, 1)).shape == (1, 2, 1, 1)
    assert color.resize_chroma(chroma[..., :1, :1], (4, 4)).flatten(2).std(2).max() == 0


def test_guided_upsample_follows_the_luma_edge():
    # an edge that lies inside of a low-resolution sample: x < 30 is dark and blue, the rest bright and red
    full = torch.zeros(1, 3, 48, 64)
    full[:, 0], full[:, 1], full[:, 2] = 0.2, 0.3, -0.1
    full[:, 0, :, 30:], full[:, 1, :, 30:], full[:, 2, :, 30:] = 0.8, -0.2, 0.3
    low = F.interpolate(full, size=(12, 16), mode="area")
    guided = color.guided_upsample(low[:, 1:], low[:, :1], full[:, :1])
    plain = F.interpolate(low[:, 1:], size=(48, 64), mode="bilinear")
    wrong_guided, wrong_plain = ((x - full[:, 1:]).abs().max(1).values > 0.1 for x in (guided, plain))
    assert wrong_plain.float().mean() > 0.04
    assert wrong_guided.float().mean() < 0.6 * wrong_plain.float().mean()
    assert (guided - full[:, 1:]).square().mean() < 0.5 * (plain - full[:, 1:]).square().mean()


def test_guided_upsample_without_guide_is_bilinear_and_never_leaves_its_neighbours():
    chroma = random_rgb(2, 2, 9, 12) - 0.5
    low, full = random_rgb(2, 1, 9, 12, seed=1), random_rgb(2, 1, 31, 47, seed=2)
    plain = color.guided_upsample(chroma, low, full, sigma=1e4)
    assert (plain - F.interpolate(chroma, size=(31, 47), mode="bilinear")).abs().max() < 1e-6
    guided = color.guided_upsample(chroma, low, full, sigma=0.02)
    assert (guided - plain).abs().max() > 0.1
    window = F.pad(chroma, (1, 1, 1, 1), mode="replicate")
    highest = F.interpolate(F.max_pool2d(window, 3, 1), size=(31, 47), mode="nearest-exact")
    lowest = -F.interpolate(F.max_pool2d(-window, 3, 1), size=(31, 47), mode="nearest-exact")
    assert (guided <= highest + 1e-6).all() and (guided >= lowest - 1e-6).all()
    # far from every neighbour's luma the floor takes over
    assert torch.isfinite(color.guided_upsample(chroma, low, full + 100, sigma=0.01)).all()


def test_guided_upsample_works_frame_by_frame_and_whatever_the_strips():
    chroma, low, full = random_rgb(3, 2, 20, 30), random_rgb(3, 1, 20, 30, seed=1), random_rgb(3, 1, 90, 2000, seed=2)
    together = color.guided_upsample(chroma, low, full)
    alone = torch.cat([color.guided_upsample(chroma[t : t + 1], low[t : t + 1], full[t : t + 1]) for t in range(3)])
    assert torch.equal(together, alone)
    # 33-row strips here; a plain formula on the whole frame there
    y = ((torch.arange(90).double() + 0.5) * 20 / 90 - 0.5).clamp(0, 19)
    x = ((torch.arange(2000).double() + 0.5) * 30 / 2000 - 0.5).clamp(0, 29)
    total = mixed = 0.0
    for dy in (0, 1):
        for dx in (0, 1):
            rows, columns = (y.long() + dy).clamp_max(19), (x.long() + dx).clamp_max(29)
            bilinear = (1 - (y - y.long() - dy).abs())[:, None] * (1 - (x - x.long() - dx).abs())
            near = torch.cat((low, chroma), 1)[:, :, rows][..., columns].double()
            weight = bilinear * (torch.exp(-((near[:, :1] - full) ** 2) / (2 * 0.12**2)) + 1e-3)
            total, mixed = total + weight, mixed + weight * near[:, 1:]
    assert (together - mixed / total).abs().max() < 1e-5


def test_mistakes_are_named():
    picture = torch.zeros(3, 4, 4)
    with pytest.raises(UnsupportedError, match=r"'bt407'.*bt601, bt709, bt2020"):
        color.rgb_to_ycbcr(picture, "bt407")
    for call in (color.rgb_to_ycbcr, color.ycbcr_to_rgb):
        with pytest.raises(UnsupportedError, match="'bt2020cl' has constant luminance"):
            call(picture, "bt2020cl")
    with pytest.raises(UnsupportedError, match="'bt2020cl' has constant luminance"):
        color.fit_gamut(picture[:1], picture[1:], "bt2020cl")
    for matrices in (("bt407", "bt407"), ("bt2020cl", "derived-3")):
        with pytest.raises(UnsupportedError, match="unknown matrix"):
            color.convert_chroma(picture[1:], *matrices)
    with pytest.raises(InputError, match=r"\[\.\.\., 2, H, W\]"):
        color.convert_chroma(picture, "bt709", "bt709")
    with pytest.raises(InputError, match=r"\[\.\.\., 3, H, W\], got \(4, 4\)"):
        color.rgb_to_lab(picture[0])
    with pytest.raises(InputError, match="uint8"):
        color.rgb_to_ycbcr(picture.to(torch.uint8))
    with pytest.raises(UnsupportedError, match="bit depth 32"):
        color.decode_plane(picture, 32, True)
    with pytest.raises(UnsupportedError, match="'middle'"):
        color.resize_chroma(picture, (2, 2), "middle")
    with pytest.raises(InputError, match="do not fit"):
        color.guided_upsample(picture[None, :2], picture[None, :1], picture[None, :3])
