"""Masks in files: videos, pictures and folders of them, and which frames each acts on."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vs_remaster.errors import InputError
from vs_remaster.film import masks as masks_module
from vs_remaster.film.masks import MANIFEST, Masks, read_mask

SIZE = 48, 64


def square(value=255, dtype=np.uint8, at=10) -> np.ndarray:
    mask = np.zeros(SIZE, dtype)
    mask[at : at + 8, at : at + 8] = value
    return mask


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(path.suffix, pixels)[1].tofile(path)
    return path


def write_film(path: Path, frames: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "gray"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray")))
        container.mux(stream.encode())
    return path


def with_alpha(color: int) -> np.ndarray:
    return np.dstack([np.full((*SIZE, 3), color, np.uint8), square()])


@pytest.mark.parametrize(
    "pixels",
    [
        square(), square(65535, np.uint16), np.dstack([square()] * 3), with_alpha(0), with_alpha(255),
        np.dstack([np.zeros((*SIZE, 2), np.uint8), np.full((*SIZE, 1), 200, np.uint8), square()]),
    ],
)  # fmt: skip
def test_gray_or_transparent_pictures_of_8_and_16_bits(tmp_path, pixels):
    made = read_mask(save(tmp_path / "mask.png", pixels), "repair")
    assert np.array_equal(made, square(1, np.float32))


def test_a_coloured_picture_is_no_mask(tmp_path):
    path = save(tmp_path / "photo.png", np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8))
    with pytest.raises(InputError, match=r"repair: '.*photo\.png' is a picture in colours: a mask is gray"):
        read_mask(path, "repair")


def test_what_is_no_picture_is_refused(tmp_path):
    path = tmp_path / "mask.png"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"protect: cannot read '.*mask\.png': give a gray picture of 8 or 16 bits"):
        read_mask(path, "protect")
    with pytest.raises(InputError, match=r"repair: '.*gone' is not there"):
        Masks(tmp_path / "gone", "repair")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"repair: '.*empty' holds no pictures"):
        Masks(tmp_path / "empty", "repair")


def test_numbers_in_names_are_frames_and_a_picture_without_one_acts_everywhere(tmp_path, caplog):
    save(tmp_path / "m" / "film_0003.png", square())
    save(tmp_path / "m" / "logo.png", square(at=30))
    masks = Masks(tmp_path / "m", "repair")
    assert masks.at(2, SIZE).sum() == 64 and masks.at(3, SIZE).sum() == 128 and masks.at(99, SIZE).sum() == 64
    assert Masks(tmp_path / "m" / "film_0003.png", "repair").at(4, SIZE) is None
    assert "repair: 'film_0003.png' acts on frame 3 only, the last number of its name" in caplog.text
    assert masks.at(3, (96, 128)).shape == (1, 96, 128)
    masks.check(4)
    with pytest.raises(InputError, match=r"film_0003\.png is for frame 3, and the film has 3, from 0 to 2"):
        masks.check(3)


def test_a_manifest_says_which_frames(tmp_path):
    save(tmp_path / "hair.png", square())
    toml = tmp_path / MANIFEST
    toml.write_text('[[mask]]\npicture = "hair.png"\nframes = [5, 7]\n')
    for path in (tmp_path, tmp_path / "hair.png"):
        masks = Masks(path, "repair")
        assert [masks.at(n, SIZE) is not None for n in range(4, 8)] == [False, True, True, False]
    with pytest.raises(InputError, match=r"hair\.png is for frame 6, and the film has 6"):
        Masks(tmp_path, "repair").check(6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[[mask]]\npicture = "hair.png"\nframes = [7, 5]\n',
            r"entry 1: frames has to be \[first, end\].* got \[7, 5\]",
        ),
        ('[[mask]]\npicture = "../hair.png"\nframes = [5, 7]\n', r"entry 1: it has to say picture"),
        ('[[mask]]\npicture = "other.png"\nframes = [5, 7]\n', r"names 'other\.png', which is not there"),
        ("[[masks]]\n", r"has to hold \[\[mask\]\] entries"),
        ("[[mask]\n", r"cannot read"),
    ],
)
def test_a_wrong_manifest_is_one_clear_error(tmp_path, text, told):
    save(tmp_path / "hair.png", square())
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=told):
        Masks(tmp_path, "repair")


def test_a_video_has_a_mask_for_each_frame_and_can_be_read_from_anywhere(tmp_path):
    frames = [square(at=n) for n in range(6)]
    path = write_film(tmp_path / "masks.mkv", frames)
    masks = Masks(path, "protect")
    for n in (4, 5, 1, 2):
        assert np.array_equal(masks.at(n, SIZE)[0].numpy(), square(1, np.float32, n))
    masks.check(6)
    with pytest.raises(InputError, match=r"masks\.mkv has 6 frames and the film 7"):
        masks.check(7)
    with pytest.raises(InputError, match=r"masks\.mkv ends before frame 6 of the film"):
        masks.at(6, SIZE)


def test_a_video_that_is_gone_back_in_a_little_is_not_decoded_again(tmp_path, monkeypatch):
    masks = Masks(write_film(tmp_path / "masks.mkv", [square(at=n) for n in range(30)]), "repair")
    masks.at(2, SIZE), masks.at(20, SIZE)
    monkeypatch.setattr(masks_module, "VideoReader", None)
    assert np.array_equal(masks.at(20, SIZE)[0].numpy(), square(1, np.float32, 20))
    assert np.array_equal(masks.at(4, SIZE)[0].numpy(), square(1, np.float32, 4))
    assert np.array_equal(masks.at(29, SIZE)[0].numpy(), square(1, np.float32, 29))
    masks.close()


def test_a_digest_is_of_what_acts_there(tmp_path):
    save(tmp_path / "m" / "film_0003.png", square())
    masks = Masks(tmp_path / "m", "repair")
    before = masks.digest(0, 3), masks.digest(0, 4)
    save(tmp_path / "m" / "film_0003.png", square(at=20))
    after = masks.digest(0, 3), masks.digest(0, 4)
    assert before[0] == after[0] == "" and before[1] != after[1]


def test_a_mask_that_is_white_all_over_is_told(tmp_path, caplog):
    masks = Masks(save(tmp_path / "white.png", np.full(SIZE, 255, np.uint8)), "repair")
    masks.at(0, SIZE), masks.at(1, SIZE)
    assert [r.getMessage() for r in caplog.records] == ["repair: the mask of frame 0 is white all over"]
