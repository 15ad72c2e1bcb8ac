"""Weave is taken out; what the camera does stays."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from export.damage.chance import Draw
from export.damage.wear import film_grain, weave
from vs_remaster.errors import InputError
from vs_remaster.models.layers import Halo
from vs_remaster.remaster.shifts import NO_SHIFT, Shift, look, shift_between
from vs_remaster.remaster.steadiness import Steadier, Woven, margin
from vs_remaster.remaster.weave import LIMIT, REACH, weave_at, weaves
from vs_remaster.remaster.window import Window

SIZE = (144, 192)
STILL = np.zeros((2, 50))


def canvas(size: tuple[int, int], seed: int = 4) -> torch.Tensor:
    """A textured picture `[1, 1, H, W]`."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        F.interpolate(torch.rand(1, 1, *(side // scale for side in size), generator=generator), size, mode="bicubic")
        for scale in (4, 9, 30)
    ]
    return (sum(layers) / 3).clamp(0, 1)


def shot(path: np.ndarray, seed: int = 4, size: tuple[int, int] = SIZE) -> torch.Tensor:
    """Frames `[T, 1, H, W]` of a picture that lies `path` `[2, T]` pixels down and across."""
    room = 16 + 8 * math.ceil(np.abs(path).max() / 8)
    picture = canvas((size[0] + 2 * room, size[1] + 2 * room), seed)
    frames = weave(picture.repeat(path.shape[1], 1, 1, 1)[None].clone(), path)[0]
    return frames[..., room:-room, room:-room].contiguous()


def drawn(frames: int, deviation: float, memory: float = 0.4, seed: int = 1) -> np.ndarray:
    """Weave `[2, T]`."""
    draw = Draw(seed)
    return np.stack([draw.wander(frames, deviation, memory) for _ in range(2)])


def worn(frames: torch.Tensor) -> torch.Tensor:
    """With grain and flicker."""
    count = len(frames)
    gain = torch.from_numpy(1 + 0.1 * Draw(2).standard_normal(count)).float()[:, None, None, None]
    grain = torch.Generator().manual_seed(3)
    return film_grain(frames * gain, np.full(count, 0.9), np.full(count, 0.04), grain).clamp(0, 1)


def steadied(frames: torch.Tensor, steadier: Steadier, cuts=(), first: int = 0):
    """Frames `[T, 1, H, W]` and what was taken out of them `[2, T]`."""
    made = steadier.steady([(frame,) for frame in frames], cuts, first)
    return torch.stack([frame.planes[0] for frame in made]), np.array([frame.weave for frame in made]).T


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.square(x - x.mean(-1, keepdims=True)).mean()))


def of_path(path: np.ndarray) -> list[Shift]:
    """The shifts of a path `[2, T]`, exactly."""
    return [Shift(*x) for x in np.diff(path, prepend=path[:, :1]).T.tolist()]


@pytest.mark.parametrize("way", [(0.0, 0.0), (0.3, -0.45), (-1.62, 2.2), (7.4, -11.3)])
def test_a_shift_is_measured_to_hundredths_of_a_pixel(way):
    path = np.array([[0, way[0]], [0, way[1]]])
    before, after = map(look, shot(path))
    assert np.allclose(shift_between(before, after), way, atol=0.03)


def test_grain_and_flicker_are_no_motion():
    path = drawn(8, 1.0)
    looks = [look(frame) for frame in worn(shot(path))]
    found = np.array([shift_between(a, b) for a, b in pairwise(looks)]).T
    assert rms(found - np.diff(path)) < 0.06


def test_a_large_picture_is_measured_as_well():
    path = np.array([[0, 1.3], [0, -2.6]])
    before, after = map(look, shot(path, size=(600, 640)))
    assert before.factor == 3
    assert np.allclose(shift_between(before, after), path[:, 1], atol=0.06)


def test_a_picture_that_repeats_itself_does_not_move_by_a_whole_mesh():
    """A grid of 11 pixels, on which something large passes."""
    frames = torch.empty(8, 1, *SIZE)
    path = drawn(8, 1.0)
    line = torch.arange(SIZE[0])[:, None] * torch.ones(SIZE[1]), torch.arange(SIZE[1]) * torch.ones(SIZE[0], 1)
    for time, (down, across) in enumerate(path.T):
        mesh = sum(
            torch.exp(4 * (torch.cos(2 * math.pi * (at - way) / 11) - 1)) for at, way in zip(line, (down, across))
        )
        frames[time, 0] = 0.1 + 0.35 * mesh
        frames[time, 0, 40:100, 10 + 3 * time : 70 + 3 * time] = canvas((60, 60), seed=5)[0, 0]
    looks = [look(frame) for frame in worn(frames)]
    found = np.array([shift_between(a, b) for a, b in pairwise(looks)]).T
    assert np.abs(found - np.diff(path)).max() < 0.3


def test_strong_contrast_is_no_majority():
    """People in sharp black and white before a soft picture."""
    frames = 0.2 + 0.6 * shot(STILL[:, :6])
    walker = canvas((110, 60), seed=9)[0].round()
    for time, frame in enumerate(frames):
        frame[:, 30:140, 40 + 2 * time : 100 + 2 * time] = walker
    looks = [look(frame) for frame in frames]
    found = np.array([shift_between(a, b) for a, b in pairwise(looks)])
    assert np.abs(found).max() < 0.05


def test_who_walks_through_the_shot_does_not_move_it():
    frames = shot(STILL[:, :6])
    walker = canvas((110, 60), seed=9)[0]
    for time, frame in enumerate(frames):
        left = 10 + 5 * time
        frame[:, 30:140, left : left + 60] = walker
    looks = [look(frame) for frame in frames]
    found = np.array([shift_between(a, b) for a, b in pairwise(looks)])
    assert np.abs(found).max() < 0.05


def test_weave_goes_where_the_camera_stands():
    path = drawn(50, 0.8)
    made, taken = steadied(worn(shot(path)), Steadier())
    assert rms(path - taken) < 0.15 < rms(path)
    assert rms(np.diff(path - taken)) < 0.08
    assert taken.shape == (2, 50) and made.shape == (50, 1, *SIZE)


def test_a_pan_stays_and_its_weave_goes():
    pan = np.array([[1.5], [-2.5]]) * np.arange(120)
    path = drawn(120, 0.6, memory=0.0)
    alone, both = (
        np.array([weave_at(of_path(way), at, (400, 528)) for at in range(120)]).T for way in (pan, pan + path)
    )
    assert np.abs(np.diff(alone)).max() < 0.01
    assert np.abs(np.diff(both - path).mean(1)).max() < 0.01
    assert rms(np.diff(both - path)) < 0.1 < rms(np.diff(path))


@pytest.mark.parametrize("frames", [24, 60])
def test_the_slow_swing_of_a_hand_stays(frames):
    """A swing of 6 pixels each way, that long."""
    time = 2 * np.pi * np.arange(100) / frames
    path = 6 * np.stack([np.sin(time), np.cos(time)])
    taken = np.array([weave_at(of_path(path), at, (400, 528)) for at in range(100)]).T
    assert np.abs(np.diff(taken)).max() < 0.1


def test_a_pan_that_begins_softly_stays():
    speed = 3 * np.clip((np.arange(120) - 40) / 24, 0, 1)
    path = np.stack([np.cumsum(speed), 0 * speed])
    taken = np.array([weave_at(of_path(path), at, (400, 528)) for at in range(120)]).T
    assert np.abs(np.diff(taken)).max() < 0.1


@pytest.mark.parametrize("deviation", [0.1, 0.5, 1.2])
def test_weave_of_up_to_three_pixels_goes_where_the_camera_stands(deviation):
    """Deviations of weave that reaches 0.3 to 3 pixels."""
    path = drawn(100, deviation).clip(-3, 3)
    taken = np.array(weaves(of_path(path), range(100), (400, 528))).T
    assert rms(path - taken) < 0.15
    assert rms(np.diff(path - taken)) < 0.03


@pytest.mark.parametrize("stop", [90, 200])
@pytest.mark.parametrize("speed", [0.5, 1.0, 3.0, 8.0])
def test_a_pan_that_begins_and_ends_at_once_stays(speed, stop):
    time = np.arange(140)
    way = speed * (np.minimum(time, stop) - 60).clip(0)
    taken = np.array(weaves(of_path(np.stack([way, -0.7 * way])), range(140), (400, 528))).T
    assert np.abs(np.diff(taken)).max() < 0.1


def test_the_weave_goes_where_a_pan_begins_at_once():
    path = drawn(140, 0.3)
    pan = 3.0 * (np.arange(140) - 60).clip(0)
    taken = np.array(weaves(of_path(path + pan), range(140), (400, 528))).T
    assert np.abs(np.diff(path - taken)).max() < 0.25 and rms(np.diff(path - taken)) < 0.06


def test_a_splice_stays():
    path = drawn(100, 0.3)
    path[:, 50:] += 4.0
    taken = np.array(weaves(of_path(path), range(100), (400, 528))).T
    path[:, 50:] -= 4.0
    assert np.abs(np.diff(path - taken)).max() < 0.25


@pytest.mark.parametrize("shown", ["in place of the next", "once more"])
def test_frames_shown_twice_are_no_weave(shown):
    time = np.arange(100)
    if shown == "once more":
        time = time * 4 // 5
    else:
        time[[30, 31, 70]] = [29, 29, 69]
    pan, path = 3.0 * time, drawn(100, 0.4)[:, time]
    alone, both = (
        np.array(weaves(of_path(way), range(100), (400, 528))).T
        for way in (np.stack([pan, -pan]), path + np.stack([pan, -pan]))
    )
    assert np.abs(np.diff(alone)).max() < 0.01
    assert rms(np.diff(path - both)) < 0.06
    again = np.flatnonzero(np.diff(time) == 0) + 1
    assert np.abs(both[:, again] - both[:, again - 1]).max() < 0.05


def test_frames_shown_twice_stay_alike_where_the_camera_stands():
    time = np.arange(120) * 4 // 5
    path = drawn(120, 0.8)[:, time]
    taken = np.array(weaves(of_path(path), range(120), (400, 528))).T
    again = np.flatnonzero(np.diff(time) == 0) + 1
    assert np.mean(np.abs(taken[:, again] - taken[:, again - 1]).max(0) < 0.02) > 0.8
    assert rms(path - taken) < 0.2 and rms(np.diff(path - taken)) < 0.05


def test_one_wrong_shift_moves_nothing_else():
    shifts = of_path(drawn(60, 0.5))
    wrong = [*shifts]
    wrong[30] = Shift(0.0, 70.0)
    right, found = (np.array([weave_at(some, at, (400, 528)) for at in range(60)]) for some in (shifts, wrong))
    assert np.abs(right - found).max() < 1.5


def test_no_more_than_the_limit():
    path = drawn(40, 40.0)
    taken = np.array([weave_at(of_path(path), at, (200, 300)) for at in range(40)])
    assert np.abs(taken).max() <= LIMIT * 200 <= margin(200, 300)


def test_nothing_looks_across_a_cut():
    first, second = (drawn(20, 0.8, seed=seed) for seed in (1, 2))
    frames = torch.cat([shot(first), shot(second, seed=8)])
    made, taken = steadied(frames, Steadier(), cuts=[20])
    for part, way in ((frames[:20], slice(0, 20)), (frames[20:], slice(20, 40))):
        alone, shifts = steadied(part, Steadier(), first=way.start)
        assert torch.equal(made[way], alone) and np.array_equal(taken[:, way], shifts)


def test_a_frame_is_the_same_in_any_block():
    frames = shot(drawn(24, 0.8))
    made, taken = steadied(frames, Steadier(block=16))
    for block in (1, 7):
        again, shifts = steadied(frames, Steadier(block=block))
        assert torch.equal(made, again) and np.array_equal(taken, shifts)


def test_a_frame_depends_on_its_surroundings_alone():
    shifts = of_path(drawn(2 * REACH + 30, 0.8))
    for at in (REACH, REACH + 12, REACH + 29):
        near = shifts[at - REACH : at + REACH + 1]
        assert weave_at(shifts, at, SIZE) == weave_at(near, REACH, SIZE)


def test_at_strength_0_frames_come_back_as_they_are():
    frames = shot(drawn(6, 1.0))
    steadier = Steadier(0)
    made, taken = steadied(frames, steadier)
    assert torch.equal(made, frames) and not taken.any()
    assert steadier.windows == [Window(before=0, after=0, block=16)] * 3


def test_frames_that_stand_come_back_as_they_are():
    frames = shot(STILL[:, :10])
    made, taken = steadied(frames, Steadier())
    assert torch.equal(made, frames) and not taken.any()


def test_half_of_the_strength_takes_half():
    frames = shot(drawn(12, 0.8))
    whole, half = (steadied(frames, Steadier(strength))[1] for strength in (1, 0.5))
    assert np.allclose(half, whole / 2, atol=1 / 64)


def test_the_picture_is_moved_to_its_place_and_not_softened():
    path = drawn(40, 0.5)
    frames = shot(path)
    made, _ = steadied(frames, Steadier())
    inner = (..., slice(8, -8), slice(8, -8))
    assert (made - made.mean(0))[inner].square().mean() < 0.1 * (frames - frames.mean(0))[inner].square().mean()
    soft = F.avg_pool2d(F.pad(torch.cat([frames, made]), (1, 1, 1, 1), mode="replicate"), 3, 1)
    energy = (torch.cat([frames, made]) - soft)[inner].square().mean((1, 2, 3)).view(2, -1).mean(1)
    assert 0.98 < energy[1] / energy[0] < 1.02


def test_the_border_is_filled_with_what_the_frames_beside_show():
    path = np.zeros((2, 40))
    path[:, ::2] = 2.0
    frames = shot(path)
    errors = []
    for edges in ("fill", "crop"):
        made, taken = steadied(frames, Steadier(edges=edges))
        truth = shot(path - taken)
        assert np.abs(taken).max() > 0.9
        errors.append((made - truth)[10:30].abs()[..., [0, 1, -2, -1], :].mean())
    assert errors[0] < 0.5 * errors[1]


def test_smaller_planes_and_half_precision_are_moved_alike():
    shifts = of_path(drawn(12, 1.5))
    luma, chroma = shot(STILL[:, :12]), shot(STILL[:, :12], seed=7)[..., ::2, ::2]
    steadier = Steadier()
    weaves = steadier.weave(shifts, Halo(0, 0), SIZE)
    frames = [Woven((y, c.repeat(2, 1, 1).half()), *way) for y, c, *way in zip(luma, chroma, shifts, weaves)]
    made = steadier.move(frames, Halo(3, 3))
    assert len(made) == 6
    for planes, way in zip(made, weaves[3:-3]):
        assert way != NO_SHIFT
        assert [plane.shape for plane in planes] == [(1, 144, 192), (2, 72, 96)]
        assert planes[1].dtype == torch.float16


@pytest.mark.parametrize("size", [(1, 1), (16, 300), (61, 61)])
def test_small_pictures(size):
    frames = torch.rand(4, 1, *size, generator=torch.Generator().manual_seed(1))
    made, _ = steadied(frames, Steadier())
    assert made.shape == frames.shape and made.isfinite().all()


def test_nan_and_flat_pictures():
    frames = torch.full((4, 1, *SIZE), 0.5)
    frames[2, :, 5:9] = torch.nan
    _, taken = steadied(frames, Steadier())
    assert np.isfinite(taken).all() and np.abs(taken).max() < 0.1


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_bad_strength(strength):
    with pytest.raises(InputError, match="steady must be 0"):
        Steadier(strength)


def test_bad_input():
    with pytest.raises(InputError, match="edges must be one of fill, crop"):
        Steadier(edges="repeat")  # ty: ignore[invalid-argument-type]
    with pytest.raises(InputError, match="float tensor"):
        look(torch.zeros(1, 70, 70, dtype=torch.uint8))
    with pytest.raises(InputError, match="one size"):
        shift_between(look(torch.zeros(1, 70, 70)), look(torch.zeros(1, 70, 71)))
