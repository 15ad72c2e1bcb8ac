"""Chroma taken from references that lie on a frame to a fraction of a pixel."""

import math

import pytest
import torch
from torch.nn import functional as F

from vs_remaster.models.attention import join, places
from vs_remaster.models.colorizer import ColorizerNet
from vs_remaster.models.registration import finer, register
from vs_remaster.models.registration import picture as half_precision
from vs_remaster.references.reference import Reference
from vs_remaster.remaster import ColorizeOptions, Colorizer

from .test_models import memory_of

HEIGHT, WIDTH = 96, 128


def painting(across: float = 0.0, down: float = 0.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Luma `[1, 1, H, W]` and chroma `[1, 2, H, W]` of waves, moved by so many pixels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(HEIGHT)[:, None] - down
    x = torch.arange(WIDTH)[None] - across
    planes = torch.zeros(3, HEIGHT, WIDTH)
    for plane in planes:
        for _ in range(12):
            a, b, phase = torch.rand(3, generator=generator)
            plane += torch.sin((a - 0.5) * x + (b - 0.5) * y + 6.3 * phase)
    planes = planes / 24
    return (0.5 + planes[:1])[None], (0.5 * planes[1:])[None]


def picture(luma: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    return half_precision(luma, chroma).float()


def at(found_for: torch.Tensor, across: int = 0, down: int = 0, top: int = 0) -> torch.Tensor:
    """What a matching at 1/4 finds that is right to within its own positions."""
    place = places(HEIGHT // 8, WIDTH // 8, found_for.device).view(1, HEIGHT // 8, WIDTH // 8, 7)
    place = place.repeat_interleave(2, 1).repeat_interleave(2, 2)
    lines, columns = torch.arange(HEIGHT // 4), torch.arange(WIDTH // 4)
    place[..., 1] = (lines[:, None] - down).clamp(0, HEIGHT // 4 - 1)
    place[..., 2] = (columns[None] - across).clamp(0, WIDTH // 4 - 1)
    place[..., 5] = top
    return place


def off(got: torch.Tensor, want: torch.Tensor) -> float:
    """Root mean square away from the border."""
    return (got - want)[..., 16:-16, 16:-16].square().mean().sqrt().item()


@pytest.mark.parametrize("across, down", [(0.0, 0.0), (0.5, -0.3), (1.4, 1.2), (5.3, -4.4)])
def test_a_fraction_of_a_pixel_is_found(across, down):
    luma, chroma = painting(across, down)
    reference = picture(*painting())
    found = at(luma, round(across / 4), round(down / 4))
    made = register(luma, found, reference)
    moved = off(made[:, :2], chroma)
    unmoved = off(reference[None, 1:3], chroma)
    assert moved < 0.008 and made[:, 2:, 16:-16, 16:-16].mean() > 0.9
    assert (across, down) == (0, 0) or moved < 0.3 * unmoved


def test_brightness_may_differ_and_grain_matters_little():
    luma, chroma = painting(0.5, 0.5)
    worn = 0.9 * luma + 0.02 + 0.02 * torch.randn(luma.shape, generator=torch.Generator().manual_seed(1))
    made = register(worn, at(luma), picture(*painting()))
    assert off(made[:, :2], chroma) < 0.01 and made[:, 2:, 16:-16, 16:-16].mean() > 0.8


def test_another_picture_is_not_trusted():
    made = register(painting()[0], at(painting()[0]), picture(*painting(seed=1)))
    assert made[:, 2:].mean() < 0.05


def test_the_right_one_of_several_references_is_taken():
    """A small one above it, whose lines end earlier, and places in both side by side."""
    luma, chroma = painting()
    small = picture(*(x[..., :32, :48] for x in painting(seed=1)))
    both = torch.cat([F.pad(small, (0, WIDTH - 48)), picture(luma, chroma)], 1)
    found = at(luma, top=8)
    made = register(luma, found, both)
    assert off(made[:, :2], chroma) < 0.002
    found[:, :, :8] = torch.tensor([0, 0, 0, 8, 12, 0, 0])  # the first columns are said to be in the other one
    mixed = register(luma, found, both)
    assert torch.allclose(mixed[..., 72:], made[..., 72:], atol=1e-5)
    assert mixed[:, 2:, :, :24].mean() < 0.2


def test_what_is_not_known_is_not_trusted():
    luma, chroma = painting()
    reference = picture(luma, chroma)
    reference[3, :, 64:] = 0
    made = register(luma, at(luma), reference)
    assert made[:, 2, :, 66:].max() == 0 and made[:, 2, 16:-16, 16:60].min() > 0.9


def test_only_what_is_fine_is_taken_over():
    generator = torch.Generator().manual_seed(0)
    fine = 0.1 * torch.randn(1, 2, 64, 64, generator=generator)
    chroma = torch.zeros(1, 2, 64, 64)
    everywhere = torch.ones(1, 1, 64, 64)
    registered = torch.cat([fine + 0.2, everywhere], 1)
    made = finer(chroma, registered, everywhere)
    assert off(made, fine) < 0.012  # 0.2 is the same all over: it stays as it was
    assert torch.equal(finer(chroma, registered, 0 * everywhere), chroma)
    assert torch.equal(finer(chroma, registered.clone().index_fill_(1, torch.tensor([2]), 0), everywhere), chroma)


def test_references_of_several_sizes_are_kept_one_below_the_other():
    memories = [memory_of(h, w, seed=i) for i, (h, w) in enumerate([(5, 7), (6, 4), (5, 7)])]
    pictures = [torch.rand(4, 8 * h, 8 * w) for h, w in [(5, 7), (6, 4), (5, 7)]]
    memories = [memory._replace(pictures=one) for memory, one in zip(memories, pictures)]
    memory = join(memories)
    assert memory.whole.shape == (4, 128, 56)
    assert torch.equal(memory.whole[:, 40:88, :32], pictures[1])
    assert [int(memory.place[i, 5]) for i in (0, 35, 59)] == [0, 10, 22]
    again = memory.subset([1, 2], [1.0, 1.0])
    assert torch.equal(again.whole[:, :48, :32], pictures[1]) and torch.equal(again.whole[:, 48:], pictures[2])
    assert [int(again.place[i, 5]) for i in (0, 24)] == [0, 12]
    assert torch.equal(again.place, join(memories[1:]).place)


@pytest.mark.parametrize("model, least", [("fast", 8), ("quality", 3)])
def test_a_frame_that_is_the_reference_gets_its_fine_colours(model, least, monkeypatch):
    """Stripes of colour, two pixels wide, which the network alone cannot hold apart."""
    luma, chroma = painting()
    stripes = 0.1 * (torch.arange(WIDTH) % 4 < 2).float() - 0.05
    chroma = 0.3 * chroma + stripes
    luma = (luma + 0.5 * stripes).clamp(0, 1)
    r = luma + 1.5748 * chroma[:, 1:]
    b = luma + 1.8556 * chroma[:, :1]
    rgb = torch.cat([r, (luma - 0.2126 * r - 0.0722 * b) / 0.7152, b], 1).clamp(0, 1)
    rgb = F.interpolate(rgb, scale_factor=4.5, mode="bicubic").clamp(0, 1)
    colorize = Colorizer(ColorizeOptions(model=model, device="cpu", precision="fp32", lines=HEIGHT * 4))
    luma = 0.2126 * rgb[:, :1] + 0.7152 * rgb[:, 1:2] + 0.0722 * rgb[:, 2:]
    want = torch.cat([(rgb[:, 2:] - luma) / 1.8556, (rgb[:, :1] - luma) / 1.5748], 1)

    def psnr() -> float:
        made = colorize.colorize(luma, colorize.encode_references([Reference("a", rgb[0])])).chroma
        return -10 * math.log10((made - want).square().mean())

    registered = psnr()
    monkeypatch.setattr(ColorizerNet, "registers", property(lambda self: False))
    assert registered > psnr() + least
