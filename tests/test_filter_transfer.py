"""The VapourSynth filters send a frame up once, and bring it back once, in the clip's own samples: counted on a CPU
that plays a device. What comes out is what the filters make on the CPU."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

vs = pytest.importorskip("vapoursynth", reason="needs VapourSynth: pip install 'vs-remaster[vapoursynth]'")

import vs_remaster  # noqa: E402
from tests.support.counting import CountingTransfer, counted  # noqa: E402
from tests.support.films import moving  # noqa: E402
from vs_remaster.filters import definitions  # noqa: E402

WIDTH, HEIGHT, COUNT = 64, 48, 40
LUMA, CHROMA = WIDTH * HEIGHT, 2 * WIDTH * HEIGHT // 4  # samples of 4:2:0
EXACT = {"model": "fast", "device": "cpu", "precision": "fp32", "scenes": [17]}
FORMATS = {vs.YUV420P8: "yuv420p", vs.YUV420P10: "yuv420p10le", vs.YUV420P16: "yuv420p16le"}


@pytest.fixture
def buses(monkeypatch) -> list[CountingTransfer]:
    """Those of the filters that are called from now on."""
    return counted(monkeypatch, definitions)


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    path = tmp_path_factory.mktemp("still") / "still.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    return path


def film(fmt):
    blank = vs.core.std.BlankClip(None, WIDTH, HEIGHT, fmt, COUNT, keep=True)
    name = FORMATS.get(fmt, "gray")

    def fill(n, f):
        out = f.copy()
        for number, plane in enumerate(moving(name, WIDTH, HEIGHT, n)):
            np.copyto(np.asarray(out[number]), plane)
        return out

    return blank.std.ModifyFrame(blank, fill)


def frames(clip, order=None):
    """The planes and properties of each frame, asked for in an order."""
    found = {}
    for n in order or range(len(clip)):
        frame = clip.get_frame(n)
        found[n] = [np.array(plane) for plane in frame], dict(frame.props)
    return [found[n] for n in range(len(clip))]


def same(ours, theirs):
    for (planes, props), (others, wanted) in zip(ours, theirs, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(planes, others, strict=True))
        assert props == wanted


@pytest.mark.parametrize("fmt", FORMATS, ids=FORMATS.get)
def test_restore(buses, fmt, monkeypatch):
    clip = film(fmt)
    made = frames(vs_remaster.restore(clip, **EXACT))
    size = clip.format.bytes_per_sample
    assert (buses[0].went_up, buses[0].came_down) == (COUNT * size * LUMA, COUNT * size * LUMA)
    monkeypatch.undo()
    same(made, frames(vs_remaster.restore(clip, **EXACT)))


@pytest.mark.parametrize("fmt", FORMATS, ids=FORMATS.get)
def test_colorize(buses, fmt, still, monkeypatch):
    clip, how = film(fmt), {**EXACT, "color_lines": 64}
    made = frames(vs_remaster.colorize(clip, still, **how))
    size = clip.format.bytes_per_sample
    assert (buses[0].went_up, buses[0].came_down) == (COUNT * size * LUMA, COUNT * size * CHROMA)
    monkeypatch.undo()
    same(made, frames(vs_remaster.colorize(clip, still, **how)))


@pytest.mark.parametrize("more", [{"scale": 2}, {"strength": 0.4}, {"scenes": None, "levels": [0.05, 0.9]}])
def test_frames_in_any_order_are_those_of_the_cpu(buses, more, monkeypatch):
    clip, order = film(vs.YUV420P8), list(np.random.default_rng(0).permutation(COUNT))
    made = frames(vs_remaster.restore(clip, **EXACT | more), map(int, order))
    assert buses[0].went_up > 0
    monkeypatch.undo()
    same(made, frames(vs_remaster.restore(clip, **EXACT | more)))


def test_masks_and_prepared_frames(buses, monkeypatch):
    clip = film(vs.GRAY8)[:18]
    repair, protect = (clip.std.BinarizeMask(200 + 30 * i) for i in range(2))
    how = {**EXACT, "repair": repair, "protect": protect, "masks": True, "bad_frames": [5], "steady": 0.5}
    made = [frames(one) for one in vs_remaster.restore(clip, **how)]
    assert buses[0].went_up > 0
    monkeypatch.undo()
    for ours, theirs in zip(made, vs_remaster.restore(clip, **how), strict=True):
        same(ours, frames(theirs))
