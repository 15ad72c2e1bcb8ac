"""The report of a job: what its folder knows is what is shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import fails, run
from tests.support.job_films import SHOTS, write_film, write_references
from vs_remaster.jobs.planning.options import JobOptions
from vs_remaster.jobs.result import MadeFilm
from vs_remaster.jobs.run import remaster_job
from vs_remaster.output.options import OutputOptions
from vs_remaster.references.reference import load_references
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions

CPU = {"device": "cpu", "model": "fast"}
FIRST, END = 20, 70
"""Of the part that is made: the second shot, the third, and four frames of the fourth."""


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    """The folder of a job that is done, with `out.mkv` beside it, and what the restorer's masks were."""
    folder = tmp_path_factory.mktemp("job")
    film, masks = write_film(folder / "film.mp4"), {}
    references = load_references(write_references(folder / "references"), lines=64)
    remaster_job(
        film, folder / "out.mkv", references=references, restore=RestoreOptions(**CPU), start=FIRST, end=END,
        colorize=ColorizeOptions(lines=64, **CPU), write=OutputOptions(codec="ffv1"),
        options=JobOptions(folder=folder / "job", chunk_frames=16),
        look=lambda picture: masks.__setitem__(picture.index, float(picture.mask.mean())),
    )  # fmt: skip
    (folder / "masks.json").write_text(json.dumps(masks))
    return folder / "job"


def told(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_a_job_knows_which_references_were_carried(job):
    path = job / "shares.json"
    whole = path.read_text()
    assert [one.origin for one in MadeFilm(job).references(64)] == ["", ""]
    kept = json.loads(whole)
    kept["references"][1]["origin"] = "carried"
    path.write_text(json.dumps(kept))
    try:
        assert [one.origin for one in MadeFilm(job).references(64)] == ["", "carried"]
    finally:
        path.write_text(whole)


def test_a_report_of_a_job_shows_what_its_folder_knows(job, tmp_path, capsys):
    status, said = run(capsys, "report", job, "-o", tmp_path / "report")
    assert status == 0, said
    found = told(tmp_path / "report")
    # part of a film: its shots bear the film's own numbers of frames
    assert [(s["first"], s["frames"]) for s in found["shots"]] == [(20, 37), (57, 9), (66, 4)]
    assert sum(SHOTS[:1]) == FIRST and found["first"] == FIRST and found["frames"] == END - FIRST
    masks = {int(n): value for n, value in json.loads((job.parent / "masks.json").read_text()).items()}
    for shot in found["shots"]:
        own = [masks[n] for n in range(shot["first"], shot["first"] + shot["frames"])]
        assert shot["damage"] == pytest.approx(np.mean(own), abs=2e-6)
    assert found["masked"] and max(masks.values()) > 0
    assert found["references"] == ["ref_0.png", "ref_6.png"]
    shares = [dict(shot["shares"]) for shot in found["shots"]]
    assert all(set(row) == {"ref_0.png", "ref_6.png"} and 0.02 < sum(row.values()) <= 1.0001 for row in shares)
    kept = json.loads((job / "shares.json").read_text())["frames"]
    first = [dict(row["shares"]).get(0, 0.0) for row in kept if 20 <= row["frame"] < 57]
    assert len(first) == 37 and shares[0]["ref_0.png"] == pytest.approx(np.mean(first), abs=1e-5)
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "Coloured from" in page and "by its own mask" in page
    places = json.loads(page.split('id="data">')[1].split("</script>")[0])["shots"]
    assert [row[0] for row in places] == [0.0, 0.74, 0.92]
    assert all(20 <= int(p.stem.split("_")[1]) < 70 for p in (tmp_path / "report" / "pictures").iterdir())


def test_where_the_frames_of_a_job_are_gone_the_film_is_named(job, tmp_path, capsys):
    other = tmp_path / "job"
    shutil.copytree(job, other)
    next((other / "chunks").glob("*.mkv")).unlink()
    count = len(list((other / "chunks").glob("*.json")))
    assert f"holds {count - 1} of its {count} chunks without loss" in fails(
        capsys, "report", other, "-o", tmp_path / "report"
    )
    assert not (tmp_path / "report").exists()
    assert run(capsys, "report", job, "-o", tmp_path / "whole")[0] == 0
    assert run(capsys, "report", other, job.parent / "out.mkv", "-o", tmp_path / "report")[0] == 0
    one, two = told(tmp_path / "whole"), told(tmp_path / "report")
    assert (one.pop("after"), two.pop("after")) == ("job", "out.mkv") and one == two

    (other / "shares.json").unlink()
    for record in (other / "chunks").glob("*.json"):  # as older programs wrote them
        about = json.loads(record.read_bytes())
        del about["damage"]
        record.write_text(json.dumps(about))
    assert run(capsys, "report", other, job.parent / "out.mkv", "-o", tmp_path / "old")[0] == 0
    old = told(tmp_path / "old")
    assert not old["masked"] and old["references"] == [] and old["shots"][0]["shares"] == []
    assert [shot["drift"] for shot in old["shots"]] == [shot["drift"] for shot in one["shots"]]


def test_a_run_reports_on_itself_and_leaves_no_job(job, tmp_path, capsys):
    film, out = job.parent / "film.mp4", tmp_path / "out.mkv"
    how = ["--end", 24, "--no-color", "--device", "cpu", "--model", "fast", "--report", tmp_path / "report"]
    status, said = run(capsys, "run", film, "-o", out, *how)
    assert status == 0, said
    found = told(tmp_path / "report")
    assert found["masked"] and found["after"] == "out.mkv" and found["frames"] == 24 and not found["colored"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mkv", "report"]
    (tmp_path / "report" / "mine.txt").write_text("")
    assert "holds other files" in fails(capsys, "run", film, "-o", out, "--overwrite", *how)


def test_what_is_no_job_needs_both_films(job, tmp_path, capsys):
    assert "is no job folder" in fails(capsys, "report", job.parent / "film.mp4", "-o", tmp_path / "report")
