"""Reference pictures in every format, way up, depth and name."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from vs_remaster.errors import InputError
from vs_remaster.references.reference import Reference, frame_number, load_references
from vs_remaster.references.stamping import stamp


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    """A smooth colour picture `[H, W, 3]` uint8, RGB, different in all four corners."""
    corners = np.array([[[250, 30, 20], [20, 200, 40]], [[10, 40, 240], [240, 230, 30]]], np.uint8)
    return cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)


def as_array(reference: Reference) -> np.ndarray:
    return reference.rgb.permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("a.png", 0), ("b.PNG", 0), ("c.jpg", 8), ("d.JPG", 8), ("e.jpeg", 8), ("f.tif", 0), ("g.TIFF", 0),
        ("h.webp", 40), ("i.bmp", 0), ("j.Bmp", 0), ("k.jfif", 8), ("l.avif", 40), ("m.jp2", 40), ("n.tga", 0),
        ("o.ppm", 0), ("p.qoi", 0), ("q.sgi", 0), ("r.dib", 0), ("s.mpo", 8), ("t.apng", 0),
    ],
)  # fmt: skip
def test_every_format_gives_the_colours_that_were_written(tmp_path, name, tolerance):
    Image.fromarray(picture()).save(tmp_path / name, quality=95)
    (reference,) = load_references(tmp_path)
    assert reference.name == name and reference.frame is None
    assert reference.rgb.shape == (3, 40, 60) and reference.rgb.dtype == torch.float32
    assert reference.rgb.is_contiguous()
    difference = np.abs(as_array(reference) * 255 - picture())
    assert difference.max() <= tolerance + 1e-4 and difference.mean() <= 2


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_are_kept(tmp_path, kind):
    values = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / f"deep.{kind}"), values)
    rgb = as_array(load_references(tmp_path)[0])
    assert np.array_equal(np.round(rgb * 65535).astype(np.uint16), values[..., ::-1])


def test_float_tiff_is_clipped(tmp_path):
    values = np.linspace(-0.5, 1.5, 20 * 25 * 3, dtype=np.float32).reshape(20, 25, 3)
    cv2.imwrite(str(tmp_path / "f.tif"), values)
    assert np.array_equal(as_array(load_references(tmp_path)[0]), values[..., ::-1].clip(0, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp"])
def test_exif_orientation_is_applied_once(tmp_path, kind, orientation):
    undo = [
        None, None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_270,
    ][orientation]  # fmt: skip
    upright = Image.fromarray(picture())
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"turned.{kind}", exif=exif, quality=95)
    rgb = as_array(load_references(tmp_path)[0])
    assert rgb.shape == (40, 60, 3)
    # a wrong turn moves the corners' colours by more than 0.5
    assert np.abs(rgb * 255 - picture()).mean() < 3


def test_orientation_of_a_picture_with_alpha(tmp_path):
    stored = np.dstack((picture(), np.full((40, 60), 255, np.uint8)))
    stored[:, :20, 3] = 0
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    (reference,) = load_references(tmp_path)
    made, known = as_array(reference) * 255 - np.rot90(picture(), -1), np.asarray(reference.known)
    assert np.abs(made)[known == 1].max() < 1e-3 and np.array_equal(known, np.rot90(stored[..., 3], -1) / 255)


@pytest.mark.parametrize("kind", ["png", "tif", "webp"])
def test_what_is_transparent_takes_the_nearest_colour_and_is_not_known(tmp_path, kind):
    stored = np.dstack((picture(), np.zeros((40, 60), np.uint8)))
    stored[5:35, 10:50, 3] = 255
    stored[20:24, 30:34, 3] = 0
    stored[stored[..., 3] == 0, :3] = (255, 0, 255)  # what lies under alpha 0 must not be seen
    Image.fromarray(stored).save(tmp_path / f"a.{kind}", lossless=True)
    (reference,) = load_references(tmp_path)
    rgb, known = as_array(reference) * 255, np.asarray(reference.known)
    assert rgb.shape == (40, 60, 3) and np.array_equal(known, stored[..., 3] / 255)
    assert np.abs(rgb - picture())[known == 1].max() < 1e-3
    hole = np.abs(rgb - picture())[20:24, 30:34]
    assert 0 < hole.max() < 30
    assert np.abs(rgb[:5, 10:50] - rgb[5, 10:50]).max() < 1e-3


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_half_transparent_colours_are_not_mixed_with_black(tmp_path, kind):
    Image.fromarray(np.dstack((picture(), np.full((40, 60), 150, np.uint8)))).save(tmp_path / f"a.{kind}")
    assert np.abs(as_array(load_references(tmp_path)[0]) * 255 - picture()).max() < 2


def test_fully_transparent_picture_is_refused(tmp_path):
    Image.fromarray(np.zeros((20, 20, 4), np.uint8)).save(tmp_path / "clear.png")
    with pytest.raises(InputError, match=r"clear\.png' is fully transparent"):
        load_references(tmp_path)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "I;16"])
def test_gray_and_palette_pictures_are_accepted_and_gray_is_said(tmp_path, caplog, mode):
    gray = Image.fromarray(picture()[..., 1])
    stored = Image.fromarray(picture()[..., 1].astype(np.uint16) * 257) if mode == "I;16" else gray.convert(mode)
    stored.save(tmp_path / "gray.png")
    with caplog.at_level(logging.WARNING):
        rgb = as_array(load_references(tmp_path)[0])
    assert "gray.png" in caplog.text and "gray all over" in caplog.text
    expected = np.asarray(gray.convert("1")) * 255 if mode == "1" else picture()[..., 1]
    assert np.abs(rgb * 255 - expected[..., None]).max() < 1e-3
    caplog.clear()
    Image.fromarray(picture()).quantize(32).save(tmp_path / "gray.png")
    assert np.abs(as_array(load_references(tmp_path)[0]) * 255 - picture()).mean() < 15
    assert not caplog.text


@pytest.mark.parametrize(
    "name", ["with space.png", 'it\'s "quoted".png', "Grüße 東京 🎞.png", "%d%s.png", "-o.png", "a'b;c&d.png"]
)
def test_any_name_works(tmp_path, name):
    folder = tmp_path / "Рефе ренс"
    folder.mkdir()
    (folder / name).write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    for given in (folder, folder / name, str(folder), [folder / name]):
        assert [r.name for r in load_references(given)] == [name]


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("0000874_out.png", 874), ("frame12.png", 12), ("shot2_frame_0007.jpg", 7), ("12.png", 12), ("cover.png", None),
        ("mp4.png", 4), ("a.7.b.jpeg", 7), ("ref٣.png", None), ("000.png", 0),
    ],
)  # fmt: skip
def test_frame_number_is_the_last_group_of_digits(name, frame):
    assert frame_number(name) == frame


def test_order_is_by_frame_number_then_natural(tmp_path):
    names = ["b.png", "f10.png", "f9.png", "A.png", "x_0100.png", "z 2 y1.png", "0000.png"]
    data = cv2.imencode(".png", picture())[1].tobytes()
    for name in names:
        (tmp_path / name).write_bytes(data)
    expected = ["0000.png", "z 2 y1.png", "f9.png", "f10.png", "x_0100.png", "A.png", "b.png"]
    assert [r.name for r in load_references(tmp_path)] == expected
    assert [r.frame for r in load_references(tmp_path)] == [0, 1, 9, 10, 100, None, None]
    given = [tmp_path / name for name in names]
    assert [r.name for r in load_references(given)] == expected


def test_other_files_hidden_files_and_subfolders_are_left_out(tmp_path):
    data = cv2.imencode(".png", picture())[1].tobytes()
    (tmp_path / "sub").mkdir()
    (tmp_path / "folder.png").mkdir()
    for name in ["ref.png", "._ref.png", "notes.txt", "sub/other.png"]:
        (tmp_path / name).write_bytes(data)
    assert [r.name for r in load_references(tmp_path)] == ["ref.png"]
    assert [r.name for r in load_references([tmp_path, tmp_path / "sub"])] == ["other.png", "ref.png"]


@pytest.mark.parametrize(("size", "lines", "expected"), [
    ((40, 60), None, (40, 60)), ((40, 60), 20, (20, 30)), ((60, 40), 20, (30, 20)), ((40, 60), 99, (40, 60)),
    ((20, 900), 16, (16, 720)),
])  # fmt: skip
def test_large_pictures_are_shrunk_on_request(tmp_path, size, lines, expected):
    Image.fromarray(picture(*size)).save(tmp_path / "a.png")
    rgb = load_references(tmp_path, lines=lines)[0].rgb
    assert rgb.shape[1:] == expected
    mean = torch.from_numpy(picture(*size)).float().mean((0, 1)) / 255
    assert (rgb.mean((1, 2)) - mean).abs().max() < 0.01


def test_missing_and_empty_places_are_named(tmp_path):
    with pytest.raises(InputError, match="nowhere' does not exist"):
        load_references(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(InputError, match=r"no pictures in reference folder .*: put png, jpg"):
        load_references(tmp_path)
    with pytest.raises(InputError, match="no reference pictures were given"):
        load_references([])
    with pytest.raises(InputError, match="lines must be at least 1, got 0"):
        load_references(tmp_path, lines=0)


def test_unreadable_places_are_named(tmp_path, monkeypatch):
    (tmp_path / "locked.png").write_bytes(b"x")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.iterdir", refuse)  # file modes do not stop root, who may run this
        with pytest.raises(InputError, match=r"cannot read reference folder .*: Permission denied"):
            load_references(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("PIL.Image.open", refuse)
        with pytest.raises(InputError, match=r"cannot read reference .*locked\.png': Permission denied"):
            load_references(tmp_path)


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp", "bmp"])
@pytest.mark.parametrize("kept", [0, 0.02, 0.5, 0.95])
def test_one_truncated_picture_among_good_ones_is_named(tmp_path, capfd, kind, kept):
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    data = cv2.imencode(f".{kind}", noise)[1].tobytes()
    (tmp_path / f"good1.{kind}").write_bytes(data)
    (tmp_path / f"bad2.{kind}").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match=rf"bad2\.{kind}' is damaged or not a picture"):
        load_references(tmp_path)
    assert "[ERROR" not in capfd.readouterr().err


def test_text_with_a_pictures_name_is_refused(tmp_path):
    (tmp_path / "fake.png").write_text("this is no picture")
    with pytest.raises(InputError, match=r"fake\.png' is damaged or not a picture"):
        load_references(tmp_path / "fake.png")


def test_reference_checks_itself():
    with pytest.raises(InputError, match=r"'x': rgb must be float32 \[3, H, W\], got \(4, 4, 3\)"):
        Reference("x", torch.zeros(4, 4, 3))
    with pytest.raises(InputError, match="uint8"):
        Reference("x", torch.zeros(3, 4, 4, dtype=torch.uint8))


def test_files_of_a_folder_that_are_not_used_are_said(tmp_path, caplog):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    for name in ["film.mp4", "scan.heic", ".DS_Store", "Thumbs.db", "desktop.ini", "._a.png"]:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sheet").mkdir()
    with caplog.at_level(logging.WARNING):
        load_references(tmp_path)
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.endswith(
        "not used: film.mp4 (a film: run references align), scan.heic (no kind of picture that is read)"
    )
    caplog.clear()
    stamp(tmp_path)
    assert "scan.heic" in caplog.text
    caplog.clear()
    (tmp_path / "film.mp4").unlink()
    (tmp_path / "scan.heic").unlink()
    load_references(tmp_path)
    assert not caplog.text
