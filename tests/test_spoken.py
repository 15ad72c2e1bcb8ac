"""What the program says is never worth a film: stdout and stderr that are closed, full, or read by nobody any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.job_films import FAST, heard_and_seen, write_film

ROOT = Path(__file__).parents[1]
PROGRAM = f"{sys.executable} -m vs_remaster.cli"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which P is the program."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "P": PROGRAM}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a film of two shots."""
    place = tmp_path_factory.mktemp("film")
    write_film(place / "film.mkv", (16, 16), size=(64, 48))
    return place


@pytest.mark.parametrize(
    ("name", "how"),
    [
        pytest.param("full", "> /dev/full 2>&1", marks=pytest.mark.release),
        pytest.param("closed", "--chunk 16 <&- >&- 2>&-", marks=pytest.mark.release),
        ("gone", "--chunk 16 --json | head -1"),
        pytest.param("left", "--chunk 16 --json --workers 2 | head -1", marks=pytest.mark.release),
        pytest.param("warned", "--crf 20 --json 2> /dev/full | true", marks=pytest.mark.release),
    ],
)
def test_a_film_is_made_when_nobody_hears_of_it(folder, name, how):
    work = f"run film.mkv -o {name}.mkv --codec ffv1 --restore-lines 64 {' '.join(FAST)}"
    done = shell(f"$P {work} {how}", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(heard_and_seen(folder / f"{name}.mkv")[0]) == 32
    assert sorted(path.name for path in folder.glob(f"*{name}*")) == [f"{name}.mkv"]


@pytest.mark.parametrize("how", ["> /dev/full", ">&-", "| true"])
@pytest.mark.parametrize("words", ["--version", pytest.param("--help", marks=pytest.mark.release)])
def test_what_only_says_something_ends_quietly(folder, words, how):
    done = shell(f"$P {words} {how}", folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("how", ["2> /dev/full", pytest.param("2>&-", marks=pytest.mark.release)])
def test_errors_keep_their_status(folder, how):
    assert shell(f"$P status nothing {how}", folder).returncode == 2
    assert shell(f"$P nonsense {how}", folder).returncode == 2


@pytest.mark.release
def test_files_whose_names_are_no_text(folder):
    """They are shown as bytes."""
    done = shell(f"$P run film.mkv -o $'new\\xff.mkv' --codec ffv1 --chunk 16 {' '.join(FAST)}", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "new\\udcff.mkv" in done.stdout and (folder / os.fsdecode(b"new\xff.mkv")).exists()


@pytest.mark.release
def test_the_film_itself_is_no_message(folder):
    done = shell("printf 'YUV4MPEG2 W64 H48 F24:1 Cmono\\n' | $P pipe >&-", folder)
    assert done.returncode == 2 and "stdout is closed" in done.stderr
