"""A person's masks in jobs: only the chunks that can have changed are made again, and what was repaired is kept."""

from __future__ import annotations

import logging
import signal
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.films import frames_of
from tests.support.job_films import SIZE, heard_and_seen, run_and_kill, write_film, write_reference, write_references
from vs_remaster import cli
from vs_remaster.errors import InputError
from vs_remaster.film.masks import Masks
from vs_remaster.film.remastering import remaster_film
from vs_remaster.jobs.making import cluster
from vs_remaster.jobs.planning.options import JobOptions
from vs_remaster.jobs.run import remaster_job
from vs_remaster.output.options import OutputOptions
from vs_remaster.references.reference import load_references
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions

RESTORE = RestoreOptions(device="cpu", model="fast", precision="fp32")
LOSSLESS = OutputOptions(codec="ffv1", overwrite=True)
PLACE = slice(20, 26), slice(10, 80)
FILES = ["000000-000032", "000032-000064", "000064-000096", "000096-000112", "000112-000130"]  # one shot, then another
ARGUMENTS = "--codec ffv1 --model fast --device cpu --precision fp32 --chunk 32 --overwrite --keep-chunks".split()


@pytest.fixture(scope="module")
def movie(tmp_path_factory) -> Path:
    """112 frames, a cut, and 18 more."""
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", (112, 18), sound=False)


def paint(folder: Path, *numbers: int, place=PLACE) -> Path:
    folder.mkdir(exist_ok=True)
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[place] = 255
    for number in numbers:
        (folder / f"{number:04}.png").write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    return folder


def job(movie: Path, folder: Path, output: str = "out.mkv", **more):
    options = JobOptions(folder=folder / "job", chunk_frames=32, **more.pop("options", {}))
    more = {"restore": RESTORE, "colorize": None, "write": LOSSLESS, **more}
    return remaster_job(movie, folder / output, options=options, **more)


def luma(path: Path) -> list[np.ndarray]:
    return [np.asarray(frame.planes[0]) for frame in frames_of(path)]


def made_again(folder: Path, before: dict[str, int]) -> list[str]:
    after = stamps(folder)
    return [name for name in FILES if after[name] != before.get(name)]


def stamps(folder: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "chunks").glob("*.json")}


def test_only_the_chunks_that_can_have_changed_are_made_again(tmp_path, movie):
    folder = tmp_path / "job"
    job(movie, tmp_path)
    plain, plan = luma(tmp_path / "out.mkv"), (folder / "job.json").read_bytes()
    assert sorted(stamps(folder)) == FILES

    before, repair = stamps(folder), paint(tmp_path / "repair", 8)
    job(movie, tmp_path, repair=repair)
    assert made_again(folder, before) == FILES[:2]
    steered = luma(tmp_path / "out.mkv")
    remaster_film(movie, tmp_path / "direct.mkv", restore=RESTORE, write=LOSSLESS, repair=repair, end=64)
    assert all(np.array_equal(a, b) for a, b in zip(steered, luma(tmp_path / "direct.mkv")))
    changed = [n for n in range(130) if not np.array_equal(plain[n], steered[n])]
    assert 8 in changed and max(changed) <= 8 + 25

    before, protect = stamps(folder), paint(tmp_path / "protect", 64, 111, place=np.s_[:])
    job(movie, tmp_path, repair=repair, protect=protect)
    assert made_again(folder, before) == FILES[2:4], "no other frame depends on what is protected"
    source, steered = luma(movie), luma(tmp_path / "out.mkv")
    assert all(np.array_equal(steered[n], source[n]) == (n in (64, 111)) for n in (63, 64, 65, 110, 111, 112))

    before = stamps(folder)
    job(movie, tmp_path, repair=paint(repair, 120), protect=protect)
    assert made_again(folder, before) == FILES[4:], "nothing looks across a cut"
    before = stamps(folder)
    job(movie, tmp_path, repair=repair, protect=protect)
    assert made_again(folder, before) == []
    job(movie, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(plain, luma(tmp_path / "out.mkv"), strict=True))
    assert (folder / "job.json").read_bytes() == plan


def test_colours_look_at_the_frames_beside_what_is_protected(tmp_path, movie):
    references = load_references(write_references(tmp_path / "references"), lines=64)
    color = {"colorize": ColorizeOptions(device="cpu", model="fast", lines=64), "references": references, "end": 64}
    job(movie, tmp_path, **color)
    before, protect = stamps(tmp_path / "job"), paint(tmp_path / "protect", 32, place=np.s_[:])
    job(movie, tmp_path, protect=protect, **color)
    after = stamps(tmp_path / "job")
    assert {name for name in after if after[name] != before[name]} == set(FILES[:2])
    remaster_film(movie, tmp_path / "direct.mkv", restore=RESTORE, write=LOSSLESS, protect=protect, **color)
    assert heard_and_seen(tmp_path / "out.mkv") == heard_and_seen(tmp_path / "direct.mkv")


@pytest.mark.parametrize(("chunks", "kind"), [("lossless", "film"), ("final", "folder")])
def test_what_was_repaired_is_that_of_the_direct_way(tmp_path, movie, chunks, kind):
    name = "masks.mkv" if kind == "film" else "masks"
    repair = paint(tmp_path / "repair", 20, 60)
    more = {"repair": repair, "end": 64, "write": OutputOptions(codec="x264")}
    direct = tmp_path / "direct"
    direct.mkdir()
    remaster_film(movie, direct / "out.mp4", restore=RESTORE, masks=direct / name, **more)
    more["write"] = replace(more["write"], overwrite=True)
    job(movie, tmp_path, "out.mp4", masks=tmp_path / name, options={"chunk_coding": chunks}, **more)
    if kind == "film":
        assert heard_and_seen(tmp_path / name) == heard_and_seen(direct / name)
    else:
        files = sorted(file.name for file in (direct / name).iterdir())
        assert files == [f"frame_{n:06}.png" for n in range(64)]
        assert all((tmp_path / name / f).read_bytes() == (direct / name / f).read_bytes() for f in files)
    before = stamps(tmp_path / "job")
    job(movie, tmp_path, "out.mp4", options={"chunk_coding": chunks}, **more)
    assert stamps(tmp_path / "job") == before, "without masks wanted nothing is missing"


def test_masks_are_part_of_what_is_made_and_damage_is_mended(tmp_path, movie):
    folder = tmp_path / "job"
    job(movie, tmp_path, end=64)
    before = stamps(folder)
    job(movie, tmp_path, end=64, masks=tmp_path / "masks.mkv")
    assert all(stamps(folder)[name] != before[name] for name in FILES[:2])
    whole, kept = heard_and_seen(tmp_path / "masks.mkv"), folder / "chunks" / f"{FILES[0]}.masks.mkv"
    assert len(whole[0]) == 64
    for how in ("gone", "flipped"):
        before, data = stamps(folder), kept.read_bytes()
        kept.unlink()
        if how == "flipped":
            kept.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0xFF]) + data[len(data) // 2 + 1 :])
        job(movie, tmp_path, end=64, masks=tmp_path / "masks.mkv")
        after = stamps(folder)
        assert [name for name in FILES[:2] if after[name] != before[name]] == FILES[:1]
        assert heard_and_seen(tmp_path / "masks.mkv") == whole


def test_the_command_line_redo_and_status(tmp_path, movie, capsys):
    repair, output = paint(tmp_path / "repair", 20), tmp_path / "out.mkv"
    masks = tmp_path / "masks.mkv"
    arguments = ["run", str(movie), "-o", str(output), *ARGUMENTS, "--repair", str(repair), "--masks", str(masks)]
    assert cli.main(arguments) == 0
    folder = tmp_path / "out.mkv.job"
    whole = heard_and_seen(masks)
    remaster_film(movie, tmp_path / "direct.mkv", restore=RESTORE, repair=repair, masks=tmp_path / "m.mkv")
    assert whole == heard_and_seen(tmp_path / "m.mkv") and len(whole[0]) == 130
    capsys.readouterr()
    assert cli.main(["status", str(folder)]) == 0
    assert "130 of 130 frames in 5 of 5 chunks" in capsys.readouterr().out
    assert cli.main(["redo", str(folder), "--shot", "2"]) == 0
    assert "1 of 5 chunks will be made again" in capsys.readouterr().out
    assert len(list((folder / "chunks").glob("*.masks.mkv"))) == 4
    before = stamps(folder)
    assert cli.main(arguments) == 0
    assert made_again(folder, before) == FILES[4:] and heard_and_seen(masks) == whole


@pytest.mark.release
def test_killed_again_and_again(tmp_path, movie):
    """Also between the names of the masks and of the film: what the run itself left is not in its way."""
    output, masks, repair = tmp_path / "out.mkv", tmp_path / "masks", paint(tmp_path / "repair", 20, 50)
    arguments = [str(one) for one in ("run", movie, "-o", output, "--repair", repair, "--masks", masks, "--end", 64)]
    arguments += [one for one in ARGUMENTS if one not in ("--overwrite", "--keep-chunks")]
    for place, count in (("decode", 40), ("masks", 1), ("record", 1), ("encode", 20), ("end", 1)):
        assert run_and_kill(place, count, *arguments) == -signal.SIGKILL, place
        assert not output.exists() and masks.exists() == (place == "end")
    assert cli.main(arguments) == 0
    direct = tmp_path / "direct"
    direct.mkdir()
    remaster_film(movie, direct / "out.mkv", restore=RESTORE, write=LOSSLESS, repair=repair, masks=direct / "m", end=64)
    assert heard_and_seen(output) == heard_and_seen(direct / "out.mkv")
    files = sorted(file.name for file in masks.iterdir())
    assert len(files) == 64 and all((masks / f).read_bytes() == (direct / "m" / f).read_bytes() for f in files)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["direct", "masks", "out.mkv", "repair"]
    assert cli.main(arguments) == 2, "now it is a film like any other"


def test_a_shot_has_masks_of_its_own(tmp_path, movie, caplog):
    folder, repair = tmp_path / "job", paint(tmp_path / "repair", 20, 115)
    job(movie, tmp_path, repair=repair)
    first = luma(tmp_path / "out.mkv")
    shots = folder / "shots.toml"
    text = shots.read_text()
    shots.write_text(text.replace("number = 2\n", 'number = 2\nrepair = "mine"\nprotect = "mine"\n'))
    with pytest.raises(InputError, match=r"shot 2: repair: '.*mine' is not there"):
        job(movie, tmp_path, repair=repair)
    paint(folder / "mine", 200)
    with pytest.raises(InputError, match=r"shot 2: repair: .*0200\.png is for frame 200, and the film has 130"):
        job(movie, tmp_path, repair=repair)
    (folder / "mine" / "0200.png").unlink()
    paint(folder / "mine", 118)
    before = stamps(folder)
    with caplog.at_level(logging.WARNING):
        job(movie, tmp_path, repair=repair)
    assert "frame 118: repair and protect are both white" in caplog.text
    assert made_again(folder, before) == FILES[4:]
    made, source = luma(tmp_path / "out.mkv"), luma(movie)
    assert np.array_equal(made[118][PLACE], source[118][PLACE]) and not np.array_equal(made[115], first[115])
    assert all(np.array_equal(a, b) for a, b in zip(made[:112], first[:112]))

    shots.write_text(text.replace("number = 2\n", 'number = 2\nrepair = "../repair"\n'))
    with pytest.raises(InputError, match=r"shot 2: repair: '\.\./repair' does not lie in the folder of shots\.toml"):
        job(movie, tmp_path, repair=repair)
    shots.write_text(text.replace("number = 2\n", 'number = 2\nskip = true\nrepair = "mine"\n'))
    job(movie, tmp_path, repair=repair)
    assert np.array_equal(luma(tmp_path / "out.mkv")[115], source[115]), "what is left as it is has no masks"


def test_what_cannot_be_is_refused_before_any_work(tmp_path, movie):
    for masks, told in (
        (paint(tmp_path / "far", 130), r"0130\.png is for frame 130, and the film has 130"),
        (tmp_path / "gone", r"repair: '.*gone' is not there"),
    ):
        with pytest.raises(InputError, match=told):
            job(movie, tmp_path, repair=masks)
    (tmp_path / "kept.mkv").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"output exists: .*kept\.mkv"):
        job(movie, tmp_path, masks=tmp_path / "kept.mkv", write=replace(LOSSLESS, overwrite=False))
    assert not (tmp_path / "job").exists() and (tmp_path / "kept.mkv").read_bytes() == b"mine"
    reference = tmp_path / "a.png"
    write_reference(reference, (0, 0, 250))
    color = {"colorize": ColorizeOptions(device="cpu", model="fast", lines=64)}
    color["references"] = load_references(reference, lines=64)
    job(movie, tmp_path, restore=None, options={"plan": True}, **color)
    shots = tmp_path / "job" / "shots.toml"
    shots.write_text(shots.read_text().replace("number = 2\n", 'number = 2\nprotect = "x"\n'))
    with pytest.raises(InputError, match=r"shot 2 names protect, but the film is not restored"):
        job(movie, tmp_path, restore=None, **color)


def test_a_video_of_masks(tmp_path, movie):
    """The one that a run has written, too; another one is another for all chunks."""
    more = {"end": 64, "masks": tmp_path / "found.mkv"}
    with pytest.raises(InputError, match=r"found\.mkv has 64 frames and the film 130"):
        job(movie, tmp_path, **more)
        job(movie, tmp_path, repair=tmp_path / "found.mkv", end=64)
    mask = write_film(tmp_path / "mask.mkv", (112, 18), looks={0: "black"}, sound=False)
    before = stamps(tmp_path / "job")
    job(movie, tmp_path, protect=mask, end=64)
    after = stamps(tmp_path / "job")
    assert all(after[name] != before[name] for name in FILES[:2])
    job(movie, tmp_path, "both.mkv", protect=mask, repair=mask, end=64)
    remaster_film(movie, tmp_path / "direct.mkv", restore=RESTORE, write=LOSSLESS, protect=mask, repair=mask, end=64)
    assert heard_and_seen(tmp_path / "both.mkv") == heard_and_seen(tmp_path / "direct.mkv")


@pytest.mark.release
def test_workers_have_the_masks(tmp_path, movie):
    more = {"repair": paint(tmp_path / "repair", 20, 60), "end": 64}
    job(movie, tmp_path, masks=tmp_path / "masks.mkv", options={"workers": 2}, **more)
    remaster_film(movie, tmp_path / "direct.mkv", restore=RESTORE, write=LOSSLESS, masks=tmp_path / "m.mkv", **more)
    for one, other in (("out.mkv", "direct.mkv"), ("masks.mkv", "m.mkv")):
        assert heard_and_seen(tmp_path / one) == heard_and_seen(tmp_path / other)


def test_masks_are_sent_with_what_says_where_they_act(tmp_path):
    folder = paint(tmp_path / "hair", 3, 5)
    (folder / "masks.toml").write_text('[[mask]]\npicture = "0003.png"\nframes = [0, 9]\n')
    (folder / "notes.txt").write_text("mine")
    names = [file.relative_to(tmp_path).as_posix() for file in Masks(folder, "repair").files]
    assert names == ["hair/0003.png", "hair/0005.png", "hair/masks.toml"]
    assert b"".join(cluster._read(folder / "0005.png")) == (folder / "0005.png").read_bytes()
    assert [file.name for file in Masks(folder / "0005.png", "repair").files] == ["0005.png", "masks.toml"]
