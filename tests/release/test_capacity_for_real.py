"""The simulation of an archive against a job of this machine whose workers are killed at the same moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from export.performance.archive import Archive, simulate
from tests.support.job_films import FAST, heard_and_seen, write_film

ROOT = Path(__file__).parents[2]
CHUNK_CODINGS, LENGTH = 20, 32
MTBF, SEED = 50.0, 5


def children(pid: int) -> list[int]:
    found = [int(n) for task in Path(f"/proc/{pid}/task").iterdir() for n in (task / "children").read_text().split()]
    return [pid for pid in found if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]


def run(film: Path, output: Path, mtbf: float) -> tuple[list[float], int]:
    """Seconds from when workers start until each chunk is there, in order, and how many times workers were killed."""
    command = ["run", film, "--no-color", *FAST, "--chunk", LENGTH, "-o", output]
    command += ["--job", output.with_suffix(".job"), "--workers", 2, "--chunks", "final", "--codec", "prores"]
    main = subprocess.Popen([sys.executable, "-m", "vs_remaster.cli", *map(str, command)], cwd=ROOT)
    began: float | None = None
    chance = random.Random(SEED)  # as the simulation draws
    death = chance.expovariate(2 / mtbf) if mtbf else float("inf")
    kills = 0
    while main.poll() is None:
        time.sleep(0.02)
        workers = children(main.pid) if main.poll() is None else []
        if began is None:
            if not workers:
                continue
            began = time.time()
        if time.time() - began > death:
            death += chance.expovariate(2 / mtbf)
            if workers:
                os.kill(workers[0], signal.SIGKILL)
                kills += 1
    assert main.returncode == 0 and began is not None
    stamps = [path.stat().st_mtime for path in (output.with_suffix(".job") / "chunks").glob("*.json")]
    return sorted(stamp - began for stamp in stamps), kills


def test_a_job_with_kills_takes_as_long_as_simulated(tmp_path):
    """What one run without kills shows of speed and start makes the forecast for the run with kills."""
    film = write_film(tmp_path / "film.mkv", (CHUNK_CODINGS * LENGTH,), sound=False, size=(256, 192))
    calm, kills = run(film, tmp_path / "calm.mov", 0)
    assert len(calm) == CHUNK_CODINGS and kills == 0
    each = (calm[-1] - calm[1]) / (CHUNK_CODINGS / 2 - 1)  # two at a time
    start = max(0.0, calm[0] - each)
    archive = Archive(
        films=1,
        frames=CHUNK_CODINGS * LENGTH,
        chunk=LENGTH,
        halo=0,
        gpus=2,
        per_film=2,
        together=2,
        speed=LENGTH / each,
        survey_speed=1e9,
        finish_speed=1e9,
        start=start,
        restart=0.5,  # until the death is noticed
        mtbf=MTBF,
        seed=SEED,
    )
    forecast = simulate(archive)
    real, kills = run(film, tmp_path / "killed.mov", MTBF)
    print(f"without kills {calm[-1]:.1f} s: {each:.2f} s a chunk, {start:.2f} s to start")
    print(f"with kills {real[-1]:.1f} s and {kills} kills, forecast {forecast.seconds:.1f} s and {forecast.deaths}")
    assert kills >= 2
    assert abs(real[-1] - forecast.seconds) < 0.25 * forecast.seconds
    assert heard_and_seen(tmp_path / "killed.mov") == heard_and_seen(tmp_path / "calm.mov")
