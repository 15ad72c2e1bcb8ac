"""Long tests of film-length jobs: killed at random, on a full disk, on a Ray cluster, and how memory and time grow."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.job_films import (
    FAST,
    PLACES,
    heard_and_seen,
    run_and_kill,
    start_and_kill,
    write_film,
    write_reference,
    write_references,
)
from vs_remaster import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> list[str]:
    """The arguments for a film of 140 frames with a variable rate and sound, but for its output."""
    folder = tmp_path_factory.mktemp("film")
    times = [10 * n + (70 if n > 50 else 0) + (n % 3) for n in range(140)]
    write_film(folder / "film.mp4", times=times, looks={1: "coloured", 2: "black"})
    write_references(folder / "references")
    return [
        "run",
        f"{folder}/film.mp4",
        "--references",
        f"{folder}/references",
        "--chunk",
        "32",
        "--codec",
        "prores",
        *FAST,
    ]


@pytest.fixture(scope="module")
def undisturbed(film, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "out.mov"
    assert cli.main([*film, "-o", str(output)]) == 0
    return heard_and_seen(output)


def finished(film: list[str], output: Path):
    """What comes of it when the same command is run to its end."""
    assert cli.main([*film, "-o", str(output)]) == 0
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    return heard_and_seen(output)


@pytest.mark.parametrize(("chunks", "moments"), [("lossless", 20), ("final", 8)])
def test_killed_at_many_moments(film, undisturbed, tmp_path, chunks, moments):
    """Half of them in named parts of the work, at a random call; half at a random time."""
    chance = random.Random(7)
    film = [*film, "--chunks", chunks]
    often = {
        "survey": 140,
        "decode": 140,
        "network": 8,
        "chunk": 140,
        "encode": 140 if chunks == "lossless" else 1,  # the trial before the work
        "mux": 50,
        "name": 12,
        "named": 12,
    }
    places = chance.sample(sorted(PLACES), moments // 2)
    began = time.monotonic()
    assert run_and_kill("ended", 1, *film, "-o", tmp_path / "timed.mov") == -signal.SIGKILL
    whole = time.monotonic() - began
    for moment in range(moments):
        output = tmp_path / str(moment) / "out.mov"
        output.parent.mkdir()
        if moment < moments // 2:
            count = chance.randint(1, often.get(places[moment], 1))
            said = f"{places[moment]} {count}"
            status = run_and_kill(places[moment], count, *film, "-o", output)
            assert status == -signal.SIGKILL, said
        else:
            seconds = chance.uniform(whole / 4, whole)
            said = f"{seconds:.1f} of {whole:.1f} s"
            run = start_and_kill("ended", 2, *film, "-o", output)
            time.sleep(seconds)
            run.kill()
            run.wait()
        if output.exists():  # it was killed after the end
            output.unlink()
        assert finished(film, output) == undisturbed, said


@pytest.mark.skipif("os.geteuid() != 0", reason="only the superuser may mount a small disk")
def test_a_disk_that_is_full(film, undisturbed, tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    try:
        capsys.readouterr()
        assert cli.main([*film, "-o", str(disk / "out.mov")]) == 2
        said = capsys.readouterr().err
        assert re.fullmatch(
            r"vs-remaster: no space left for .*: free some or write elsewhere; [1-5] of 6 chunks are kept in "
            r".*out.mov.job: run the same command again to go on\n",
            said,
        )
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        assert finished(film, disk / "out.mov") == undisturbed
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(("stream", "chunks"), [(False, "lossless"), (True, "lossless"), (True, "final")])
def test_a_worker_that_is_killed_on_a_ray_cluster(film, undisturbed, tmp_path, monkeypatch, stream, chunks):
    pytest.importorskip("ray")
    mark = f"VS_REMASTER_TEST={os.getpid()}-{stream}-{chunks}"
    monkeypatch.setenv(*mark.split("="))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    output = tmp_path / "out.mov"
    more = [
        "--chunks",
        chunks,
        "--ray",
        "local",
        "--workers",
        "2",
        *(["--ray-stream"] if stream else []),
        "-o",
        str(output),
    ]
    main = subprocess.Popen(
        [sys.executable, "-m", "vs_remaster.cli", *film, *more], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("out.mov.job/chunks/*.json")):
        assert main.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    workers = [pid for pid in marked(mark) if b"ray::_Worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert main.wait(timeout=300) == 0
    assert heard_and_seen(output) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["out.mov"]


def marked(mark: str) -> list[int]:
    """Processes with that in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def resident(pid: int) -> int:
    """Bytes that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_does_not_grow_over_ten_thousand_frames(tmp_path):
    """Between frame 500 and frame 10,000 by less than 5 %. The shots come again: windows of a length that was not met
    before make kernels of their own, which are kept."""
    write_film(tmp_path / "film.mkv", (90,) * 112, sound=False, kinds=8)
    write_references(tmp_path / "references")
    command = ["run", tmp_path / "film.mkv", "--references", tmp_path / "references", *FAST, "--json"]
    command += ["-o", tmp_path / "out.mkv"]
    main = subprocess.Popen(
        [sys.executable, "-m", "vs_remaster.cli", *map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    held = {}
    assert main.stdout is not None
    for line in main.stdout:
        told = re.search(r'"stage": "frames", "done": (\d+)', line)
        if told:
            held[int(told[1])] = resident(main.pid)
    assert main.wait() == 0
    early = [size for frame, size in held.items() if 500 <= frame < 2000]
    late = [size for frame, size in held.items() if frame > 9000]
    print(f"{max(early) / 1e6:.0f} MB up to frame 2000, {max(late) / 1e6:.0f} MB from frame 9000 on")
    assert max(late) < 1.05 * max(early)


@pytest.mark.parametrize("how", [["--workers", "2"], ["--ray", "local", "--workers", "2"]], ids=["processes", "ray"])
def test_two_workers_take_hardly_more_processor_time_than_one(tmp_path, how):
    """Chunks, their files, Ray: 10 % of the direct way at most, beyond starting up. Wants a machine with nothing else
    to do."""
    if "--ray" in how:
        pytest.importorskip("ray")
    write_film(tmp_path / "film.mkv", (90,) * 10, sound=False, size=(320, 240))
    write_references(tmp_path / "references")
    command = ["run", tmp_path / "film.mkv", "--references", tmp_path / "references", "--device", "cpu", "--model",
               "fast", "--color-lines", "128", "--overwrite", "--json", "-o", tmp_path / "out.mkv"]  # fmt: skip

    def taken(*more: str) -> float:
        """Seconds for all frames, as fast as they came from the first one on; and for encoding chunks."""
        main = subprocess.Popen(
            [sys.executable, "-m", "vs_remaster.cli", *map(str, command), *more], cwd=ROOT, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        told = []
        assert main.stdout is not None
        for line in main.stdout:
            found = re.search(r'"stage": "(frames|encode)", "done": ([1-9]\d*), "total": (\d+)', line)
            if found:
                told.append((time.monotonic(), found[1], int(found[2]), int(found[3])))
        assert main.wait() == 0
        made = [one for one in told if one[1] == "frames"]
        rate = (made[-1][2] - made[0][2]) / (made[-1][0] - made[0][0])
        return made[-1][3] / rate + told[-1][0] - made[-1][0]

    direct = taken("--chunk", "1000")
    job = taken("--chunk", "90", *how)
    print(f"{direct:.1f} s in one process, {job:.1f} s {' '.join(how)}: {job / direct:.3f}")
    assert job < 1.1 * direct


def test_a_reference_of_its_own_is_all_that_a_shot_needs(film, tmp_path, capsys):
    """The whole way by the command line: plan, edit, run, change the picture, run again."""
    output = tmp_path / "out.mkv"
    command = [*film, "-o", str(output), "--job", str(tmp_path / "job"), "--codec", "ffv1", "--overwrite"]
    assert cli.main([*command, "--plan"]) == 0
    shots = tmp_path / "job" / "shots.toml"
    shots.write_text(shots.read_text().replace("number = 4\n", 'number = 4\nreferences = ["four.png"]\n'))
    write_reference(tmp_path / "job" / "four.png", (0, 0, 250))
    assert cli.main(command) == 0
    first = heard_and_seen(output)[0]
    write_reference(tmp_path / "job" / "four.png", (250, 0, 0))
    capsys.readouterr()
    assert cli.main(command) == 0
    assert "6 chunks, 4 of them finished before" in capsys.readouterr().out
    second = heard_and_seen(output)[0]
    assert [n for n in range(140) if first[n] != second[n]] == list(range(66, 126))
