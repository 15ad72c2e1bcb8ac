"""Killed two hundred times: at random moments of all phases, and each time the next run ends with the right frames and
leaves nothing behind. Another number: VS_REMASTER_KILLS."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.job_films import FAST, heard_and_seen, write_film, write_references

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("VS_REMASTER_KILLS", "200"))
WAYS = {
    "one": (0.5, []),
    "two": (0.3, ["--workers", "2"]),
    "final": (0.1, ["--chunks", "final"]),
    "ray": (0.1, ["--ray", "local", "--workers", "2", "--ray-stream"]),
}
HOW = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LEFT = ["out.mkv", "report", "shares.json"]


def start(folder: Path, output: Path, mark: str, *more: str) -> subprocess.Popen[str]:
    """Restore and colour 40 frames in chunks of 16, with shares and a report."""
    command = [
        "run", folder / "film.mkv", "-o", output / "out.mkv", "--references", folder / "references", *FAST,
        "--restore-lines", "64", "--codec", "ffv1", "--chunk", "16", "--shares", output / "shares.json",
        "--report", output / "report", "--quiet", *more,
    ]  # fmt: skip
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "VS_REMASTER_TEST": mark}
    return subprocess.Popen(
        [sys.executable, "-m", "vs_remaster.cli", *map(str, command)], cwd=ROOT, env=env, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def alive(mark: str) -> list[str]:
    """Command lines of processes that have the mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"VS_REMASTER_TEST={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(path.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in found if line]


def phase(output: Path) -> str:
    """What a run was at, by what it left."""
    job = output / "out.mkv.job"
    if (output / "out.mkv").exists():
        return "report or end"
    if not (job / "job.json").exists():
        return "start or survey"
    made = len(list(job.glob("chunks/*.json")))
    return "chunks" if made < 4 else "join or rename"


@pytest.mark.parametrize("way", sorted(WAYS))
def test_killed_at_any_moment(tmp_path, way):
    share, more = WAYS[way]
    if way == "ray":
        pytest.importorskip("ray")
    write_film(tmp_path / "film.mkv", (12, 16, 12), size=(64, 48))
    write_references(tmp_path / "references")
    whole = tmp_path / "whole"
    whole.mkdir()
    mark = f"{os.getpid()}-{way}"
    began = time.monotonic()
    assert start(tmp_path, whole, mark, *more).wait(timeout=300) == 0
    took = time.monotonic() - began
    frames, shares = heard_and_seen(whole / "out.mkv"), (whole / "shares.json").read_bytes()
    chance, phases = random.Random(way), Counter()
    for number in range(max(1, round(share * KILLS))):
        output = tmp_path / f"out{number}"
        output.mkdir()
        began = time.monotonic()
        run, how = start(tmp_path, output, mark, *more), chance.choice(HOW)
        time.sleep(chance.uniform(0.25 * took, took))
        run.send_signal(how)
        _, said = run.communicate(timeout=120)
        where = f"{way}, kill {number}, {how.name}, {phase(output)}: {said}"
        phases[phase(output)] += 1
        # Python's own worker says so where it is being started and whoever starts it is killed.
        orphaned = how == signal.SIGKILL and "spawn_main" in said and "vs_remaster" not in said
        assert "Traceback" not in said or orphaned, where
        while waits := alive(mark):
            assert time.monotonic() - began < took + 60, (where, waits)
            time.sleep(0.1)
        if sorted(path.name for path in output.iterdir()) != LEFT:  # else it was done before the signal came
            again = start(tmp_path, output, mark, *more)
            _, said = again.communicate(timeout=300)
            assert again.returncode == 0, (where, said)
        assert heard_and_seen(output / "out.mkv") == frames, where
        assert (output / "shares.json").read_bytes() == shares, where
        assert sorted(path.name for path in output.iterdir()) == LEFT, where
    print(f"{way}: {sum(phases.values())} kills, {dict(phases)}")
    assert not list(Path(tempfile.gettempdir()).glob("vs-remaster-film-*"))
