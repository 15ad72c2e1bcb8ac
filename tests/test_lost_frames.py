"""Lost frames: what is made anew of those around them, which ones look lost, and what is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from export import lost_frames as measuring
from export.scores.flow import to_gray8
from vs_remaster.errors import InputError
from vs_remaster.remaster.lost_detection import LostDetector, find_lost
from vs_remaster.remaster.lost_frames import MOST, FrameMaker, check_lost
from vs_remaster.remaster.scenes import thumbnail

SIZE = (72, 104)


def film(length: int = 14, speed: float = 3.0, bend: float = 0.0, seed: int = 1) -> torch.Tensor:
    """A textured scene `[T, 1, H, W]` that moves across, so many pixels a frame, faster by `bend` in each."""
    generator = torch.Generator().manual_seed(seed)
    room = SIZE[0] + 8, SIZE[1] + 8 + int(abs(speed) * length + abs(bend) * length**2)
    canvas = sum(
        F.interpolate(torch.rand(1, 1, *(side // scale for side in room), generator=generator), room, mode="bicubic")
        for scale in (4, 9, 25)
    )
    canvas = (canvas[0, 0] / 3).clamp(0, 1).numpy()
    across = [speed * time + bend * time**2 / 2 for time in range(length)]
    views = [
        cv2.warpAffine(canvas, np.float32([[1, 0, -x], [0, 1, -4]]), SIZE[::-1], flags=cv2.INTER_CUBIC) for x in across
    ]
    return torch.from_numpy(np.stack(views))[:, None]


def made(luma: torch.Tensor, lost: set[int], rubbish: float = 0.0, block: int = 4, chroma=None, cuts=()):
    """Luma (and chroma) of all frames as the maker gives them, through its window; lost ones show rubbish."""
    maker = FrameMaker(block)
    frames = [
        (torch.full_like(y, rubbish) if n in lost else y, None if chroma is None else chroma[n], n in lost)
        for n, y in enumerate(luma)
    ]
    return list(maker.window.run(zip(frames, (n in cuts for n in range(len(frames)))), maker.process))


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    inner = (slice(None), slice(8, -8), slice(16, -16))
    return float(-10 * torch.log10(F.mse_loss(a[inner], b[inner])))


@pytest.mark.parametrize("run", [1, 2, MOST])
def test_what_moves_is_where_it_was(run):
    luma = film()
    lost = set(range(5, 5 + run))
    frames = made(luma, lost)
    for n in lost:
        still = torch.lerp(luma[4], luma[5 + run], (n - 4) / (run + 1))
        assert psnr(frames[n][0], luma[n]) > max(33, psnr(still, luma[n]) + 10)
    assert all(frames[n][0].data_ptr() == luma[n].data_ptr() for n in range(len(luma)) if n not in lost)


def test_motion_that_grows_is_no_straight_path():
    luma = film(speed=1, bend=0.8)
    plain = measuring.with_flow(luma[5, 0].numpy(), luma[7, 0].numpy(), 0.5)
    assert psnr(made(luma, {6})[6][0], luma[6]) > psnr(torch.from_numpy(plain)[None], luma[6]) + 3


def test_what_a_lost_frame_shows_never_matters():
    luma = film()
    first, second = (made(luma, {4, 6, 7}, rubbish) for rubbish in (0.0, float("nan")))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, second))


@pytest.mark.parametrize("block", [1, 3, 16])
def test_a_frame_is_the_same_whatever_the_block_and_the_threads(block):
    luma, lost = film(), {0, 3, 4, 5, 6, 8, 13}
    wanted = made(luma, lost)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        assert all(torch.equal(a[0], b[0]) for a, b in zip(made(luma, lost, block=block), wanted))
    finally:
        cv2.setNumThreads(threads)


def test_beside_a_cut_the_motion_of_the_scene_goes_on():
    luma = torch.cat([film(6), film(6, seed=2)])
    frames = made(luma, {5, 6}, cuts={6})
    assert psnr(frames[5][0], luma[5]) > max(33, psnr(luma[4], luma[5]) + 10)
    assert psnr(frames[6][0], luma[6]) > max(33, psnr(luma[7], luma[6]) + 10)


def test_the_only_frame_of_a_scene_is_repeated():
    luma = film(3)
    frames = made(luma, {0, 2})
    assert torch.equal(frames[0][0], luma[1]) and torch.equal(frames[2][0], luma[1])


def test_chroma_moves_with_luma():
    luma = film()
    chroma = torch.cat([luma - 0.5, 0.3 - luma], 1)
    frames = made(luma, {6}, chroma=torch.where(torch.arange(len(luma)).view(-1, 1, 1, 1) == 6, 9.0, chroma))
    assert frames[6][1].shape == (2, *SIZE)
    assert psnr(frames[6][1], chroma[6]) > 33
    assert torch.equal(frames[6][0], made(luma, {6})[6][0])


def test_what_only_one_side_shows_is_taken_from_it():
    """A bar crosses a still scene; behind it lies what only one of both neighbours shows."""
    luma = film(speed=0)
    for n in range(len(luma)):
        luma[n, :, :, 9 * n - 20 if 9 * n > 20 else 0 : max(0, 9 * n)] = 0.9
    plain = measuring.with_flow(luma[7, 0].numpy(), luma[9, 0].numpy(), 0.5)
    assert psnr(made(luma, {8})[8][0], luma[8]) > psnr(torch.from_numpy(plain)[None], luma[8]) + 1


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (17, 9)])
def test_small_frames(size):
    luma = torch.rand(5, 1, *size)
    assert made(luma, {2})[2][0].shape == (1, *size)


def test_half_precision_comes_back_as_such():
    frames = made(film().half(), {6})
    assert frames[6][0].dtype == torch.float16


def test_more_than_four_in_a_row_are_refused():
    with pytest.raises(InputError, match="5 or more lost frames in a row; at most 4"):
        made(film(), set(range(4, 9)))
    with pytest.raises(InputError, match="frames 4 to 8 are lost, 5 in a row; at most 4 in a row can be made anew"):
        check_lost(range(4, 9), length=20)
    check_lost(range(4, 9), cuts=[6], length=20)
    check_lost([0, 1, 2, 3, 5, 6, 7, 8], length=10)


def test_a_scene_without_a_sound_frame_is_refused():
    with pytest.raises(InputError, match="all frames of a scene are lost"):
        made(film(), {4, 5}, cuts={4, 6})
    with pytest.raises(InputError, match="frames 4 to 5 are lost, and the scene has no other frame"):
        check_lost([4, 5], cuts=[4, 6])
    with pytest.raises(InputError, match="frame 9 is lost, and the scene"):
        check_lost([9], cuts=[9], length=10)


def thumbs(luma: torch.Tensor) -> torch.Tensor:
    return torch.stack([thumbnail(frame) for frame in luma])


def spoilt(kind: str, frame: torch.Tensor) -> torch.Tensor:
    height, width = frame.shape[-2:]
    if kind == "torn":
        return torch.cat([frame[:, : height // 3], frame[:, height // 3 :].roll(width // 3, -1)], 1)
    noise = torch.rand(frame.shape, generator=torch.Generator().manual_seed(3))
    return {"black": torch.zeros_like(frame), "garbage": noise, "other": film(1, seed=9)[0]}[kind]


@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.parametrize("kind", ["black", "garbage", "torn", "other"])
def test_frames_that_look_lost(kind, run):
    luma = film(speed=1)
    for n in range(6, 6 + run):
        luma[n] = spoilt(kind, luma[n])
    assert find_lost(thumbs(luma)) == list(range(6, 6 + run))
    detector = LostDetector(100)
    for frame in luma:
        detector.push(frame)
    assert detector.finish() == list(range(106, 106 + run))


def test_black_frames_up_to_four():
    luma = film(speed=1)
    luma[5:9] = 0
    assert find_lost(thumbs(luma)) == [5, 6, 7, 8]
    luma[9] = 0
    assert find_lost(thumbs(luma)) == []


def test_the_second_frame_and_the_last_but_one():
    luma = film(speed=1)
    luma[[1, 12]] = 0
    assert find_lost(thumbs(luma)) == [1, 12]


@pytest.mark.parametrize("kind", ["sound", "fast", "flicker", "flash", "cut", "short shot", "two cuts", "spot"])
def test_what_does_not_look_lost(kind):
    luma = film(speed=9 if kind == "fast" else 1)
    if kind == "flicker":
        luma[6] = luma[6] * 0.6
    elif kind == "flash":
        luma[6] = (luma[6] * 0.2 + 0.9).clamp(0, 1)
    elif kind == "cut":
        luma[7:] = film(7, seed=2)
    elif kind == "short shot":
        luma[6:9] = film(3, speed=1, seed=2)
    elif kind == "two cuts":
        luma[6:8], luma[8:] = film(2, seed=2), film(6, seed=4)
    elif kind == "spot":
        luma[6, :, 20:40, 30:50] = 0
    assert find_lost(thumbs(luma)) == []


def test_the_table_of_the_measuring_script(tmp_path, capsys):
    folder = tmp_path / "clip"
    folder.mkdir()
    for n, frame in enumerate(film(22)):
        cv2.imwrite(str(folder / f"{n:03}.png"), to_gray8(frame[0].numpy()))
    measuring.main(["--clips-folder", str(folder), "--frames", "1"])
    mean = capsys.readouterr().out.strip().splitlines()[-1].split("|")[2:5]
    average, flow, ours = map(float, mean)
    assert ours > flow > average
