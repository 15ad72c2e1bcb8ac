"""The metrics on cases whose value is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from export import metrics
from export.baselines import propagate_chroma, temporal_median
from export.flow import DenseFlow, compose, trusted, warp
from vs_remaster.errors import InputError


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.rand(4, 3, 24, 32, generator=torch.Generator().manual_seed(0))


def texture(height: int, width: int, shift: float = 0.0) -> np.ndarray:
    """A smooth picture without repetition that optical flow can follow, 0..1, moved right by `shift` pixels."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x = x - shift
    waves = np.sin(x / 5 + y / 9) + np.sin(x / 7.3 - y / 4.1 + 1) + np.sin((x + 2 * y) / 11) + np.sin(x * x / 900)
    return ((waves + 4) / 8).astype(np.float32)


def moving_clip(frames: int, speed: float) -> torch.Tensor:
    return torch.from_numpy(np.stack([texture(96, 128, speed * t) for t in range(frames)]))[:, None]


def test_psnr_of_a_known_error(noise: torch.Tensor) -> None:
    assert metrics.psnr(noise, noise + 0.1) == pytest.approx(20.0, abs=1e-4)
    assert metrics.psnr(noise, noise) == metrics.BEST
    other = noise.flip(0)
    assert metrics.psnr(noise, other) == pytest.approx(
        peak_signal_noise_ratio(noise.numpy(), other.numpy(), data_range=1), abs=1e-4
    )
    with pytest.raises(InputError, match="differ in shape"):
        metrics.psnr(noise, noise[:1])


def test_frame_psnr_is_one_value_a_frame(noise: torch.Tensor) -> None:
    errors = torch.tensor([0.1, 0.01, 0.001, 0.0])[:, None, None, None]
    values = metrics.frame_psnr(noise.double() + errors, noise.double())
    assert values == pytest.approx([20, 40, 60, metrics.BEST], abs=1e-6)


def test_lightness_is_not_the_gray_value() -> None:
    # Y' = 0.5 is L* 53.39, Y' = 0.25 is L* 26.98 (sRGB)
    one, other = torch.full((1, 1, 4, 4), 0.5), torch.full((1, 1, 4, 4), 0.25)
    assert metrics.psnr_lightness(one, other) == pytest.approx(-20 * math.log10(0.5339 - 0.2698), abs=0.01)


def test_lab_channels_are_scaled_as_in_the_papers() -> None:
    red = torch.tensor([1.0, 0, 0])[:, None, None].expand(1, 3, 4, 4)  # Lab 53.24, 80.09, 67.20
    gray = torch.full_like(red, 0.49868)  # about the same L*
    packed = metrics.packed_lab(red)[0, :, 0, 0]
    assert packed.tolist() == pytest.approx([0.5324, (80.09 + 128) / 255, (67.20 + 128) / 255], abs=1e-3)
    mean_square = ((80.09 / 255) ** 2 + (67.20 / 255) ** 2) / 2
    assert metrics.psnr_ab(red, gray) == pytest.approx(-10 * math.log10(mean_square), abs=0.01)
    assert metrics.psnr_lab(red, gray) == pytest.approx(-10 * math.log10(mean_square * 2 / 3), abs=0.01)


def test_one_gain_and_offset_a_clip_is_forgiven(noise: torch.Tensor) -> None:
    faded = noise * 0.7 + 0.2
    assert metrics.psnr(faded, noise) < 25
    assert metrics.psnr(metrics.fit_gain_and_offset(faded, noise), noise) > 90
    flicker = faded + torch.tensor([0.05, -0.05, 0.05, -0.05])[:, None, None, None]  # no single gain undoes this
    assert metrics.psnr(metrics.fit_gain_and_offset(flicker, noise), noise) < 30
    flat = torch.zeros_like(noise)
    assert metrics.fit_gain_and_offset(flat, noise).unique().item() == pytest.approx(float(noise.mean()), abs=1e-5)


def test_ssim(noise: torch.Tensor) -> None:
    assert metrics.ssim(noise, noise) == pytest.approx(1.0)
    # of two constant pictures only the luminance term is left
    a, b = torch.full((2, 1, 16, 16), 0.4), torch.full((2, 1, 16, 16), 0.6)
    assert metrics.ssim(a, b) == pytest.approx((2 * 0.24 + 1e-4) / (0.16 + 0.36 + 1e-4), abs=1e-4)
    assert metrics.ssim(noise, noise.flip(-1)) < 0.2


def test_temporal_difference_error_sees_flicker_and_not_a_constant_error(noise: torch.Tensor) -> None:
    assert metrics.temporal_difference_error(noise + 0.1, noise) == pytest.approx(0.0, abs=1e-6)
    flicker = torch.tensor([0.1, 0.0, 0.1, 0.0])[:, None, None, None]
    assert metrics.temporal_difference_error(noise + flicker, noise) == pytest.approx(0.1, abs=1e-6)
    assert metrics.temporal_difference_error(noise[:1], noise[:1]) == 0.0


def test_flow_finds_a_known_shift_and_warp_undoes_it() -> None:
    first, second = (np.rint(texture(96, 128, s) * 255).astype(np.uint8) for s in (0, 3))
    forward, backward = DenseFlow()(first, second), DenseFlow()(second, first)
    inner = np.s_[16:-16, 16:-16]
    assert np.median(forward[inner][..., 0]) == pytest.approx(3, abs=0.1)
    assert np.median(forward[inner][..., 1]) == pytest.approx(0, abs=0.1)
    assert np.abs(warp(second.astype(np.float32), forward) - first)[inner].mean() < 2
    assert trusted(forward, backward)[inner].mean() > 0.95
    assert not trusted(forward, backward)[:, -2:].any()  # left the picture
    assert not trusted(forward, backward + 5)[inner].any()  # does not return
    there_and_back = compose(forward, backward)
    assert np.abs(there_and_back[inner]).mean() < 0.15


def test_warp_error_of_motion_flicker_and_blur() -> None:
    clean = moving_clip(4, 2.0)
    error = metrics.WarpError.of(clean)
    own = error(clean)
    assert 0 <= own < 1e-4
    flicker = torch.tensor([0.1, 0.0, 0.1, 0.0])[:, None, None, None]
    assert error(clean + flicker) == pytest.approx(0.01, rel=0.1)
    assert error(torch.cat([clean + flicker] * 3, dim=1)) == pytest.approx(0.03, rel=0.1)  # summed over channels
    assert error(torch.full_like(clean, 0.5)) == 0.0  # no picture at all wins: read it beside the clean value
    assert error(clean[[0, 0, 0, 0]]) > 20 * own  # a still does not follow the motion
    with pytest.raises(InputError, match="same frames"):
        error(clean[:3])


def test_color_distribution_consistency() -> None:
    still = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)).expand(6, 3, 16, 16)
    assert metrics.color_distribution_consistency(still) == pytest.approx(0.0, abs=1e-9)
    # black and white in turn: nothing in common at odd gaps, the same at even ones; the largest divergence is ln 2
    blink = torch.tensor([0.0, 1, 0, 1, 0, 1])[:, None, None, None].expand(6, 3, 8, 8)
    assert metrics.color_distribution_consistency(blink) == pytest.approx(math.log(2) / 3, abs=1e-6)
    assert metrics.color_distribution_consistency(blink, gaps=(1,)) == pytest.approx(math.log(2), abs=1e-6)
    assert metrics.color_distribution_consistency(blink[:1]) == 0.0


def test_temporal_median_removes_what_lasts_one_frame() -> None:
    clip = torch.full((5, 1, 8, 8), 0.5)
    clip[2, 0, 3, 3] = 1.0
    assert torch.equal(temporal_median(clip), torch.full((5, 1, 8, 8), 0.5))
    ramp = torch.arange(5.0)[:, None, None, None].expand(5, 1, 2, 2)
    assert torch.equal(temporal_median(ramp), ramp)


@pytest.mark.parametrize("composed", [False, True])
def test_flow_carries_the_first_frames_colour_along(composed: bool) -> None:
    luma = moving_clip(5, 2.0)
    left = (torch.arange(128) < 64).float().expand(96, 128)
    chroma = torch.stack([0.3 * left - 0.1, 0.1 - 0.2 * left])
    carried = propagate_chroma(luma, chroma, composed)
    assert torch.equal(carried[0], chroma)
    edge = (carried[4, 0, 48] > 0.05).float().sum()  # the border between the colours has moved with the picture
    assert float(edge) == pytest.approx(64 + 8, abs=1.5)
