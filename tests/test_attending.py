"""Weights and scopes of references on constructed scenes: which reference acts on which frame, and how much."""

from __future__ import annotations

import logging
import weakref
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from comfy_nodes import images
from tests.support.colored_scenes import BLUE, CPU, GREEN, RED, film, gray, painted
from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.engines import make_engine
from vs_remaster.errors import InputError
from vs_remaster.models import build
from vs_remaster.models.layers import NO_HALO, Halo
from vs_remaster.references.reference import Reference
from vs_remaster.references.rules import Rule, rules_of, settle
from vs_remaster.remaster import memory as attending
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions
from vs_remaster.remaster.pipeline import Picture, RemasterPipeline
from vs_remaster.remaster.worker import Overlap


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(ColorizeOptions(model="fast", lines=64, **CPU))


def made(colorizer: Colorizer, luma: torch.Tensor, references: list[Reference], cuts: list[int] | tuple = ()):
    return colorizer.colorize(luma, colorizer.encode_references(settle(references, cuts)), cuts)


# Weights --------------------------------------------------------------------------------------------------------------


def test_weight_moves_the_hue_from_one_reference_to_the_other(colorizer):
    """Two pictures of one scene, one red, one blue."""
    luma = film(3)
    red, blue = painted(luma[1], RED), painted(luma[1], BLUE)
    hues, shares = [], []
    for weight in (0, 0.05, 0.2, 1, 5, 20, 1000):
        out = made(colorizer, luma, [replace(red, weight=weight), blue])
        cb, cr = out.chroma.mean((0, 2, 3)).tolist()
        hues.append(cr - cb)
        shares.append(out.shares[:, 0].mean().item())
    assert hues == sorted(hues) and shares == sorted(shares)
    assert hues[0] < -0.02 and hues[-1] > 0.02 and min(b - a for a, b in pairwise(shares)) > 1e-3
    assert shares[0] == 0 and shares[-1] > 0.9


def test_weight_two_is_the_reference_given_twice_but_for_the_number_of_keys(colorizer):
    luma = film(1)
    red, blue = painted(luma[0], RED), painted(luma[0], BLUE)
    heavy = made(colorizer, luma, [replace(red, weight=2), blue]).shares[0]
    twice = made(colorizer, luma, [red, red, blue]).shares[0]
    assert heavy[0] / heavy[1] == pytest.approx(2, rel=0.002)
    assert (twice[0] + twice[1]) / twice[2] == pytest.approx(2, rel=0.002)


def test_weight_one_gives_the_very_bits_of_the_network(colorizer):
    luma = film(5)
    references = [painted(luma[0], RED), painted(gray(2), BLUE)]
    pictures = [rgb_to_ycbcr(r.rgb[None]).split([1, 2], 1) for r in references]
    memory = colorizer.engine.encode(pictures)
    chroma, shares = colorizer.engine.colorize(luma, memory, NO_HALO)
    out = made(colorizer, luma, references)
    assert torch.equal(out.chroma, chroma) and torch.equal(out.shares, shares)
    # a weight other than 1 and back is the same arithmetic but for zeros
    gained = colorizer.engine.colorize(luma, memory._replace(gains=torch.zeros(2)), NO_HALO)
    assert torch.equal(gained[0], chroma)


def test_weight_zero_is_as_if_the_reference_were_not_there(colorizer):
    luma = film(3)
    red, blue = painted(luma[1], RED, weight=0.0), painted(luma[1], BLUE)
    out, alone = made(colorizer, luma, [red, blue]), made(colorizer, luma, [blue])
    assert torch.equal(out.chroma, alone.chroma)
    assert out.shares[:, 0].tolist() == [0, 0, 0] and torch.equal(out.shares[:, 1:], alone.shares)


def test_networks_that_cannot_weigh_say_so_once(caplog):
    colorizer = Colorizer(ColorizeOptions(model="fast", lines=64, **CPU))
    net = build("rtn-colorizer")
    colorizer.engine = make_engine(net, "torch", "cpu", "fp32")
    colorizer.info = replace(colorizer.info, weighs_references=False, needs_references=True)
    luma = film(2)
    with caplog.at_level(logging.WARNING):
        colorizer.encode_references([painted(luma[0], RED, weight=3.0), painted(luma[0], BLUE)])
    assert len(caplog.records) == 1 and "cannot weigh references" in caplog.text and "one colour" in caplog.text


# Scopes ---------------------------------------------------------------------------------------------------------------


def test_a_range_excludes_exactly(colorizer):
    """Frames outside of it are those of a film that never had the reference, up to the very edge."""
    luma = film(24, cut=99)
    red, blue = painted(luma[5], RED, scope=(7, 13)), painted(luma[9], BLUE)
    out = made(colorizer, luma, [red, blue])
    alone, both = made(colorizer, luma, [blue]), made(colorizer, luma, [replace(red, scope="film"), blue])
    outside = [n for n in range(24) if not 7 <= n < 13]
    for far in (
        slice(0, 4),
        slice(16, 24),
    ):  # beyond what the network looks at; windows of other lengths round otherwise
        assert torch.allclose(out.chroma[far], alone.chroma[far], atol=1e-5)
    cut = made(colorizer, luma, [blue], [7, 13])
    assert torch.equal(out.chroma[outside], cut.chroma[outside])
    assert torch.equal(out.shares[outside, 1], cut.shares[outside, 0])
    assert out.shares[outside, 0].abs().max() == 0 and out.shares[7:13, 0].min() > 0.1
    inside = made(colorizer, luma, [replace(red, scope="film"), blue], [7, 13])
    assert torch.equal(out.chroma[7:13], inside.chroma[7:13]) and both.shares[0, 0] > 0.1


def test_a_shot_is_where_the_frame_lies(colorizer):
    luma = film(40, cut=20)
    references = [painted(luma[30], RED, frame=33, scope="shot"), painted(luma[3], BLUE)]
    out = made(colorizer, luma, references, [20])
    assert out.shares[:20, 0].abs().max() == 0 and out.shares[20:, 0].min() > 0.1
    alone = made(colorizer, luma, references[1:], [20])
    assert torch.equal(out.chroma[:20], alone.chroma[:20])


def test_a_batch_of_pictures_takes_scopes_as_text(colorizer):
    """The nodes of ComfyUI hand pictures on, not files; the shots of a batch are found in it."""
    luma = film(40, cut=20)
    batch = luma.permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    given = torch.stack([painted(luma[n], color).rgb.permute(1, 2, 0) for n, color in ((30, RED), (3, BLUE))])
    rules = '[[reference]]\npicture = "a"\nscope = "shot"\nframe = 30\n[[reference]]\npicture = "b"\nweight = 0.5'
    _, shares = images.colorize(batch, images.references_of(given, 64, rules=rules), colorizer, "auto")
    assert [n for n in range(40) if shares[n][0] > 0] == list(range(20, 40))
    assert all(share[1] > 0 for share in shares)


def test_frames_that_no_reference_acts_on_stay_gray_and_that_is_said(colorizer, caplog):
    luma = film(10)
    with caplog.at_level(logging.WARNING):
        out = made(colorizer, luma, [painted(luma[3], RED, scope=(2, 6))])
    assert out.chroma[[0, 1, 6, 9]].abs().max() == 0 and out.shares[[0, 1, 6, 9]].abs().max() == 0
    assert out.chroma[2:6].abs().mean() > 0.01
    assert len(caplog.records) == 1 and "no reference acts on frame 0" in caplog.text


@pytest.mark.parametrize("scenes", ["none", [20], "auto"])
def test_frames_are_the_same_from_wherever_the_film_begins(colorizer, scenes):
    """Scopes are of absolute frame numbers: a film begun in its middle has the frames of the whole."""
    luma = film(48, cut=20)
    references = [painted(luma[30], RED, scope=(25, 41)), painted(luma[3], BLUE, frame=3, scope="shot", shot=(0, 20))]
    references.append(painted(luma[35], GREEN))

    def run(start: int) -> dict[int, Picture]:
        frames = (Picture(luma[n], None, n) for n in range(start, 48))
        return {p.index: p for p in RemasterPipeline(None, colorizer, references, scenes).process(frames)}

    whole, part = run(0), run(26)
    for n in range(32, 48):
        assert torch.equal(whole[n].chroma, part[n].chroma) and torch.equal(whole[n].shares, part[n].shares)
    assert [n for n in range(48) if whole[n].shares[0] > 0] == list(range(25, 41))
    shot = 48 if scenes == "none" else 20
    assert [n for n in range(48) if whole[n].shares[1] > 0] == list(range(shot))


def test_windows_are_cut_where_references_begin_and_cease():
    spans = [("a", 1, 0, None), ("b", 1, 103, 105), ("c", 0, 101, 109), ("d", 1, 90, 103)]
    rules = tuple(Rule(*span, likeness=None, known=False) for span in spans)
    runs = attending.ReferenceSet(None, rules, True).runs(100, 8)
    assert runs == [(0, 3, (0, 3)), (3, 5, (0, 1)), (5, 8, (0,))]


def test_settling_turns_shots_and_times_into_ranges():
    picture = torch.zeros(3, 4, 4)
    at = Reference("a", picture, 25, scope="shot")
    assert [r.scope for r in settle([at], [40, 10, 20])] == [(20, 40)]
    assert [r.scope for r in settle([at, replace(at, frame=40)], [40])] == [(0, 40), (40, None)]
    assert settle([at], ())[0].scope == (0, None)
    known = replace(at, shot=(18, 30))
    assert settle([known], None)[0].scope == (18, 30) and settle([known], [20])[0].scope == (20, None)
    timed = replace(at, frame=None, time=1.5)
    assert settle([timed], [30, 40], 24)[0].scope == (30, 40) and settle([timed], [], 24)[0].frame == 36


@pytest.mark.parametrize(
    ("reference", "cuts", "words"),
    [
        ({"frame": 3, "scope": "shot"}, None, r"'a' acts in its shot, but the cuts are found only as the film goes by"),
        ({"scope": "shot"}, [3], r"'a' acts in its shot, but nothing says which frame it shows"),
        ({"scope": "shot", "time": 2.0}, [3], r"'a' belongs to a time, but the rate"),
    ],
)
def test_shots_that_cannot_be_told_are_named(reference, cuts, words):
    with pytest.raises(InputError, match=words):
        settle([Reference("a", torch.zeros(3, 4, 4), **reference)], cuts)
    if cuts is None:
        with pytest.raises(InputError, match=words):
            rules_of([Reference("a", torch.zeros(3, 4, 4), **reference)])


@pytest.mark.parametrize(
    ("network", "config"), [("deepremaster-colorizer", '{"width": 0.25}'), ("rtn-colorizer", None)]
)
def test_scopes_leave_references_out_of_every_network(network, config):
    """What the networks of papers remember of some references is what they would of those alone."""
    net = build(network, config).eval()
    generator = torch.Generator().manual_seed(0)
    pictures = [(torch.rand(1, 1, 64, 80, generator=generator), torch.rand(1, 2, 64, 80) - 0.5) for _ in range(3)]
    with torch.inference_mode():
        some = net.encode_all(pictures).subset((0, 2), (1.0, 1.0))
        alone = net.encode_all([pictures[0], pictures[2]])
    for a, b in zip(some, alone):
        assert all(torch.equal(x, y) for x, y in zip(a, b)) if isinstance(a, list) else torch.equal(a, b)


# Many references ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["fast", "quality"])
def test_some_of_a_memory_is_what_those_alone_would_be(model):
    colorizer = Colorizer(ColorizeOptions(model=model, lines=64, **CPU))
    pictures = [rgb_to_ycbcr(painted(gray(n, 64, 64 + 16 * n), RED).rgb[None]).split([1, 2], 1) for n in range(4)]
    some = colorizer.engine.encode(pictures).subset((1, 3), (1.0, 1.0))
    for a, b in zip(some, colorizer.engine.encode([pictures[1], pictures[3]])):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_of_many_references_those_that_resemble_the_block_are_attended(colorizer):
    luma = film(40, cut=20)
    strangers = [painted(gray(100 + n), RED, frame=n) for n in range(30)]
    references = [*strangers[:15], painted(luma[4], BLUE), *strangers[15:], painted(luma[25], GREEN)]
    out = made(colorizer, luma, references, [20])
    attended = [tuple(row.nonzero()[:, 0].tolist()) for row in out.shares]
    assert all(len(row) == attending.MOST for row in attended)
    # one choice for each block of a shot
    assert len({attended[n] for n in range(16)}) == len({attended[n] for n in range(32, 40)}) == 1
    assert all(15 in row for row in attended[:20]) and all(31 in row for row in attended[20:])
    assert out.shares[:20].argmax(1).unique().tolist() == [15] and out.shares[20:].argmax(1).unique().tolist() == [31]
    # frames do not depend on what was asked for before
    memory = colorizer.encode_references(references)
    late = colorizer.process(list(luma[29:40]), memory, Halo(3, 0), 29)
    assert torch.equal(torch.stack([chroma for chroma, _ in late]), out.chroma[32:])


def test_few_references_are_attended_as_they_are(colorizer):
    luma = film(4)
    references = [painted(gray(100 + n), RED) for n in range(attending.MOST)]
    out = made(colorizer, luma, references)
    assert (out.shares > 0).all()
    pictures = [rgb_to_ycbcr(r.rgb[None]).split([1, 2], 1) for r in references]
    chroma, _ = colorizer.engine.colorize(luma, colorizer.engine.encode(pictures), NO_HALO)
    assert torch.equal(out.chroma, chroma)


def test_what_resembles_a_frame_too_little_is_ignored(colorizer):
    luma = film(40, cut=20)
    own, other = painted(luma[4], BLUE), painted(luma[30], RED)
    out = made(colorizer, luma, [own, replace(other, likeness=0.9)], [20])
    assert out.shares[:20, 1].abs().max() == 0 and out.shares[20:, 1].min() > 0.3
    alone = made(colorizer, luma, [own], [20])
    assert torch.equal(out.chroma[:20], alone.chroma[:20])


def test_pictures_that_show_no_frame_of_the_film_colour_what_resembles_them(colorizer, monkeypatch, caplog):
    """Beside pictures of the film; among each other they act as pictures of the film do."""
    monkeypatch.setattr(attending, "STRANGE", 0.95)  # scenes made of noise are more alike than those of films
    luma = film(40, cut=20)
    own, strangers = painted(luma[4], BLUE, frame=4), [painted(gray(100 + n), RED) for n in range(4)]
    alone = made(colorizer, luma, [own], [20])
    with caplog.at_level(logging.INFO):
        out = made(colorizer, luma, [own, *strangers], [20])
    assert "4 of 5 references show no frame of the film" in caplog.text
    assert torch.equal(out.chroma, alone.chroma) and out.shares[:, 1:].abs().max() == 0
    still = painted(luma[25], GREEN)  # of the film, though nobody said so
    out = made(colorizer, luma, [own, still, *strangers], [20])
    assert out.shares[20:, 1].min() > 0.3 and out.shares[:, 2:].abs().max() == 0
    always = [replace(one, likeness=0.0) for one in strangers]
    assert made(colorizer, luma, [own, *always], [20]).shares[20:, 1:].sum(1).min() > 0.05
    assert (made(colorizer, luma, strangers, [20]).shares > 0).all()


def test_pictures_of_the_film_that_are_left_out_themselves_leave_nobody_out(colorizer):
    luma = film(40, cut=20)
    own, stranger = painted(luma[4], BLUE, frame=4, likeness=0.99), painted(gray(100), RED)
    out = made(colorizer, luma, [own, stranger], [20])
    assert out.shares[20:, 0].abs().max() == 0 and out.shares[20:, 1].min() > 0.05


# Looks ----------------------------------------------------------------------------------------------------------------


def test_a_frame_that_lies_in_two_windows_is_looked_at_once_and_is_the_same(colorizer, monkeypatch):
    luma = film(40)
    references = [painted(luma[0], RED)]
    memory = colorizer.encode_references(references)
    looked = []
    plain = colorizer.engine.look
    monkeypatch.setattr(colorizer.engine, "look", lambda luma, *x: looked.append(len(luma)) or plain(luma, *x))
    frames = list(luma)
    whole = colorizer.window.run(
        ((frame, False) for frame in frames), lambda part, halo: colorizer.process(part, memory, halo)
    )
    chroma = torch.stack([one for one, _ in whole])
    assert sum(looked) == 40
    looked.clear()
    fresh = colorizer.process([frame.clone() for frame in frames[13:35]], memory, Halo(3, 3), 13)  # the second block
    assert sum(looked) == 22
    assert torch.equal(torch.stack([one for one, _ in fresh]), chroma[16:32])


def test_what_was_seen_is_kept_and_not_the_frames():
    overlap, made = Overlap(2), []

    def make(new):
        made.extend(new)
        return list(new)

    frames = [torch.zeros(1) for _ in range(4)]
    assert overlap.of(frames, make) == [0, 1, 2, 3]
    gone = weakref.ref(frames[2])
    frames = [frames[3], torch.zeros(1)]
    assert gone() is None
    assert overlap.of(frames, make) == [3, 1] and made == [0, 1, 2, 3, 1]
    assert overlap.of(frames, make, given="other") == [0, 1]
