"""What only flies through the picture is not taken for damage."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vs_remaster.models.layers import Halo
from vs_remaster.remaster.movement import give_back, moving

HEIGHT, WIDTH = 120, 160
WALL = cv2.GaussianBlur(np.random.default_rng(3).random((HEIGHT, WIDTH), np.float32), (0, 0), 1.2) * 0.5 + 0.2
PATH = {-2: (40, 40), -1: (46, 60), 0: (54, 80), 1: (64, 99), 2: (76, 117)}  # a throw: lines and columns of the ball


def with_ball(*places: tuple[int, int], radius: int = 7, shade: float = 0.95) -> np.ndarray:
    picture = WALL.copy()
    for y, x in places:
        cv2.circle(picture, (x, y), radius, shade, -1, cv2.LINE_AA)
    return picture


def mask_of(*places: tuple[int, int], radius: int = 7) -> np.ndarray:
    mask = np.zeros_like(WALL)
    for y, x in places:
        cv2.circle(mask, (x, y), radius, 1.0, -1)
    return mask


def thrown(**how) -> dict[int, np.ndarray]:
    return {k: with_ball(place, **how) for k, place in PATH.items()}


@pytest.mark.parametrize("missing", [(), (-1, -2), (1, 2), (-2, 2)], ids=["all", "begins", "ends", "beside"])
def test_a_ball_comes_back(missing):
    frames = {k: frame for k, frame in thrown().items() if k not in missing}
    found = moving(frames.get, mask_of(PATH[0]), WALL)
    assert found is not None and found[mask_of(PATH[0]) > 0].min() > 0.9
    assert found[~(mask_of(PATH[0], radius=20) > 0)].max() == 0, "nothing far from it does"


def test_a_dark_ball_under_flicker_and_grain_comes_back():
    noise = np.random.default_rng(5)
    frames = {
        k: ((0.8 if k % 2 else 1.0) * frame + noise.normal(0, 0.02, frame.shape)).astype(np.float32)
        for k, frame in thrown(shade=0.02).items()
    }
    assert moving(frames.get, mask_of(PATH[0]), WALL) is not None


@pytest.mark.parametrize(
    "others",
    [
        dict.fromkeys((-2, -1, 1, 2), WALL),
        {k: with_ball(PATH[0]) for k in (-2, -1, 1, 2)},
        {k: with_ball((90, 30)) if k == 1 else WALL for k in (-2, -1, 1, 2)},
        {-2: WALL, -1: with_ball((100, 40)), 1: with_ball((100, 130)), 2: WALL},
        {k: np.full_like(WALL, 0.95) for k in (-2, -1, 1, 2)},
        {1: with_ball(PATH[1])},
        {},
    ],
    ids=["one frame", "stays", "two frames", "no path", "as bright elsewhere", "end of a scene", "alone"],
)
def test_dirt_does_not(others):
    frames = {0: with_ball(PATH[0])} | others
    assert moving(frames.get, mask_of(PATH[0]), WALL) is None


def test_a_wall_as_bright_as_a_blotch_is_not_its_path():
    bright = np.where(np.arange(WIDTH) < 60, np.float32(0.95), WALL).astype(np.float32)
    here = np.where(mask_of(PATH[0]) > 0, np.float32(0.95), bright).astype(np.float32)
    assert moving(lambda later: bright if later else here, mask_of(PATH[0]), bright) is None


def test_dirt_beside_a_ball_goes():
    frames = thrown()
    frames[0] = with_ball(PATH[0], (100, 30))
    found = moving(frames.get, mask_of(PATH[0], (100, 30)), WALL)
    assert found is not None and found[54, 80] == 1 and found[100, 30] == 0


def clip(frames: dict[int, np.ndarray], scale: int) -> Tensor:
    picture = torch.stack([torch.from_numpy(frames[k]) for k in sorted(frames)])[:, None]
    return torch.nn.functional.interpolate(picture, scale_factor=scale, mode="nearest")[..., : scale * HEIGHT - 1, :]


@pytest.mark.parametrize("scale", [1, 4])
def test_frames_get_back_what_was_taken(scale):
    luma = clip(thrown(), scale)
    mask = clip({0: mask_of(PATH[0])}, scale)
    restored, toned = clip({0: WALL}, scale), 0.9 * luma[2:3]
    made, left = give_back(luma, Halo(2, 2), restored, mask, toned)
    ball = mask > 0
    assert (made - toned)[ball].abs().max() < 0.02 and left[ball].max() < 0.05
    far = ~(clip({0: mask_of(PATH[0], radius=20)}, scale) > 0)
    assert torch.equal(made[far], restored[far]) and torch.equal(left[far], mask[far])
    assert float(mask.max()) == 1 and torch.equal(restored, clip({0: WALL}, scale)), "what was given stays as it was"


def test_small_dirt_costs_nothing():
    luma, mask = clip(thrown(), 1), clip({0: mask_of(PATH[0], radius=1)}, 1)
    restored = clip({0: WALL}, 1)
    made, left = give_back(luma, Halo(2, 2), restored, mask, restored)
    assert made is restored and left is mask
    tiny = torch.zeros(5, 1, 4, 3)
    assert give_back(tiny, Halo(2, 2), tiny[:1], tiny[:1] + 1, tiny[:1])[0].shape == (1, 1, 4, 3)
