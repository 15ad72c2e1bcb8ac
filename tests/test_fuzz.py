"""Damaged input of every kind, a little of each: see `fuzzing`, and `release/test_fuzz.py` for much of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import fuzzing
from tests.support.mutations import FILMS

MINUTES = 1.0
SEEDS = {"film": 8, "pictures": 2, "references": 3, "settings": 3, "jobs": 2, "pipes": 3, "weights": 3}


@pytest.mark.skipif(not fuzzing.POSSIBLE, reason="needs fork and Linux's limits")
def test_damaged_input_is_said_in_one_line_and_harms_nothing(tmp_path):
    told = fuzzing.try_cases({kind: range(count) for kind, count in SEEDS.items()}, tmp_path, MINUTES)
    assert not (wrong := fuzzing.failures(told)), wrong
    assert {one["kind"] for one in told} == set(SEEDS)
    assert {0, 2} == {status for one in told for status in one["status"]}  # some could be made, some not


@pytest.mark.skipif(not fuzzing.POSSIBLE, reason="needs fork and Linux's limits")
def test_what_breaks_the_rule_is_found(tmp_path):
    """The rule itself: each of these would be told."""
    said = "vs-remaster: no such file"

    def problems(status: int, err: str, memory: int = 0) -> list[str]:
        return fuzzing.Outcome(["run"], status, "", err, 1.0, memory).problems()

    assert problems(0, "") == problems(2, said) == problems(2, f"vs-remaster: warning: a\n{said}") == []
    assert problems(-9, "") == problems(1, "Timeout (0:01:00)!\n") == ["hangs"]
    assert problems(-11, "") == ["exit status -11"] and problems(70, "Traceback (most") == [
        "exit status 70",
        "traceback",
    ]
    assert problems(2, "") == ["0 lines of error"] and problems(2, f"{said}\n{said}") == ["2 lines of error"]
    assert problems(2, f"libpng error\n{said}") == ["strange line on stderr: libpng error"]
    assert problems(0, "", 1 << 30) == ["takes 1024 MiB"] and problems(0, said) == ["an error, and status 0"]
    case = fuzzing.Case("film", 0, tmp_path, None)
    told = fuzzing.Outcome([], 0, "", "", 1.0, 0)
    case.whole(23, {"frames": 24, "errors": 0}, told)
    case.whole(24, {"frames": 24, "errors": 1}, told)
    assert case.problems == ["23 frames of 24, silently", "1 errors while reading, silently"]


@pytest.mark.release
@pytest.mark.skipif(not fuzzing.POSSIBLE, reason="needs fork and Linux's limits")
def test_a_case_follows_from_its_seed(tmp_path):
    """The same twice, bit for bit, in another process; this is how a failure is repeated."""
    script = """
import hashlib, random, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
import mutations as m
for name, film in m.FILMS.items():
    data = m.make_film(Path(sys.argv[3] + film.suffix), film).read_bytes()
    made = [m.damaged_film(data, film, random.Random(f"film {n}")) for n in range(12)]
    print(name, hashlib.sha1(repr(made).encode()).hexdigest())
"""
    here = Path(__file__).parent / "support"
    command = [sys.executable, "-c", script, str(here), str(here.parents[1]), str(tmp_path / "film")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    how = {"env": environment, "capture_output": True, "check": True, "text": True}
    one, two = (subprocess.run(command, **how).stdout.splitlines() for _ in range(2))
    assert one == two and len(one) == len(FILMS)
