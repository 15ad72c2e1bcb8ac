"""Promise 1: frame n is always the same frame."""

from __future__ import annotations

import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vs_remaster.errors import InputError
from vs_remaster.models import build
from vs_remaster.models.layers import Halo
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.remaster.restorer import Passing, Restorer
from vs_remaster.remaster.window import Window
from vs_remaster.weights import find, load_weights

LENGTHS = (1, 2, 3, 15, 16, 17, 40)


def look(before: int, after: int):
    """A process whose frame n is the list of frames it can see: exactly what a network of that field depends on."""

    def process(items, halo: Halo):
        return [tuple(items[max(0, i - before) : i + after + 1]) for i in range(halo.before, len(items) - halo.after)]

    return process


def expected(n: int, before: int, after: int, length: int, cuts: set[int]) -> tuple[int, ...]:
    start = max([0, *(c for c in cuts if c <= n)])
    end = min([length, *(c for c in cuts if c > n)])
    return tuple(range(max(start, n - before), min(end, n + after + 1)))


def push(window: Window, length: int, cuts: set[int], process) -> list:
    return list(window.run(((i, i in cuts) for i in range(length)), process))


def single(window: Window, n: int, length: int, cuts: set[int], process):
    """Frame n by random access: only the block it lies in is computed."""
    for span in window.spans(n // window.block, length, cuts):
        if span.start <= n < span.stop:
            return process(list(range(span.first, span.last)), span.halo)[n - span.start]
    raise AssertionError(n)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(1, 16),
    st.integers(1, 60),
    st.sets(st.integers(1, 59), max_size=8),
)
def test_every_frame_sees_its_own_scene_and_no_more(before, after, block, length, cuts):
    window = Window(before=before, after=after, block=block)
    made = push(window, length, cuts, look(before, after))
    assert made == [expected(n, before, after, length, cuts) for n in range(length)]
    order = torch.randperm(length, generator=torch.Generator().manual_seed(length)).tolist()
    assert {n: single(window, n, length, cuts, look(before, after)) for n in order} == dict(enumerate(made))


@pytest.mark.parametrize("length", LENGTHS)
def test_memory_is_bounded_and_frames_are_computed_once(length):
    window, fed, kept = Window(before=3, after=2, block=4), [], []

    def process(items, halo):
        fed.append(len(items))
        kept.extend(items[halo.before : len(items) - halo.after])
        return items[halo.before : len(items) - halo.after]

    assert push(window, length, set(), process) == list(range(length)) == kept
    assert max(fed) <= 3 + 4 + 2


def test_frames_are_let_go():
    class Frame:
        pass

    alive = weakref.WeakSet()

    def source():
        for _ in range(300):
            frame = Frame()
            alive.add(frame)
            yield frame, False

    window = Window(before=3, after=2, block=4)
    for _ in window.run(source(), lambda items, halo: [None] * (len(items) - halo.before - halo.after)):
        assert len(alive) <= 3 + 4 + 2 + 1


def test_output_comes_as_soon_as_its_context_is_there():
    window, pushed = Window(before=2, after=3, block=4), []

    def source():
        for i in range(100):
            pushed.append(i)
            yield i, False

    film = window.run(source(), look(2, 3))
    next(film)
    assert pushed[-1] == 4 + 3 - 1


def test_starting_in_mid_film_keeps_the_grid():
    window = Window(before=0, after=0, block=8)
    sizes = []

    def process(items, halo):
        sizes.append(len(items))
        return items

    assert list(window.run(((i, False) for i in range(5, 20)), process, first=5)) == list(range(5, 20))
    assert sizes == [3, 8, 4]


@pytest.mark.parametrize("values", [{"before": -1, "after": 0, "block": 1}, {"before": 0, "after": 0, "block": 0}])
def test_impossible_windows_are_refused(values):
    with pytest.raises(InputError, match="block"):
        Window(**values)


# ---- the shipped networks


def film(length: int, height: int = 48, width: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    base = torch.rand(1, height // 8, width // 8, generator=generator)
    base = torch.nn.functional.interpolate(base[None], (height, width), mode="bicubic")[0]
    return (base[None] * 0.8 + 0.1 + 0.05 * torch.randn(length, 1, height, width, generator=generator)).clamp(0, 1)


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(RestoreOptions(model="fast", device="cpu", precision="fp32", sharpness=0))


def blocked(restorer: Restorer, block: int) -> Restorer:
    return Restorer(replace(restorer.options), block=block)


@pytest.mark.parametrize("length", LENGTHS)
def test_restorer_in_blocks_equals_the_whole_scene(restorer, length):
    luma = film(length)
    whole = restorer.engine.net(luma[None]).luma[0]
    assert (restorer.restore(luma).luma - whole).abs().max() < 1e-5


@pytest.mark.parametrize("block", [1, 5, 16])
def test_block_size_does_not_change_the_picture(restorer, block):
    luma = film(20)
    a, b = restorer.restore(luma, cuts=[7]).luma, blocked(restorer, block).restore(luma, cuts=[7]).luma
    assert (a - b).abs().max() < 1e-5


@pytest.mark.parametrize("network", ["restorer", "colorizer"])
def test_double_precision_is_equal_but_for_its_last_bits(network):
    """What differs in float32 is rounding only: in float64 the difference shrinks with it."""
    net = load_weights(find(network, "fast")).double()
    luma = film(50).double()[None]
    args = []
    if network == "colorizer":
        args = [[net.encode_all([(luma[0, :1], luma[0, :1].repeat(1, 2, 1, 1) - 0.5)])]]
    whole = net(luma, *args)[0]
    part = net(luma[:, 23 - net.before : 26 + net.after], *args, halo=Halo(net.before, net.after))[0]
    assert (whole[:, 23:26] - part).abs().max() < 1e-12


@pytest.mark.parametrize("cut", [None, 23])
def test_restorer_depends_on_its_declared_field_and_no_more(restorer, cut):
    luma, n = film(50), 25
    cuts = [cut] if cut else []
    before = restorer.restore(luma, cuts).luma[n]
    field = set(expected(n, restorer.window.before, restorer.window.after, 50, set(cuts)))
    touched = {}
    for k in (4, 5, 22, 23, 24, 26, 45, 46):
        changed = luma.clone()
        changed[k] = 1 - changed[k]
        touched[k] = bool((restorer.restore(changed, cuts).luma[n] != before).any())
    assert all(not hit for k, hit in touched.items() if k not in field), touched
    assert touched[24] and touched[26]
    assert cut or touched[n - restorer.window.before]  # the outermost frames really count
    assert touched[n + restorer.window.after]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_restorer_is_bit_equal_however_the_film_is_pushed(precision):
    restorer = Restorer(RestoreOptions(model="fast", device="cpu", precision=precision))
    luma = film(37)
    once, again = restorer.restore(luma, [20]).luma, restorer.restore(luma, [20]).luma
    pairs = dict(enumerate(Passing(frame) for frame in luma))
    for window, make in restorer.steps:
        made = {}
        for index in (4, 0, 2, 1, 3):
            for span in window.spans(index, 37, [20]):
                part = make([pairs[n] for n in range(span.first, span.last)], span.halo)
                made |= {span.start + i: pair for i, pair in enumerate(part)}
        pairs = made
    assert len(restorer.steps) == 3
    assert torch.equal(once, again)
    assert all(torch.equal(once[n], pairs[n].luma) for n in range(37))


@pytest.mark.parametrize("scale", [1, 2])
def test_sharpening_looks_one_frame_each_way_and_not_across_a_cut(scale):
    restorer = Restorer(RestoreOptions(model="fast", device="cpu", precision="fp32", scale=scale))
    luma = list(film(9))
    window, n = restorer.sharpener.window, 4

    def made(frames):
        pairs = ((Passing(frame, frame), i == 5) for i, frame in enumerate(frames))
        return list(window.run(pairs, restorer.sharpen))[n].luma

    base = made(luma)
    for k in range(9):
        changed = [1 - frame if i == k else frame for i, frame in enumerate(luma)]
        assert (made(changed) != base).any() == (k in (3, 4)), k


@pytest.mark.parametrize("model", ["fast", "quality"])
def test_colorizer_depends_on_its_declared_field_and_no_more(model):
    from vs_remaster.references.reference import Reference

    colorizer = Colorizer(ColorizeOptions(model=model, device="cpu", precision="fp32", lines=64), block=4)
    memory = colorizer.encode_references([Reference("a", torch.rand(3, 64, 80), None)])
    luma, n = film(14), 6
    base = colorizer.colorize(luma, memory).chroma[n]
    for k, inside in ((2, False), (3, True), (7, True), (9, True), (10, False)):
        changed = luma.clone()
        changed[k] = 1 - changed[k]
        assert bool((colorizer.colorize(changed, memory).chroma[n] != base).any()) == inside, k


@pytest.mark.parametrize("model", ["fast", "quality"])
def test_colorizer_in_blocks_equals_the_whole_scene(model):
    from vs_remaster.references.reference import Reference

    luma = film(20, 64, 80)
    made = []
    for block in (1, 5, 32):
        colorizer = Colorizer(ColorizeOptions(model=model, device="cpu", precision="fp32", lines=64), block=block)
        generator = torch.Generator().manual_seed(2)
        memory = colorizer.encode_references([Reference("a", torch.rand(3, 64, 80, generator=generator), None)])
        made.append(colorizer.colorize(luma, memory, cuts=[13]).chroma)
    assert (made[0] - made[2]).abs().max() < 1e-5
    assert (made[1] - made[2]).abs().max() < 1e-5


def test_fresh_networks_build_from_their_own_description():
    for name in ("restorer", "colorizer"):
        net = build(name)
        assert max(net.before, net.after) <= {"restorer": 20, "colorizer": 8}[name]
