"""Runs that are killed between giving outputs their names and ending the job: the same command ends it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.job_films import FAST, heard_and_seen, run_and_kill, write_film, write_references
from vs_remaster import cli

WAYS = {
    "lossless": ("out.mkv", [], ["ended"]),
    "removal": ("out.mkv", [], ["shares", "removal", "removing", "removed"]),
    "final": ("out.mkv", ["--chunks", "final"], ["ended"]),
    "pictures": ("out", ["--codec", "png"], ["pictures"]),
}


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_film(folder / "film.mkv", (8, 10), size=(64, 48))
    write_references(folder / "references")
    return folder


def command(films: Path, output: Path, *more: object) -> list[str]:
    given = [
        "run", films / "film.mkv", "-o", output, "--references", films / "references", *FAST, "--restore-lines", 64,
        "--chunk", 10, "--shares", output.parent / "shares.json", "--report", output.parent / "report", *more,
    ]  # fmt: skip
    return [str(argument) for argument in given]


def seen(output: Path) -> object:
    if output.is_dir():
        return {path.name: path.read_bytes() for path in output.iterdir()}
    return heard_and_seen(output)


@pytest.mark.parametrize(
    "way", ["lossless", *(pytest.param(way, marks=pytest.mark.release) for way in ("removal", "final", "pictures"))]
)
def test_killed_when_outputs_have_their_names(films, tmp_path, way):
    name, more, places = WAYS[way]
    whole = tmp_path / "whole" / name
    whole.parent.mkdir()
    assert cli.main(command(films, whole, *more)) == 0
    for place in places:
        output = tmp_path / place / name
        output.parent.mkdir()
        assert run_and_kill(place, 2 if place == "shares" else 1, *command(films, output, *more)) == -signal.SIGKILL, (
            place
        )
        left = {path.name for path in output.parent.iterdir()}
        assert (
            "shares.json" in left
            and (place == "shares" or name in left)
            and ("report" in left) == place.startswith("remov")
        )
        assert cli.main(command(films, output, *more)) == 0, place
        assert seen(output) == seen(whole)
        assert {path.name for path in output.parent.iterdir()} == {name, "shares.json", "report"}
        assert (output.parent / "shares.json").read_bytes() == (whole.parent / "shares.json").read_bytes()


def test_a_film_of_somebody_else_is_none_of_the_job(films, tmp_path, capsys):
    """Whatever has the name of the output, the job is gone on with only where it is its own film, and whole."""
    output = tmp_path / "out.mkv"
    assert run_and_kill("ended", 1, *command(films, output)) == -signal.SIGKILL
    film = output.read_bytes()
    output.write_bytes(film[: len(film) // 2])  # the same file, cut
    assert cli.main(command(films, output)) == 2
    assert "output exists" in capsys.readouterr().err and len(output.read_bytes()) == len(film) // 2
    output.rename(tmp_path / "cut")
    output.write_bytes(film)  # another file
    assert cli.main(command(films, output)) == 2
    assert "output exists" in capsys.readouterr().err and output.read_bytes() == film
    output.unlink()
    assert cli.main(command(films, output, "--overwrite")) == 0
