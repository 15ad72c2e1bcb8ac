"""What large damage hides is taken from the frames beside it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vs_remaster.engines import make_fill
from vs_remaster.models.fill import CELL, RADIUS, Fill
from vs_remaster.models.layers import Halo
from vs_remaster.remaster import filling
from vs_remaster.remaster.filling import Filler
from vs_remaster.remaster.options import RestoreOptions
from vs_remaster.remaster.restorer import Restorer
from vs_remaster.remaster.window import Window

TIME, SIZE = 2 * RADIUS + 1, (144, 208)


def scene(speed: tuple[float, float] = (0, 0), frames: int = TIME, size: tuple[int, int] = SIZE) -> torch.Tensor:
    """A textured scene that moves by whole pixels a frame `[T, 1, H, W]`."""
    generator = torch.Generator().manual_seed(4)
    room = 8 * max(map(abs, speed), default=0) * frames + 64
    canvas = sum(
        F.interpolate(
            torch.rand(1, 1, *((int(side) + int(room)) // scale for side in size), generator=generator),
            [int(side) + int(room) for side in size],
            mode="bicubic",
        )
        for scale in (4, 9, 30)
    )
    canvas = (canvas / 3).clamp(0, 1)
    half = int(room) // 2
    views = []
    for time in range(frames):
        top, left = (half + round(way * (time - frames // 2)) for way in speed)
        views.append(canvas[0, :, top : top + size[0], left : left + size[1]])
    return torch.stack(views)


def hole(frames: torch.Tensor, time: int, top: int, left: int, side: int) -> torch.Tensor:
    """A mask with one square in it, like `frames`."""
    mask = torch.zeros_like(frames)
    mask[time, :, top : top + side, left : left + side] = 1
    return mask


WINDOW = Filler.window_beside(Window(before=0, after=0, block=2 * TIME))


def mended(frames, mask, repair=None, filler: Filler | None = None) -> list[torch.Tensor]:
    """What the filler makes of frames with this mask, and where someone wants `repair`."""
    repair = [None] * len(mask) if repair is None else repair
    return (filler or Filler(WINDOW)).process(list(zip(frames, mask, repair)), Halo(0, 0))


def filled(frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Frames with black where the mask is, as the filler mends them."""
    damaged = frames * (1 - mask)
    return torch.stack(mended(damaged, mask))


@pytest.mark.parametrize("speed", [(0, 0), (0, 3), (-2, 5), (4, -7)])
def test_a_hole_shows_what_moves_under_it(speed):
    clean = scene(speed)
    mask = hole(clean, RADIUS, 50, 70, 40)
    made = filled(clean, mask)
    error = (made - clean)[RADIUS].abs()[:, 50:90, 70:110]
    assert error.mean() < 0.01 and error.max() < 0.2  # black would be 0.5
    others = [time for time in range(TIME) if time != RADIUS]
    assert torch.equal(made[others], clean[others])


def test_damage_of_three_frames_in_one_place():
    clean = scene((1, 2))
    mask = sum(hole(clean, RADIUS + k, 50, 70, 40) for k in (-1, 0, 1))
    made = filled(clean, mask)
    error = (made - clean)[RADIUS - 1 : RADIUS + 2, :, 50:90, 70:110].abs()
    assert error.mean() < 0.02


def test_it_does_not_look_at_damaged_pixels():
    """What stands under a mask has no influence, in the frame or beside it."""
    clean = scene((1, 2))
    mask = hole(clean, RADIUS, 50, 70, 40) + hole(clean, RADIUS + 1, 30, 100, 40)
    dark, light = (mended(clean * (1 - mask) + level * mask, mask) for level in (0.0, 1.0))
    inner = slice(52, 88), slice(72, 108)  # the rim mixes with what was there
    assert torch.equal(dark[RADIUS][:, *inner], light[RADIUS][:, *inner])


def test_what_no_frame_shows_stays_as_the_network_painted_it():
    clean = scene()
    mask = torch.zeros_like(clean)
    mask[..., 40:100, 60:120] = 1
    damaged = clean * (1 - 0.5 * mask)
    made = torch.stack(mended(damaged, mask))
    assert (made - damaged).abs().max() < 1e-6


def test_small_dirt_is_left_to_the_network():
    clean = scene()
    mask = hole(clean, RADIUS, 50, 70, 6)
    damaged = clean * (1 - mask)
    assert torch.equal(torch.stack(mended(damaged, mask)), damaged)


def test_small_dirt_that_someone_wants_repaired_is_filled():
    clean = scene((1, 2))
    mask = hole(clean, RADIUS, 50, 70, 6)
    made = torch.stack(mended(clean * (1 - mask), mask, mask))
    assert (made - clean).abs().max() < 0.05


def test_the_scene_ends_where_the_window_ends():
    """At a cut fewer frames are beside the damaged one: a window of two frames is enough."""
    clean = scene(frames=2)
    mask = hole(clean, 0, 50, 70, 40)
    assert (filled(clean, mask) - clean).abs().max() < 0.02


def test_holes_at_the_edges_and_of_odd_sizes():
    clean = scene((0, 2), size=(101, 147))
    mask = hole(clean, RADIUS, 70, 110, 31)
    assert (filled(clean, mask) - clean)[RADIUS, :, 70:101, 110:141].abs().mean() < 0.02


def test_a_cell_is_the_same_whatever_is_filled_beside_it():
    clean = scene((1, 2))
    sound = 1 - hole(clean, RADIUS, 40, 40, 90)
    cells = torch.tensor([(0, 0), (0, 64), (64, 0), (64, 64), (64, 128)])
    net = Fill()
    together, known = net(clean, sound, cells)
    alone = torch.cat([net(clean, sound, cell[None])[0] for cell in cells])
    assert together.shape == (5, 1, CELL, CELL) and known.unique().tolist() == [1.0]
    assert (together - alone).abs().max() < 1e-5


def test_the_two_halves_are_the_whole():
    """What is exported: motion once for a frame, then some cells at a time."""
    clean = scene((1, 2), size=(101, 147))
    sound = 1 - hole(clean, RADIUS, 40, 40, 50)
    cells = torch.tensor([(0, 0), (0, 64), (64, 0), (64, 64)])
    net = Fill()
    found, known = net(clean, sound, cells)
    seen = net.look(clean, sound)
    assert [x.shape[1:3] for x in seen[:3]] == [(30, 42), (58, 82), (114, 162)]
    assert seen.down.shape == seen.across.shape == (2 * RADIUS, 1, 14, 20)
    assert all(torch.equal(*pair) for pair in zip(net.find(seen, cells), (found, known)))


def test_it_runs_where_restoring_runs(monkeypatch):
    """In ONNX Runtime for its engines, but only when something large is to be filled; else in PyTorch."""
    made = []
    monkeypatch.setattr(filling, "make_fill", lambda *how: made.append(how) or Fill())
    clean = scene()
    for engine in ("onnxruntime", "tensorrt", "torch"):
        filler = Filler(WINDOW, engine, "cuda:1")
        mended(clean, hole(clean, RADIUS, 50, 70, 6), filler=filler)
        assert not made
        for _ in range(2):
            mended(clean, hole(clean, RADIUS, 50, 70, 40), filler=filler)
        assert made == [(engine, "cuda:1")]
        made.clear()
    assert all(isinstance(make_fill(engine, "cpu"), Fill) for engine in ("auto", "torch", "compile"))


def test_only_restorers_whose_mask_shows_damage_have_it():
    assert Restorer(RestoreOptions(model="fast", device="cpu")).filler is not None


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (15, 40), (16, 200), (200, 16), (17, 33)])
def test_pictures_that_are_one_place_high_or_wide(size):
    clean = torch.rand(TIME, 1, 1, 1, generator=torch.Generator().manual_seed(1)).expand(TIME, 1, *size) * 0 + 0.5
    mask = hole(clean, RADIUS, 0, 0, 16)
    assert torch.allclose(filled(clean, mask), clean, atol=1e-5)
