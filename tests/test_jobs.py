"""Film-length jobs: nothing that is done is done twice, and the frames are those of a run that nothing disturbed."""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.support.job_films import FAST, heard_and_seen, run_and_kill, write_film, write_reference, write_references
from vs_remaster import cli
from vs_remaster.engines import choose_precision
from vs_remaster.errors import InputError
from vs_remaster.film.remastering import remaster_film
from vs_remaster.film.shares import SharesFile
from vs_remaster.jobs.making import cluster
from vs_remaster.jobs.making.cursor import Cursor
from vs_remaster.jobs.planning.appearance import Appearance
from vs_remaster.jobs.planning.chunking import chunk_table
from vs_remaster.jobs.planning.folder import JobFolder
from vs_remaster.jobs.planning.identity import digest, fingerprint, together
from vs_remaster.jobs.planning.options import JobOptions
from vs_remaster.jobs.planning.shot_settings import ShotSettings, parse_shots, shots_toml
from vs_remaster.jobs.planning.survey import Shot, Survey, survey_film
from vs_remaster.jobs.run import remaster_job
from vs_remaster.output.formats import output_format
from vs_remaster.output.options import OutputOptions
from vs_remaster.output.pictures import PictureWriter
from vs_remaster.references.reference import Reference, load_references
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.remaster.window import Window
from vs_remaster.stills.copies import stamp_of as stamp_of_film
from vs_remaster.video.reader import VideoReader

RESTORE = RestoreOptions(device="cpu", model="fast")
COLORIZE = ColorizeOptions(device="cpu", model="fast", lines=64)
LOSSLESS = OutputOptions(codec="ffv1", overwrite=True)
TABLE = [(0, 20), (20, 48), (48, 66), (66, 96), (96, 126), (126, 140)]
FILES = [f"{first:06d}-{last:06d}" for first, last in TABLE]
TIMES = [10 * n + (70 if n > 50 else 0) + (n % 3) for n in range(140)]
WINDOWS = (Window(before=8, after=8, block=16), Window(before=3, after=3, block=16))


@pytest.fixture(scope="module")
def references(tmp_path_factory) -> Path:
    return write_references(tmp_path_factory.mktemp("colours") / "references")


@pytest.fixture(scope="module")
def movie(tmp_path_factory) -> Path:
    """140 frames of variable rate in five shots, with sound."""
    looks = {1: "coloured", 2: "black"}
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", looks=looks, times=TIMES)


@pytest.fixture(scope="module")
def undisturbed(movie, references, tmp_path_factory):
    """What the direct way makes of it."""
    output = tmp_path_factory.mktemp("direct") / "direct.mov"
    given = load_references(references, lines=64)
    remaster_film(
        movie, output, restore=RESTORE, colorize=COLORIZE, references=given, write=OutputOptions(codec="prores")
    )
    return heard_and_seen(output)


@pytest.fixture(scope="module")
def lossless(movie, references, tmp_path_factory) -> list[list[bytes]]:
    """The samples of its frames, without loss."""
    output = tmp_path_factory.mktemp("direct") / "direct.mkv"
    given = load_references(references, lines=64)
    remaster_film(movie, output, restore=RESTORE, colorize=COLORIZE, references=given, write=LOSSLESS)
    return samples(output)


@pytest.fixture(scope="module")
def restored(movie, tmp_path_factory) -> list[list[bytes]]:
    """The same where nothing is coloured, which is faster."""
    output = tmp_path_factory.mktemp("restored") / "direct.mkv"
    remaster_film(movie, output, restore=RESTORE, colorize=None, write=LOSSLESS)
    return samples(output)


def samples(path: Path) -> list[list[bytes]]:
    return [planes for _, planes in heard_and_seen(path)[0]]


def job(movie: Path, output: Path, references: Path | None, **more):
    """Run a job in chunks of 32 frames in `output`'s folder `job`."""
    options = JobOptions(folder=output.parent / "job", chunk_frames=32, **more.pop("options", {}))
    given = load_references(references, lines=64) if references else ()
    more = {"restore": RESTORE, "colorize": COLORIZE, "write": LOSSLESS, **more}
    return remaster_job(movie, output, references=given, options=options, **more)


def command(movie: Path, output: Path, references: Path, *more: object) -> list[str]:
    return [str(a) for a in ("run", movie, "-o", output, "--references", references, "--chunk", 32, *FAST, *more)]


def stamps(folder: Path) -> dict[str, int]:
    """When each chunk was finished."""
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "chunks").glob("*.json")}


# --- the whole ---


def test_a_job_has_the_frames_times_and_sound_of_the_direct_way(tmp_path, movie, references, undisturbed, capsys):
    """Cut points within shots, shots that share no chunk, a variable rate, sound; nothing is left but the film."""
    output = tmp_path / "out.mov"
    assert cli.main(command(movie, output, references, "--codec", "prores")) == 0
    said = capsys.readouterr().out
    assert "140 frames in 6 chunks" in said
    assert "engine torch" in said
    assert heard_and_seen(output) == undisturbed
    assert len(undisturbed[0]) == 140 and len(undisturbed[1]) > 40
    assert sorted(f.name for f in tmp_path.iterdir()) == ["out.mov"]


def test_the_folder_says_what_is_done(tmp_path, movie, references, capsys):
    how = "--keep-chunks", "--json", "--codec", "ffv1", "--no-restore"
    arguments = command(movie, tmp_path / "out.mkv", references, *how)
    assert cli.main(arguments) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    stages = [one["stage"] for one in told if "stage" in one]
    assert list(dict.fromkeys(stages)) == ["survey", "frames", "encode", "done"]
    made = [one for one in told if one.get("stage") == "frames"]
    assert (made[0]["done"], made[-1]["done"], made[-1]["total"]) == (0, 140, 140)
    assert made[0]["disk_needed"] == 140 * 96 * 64 * 3 // 3 and made[-1]["disk_needed"] == 0
    assert made[-1]["disk_free"] > 0 and made[-1]["frames_per_second"] > 0
    assert told[-1] == {"stage": "done", "frames": 140, "output": str(tmp_path / "out.mkv")}

    folder = tmp_path / "out.mkv.job"
    chunks = sorted(path.name for path in (folder / "chunks").iterdir())
    assert chunks == sorted(f"{name}{suffix}" for name in FILES for suffix in (".json", ".mkv"))
    assert cli.main(["redo", str(folder), "--shot", "4"]) == 0
    assert "2 of 6 chunks will be made again" in capsys.readouterr().out
    assert cli.main(["status", str(folder), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["done"], status["total"], status["chunks_done"], status["chunks"]) == (80, 140, 4, 6)
    assert status["shots"] == {"gray": 3, "coloured": 1, "black": 1} and status["duplicates"] == 8
    assert status["worker"] is None
    used = sum(f.stat().st_size for f in (folder / "chunks").glob("*.mkv"))
    assert status["disk_used"] == used and status["disk_needed"] == round(60 * used / 80)
    assert cli.main(["status", str(folder)]) == 0
    assert "80 of 140 frames in 4 of 6 chunks are made" in capsys.readouterr().out
    assert cli.main(["redo", str(folder), "--shot", "6"]) == 2
    assert "there is no shot 6" in capsys.readouterr().err
    assert cli.main(["status", str(tmp_path)]) == 2
    assert "holds no job" in capsys.readouterr().err

    before = stamps(folder)
    assert cli.main([*arguments, "--overwrite"]) == 0
    after = stamps(folder)
    assert {name for name in FILES if after[name] != before.get(name)} == {FILES[3], FILES[4]}


def test_a_part_of_a_film_is_a_job_too(tmp_path, movie, references, lossless):
    job(movie, tmp_path / "out.mkv", references, start=25, end=110)
    assert samples(tmp_path / "out.mkv") == lossless[25:110]
    assert sorted(stamps(tmp_path / "job")) == ["000025-000057", "000057-000066", "000066-000096", "000096-000110"]


def test_pictures_in_and_out(tmp_path, movie):
    with VideoReader(movie, 0, 40) as reader:
        out = output_format(reader.info, "png", False)
        with PictureWriter(tmp_path / "in", reader.info, replace(out, kind="gray")) as writer:
            for frame in reader:
                writer.write(replace(frame, planes=frame.planes[:1]))
    write = OutputOptions(codec="png")
    remaster_film(tmp_path / "in", tmp_path / "direct", restore=RESTORE, colorize=None, write=write)
    job(tmp_path / "in", tmp_path / "out", None, colorize=None, write=write)
    files = sorted(f.name for f in (tmp_path / "direct").iterdir())
    assert len(files) == 40
    assert all((tmp_path / "out" / name).read_bytes() == (tmp_path / "direct" / name).read_bytes() for name in files)


def test_what_systems_leave_in_folders_is_no_part_of_a_film(tmp_path):
    folder = tmp_path / "film"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.png").write_bytes(bytes([i]))
    before = fingerprint(folder), stamp_of_film(folder), [name for name, _ in cluster._pieces(folder)]
    assert before[2] == ["0.png", "1.png", "2.png"]
    for name in (".DS_Store", "._0.png", "Thumbs.db", "desktop.ini", "notes.txt"):
        (folder / name).write_bytes(b"left by a system")
    (folder / "@eaDir").mkdir()
    assert (fingerprint(folder), stamp_of_film(folder), [name for name, _ in cluster._pieces(folder)]) == before
    (folder / "3.png").write_bytes(b"new")
    assert fingerprint(folder) != before[0] and stamp_of_film(folder) != before[1]


# --- going on ---


def test_what_the_container_refuses_is_said_before_any_work(tmp_path, movie):
    with pytest.raises(InputError, match="variable rate"):
        remaster_job(movie, tmp_path / "out.mxf", restore=RESTORE, colorize=None, write=OutputOptions(codec="prores"))
    assert list(tmp_path.iterdir()) == []


def test_a_job_writes_with_the_same_options(tmp_path, movie):
    write = OutputOptions(codec="prores4444", timecode="01:00:00:10")
    remaster_job(movie, tmp_path / "out.mov", restore=RESTORE, colorize=None, write=write, end=20)
    with VideoReader(tmp_path / "out.mov") as reader:
        assert reader.info.timecode == "01:00:00:10"
        assert reader.info.pix_fmt.startswith("yuv444p")


def test_an_interrupted_job_goes_on_where_it_was(tmp_path, movie, restored):
    output, seen = tmp_path / "out.mkv", []

    def interrupt(picture):
        seen.append(picture.index)
        if picture.index == 70:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"3 of 6 chunks are kept in .*job: run the same command again"):
        job(movie, output, None, colorize=None, look=interrupt)
    assert sorted(stamps(tmp_path / "job")) == FILES[:3]
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]
    seen.clear()
    done = job(movie, output, None, colorize=None, look=lambda picture: seen.append(picture.index))
    assert (done.frames, done.truncated) == (140, False)
    assert seen == list(range(66, 140))
    assert samples(output) == restored


def test_nothing_is_kept_of_a_job_that_had_no_plan(tmp_path, movie, references):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job(movie, tmp_path / "out.mkv", references, check=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_changed_on_the_disk_is_noticed(tmp_path, movie, restored, capsys):
    """One digit is another one: of a record, whose chunk is made again; of the plan, which would give other frames."""
    output, folder = tmp_path / "out.mkv", tmp_path / "job"
    job(movie, output, None, colorize=None)
    record, plan = folder / "chunks" / f"{FILES[2]}.json", folder / "job.json"
    for path, key in ((record, "checks"), (record, "size"), (plan, "times"), (plan, "frame_bytes"), (plan, "chunks")):
        whole = path.read_bytes()
        at = whole.index(f'"{key}":'.encode()) + len(key) + 3
        at += next(n for n, byte in enumerate(whole[at:]) if chr(byte) in "2345678")
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        if path == record:
            before = stamps(folder)
            job(movie, output, None, colorize=None)
            assert [name for name in FILES if stamps(folder)[name] != before[name]] == [FILES[2]]
            assert samples(output) == restored
        else:
            assert cli.main(["status", str(folder)]) == 2
            assert f"{plan} is damaged (its checksum differs)" in capsys.readouterr().err
            path.write_bytes(whole)


@pytest.mark.parametrize("place", ["written", "recorded"])
def test_a_chunk_that_is_not_whole_is_made_again(tmp_path, movie, restored, place):
    """Damage on the disk: of a record at once, of samples when they are read."""
    output, folder = tmp_path / "out.mkv", tmp_path / "job" / "chunks"
    job(movie, output, None, colorize=None)
    path = folder / f"{FILES[2]}.mkv"
    if place == "recorded":
        path.with_suffix(".json").write_text('{"key": "')
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    before = stamps(tmp_path / "job")
    job(movie, output, None, colorize=None)
    after = stamps(tmp_path / "job")
    assert [name for name in FILES if after[name] != before.get(name)] == [FILES[2]]
    assert samples(output) == restored


def test_a_full_disk_is_said_and_the_job_goes_on_when_there_is_room(tmp_path, movie, references, restored, capsys):
    """Files may grow to 100 kB: the chunk of 30 frames does not fit, as on a full disk."""
    how = "--job", tmp_path / "job", "--codec", "ffv1", "--no-color"
    arguments = command(movie, tmp_path / "out.mkv", references, *how)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        assert cli.main(arguments) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    said = capsys.readouterr().err
    assert f"no space left for {tmp_path}/job/chunks/{FILES[1]}.mkv" in said
    assert "1 of 6 chunks are kept in" in said and len(said.splitlines()) == 1
    assert sorted(stamps(tmp_path / "job")) == FILES[:1]
    assert cli.main(arguments) == 0
    assert samples(tmp_path / "out.mkv") == restored


MOMENTS = [("decode", 30, 1), ("record", 2, 2), ("mux", 20, 6)]  # the place, the call, chunks that are there then


@pytest.mark.parametrize("moments", [[("record", 2, 1)], pytest.param(MOMENTS, marks=pytest.mark.release)], ids=len)
def test_killed_again_and_again(tmp_path, movie, references, undisturbed, moments):
    """SIGKILL in parts of the work, one after the other, in one folder; then it is finished."""
    output = tmp_path / "out.mov"
    arguments = command(movie, output, references, "--codec", "prores")
    for place, count, done in moments:
        assert run_and_kill(place, count, *arguments) == -signal.SIGKILL, place
        assert len(stamps(tmp_path / "out.mov.job")) == done
        assert not output.exists()
    assert cli.main(arguments) == 0
    assert heard_and_seen(output) == undisturbed
    assert sorted(f.name for f in tmp_path.iterdir()) == ["out.mov"]


def test_two_runs_in_one_folder(tmp_path, movie):
    refused = []

    def second(picture):
        if not refused:
            with pytest.raises(InputError, match=rf"is in use by process {os.getpid()} on .*: wait until"):
                job(movie, tmp_path / "other.mkv", None, colorize=None, end=20)
            refused.append(JobFolder(tmp_path / "job").worker())

    job(movie, tmp_path / "out.mkv", None, colorize=None, end=20, look=second)
    assert refused[0].startswith(f"process {os.getpid()} on ")
    assert JobFolder(tmp_path / "job").worker() is None


def test_a_job_that_was_begun_otherwise_is_not_mixed(tmp_path, movie, references):
    def stop(picture):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job(movie, tmp_path / "out.mkv", references, look=stop)
    plan = (tmp_path / "job" / "job.json").read_bytes()
    changed = "fp32" if choose_precision("auto", "cpu") == "bf16" else "bf16"
    for words, more in (
        (r"restore strength was 1\.0, is 0\.5", {"restore": replace(RESTORE, strength=0.5)}),
        (r"restore was on, is none", {"restore": None}),
        (r"end was none, is 100", {"end": 100}),
        (r"scenes was auto, is \[7\]", {"scenes": [7]}),
        (r"colorize lines was 64, is 80; ", {"colorize": replace(COLORIZE, lines=80, precision=changed)}),
        (r"samples subsampling was \[0, 0\], is \[1, 1\]", {"write": OutputOptions(codec="x264")}),
    ):
        with pytest.raises(InputError, match=words):
            job(movie, tmp_path / "out.mkv", references, **more)
    other = write_film(tmp_path / "other.mp4", (40,))
    with pytest.raises(InputError, match=r"film was .*, is "):
        job(other, tmp_path / "out.mkv", references)
    assert (tmp_path / "job" / "job.json").read_bytes() == plan
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    with pytest.raises(InputError, match=r"holds other files \(letter.txt\)"):
        remaster_job(
            movie, tmp_path / "out.mkv", restore=RESTORE, colorize=None, options=JobOptions(folder=tmp_path / "full")
        )


@pytest.mark.parametrize("lost", [False, True])
def test_a_film_that_is_damaged_in_the_middle(tmp_path, lost):
    """The decoder makes do with what there is, or leaves a frame out; the frames are those of the direct way."""
    path = write_film(tmp_path / "film.mkv", options={"g": "12", "bf": "2", "crf": "5"}, sound=False)
    with av.open(str(path)) as container:
        packet = bytes([p for p in container.demux(video=0) if p.size][75])
    data = path.read_bytes()
    at, length = data.index(packet), len(packet) if lost else 200
    path.write_bytes(data[: at + len(packet) - length] + bytes(length) + data[at + len(packet) :])
    direct = remaster_film(path, tmp_path / "direct.mkv", restore=RESTORE, colorize=None, write=LOSSLESS)
    assert (direct.frames, direct.truncated) == (139 if lost else 140, True)
    assert job(path, tmp_path / "out.mkv", None, colorize=None) == direct
    assert samples(tmp_path / "out.mkv") == samples(tmp_path / "direct.mkv")


# --- shots ---


def test_a_job_that_was_begun_says_that_it_keeps_its_chunks(tmp_path, movie, caplog):
    how = {"restore": RESTORE, "colorize": None, "write": LOSSLESS}
    for chunk, said in ((64, False), (64, False), (32, True)):
        caplog.clear()
        options = JobOptions(folder=tmp_path / "job", chunk_frames=chunk, plan=True)
        remaster_job(movie, tmp_path / "out.mkv", options=options, **how)
        told = "keeps the chunks that it was begun with: chunk 32 is for a job in another folder" in caplog.text
        assert told == said


def test_only_what_a_shot_touches_is_done_again(tmp_path, movie, references, lossless, caplog):
    output, folder = tmp_path / "out.mkv", tmp_path / "job"
    job(movie, output, references, options={"plan": True})
    assert not output.exists() and not stamps(folder)
    shots = (folder / "shots.toml").read_text()
    assert "# color = false  # the shot has colours of its own: proposed" in shots
    assert "# skip = true  # all frames are black: proposed" in shots
    job(movie, output, references)
    assert samples(output) == lossless, "proposals change nothing until a person takes them"

    shots = shots.replace("# color = false  #", "color = false  #").replace("# skip = true  #", "skip = true  #")
    shots = shots.replace("number = 5\n", 'number = 5\nreferences = ["mine.png"]\nsaturation = 0.5\n')
    (folder / "shots.toml").write_text(shots)
    with pytest.raises(InputError, match=r"shot 5: no reference 'mine.png' among those given \(ref_0.png, ref_6.png\)"):
        job(movie, output, references)
    write_reference(folder / "mine.png", (0, 0, 250))
    before = stamps(folder)
    job(movie, output, references)
    after = stamps(folder)
    assert [name for name in FILES if after[name] != before[name]] == [FILES[1], FILES[2], FILES[5]]
    assert (folder / "shots.toml").read_text() == shots
    made = samples(output)
    assert made[:20] == lossless[:20] and made[66:126] == lossless[66:126]
    with VideoReader(movie) as reader:
        source = list(reader)
    for n in (57, 60, 65):  # left as it is
        assert made[n][0] == source[n].planes[0].tobytes() and set(made[n][1]) == {128}
    for n in (20, 40, 56):  # restored, with its own colours
        assert made[n][0] == lossless[n][0] and made[n][1] != lossless[n][1]
        own = np.repeat(np.repeat(source[n].planes[1], 2, 0), 2, 1).astype(float)
        assert np.abs(np.frombuffer(made[n][1], np.uint8).reshape(64, 96) - own).mean() < 4
    red = np.frombuffer(made[130][2], np.uint8).mean()
    assert red > np.frombuffer(lossless[130][2], np.uint8).mean() + 5

    write_reference(folder / "mine.png", (250, 0, 0))
    before = after
    caplog.clear()
    job(movie, output, references)
    assert "finished chunks are made again: 1 made from other references, masks or settings of shots" in caplog.text
    after = stamps(folder)
    assert [name for name in FILES if after[name] != before[name]] == [FILES[5]]
    assert np.frombuffer(samples(output)[130][2], np.uint8).mean() < red - 10


def test_references_of_one_shot_and_their_shares(tmp_path, movie, references):
    """A reference that acts in one shot touches no other shot's chunks; the shares are those of the direct way."""

    def given(weight: float) -> list[Reference]:
        one, other = load_references(references, lines=64)
        return [one, replace(other, frame=130, scope="shot", weight=weight)]

    def written(path: Path) -> dict:
        told = json.loads(path.read_text())
        return {row["frame"]: dict(row["shares"]) for row in told["frames"]}

    output, shares = tmp_path / "out.mkv", tmp_path / "shares.json"
    options = JobOptions(folder=tmp_path / "job", chunk_frames=32)
    more = {"restore": None, "colorize": COLORIZE, "write": LOSSLESS}
    remaster_job(movie, output, references=given(1), options=options, shares=shares, **more)
    direct = tmp_path / "direct.mkv"
    with SharesFile(tmp_path / "direct.json", given(1)) as look:
        remaster_film(movie, direct, references=given(1), look=look, **more)
    assert samples(output) == samples(direct)
    assert written(shares) == written(tmp_path / "direct.json")
    assert [n for n, row in written(shares).items() if row.get(1)] == list(range(126, 140))

    before = stamps(options.folder)
    remaster_job(movie, output, references=given(50), options=options, shares=shares, **more)
    after = stamps(options.folder)
    assert [name for name in FILES if after[name] != before[name]] == [FILES[5]]
    assert written(shares)[130][1] > written(tmp_path / "direct.json")[130][1]


def test_edited_shots_survive_the_job(tmp_path, movie, references, capsys):
    arguments = command(movie, tmp_path / "out.mkv", references, "--codec", "ffv1", "--no-restore")
    assert cli.main([*arguments, "--plan"]) == 0
    shots = tmp_path / "out.mkv.job" / "shots.toml"
    shots.write_text(shots.read_text().replace("# skip = true  #", "skip = true  #"))
    edited = shots.read_text()
    write_reference(shots.parent / "mine.png", (0, 0, 250))
    assert cli.main(arguments) == 0
    assert "was edited and is kept" in capsys.readouterr().out
    assert sorted(path.name for path in shots.parent.iterdir()) == ["mine.png", "shots.toml"]
    assert cli.main([*arguments, "--overwrite", "--end", "70"]) == 2, "the shots are those of another part"
    assert "shot 4: last is 70, got 126" in capsys.readouterr().err
    assert shots.read_text() == edited


SOME = [Shot(0, 20, Appearance("gray", 0, 0)), Shot(20, 57, Appearance("black", 37, 36))]


def test_shots_are_read_as_they_are_written():
    text = shots_toml(SOME, 'a "b".mkv')
    assert parse_shots(text, SOME, Path("s")) == [ShotSettings(), ShotSettings()]
    text += 'strength = 0.5\ngrain = 1\nsaturation = 2\nreferences = ["a.png", "b c.png"]\ncolor = false\nskip = true\n'
    assert parse_shots(text, SOME, Path("s"))[1] == ShotSettings(
        strength=0.5, grain=1, saturation=2, references=("a.png", "b c.png"), color=False, skip=True
    )
    assert parse_shots("", SOME, Path("s")) == [ShotSettings()] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[shot]]\nnumber = 1\nstrenght = 1", "shot 1: unknown setting 'strenght': use references, strength"),
        ("[[shot]]\nnumber = 2\nstrength = 1.5", "shot 2: strength must be a number of 0..1, got 1.5"),
        ("[[shot]]\nnumber = 2\nstrength = nan", "strength must be a number"),
        ("[[shot]]\nnumber = 2\ngrain = true", "grain must be a number of 0..1, got True"),
        ("[[shot]]\nnumber = 2\nsaturation = -1", "saturation must be a number of 0 or more, got -1"),
        ("[[shot]]\nnumber = 2\nskip = 1", "skip must be true or false, got 1"),
        ("[[shot]]\nnumber = 2\nreferences = []", "references must be a list of pictures"),
        ("[[shot]]\nnumber = 2\nreferences = 'a.png'", "references must be a list of pictures"),
        ("[[shot]]\nnumber = 3", r"must have a number of 1\.\.2, got 3"),
        ("[[shot]]\nskip = true", r"must have a number of 1\.\.2, got None"),
        ("[[shot]]\nnumber = 1\n[[shot]]\nnumber = 1", "shot 1 is there twice"),
        ("[[shot]]\nnumber = 2\nfirst = 21", "shot 2: first is 20, got 21"),
        ("[[shot]]\nnumber = 2\nskip = maybe", "is no TOML: .*line 3"),
        ("[film]\nskip = true", "must hold .*shot.* tables and nothing else, got film"),
        ("shot = 3", "must hold"),
    ],
)
def test_mistakes_in_shots_are_named(text, words):
    with pytest.raises(InputError, match=words):
        parse_shots(text, SOME, Path("shots.toml"))


def test_what_shots_look_like(tmp_path):
    looks = {1: "coloured", 2: "sepia", 3: "black", 4: "still"}
    path = write_film(tmp_path / "film.mkv", (16, 16, 16, 8, 10), looks=looks, options={"crf": "23"})
    survey = survey_film(path, 0, None, WINDOWS, "auto")
    assert [(shot.first, shot.last) for shot in survey.shots] == [(0, 16), (16, 32), (32, 48), (48, 56), (56, 66)]
    assert [shot.looks.kind for shot in survey.shots] == ["gray", "coloured", "tinted", "black", "gray"]
    assert [shot.looks.black for shot in survey.shots] == [0, 0, 0, 8, 0]
    assert [shot.looks.duplicates for shot in survey.shots] == [0, 0, 0, 7, 9]


# --- the plan ---


def test_chunks_end_at_cuts_or_on_the_grid():
    def table(*lengths: int, length: int = 40) -> list[tuple[int, int]]:
        edges = [0, *np.cumsum(lengths).tolist()]
        shots = [Shot(a, b, Appearance("gray", 0, 0)) for a, b in itertools.pairwise(edges)]
        return chunk_table(shots, length, WINDOWS)

    assert table(10, 10, 10, 10, 10) == [(0, 40), (40, 50)]
    assert table(20, 37, 9, 60, 14, length=32) == TABLE
    assert table(100) == [(0, 32), (32, 64), (64, 96), (96, 100)]
    assert table(5, 100) == [(0, 5), (5, 32), (32, 64), (64, 96), (96, 105)]
    assert table(7, length=1) == [(0, 7)]
    assert table(39, 1, 1) == [(0, 40), (40, 41)]
    assert table(40, 40, 41) == [(0, 40), (40, 80), (80, 112), (112, 121)]


def test_a_survey_is_what_it_was_after_a_trip_through_json(movie):
    survey = survey_film(movie, 25, 110, WINDOWS, "auto")
    assert Survey.from_json(json.loads(json.dumps(survey.to_json()))) == survey
    assert (survey.start, survey.end, survey.low, survey.high) == (25, 110, 0, 138)
    assert [time / 64 for time in survey.times] == TIMES[25:110]  # its file counts in 1/15360 s
    assert survey.cuts == (20, 57, 66, 126)
    assert survey.cut and not survey.truncated


# --- any frame without decoding all ---


@pytest.mark.parametrize(
    ("name", "codec", "seeks"),
    [("f.mkv", "libx264", True), ("f.mp4", "libx264", True), ("f.ts", "libx264", True), ("f.avi", "mpeg4", False)],
)
def test_a_run_of_frames_is_exact_wherever_it_begins(tmp_path, name, codec, seeks):
    path = write_film(tmp_path / name, (70, 70), codec=codec)
    survey = survey_film(path, 0, None, WINDOWS, "auto")
    with VideoReader(path) as reader:
        whole = list(reader)
    assert len(whole) == 140
    for first, last in ((100, 110), (37, 61), (0, 5), (139, 140), (60, 90)):
        with Cursor(path, survey) as cursor:
            part = list(cursor.frames(first, last))
            assert [(f.index, f.pts, f.duration) for f in part] == [
                (f.index, f.pts, f.duration) for f in whole[first:last]
            ]
            assert all(
                np.array_equal(p, q)
                for f, g in zip(part, whole[first:last])
                for p, q in zip(f.planes, g.planes, strict=True)
            )
            assert cursor.decoded <= (last - first + 12 if seeks else last)


def test_a_seek_that_leads_elsewhere_is_noticed(tmp_path):
    path = write_film(tmp_path / "f.mkv", (70, 70))
    survey = survey_film(path, 0, None, WINDOWS, "auto")
    wrong = replace(survey, keys=tuple((number + 1, time) for number, time in survey.keys))
    with Cursor(path, wrong) as cursor:
        part = list(cursor.frames(100, 110))
        assert cursor.decoded > 110
    with Cursor(path, survey) as cursor:
        again = list(cursor.frames(100, 110))
        assert cursor.decoded <= 22
    assert all(np.array_equal(f.planes[0], g.planes[0]) for f, g in zip(part, again, strict=True))
    other = write_film(tmp_path / "g.mkv", (50, 90))
    with Cursor(other, survey) as cursor, pytest.raises(InputError, match=r"frame 100 of .*g.mkv is not what it was"):
        list(cursor.frames(100, 110))


def test_runs_that_follow_each_other_are_decoded_once(tmp_path):
    path = write_film(tmp_path / "f.mkv", (140,))
    survey = survey_film(path, 0, None, WINDOWS, "none")
    with Cursor(path, survey) as cursor:
        for first, last in ((0, 50), (30, 82), (62, 114), (94, 140)):
            assert [frame.index for frame in cursor.frames(first, last)] == list(range(first, last))
        assert cursor.decoded == 140


def test_whether_a_picture_shows_the_film_matters_only_beside_others_that_do():
    rgb = torch.rand(3, 8, 8)
    shown, other, told = (Reference("x", rgb, **how) for how in ({"frame": 3}, {}, {"likeness": 0.5}))
    digests = [digest(one) for one in (shown, other, told)]
    assert len(set(digests)) == 3 and together(digests) == digests
    assert together(digests[:1]) == together(digests[1:2]) != together(digests[2:]) == digests[2:]
    assert together(digests[::2]) == [*together(digests[:1]), digests[2]]


# --- workers ---


def test_workers_make_the_same_frames_and_may_die(tmp_path, movie, references, undisturbed):
    """Two processes; one of them is killed (SIGKILL) when the first chunk is there."""
    output = tmp_path / "out.mov"
    how = "--codec", "prores", "--chunks", "final", "--workers", 2, "--end", 66, "--job", tmp_path / "job"
    arguments = command(movie, output, references, *how)
    code = "import sys; from vs_remaster import cli; sys.exit(cli.main(sys.argv[1:]))"
    root = Path(__file__).parents[1]
    main = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=root, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 900
    while not stamps(tmp_path / "job"):
        assert main.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    victims = [pid for pid in children(main.pid) if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    assert len(victims) == 2
    os.kill(victims[0], signal.SIGKILL)
    _, said = main.communicate(timeout=900)
    assert main.returncode == 0, said
    assert said == "vs-remaster: warning: a worker died: what it had in work is made again\n"
    assert heard_and_seen(output)[0] == undisturbed[0][:66]
    assert not any(Path(f"/proc/{pid}").exists() for pid in victims)


def children(pid: int) -> list[int]:
    return [int(n) for task in Path(f"/proc/{pid}/task").iterdir() for n in (task / "children").read_text().split()]
