"""Names that a file system does not take, and files that cannot be written: one line, before anything is computed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.job_films import FAST, heard_and_seen, write_film, write_references
from vs_remaster import cli

LONG = "n" * 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a film of two shots, and references."""
    place = tmp_path_factory.mktemp("film")
    write_film(place / "film.mkv", (16, 16), size=(64, 48))
    write_references(place / "references")
    return place


def run(capsys, folder: Path, line: str) -> tuple[int, list[str]]:
    """Run a command in which @ stands for the folder; its status and what it says on stderr."""
    status = cli.main(line.replace("@", f"{folder}/").replace("LONG", LONG).split())
    return status, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "run @film.mkv -o @LONG.mkv",
        "run @film.mkv -o @LONG",
        "run @film.mkv -o @out.mkv --job @LONG",
        "run @film.mkv -o @out.mkv --report @LONG",
        "run @film.mkv -o @out.mkv --shares @LONG --references @references",
        "run @LONG.mkv -o @out.mkv",
        "merge @film.mkv @film.mkv -o @LONG.mkv",
        "references pick @film.mkv -o @LONG",
        "references align @film.mkv @film.mkv -o @LONG",
        "references show @film.mkv --references @references --frames 1 -o @LONG",
        "references stamp @LONG",
        "report @film.mkv @film.mkv -o @LONG",
        "status @LONG",
        "redo @LONG --shot 1",
        "weights import @LONG",
    ],
)
def test_names_that_are_too_long(folder, capsys, monkeypatch, line):
    def read(*given):
        pytest.fail("a frame was read before the name was looked at")

    monkeypatch.setattr("vs_remaster.video.reader.VideoReader.planes", read)
    before = sorted(path.name for path in folder.iterdir())
    status, said = run(capsys, folder, line)
    assert status == 2 and len([one for one in said if "warning" not in one]) == 1, said
    assert "too long" in said[-1] or "does not exist" in said[-1] or "no such" in said[-1].lower(), said
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("more", [[], ["--chunk", "16"]])
def test_the_longest_name_there_is(folder, capsys, more):
    """No name beside it is longer."""
    output = folder / f"{'n' * 251}.mkv"
    status = cli.main(["run", str(folder / "film.mkv"), "-o", str(output), "--codec", "ffv1", *FAST, *more])
    assert (status, capsys.readouterr().err) == (0, "")
    assert len(heard_and_seen(output)[0]) == 32
    output.unlink()
    assert sorted(path.name for path in folder.iterdir()) == ["film.mkv", "references"]


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
@pytest.mark.parametrize("more", [[], ["--chunk", "16"]])
@pytest.mark.parametrize("place", ["/dev/full", "/proc/shares.json", "nowhere/shares.json"])
def test_shares_that_cannot_be_written(folder, capsys, place, more):
    references = ["--references", str(folder / "references"), "--shares", str(folder / place)]
    status = cli.main(["run", str(folder / "film.mkv"), "-o", str(folder / "out.mkv"), *FAST, *references, *more])
    said = capsys.readouterr().err.splitlines()
    assert status == 2 and len(said) == 1, said
    assert "shares.json" in said[0] or "/dev/full" in said[0] or "folder does not exist" in said[0]
    assert not (folder / "out.mkv").exists()
