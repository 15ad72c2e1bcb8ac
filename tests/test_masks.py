"""What a person says of damage: `repair` is filled whatever the network thinks, `protect` stays as it was."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vs_remaster.errors import InputError
from vs_remaster.remaster.merging import painted
from vs_remaster.remaster.options import RestoreOptions
from vs_remaster.remaster.pipeline import Picture, RemasterPipeline
from vs_remaster.remaster.restorer import Restorer

CPU = {"model": "fast", "device": "cpu", "precision": "fp32"}
SIZE = 96, 128
LINE = slice(40, 43), slice(20, 100)  # a dark line that lies in one place in all frames, as a hair in the gate does


def film(frames: int = 8) -> torch.Tensor:
    """A soft texture that moves right and down, `[T, 1, H, W]`."""
    generator = torch.Generator().manual_seed(5)
    base = F.interpolate(torch.rand(1, 1, 24, 30, generator=generator), scale_factor=8.0, mode="bicubic")[0]
    base = 0.2 + 0.6 * base.clamp(0, 1)
    return torch.stack([base[:, 2 * t : 2 * t + SIZE[0], 3 * t : 3 * t + SIZE[1]] for t in range(frames)])


def line(frames: int = 8, only: int | None = None) -> torch.Tensor:
    """White where the line is, in all frames or in one."""
    mask = torch.zeros(frames, 1, *SIZE)
    mask[(slice(None) if only is None else only), :, *LINE] = 1
    return mask


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(RestoreOptions(**CPU))


def test_painting_continues_what_lies_round_it():
    clean, mask = film(1)[0], line(1)[0]
    made = painted(clean * (1 - mask), mask)
    assert torch.equal(made[mask == 0], clean[mask == 0])
    assert (made - clean).abs().max() < 0.1
    assert painted(clean, None) is clean
    assert painted(clean, torch.ones_like(clean)).unique().tolist() == [0.5]


@pytest.mark.parametrize("scale", [1, 2])
def test_repair_alone_is_all_that_strength_0_does(scale):
    clean, mask = film(), line()
    dirty = clean * (1 - 0.7 * mask)
    made = Restorer(RestoreOptions(**CPU, strength=0, scale=scale)).restore(dirty, repair=mask)
    idle = Restorer(RestoreOptions(**CPU, strength=0, scale=scale)).restore(dirty)
    far = F.interpolate(F.max_pool2d(mask, 9, 1, 4), scale_factor=float(scale)) == 0
    assert torch.equal(made.luma[far], idle.luma[far])
    if scale == 1:
        assert torch.equal(idle.luma, dirty)
        error = ((made.luma - clean)[mask > 0]).square().mean().sqrt()
        assert error < 0.25 * (dirty - clean)[mask > 0].square().mean().sqrt()
    assert torch.equal(made.mask, F.interpolate(mask, scale_factor=float(scale), mode="bilinear"))


def test_repair_is_not_weakened_by_strength(restorer):
    clean, mask = film(), line()
    dirty = clean * (1 - 0.7 * mask)
    half = Restorer(RestoreOptions(**CPU, strength=0.5)).restore(dirty, repair=mask)
    full = restorer.restore(dirty, repair=mask)
    assert torch.equal(half.luma[mask > 0], full.luma[mask > 0])
    assert full.mask[mask > 0].min() == 1


def test_what_is_protected_stays_bit_for_bit(restorer):
    noisy = (film() + 0.05 * torch.randn(8, 1, *SIZE)).clamp(0, 1)
    protect = torch.zeros_like(noisy)
    protect[..., :50] = 1
    protect[..., 50:60] = 0.5
    plain, made = restorer.restore(noisy), restorer.restore(noisy, protect=protect)
    assert torch.equal(made.luma[..., :50], noisy[..., :50])
    assert torch.allclose(made.luma[..., 50:60], (noisy + plain.luma)[..., 50:60] / 2, atol=1e-6)
    assert torch.equal(made.luma[..., 60:], plain.luma[..., 60:])
    assert made.mask[..., :50].max() == 0


def test_protect_wins_over_repair(restorer):
    dirty, mask = film() * (1 - 0.7 * line()), line()
    made = restorer.restore(dirty, repair=mask, protect=mask)
    assert torch.equal(made.luma[mask > 0], dirty[mask > 0])


def test_a_frame_depends_on_its_own_protect_and_on_repair_within_the_look_around(restorer):
    noisy = film(8).repeat(8, 1, 1, 1)[:60] + 0.02 * torch.randn(60, 1, *SIZE)
    plain = restorer.restore(noisy).luma
    reach = sum(window.after for window in restorer.windows)
    painted_one = restorer.restore(noisy, repair=line(60, only=30), protect=line(60, only=10)).luma
    changed = [n for n in range(60) if not torch.equal(plain[n], painted_one[n])]
    assert 30 in changed and 10 in changed
    assert all(n == 10 or abs(n - 30) <= reach for n in changed)


def test_the_pipeline_gives_the_same_and_keeps_protected_colours(restorer):
    noisy, chroma = film() + 0.05 * torch.randn(8, 1, *SIZE), 0.2 * torch.rand(2, *SIZE)
    repair, protect = line(), torch.zeros(8, 1, *SIZE)
    protect[..., 60:] = 1
    whole = restorer.restore(noisy, repair=repair, protect=protect)
    pictures = (
        Picture(luma, chroma, n, repair=r, protect=p) for n, (luma, r, p) in enumerate(zip(noisy, repair, protect))
    )
    out = list(RemasterPipeline(restorer, scenes="none").process(pictures))
    assert all(torch.equal(p.luma, luma) and torch.equal(p.mask, mask) for p, luma, mask in zip(out, *whole))
    assert all(torch.equal(p.chroma[..., 60:], chroma[..., 60:]) for p in out)
    assert all((p.chroma - chroma)[:, LINE[0], 20:60].abs().mean() > 0.01 for p in out)


def test_masks_of_another_shape_are_refused(restorer):
    with pytest.raises(InputError, match=r"repair must be \[8, 1, 96, 128\], as luma is, got \[7, 1, 96, 128\]"):
        restorer.restore(film(), repair=line(7))
