"""The VapourSynth filters in a real core."""

from __future__ import annotations

import functools
import gc
import hashlib
import inspect
import random
import shutil
import subprocess
import sys
import weakref
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

vs = pytest.importorskip("vapoursynth", reason="needs VapourSynth: pip install 'vs-remaster[vapoursynth]'")

import vs_remaster  # noqa: E402
from vs_remaster.color.matrices import fit_gamut, rgb_to_ycbcr  # noqa: E402
from vs_remaster.color.samples import decode  # noqa: E402
from vs_remaster.engines.pytorch import TorchEngine  # noqa: E402
from vs_remaster.film.merging import merge_films  # noqa: E402
from vs_remaster.film.remastering import remaster_film  # noqa: E402
from vs_remaster.filters import definitions as filters  # noqa: E402
from vs_remaster.filters import scene_marks  # noqa: E402
from vs_remaster.filters.clips import samples_of  # noqa: E402
from vs_remaster.output.options import OutputOptions  # noqa: E402
from vs_remaster.references.manifest import NAME, Entry, Manifest, write_manifest  # noqa: E402
from vs_remaster.references.reference import load_references  # noqa: E402
from vs_remaster.remaster.levels import levelled_luma  # noqa: E402
from vs_remaster.remaster.options import ColorizeOptions, Levels, RestoreOptions  # noqa: E402
from vs_remaster.video.reader import VideoReader  # noqa: E402

core = vs.core
EXACT = {"device": "cpu", "precision": "fp32"}
SMALL = {**EXACT, "color_lines": 64}
GRAY = [vs.GRAY8, vs.GRAY10, vs.GRAY12, vs.GRAY14, vs.GRAY16, vs.GRAYH, vs.GRAYS]
YUV = [vs.YUV420P8, vs.YUV422P9, vs.YUV444P10, vs.YUV440P8, vs.YUV411P8, vs.YUV410P8, vs.YUV420P12, vs.YUV422P14]
YUV += [vs.YUV420P16, vs.YUV444P16, vs.YUV420PH, vs.YUV444PH, vs.YUV420PS, vs.YUV444PS]
RGB = [vs.RGB24, vs.RGB30, vs.RGB48, vs.RGBH, vs.RGBS]


def name_of(fmt) -> str:
    return fmt.name if isinstance(fmt, vs.PresetVideoFormat) else str(fmt)


def planes(frame) -> list[np.ndarray]:
    return [np.array(frame[i]) for i in range(frame.format.num_planes)]


def digest(frame) -> str:
    whole = hashlib.sha256()
    for plane in planes(frame):
        whole.update(np.ascontiguousarray(plane).tobytes())
    return whole.hexdigest()


def made_of(make, fmt=vs.GRAY16, width=96, height=64, length=6, **props):
    """A clip whose planes are what `make(n, plane, shape)` gives: code values, or floats."""
    blank = core.std.BlankClip(None, width, height, fmt, length, keep=True)

    def fill(n, f):
        out = f.copy()
        for i in range(out.format.num_planes):
            target = np.asarray(out[i])
            np.copyto(target, make(n, i, target.shape).astype(target.dtype))
        return out

    clip = blank.std.ModifyFrame(blank, fill)
    return clip.std.SetFrameProps(**props) if props else clip


def noise(fmt, length=3, **props):
    """Random samples over all that the format holds."""
    form = core.get_video_format(fmt)

    def make(n, plane, shape):
        draw = np.random.default_rng((n, plane))
        if form.sample_type == vs.INTEGER:
            return draw.integers(0, 1 << form.bits_per_sample, shape)
        return draw.random(shape) - (0.5 if plane and form.color_family == vs.YUV else 0)

    return made_of(make, fmt, length=length, **props)


@functools.cache
def backdrop(seed: int) -> np.ndarray:
    """A wide picture `[64, 400]` of blots, 0..1."""
    blots = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (64, 400)).astype(np.float32), (0, 0), 4)
    return np.clip(0.5 + 0.22 * blots / blots.std(), 0, 1)


def scene(n: int, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A moving picture with grain, 0..1, of at most 64 x 96; another seed is another scene."""
    picture = backdrop(seed)[: shape[0], 2 * n : 2 * n + shape[1]]
    return np.clip(picture + np.random.default_rng((seed, n)).normal(0, 0.02, shape), 0, 1).astype(np.float32)


def film(length=40, cut=None, fmt=vs.GRAY16, changed=()):
    """A gray film of full range with a cut; the frames in `changed` are brighter."""
    form = core.get_video_format(fmt)
    top = 1 if form.sample_type == vs.FLOAT else (1 << form.bits_per_sample) - 1

    def make(n, plane, shape):
        picture = scene(n, shape, int(cut is not None and n >= cut)) + (0.15 if n in changed else 0)
        return np.rint(picture.clip(0, 1) * top) if top > 1 else picture

    return made_of(make, fmt, length=length, _Range=1)


@pytest.fixture(scope="module")
def stills(tmp_path_factory) -> Path:
    """A folder with two reference pictures of the scenes above."""
    folder = tmp_path_factory.mktemp("stills")
    for seed in (0, 1):
        picture = scene(0, (64, 96), seed)
        tint = [0.9, 0.6, 0.4] if seed else [0.4, 0.7, 1.0]
        pixels = (picture[..., None] * np.array(tint)[None, None] * 255).round().astype(np.uint8)
        cv2.imencode(".png", pixels)[1].tofile(folder / f"scene_{seed * 20:04}.png")
    return folder


# ---- formats


@pytest.mark.parametrize("fmt", GRAY + YUV, ids=name_of)
def test_luma_comes_out_of_colorize_bit_for_bit(fmt, stills):
    clip = noise(fmt)
    out = vs_remaster.colorize(clip, stills, **SMALL, scenes=None)
    gray = core.get_video_format(fmt).color_family == vs.GRAY
    want = (vs.YUV, clip.format.sample_type, clip.format.bits_per_sample)
    assert (out.format.color_family, out.format.sample_type, out.format.bits_per_sample) == want
    assert (out.format.subsampling_w, out.format.subsampling_h) == (
        (0, 0) if gray else (clip.format.subsampling_w, clip.format.subsampling_h)
    )
    for a, b in zip(clip.frames(), out.frames(), strict=True):
        assert np.array_equal(np.asarray(a[0]), np.asarray(b[0]))
        assert all(np.isfinite(np.asarray(b[i], dtype=np.float32)).all() for i in (1, 2))


@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("fmt", [vs.YUV420P16, vs.YUV444PS, vs.GRAY16], ids=name_of)
def test_luma_of_noise_survives_every_way_of_saying_the_range(fmt, limited, stills):
    clip = noise(fmt, _Range=0 if limited else 1, _Matrix=1)
    for out in (
        vs_remaster.colorize(clip, stills, **SMALL),
        vs_remaster.merge_lab(clip, noise(vs.YUV420P8)),
        vs_remaster.merge_lab(clip, noise(vs.RGB24), weight=0.3),
    ):
        for a, b in zip(clip.frames(), out.frames(), strict=True):
            assert np.array_equal(np.asarray(a[0]), np.asarray(b[0]))


@pytest.mark.parametrize("fmt", GRAY + YUV + RGB, ids=name_of)
def test_restore_keeps_the_format_and_the_chroma(fmt):
    clip = noise(fmt)
    out = vs_remaster.restore(clip, **EXACT)
    assert (out.format.id, out.num_frames, out.fps) == (clip.format.id, clip.num_frames, clip.fps)
    for a, b in zip(clip.frames(), out.frames(), strict=True):
        before, after = planes(a), planes(b)
        assert not np.array_equal(before[0], after[0])
        if fmt not in RGB:
            assert all(np.array_equal(x, y) for x, y in zip(before[1:], after[1:], strict=True))


@pytest.mark.parametrize("fmt", [vs.GRAY8, vs.GRAYH, vs.YUV420P10, vs.RGB48, vs.RGBS], ids=name_of)
def test_strength_zero_is_the_source(fmt):
    clip = noise(fmt)
    out = vs_remaster.restore(clip, **EXACT, strength=0)
    assert [digest(f) for f in out.frames()] == [digest(f) for f in clip.frames()]


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize(
    "fmt",
    [
        vs.GRAY8, vs.GRAY16, vs.GRAYS, vs.YUV420P8, vs.YUV420P10, vs.YUV422P8, vs.YUV422P10, vs.YUV444P8, vs.YUV444P10,
        vs.YUV410P8, vs.YUV420PS, vs.RGB24, vs.RGB30, vs.RGBS,
    ],
    ids=name_of,
)  # fmt: skip
def test_at_scale_2_a_flat_colour_stays_the_colour_and_luma_is_the_library_s(fmt, limited):
    form = core.get_video_format(fmt)
    top = 1 if form.sample_type == vs.FLOAT else (1 << form.bits_per_sample) - 1
    colour = (0, -0.1, 0.15) if form.sample_type == vs.FLOAT else (0, 0.4, 0.65)

    def make(n, plane, shape):
        if plane and form.color_family == vs.YUV:
            return np.full(shape, round(colour[plane] * top) if top > 1 else colour[plane])
        picture = 0.3 + 0.3 * scene(n, shape) + 0.1 * plane
        return np.rint(picture * top) if top > 1 else picture

    rgb = form.color_family == vs.RGB
    props = {"_Range": int(not limited), "_SARNum": 16, "_SARDen": 15, "_Matrix": 0 if rgb else 6}
    clip = made_of(make, fmt, length=3, **props)
    out = vs_remaster.restore(clip, **EXACT, scale=2, scenes=None)
    assert (out.width, out.height, out.format.id) == (192, 128, fmt)
    assert (out.num_frames, out.fps) == (clip.num_frames, clip.fps)
    frames = list(clip.frames())
    luma = torch.stack([decode(planes(frame), samples_of(frame))[0] for frame in frames])
    wanted = filters.Restorer(RestoreOptions(**EXACT, scale=2)).restore(luma).luma
    step = {8: 0.51 / 219, 10: 0.51 / 876}.get(form.bits_per_sample, 1e-4)
    for source, frame, own in zip(frames, out.frames(), wanted, strict=True):
        assert {**frame.props, "RemasterDamage": None} == {**source.props, "RemasterDamage": None}
        assert 0 <= frame.props["RemasterDamage"] <= 1
        assert (decode(planes(frame), samples_of(frame))[0] - own).abs().max() < step
        for was, became in zip(planes(source)[1:], planes(frame)[1:], strict=True):
            assert became.shape == (2 * was.shape[0], 2 * was.shape[1])
            if not rgb:
                assert np.abs(became.astype(float) - was[0, 0]).max() <= (1 if top > 1 else 1e-3)


def test_at_scale_2_any_frame_may_be_asked_for_first():
    clip = film(30, cut=13)
    forward = vs_remaster.restore(clip, **EXACT, scale=2)
    wanted = [digest(frame) for frame in forward.frames()]
    other = vs_remaster.restore(clip, **EXACT, scale=2)
    assert all(digest(other.get_frame(n)) == wanted[n] for n in (29, 0, 14, 12, 13))


@pytest.mark.parametrize("strength", [0.5, 1])
def test_at_scale_2_masks_are_as_large_as_the_frames(strength):
    clip = film(3)
    white = core.std.BlankClip(clip, format=vs.GRAY8, color=255)
    out, masks = vs_remaster.restore(clip, **EXACT, scale=2, strength=strength, masks=True, scenes=None)
    assert [(f.width, f.height) for f in (*out.frames(), *masks.frames())] == 6 * [(192, 128)]
    same, none = vs_remaster.restore(clip, **EXACT, scale=2, protect=white, masks=True, scenes=None)
    only_larger = vs_remaster.restore(clip, **EXACT, scale=2, strength=0, scenes=None)
    assert [digest(frame) for frame in same.frames()] == [digest(frame) for frame in only_larger.frames()]
    assert not any(np.asarray(frame[0]).any() for frame in none.frames())


def test_sharpness_and_scale_that_cannot_be_are_errors_of_the_filter():
    for more, words in (
        ({"scale": 3}, "restore: scale must be a whole number between 1 and 2, got 3"),
        ({"sharpness": 2}, "restore: sharpness must be between 0 and 1, got 2"),
        ({"sharpener": "none.safetensors"}, "restore: no weight file 'none.safetensors'"),
    ):
        with pytest.raises(vs.Error, match=words):
            vs_remaster.restore(noise(vs.GRAY8), **EXACT, **more)


@pytest.mark.parametrize("gamma", [1.0, 1.6])
@pytest.mark.parametrize("fmt", [vs.GRAY8, vs.GRAY16, vs.GRAYH, vs.GRAYS], ids=name_of)
def test_levels_are_those_of_vapoursynth(fmt, gamma):
    """With strength 0 they are all that is done; std.Levels takes code values, or floats."""
    clip = noise(fmt, _Range=1)
    top = 1 if core.get_video_format(fmt).sample_type == vs.FLOAT else (1 << clip.format.bits_per_sample) - 1
    low, high = (round(x * top) if top > 1 else x for x in (0.25, 0.7))
    out = vs_remaster.restore(clip, **EXACT, strength=0, levels=[low / top, high / top, gamma])
    wanted = clip.std.Levels(min_in=low, max_in=high, gamma=gamma, min_out=0, max_out=top)
    for a, b in zip(out.frames(), wanted.frames(), strict=True):
        apart = np.abs(np.asarray(a[0]).astype(np.float64) - np.asarray(b[0]))
        assert apart.max() <= {vs.GRAY8: 1, vs.GRAY16: 1, vs.GRAYH: 2e-3, vs.GRAYS: 1e-5}[fmt]
        assert 0.25 < (np.asarray(a[0]) == top).mean() < 0.35


@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV444PS, vs.RGB48], ids=name_of)
def test_levels_make_black_and_white_of_the_restored_luma(fmt):
    clip = noise(fmt, _Range=0, _Matrix=1) if fmt != vs.RGB48 else noise(fmt)
    plain = vs_remaster.restore(clip, **EXACT)
    out = vs_remaster.restore(clip, **EXACT, levels=(0.45, 0.55))
    for a, b in zip(plain.frames(), out.frames(), strict=True):
        before, after = (decode(planes(frame), samples_of(frame)) for frame in (a, b))
        wanted = levelled_luma(before[0], Levels(0.45, 0.55))
        step = 10.1 / 219 if fmt == vs.YUV420P8 else 0.002  # what was rounded to a code value is ten times as far off
        assert (after[0] - wanted).abs().max() < step
        black, white = (before[0] < 0.44)[0], (before[0] > 0.56)[0]
        if fmt != vs.YUV420P8:  # whose chroma lies between pixels
            assert black.any() and white.any() and after[1][:, black | white].abs().max() < 0.002
        assert not np.array_equal(planes(a)[1], planes(b)[1])
        assert b.props["RemasterDamage"] == a.props["RemasterDamage"]


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ("auto", "restore: levels are auto, which looks at whole shots of a film on disk .* give LOW and HIGH"),
        ([0.9, 0.1], "restore: levels need LOW below HIGH, got 0.9 and 0.1"),
        ([0.1], "restore: levels must be two or three numbers"),
        ([0.1, 0.9, 0], "restore: gamma of levels must be between 0.1 and 10, got 0"),
        ([float("nan"), 1], "restore: low of levels must be between 0 and 1, got nan"),
    ],
)
def test_bad_levels_are_errors_of_the_filter(levels, words):
    with pytest.raises(vs.Error, match=words):
        vs_remaster.restore(noise(vs.GRAY8), **EXACT, levels=levels)


@pytest.mark.parametrize("fmt", RGB, ids=name_of)
def test_gray_rgb_stays_gray_when_restored(fmt):
    form = core.get_video_format(fmt)
    top = 1 if form.sample_type == vs.FLOAT else (1 << form.bits_per_sample) - 1
    clip = made_of(lambda n, plane, shape: scene(n, shape) * top, fmt, length=3)
    for frame in vs_remaster.restore(clip, **EXACT).frames():
        red, green, blue = planes(frame)
        assert np.array_equal(red, green) and np.array_equal(red, blue)


@pytest.mark.parametrize("fmt", RGB, ids=name_of)
def test_rgb_keeps_its_luma_when_coloured(fmt, stills):
    """Where a colour would not exist it is paled, so the luma stays everywhere."""
    form = core.get_video_format(fmt)
    top = 1 if form.sample_type == vs.FLOAT else (1 << form.bits_per_sample) - 1
    clip = made_of(lambda n, plane, shape: scene(n, shape) * top, fmt, length=2)

    def luma(frame):
        return rgb_to_ycbcr(torch.from_numpy(np.stack(planes(frame)).astype(np.float32) / top))[0]

    out = vs_remaster.colorize(clip, stills, **SMALL)
    assert out.format.id == clip.format.id
    step = 1 / 255 if fmt == vs.RGB24 else 1 / 500
    for a, b in zip(clip.frames(), out.frames(), strict=True):
        assert (luma(a) - luma(b)).abs().max() < step
        assert np.ptp(np.stack(planes(b)).astype(np.float32), 0).max() > 0.02 * top


def test_colours_are_the_same_in_every_format(stills):
    """The same picture in ten formats gets the same colours, up to the rounding of the coarsest."""

    def clip(fmt, full):
        form = core.get_video_format(fmt)
        bits = form.bits_per_sample
        if form.sample_type == vs.FLOAT:
            zero, one = 0.0, 1.0
        elif full:
            zero, one = 0, (1 << bits) - 1
        else:
            zero, one = 16 << (bits - 8), 219 << (bits - 8)
        chroma = 0 if form.sample_type == vs.FLOAT else 1 << (bits - 1)
        integer = form.sample_type == vs.INTEGER

        def make(n, plane, shape):
            if plane:
                return np.full(shape, chroma)
            picture = cv2.GaussianBlur(scene(n, shape), (0, 0), 3) * one + zero
            return np.rint(picture) if integer else picture

        return made_of(make, fmt, length=2, _Range=int(full), _Matrix=1)

    def colours(fmt, full):
        out = vs_remaster.colorize(clip(fmt, full), stills, **SMALL).resize.Bilinear(format=vs.YUV444PS)
        return np.stack(planes(out.get_frame(1))[1:])

    want = colours(vs.YUV444PS, False)
    assert np.abs(want).max() > 0.02
    for fmt in (vs.GRAYS, vs.GRAYH, vs.GRAY16, vs.GRAY8, vs.YUV444P16, vs.YUV444P8, vs.YUV444PH):
        for full in (False, True):
            assert np.abs(colours(fmt, full) - want).mean() < 3e-3, (fmt, full)


@pytest.mark.parametrize("code", [1, 4, 5, 6, 7, 8, 9])
def test_colours_do_not_depend_on_the_matrix(code, stills):
    """The same gray film tagged with another matrix gets the same red and blue beyond its luma."""
    clip = made_of(lambda n, plane, shape: scene(n, shape), vs.GRAYS, length=2)
    out = vs_remaster.colorize(clip.std.SetFrameProps(_Matrix=code), stills, **SMALL)
    assert out.get_frame(0).props["_Matrix"] == code
    rgb = planes(out.resize.Point(format=vs.RGBS).get_frame(0))
    luma = np.asarray(out.get_frame(0)[0])
    want = vs_remaster.colorize(clip.std.SetFrameProps(_Matrix=1), stills, **SMALL)
    plain = planes(want.resize.Point(format=vs.RGBS).get_frame(0))
    # colours at the edge of what R'G'B' can show are reduced by the clip's own matrix
    inside = np.all([(np.asarray(x) > 2e-3) & (np.asarray(x) < 1 - 2e-3) for x in (*rgb, *plain)], 0)
    assert inside.mean() > 0.5
    for i in (0, 2):
        apart = np.abs((rgb[i] - luma) - (plain[i] - np.asarray(want.get_frame(0)[0])))
        assert apart[inside].max() < 1e-4 and apart.max() < 2e-3


@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV422P16, vs.YUV444PS, vs.RGB24, vs.RGBS, vs.YUV444P10], ids=name_of)
@pytest.mark.parametrize("source", [vs.GRAY8, vs.GRAY16, vs.GRAYS, vs.YUV420P8, vs.RGB24], ids=name_of)
def test_a_format_may_be_asked_for(source, fmt, stills):
    clip = noise(source, _Range=0) if source not in RGB else noise(source)
    out = vs_remaster.colorize(clip, stills, **SMALL, format=fmt)
    frame, before = out.get_frame(1), clip.get_frame(1)
    assert out.format.id == frame.format.id == int(fmt)
    if source in RGB:
        assert frame.props["_Matrix"] == (0 if fmt in RGB else 1)  # RGB's luma is taken as BT.709's
        return
    if fmt not in RGB and source == vs.GRAY8 and out.format.bits_per_sample == 16:
        assert np.array_equal(np.asarray(frame[0]), np.asarray(before[0]).astype(np.uint16) << 8)
    want = clip.resize.Point(format=vs.GRAYS, range_in_s="limited").get_frame(1)
    got = out.resize.Point(format=vs.GRAYS, matrix_s="709" if fmt in RGB else None).get_frame(1)
    if fmt not in RGB:  # noise has values beyond white and black, which RGB has not
        assert np.abs(np.asarray(got[0]) - np.asarray(want[0])).max() < 1 / 200


# ---- properties


def test_what_frames_say_stays_and_what_changed_is_said(stills):
    clip = film(3, fmt=vs.GRAY10).std.SetFrameProps(
        _Primaries=6, _Transfer=6, _SARNum=8, _SARDen=9, Note="reel 3", Numbers=[1, 2, 3], Ratio=0.25
    )
    clip = clip.std.AssumeFPS(fpsnum=18000, fpsden=1001)
    restored = vs_remaster.restore(clip, **EXACT)
    out = vs_remaster.colorize(restored, stills, **SMALL)
    before, after = dict(clip.get_frame(1).props), dict(out.get_frame(1).props)
    assert out.fps == Fraction(18000, 1001) and out.num_frames == 3
    assert {k: after[k] for k in before} == before
    assert after["_Matrix"] == 6 and after["_Range"] == 1  # 64 lines: standard definition
    assert 0 <= after["RemasterDamage"] <= 1
    weights = after["RemasterReferenceWeights"]
    assert len(weights) == 2 and 0 < sum(weights) <= 1.001
    assert after["RemasterReference"] == int(np.argmax(weights)) == 0


def test_the_reference_that_shows_the_scene_gives_most(root):
    folder = root / "tests/data"
    clip = from_file(folder / "sample.mkv")
    clip = clip[:4] + clip[-4:]  # two shots
    out = vs_remaster.colorize(clip, folder / "references", **EXACT, color_lines=128)
    assert [f.props["RemasterReference"] for f in out.frames()] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_frame_durations_of_their_own_stay(stills):
    clip = film(5).std.FrameEval(lambda n: film(5).std.SetFrameProps(_DurationNum=n + 1, _DurationDen=50))
    for out in (vs_remaster.restore(clip, **EXACT), vs_remaster.colorize(clip, stills, **SMALL)):
        assert [f.props["_DurationNum"] for f in out.frames()] == [1, 2, 3, 4, 5]


def test_chroma_location_is_minded(stills):
    """Chroma that lies elsewhere has other values, and says where it lies."""
    clip = film(2, fmt=vs.GRAY16)
    made = {}
    for place in range(6):
        source = clip.resize.Point(format=vs.YUV420P16, matrix_s="709").std.SetFrameProps(_ChromaLocation=place)
        frame = vs_remaster.colorize(source, stills, **SMALL).get_frame(0)
        assert frame.props["_ChromaLocation"] == place
        made[place] = np.asarray(frame[1]).astype(int)
    assert all(np.abs(made[0] - made[place]).mean() > 1 for place in range(1, 6))


# ---- frame n is frame n


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 33])
def test_every_length_ends_well(length, stills):
    """Also where the last block has one frame."""
    clip = film(length)
    for out in (vs_remaster.restore(clip, **EXACT), vs_remaster.colorize(clip, stills, **SMALL)):
        frames = [digest(f) for f in out.frames()]
        assert len(frames) == length and digest(out.get_frame(length - 1)) == frames[-1]


def test_every_order_and_any_number_of_threads_give_the_same_frames(stills):
    clip = film(25, cut=13)

    def chain():
        return vs_remaster.colorize(vs_remaster.restore(clip, **EXACT), stills, **SMALL)

    before = core.num_threads
    try:
        want = [digest(f) for f in chain().frames()]
        shuffled = list(range(25))
        random.Random(5).shuffle(shuffled)
        for threads, order in ((1, range(24, -1, -1)), (2, shuffled), (8, shuffled[::-1])):
            core.num_threads = threads
            out = chain()
            assert {n: digest(out.get_frame(n)) for n in order} == dict(enumerate(want)), threads
        core.num_threads = 8
        assert [digest(f) for f in chain().frames(prefetch=20)] == want
        assert digest(chain().get_frame(20)) == want[20]
    finally:
        core.num_threads = before


def test_a_trimmed_result_and_the_whole_have_the_same_frames():
    clip = film(37, cut=21)
    out = vs_remaster.restore(clip, **EXACT)
    assert [digest(f) for f in out[13:25].frames()] == [digest(f) for f in out.frames()][13:25]


@pytest.mark.parametrize("scenes", ["detect", [12], "props"])
def test_neighbours_matter_up_to_the_cut(scenes, stills):
    """Frame n changes with frames n - 1 and n + 1 of its scene, and with none of another."""

    def made(changed):
        clip = film(28, cut=12, changed=changed)
        if scenes == "props":
            one, two = clip[:12], clip[12:]
            mark = one[:11] + one[11:].std.SetFrameProps(_SceneChangeNext=1)
            clip = mark + two[:1].std.SetFrameProps(_SceneChangePrev=1) + two[1:]
        restored = vs_remaster.restore(clip, **EXACT, scenes=scenes)
        coloured = vs_remaster.colorize(clip, stills, **SMALL, scenes=scenes)
        return [[digest(x.get_frame(n)) for n in (10, 11, 12, 13)] for x in (restored, coloured)]

    base = made(())
    for frame, others in ((9, (0,)), (11, (0, 1)), (12, (2, 3)), (14, (3,))):
        for before, after in zip(base, made((frame,)), strict=True):
            differ = {i for i in range(4) if before[i] != after[i]}
            assert set(others) <= differ <= ({0, 1} if frame < 12 else {2, 3}), frame


def test_without_scenes_a_cut_is_looked_across():
    base = vs_remaster.restore(film(24, cut=12), **EXACT, scenes=None).get_frame(11)
    other = vs_remaster.restore(film(24, cut=12, changed=(12,)), **EXACT, scenes=None).get_frame(11)
    assert digest(base) != digest(other)


def test_scenes_are_found_once_and_marked():
    out = vs_remaster.restore(film(40, cut=20), **EXACT)
    starts = [f.props[scene_marks.START] for f in out.frames()]
    assert [n for n, start in enumerate(starts) if start] == [0, 20]
    # A second filter takes over what was found, as far as frames still follow each other ...
    blank = out.std.BlankClip().std.CopyFrameProps(out)
    again = vs_remaster.restore(blank, **EXACT)
    assert [n for n, f in enumerate(again.frames()) if f.props[scene_marks.START]] == [0, 20]
    # ... and looks for itself where they do not.
    joined = vs_remaster.restore(out[5:15] + out[25:35], **EXACT)
    assert [n for n, f in enumerate(joined.frames()) if f.props[scene_marks.START]] == [0, 10]


def test_calls_do_not_know_of_each_other(stills):
    clip = film(4)
    one, two = (sorted(stills.iterdir())[i] for i in (0, 1))
    alone = digest(vs_remaster.colorize(clip, one, **SMALL).get_frame(2))
    a, b = vs_remaster.colorize(clip, one, **SMALL), vs_remaster.colorize(clip, [two], **SMALL)
    first, second = digest(a.get_frame(2)), digest(b.get_frame(2))
    assert first == alone != second
    assert digest(a.get_frame(3)) == digest(vs_remaster.colorize(clip, one, **SMALL).get_frame(3))


def test_a_frame_that_two_blocks_need_is_looked_at_once_and_is_the_same(monkeypatch, stills):
    looked = []
    plain = TorchEngine.look
    monkeypatch.setattr(TorchEngine, "look", lambda self, luma, *x: looked.append(len(luma)) or plain(self, luma, *x))
    clip = film(40)
    coloured = filters.colorize(clip, stills, **SMALL)
    in_order = [digest(frame) for frame in coloured.frames()]
    assert sum(looked) == 40
    looked.clear()
    fresh = filters.colorize(clip, stills, **SMALL)
    assert [digest(fresh.get_frame(n)) for n in (20, 3)] == [in_order[n] for n in (20, 3)]
    assert sum(looked) == 22 + 19  # only what comes after a block is known again


def test_nothing_is_left_of_a_clip_that_is_gone(monkeypatch, stills):
    alive = weakref.WeakSet()

    class Watched(filters.Colorizer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            alive.add(self)

    monkeypatch.setattr(filters, "Colorizer", Watched)
    out = vs_remaster.colorize(film(3), stills, **SMALL)
    out.get_frame(0)
    assert len(alive) == 1
    del out
    core.clear_cache()
    gc.collect()
    assert not alive


def test_only_what_is_asked_for_is_computed(monkeypatch):
    """Making the clip computes nothing, a frame computes its block and what the frames beside it lie in, and in order
    each block is computed once."""
    seen = []
    process = filters.Restorer.process
    monkeypatch.setattr(
        filters.Restorer, "process", lambda self, f, halo: seen.append(len(f)) or process(self, f, halo)
    )
    out = vs_remaster.restore(film(100), **EXACT)
    assert seen == []
    for n in (50, 51, 48, 55):
        out.get_frame(n)
    window = filters.Restorer(RestoreOptions(model="fast", device="cpu")).window
    whole = window.before + window.block + window.after
    assert seen == [whole] * 3  # of frames 32 to 79: frame 48 needs some that filling and sharpening look at
    for _ in out.frames():
        pass
    assert len(seen) == 3 + -(-100 // window.block)


# ---- the same as the command line


def from_file(path: Path, fmt=None):
    """The very samples that the command line reads."""
    with VideoReader(path) as reader:
        info = reader.info
        frames = [frame.planes for frame in reader]
    family = vs.GRAY if info.kind == "gray" else vs.YUV
    fmt = core.query_video_format(family, vs.INTEGER, info.bits, *info.subsampling).id
    props = {"_Range": int(info.full_range), "_Matrix": {"bt709": 1, "bt601": 6}[info.matrix]}
    return made_of(lambda n, plane, shape: frames[n][plane], fmt, info.width, info.height, len(frames), **props)


@pytest.fixture(scope="module")
def gray16(tmp_path_factory, ffmpeg) -> Path:
    """40 frames of a moving gray film with a cut, 16 bits, lossless."""
    path = tmp_path_factory.mktemp("film") / "gray16.mkv"
    raw = b"".join(np.asarray(f[0]).tobytes() for f in film(40, cut=22).frames())
    command = [ffmpeg, "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray16le", "-s", "96x64", "-r", "24", "-i", "-"]
    subprocess.run([*command, "-color_range", "pc", "-c:v", "ffv1", str(path)], input=raw, check=True)
    return path


def written(path: Path) -> list[list[np.ndarray]]:
    with VideoReader(path) as reader:
        return [[plane.astype(int) for plane in frame.planes] for frame in reader]


@pytest.mark.parametrize("more", [{}, {"levels": (0.2, 0.7, 1.2)}, {"scale": 2}, {"scale": 2, "strength": 0.5}])
def test_restore_gives_the_frames_of_the_command_line(gray16, tmp_path, more):
    options = RestoreOptions(**EXACT, **more)
    remaster_film(gray16, tmp_path / "o.mkv", restore=options, colorize=None, write=OutputOptions(codec="ffv1"))
    out = vs_remaster.restore(from_file(gray16), **EXACT, **more)
    for want, frame in zip(written(tmp_path / "o.mkv"), out.frames(), strict=True):
        assert np.abs(want[0] - np.asarray(frame[0]).astype(int)).max() <= 1


def test_colorize_gives_the_frames_of_the_command_line(gray16, stills, tmp_path):
    remaster_film(
        gray16,
        tmp_path / "o.mkv",
        restore=None,
        colorize=ColorizeOptions(**EXACT, lines=64),
        references=load_references(stills, lines=64),
        write=OutputOptions(codec="ffv1"),
    )
    out = vs_remaster.colorize(from_file(gray16), stills, **SMALL)
    for want, frame in zip(written(tmp_path / "o.mkv"), out.frames(), strict=True):
        for a, b in zip(want, planes(frame), strict=True):
            assert np.abs(a - b.astype(int)).max() <= 1


def test_the_whole_chain_gives_the_frames_of_the_command_line(gray16, stills, tmp_path):
    """Between two filters a clip of floats loses nothing; the last step rounds to 16 bits as the command line does."""
    remaster_film(
        gray16,
        tmp_path / "o.mkv",
        restore=RestoreOptions(**EXACT),
        colorize=ColorizeOptions(**EXACT, lines=64),
        references=load_references(stills, lines=64),
        write=OutputOptions(codec="ffv1"),
    )
    source = from_file(gray16)

    def to_float(n, f):
        out = f[1].copy()
        np.copyto(np.asarray(out[0]), np.asarray(f[0][0]).astype(np.float32) / 65535)
        return out

    blank = core.std.BlankClip(None, 96, 64, vs.GRAYS, 40, keep=True).std.SetFrameProps(_Range=1, _Matrix=6)
    out = vs_remaster.restore(blank.std.ModifyFrame([source, blank], to_float), **EXACT)
    out = vs_remaster.colorize(out, stills, **SMALL)
    for want, frame in zip(written(tmp_path / "o.mkv"), out.frames(), strict=True):
        for i, (a, b) in enumerate(zip(want, planes(frame), strict=True)):
            codes = b * 65535 + (32768 if i else 0)
            assert np.abs(a - codes.clip(0, 65535)).max() <= 1


def test_merge_gives_the_frames_of_the_command_line(gray16, stills, tmp_path):
    small = tmp_path / "colour.mkv"
    remaster_film(
        gray16,
        small,
        restore=None,
        colorize=ColorizeOptions(**EXACT, lines=64),
        references=load_references(stills, lines=64),
        write=OutputOptions(codec="ffv1"),
    )
    merge_films(gray16, small, tmp_path / "o.mkv", weight=0.7, write=OutputOptions(codec="ffv1"))
    out = vs_remaster.merge_lab(from_file(gray16), from_file(small), weight=0.7)
    for want, frame in zip(written(tmp_path / "o.mkv"), out.frames(), strict=True):
        for a, b in zip(want, planes(frame), strict=True):
            assert np.abs(a - b.astype(int)).max() <= 1


def test_tiles_leave_no_seam():
    picture = cv2.resize(scene(3, (64, 96)), (520, 440), interpolation=cv2.INTER_CUBIC)
    clip = made_of(lambda n, plane, shape: picture, vs.GRAYS, 520, 440, 2)
    whole, tiled = (vs_remaster.restore(clip, **EXACT, tile=tile).get_frame(1) for tile in (0, 384))
    difference = np.abs(np.asarray(whole[0]) - np.asarray(tiled[0]))
    assert 0 < difference.max() < 1 / 255


# ---- references


def test_references_may_be_a_clip(stills):
    """Decoded here or there, the same pictures give the same colours."""
    clip = film(3)
    pictures = [cv2.imread(str(p))[..., ::-1] for p in sorted(stills.iterdir())]
    given = made_of(lambda n, plane, shape: pictures[n][..., plane], vs.RGB24, 96, 64, 2)
    want = vs_remaster.colorize(clip, stills, **SMALL)
    got = vs_remaster.colorize(clip, given, **SMALL, references_at=[0, 20])
    assert [digest(f) for f in got.frames()] == [digest(f) for f in want.frames()]
    yuv = given.resize.Bicubic(format=vs.YUV444PS, matrix_s="709")
    near = vs_remaster.colorize(clip, yuv, **SMALL)
    for a, b in zip(near.frames(), want.frames(), strict=True):
        for x, y in zip(planes(a), planes(b), strict=True):
            assert np.abs(x.astype(int) - y.astype(int)).mean() < 20  # of 65,535


def test_a_manifest_says_where_references_act(stills, tmp_path):
    folder = tmp_path / "stills"
    shutil.copytree(stills, folder)
    first, second = sorted(path.name for path in folder.iterdir())
    entries = (Entry(picture=first, scope="shot", frame=2), Entry(picture=second, scope=(3, 9), weight=2.0))
    write_manifest(folder / NAME, Manifest(entries))
    clip = film(12)
    frames = list(vs_remaster.colorize(clip, folder, **SMALL | {"scenes": [6]}).frames())
    shares = [frame.props["RemasterReferenceWeights"] for frame in frames]
    assert [n for n in range(12) if shares[n][0] > 0] == list(range(6))
    assert [n for n in range(12) if shares[n][1] > 0] == list(range(3, 9))
    # frames beyond all scopes are gray
    assert all(np.ptp(plane) == 0 for plane in planes(frames[10])[1:])
    with pytest.raises(
        vs.Error, match=r"colorize: reference 'scene_0000\.png' acts in its shot, but the cuts are found"
    ):
        vs_remaster.colorize(clip, folder, **SMALL | {"scenes": "detect"})


# ---- merge_lab


def colour_film(length=4, width=96, height=64, fmt=vs.RGB48):
    def make(n, plane, shape):
        picture = cv2.resize(scene(n, (64, 96)), (width, height), interpolation=cv2.INTER_AREA)
        return (picture * (0.5, 0.8, 1.0)[plane] * 65535).round()

    return made_of(make, fmt, width, height, length)


def test_merge_at_weight_one_takes_the_colours_and_at_zero_leaves_them():
    chroma = colour_film().resize.Point(format=vs.YUV444P16, matrix_s="709")
    luma = noise(vs.YUV444P16, 4, _Matrix=1, _Range=0)
    taken = vs_remaster.merge_lab(luma, chroma).get_frame(2)
    y, *colours = (
        torch.from_numpy(np.asarray(p).astype(np.float32)) for p in (taken[0], *list(chroma.get_frame(2))[1:])
    )
    shown = fit_gamut((y[None] - 4096) / 56064, (torch.stack(colours) - 32768) / 57344) * 57344 + 32768
    assert all(np.abs(np.asarray(taken[i]).astype(int) - shown[i - 1].numpy()).max() <= 2 for i in (1, 2))
    assert (shown - torch.stack(colours)).abs().max() > 100, "noise is darker than some of the colours here and there"
    left = vs_remaster.merge_lab(luma, chroma, weight=0).get_frame(2)
    assert digest(left) == digest(luma.get_frame(2))
    gray = vs_remaster.merge_lab(film(4), chroma, weight=0).get_frame(2)
    assert gray.format.id == vs.YUV444P16 and all((np.asarray(gray[i]) == 32768).all() for i in (1, 2))


@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV422P10, vs.RGB24, vs.RGBS], ids=name_of)
def test_merge_takes_colours_of_any_size_and_format(fmt):
    luma = film(4)
    donor = colour_film(4, 48, 32)
    if fmt in RGB:
        donor = donor.resize.Bicubic(format=fmt)
    else:
        donor = donor.resize.Bicubic(format=fmt, matrix_s="709")
    out = vs_remaster.merge_lab(luma, donor)
    want = vs_remaster.merge_lab(luma, colour_film(4))
    for a, b, c in zip(out.frames(), want.frames(), luma.frames(), strict=True):
        assert np.array_equal(np.asarray(a[0]), np.asarray(c[0]))
        for i in (1, 2):
            assert np.abs(np.asarray(a[i]).astype(int) - np.asarray(b[i]).astype(int)).mean() < 0.02 * 65535
        assert a.props["_Matrix"] == 6


def test_numbers_of_numpy_are_numbers():
    luma, chroma = film(4), colour_film(4)
    out = vs_remaster.merge_lab(luma, chroma, weight=np.float32(0.5), offset=np.int64(-1))
    assert digest(out.get_frame(2)) == digest(vs_remaster.merge_lab(luma, chroma, weight=0.5, offset=-1).get_frame(2))
    cut = vs_remaster.restore(film(24, cut=12), **EXACT, scenes=np.array([12]))
    assert digest(cut.get_frame(11)) == digest(
        vs_remaster.restore(film(24, cut=12), **EXACT, scenes=[12]).get_frame(11)
    )


def test_an_offset_says_which_frames_belong_together():
    luma, chroma = film(6), colour_film(8)
    out = vs_remaster.merge_lab(luma, chroma, offset=2)
    want = vs_remaster.merge_lab(luma, chroma[2:])
    assert [digest(f) for f in out.frames()] == [digest(f) for f in want.frames()]
    back = vs_remaster.merge_lab(luma, chroma[:5], offset=-1)
    padded = vs_remaster.merge_lab(luma, chroma[0] + chroma[:5])
    assert [digest(f) for f in back.frames()] == [digest(f) for f in padded.frames()]


def test_matrix_is_for_frames_that_do_not_say():
    donor = noise(vs.YUV444P16, 3)
    luma = film(3)
    default, other = vs_remaster.merge_lab(luma, donor), vs_remaster.merge_lab(luma, donor, matrix="bt709")
    assert default.get_frame(0).props["_Matrix"] == 6 and other.get_frame(0).props["_Matrix"] == 1
    told = vs_remaster.merge_lab(luma, donor.std.SetFrameProps(_Matrix=9), matrix="bt709")
    assert digest(told.get_frame(0)) != digest(other.get_frame(0))


# ---- what is no number


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 6e4])
@pytest.mark.parametrize("fmt", [vs.GRAYS, vs.GRAYH, vs.RGBS], ids=name_of)
def test_values_that_are_no_picture_do_not_spread(fmt, bad, stills):
    def clip(spoiled):
        def make(n, plane, shape):
            picture = scene(n, shape) * (1 - 0.1 * plane)
            if spoiled and n == 2:
                picture[30, 40] = bad
            return picture

        return made_of(make, fmt, length=5)

    for run in (
        lambda c: vs_remaster.restore(c, **EXACT, scenes=None),
        lambda c: vs_remaster.colorize(c, stills, **SMALL, scenes=None),
        lambda c: vs_remaster.merge_lab(c, colour_film(5, 48, 32)),
    ):
        sound, spoiled = (planes(run(clip(x)).get_frame(2)) for x in (False, True))
        for i, (a, b) in enumerate(zip(sound, spoiled, strict=True)):
            differ = np.abs(a.astype(np.float32) - b.astype(np.float32))
            if i == 0 or fmt == vs.RGBS:
                differ[30, 40] = 0
            assert np.isfinite(differ).all() and differ.mean() < 0.01


def test_a_reference_with_values_that_are_no_numbers_still_counts(stills):
    def clip(spoiled):
        def make(n, plane, shape):
            picture = scene(0, shape) * (0.9, 0.6, 0.4)[plane]
            if spoiled:
                picture[5, 5] = np.nan
            return picture

        return made_of(make, vs.RGBS, length=1)

    sound, spoiled = (planes(vs_remaster.colorize(film(2), clip(x), **SMALL).get_frame(1)) for x in (False, True))
    assert all(np.abs(a.astype(int) - b.astype(int)).mean() < 300 for a, b in zip(sound, spoiled, strict=True))


def test_a_hole_in_the_picture_does_not_hide_a_cut():
    def make(n, plane, shape):
        picture = scene(n, shape, int(n >= 20))
        picture[0, 0] = np.nan
        return picture

    out = vs_remaster.restore(made_of(make, vs.GRAYS, length=30), **EXACT)
    assert [n for n, f in enumerate(out.frames()) if f.props[scene_marks.START]] == [0, 20]


# ---- errors


def variable_format():
    return core.std.BlankClip(width=64, height=48, format=vs.GRAY8, varformat=1)


def variable_size():
    return core.std.BlankClip(width=64, height=48, format=vs.GRAY8, varsize=1)


ERRORS = {
    "no clip": (lambda s: vs_remaster.restore("film.mkv"), r"restore: clip must be a VapourSynth video clip, got str"),
    "variable format": (
        lambda s: vs_remaster.restore(variable_format()),
        r"restore: clip has a variable format.*resize",
    ),
    "variable size": (
        lambda s: vs_remaster.colorize(variable_size(), s),
        r"colorize: clip has a variable format or size.*resize",
    ),
    "32 bit": (
        lambda s: vs_remaster.restore(core.std.BlankClip(format=vs.GRAY32)),
        r"restore: clip has the format Gray32: convert it to 8 to 16 bit",
    ),
    "interlaced": (
        lambda s: vs_remaster.restore(film(3).std.SetFieldBased(1), **EXACT).get_frame(0),
        r"restore: clip is interlaced \(_FieldBased = 1\): deinterlace it",
    ),
    "interlaced chroma": (
        lambda s: vs_remaster.merge_lab(film(3), noise(vs.YUV444P8).std.SetFieldBased(2)).get_frame(0),
        r"merge_lab: chroma is interlaced \(_FieldBased = 2\)",
    ),
    "matrix": (
        lambda s: vs_remaster.colorize(noise(vs.YUV444P16, _Matrix=14), s, **SMALL).get_frame(0),
        r"colorize: clip has the matrix ICTCP \(_Matrix = 14\), which is not supported.*SetFrameProps",
    ),
    "strength": (
        lambda s: vs_remaster.restore(film(3), strength=2),
        r"restore: strength must be between 0 and 1, got 2",
    ),
    "tile": (lambda s: vs_remaster.restore(film(3), tile=7), r"restore: tile must be 0 \(automatic\) or at least 384"),
    "scenes": (
        lambda s: vs_remaster.restore(film(3), scenes="auto"),
        r"restore: scenes must be 'detect', 'props', None or a list of frame numbers, got 'auto'",
    ),
    "scenes list": (lambda s: vs_remaster.restore(film(3), scenes=[1.5]), r"restore: scenes must be .* got \[1.5\]"),
    "device": (lambda s: vs_remaster.restore(film(3), device="gpu"), r"restore: unknown device 'gpu'"),
    "model": (lambda s: vs_remaster.restore(film(3), model="best"), r"restore: .*'best'"),
    "engine": (lambda s: vs_remaster.colorize(film(3), s, engine="caffe"), r"colorize: unknown engine 'caffe'"),
    "matrix of references": (
        lambda s: vs_remaster.colorize(film(3), noise(vs.YUV444P8, 1, _Matrix=11), **SMALL).get_frame(0),
        r"colorize: references has the matrix unknown \(_Matrix = 11\), which is not supported",
    ),
    "size": (
        lambda s: vs_remaster.colorize(core.std.BlankClip(width=97, height=64, format=vs.GRAY8), s, format=vs.YUV420P8),
        r"colorize: format YUV420P8 needs a width that is a multiple of 2 .* but clip is 97x64: crop it",
    ),
    "lines": (
        lambda s: vs_remaster.colorize(film(3), s, color_lines=5),
        r"colorize: color lines must be a whole number between 64 and 2160, got 5",
    ),
    "list of clips": (
        lambda s: vs_remaster.colorize(film(3), [colour_film(1), colour_film(1)]),
        r"colorize: references is a list of 2 with clips in it: join them into one clip, a \+ b",
    ),
    "saturation": (
        lambda s: vs_remaster.colorize(film(3), s, saturation=-1),
        r"colorize: saturation must be 0 or more",
    ),
    "no folder": (
        lambda s: vs_remaster.colorize(film(3), s / "none"),
        r"colorize: reference '.*none' does not exist: give a folder or a picture",
    ),
    "no references": (lambda s: vs_remaster.colorize(film(3), []), r"colorize: no reference pictures were given"),
    "no kind of references": (
        lambda s: vs_remaster.colorize(film(3), 5),
        r"colorize: references must be a folder, a picture, or a list of both, got 5",
    ),
    "gray references": (
        lambda s: vs_remaster.colorize(film(3), film(1)),
        r"colorize: references has the format Gray16, which holds no colour",
    ),
    "a film of references": (
        lambda s: vs_remaster.colorize(film(3), core.std.BlankClip(length=2000)),
        r"colorize: references has 2000 frames: give a clip of those to colour from only",
    ),
    "references_at": (
        lambda s: vs_remaster.colorize(film(3), s, references_at=[1]),
        r"colorize: references_at must be a list of 2 frame numbers, one a reference, got \[1\]",
    ),
    "gray format": (
        lambda s: vs_remaster.colorize(film(3), s, format=vs.GRAY16),
        r"colorize: format is Gray16, which holds no colour: give a YUV or RGB format",
    ),
    "no format": (
        lambda s: vs_remaster.colorize(film(3), s, format=7),
        r"colorize: format must be one of VapourSynth's",
    ),
    "lengths": (
        lambda s: vs_remaster.merge_lab(film(3), colour_film(5)),
        r"merge_lab: luma has 3 frames, chroma 5: cut them to one length, or give the offset",
    ),
    "rates": (
        lambda s: vs_remaster.merge_lab(film(3), colour_film(3).std.AssumeFPS(fpsnum=25)),
        r"merge_lab: luma has 24 frames a second, chroma 25: bring both to one rate",
    ),
    "gray chroma": (
        lambda s: vs_remaster.merge_lab(film(3), film(3)),
        r"merge_lab: chroma has the format Gray16, which holds no colour: give a YUV or RGB clip",
    ),
    "weight": (
        lambda s: vs_remaster.merge_lab(film(3), colour_film(3), weight=1.5),
        r"merge_lab: weight must be between 0 and 1, got 1.5",
    ),
    "offset": (
        lambda s: vs_remaster.merge_lab(film(3), colour_film(3), offset=0.5),
        r"merge_lab: offset must be a whole number of frames, got 0.5",
    ),
    "far offset": (
        lambda s: vs_remaster.merge_lab(film(3), colour_film(3), offset=3),
        r"merge_lab: with an offset of 3 no frame of luma \(3 frames\) meets one of chroma \(3\)",
    ),
    "true weight": (
        lambda s: vs_remaster.merge_lab(film(3), colour_film(3), weight=True),
        r"weight must be .* got True",
    ),
    "merge matrix": (
        lambda s: vs_remaster.merge_lab(film(3), colour_film(3), matrix="709"),
        r"merge_lab: matrix must be auto or one of .*bt709.*, got '709'",
    ),
}


@pytest.mark.parametrize("call, message", ERRORS.values(), ids=ERRORS)
def test_errors_say_what_was_wrong_and_what_to_do(call, message, stills):
    with pytest.raises(vs.Error, match=message):
        call(stills)


def test_without_vapoursynth_the_package_works_and_the_filters_say_what_is_missing():
    code = """
import sys
sys.modules["vapoursynth"] = None
import vs_remaster
vs_remaster.RestoreOptions()
try:
    vs_remaster.restore
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "VapourSynth is not installed: pip install 'vs-remaster[vapoursynth]'" in done.stdout


# ---- one source of truth


@pytest.mark.parametrize(
    "function, options, names",
    [
        (filters.restore, RestoreOptions(), {}),
        (filters.colorize, ColorizeOptions(), {"lines": "color_lines"}),
    ],
)
def test_defaults_are_those_of_the_options(function, options, names):
    parameters = inspect.signature(function).parameters
    for field, value in vars(options).items():
        parameter = parameters[names.get(field, field)]
        assert parameter.default == value and parameter.kind is parameter.KEYWORD_ONLY


def test_colours_are_guessed_without_references():
    gray = core.std.BlankClip(None, 96, 64, vs.GRAY8, length=2, color=120)
    with pytest.raises(vs.Error, match=r"no references were given: .* or set automatic=True"):
        vs_remaster.colorize(gray)
    with vs_remaster.colorize(gray, automatic=True, **EXACT).get_frame(1) as frame:
        assert frame.format.id == vs.YUV444P8
        assert "RemasterReference" not in frame.props


# ---- what a person says of damage


def dots(fmt, length=6, size=(96, 64), at=(20, 30)):
    """White on black: a square of 12 pixels of 96 x 64 in every frame."""
    form = core.get_video_format(fmt)
    top = 1 if form.sample_type == vs.FLOAT else (1 << form.bits_per_sample) - 1

    def make(n, plane, shape):
        mask = np.zeros((64, 96), np.float32)
        mask[at[0] : at[0] + 12, at[1] : at[1] + 12] = top
        return cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_AREA)

    return made_of(make, fmt, size[0], size[1], length)


@pytest.fixture(scope="module")
def steered():
    """What the restorer makes of the film, told to repair and to protect a square."""
    clip = film(6)
    lumas = torch.stack([filters.luma_of(frame) for frame in clip.frames()])
    repair, protect = (torch.zeros_like(lumas) for _ in range(2))
    repair[..., 20:32, 30:42] = 1
    protect[..., 40:52, 60:72] = 1
    restorer = filters.Restorer(RestoreOptions(model="fast", device="cpu", precision="fp32"))
    return restorer.restore(lumas, repair=repair, protect=protect)


@pytest.mark.parametrize("fmt", [vs.GRAY8, vs.GRAY16, vs.GRAYS, vs.RGB24, vs.YUV420P8])
def test_repair_and_protect_are_clips_of_any_format(fmt, steered):
    clip, wanted = film(6), steered
    out, masks = vs_remaster.restore(
        clip, **EXACT, scenes=None, repair=dots(fmt), protect=dots(fmt, at=(40, 60)), masks=True
    )
    for n in (3, 0, 5):
        frame, mask = out.get_frame(n), masks.get_frame(n)
        assert np.array_equal(np.asarray(frame[0]), np.rint(wanted.luma[n, 0].clamp(0, 1).numpy() * 65535))
        assert np.array_equal(np.asarray(mask[0]), wanted.mask[n, 0].numpy())
        assert frame.props["RemasterDamage"] == pytest.approx(float(wanted.mask[n].mean()), abs=1e-6)
        assert not [name for name in frame.props if name.startswith("Remaster") and name != "RemasterDamage"]
        source = np.asarray(clip.get_frame(n)[0])
        assert np.array_equal(np.asarray(frame[0])[40:52, 60:72], source[40:52, 60:72])


def test_masks_of_another_size_are_scaled_and_empty_ones_change_nothing():
    clip = film(6)
    plain = [np.array(frame[0]) for frame in vs_remaster.restore(clip, **EXACT).frames()]
    black = core.std.BlankClip(None, 96, 64, vs.GRAY8, 6, color=0)
    for how in ({"repair": black}, {"protect": black}):
        same = [np.array(frame[0]) for frame in vs_remaster.restore(clip, **EXACT, **how).frames()]
        assert all(np.array_equal(a, b) for a, b in zip(plain, same))
    small = vs_remaster.restore(clip, **EXACT, protect=dots(vs.GRAY8, size=(192, 128))).get_frame(3)
    source = np.asarray(clip.get_frame(3)[0])
    assert np.array_equal(np.asarray(small[0])[21:31, 31:41], source[21:31, 31:41])


@pytest.mark.parametrize("name", ["repair", "protect"])
def test_a_mask_of_another_length_is_refused(name):
    with pytest.raises(vs.Error, match=rf"restore: {name} has 5 frames and the clip 6: give one frame for each"):
        vs_remaster.restore(film(6), **EXACT, **{name: dots(vs.GRAY8, 5)})
    with pytest.raises(vs.Error, match=rf"restore: {name} must be a VapourSynth video clip, got str"):
        vs_remaster.restore(film(6), **EXACT, **{name: "mask.png"})
