"""The command line as a user meets it: real films, the shipped weights, every error in one line."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.support.command_line import fails, run
from tests.support.films import film, frames_of, moving, pictures, same, stream_times
from vs_remaster import __version__
from vs_remaster.cli import progress
from vs_remaster.cli.arguments import model_for, output_options
from vs_remaster.cli.entry import make_parser
from vs_remaster.errors import InputError
from vs_remaster.models import build
from vs_remaster.output.options import OutputOptions
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.system.threads import overlap
from vs_remaster.video.info import VideoInfo
from vs_remaster.video.reader import VideoReader
from vs_remaster.weights import save_weights

SIZE = (64, 48)
FAST = ["--device", "cpu", "--color-lines", "64"]


@pytest.fixture(scope="module")
def references(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    for n, color in enumerate([(40, 90, 200), (200, 120, 30)]):
        picture = np.full((48, 64, 3), color, np.uint8)
        picture[:, ::4] //= 2
        (folder / f"ref_{n * 3}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return folder


# --- what is written ---


def test_colour_only_keeps_every_luma_sample(tmp_path, capsys, references):
    for pix_fmt in ("gray", "gray10le", "yuv420p", "yuv422p10le"):
        film(tmp_path / "film.mkv", 5, pix_fmt, SIZE, "ffv1")
        status, err = run(
            capsys, "run", tmp_path / "film.mkv", "-o", tmp_path / "out.mkv", "--no-restore",
            "--references", references, "--codec", "ffv1", "--overwrite", *FAST,
        )  # fmt: skip
        assert status == 0, err
        assert "restore" not in err
        assert "colour from 2 references with fast at" in err
        frames = frames_of(tmp_path / "out.mkv")
        assert len(frames) == 5
        for frame, source in zip(frames, frames_of(tmp_path / "film.mkv"), strict=True):
            assert np.array_equal(frame.planes[0], source.planes[0])
            assert frame.planes[1].shape == frame.planes[0].shape
        assert any(len(np.unique(p)) > 1 for p in frames[0].planes[1:])


def test_restore_only_keeps_gray_gray_and_the_colours_of_a_colour_film(tmp_path, capsys):
    for pix_fmt, odd in (("gray", (65, 49)), ("gray16le", SIZE), ("yuv420p", (65, 49))):
        film(tmp_path / "film.mkv", 4, pix_fmt, odd, "ffv1")
        status, err = run(
            capsys, "run", tmp_path / "film.mkv", "-o", tmp_path / "out.mkv", "--codec", "ffv1", "--overwrite", *FAST
        )
        assert status == 0, err
        assert "no references: the film is restored only" in err
        with VideoReader(tmp_path / "out.mkv") as reader:
            assert reader.info.pix_fmt == pix_fmt
            frames = list(reader)
        assert [f.planes[0].shape for f in frames] == [odd[::-1]] * 4
        assert not any(np.array_equal(a.planes[0], moving(pix_fmt, *odd, a.index)[0]) for a in frames)


def test_restored_gray_in_a_colour_format_stays_exactly_gray(tmp_path, capsys):
    gray = [moving("gray", *SIZE, n)[0] for n in range(4)]
    pictures(tmp_path / "film", [np.dstack([g] * 3) for g in gray])
    assert run(capsys, "run", tmp_path / "film", "-o", tmp_path / "out", *FAST)[0] == 0
    for frame, source in zip(frames_of(tmp_path / "out"), gray, strict=True):
        assert np.array_equal(frame.planes[0], frame.planes[1])
        assert np.array_equal(frame.planes[0], frame.planes[2])
        assert not np.array_equal(frame.planes[0], source)
    assert run(capsys, "run", tmp_path / "film", "-o", tmp_path / "film.mkv", "--strength", "0", *FAST)[0] == 0
    assert run(capsys, "run", tmp_path / "film.mkv", "-o", tmp_path / "out.mkv", "--codec", "ffv1", *FAST)[0] == 0
    frames = frames_of(tmp_path / "out.mkv")
    assert len(frames) == 4
    assert all((p == 128).all() for f in frames for p in f.planes[1:])


def test_strength_0_leaves_the_source_untouched(tmp_path, capsys):
    film(tmp_path / "film.mkv", 4, "yuv420p", (65, 49), "ffv1")
    arguments = (
        "run",
        tmp_path / "film.mkv",
        "-o",
        tmp_path / "out.mkv",
        "--codec",
        "ffv1",
        "--strength",
        "0",
        "--no-color",
    )
    assert run(capsys, *arguments, *FAST)[0] == 0
    assert same(frames_of(tmp_path / "out.mkv"), frames_of(tmp_path / "film.mkv"))


def test_a_part_has_the_frames_of_the_whole(tmp_path, capsys, references):
    """Frame n is always the same frame, also where a film is cut."""
    film(tmp_path / "film.mkv", 45, "gray", SIZE, "ffv1")
    common = ["--references", references, "--codec", "ffv1", "--precision", "fp32", *FAST]
    assert run(capsys, "run", tmp_path / "film.mkv", "-o", tmp_path / "whole.mkv", *common)[0] == 0
    whole = frames_of(tmp_path / "whole.mkv")
    for start, end in ((0, 3), (29, 34), (40, None)):
        part = ["--start", start, *([] if end is None else ["--end", end]), "--overwrite"]
        assert run(capsys, "run", tmp_path / "film.mkv", "-o", tmp_path / "part.mkv", *common, *part)[0] == 0
        frames = frames_of(tmp_path / "part.mkv")
        assert same(frames, whole[start:end])
        assert frames[0].pts == 0


def test_everything_in_one_run(tmp_path, capsys, references):
    """Variable rate, odd size, 10 bits, sound, tags: from MP4 to MP4."""
    times = [n * 1001 + (7000 if n > 5 else 0) for n in range(12)]
    film(
        tmp_path / "film.mp4", times=times, pix_fmt="yuv420p10le", size=SIZE, time_base=Fraction(1, 24000), sound=True,
        sample_aspect_ratio=Fraction(16, 15), colorspace=6, color_primaries=5, color_trc=6, color_range=1,
    )  # fmt: skip
    name = tmp_path / 'Älter & "neu" 映画.mp4'
    status, err = run(capsys, "run", tmp_path / "film.mp4", "-o", name, "--references", *references.iterdir(), *FAST)
    assert status == 0, err
    assert err.splitlines()[-1] == f"12 frames written to {name}"
    assert "restore with fast at 64x48, colour from 2 references with fast at" in err
    assert stream_times(name) == [Fraction(t, 24000) for t in times]
    with VideoReader(name) as reader:
        info: VideoInfo = reader.info
    assert (info.pix_fmt, info.sar, info.matrix, info.has_audio) == ("yuv420p10le", Fraction(16, 15), "bt601", True)
    assert (info.tags.primaries, info.tags.transfer, info.tags.matrix, info.tags.range) == (5, 6, 6, 1)


def test_folders_in_and_out(tmp_path, capsys, references):
    samples = [np.full((49, 65), 20 * n, np.uint8) for n in range(4)]
    pictures(tmp_path / "film", samples)
    assert run(capsys, "run", tmp_path / "film", "-o", tmp_path / "gray", *FAST)[0] == 0
    assert sorted(f.name for f in (tmp_path / "gray").iterdir()) == [f"frame_{n:06d}.png" for n in range(4)]
    assert frames_of(tmp_path / "gray")[0].planes[0].shape == (49, 65)
    assert len(frames_of(tmp_path / "gray")[0].planes) == 1
    assert (
        run(capsys, "run", tmp_path / "film", "-o", tmp_path / "c", "--no-restore", "--references", references, *FAST)[
            0
        ]
        == 0
    )
    for frame, sample in zip(frames_of(tmp_path / "c"), samples, strict=True):
        luma = sum(w * p.astype(float) for w, p in zip((0.299, 0.587, 0.114), frame.planes, strict=True))
        assert np.abs(luma - sample).max() <= 0.51


def test_saturation_0_is_gray_and_scenes_are_taken(tmp_path, capsys, references):
    film(tmp_path / "film.mkv", 6, "gray", SIZE, "ffv1")
    (tmp_path / "cuts.txt").write_text("# cuts\n3\n")
    arguments = (
        "run",
        tmp_path / "film.mkv",
        "-o",
        tmp_path / "out.mkv",
        "--references",
        references,
        "--codec",
        "ffv1",
    )
    arguments += ("--saturation", "0", "--scenes", tmp_path / "cuts.txt", *FAST)
    assert run(capsys, *arguments)[0] == 0
    frames = frames_of(tmp_path / "out.mkv")
    assert all((p == 128).all() for f in frames for p in f.planes[1:])
    assert run(capsys, *arguments, "--overwrite", "--scenes", "none")[0] == 0
    assert not same(frames, frames_of(tmp_path / "out.mkv"))


def test_a_truncated_film_is_written_as_far_as_it_goes(tmp_path, capsys):
    film(tmp_path / "film.mkv", 60, size=(160, 128), options={"crf": "10"})
    data = (tmp_path / "film.mkv").read_bytes()
    (tmp_path / "film.mkv").write_bytes(data[: len(data) // 2])
    status, err = run(capsys, "run", tmp_path / "film.mkv", "-o", tmp_path / "out.mkv", *FAST)
    count = len(frames_of(tmp_path / "out.mkv"))
    assert status == 0, err
    assert 10 < count < 60
    assert f"warning: {tmp_path}/film.mkv is truncated: {count} of about 60 whole frames could be read" in err
    assert f"{count} frames written" in err


def test_quiet_says_nothing_and_otherwise_progress_is_reported(tmp_path, capsys, monkeypatch):
    film(tmp_path / "film.mkv", 4, "gray", SIZE, "ffv1")
    arguments = ("run", tmp_path / "film.mkv", "-o", tmp_path / "out.mkv", "--overwrite", *FAST)
    assert run(capsys, *arguments, "--quiet") == (0, "")
    monkeypatch.setattr(progress, "EVERY", 0)
    status, err = run(capsys, *arguments)
    assert status == 0
    assert "frame 4 of 4, " in err
    assert "frames/s" in err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    status, err = run(capsys, *arguments)
    assert status == 0
    assert "4/4" in err


# --- options ---


def test_defaults_are_those_of_the_dataclasses():
    arguments = vars(make_parser().parse_args(["run", "in.mkv", "-o", "out.mkv"]))
    renamed = {"lines": "restore_lines"}
    for field in fields(RestoreOptions):
        assert arguments[renamed.get(field.name, field.name)] == field.default
    assert (arguments["saturation"], arguments["color_lines"]) == (
        ColorizeOptions().saturation,
        ColorizeOptions().lines,
    )
    assert output_options(make_parser().parse_args(["run", "in.mkv", "-o", "out.mkv"])) == OutputOptions()


def test_a_model_for_each_network(tmp_path):
    both = [model_for("fast,quality", network) for network in ("restorer", "colorizer")]
    assert both == ["fast", "quality"]
    with pytest.raises(InputError, match=r"RESTORER,COLORIZER; got 'a,b,c'"):
        model_for("a,b,c", "restorer")
    path = tmp_path / "a,b.safetensors"
    save_weights(path, build("restorer"))
    assert model_for(str(path), "restorer") == str(path)


def test_a_variant_that_only_one_network_has_leaves_the_other_its_own():
    models = {network: model_for("automatic", network) for network in ("restorer", "colorizer")}
    assert models == {"restorer": "auto", "colorizer": "automatic"}
    assert [model_for(name, "restorer") for name in ("fast", "quality", "none such")] == [
        "fast", "quality", "none such"
    ]  # fmt: skip


def test_options_reach_the_engine(tmp_path, capsys, references, monkeypatch):
    seen = {}
    film(tmp_path / "in.mkv", 2, "gray", SIZE, "ffv1")
    monkeypatch.chdir(tmp_path)

    def record(request, **more):
        seen.update(vars(request))
        raise InputError("stop here")

    monkeypatch.setattr("vs_remaster.film.remastering.remaster_film", record)
    fails(
        capsys, "run", "in.mkv", "-o", "out.mov", "--references", references, "--strength", ".5", "--saturation", "1.5",
        "--model", "fast", "--device", "cpu", "--precision", "fp32", "--codec", "prores", "--crf", "12", "--start", "3",
        "--end", "9", "--scenes", "none", "--engine", "torch", "--tile", "512", "--grain", ".25", "--restore-lines",
        "600", "--color-lines", "300", "--overwrite", "--bits", "10", "--timecode", "01:00:00;00",
        "--levels", ".1,.8,2", "--sharpness", ".75", "--scale", "2", "--sharpener", "own.safetensors",
    )  # fmt: skip
    how = {"model": "fast", "device": "cpu", "precision": "fp32", "engine": "torch"}
    assert seen["restore"] == RestoreOptions(
        strength=0.5, grain=0.25, sharpness=0.75, scale=2, sharpener="own.safetensors", levels=(0.1, 0.8, 2), lines=600,
        tile=512, **how,
    )  # fmt: skip
    assert not seen["auto_levels"]
    assert seen["colorize"] == ColorizeOptions(saturation=1.5, lines=300, **how)
    assert seen["write"] == OutputOptions(codec="prores", crf=12, overwrite=True, bits=10, timecode="01:00:00;00")
    assert (seen["start"], seen["end"], seen["scenes"], len(seen["references"])) == (3, 9, "none", 2)
    fails(capsys, "run", "in.mkv", "-o", "out.mov", "--references", references, "--no-color", "--levels", "auto")
    assert (seen["colorize"], seen["references"]) == (None, ())
    assert (seen["auto_levels"], seen["restore"].levels) == (True, None)
    fails(capsys, "run", "in.mkv", "-o", "out.mov", "--references", references, "--no-restore")
    assert seen["restore"] is None


# --- errors ---


def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, capsys, references):
    film(tmp_path / "film.mkv", 3, "gray", SIZE, "ffv1")
    (tmp_path / "text.mkv").write_text("no video")
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.mkv").touch()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "good.png").write_bytes(next(references.iterdir()).read_bytes())
    (broken / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n123")
    (tmp_path / "cuts.txt").write_text("12\nthirteen\n")
    before = sorted(f.name for f in tmp_path.iterdir())
    good, out = tmp_path / "film.mkv", tmp_path / "out.mkv"
    for words, arguments in (
        ("no such file or folder", (tmp_path / "none.mkv", "-o", out)),
        ("not a video", (tmp_path / "text.mkv", "-o", out)),
        ("holds no pictures", (tmp_path / "empty", "-o", out)),
        ("does not exist", (good, "-o", out, "--references", tmp_path / "none")),
        ("no pictures in reference folder", (good, "-o", out, "--references", tmp_path / "empty")),
        ("bad.png", (good, "-o", out, "--references", broken)),
        ("output exists", (good, "-o", tmp_path / "there.mkv")),
        ("output folder does not exist", (good, "-o", tmp_path / "none/out.mkv")),
        ("invalid choice: 'divx'", (good, "-o", out, "--codec", "divx")),
        ("cannot tell the container from out.xyz", (good, "-o", tmp_path / "out.xyz")),
        (".mp4 does not hold dnxhr: end it in .mov or .mxf", (good, "-o", tmp_path / "out.mp4", "--codec", "dnxhr")),
        ("timecode must be HH:MM:SS:FF", (good, "-o", out, "--timecode", "1:2")),
        ("prores holds 10 bits a sample, not 8", (good, "-o", out, "--codec", "prores", "--bits", "8")),
        ("output is the input", (good, "-o", good, "--overwrite")),
        ("strength must be between 0 and 1, got 2", (good, "-o", out, "--strength", "2")),
        ("strength", (good, "-o", out, "--strength", "nan")),
        ("invalid int value: 'x'", (good, "-o", out, "--start", "x")),
        ("no frames from 5 to 2", (good, "-o", out, "--start", "5", "--end", "2")),
        ("none from frame 7 on", (good, "-o", out, "--start", "7")),
        ("crf must lie in 0..51", (good, "-o", out, "--crf", "77")),
        ("'thirteen'", (good, "-o", out, "--scenes", tmp_path / "cuts.txt")),
        ("nothing to do", (good, "-o", out, "--no-restore")),
        ("nothing to do", (good, "-o", out, "--no-restore", "--no-color", "--references", references)),
        ("no restorer model 'huge'", (good, "-o", out, "--model", "huge")),
        ("unknown engine 'tpu'", (good, "-o", out, "--engine", "tpu")),
        ("unknown device 'tpu'", (good, "-o", out, "--device", "tpu")),
        ("'cuda:99' is not there", (good, "-o", out, "--device", "cuda:99")),
        ("required: -o/--output", (good,)),
    ):
        assert words in fails(capsys, "run", *arguments), words
        assert sorted(f.name for f in tmp_path.iterdir()) == before, words


def test_films_without_video_or_frames(tmp_path, capsys):
    with av.open(str(tmp_path / "sound.mka"), "w", format="matroska") as container:
        voice = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = 8000, 0, Fraction(1, 8000)
        container.mux(voice.encode(block))
    assert "has no video stream" in fails(capsys, "run", tmp_path / "sound.mka", "-o", tmp_path / "out.mkv")
    with av.open(str(tmp_path / "none.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width = stream.height = 16
        container.start_encoding()
    assert "holds no frames" in fails(capsys, "run", tmp_path / "none.mkv", "-o", tmp_path / "out.mkv")


@pytest.mark.skipif("os.geteuid() == 0", reason="the superuser may read and write everything")
def test_files_without_permission(tmp_path, capsys):
    film(tmp_path / "film.mkv", 2)
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "permission denied" in fails(capsys, "run", tmp_path / "film.mkv", "-o", tmp_path / "closed/out.mkv")
    (tmp_path / "film.mkv").chmod(0)
    assert "permission denied" in fails(capsys, "run", tmp_path / "film.mkv", "-o", tmp_path / "out.mkv")


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vs_remaster.cli", *(str(a) for a in arguments)]
    root = Path(__file__).parents[1]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root, **options)


def test_full_disk_and_version_from_a_shell(tmp_path):
    film(tmp_path / "film.mkv", 30, size=(160, 128), options={"crf": "0"})

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))  # fails as a full disk does

    arguments = ("run", tmp_path / "film.mkv", "-o", tmp_path / "out.mkv", "--codec", "ffv1", *FAST)
    done = start(*arguments, preexec_fn=prepare)
    version = start("--version")
    _, err = done.communicate(timeout=300)
    assert done.returncode == 2
    assert err == f"vs-remaster: no space left for {tmp_path / 'out.mkv'}: free some or write elsewhere\n"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["film.mkv"]
    assert version.communicate(timeout=300) == (f"vs-remaster {__version__}\n", "")


@pytest.fixture(scope="module")
def minutes(tmp_path_factory) -> Path:
    """A film that takes longer than anybody waits here."""
    path = tmp_path_factory.mktemp("long") / "film.mkv"
    film(path, 450, "gray", (320, 256), "ffv1")
    return path


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_of_a_short_film_leaves_nothing(tmp_path, minutes, number, status):
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job of a shell in the background ignores it
    try:
        job = start("run", minutes, "-o", tmp_path / "out.mkv", *FAST)
    finally:
        signal.signal(signal.SIGINT, ours)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob(".out.mkv.*.part")):
        assert job.poll() is None, job.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(2)
    os.kill(job.pid, number)
    _, err = job.communicate(timeout=240)
    assert job.returncode == status
    assert err == ("vs-remaster: stopped\n" if number == signal.SIGINT else "")
    assert not list(tmp_path.iterdir())


# --- merge ---


def test_merge_takes_luma_from_one_and_colour_from_the_other(tmp_path, capsys):
    film(tmp_path / "luma.mkv", 6, "gray10le", SIZE, "ffv1")
    film(tmp_path / "chroma.mkv", 6, "yuv444p", (32, 24), "ffv1", color_range=1)
    status, err = run(
        capsys, "merge", tmp_path / "luma.mkv", tmp_path / "chroma.mkv", "-o", tmp_path / "out.mkv", "--codec", "ffv1"
    )
    assert status == 0, err
    for n, frame in enumerate(frames_of(tmp_path / "out.mkv")):
        assert np.array_equal(frame.planes[0], moving("gray10le", *SIZE, n)[0])
        for mine, theirs in zip(frame.planes[1:], moving("yuv444p", 32, 24, n)[1:], strict=True):
            small = cv2.resize(mine.astype(np.float32), (32, 24), interpolation=cv2.INTER_AREA)
            scale = 1023 / 224 * 0.5 * 2  # full range of 10 bits from limited range of 8
            assert np.abs((small - 512) / scale - (theirs.astype(float) - 128)).mean() < 8


def test_merge_weight_0_keeps_the_own_colours(tmp_path, capsys):
    film(tmp_path / "luma.mkv", 3, "yuv444p", SIZE, "ffv1", color_range=1)
    film(tmp_path / "chroma.mkv", 3, "yuv420p", SIZE, "ffv1", color_range=1)
    arguments = ("merge", tmp_path / "luma.mkv", tmp_path / "chroma.mkv", "-o", tmp_path / "out.mkv", "--codec", "ffv1")
    assert run(capsys, *arguments, "--weight", "0")[0] == 0
    assert same(frames_of(tmp_path / "out.mkv"), frames_of(tmp_path / "luma.mkv"))
    assert "weight must be between 0 and 1, got 3" in fails(capsys, *arguments, "--overwrite", "--weight", "3")


@pytest.mark.parametrize(("count", "offset"), [(8, 2), (6, 2), (4, -2), (6, -2), (6, 0)])
def test_merge_offset(tmp_path, capsys, count, offset):
    film(tmp_path / "luma.mkv", 6, "gray", SIZE, "ffv1")
    pictures(tmp_path / "chroma", [np.full((24, 32, 3), (255 - 20 * n, 128, 20 * n), np.uint8) for n in range(count)])
    arguments = ("merge", tmp_path / "luma.mkv", tmp_path / "chroma", "-o", tmp_path / "out.mkv", "--codec", "ffv1")
    status, err = run(capsys, *arguments, "--offset", offset)
    assert status == 0, err
    red = [round(float(f.planes[2].mean())) for f in frames_of(tmp_path / "out.mkv")]
    taken = [min(max(n + offset, 0), count - 1) for n in range(6)]
    assert len(red) == 6
    assert [a < b for a, b in itertools.pairwise(red)] == [a < b for a, b in itertools.pairwise(taken)]
    assert (red[0] == red[1]) == (taken[0] == taken[1])


def test_merge_refuses_films_that_do_not_fit(tmp_path, capsys):
    film(tmp_path / "luma.mkv", 6, "gray", SIZE, "ffv1")
    film(tmp_path / "gray.mkv", 6, "gray", SIZE, "ffv1")
    film(tmp_path / "fast.mkv", 6, "yuv420p", SIZE, "ffv1", rate=Fraction(25))
    film(tmp_path / "short.mkv", 5, "yuv420p", SIZE, "ffv1")
    film(tmp_path / "long.mkv", 9, "yuv420p", SIZE, "ffv1")
    film(tmp_path / "endless.mkv", 90, "yuv420p", SIZE, "ffv1")
    before = sorted(f.name for f in tmp_path.iterdir())
    for name, words in (
        ("gray.mkv", "has no colour to give"),
        ("fast.mkv", "rates differ: "),
        ("short.mkv", "lengths differ by more than the offset of 0"),
        ("long.mkv", "ends, after 6 frames"),
        ("endless.mkv", "lengths differ"),
        ("none.mkv", "no such file"),
        ("luma.mkv", "no colour"),
    ):
        message = fails(capsys, "merge", tmp_path / "luma.mkv", tmp_path / name, "-o", tmp_path / "out.mkv")
        assert words in message
        assert sorted(f.name for f in tmp_path.iterdir()) == before
    arguments = ("merge", tmp_path / "luma.mkv", tmp_path / "long.mkv", "-o", tmp_path / "out.mkv")
    assert run(capsys, *arguments, "--offset", "3")[0] == 0
    assert "output is the input" in fails(
        capsys, "merge", tmp_path / "luma.mkv", tmp_path / "long.mkv", "-o", tmp_path / "long.mkv", "--overwrite"
    )


# --- threads ---


def test_overlap_keeps_order_and_bounds_what_waits():
    made, taken, most = 0, [], 0

    def source():
        nonlocal made
        for n in range(200):
            made += 1
            yield n

    def sink(item):
        nonlocal most
        most = max(most, made - len(taken))
        taken.append(item)

    overlap(source(), lambda items: (2 * n for n in items), sink, 3)
    assert taken == [2 * n for n in range(200)]
    assert most <= 3 + 3 + 4


@pytest.mark.parametrize("stage", ["source", "transform", "sink"])
@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt, ZeroDivisionError])
def test_an_error_in_any_stage_ends_all(stage, error):
    import threading

    def broken(items, name):
        for n in items:
            if n == 20 and stage == name:
                raise error("here")
            yield n

    def sink(n):
        if n == 20 and stage == "sink":
            raise error("here")

    def endless():
        n = 0
        while True:
            yield n
            n += 1

    with pytest.raises(error, match="here"):
        overlap(broken(endless(), "source"), lambda items: broken(items, "transform"), sink, 2)
    assert not [t for t in threading.enumerate() if t.name in ("reading", "writing")]


def test_help_is_there_at_once():
    """Help loads neither PyTorch nor a decoder: it took seconds."""
    code = (
        "import sys\nfrom vs_remaster.cli.entry import make_parser\nmake_parser()\n"
        "print(*sorted({'torch', 'av', 'cv2', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
