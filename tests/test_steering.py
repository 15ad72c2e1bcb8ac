"""A person's way through a film: see what was repaired, forbid some of it, ask for more, and run again."""

from __future__ import annotations

import logging
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.support.films import frames_of
from vs_remaster.cli import main
from vs_remaster.errors import InputError
from vs_remaster.film.remastering import remaster_film
from vs_remaster.film.request import FilmRequest
from vs_remaster.output.options import OutputOptions
from vs_remaster.remaster.options import RestoreOptions

SIZE = 64, 96
LENGTH = 60
HAIR = slice(30, 33), slice(20, 70)
SPECK = slice(10, 18), slice(60, 68)
RESTORE = RestoreOptions(model="fast", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """A gray film that moves, with a hair in the gate from frame 0 to 29, and a white speck in frame 40."""
    rng = np.random.default_rng(4)
    base = cv2.GaussianBlur(rng.normal(0, 1, (300, 400)), (0, 0), 4)
    base = np.clip(128 + 50 * base / base.std(), 20, 235)
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "gray"
        for n in range(LENGTH):
            frame = base[2 * n : 2 * n + SIZE[0], 3 * n : 3 * n + SIZE[1]] + rng.normal(0, 2, SIZE)
            if n < 30:
                frame[HAIR] *= 0.3
            if n == 40:
                frame[SPECK] = 250
            picture = av.VideoFrame.from_ndarray(frame.clip(0, 255).astype(np.uint8), format="gray")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def made(film: Path, output: Path, **how) -> list[np.ndarray]:
    how = {"restore": RESTORE, "scenes": "none", **how}
    remaster_film(source=film, output=output, write=OutputOptions(codec="ffv1", overwrite=True), **how)
    return [np.asarray(frame.planes[0]) for frame in frames_of(output)]


def paint(folder: Path, frames, place) -> Path:
    folder.mkdir(exist_ok=True)
    mask = np.zeros(SIZE, np.uint8)
    mask[place] = 255
    for n in frames:
        cv2.imencode(".png", mask)[1].tofile(folder / f"painted_{n:04}.png")
    return folder


@pytest.fixture(scope="module")
def masks(film) -> dict[str, Path]:
    """What a person painted."""
    folder = film.parent
    return {"repair": paint(folder / "repair", range(30), HAIR), "protect": paint(folder / "protect", [40], SPECK)}


@pytest.fixture(scope="module")
def steered(film, masks) -> list[np.ndarray]:
    """The film made with it, and `masks.mkv` beside it."""
    return made(film, film.parent / "steered.mkv", masks=film.parent / "masks.mkv", **masks)


def test_what_was_painted_is_done_and_nothing_else(film, steered, tmp_path):
    source = [np.asarray(frame.planes[0]) for frame in frames_of(film)]
    plain = made(film, tmp_path / "plain.mkv", masks=tmp_path / "masks")
    shown = [cv2.imread(str(tmp_path / "masks" / f"frame_{n:06}.png"), cv2.IMREAD_UNCHANGED) for n in range(LENGTH)]
    assert shown[40].shape == SIZE and shown[40].dtype == np.uint8
    assert shown[40][12:16, 62:66].min() > 128 > shown[50].max()

    assert np.array_equal(steered[40][SPECK], source[40][SPECK])
    inner = slice(31, 32), slice(22, 68)
    near = slice(26, 37), slice(22, 68)
    assert abs(steered[15][inner].mean() - steered[15][near].mean()) < 12
    assert abs(source[15][inner].mean() - source[15][near].mean()) > 40
    reach = 20 + 4 + 1
    assert all(np.array_equal(plain[n], steered[n]) for n in range(29 + reach + 1, LENGTH) if n != 40)
    masks = [np.asarray(frame.planes[0]) for frame in frames_of(film.parent / "masks.mkv")]
    assert len(masks) == LENGTH and masks[15][HAIR].min() == 255 and masks[40][SPECK].max() == 0


def test_strength_0_does_nothing_but_repair(film, tmp_path):
    source = [np.asarray(frame.planes[0]) for frame in frames_of(film)]
    repair = paint(tmp_path / "repair", [5, 40], HAIR)
    out = made(film, tmp_path / "out.mkv", restore=RestoreOptions(device="cpu", strength=0), repair=repair)
    for n in range(LENGTH):
        changed = np.argwhere(source[n] != out[n])
        assert len(changed) == 0 or (n in (5, 40) and changed[:, 0].min() >= 30 and changed[:, 0].max() < 33)
    assert (source[5] != out[5]).sum() > 100


def test_a_part_has_the_frames_of_the_whole(film, masks, steered, tmp_path):
    part = made(film, tmp_path / "part.mkv", start=26, end=44, **masks)
    assert all(np.array_equal(a, b) for a, b in zip(steered[26:44], part, strict=True))


def test_the_command_line_does_the_same(film, masks, steered, tmp_path):
    output = tmp_path / "out.mkv"
    told = f"--end 8 --codec ffv1 --scenes none --model fast --device cpu --precision fp32 --repair {masks['repair']}"
    assert main(["run", str(film), "-o", str(output), *told.split(), "--masks", str(tmp_path / "m.mkv")]) in (0, None)
    assert all(np.array_equal(a, np.asarray(b.planes[0])) for a, b in zip(steered[:8], frames_of(output), strict=True))
    assert len(frames_of(tmp_path / "m.mkv")) == 8


def test_both_white_at_one_place_is_told_once(film, tmp_path, caplog):
    masks = paint(tmp_path / "masks", range(8), HAIR)
    with caplog.at_level(logging.WARNING):
        made(film, tmp_path / "out.mkv", repair=masks, protect=masks, end=8)
    told = [r.getMessage() for r in caplog.records if "white at one place" in r.getMessage()]
    assert told == ["frame 0: repair and protect are both white at one place: protect wins"]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"restore": None, "repair": Path("x")}, "masks are of what is repaired, and restoring is off"),
        ({"masks": Path("masks.avi")}, r"masks are written as \.mkv or, without an ending, as a folder"),
        ({"repair": Path("nowhere")}, "repair: 'nowhere' is not there"),
    ],
)
def test_what_cannot_be_is_refused(film, tmp_path, how, told):
    with pytest.raises(InputError, match=told):
        remaster_film(FilmRequest(**{"source": film, "output": tmp_path / "out.mkv", "restore": RESTORE, **how}))
    assert not (tmp_path / "out.mkv").exists()


def test_masks_take_no_place_that_is_taken(film, tmp_path):
    taken = tmp_path / "masks"
    taken.mkdir()
    (taken / "letter.txt").write_text("mine")
    for overwrite in (False, True):
        request = FilmRequest(
            source=film, output=tmp_path / "o.mkv", restore=RESTORE, masks=taken,
            write=OutputOptions(codec="ffv1", overwrite=overwrite),
        )  # fmt: skip
        with pytest.raises(InputError, match=r"masks (exists: --overwrite|holds 'letter\.txt')"):
            remaster_film(request)
    with pytest.raises(InputError, match="is the film itself: write masks elsewhere"):
        remaster_film(FilmRequest(source=film, output=tmp_path / "o.mkv", restore=RESTORE, masks=tmp_path / "o.mkv"))
    assert (taken / "letter.txt").read_text() == "mine"
