"""The plan for an archive: the simulation against what can be computed, and the measurement it is fed with."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from export import capacity
from export.performance.archive import Archive, simulate
from export.performance.pace import Pace, kept_in
from tests.support.job_films import write_film
from vs_remaster.errors import InputError

QUICK = {"survey_speed": 1e9, "finish_speed": 1e9, "halo": 0, "start": 0.0}


def test_without_deaths_the_work_is_divided_evenly():
    archive = Archive(films=6, frames=4000, chunk=500, gpus=4, speed=10, per_film=4, **QUICK)
    outcome = simulate(archive)
    assert outcome.seconds == pytest.approx(6 * 4000 / 10 / 4, rel=1e-4)
    assert outcome.busy == pytest.approx(6 * 4000 / 10) and outcome.lost == 0
    one = simulate(replace(archive, films=1, frames=4001, start=7.0))  # eight whole chunks and one of a frame
    assert one.seconds == pytest.approx(7 + 100 + 0.1, rel=1e-3)
    assert one.lost == 4 * 7.0


def test_stages_of_a_film_follow_each_other():
    """One film, one GPU: looked through, made with its halo, finished; what is slower than the GPU counts."""
    archive = Archive(
        films=1, frames=1000, chunk=250, halo=50, gpus=1, speed=20, survey_speed=100, finish_speed=40, start=3.0
    )
    assert simulate(archive).seconds == pytest.approx(1000 / 100 + 3 + 4 * 300 / 20 + 1000 / 40)
    assert simulate(replace(archive, keep_speed=10)).seconds == pytest.approx(10 + 3 + 1000 / 10 + 25)


@pytest.mark.parametrize(("length", "mtbf", "restart"), [(10, 20.0, 3.0), (10, 200.0, 30.0), (40, 30.0, 0.0)])
def test_deaths_cost_what_theory_says(length, mtbf, restart):
    """Work of t seconds that begins anew when it is struck, at a rate of 1/m, takes (m + r)(exp(t/m) - 1) on average
    (renewal theory); over many chunks the mean is within four standard errors."""
    count = 20_000
    archive = Archive(
        films=1, frames=count * length, chunk=length, gpus=1, speed=1, mtbf=mtbf, restart=restart, seed=3, **QUICK
    )
    outcome = simulate(archive)
    expected = (mtbf + restart) * (math.exp(length / mtbf) - 1)
    spread = expected  # of one chunk, at most: the number of attempts is geometric
    assert abs(outcome.seconds / count - expected) < 4 * spread / math.sqrt(count)
    assert outcome.busy == pytest.approx(count * length)
    assert outcome.seconds == pytest.approx(outcome.busy + outcome.lost, rel=1e-3)
    assert outcome.repeated == pytest.approx(count * (math.exp(length / mtbf) - 1), rel=0.1)


def test_workers_of_a_machine_die_together():
    """As often as theory says for the first of them, and each time all lose what they had in work."""
    how = {"films": 8, "frames": 80_000, "chunk": 80, "gpus": 8, "speed": 1.0, "mtbf": 2000.0, "restart": 5.0, **QUICK}
    alone, together = simulate(Archive(**how)), simulate(Archive(together=8, **how))
    assert together.repeated > 6 * alone.repeated
    assert alone.deaths == pytest.approx(8 * alone.seconds / 2000, rel=0.1)
    assert together.deaths == pytest.approx(8 * together.seconds / 2000, rel=0.1)
    assert simulate(Archive(together=8, **how)) == together
    assert simulate(Archive(together=8, seed=1, **how)) != together


def test_storage_and_traffic():
    """Every chunk reads its frames and its halo, every film is read three times; bandwidth bounds all of it."""
    sizes = {"source_bytes": 20.0, "chunk_bytes": 100.0, "film_bytes": 30.0}
    archive = Archive(films=1, frames=1000, chunk=100, gpus=1, speed=10, **{**QUICK, "halo": 10}, **sizes)
    outcome = simulate(archive)
    assert outcome.read == 1000 * 20 + 10 * 110 * 20 + 1000 * (100 + 20)
    assert outcome.written == 1000 * 100 + 1000 * 30
    assert outcome.peak == 1000 * (100 + 30)
    slow = simulate(replace(archive, bandwidth=500.0))
    assert slow.seconds == pytest.approx((outcome.read + outcome.written) / 500)
    assert simulate(replace(archive, films=8, gpus=4, open_films=8)).peak <= 8 * outcome.peak


@pytest.mark.parametrize(("name", "value"), [("films", 0), ("speed", 0.0), ("mtbf", -1.0), ("bandwidth", 0.0)])
def test_what_cannot_be_is_refused(name, value):
    with pytest.raises(InputError, match=rf"{name} must be .*, got {value}"):
        Archive(**{"speed": 1.0, **QUICK, name: value})


def test_measured_and_planned(tmp_path, capsys):
    """The whole way: both ways measured on a film, the figures kept, an archive planned with them."""
    film = write_film(tmp_path / "film.mkv", (20, 37), sound=False)
    kept = tmp_path / "pace.json"
    capacity.main(["--measure", str(film), "--codec", "prores", "--chunk", "32", "--json", str(kept)])
    told = capsys.readouterr().out
    assert "57 frames of film.mkv" in told and "| prores, lossless |" in told and "| prores, final |" in told
    lossless, final = (Pace(**one) for one in json.loads(kept.read_text()))
    assert (lossless.frames, final.frames, lossless.chunk) == (57, 57, 57 / 3)
    assert final.chunk_bytes == pytest.approx(final.film_bytes, rel=0.05)
    assert lossless.film_bytes == pytest.approx(final.film_bytes, rel=0.01)
    assert final.finish_speed > lossless.finish_speed  # joining does not decode or encode

    speeds = tmp_path / "speed.json"
    speeds.write_text(json.dumps([{"task": "both", "frames_per_second": 8.0}]))
    few = ["--pace", kept, "--codec", "prores", "--films", 4, "--frames", 900, "--gpus", 2, "--together", 2]
    capacity.main([str(a) for a in (*few, "--speed", 4, "--benchmark", speeds, "--mtbf", 0.05)])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    names = [row.split(" | ")[0] for row in rows if not row.startswith("| ---")]
    assert names == ["| 4, lossless", "| 4, final", "| 8, lossless", "| 8, final"]
    for words, more in (("how fast is a GPU", few), ("no figures for x264", [*few[:2], "--speed", "4"])):
        with pytest.raises(SystemExit):
            capacity.main([str(a) for a in more])
        assert words in capsys.readouterr().err
    with pytest.raises(InputError, match="holds no job"):
        kept_in(tmp_path)
