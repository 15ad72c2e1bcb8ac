"""Twice the size, and sharpness: from file to file, in jobs, in pipes and in reports the same pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from tests.support.command_line import fails, run
from tests.support.films import film, frames_of
from tests.support.job_films import FAST, heard_and_seen, write_film, write_references
from vs_remaster.color.samples import decode, decode_luma
from vs_remaster.errors import InputError
from vs_remaster.film.remastering import plan, remaster_film
from vs_remaster.jobs.planning.options import JobOptions
from vs_remaster.jobs.run import remaster_job
from vs_remaster.jobs.status import opened
from vs_remaster.models import build
from vs_remaster.models.sharpener import enlarged
from vs_remaster.output.codecs import TABLE
from vs_remaster.output.formats import output_format
from vs_remaster.output.options import OutputOptions
from vs_remaster.pipe import PipeOptions, remaster_pipe
from vs_remaster.references.reference import Reference, load_references
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.remaster.pipeline import Picture, RemasterPipeline
from vs_remaster.remaster.restorer import Restorer, windows_of
from vs_remaster.report.make import make_report
from vs_remaster.stills.picking import pick_references
from vs_remaster.video.planes import frame_of, planes_of
from vs_remaster.video.reader import VideoReader
from vs_remaster.weights import find, save_weights

CPU = {"model": "fast", "device": "cpu"}
EXACT = {**CPU, "precision": "fp32"}
TWICE = RestoreOptions(**CPU, scale=2)
ONLY_LARGER = RestoreOptions(**CPU, scale=2, strength=0)
LOSSLESS = OutputOptions(codec="ffv1", overwrite=True)
SIZE = (64, 48)
SAR = Fraction(16, 15)
LENGTHS = (20, 24)


@pytest.fixture(scope="module")
def movie(tmp_path_factory) -> Path:
    """A shot in colour and a gray one, of pixels that are not square, with sound."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    return write_film(path, LENGTHS, looks={0: "coloured"}, size=SIZE, sar=SAR)


def samples(path: Path) -> list[list[bytes]]:
    return [planes for _, planes in heard_and_seen(path)[0]]


def made(movie: Path, output: Path, **more: Any) -> list[list[bytes]]:
    """The samples of every frame, without loss."""
    remaster_film(movie, output, **{"restore": TWICE, "colorize": None, "write": LOSSLESS, **more})
    return samples(output)


@pytest.fixture(scope="module")
def whole(movie, tmp_path_factory) -> list[list[bytes]]:
    """The film at twice its size."""
    return made(movie, tmp_path_factory.mktemp("whole") / "out.mkv")


# ---- what they do


@pytest.mark.parametrize("more", [{}, {"scale": 2}, {"sharpness": 0}, {"strength": 0, "scale": 2}])
def test_windows_are_known_before_a_network_is_loaded(more):
    options = RestoreOptions(**CPU, **more)
    assert windows_of(options) == Restorer(options).windows


def test_luma_is_that_of_the_library_and_its_amount_goes_with_sharpness():
    luma = torch.rand(6, 1, 48, 64, generator=torch.Generator().manual_seed(1))
    for scale in (1, 2):
        none, half, all_ = (
            Restorer(RestoreOptions(**EXACT, scale=scale, sharpness=sharpness)).restore(luma).luma
            for sharpness in (0, 0.5, 1)
        )
        assert none.shape == (6, 1, scale * 48, scale * 64)
        assert torch.allclose(half, (none + all_) / 2, atol=1e-6) and (all_ - none).abs().max() > 1e-3


def test_a_restorer_with_other_options_is_as_one_that_was_made_with_them():
    luma = torch.rand(3, 1, 48, 64, generator=torch.Generator().manual_seed(1))
    base = Restorer(RestoreOptions(**EXACT, strength=0))
    for more in ({}, {"sharpness": 0.3}, {"scale": 2}, {"scale": 2, "strength": 0.5}, {"strength": 0}):
        options = RestoreOptions(**EXACT, **more)
        base, fresh = base.like(options), Restorer(options)
        assert base.windows == fresh.windows
        assert all(torch.equal(a, b) for a, b in zip(base.restore(luma), fresh.restore(luma)))


def test_colour_is_made_of_the_enlarged_luma():
    colorizer = Colorizer(ColorizeOptions(**EXACT, lines=64))
    luma = torch.rand(1, 48, 64, generator=torch.Generator().manual_seed(1))
    references = [Reference("red", torch.tensor([0.8, 0.4, 0.3])[:, None, None].expand(3, 48, 64).contiguous())]
    (out,) = RemasterPipeline(RestoreOptions(**EXACT, scale=2), colorizer, references, "none").process(
        [Picture(luma, None, 0)]
    )
    larger = Picture(out.luma, None, 0)
    (wanted,) = RemasterPipeline(None, colorizer, references, "none").process([larger])
    assert out.luma.shape == out.mask.shape == (1, 96, 128) and out.chroma.shape == (2, 96, 128)
    assert torch.equal(out.luma, wanted.luma) and torch.equal(out.chroma, wanted.chroma)


def test_the_plan_says_how_large_the_film_becomes(movie):
    pipeline = RemasterPipeline(TWICE)
    with VideoReader(movie) as reader:
        said = plan(pipeline, reader.info, 0, "ffv1 to out.mkv")
    assert said.startswith("64x48 yuv420p: restore with fast at 64x48, enlarge to 128x96 on cpu")


# ---- files


def test_every_frame_of_a_film_is_twice_as_large(movie, whole, tmp_path):
    sizes = [128 * 96, 64 * 48, 64 * 48]
    assert len(whole) == sum(LENGTHS) and all([len(plane) for plane in frame] == sizes for frame in whole)
    assert all(len(set(plane)) == 1 for frame in whole[LENGTHS[0] :] for plane in frame[1:]), "gray stays gray"
    with VideoReader(movie) as reader:
        frames, info = list(reader), reader.info
    luma = torch.stack([decode_luma(frame.planes, info) for frame in frames])
    wanted = Restorer(TWICE).restore(luma, [LENGTHS[0]]).luma
    codes = np.stack([np.frombuffer(frame[0], np.uint8) for frame in whole]).reshape(-1, 1, 96, 128)
    assert np.abs(codes - (16 + 219 * wanted.numpy())).max() < 0.51


@pytest.mark.parametrize(
    ("codec", "name"),
    [(codec, suffix) for codec, row in TABLE.items() for suffix in row.suffixes] + [("png", ""), ("dpx", "")],
)
def test_every_codec_and_container_holds_it(movie, tmp_path, codec, name):
    source, size = movie, (128, 96)
    if TABLE[codec].smallest[0] > 128:
        source = write_film(tmp_path / "wide.mkv", (4,), size=(128, 60), sar=SAR)
        size = 256, 120  # the smallest: at scale 1 it would be refused
    output = tmp_path / f"out{name}"
    remaster_film(source, output, restore=ONLY_LARGER, colorize=None, write=OutputOptions(codec=codec), end=4)
    with VideoReader(output, notes=False) as reader:
        assert (reader.info.width, reader.info.height) == size
        assert reader.info.sar == (SAR if codec != "png" else 1)
        count = sum(frame.planes[0].shape == size[::-1] for frame in reader)
    assert count == 4
    if not TABLE[codec].is_folder:
        with av.open(str(output)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == size and len(container.streams.audio) == 1


@pytest.mark.parametrize("codec", ["ffv1", "x264"])
def test_odd_sizes_become_even(tmp_path, codec):
    film(tmp_path / "film.mkv", 3, "yuv420p", (97, 65), "ffv1")
    output = tmp_path / "out.mkv"
    remaster_film(tmp_path / "film.mkv", output, restore=ONLY_LARGER, colorize=None, write=OutputOptions(codec=codec))
    with VideoReader(output) as reader:
        assert (reader.info.width, reader.info.height, reader.info.subsampling) == (194, 130, (1, 1))
        assert [[plane.shape for plane in frame.planes] for frame in reader] == 3 * [[(130, 194), (65, 97), (65, 97)]]


def test_a_film_that_lies_comes_out_upright(tmp_path):
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_matrix((0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30))
        for n in range(3):
            planes = [np.full(size, 100, np.uint8) for size in ((48, 64), (24, 32), (24, 32))]
            picture = frame_of(planes, "yuv420p")
            picture.pts, picture.time_base = n, Fraction(1, 24)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    made(path, tmp_path / "out.mkv", restore=ONLY_LARGER)
    with VideoReader(tmp_path / "out.mkv") as reader:
        assert (reader.info.width, reader.info.height) == (96, 128)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gbrp10le", "gray10le"])
def test_a_flat_colour_stays_the_colour(tmp_path, pix_fmt, full):
    """Luma moves; chroma, the range and the tags are those of the film."""
    path, output, count = tmp_path / "film.mkv", tmp_path / "out.mkv", 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        context = stream.codec_context
        context.color_range = 2 if full else 1
        context.color_primaries, context.color_trc = 1, 1
        context.colorspace = 0 if pix_fmt == "gbrp10le" else 1
        for n in range(count):
            bits = 10 if "10" in pix_fmt else 8
            picture = av.VideoFrame(64, 48, pix_fmt)
            planes = [np.array(plane) for plane in planes_of(picture)]
            for i, plane in enumerate(planes):
                plane[:] = (0.3, 0.55, 0.7)[i] * (1 << bits)
            if pix_fmt != "gbrp10le":
                planes[0][:, 10 + n :] *= 2
            picture = frame_of(planes, pix_fmt)
            picture.pts, picture.time_base = n, Fraction(1, 24)
            picture.color_range, picture.colorspace = context.color_range, context.colorspace
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    made(path, output, restore=RestoreOptions(**EXACT, scale=2))
    with VideoReader(path) as before, VideoReader(output) as after:
        source, info = next(iter(before)), before.info
        for frame in after:
            wanted = replace(info.tags, siting=after.info.tags.siting, range=2 if info.full_range else 1)
            assert after.info.tags == wanted
            assert (after.info.full_range, after.info.matrix, after.info.bits) == (
                info.full_range, info.matrix, info.bits
            )  # fmt: skip
            assert after.info.subsampling == info.subsampling and after.info.siting == info.siting
            if info.kind == "yuv":
                for was, became in zip(source.planes[1:], frame.planes[1:], strict=True):
                    assert np.abs(became.astype(int) - int(was[0, 0])).max() <= 1
            elif info.kind == "rgb":
                was, became = (decode(one.planes, i)[1] for one, i in ((source, info), (frame, after.info)))
                assert (became.amax((1, 2)) - was[:, 0, 0]).abs().max() < 0.01


def test_without_restoring_it_is_interpolated(movie, tmp_path):
    out = made(movie, tmp_path / "out.mkv", restore=ONLY_LARGER, end=3)
    with VideoReader(movie, end=3) as reader:
        for frame, planes in zip(reader, out, strict=True):
            wanted = enlarged(decode_luma(frame.planes, reader.info)[None]).numpy()
            assert np.abs(np.frombuffer(planes[0], np.uint8).reshape(96, 128) - (16 + 219 * wanted)).max() < 0.51


@pytest.mark.parametrize("more", [{"tile": 384}, {"lines": 64}])
def test_tiles_and_the_network_s_own_height_do_not_change_the_size(tmp_path, more):
    film(tmp_path / "film.mkv", 2, "gray", (400, 96), "ffv1")
    (first, second) = made(tmp_path / "film.mkv", tmp_path / "out.mkv", restore=RestoreOptions(**CPU, scale=2, **more))
    assert len(first[0]) == len(second[0]) == 4 * 400 * 96


@pytest.mark.parametrize(("start", "end"), [(5, 26), (21, 40)])
def test_a_part_has_the_frames_of_the_whole(tmp_path, movie, whole, start, end):
    assert made(movie, tmp_path / "out.mkv", start=start, end=end) == whole[start:end]


def test_coloured_and_enlarged_with_references_as_they_are(movie, tmp_path):
    references = load_references(write_references(tmp_path / "references"), lines=64)
    how = {"restore": RestoreOptions(**EXACT, scale=2), "end": 6}
    out = made(
        movie, tmp_path / "out.mkv", references=references, colorize=ColorizeOptions(**EXACT, lines=64), **how
    )  # fmt: skip
    gray = made(movie, tmp_path / "gray.mkv", **how)
    assert [frame[0] for frame in out] == [frame[0] for frame in gray], "colour leaves the luma as it is"
    assert [len(plane) for plane in out[0]] == [128 * 96] * 3


def test_what_an_encoder_cannot_hold_is_refused_before_any_work(tmp_path, capsys, monkeypatch):
    film(tmp_path / "film.mkv", 2, "yuv420p", (8200, 32), "ffv1")
    monkeypatch.setattr(Restorer, "process", None)
    for more in ([], ["--job", tmp_path / "job"]):
        said = fails(capsys, "run", tmp_path / "film.mkv", "-o", tmp_path / "out.mkv", "--scale", 2, *FAST, *more)
        assert "x264 cannot take 16400x64 yuv420p" in said and "try another --codec" in said
    assert not (tmp_path / "out.mkv").exists()


def test_a_codec_s_smallest_and_the_largest_picture_are_those_of_the_output(movie, tmp_path):
    with VideoReader(movie) as reader:
        with pytest.raises(InputError, match=r"dnxhr takes pictures of 256x120 and more, .* has 128x96 at scale 2"):
            output_format(reader.info, "dnxhr", False, scale=2)
        huge = replace(reader.info, width=16384, height=8192)
        assert output_format(huge, "ffv1", False).width == 16384
        with pytest.raises(InputError, match="has 32768x16384 at scale 2, and pictures of 134 million pixels at most"):
            output_format(huge, "ffv1", False, scale=2)


# ---- jobs


@pytest.mark.parametrize("chunks", ["lossless", "final"])
def test_a_job_has_the_frames_of_a_direct_run(tmp_path, movie, whole, chunks):
    options = JobOptions(chunk_frames=16, folder=tmp_path / "job", chunk_coding=chunks)
    remaster_job(movie, tmp_path / "out.mkv", options=options, restore=TWICE, colorize=None, write=LOSSLESS)
    assert samples(tmp_path / "out.mkv") == whole
    _, plan, _ = opened(tmp_path / "job")
    assert plan["frame_bytes"] == 128 * 96 * 3 // 2


def test_a_job_at_scale_1_has_the_frames_of_a_direct_run_too(tmp_path, movie):
    """Every step's window is among what a chunk is given."""
    how = {"restore": RestoreOptions(**CPU), "colorize": None, "write": LOSSLESS}
    options = JobOptions(chunk_frames=16, folder=tmp_path / "job")
    remaster_job(movie, tmp_path / "out.mkv", options=options, **how)
    assert samples(tmp_path / "out.mkv") == made(movie, tmp_path / "direct.mkv", **how)


def test_shots_may_have_a_sharpness_and_keep_the_size_when_skipped(tmp_path, movie, whole):
    output, job = tmp_path / "out.mkv", tmp_path / "job"
    job.mkdir()
    (job / "shots.toml").write_text("[[shot]]\nnumber = 1\nskip = true\n[[shot]]\nnumber = 2\nsharpness = 0.25\n")
    options = JobOptions(chunk_frames=16, folder=job)
    remaster_job(movie, output, options=options, restore=TWICE, colorize=None, write=LOSSLESS)
    cut = LENGTHS[0]
    larger = made(movie, tmp_path / "larger.mkv", restore=ONLY_LARGER)
    soft = made(movie, tmp_path / "soft.mkv", restore=replace(TWICE, sharpness=0.25))
    assert samples(output) == larger[:cut] + soft[cut:] and soft[cut:] != whole[cut:]


def test_a_shot_may_be_sharpened_where_its_film_is_not(tmp_path, movie):
    output, job = tmp_path / "out.mkv", tmp_path / "job"
    job.mkdir()
    (job / "shots.toml").write_text("[[shot]]\nnumber = 2\nsharpness = 1\n")
    soft, sharp = (RestoreOptions(**CPU, sharpness=sharpness) for sharpness in (0, 1))
    options = JobOptions(chunk_frames=8, folder=job)
    remaster_job(movie, output, options=options, restore=soft, colorize=None, write=LOSSLESS)
    cut = LENGTHS[0]
    first, second = (made(movie, tmp_path / "wanted.mkv", restore=one) for one in (soft, sharp))
    assert samples(output) == first[:cut] + second[cut:]


@pytest.mark.parametrize("value", ["2", "-0.1", '"much"', "true"])
def test_a_sharpness_of_a_shot_that_is_none_is_named(tmp_path, movie, capsys, value):
    job = tmp_path / "job"
    job.mkdir()
    (job / "shots.toml").write_text(f"[[shot]]\nnumber = 1\nsharpness = {value}\n")
    said = fails(capsys, "run", movie, "-o", tmp_path / "out.mkv", "--job", job, "--plan", *FAST)
    assert "shot 1: sharpness must be a number of 0..1, got" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [(["--scale", 1], "restore scale was 2, is 1"), (["--sharpness", 0.5], "restore sharpness was 1.0, is 0.5")],
)
def test_a_job_goes_on_at_the_scale_it_was_begun_with(tmp_path, movie, capsys, more, words):
    command = ["run", movie, "-o", tmp_path / "out.mkv", "--job", tmp_path / "job", "--plan", *FAST, "--scale", 2]
    assert run(capsys, *command)[0] == 0
    assert run(capsys, *command)[0] == 0
    assert words in fails(capsys, *command, *more)


# ---- the command line and pipes


@pytest.mark.parametrize("job", [False, True])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scale", "3"], "--scale: invalid choice: 3"),
        (["--sharpness", "2"], "sharpness must be between 0 and 1, got 2.0"),
        (["--scale", "2", "--no-restore", "--automatic"], "scale 2 enlarges what was restored, and restoring is off"),
        (["--sharpener", "none.safetensors"], "no weight file 'none.safetensors'"),
        (["--sharpener", find("restorer", "fast")], "holds a restorer, not a sharpener"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(tmp_path, movie, capsys, arguments, words, job):
    more = ["--plan"] if job else []
    assert words in fails(capsys, "run", movie, "-o", tmp_path / "out.mkv", *FAST, *arguments, *more)
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("job", [False, True])
def test_networks_of_papers_do_not_enlarge(tmp_path, movie, capsys, job):
    path = tmp_path / "papers.safetensors"
    save_weights(path, build("deepremaster-restorer"))
    command = ["run", movie, "-o", tmp_path / "out.mkv", "--device", "cpu", "--model", path, "--scale", 2]
    said = fails(capsys, *command, *(["--plan"] if job else []))
    assert "scale 2 is not for" in said and "take another model, or scale 1" in said


def test_the_command_line_s_frames_are_the_library_s(tmp_path, movie, whole, capsys):
    output = tmp_path / "out.mkv"
    status, said = run(capsys, "run", movie, "-o", output, "--codec", "ffv1", "--scale", 2, "--end", 12, *FAST)
    assert status == 0 and "enlarge to 128x96" in said
    assert samples(output) == whole[:12]


def y4m(name: str, frames: list[list[np.ndarray]]) -> bytes:
    head = f"YUV4MPEG2 W64 H48 F24:1 Ip A16:15 C{name} XYSCSS=420JPEG XSOMETHING\n".encode()
    return head + b"".join(b"FRAME\n" + b"".join(plane.tobytes() for plane in planes) for planes in frames)


def test_a_pipe_says_how_large_its_frames_are(movie, whole):
    """Of a film whose chroma lies where 420mpeg2 has it."""
    sink = BytesIO()
    treatment = {"restore": TWICE, "colorize": None, "scenes": [LENGTHS[0]]}
    count = remaster_pipe(BytesIO(y4m("420mpeg2", [f.planes for f in frames_of(movie)])), sink, **treatment)
    head, _, rest = sink.getvalue().partition(b"\n")
    assert head == b"YUV4MPEG2 W128 H96 F24:1 Ip A16:15 C420mpeg2 XYSCSS=420JPEG XSOMETHING"
    size = 6 + 128 * 96 * 3 // 2
    assert count == len(whole) and len(rest) == count * size
    assert [rest[n * size + 6 : (n + 1) * size] for n in range(count)] == [b"".join(frame) for frame in whole]


@pytest.mark.parametrize("pix_fmt", ["gray", "yuv420p", "yuv444p10le", "rgb24", "gbrp"])
def test_raw_frames_are_twice_as_large(pix_fmt):
    sink, each = BytesIO(), {"gray": 1, "yuv420p": 1.5, "yuv444p10le": 6, "rgb24": 3, "gbrp": 3}[pix_fmt]
    data = np.random.default_rng(0).integers(0, 4, int(2 * 64 * 48 * each), np.uint8).tobytes()
    options = PipeOptions(format="raw", size=SIZE, pix_fmt=pix_fmt)
    assert remaster_pipe(BytesIO(data), sink, options, restore=ONLY_LARGER, colorize=None) == 2
    assert len(sink.getvalue()) == 4 * len(data)


# ---- reports and frames to paint


def test_a_report_compares_at_the_size_of_the_result(movie, whole, tmp_path):
    output, report = tmp_path / "out.mkv", tmp_path / "report"
    made(movie, output)
    make_report(movie, output, report)
    told = json.loads((report / "report.json").read_text())
    assert (told["width"], told["height"], told["scale"]) == (64, 48, 2)
    assert "of 64x48 made 128x96" in (report / "index.html").read_text(encoding="utf-8")
    sizes = {cv2.imread(str(path)).shape for path in (report / "pictures").glob("[ab]*.jpg")}
    assert sizes == {(96, 137, 3)}, "both sides of the slider, at the shape of their pixels"


def test_what_is_only_larger_is_not_repaired(movie, tmp_path):
    output, report = tmp_path / "out.mkv", tmp_path / "report"
    made(movie, output, restore=ONLY_LARGER)
    make_report(movie, output, report)
    told = json.loads((report / "report.json").read_text())
    assert told["damage"] < 0.005
    assert told["flicker_after"] == pytest.approx(told["flicker_before"], abs=5e-4)


def test_a_report_of_a_job_knows_the_size(movie, tmp_path, capsys):
    job = tmp_path / "job"
    command = ["run", movie, "-o", tmp_path / "out.mkv", "--job", job, "--scale", 2, "--strength", 0, *FAST]
    assert run(capsys, *command)[0] == 0
    assert run(capsys, "report", job, "-o", tmp_path / "report")[0] == 0
    assert json.loads((tmp_path / "report/report.json").read_text())["scale"] == 2


def test_other_sizes_are_still_an_error(movie, tmp_path, capsys):
    film(tmp_path / "other.mkv", 44, "gray", (192, 144), "ffv1")
    said = fails(capsys, "report", movie, tmp_path / "other.mkv", "-o", tmp_path / "report")
    assert "sizes differ" in said and "at its own size or twice that" in said


def test_frames_to_paint_keep_their_numbers_and_their_size(movie, tmp_path):
    for scale in (1, 2):
        options = RestoreOptions(**CPU, scale=scale)
        colorize = ColorizeOptions(**CPU, lines=64)
        pick_references(movie, tmp_path / str(scale), count=2, restore=options, colorize=colorize)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / str(scale)).glob("*.png")} for scale in (1, 2)
    )
    assert first == second and len(first) == 2
