"""Colour without references: frames that no reference acts on get a guess, and the others what they had."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.support.colored_scenes import CPU, RED, film, painted
from tests.support.job_films import heard_and_seen, write_film
from vs_remaster.errors import InputError
from vs_remaster.film.remastering import remaster_film
from vs_remaster.film.request import to_color, will_color
from vs_remaster.jobs.planning.identity import computation
from vs_remaster.jobs.planning.options import JobOptions
from vs_remaster.jobs.run import remaster_job
from vs_remaster.models import build
from vs_remaster.models.layers import Halo
from vs_remaster.models.palette import PaletteColorizer, PaletteConfig
from vs_remaster.output.options import OutputOptions
from vs_remaster.references.rules import settle
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import AUTOMATIC, ColorizeOptions, RestoreOptions
from vs_remaster.remaster.pipeline import Picture, RemasterPipeline


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(ColorizeOptions(model="fast", lines=64, automatic=True, **CPU))


def test_a_window_gives_what_the_whole_clip_gives():
    torch.manual_seed(3)
    net = build("palette-colorizer").eval()
    net.palette.normal_(0, 0.1)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.01 * torch.randn_like(value))
        luma = torch.rand(1, 17, 1, 64, 96)
        whole = net(luma, []).chroma
        part = net(luma[:, 1:16], [], Halo(6, 6)).chroma
    assert whole.abs().max() > 0
    assert torch.allclose(whole[:, 7:10], part, atol=1e-6)


def test_frames_are_coloured_without_references(colorizer):
    luma = film(20, 20)  # more than a block: it sees as much round its edges as the network alone
    made = colorizer.colorize(luma, colorizer.encode_references(()))
    assert made.chroma.shape == (20, 2, 64, 96) and made.shares.shape == (20, 0)
    assert made.chroma.abs().mean() > 1e-3
    alone = Colorizer(ColorizeOptions(model=AUTOMATIC, **CPU))
    assert torch.equal(alone.colorize(luma, alone.encode_references(())).chroma, made.chroma)


def test_half_the_saturation_is_half_the_chroma(colorizer):
    half = Colorizer(replace(colorizer.options, saturation=0.5))
    luma = film(4)
    whole, pale = (one.colorize(luma, one.encode_references(())).chroma for one in (colorizer, half))
    assert torch.allclose(pale, whole / 2)


def test_only_frames_outside_of_all_scopes_are_guessed(colorizer):
    luma = film(8, 4)
    red = painted(luma[0], RED, scope=(0, 4))
    plain = Colorizer(replace(colorizer.options, automatic=False))
    guessed, gray = (one.colorize(luma, one.encode_references(settle([red], [4])), [4]) for one in (colorizer, plain))
    assert torch.equal(guessed.chroma[:4], gray.chroma[:4])
    assert not gray.chroma[4:].any()
    alone = colorizer.colorize(luma[4:], colorizer.encode_references(())).chroma
    assert torch.allclose(guessed.chroma[4:], alone, atol=1e-5)
    assert not guessed.shares[4:].any()


def test_a_frame_is_the_same_wherever_the_film_begins(colorizer):
    luma = film(24, 4)
    whole = colorizer.colorize(luma, colorizer.encode_references(()), [4]).chroma
    pictures = (Picture(luma[n], None, n) for n in range(10, 24))
    made = {p.index: p.chroma for p in RemasterPipeline(None, colorizer, (), [4]).process(pictures)}
    assert all(torch.allclose(made[n], whole[n], atol=1e-5) for n in range(16, 24))


def test_references_are_refused_by_the_network_that_takes_none():
    alone = Colorizer(ColorizeOptions(model=AUTOMATIC, **CPU))
    with pytest.raises(InputError, match="model automatic takes no references, got 1; leave the model to auto"):
        alone.encode_references([painted(film(1)[0], RED)])


def test_a_film_without_references_is_coloured_only_when_asked(caplog):
    asked, plain = ColorizeOptions(automatic=True), ColorizeOptions()
    caplog.set_level("INFO")
    assert to_color(RestoreOptions(), asked, ()) is asked
    assert "colours are guessed" in caplog.text
    assert to_color(RestoreOptions(), plain, ()) is None
    assert will_color(ColorizeOptions(model=AUTOMATIC), ()) and not will_color(plain, ()) and not will_color(None, ())
    with pytest.raises(InputError, match="nothing to do"):
        to_color(None, plain, ())


def test_jobs_know_a_guess_by_its_weights():
    plain, asked = (computation("colorizer", ColorizeOptions(automatic=value, **CPU)) for value in (False, True))
    assert "automatic" not in plain and len(asked["automatic"]) == 64


def test_a_job_guesses_as_the_direct_way_does(tmp_path):
    """One shot from a reference of its own, one by a guess, one in parts."""
    movie = write_film(tmp_path / "film.mkv", (6, 20), sound=False)
    how = {
        "restore": None,
        "colorize": ColorizeOptions(lines=64, automatic=True, **CPU),
        "references": [painted(film(1)[0], RED, scope=(0, 6))],
        "write": OutputOptions(codec="ffv1"),
    }
    remaster_film(movie, tmp_path / "direct.mkv", **how)
    remaster_job(movie, tmp_path / "job.mkv", options=JobOptions(folder=tmp_path / "job", chunk_frames=16), **how)
    assert len(list((tmp_path / "job/chunks").glob("*.json"))) == 3
    assert heard_and_seen(tmp_path / "job.mkv") == heard_and_seen(tmp_path / "direct.mkv")


def test_where_colours_far_from_each_other_are_likely_it_stays_calm():
    net = PaletteColorizer(PaletteConfig(colors=3)).eval()
    net.palette.copy_(torch.tensor([[0.2, -0.1], [-0.2, 0.3], [0.0, 0.0]]))
    scores = torch.tensor([[1.0, 0.8, -1.0], [9.0, -1.0, -1.0]]).t().reshape(1, 3, 1, 2)  # torn, then sure
    torn, sure = net.mixed(scores)[0, :, 0].t()
    share = torch.softmax(scores[0, :, 0, 0], 0)
    assert torch.allclose(torn, 0.75 * share @ net.palette, atol=1e-4) and torch.allclose(
        sure, net.palette[0], atol=2e-3
    )
