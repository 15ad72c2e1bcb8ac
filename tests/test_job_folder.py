"""Who may work in a job's folder: one run at a time, whoever looks on and whoever removes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.job_films import write_film
from vs_remaster.errors import InputError
from vs_remaster.jobs import JobOptions, frames_kept, remaster_job, remove_job
from vs_remaster.jobs.planning.folder import JobFolder
from vs_remaster.remaster.options import RestoreOptions

ROOT = Path(__file__).parents[1]

LOOK = """
import sys
from pathlib import Path
from vs_remaster.jobs.planning.folder import JobFolder
folder = JobFolder(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    folder.worker()
"""

# A run that ends and removes the folder, again and again; `alone` is there while one is at work.
RUNS = """
import sys
from pathlib import Path
from vs_remaster.errors import RemasterError
from vs_remaster.jobs.planning.folder import JobFolder
folder, alone, runs = JobFolder(Path(sys.argv[1])), Path(sys.argv[2]), 0
while runs < 12:
    try:
        with folder.at_work():
            alone.touch(exist_ok=False)
            (folder.chunks / "one").touch()
            alone.unlink()
            folder.remove(shots=True)
        runs += 1
    except RemasterError as error:
        assert any(words in str(error) for words in ("in use", "removed meanwhile", "No such file")), error
"""


def start(code: str, *arguments: Path) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=env, stdout=subprocess.PIPE, text=True
    )


def test_looking_keeps_nobody_out(tmp_path):
    """100 starts while two others look without a pause."""
    folder = JobFolder(tmp_path / "job")
    folder.make()
    assert folder.worker() is None
    assert not (folder.path / "lock").exists()
    others = [start(LOOK, folder.path) for _ in range(2)]
    try:
        for other in others:
            assert other.stdout is not None and other.stdout.readline() == "ready\n"
        for _ in range(100):
            with folder.locked():
                pass
    finally:
        for other in others:
            other.kill()
            other.communicate()
    with folder.locked():
        assert folder.worker().startswith(f"process {os.getpid()} on ")
    assert folder.worker() is None


def test_who_works_in_a_folder_that_cannot_be_written(tmp_path):
    folder = JobFolder(tmp_path / "job")
    folder.make()
    with folder.locked():
        for path, mode in ((folder.path / "lock", 0o444), (folder.path, 0o555)):
            path.chmod(mode)
        try:
            assert folder.worker().startswith(f"process {os.getpid()} on ")
        finally:
            folder.path.chmod(0o755)


def test_one_run_at_a_time_though_each_removes_the_folder(tmp_path):
    runs = [start(RUNS, tmp_path / "job", tmp_path / "alone") for _ in range(3)]
    assert [run.wait(timeout=120) for run in runs] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_removed_is_nobody_s(tmp_path):
    """A second run that has opened the lock when the first removes it does not work beside a third."""
    folder = JobFolder(tmp_path / "job")
    with folder.at_work():
        folder.remove(shots=True)
        with folder.at_work():
            with pytest.raises(InputError, match="in use by process"), folder.at_work():
                pass
            folder.remove(shots=True)
    assert not folder.path.exists()


def test_what_a_kill_has_left_is_cleared(tmp_path):
    folder = JobFolder(tmp_path / "job")
    folder.make()
    for part in (folder.path / ".job.json.7.part", folder.chunks / ".000000-000016.7.part.mkv"):
        part.touch()
    half = folder.aligned / ".abcd.part" / "made"
    half.mkdir(parents=True)
    (half / "frame.png").touch()
    (folder.aligned / "copy.mkv-0").mkdir()
    with folder.at_work():
        assert sorted(path.name for path in folder.path.rglob("*")) == ["aligned", "chunks", "copy.mkv-0", "lock"]
        folder.write_plan({})
    assert folder.plan.exists()


def test_a_job_that_nobody_finishes_is_removed(tmp_path):
    movie = write_film(tmp_path / "film.mp4", (40, 30))
    for name, edit in (("a", False), ("b", True)):
        output = tmp_path / f"{name}.mkv"
        remaster_job(movie, output, restore=RestoreOptions(model="fast", device="cpu"), options=JobOptions(plan=True))
        folder = tmp_path / f"{name}.mkv.job"
        shots = folder / "shots.toml"
        if edit:
            shots.write_text(shots.read_text() + "\n")
        assert frames_kept(output) == 0
        with JobFolder(folder).locked():
            assert not remove_job(folder) and (folder / "job.json").exists()
        assert remove_job(folder) and not remove_job(folder)
        assert folder.exists() == edit and not (folder / "job.json").exists()
