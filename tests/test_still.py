"""Pictures in every colour space, and large ones: right values, and no more memory than needed."""

from __future__ import annotations

import io
import logging
import struct
import subprocess
import sys
import zlib
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from vs_remaster.color.samples import MOST_PIXELS
from vs_remaster.errors import InputError
from vs_remaster.references.image_files import _FORMATS, pixels_digest, read_still
from vs_remaster.references.reference import load_references
from vs_remaster.video.folder import PictureFolder
from vs_remaster.video.reader import VideoReader

D50 = np.array([0.9642, 1.0, 0.8249])
SRGB = np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])  # to XYZ of D50
PROPHOTO = np.array([[0.7977, 0.1352, 0.0313], [0.2880, 0.7119, 0.0001], [0.0000, 0.0000, 0.8249]])


def profile(space: bytes, gamma: float, columns: np.ndarray | None = None) -> bytes:
    """An ICC profile of version 2 for R'G'B' or gray: a power, and to XYZ of D50 by a matrix."""

    def fixed(values) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78 + 3)
    tags = {b"desc": text, b"wtpt": fixed(D50), b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    if columns is None:
        tags[b"kTRC"] = curve
    else:
        for i, name in enumerate((b"r", b"g", b"b")):
            tags[name + b"XYZ"], tags[name + b"TRC"] = fixed(columns[:, i]), curve
    table, data, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", at + len(data), len(body))
        data += body
    head = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(data), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(D50)[8:]
    return head.ljust(128, b"\0") + table + data


def encoded(linear: np.ndarray) -> np.ndarray:
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def from_xyz(xyz: np.ndarray) -> np.ndarray:
    return encoded(xyz @ np.linalg.inv(SRGB).T)


def colours(height: int = 40, width: int = 60) -> np.ndarray:
    """Colours of moderate saturation: they exist in sRGB, too, when they are taken as ProPhoto."""
    corners = np.array([[[150, 110, 90], [90, 130, 100]], [[90, 100, 140], [60, 56, 50]]], np.uint8)
    return cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("kind", ["png", "tif", "jpg", "webp"])
def test_a_profile_is_followed(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(colours()).save(path, icc_profile=profile(b"RGB ", 1.8, PROPHOTO), quality=100, lossless=True)
    expected = from_xyz((colours() / 255) ** 1.8 @ PROPHOTO.T)
    assert np.abs(expected - colours() / 255).max() > 0.12  # another picture than without
    assert np.abs(read_still(path) - expected).max() < (0.04 if kind == "jpg" else 0.006)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_a_profile_is_followed_with_sixteen_bits(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    deep = (cv2.resize(colours(), (240, 160)).astype(np.uint16) * 257) + np.arange(240, dtype=np.uint16)[:, None] // 2
    held = profile(b"RGB ", 1.8, PROPHOTO)
    data = cv2.imencode(f".{kind}", deep[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1] if kind == "tif" else [])[1]
    path.write_bytes(
        png_with_profile(data.tobytes(), held) if kind == "png" else tiff_with_profile(data.tobytes(), held)
    )
    expected = from_xyz((deep / 65535) ** 1.8 @ PROPHOTO.T)
    made = read_still(path)
    assert np.abs(made - expected).max() < 0.006
    assert len(np.unique(made)) > 1000  # not those of 8 bits


def png_with_profile(png: bytes, held: bytes) -> bytes:
    body = b"iCCPtest\0\0" + zlib.compress(held)
    return png[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + png[33:]


def tiff_with_profile(tiff: bytes, held: bytes) -> bytes:
    """A profile added to a little-endian TIFF: its directory is written anew at the end."""
    (at,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, at)
    entries = [tiff[at + 2 + 12 * i : at + 14 + 12 * i] for i in range(count)]
    tiff += b"\0" * (len(tiff) % 2)
    entries.append(struct.pack("<HHII", 34675, 7, len(held), len(tiff)))
    tiff += held + b"\0" * (len(held) % 2)
    new = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:] + new


def test_gray_with_a_profile(tmp_path):
    gray = np.tile(np.arange(256, dtype=np.uint8), (20, 1))
    expected = encoded(gray / 255.0)
    for name, values in (("a.png", gray), ("b.tif", gray.astype(np.uint16) * 257)):
        Image.fromarray(values).save(tmp_path / name, icc_profile=profile(b"GRAY", 1.0))
        made = read_still(tmp_path / name)
        assert np.abs(made - expected[..., None]).max() < (0.006 if values.dtype == np.uint8 else 0.03)


def test_palette_and_alpha_with_a_profile(tmp_path):
    held = profile(b"RGB ", 1.8, PROPHOTO)
    stored = np.zeros((40, 60), np.uint8)
    stored[:, 30:] = 1
    stored[:10] = 2
    picture = Image.fromarray(stored).convert("P")
    picture.putpalette([150, 110, 90, 90, 100, 140, 255, 0, 255])
    picture.save(tmp_path / "p.png", transparency=2, icc_profile=held)
    picture.convert("RGB").save(tmp_path / "t.png", transparency=(255, 0, 255), icc_profile=held)
    clear = picture.convert("RGBA")
    clear.putalpha(Image.fromarray(np.where(stored == 2, 0, 255).astype(np.uint8)))
    clear.save(tmp_path / "a.tif", icc_profile=held)
    pair = from_xyz((np.array([[150, 110, 90], [90, 100, 140]]) / 255) ** 1.8 @ PROPHOTO.T)
    for name in ("p.png", "t.png", "a.tif"):
        made = read_still(tmp_path / name)
        assert made.shape == (40, 60, 3), name
        assert np.abs(made[:, :30] - pair[0]).max() < 0.006 and np.abs(made[:, 30:] - pair[1]).max() < 0.006


@pytest.mark.parametrize("kind", ["jpg", "tif"])
def test_cmyk_is_read_and_its_missing_profile_said(tmp_path, kind, caplog):
    inks = np.zeros((40, 60, 4), np.uint8)
    inks[:, :20] = 200, 30, 10, 40
    inks[:, 20:40] = 20, 180, 90, 0
    inks[:, 40:] = 0, 0, 0, 100
    Image.fromarray(inks, "CMYK").save(tmp_path / f"a.{kind}", quality=100)
    made = read_still(tmp_path / f"a.{kind}")
    expected = (1 - inks[..., :3] / 255) * (1 - inks[..., 3:] / 255)
    assert np.abs(made - expected)[:, [4, 30, 55]].max() < 0.03
    assert "CMYK without a colour profile" in caplog.text


def test_lab(tmp_path):
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:, :30] = 128, 20, 246  # L* 50.2, a* 20, b* -10
    stored[:, 30:] = 180, 240, 30
    Image.fromarray(stored, "LAB").save(tmp_path / "a.tif")
    lab = np.array([[128 / 2.55, 20, -10], [180 / 2.55, -16, 30]])
    y = (lab[:, 0] + 16) / 116
    curves = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], 1)
    expected = from_xyz(curves**3 * D50)
    made = read_still(tmp_path / "a.tif")
    assert np.abs(made[:, [4, 50]] - expected).max() < 0.01


def test_first_picture_of_an_animation(tmp_path):
    frames = [Image.fromarray(np.full((20, 30, 3), value, np.uint8)) for value in (200, 20)]
    for name in ("a.gif", "b.webp", "c.apng", "d.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        assert np.abs(read_still(tmp_path / name) * 255 - 200).max() < 1.01, name


@pytest.mark.parametrize("held", [b"no profile at all", profile(b"GRAY", 1.0)])
def test_a_profile_that_cannot_be_used_is_said(tmp_path, caplog, held):
    Image.fromarray(colours()).save(tmp_path / "a.png", icc_profile=held)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(read_still(tmp_path / "a.png"), colours().astype(np.float32) / np.float32(255))
    assert "its colour profile cannot be used" in caplog.text


def test_extensions_are_those_of_pillow():
    Image.init()
    for name, extensions in _FORMATS.items():
        theirs = {extension for extension, kind in Image.EXTENSION.items() if kind == name}
        assert theirs <= set(extensions), name


@pytest.mark.parametrize("name", ["a.png", "b.gif", "c.ppm"])
def test_a_picture_of_a_pixel_or_two_is_refused(tmp_path, name):
    Image.fromarray(np.full((2, 300, 3), 90, np.uint8)).save(tmp_path / name)
    with pytest.raises(InputError, match=rf"^reference .*{name}' shows 300x2 pixels, too few"):
        load_references(tmp_path)


def flat_png(width: int, height: int, depth: int = 8) -> bytes:
    """A PNG of nothing but zeros, made without holding it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    pack, row, out = zlib.compressobj(9), bytes(1 + width * 3 * depth // 8), []
    out = b"".join([*(pack.compress(row) for _ in range(height)), pack.flush()])
    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", out) + chunk(b"IEND", b"")


def header(kind: str, width: int, height: int) -> bytes:
    if kind == "png":
        head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        head = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
        return b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", 9) + b"IDAT" + bytes(40)
    if kind == "tif":  # of floats, which Pillow does not know
        tags = {256: width, 257: height, 258: 32, 259: 1, 262: 2, 273: 8, 277: 3, 278: height, 279: 12, 339: 3}
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    data = io.BytesIO()
    Image.new("RGB", (16, 16)).save(data, kind)
    if kind == "bmp":
        return data.getvalue()[:18] + struct.pack("<ii", width, height) + data.getvalue()[26:]
    place = data.getvalue().index(b"\xff\xc0") + 5
    return data.getvalue()[:place] + struct.pack(">HH", height, width) + data.getvalue()[place + 4 :]


@pytest.mark.parametrize("kind", ["png", "tif", "bmp", "jpeg"])
@pytest.mark.parametrize("size", [(20000, 10000), (32768, 32768), (65000, 60000)])
def test_monstrous_pictures_are_refused_by_their_header(tmp_path, kind, size):
    (tmp_path / f"a.{kind}").write_bytes(header(kind, *size))
    with pytest.raises(InputError, match=rf"^reference .*a\.{kind}' has .*more than {MOST_PIXELS / 1e6:.0f} million"):
        load_references(tmp_path)


_READ = """
import resource, sys
from pathlib import Path
from vs_remaster.video.folder import PictureFolder
from vs_remaster.references.reference import load_references
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    assert load_references(Path(path), lines=480)[0].rgb.shape == (3, 480, 480)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_large_pictures_cost_a_small_multiple_of_their_samples(tmp_path):
    side = 4000
    most = {"a.jpg": 1.5, "b.png": 2, "c.png": 2.5, "d.png": 4.5}  # times 8-bit R'G'B', the largest last
    paths = [tmp_path / name for name in most]
    Image.new("RGB", (side, side), (20, 40, 90)).save(paths[0])
    paths[1].write_bytes(flat_png(side, side))
    Image.new("RGBA", (side, side), (20, 40, 90, 255)).save(paths[2], compress_level=1)
    paths[3].write_bytes(flat_png(side, side, 16))
    made = subprocess.run([sys.executable, "-c", _READ, *paths], capture_output=True, text=True, check=True)
    for (name, times), peak in zip(most.items(), map(int, made.stdout.split()), strict=True):
        assert peak < times * 3 * side**2 + (64 << 20), name


@pytest.mark.parametrize("kind", ["png", "tif", "tags"])
def test_libraries_say_nothing_of_their_own(tmp_path, kind, capfd):
    """libpng and libtiff write to stderr past Python, Pillow warns: our error is to be the only line."""
    path = tmp_path / f"a.{'png' if kind == 'png' else 'tif'}"
    samples = np.random.default_rng(0).integers(0, 1 << 16, (48, 64, 3), np.uint16)
    if kind == "png":
        rows = b"".join(b"\x09" + row.tobytes() for row in samples)  # there is no filter 9
        head = struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0)
        chunks = (b"IHDR" + head, b"IDAT" + zlib.compress(rows), b"IEND")
        parts = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    else:
        Image.fromarray((samples >> 8).astype(np.uint8)).save(path, compression="tiff_lzw")
        data = bytearray(path.read_bytes())
        if kind == "tags":
            del data[len(data) - 40 :]
        else:
            data[200:1200] = bytes(1000)
        path.write_bytes(data)
    with pytest.raises(InputError, match="is damaged or not a picture"):
        read_still(path)
    assert capfd.readouterr().err == ""


def test_monstrous_frames_of_a_film_are_refused(tmp_path):
    (tmp_path / "0.png").write_bytes(flat_png(14000, 10000))
    with pytest.raises(InputError, match=r"0\.png .* 134 million pixels"):
        next(PictureFolder(tmp_path).pictures())


def test_a_video_whose_frames_grow_monstrous_is_refused(tmp_path):
    path, packets = tmp_path / "a.avi", []
    with av.open(path, "w") as container:
        stream = container.add_stream("mjpeg", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for i in range(3):
            packets += stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * i, np.uint8), "rgb24"))
        for packet in packets:
            container.mux(packet)
    data = path.read_bytes()
    size = struct.pack(">HH", 48, 64)
    assert data.count(b"\xff\xc0\x00\x11\x08" + size) == 3
    path.write_bytes(
        data.replace(b"\xff\xc0\x00\x11\x08" + size, b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 60000, 60000))
    )
    with pytest.raises(InputError, match="no video frames that can be decoded"), VideoReader(path) as reader:
        list(reader)


# ---- one picture, whatever it comes from and whatever size it has


def wide(kind: str) -> np.ndarray:
    """A picture larger than what is shrunk in one strip, R'G'B' or R'G'B'A."""
    rgb = np.random.default_rng(3).integers(0, 256, (1300, 1777, 3), np.uint8)
    if kind == "rgb":
        return rgb
    alpha = np.full((1300, 1777, 1), 255, np.uint8)
    alpha[:40], alpha[:, 1700:] = 0, 0
    if kind == "holes":
        alpha[500:530, 900:950] = 0
    return np.concatenate((rgb, alpha), 2)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "turned.png", "deep.tif", "border.png", "holes.png"])
def test_a_file_is_shrunk_as_its_pixels_are(tmp_path, name):
    kind, path = name.partition(".")[0], tmp_path / name
    if kind == "deep":
        deep = np.random.default_rng(4).integers(0, 1 << 16, (1100, 1300, 3), np.uint16)
        path.write_bytes(cv2.imencode(".tif", deep)[1].tobytes())
    else:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6 if kind == "turned" else 1
        picture = Image.fromarray(wide(kind if kind in ("border", "holes") else "rgb"))
        picture.save(path, exif=exif, **({} if path.suffix == ".jpg" else {"compress_level": 1}))
    (full,) = load_references(path)
    known = None if full.known is None else full.known.numpy()
    assert (known is not None) == (kind in ("border", "holes"))
    assert full.digest == pixels_digest(full.rgb.permute(1, 2, 0).numpy(), known)
    for lines in (433, 325, 650):
        (small,), shrunk = load_references(path, lines=lines), full.shrunk(lines)
        assert small.digest == shrunk.digest == shrunk.shrunk(100).digest == full.digest
        assert known is None or torch.equal(small.known, shrunk.known)
        assert torch.equal(small.rgb, shrunk.rgb) and min(small.rgb.shape[1:]) == lines
    assert replace(full, rgb=full.rgb.flip(2)).digest != full.digest
