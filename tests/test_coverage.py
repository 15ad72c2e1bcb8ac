"""Frames that cover a film: on made-up scenes, and out of a film on disk into a folder."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vs_remaster.cli.entry import main
from vs_remaster.errors import InputError
from vs_remaster.references.manifest import NAME, Entry, Manifest, read_manifest, write_manifest
from vs_remaster.references.reference import load_references
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.remaster.restorer import Restorer
from vs_remaster.stills import coverage
from vs_remaster.stills.contact_sheet import SHEET
from vs_remaster.stills.coverage import Described, cover, describe, nearness
from vs_remaster.stills.focus import FilmSharpness
from vs_remaster.stills.picking import pick_references

CPU = {"device": "cpu", "precision": "fp32"}


def made_up(scenes: str, frames: int = 20, sharp: list[float] | None = None, every: int = 5) -> Described:
    """A film whose shots are named by letters: those of one letter show one scene, a little different each time."""
    generator = torch.Generator().manual_seed(0)
    known = {name: torch.randn(6, 16, generator=generator) for name in sorted(set(scenes))}
    length = frames * len(scenes)
    numbers = list(range(every // 2, length, every))
    features = [known[scenes[n // frames]] + 0.25 * torch.randn(6, 16, generator=generator) for n in numbers]
    cuts = list(range(frames, length, frames))
    survey = FilmSharpness(sharp or [1.0] * length, cuts)
    return Described(survey, numbers, F.normalize(torch.stack(features), dim=2).half())


def scenes_of(frames: list[int], scenes: str, length: int = 20) -> str:
    return "".join(scenes[n // length] for n in frames)


def test_every_scene_is_taken_once_before_any_is_taken_twice():
    scenes = "ABACAABDA"
    found = cover(made_up(scenes), 4)
    assert sorted(scenes_of(found.frames, scenes)) == ["A", "B", "C", "D"]
    assert scenes_of(found.frames[:2], scenes) == "AB"  # what most frames show comes first
    assert all(b > a + 0.05 for a, b in pairwise(found.covered)) and found.covered[-1] > 0.8
    by_scene = dict(zip(scenes_of(found.frames, scenes), found.shares))
    assert by_scene == pytest.approx({"A": 5 / 9, "B": 2 / 9, "C": 1 / 9, "D": 1 / 9}, abs=0.02)


def test_evenly_spaced_frames_cover_less():
    scenes = "AAAABAAAACAAAD"
    film = made_up(scenes)
    picked = cover(film, 4)
    near = nearness(film.features)
    evenly = [round((2 * i + 1) * len(film.frames) / 8) for i in range(4)]
    places = [film.frames.index(n) for n in picked.frames]
    assert near[:, places].amax(1).mean() > near[:, evenly].amax(1).mean() + 0.02
    assert near[:, places].amax(1).min() > 0.5 > near[:, evenly].amax(1).min()


def test_as_many_as_the_coverage_needs():
    film = made_up("ABACAABDA")
    few, more, all_ = (cover(film, 0, wanted) for wanted in (0.6, 0.85, 1.0))
    assert len(few.frames) < len(more.frames) <= len(all_.frames) == len(film.frames)
    assert few.covered[-1] >= 0.6 > few.covered[-2] and more.covered[-1] >= 0.85 > more.covered[-2]
    assert len(cover(film, 2, 0.9).frames) == 2
    assert len(cover(film, 10**6).frames) == len(film.frames)


def test_sharp_frames_inside_of_a_shot_are_preferred():
    sharp = [0.2] * 80
    for n in (*range(9, 16), *range(45, 55)):
        sharp[n] = 1.0
    first, second = sorted(cover(made_up("AB", 40, sharp, every=3), 2).frames)
    assert 9 <= first < 16 and 45 <= second < 55


@pytest.mark.parametrize(("count", "wanted"), [(0, 0.0), (-1, 0.5), (3, 1.5)])
def test_numbers_that_make_no_sense_are_refused(count, wanted):
    with pytest.raises(InputError, match="give a count of 1 or more, or a coverage above 0"):
        cover(made_up("AB"), count, wanted)


def scene(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = F.interpolate(torch.rand(1, 1, 9, 14, generator=generator), (64, 112), mode="bicubic")[0]
    return (0.2 + 0.6 * coarse).clamp(0, 1)


def film(scenes: str, frames: int = 12) -> list[torch.Tensor]:
    shots = {name: scene(ord(name)) for name in scenes}
    return [shots[name][..., n : n + 96] for name in scenes for n in range(frames)]


def test_memory_is_bounded_and_every_shot_is_remembered(monkeypatch):
    class Fake:
        def describe(self, luma, lines):
            return F.normalize(luma[:, ::16, ::12].reshape(-1, 4), dim=1)

    monkeypatch.setattr(coverage, "_MOST", 10)
    scenes = "ABCDAB"
    found = describe(iter(film(scenes, 16)), Fake())
    assert found.survey.cuts == [16 * n for n in range(1, 6)] and len(found.survey.sharpness) == 96
    assert {n // 16 for n in found.frames} == set(range(6)) and len(found.frames) <= 12
    assert found.features.shape[0] == len(found.frames) and found.features.dtype == torch.float16
    assert describe(iter(film("A", 1)), Fake()).frames == [0]
    with pytest.raises(InputError, match="no frames to pick from"):
        describe(iter([]), Fake())


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(ColorizeOptions(model="fast", **CPU))


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five shots of three scenes, as pictures."""
    folder = tmp_path_factory.mktemp("movie")
    for n, luma in enumerate(film("ABACA")):
        cv2.imwrite(str(folder / f"{n:04}.png"), (luma[0] * 255).round().byte().numpy())
    return folder


def test_frames_of_a_film_are_written_as_references(colorizer, movie, tmp_path):
    folder = tmp_path / "refs"
    restore = RestoreOptions(model="fast", **CPU)
    picked, covered = pick_references(movie, folder, count=3, restore=restore, colorize=colorizer)
    assert sorted("ABACA"[one.frame // 12] for one in picked) == ["A", "B", "C"] and covered > 0.5
    assert all(one.shot == (one.frame // 12 * 12, one.frame // 12 * 12 + 12) for one in picked)
    names = sorted(one.path.name for one in picked)
    assert sorted(file.name for file in folder.iterdir()) == [*names, NAME, SHEET.parent.name]
    entries = read_manifest(folder / NAME).entries
    assert [entry.picture for entry in entries] == names == [f"{entry.frame:07}.png" for entry in entries]
    assert [reference.frame for reference in load_references(folder)] == [entry.frame for entry in entries]
    # the very frames that restoring the film gives
    lumas = torch.from_numpy(np.stack([cv2.imread(str(p), 0) for p in sorted(movie.iterdir())])).float()[:, None] / 255
    whole = Restorer(restore).restore(lumas, [12, 24, 36, 48]).luma.clamp(0, 1)
    for one in picked:
        written = cv2.imread(str(one.path))
        assert np.array_equal(written, np.repeat((whole[one.frame, 0] * 255).round().byte().numpy()[..., None], 3, 2))
    sheet = cv2.imread(str(folder / SHEET))
    assert sheet.shape[1] == 3 * 320 and sheet.std() > 10
    with pytest.raises(InputError, match="holds references already, which are never overwritten"):
        pick_references(movie, folder, count=3, colorize=colorizer)


def test_the_command_line_picks_and_stamps(movie, tmp_path, capsys):
    folder = tmp_path / "refs"
    how = ["--device", "cpu", "--precision", "fp32", "--no-restore"]
    assert main(["references", "pick", str(movie), "-o", str(folder), "-n", "2", *how]) == 0
    out = capsys.readouterr().out
    assert "2 frames written to" in out and "of the shot " in out and "contact-sheet.png" in out
    first = next(folder.glob("*.png"))
    frame = int(first.stem)
    assert np.array_equal(cv2.imread(str(first), 0), cv2.imread(str(movie / f"{frame:04}.png"), 0))

    held = read_manifest(folder / NAME)
    write_manifest(folder / NAME, Manifest((held.entries[0],), held.origins), overwrite=True)
    assert main(["references", "stamp", str(folder)]) == 0
    stamped = read_manifest(folder / NAME).entries
    assert len(stamped) == 2 and all(entry.sha256 for entry in stamped)
    assert stamped[1] == Entry(picture=stamped[1].picture, frame=held.entries[1].frame, sha256=stamped[1].sha256)
    assert main(["references", "pick", str(movie), "-o", str(tmp_path / "none"), "-n", "0", *how]) == 2
    assert "give a count of 1 or more" in capsys.readouterr().err
