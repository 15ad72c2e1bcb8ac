"""Restorer, Colorizer, merge_lab and the pipeline on tensors."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.errors import InputError, UnsupportedError
from vs_remaster.references.reference import Reference
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.merging import fit_size, merge_lab, repair_chroma
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.remaster.pipeline import Picture, RemasterPipeline
from vs_remaster.remaster.restorer import Restorer

CPU = {"model": "fast", "device": "cpu"}


def scene(height: int = 96, width: int = 128, seed: int = 3) -> torch.Tensor:
    """A smooth coloured picture `[3, H, W]` with a few hard edges."""
    generator = torch.Generator().manual_seed(seed)
    smooth = F.interpolate(torch.rand(1, 3, 6, 8, generator=generator), (height, width), mode="bicubic")[0]
    smooth[:, height // 3 : height // 2, width // 4 : width // 2] = torch.tensor([0.8, 0.3, 0.2])[:, None, None]
    return (0.15 + 0.7 * smooth).clamp(0, 1)


def luma_of(rgb: torch.Tensor) -> torch.Tensor:
    return rgb_to_ycbcr(rgb[None])[0, :1]


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(RestoreOptions(**CPU))


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(ColorizeOptions(**CPU, lines=128))


# ---- restore


def test_strength_zero_is_the_source_bit_for_bit():
    luma = torch.rand(3, 1, 64, 80)
    assert torch.equal(Restorer(RestoreOptions(**CPU, strength=0)).restore(luma).luma, luma)


def test_strength_goes_straight_from_source_to_restoration(restorer):
    luma = luma_of(scene())[None].repeat(3, 1, 1, 1) + 0.05 * torch.randn(3, 1, 96, 128)
    full = restorer.restore(luma).luma
    half = Restorer(RestoreOptions(**CPU, strength=0.5)).restore(luma).luma
    assert torch.allclose(half, (luma + full) / 2, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (33, 47), (96, 130)])
def test_odd_sizes_come_back_as_they_were(restorer, size):
    luma = torch.rand(2, 1, *size)
    out = restorer.restore(luma)
    assert out.luma.shape == out.mask.shape == luma.shape
    assert out.luma.isfinite().all() and 0 <= out.mask.min() and out.mask.max() <= 1


def test_tiles_leave_no_seam(restorer):
    luma = luma_of(scene(440, 500))[None] + 0.03 * torch.randn(2, 1, 440, 500)
    whole = restorer.restore(luma).luma
    tiled = Restorer(RestoreOptions(**CPU, tile=384)).restore(luma).luma
    assert (whole - tiled).abs().mean() < 1e-3
    assert (whole - tiled).abs().max() < 1 / 255


def test_tiles_take_their_part_of_the_shading(restorer, monkeypatch):
    """A correction that changes across the frame must not start anew in every tile."""
    ramp = torch.linspace(-0.3, 0.3, 6).expand(1, 1, 5, 6)

    def shading(thumbs, edges):
        frames = thumbs.shape[0] * thumbs.shape[1]
        return ramp.expand(frames, -1, -1, -1), torch.zeros(frames, 4, 1, 1)

    luma = luma_of(scene(440, 500))[None].repeat(2, 1, 1, 1)
    tiled = Restorer(RestoreOptions(**CPU, tile=384))
    for one in (restorer, tiled):
        monkeypatch.setattr(one.engine.net.tone, "forward", shading)
    difference = (restorer.restore(luma).luma - tiled.restore(luma).luma).abs()
    assert difference.mean() < 1e-3 and difference.max() < 6 / 255


def test_a_value_that_is_no_number_does_not_spread(restorer):
    luma = luma_of(scene())[None].repeat(5, 1, 1, 1)
    clean = restorer.restore(luma).luma
    luma[2, 0, 50, 60] = float("nan")
    out = restorer.restore(luma).luma
    assert out.isfinite().all()
    assert (out - clean).abs().mean() < 0.01


def test_a_lower_working_size_keeps_fine_detail():
    luma = torch.rand(1, 1, 256, 256).repeat(2, 1, 1, 1)  # detail that a quarter of the lines cannot hold
    out = Restorer(RestoreOptions(**CPU, lines=64)).restore(luma).luma
    high = luma - F.interpolate(F.avg_pool2d(luma, 4), scale_factor=4, mode="bilinear")
    kept = out - F.interpolate(F.avg_pool2d(out, 4), scale_factor=4, mode="bilinear")
    assert ((kept * high).mean() / high.square().mean()) > 0.6


def test_dust_on_a_still_picture_goes(restorer):
    clean = luma_of(scene(128, 160))[None].repeat(9, 1, 1, 1)
    dirty = clean.clone()
    dirty[4, :, 60:66, 80:87] = 0.95
    dirty[4, :, 20:24, 30:34] = 0.02
    out = restorer.restore(dirty)
    error_in, error_out = (dirty[4] - clean[4]).abs(), (out.luma[4] - clean[4]).abs()
    spot = (dirty[4] - clean[4]).abs() > 0.05
    assert error_out[spot].mean() < 0.5 * error_in[spot].mean()
    assert out.mask[4][spot].mean() > 5 * out.mask[4][~spot].mean()


def test_grain_is_put_back(restorer):
    clean = luma_of(scene(128, 160))[None].repeat(9, 1, 1, 1)
    grain = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    grainy = clean + 0.05 * F.avg_pool2d(grain, 3, 1, 1) * 2  # film grain is larger than a pixel
    cleaned = restorer.restore(grainy).luma
    regrained = Restorer(RestoreOptions(**CPU, grain=1.0)).restore(grainy).luma
    assert (cleaned - clean).std() < 0.8 * (grainy - clean).std()
    assert (regrained - cleaned).std() > 0.5 * (grainy - cleaned).std()


# ---- colour


def test_a_reference_equal_to_the_frame_gives_its_colours(colorizer):
    rgb = scene(128, 160)
    ycc = rgb_to_ycbcr(rgb[None])
    memory = colorizer.encode_references([Reference("same", rgb, None)])
    made = colorizer.colorize(ycc[:, :1], memory).chroma
    error = (made - ycc[:, 1:]).square().mean()
    assert error < 0.1 * ycc[:, 1:].square().mean()


def test_saturation_scales_the_colours(colorizer):
    rgb = scene()
    memory = colorizer.encode_references([Reference("a", rgb, None)])
    plain = colorizer.colorize(luma_of(rgb)[None], memory).chroma
    none = Colorizer(ColorizeOptions(**CPU, lines=128, saturation=0)).colorize(luma_of(rgb)[None], memory).chroma
    assert none.abs().max() == 0 and plain.abs().max() > 0.02


@pytest.mark.parametrize("size", [(33, 47), (96, 128), (270, 480), (90, 700)])
def test_colour_comes_back_at_the_source_size(colorizer, size):
    memory = colorizer.encode_references([Reference("a", scene(), None), Reference("b", scene(50, 200), None)])
    made = colorizer.colorize(torch.rand(2, 1, *size), memory).chroma
    assert made.shape == (2, 2, *size) and made.isfinite().all()


def test_colour_is_as_strong_on_a_tall_picture():
    """Rivals fade above 450 lines."""
    colorizer = Colorizer(ColorizeOptions(**CPU, lines=192))
    small, tall = scene(192, 256), F.interpolate(scene(192, 256)[None], (1080, 1440), mode="bicubic")[0].clamp(0, 1)
    strength = []
    for rgb in (small, tall):
        memory = colorizer.encode_references([Reference("a", rgb, None)])
        strength.append(float(colorizer.colorize(luma_of(rgb)[None], memory).chroma.norm(dim=1).mean()))
    assert strength[1] > 0.95 * strength[0]


def test_no_references_is_an_error(colorizer):
    with pytest.raises(InputError, match="reference"):
        colorizer.encode_references([])


# ---- merge


def test_merge_takes_the_other_colours_by_weight():
    luma, chroma, own = torch.rand(2, 1, 48, 64), torch.rand(2, 2, 48, 64) - 0.5, torch.rand(2, 2, 48, 64) - 0.5
    assert torch.equal(merge_lab(luma, chroma, own_chroma=own, weight=0.0), own)
    assert torch.equal(merge_lab(luma, chroma, own_chroma=own), chroma)
    assert torch.allclose(merge_lab(luma, chroma, own_chroma=own, weight=0.25), 0.75 * own + 0.25 * chroma)


def test_merged_colour_edges_follow_the_luma():
    luma = torch.zeros(1, 1, 64, 64)
    luma[..., 31:] = 0.8  # the edge lies between two samples of the small chroma
    chroma = torch.zeros(1, 2, 16, 16)
    chroma[:, 0, :, 8:] = 0.3
    chroma[:, 0, :, 7] = 0.3 / 4
    made = merge_lab(luma, chroma)
    plain = F.interpolate(chroma, (64, 64), mode="bilinear")
    true = torch.where(luma > 0.4, 0.3, 0.0)
    assert (made[:, :1] - true).abs().mean() < 0.6 * (plain[:, :1] - true).abs().mean()


def test_merge_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="T = 3"):
        merge_lab(torch.rand(3, 1, 8, 8), torch.rand(2, 2, 8, 8))
    with pytest.raises(InputError, match="weight"):
        merge_lab(torch.rand(1, 1, 8, 8), torch.rand(1, 2, 8, 8), weight=1.5)
    with pytest.raises(InputError, match=r"own_chroma must be \[1, 2, 8, 8\]"):
        merge_lab(torch.rand(1, 1, 8, 8), torch.rand(1, 2, 4, 4), own_chroma=torch.rand(1, 2, 4, 4))
    with pytest.raises(InputError, match="other_luma"):
        merge_lab(torch.rand(2, 1, 8, 8), torch.rand(2, 2, 4, 4), other_luma=torch.rand(1, 1, 4, 4))
    assert merge_lab(torch.rand(1, 1, 8, 8), torch.rand(1, 2, 1, 1), other_luma=torch.rand(1, 1, 1, 1)).isfinite().all()


def test_fit_size_of_equal_size_is_the_same_tensor():
    chroma = torch.rand(1, 2, 8, 8)
    assert fit_size(chroma, torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8)) is chroma


def test_chroma_under_damage_is_filled_from_round_it():
    chroma = torch.full((1, 2, 60, 60), 0.2)
    chroma[..., 28:32, 28:32] = -0.4
    mask = torch.zeros(1, 1, 60, 60)
    mask[..., 27:33, 27:33] = 1
    fixed = repair_chroma(chroma, mask)
    assert (fixed - 0.2).abs().max() < 1e-3
    chroma[..., 2:55, 3:56] = -0.4  # wider than any fixed reach
    mask[..., 1:56, 2:57] = 1
    assert (repair_chroma(chroma, mask) - 0.2).abs().max() < 1e-3
    assert torch.equal(repair_chroma(chroma, torch.zeros_like(mask)), chroma)


# ---- pipeline


def pictures(count: int, chroma: bool = False):
    for i in range(count):
        luma = (luma_of(scene(48, 64)) * (1 if i < 12 else 0.5)).roll(i, -1)
        yield Picture(luma, texture() if chroma else None, 96 + i, f"frame {i}")


def texture() -> torch.Tensor:
    return torch.rand(2, 48, 64, generator=torch.Generator().manual_seed(9)) - 0.5


@pytest.mark.parametrize("scenes", ["auto", "none", [108]])
def test_pipeline_keeps_numbers_and_payloads(scenes):
    pipeline = RemasterPipeline(
        RestoreOptions(**CPU), ColorizeOptions(**CPU, lines=64), [Reference("a", scene(48, 64), None)], scenes
    )
    out = list(pipeline.process(pictures(23)))
    assert [p.index for p in out] == list(range(96, 119))
    assert [p.payload for p in out] == [f"frame {i}" for i in range(23)]
    assert all(p.luma.shape == (1, 48, 64) and p.chroma.shape == (2, 48, 64) for p in out)


def test_pipeline_equals_its_parts():
    references = [Reference("a", scene(48, 64), None)]
    pipeline = RemasterPipeline(RestoreOptions(**CPU), ColorizeOptions(**CPU, lines=64), references, [108])
    out = list(pipeline.process(pictures(23)))
    luma = torch.stack([p.luma for p in pictures(23)])
    restored = Restorer(RestoreOptions(**CPU)).restore(luma, [12]).luma
    colorizer = Colorizer(ColorizeOptions(**CPU, lines=64))
    chroma = colorizer.colorize(restored, colorizer.encode_references(references), [12]).chroma
    assert torch.equal(torch.stack([p.luma for p in out]), restored)
    assert torch.equal(torch.stack([p.chroma for p in out]), chroma)


def test_pictures_that_come_back_late_are_the_same_and_all_come():
    """On a GPU a block is copied back while the next one is made."""
    soon = list(RemasterPipeline(RestoreOptions(**CPU), scenes="none").process(pictures(23)))
    pipeline = RemasterPipeline(RestoreOptions(**CPU), scenes="none")
    pipeline._behind = 5
    late = list(pipeline.process(pictures(23)))
    assert [p.payload for p in late] == [p.payload for p in soon]
    assert all(torch.equal(a.luma, b.luma) and torch.equal(a.mask, b.mask) for a, b in zip(soon, late, strict=True))


def test_a_film_begun_in_the_middle_has_the_same_frames():
    """Blocks lie on the grid of the whole film, wherever a host begins."""
    pipeline = RemasterPipeline(RestoreOptions(**CPU), scenes="none")
    whole = {p.index: p.luma for p in pipeline.process(pictures(45))}
    part = {p.index: p.luma for p in pipeline.process(p for p in pictures(45) if p.index >= 104)}
    assert all(
        torch.equal(part[n], whole[n])
        for n in range(104 + sum(window.before for window in pipeline.restorer.windows), 141)
    )


def test_pipeline_is_lazy_and_bounded():
    read = 0

    def source():
        nonlocal read
        for picture in pictures(100):
            read += 1
            yield picture

    pipeline = RemasterPipeline(RestoreOptions(**CPU, lines=64))
    for done, _ in enumerate(pipeline.process(source())):
        ahead = sum(window.block + window.after for window in pipeline.restorer.windows)
        assert read - done <= ahead + 3 + 2
    assert done == 99


def test_an_empty_film_gives_an_empty_film():
    assert list(RemasterPipeline(RestoreOptions(**CPU)).process([])) == []


def test_colour_film_keeps_its_chroma_bit_for_bit_where_nothing_was_damaged(monkeypatch):
    pipeline = RemasterPipeline(RestoreOptions(**CPU, sharpness=0), scenes="none")
    mask = torch.zeros(1, 48, 64)
    mask[:, 10:20, 10:20] = 0.9
    mask[:, 30:, :] = 0.05
    monkeypatch.setattr(pipeline.restorer, "process", lambda frames, halo: [(f, mask) for f in frames])
    out = list(pipeline.process(pictures(3, chroma=True)))
    sound = (mask < 0.1)[0]
    assert all(torch.equal(p.chroma[:, sound], texture()[:, sound]) for p in out)
    assert all((p.chroma - texture())[:, ~sound].abs().mean() > 0.05 for p in out)


# ---- options


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RestoreOptions(strength=1.2), "strength must be between 0 and 1, got 1.2"),
        (lambda: RestoreOptions(grain=-1), "grain"),
        (lambda: RestoreOptions(tile=100), "tile"),
        (lambda: RestoreOptions(lines=20), "lines"),
        (lambda: RestoreOptions(lines=100.5), "lines must be a whole number between 0 and 8192, got 100.5"),
        (lambda: ColorizeOptions(saturation=-0.1), "saturation must be 0 or more"),
        (lambda: ColorizeOptions(saturation=float("inf")), "saturation"),
        (lambda: ColorizeOptions(lines=10), "lines"),
        (lambda: Restorer(RestoreOptions(model="best")), "no restorer model 'best'; use fast"),
        (lambda: Restorer(RestoreOptions(device="gpu")), "unknown device 'gpu'"),
        (lambda: Restorer(RestoreOptions(precision="int8")), "unknown precision"),
        (lambda: Restorer(RestoreOptions(engine="tpu")), "unknown engine"),
        (lambda: Restorer(RestoreOptions(device="cuda:")), "unknown device"),
        (lambda: Restorer(block=0), "block"),
        (lambda: RemasterPipeline(scenes="cut"), "scenes"),
        (lambda: RemasterPipeline(scenes=["5"]), "scenes"),
        (lambda: RemasterPipeline(references=[Reference("a", torch.rand(3, 8, 8), None)]), "colouring is off"),
        (lambda: Restorer().restore(torch.rand(3, 8, 8)), "luma must be"),
    ],
)
def test_bad_values_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_said():
    with pytest.raises(UnsupportedError, match="cuda"):
        Restorer(RestoreOptions(device="cuda"))
