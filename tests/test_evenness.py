"""Where matching is unsure, colour varies slowly and only as the luma does."""

import pytest
import torch

from vs_remaster.models.evenness import SURE, UNSURE, doubt, even
from vs_remaster.models.layers import in_large_steps
from vs_remaster.references.reference import Reference
from vs_remaster.remaster import ColorizeOptions, Colorizer

BLUE, RED = torch.tensor([0.12, -0.06]), torch.tensor([-0.05, 0.15])


def scene():
    """A wall `[1, 1, 192, 256]`, dark on the left and light on the right, with colours of its own at 1/4, and a square
    in the middle of it that is doubtful, at 1/8."""
    luma = torch.full((1, 1, 192, 256), 0.3)
    luma[..., 128:] = 0.7
    chroma = BLUE.view(1, 2, 1, 1).repeat(1, 1, 48, 64)
    chroma[..., 32:] = RED.view(1, 2, 1, 1)
    doubtful = torch.zeros(1, 1, 24, 32)
    doubtful[..., 8:16, 12:20] = 1
    return luma, chroma, doubtful


def test_what_is_not_doubtful_stays_bit_for_bit():
    luma, chroma, doubtful = scene()
    chroma += 0.05 * torch.randn_like(chroma)
    assert torch.equal(even(chroma, luma, torch.zeros_like(doubtful)), chroma)
    made = even(chroma, luma, doubtful)
    away = torch.nn.functional.max_pool2d(doubtful, 3, 1, 1).repeat_interleave(2, 2).repeat_interleave(2, 3) == 0
    assert torch.equal(made[:, :1][away], chroma[:, :1][away])


def test_what_is_doubtful_takes_the_colours_round_it_up_to_an_edge_of_the_luma():
    luma, truth, doubtful = scene()
    wrong = truth.clone()
    wrong[..., 16:32, 24:40] = 0.2 * torch.randn(1, 2, 16, 16)
    made = even(wrong, luma, doubtful)
    assert (made - truth)[..., 18:30, 26:32].abs().max() < 0.03 and (made - truth)[..., 18:30, 32:38].abs().max() < 0.03
    assert (wrong - truth)[..., 18:30, 26:38].abs().mean() > 0.1


def test_where_all_is_doubtful_patches_become_their_mean():
    luma = torch.full((2, 1, 192, 256), 0.5)
    patches = 0.1 * torch.randn(2, 2, 48, 64) + 0.05
    made = even(patches, luma, torch.ones(2, 1, 24, 32))
    assert made.std() < 0.01 and (made.mean() - 0.05).abs() < 0.01


def test_doubt():
    cosines = torch.tensor([-1.0, UNSURE, (UNSURE + SURE) / 2, SURE, 1.0])
    assert torch.allclose(doubt(cosines, torch.ones(5)), torch.tensor([1, 1, 0.5, 0, 0.0]))
    assert torch.allclose(doubt(cosines, torch.zeros(5)), torch.zeros(5))  # what no reference shows is not guessed
    assert not in_large_steps("cpu") and in_large_steps("cuda:1")


@pytest.mark.parametrize("model", ["fast", "quality"])
def test_a_wall_takes_fewer_patches_from_a_picture_of_something_else(model, monkeypatch):
    noise = torch.Generator().manual_seed(4)
    wall = torch.nn.functional.interpolate(torch.rand(1, 1, 6, 8, generator=noise), (288, 384), mode="bicubic")[0]
    luma = (0.5 + 0.04 * wall + 0.01 * torch.randn(3, 1, 288, 384, generator=noise)).clamp(0, 1)
    tiles = torch.rand(3, 9, 12, generator=noise).repeat_interleave(32, 1).repeat_interleave(32, 2)

    def steps() -> float:
        colorizer = Colorizer(ColorizeOptions(model=model, lines=288, device="cpu"))
        chroma = colorizer.colorize(luma, colorizer.encode_references([Reference("tiles", tiles)])).chroma
        return float(torch.nn.functional.avg_pool2d(chroma, 8).diff(dim=3).abs().mean())

    calm = steps()
    monkeypatch.setattr("vs_remaster.models.colorizer.even", lambda chroma, luma, doubtful: chroma)
    monkeypatch.setattr("vs_remaster.models.colorizer.doubt", lambda similarity, known: 0 * known)
    assert calm < 0.5 * steps()
