"""Chunks in the codec of the output: the joined film has the frames, times and headers of one that is encoded in one
go."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.support.job_films import FAST, heard_and_seen, run_and_kill, shot, write_film
from vs_remaster import cli
from vs_remaster.errors import InputError, RemasterError
from vs_remaster.film.remastering import remaster_frames
from vs_remaster.film.writing import open_output
from vs_remaster.jobs.planning.checksums import sealed, unsealed
from vs_remaster.jobs.planning.options import JobOptions
from vs_remaster.jobs.run import remaster_job
from vs_remaster.output.codecs import TABLE
from vs_remaster.output.formats import output_format
from vs_remaster.output.options import OutputOptions
from vs_remaster.output.writer import decode_times
from vs_remaster.remaster.options import RestoreOptions
from vs_remaster.remaster.pipeline import RemasterPipeline
from vs_remaster.video.planes import planes_of
from vs_remaster.video.reader import VideoReader

RESTORE = RestoreOptions(device="cpu", model="fast")
SHOTS = (20, 33, 17, 40)
FIRST = (0, 20, 48, 70, 96)  # frame of every chunk
TIMES = [10 * n + (70 if n > 50 else 0) + (n % 3) for n in range(110)]
SIZE = (256, 128)


@pytest.fixture(scope="module")
def movies(tmp_path_factory) -> dict[str, Path]:
    """110 frames with sound and pixels that are not square: of variable rate, and of constant rate for MXF."""
    folder = tmp_path_factory.mktemp("film")
    how: dict[str, Any] = {"size": SIZE, "sar": Fraction(16, 15), "options": {"crf": "16"}}
    return {
        "varies": write_film(folder / "varies.mp4", SHOTS, times=TIMES, **how),
        "constant": write_film(folder / "constant.mp4", SHOTS, **how),
    }


def untouched(movie: Path, output: Path, *, chunk: int = 32, **write: Any) -> Path:
    """Run a job whose four shots are all left as they are, so that only decoding and encoding take time; its folder."""
    folder = output.with_name(f"{output.name}.job")
    if not folder.exists():
        folder.mkdir()
        (folder / "shots.toml").write_text("".join(f"[[shot]]\nnumber = {n}\nskip = true\n" for n in range(1, 5)))
    options = JobOptions(folder=folder, chunk_frames=chunk, chunk_coding="final")
    how = OutputOptions(overwrite=True, **write)
    remaster_job(movie, output, restore=RESTORE, colorize=None, write=how, options=options)
    return folder


def encoded(movie: Path, output: Path, codec: str) -> None:
    """The same film encoded in one go."""
    with VideoReader(movie) as reader:
        out = output_format(reader.info, codec, False)
        with open_output(output, reader, out, OutputOptions(codec=codec)) as writer:
            remaster_frames(reader, writer.write, RemasterPipeline(None, None, [], "none"), reader.info, out)


def facts(path: Path) -> dict[str, Any]:
    """What the header says of the picture."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        names = ("name", "codec_tag", "extradata", "width", "height", "pix_fmt", "profile")
        tags = ("color_primaries", "color_trc", "colorspace", "color_range")
        return {
            **{name: getattr(context, name) for name in (*names, *tags)},
            "aspect": stream.sample_aspect_ratio,
            "rate": stream.average_rate,
            "base": stream.time_base,
            "duration": stream.duration,
            "frames": stream.frames,
            "start": stream.start_time,
        }


def packets(path: Path) -> list[tuple[int, int, bool]]:
    """(decoding time, time, key frame) of all packets of the picture."""
    with av.open(str(path)) as container:
        return [(p.dts, p.pts, p.is_keyframe) for p in container.demux(video=0) if p.size]


def seen(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        return [(frame.pts, frame.duration) for frame in container.decode(video=0)]


USUAL = {"x264": (".mp4", ".mkv"), "x265": (".mp4",), "ffv1": (".mkv",), "prores": (".mov",), "dnxhr": (".mxf",)}
HELD = [
    pytest.param(codec, suffix, marks=() if suffix in USUAL.get(codec, ()) else pytest.mark.release)
    for codec, row in TABLE.items()
    for suffix in row.suffixes
]


@pytest.mark.parametrize(("codec", "suffix"), HELD)
def test_joined_chunks_are_the_film_encoded_in_one_go(tmp_path, movies, ffmpeg, codec, suffix):
    """Every codec in every container: frames, times, header, sound; another FFmpeg finds nothing wrong."""
    movie = movies["constant" if suffix == ".mxf" else "varies"]
    whole, joined = tmp_path / f"whole{suffix}", tmp_path / f"joined{suffix}"
    encoded(movie, whole, codec)
    folder = untouched(movie, joined, codec=codec)
    kept = sorted(path for path in (folder / "chunks").iterdir() if path.suffix != ".json")
    assert [int(path.name[:6]) for path in kept] == list(FIRST)
    assert {path.suffix for path in kept} == {TABLE[codec].chunk_suffix}

    (expected, sound), (frames, heard) = heard_and_seen(whole), heard_and_seen(joined)
    assert len(frames) == 110
    assert [time for time, _ in frames] == [time for time, _ in expected]
    assert heard == sound and len(sound) > 30
    one, other = facts(joined), facts(whole)
    if codec == "x265":  # its header names the processor; chunks leave that out
        assert one["extradata"] and other["extradata"].startswith(one.pop("extradata")[:22]) and other.pop("extradata")
    if codec in ("x264", "x265"):  # what MP4 derives from the order of decoding, which is the encoder's choice
        del one["rate"], other["rate"]
    assert one == other
    assert one["aspect"] == Fraction(16, 15)

    decoding, shown, keys = zip(*packets(joined))
    if suffix == ".mkv":  # which stores when frames are shown and no more
        decoding = shown if one["name"] not in ("h264", "hevc") else (-2, -1, *sorted(shown)[:-2])
    assert all(a < b for a, b in pairwise(decoding)) and all(a <= b for a, b in zip(decoding, shown))
    ranks = [sorted(shown).index(time) for time in shown]
    assert all(keys[first] and ranks[first] == first for first in FIRST)
    assert all(max(ranks[:first], default=-1) < first for first in FIRST)  # nothing is reordered across a joint
    if codec in ("x264", "x265"):
        assert ranks != sorted(ranks)
        for number, (_, planes) in enumerate(frames):
            luma = np.frombuffer(planes[0], np.uint8).astype(float)
            truth = shot(next(k for k in range(4) if number < sum(SHOTS[: k + 1])), number, SIZE).reshape(-1)
            assert 10 * np.log10(255**2 / np.mean((luma - truth) ** 2)) > 36, number
    else:
        assert seen(joined) == seen(whole)  # also how long; of others MP4 derives that from the order of decoding
        assert [planes for _, planes in frames] == [planes for _, planes in expected]

    if (codec, suffix) != ("ffv1", ".mxf"):  # which FFmpeg 5 does not know
        command = [
            ffmpeg,
            "-v",
            "error",
            "-i",
            joined,
            "-map",
            "0:v",
            "-fps_mode",
            "passthrough",
            "-f",
            "framecrc",
            "-",
        ]
        said = subprocess.run(command, capture_output=True, text=True)
        assert said.returncode == 0 and said.stderr == ""
        assert len([line for line in said.stdout.splitlines() if not line.startswith("#")]) == 110


@pytest.mark.parametrize(("codec", "suffix"), [("x264", ".mp4"), ("x264", ".mkv"), ("x265", ".mp4")])
def test_decoding_may_begin_at_every_joint(tmp_path, movies, codec, suffix):
    joined = tmp_path / f"joined{suffix}"
    untouched(movies["varies"], joined, codec=codec)
    frames, _ = heard_and_seen(joined)
    with av.open(str(joined)) as container:
        for first in FIRST:
            container.seek(frames[first + 3][0], stream=container.streams.video[0])
            at = [(f.pts, [plane.tobytes() for plane in planes_of(f)]) for f in container.decode(video=0)]
            assert at == frames[first:]


@pytest.mark.parametrize("codec", ["x264", "x265"])
def test_chunks_of_a_frame_or_two(tmp_path, codec):
    movie, joined = write_film(tmp_path / "film.mp4", (16, 1, 16, 2), options={"crf": "16"}), tmp_path / "joined.mp4"
    folder = untouched(movie, joined, chunk=16, codec=codec)
    orders = [json.loads(path.read_bytes())["order"] for path in sorted((folder / "chunks").glob("*.json"))]
    assert orders[1] == [0] and orders[3] == [0, 1]
    assert [time for time, _ in seen(joined)] == [time for time, _ in seen(movie)]
    assert len(seen(joined)) == 35


def test_when_frames_are_decoded():
    assert decode_times([0, 10, 20, 35, 40], 0) == [0, 10, 20, 35, 40]
    assert decode_times([0, 10, 20, 35, 40], 2) == [-20, -10, 0, 10, 20]
    assert decode_times([7], 0) == [7]


# --- going on ---


def command(movie: Path, output: Path, *more: object) -> list[str]:
    given = ("run", movie, "-o", output, "--chunks", "final", "--chunk", 32, "--end", 60, *FAST, *more)
    return [str(argument) for argument in given]


MOMENTS = [("decode", 30, 1), ("record", 1, 1), ("mux", 9, 3)]  # the place, the call, chunks that are there


@pytest.mark.parametrize("moments", [MOMENTS[2:], pytest.param(MOMENTS, marks=pytest.mark.release)], ids=len)
def test_killed_again_and_again(tmp_path, movies, moments):
    """SIGKILL in parts of the work; then the film is that of a run which nothing disturbed, also its packets."""
    (tmp_path / "undisturbed").mkdir()
    assert cli.main(command(movies["varies"], tmp_path / "undisturbed" / "out.mp4")) == 0
    output = tmp_path / "out.mp4"
    for place, count, done in moments:
        assert run_and_kill(place, count, *command(movies["varies"], output)) == -signal.SIGKILL, place
        assert len(list((tmp_path / "out.mp4.job" / "chunks").glob("*.json"))) == done
        assert not output.exists()
    assert cli.main(command(movies["varies"], output)) == 0
    assert heard_and_seen(output) == heard_and_seen(tmp_path / "undisturbed" / "out.mp4")
    assert packets(output) == packets(tmp_path / "undisturbed" / "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "undisturbed"]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.release)])
def test_workers_and_redo(tmp_path, movies, workers, capsys):
    """Some processes make it; a shot is done again; the rest stays. Also of workers: tests/test_jobs.py."""
    output, folder = tmp_path / "out.mov", tmp_path / "job"
    arguments = command(movies["varies"], output, "--codec", "prores", "--job", folder, "--overwrite")
    assert cli.main([*arguments, "--workers", str(workers)]) == 0
    samples = 60 * 256 * 128 * 2 * 2
    room, lossless = f"{samples * 0.16 / 1e6:.1f} MB", f"{samples / 3 / 1e6:.1f} MB"
    said = capsys.readouterr().out
    assert (
        f"disk: about {room} for the chunks, then {room} for the film; with --chunks lossless about {lossless}" in said
    )
    first = heard_and_seen(output)
    stamps = {path.name: path.stat().st_mtime_ns for path in (folder / "chunks").iterdir()}
    capsys.readouterr()
    assert cli.main(["redo", str(folder), "--shot", "1"]) == 0
    assert "1 of 3 chunks will be made again" in capsys.readouterr().out
    assert cli.main(["status", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["done"], told["total"]) == (40, 60)
    assert told["kept"] == "final"
    assert told["disk_used"] == sum(path.stat().st_size for path in (folder / "chunks").glob("*.mov"))
    assert cli.main(arguments) == 0
    changed = {path.stem for path in (folder / "chunks").iterdir() if path.stat().st_mtime_ns != stamps[path.name]}
    assert changed == {"000000-000020"}
    assert heard_and_seen(output) == first


@pytest.mark.parametrize("codec", ["x264", "ffv1", "prores"])
def test_a_damaged_chunk_is_made_again(tmp_path, movies, codec):
    output = tmp_path / "out.mkv"
    folder = untouched(movies["varies"], output, codec=codec)
    frames = heard_and_seen(output)
    (path,) = (folder / "chunks").glob(f"000020-000048{TABLE[codec].chunk_suffix}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    untouched(movies["varies"], output, codec=codec)
    assert heard_and_seen(output) == frames


def test_what_does_not_fit_is_refused(tmp_path, movies, capsys):
    movie, output = movies["varies"], tmp_path / "out.mp4"
    folder = untouched(movie, output)
    for more, words in (
        (["--crf", "20"], "encode crf was 17.0, is 20.0"),
        (["--chunks", "lossless"], "chunks was final, is lossless; encode was on, is none"),
    ):
        assert cli.main([*command(movie, output, "--overwrite", "--no-color", "--job", folder), *more]) == 2
        assert words in capsys.readouterr().err
    with pytest.raises(InputError, match="encode container was mp4, is matroska"):
        (tmp_path / "out.mkv.job").symlink_to(folder)
        untouched(movie, tmp_path / "out.mkv")
    record = folder / "chunks" / "000020-000048.json"
    told = unsealed(record.read_bytes())
    record.write_bytes(sealed({**told, "extradata": told["extradata"][:-2]}))
    with pytest.raises(RemasterError, match=r"1 of 5 chunks had another header .* 000020-000048 first: .*x264"):
        untouched(movie, output)
    assert not record.exists()
    assert cli.main(command(movie, tmp_path / "pictures", "--job", tmp_path / "job", "--codec", "png")) == 2
    said = capsys.readouterr().err
    assert "--chunks final is for a film in one file, and png writes a folder of pictures" in said
    assert Counter(said)["\n"] == 1 and not (tmp_path / "job").exists()
    with pytest.raises(InputError, match="chunks must be lossless or final, got 'both'"):
        JobOptions(chunk_coding="both")
