"""Reading and writing film: every sample, time and stream, with real codecs and files."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from tests.support.films import (
    NTSC,
    copy,
    film,
    frames_of,
    moving,
    packets,
    pictures,
    random_planes,
    same,
    stream_times,
)
from vs_remaster.color.matrices import convert_chroma, fit_gamut
from vs_remaster.color.samples import plane_sizes
from vs_remaster.errors import InputError, RemasterError, UnsupportedError
from vs_remaster.film.frames import decode_frame, encode_frame
from vs_remaster.output import writer as writing
from vs_remaster.output.formats import OutputFormat, check_output, output_format
from vs_remaster.output.pictures import PictureWriter
from vs_remaster.output.writer import VideoWriter, open_writer
from vs_remaster.video.containers import declared_size, is_joined
from vs_remaster.video.planes import Frame, frame_of, pixel_layout, planes_of
from vs_remaster.video.reader import VideoReader

# --- pixel formats ---

PLANAR = [
    "gray",
    "gray10le",
    "gray16le",
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv440p",
    "yuv410p",
    "yuv411p",
    "yuv420p9le",
]
PLANAR += ["yuv420p10le", "yuv422p12le", "yuv444p14le", "yuv420p16le", "gbrp", "gbrp10le", "gbrp16le", "yuvj422p"]


@pytest.mark.parametrize("size", [(65, 49), (64, 48), (1, 1), (7, 3)])
@pytest.mark.parametrize("pix_fmt", PLANAR)
def test_planes_come_out_as_they_went_in(pix_fmt, size):
    planes = random_planes(pix_fmt, *size)
    back = planes_of(frame_of(planes, pix_fmt))
    assert [p.dtype for p in back] == [p.dtype for p in planes]
    assert all(np.array_equal(p, q) for p, q in zip(planes, back, strict=True))


# planar format, its pieces in other packings that swscale can make without loss from it
PACKINGS = {
    "yuv420p": ["nv12", "nv21"],
    "yuv422p": ["nv16", "yvyu422"],
    "yuv444p": ["nv24", "nv42", "vuyx", "vuya", "ayuv", "vyu444"],
    "yuv420p10le": ["yuv420p10be"],
    "yuv422p10le": ["p210le", "p210be", "y210le", "nv20le"],
    "yuv444p10le": ["p410le", "xv30le", "v30xle", "yuv444p10msble"],
    "yuv420p12le": ["p012le"],
    "yuv422p12le": ["p212le", "y212le"],
    "yuv444p12le": ["p412le", "xv36le"],
    "yuv422p16le": ["p216le", "y216le"],
    "yuv444p16le": ["p416le", "ayuv64le"],
    "gray": ["ya8"],
    "gray10le": ["gray10be"],
    "gray16le": ["gray16be", "ya16be"],
    "gbrp": ["rgb24", "bgr24", "rgba", "abgr", "0rgb", "bgr0", "gbrap"],
    "gbrp10le": ["x2rgb10le", "x2bgr10le", "gbrp10be"],
    "gbrp16le": ["rgb48be", "rgb48le", "bgr48le", "rgba64be", "gbrp16be"],
}


@pytest.mark.parametrize(("planar", "packed"), [(k, v) for k, names in PACKINGS.items() for v in names])
def test_packed_formats_are_taken_apart_without_loss(planar, packed):
    planes = random_planes(planar, 64, 48)
    frame = frame_of(planes, planar).reformat(format=packed)
    assert frame.format.name == packed
    back = planes_of(frame)
    assert [p.dtype for p in back] == [p.dtype for p in planes]
    assert all(np.array_equal(p, q) for p, q in zip(planes, back, strict=True))


@pytest.mark.parametrize("size", [(65, 49), (64, 48)])
def test_semiplanar_16_bit_and_packed_yuv_made_by_hand(size):
    width, height = size
    luma, blue, red = random_planes("yuv420p10le", width, height)
    frame = av.VideoFrame(width, height, "p010le")
    rows = np.asarray(memoryview(frame.planes[0])).view("<u2").reshape(height, -1)
    rows[:, :width] = luma << 6
    pairs = np.asarray(memoryview(frame.planes[1])).view("<u2").reshape(blue.shape[0], -1)
    pairs[:, 0 : 2 * blue.shape[1] : 2], pairs[:, 1 : 2 * blue.shape[1] : 2] = blue << 6, red << 6
    assert all(np.array_equal(p, q) for p, q in zip(planes_of(frame), (luma, blue, red), strict=True))
    for name, order in (("yuyv422", "YUYV"), ("uyvy422", "UYVY"), ("uyyvyy411", "UYYVYY")):
        planes = random_planes("yuv411p" if len(order) == 6 else "yuv422p", width, height)
        frame = av.VideoFrame(width, height, name)
        rows = np.asarray(memoryview(frame.planes[0])).reshape(height, -1)
        span = order.count("Y")
        for column in range(width):
            at = column // span * len(order)
            ys = [i for i, s in enumerate(order) if s == "Y"]
            if at + ys[column % span] < rows.shape[1]:
                rows[:, at + ys[column % span]] = planes[0][:, column]
            rows[:, at + order.index("U")] = planes[1][:, column // span]
            rows[:, at + order.index("V")] = planes[2][:, column // span]
        assert all(np.array_equal(p, q) for p, q in zip(planes_of(frame), planes, strict=True)), name


def test_formats_below_8_bits_and_of_floats_become_8_and_16():
    assert pixel_layout("monow") == pixel_layout("monob")
    assert (pixel_layout("monow").bits, pixel_layout("monow").converted) == (8, True)
    assert (pixel_layout("grayf32le").bits, pixel_layout("gbrpf32le").kind) == (16, "rgb")
    with pytest.raises(UnsupportedError, match="unknown pixel format 'yuv999p'"):
        pixel_layout("yuv999p")


def test_every_pixel_format_of_ffmpeg_gives_planes_or_says_why_not():
    for name in av.video.format.names:
        try:
            frame = av.VideoFrame(33, 17, name)
            layout = pixel_layout(name)
        except (ValueError, OSError, RemasterError):
            continue  # formats of graphics cards have no samples
        try:
            planes = planes_of(frame)
        except UnsupportedError as error:
            assert name in str(error)
            continue
        assert [p.shape for p in planes] == plane_sizes(layout.kind, 33, 17, layout.subsampling), name


# --- reading ---


@pytest.mark.parametrize(
    "pix_fmt", ["gray", "gray10le", "gray16le", "yuv420p", "yuv422p10le", "yuv444p16le", "yuv411p"]
)
@pytest.mark.parametrize("size", [(64, 48), (65, 49)])
def test_lossless_film_is_read_exactly(tmp_path, pix_fmt, size):
    path = tmp_path / "film.mkv"
    film(path, 5, pix_fmt, size, "ffv1")
    frames = frames_of(path)
    assert [f.index for f in frames] == list(range(5))
    for frame in frames:
        for got, put in zip(frame.planes, moving(pix_fmt, *size, frame.index), strict=True):
            assert np.array_equal(got, put)


def test_lossless_rgb_film_is_read_as_red_green_blue(tmp_path):
    film(tmp_path / "film.mkv", 2, "gbrp10le", codec="ffv1")
    with VideoReader(tmp_path / "film.mkv") as reader:
        assert (reader.info.kind, reader.info.bits, reader.info.full_range) == ("rgb", 10, True)
        assert all(
            np.array_equal(p, q) for p, q in zip(next(iter(reader)).planes, moving("gbrp10le", 64, 48, 0), strict=True)
        )


def test_what_is_known_of_a_film(tmp_path):
    path = tmp_path / "film.mp4"
    film(
        path,
        12,
        sample_aspect_ratio=Fraction(16, 15),
        colorspace=6,
        color_primaries=5,
        color_trc=6,
        color_range=1,
        sound=True,
    )
    with VideoReader(path) as reader:
        info = reader.info
    assert (info.width, info.height, info.sar, info.fps) == (64, 48, Fraction(16, 15), NTSC)
    assert (info.frames, info.kind, info.bits, info.subsampling) == (12, "yuv", 8, (1, 1))
    assert (info.matrix, info.full_range, info.has_audio, info.interlaced) == ("bt601", False, True, False)
    assert (info.tags.primaries, info.tags.transfer, info.tags.matrix, info.tags.range) == (5, 6, 6, 1)


@pytest.mark.parametrize(
    ("height", "context", "matrix", "full"),
    [
        (48, {}, "bt601", False),
        (578, {}, "bt709", False),
        (48, {"colorspace": 1, "color_range": 2}, "bt709", True),
        (48, {"colorspace": 9, "color_range": 1}, "bt2020", False),
        (48, {"colorspace": 4}, "fcc", False),
        (48, {"colorspace": 7}, "smpte240m", False),
        (48, {"colorspace": 8}, "ycgco", False),
        (48, {"colorspace": 10}, "bt2020cl", False),
        (48, {"colorspace": 12, "color_primaries": 8}, "derived-8", False),
    ],
)
def test_matrix_and_range(tmp_path, caplog, height, context, matrix, full):
    film(tmp_path / "film.mkv", 1, size=(64, height), **context)
    with VideoReader(tmp_path / "film.mkv") as reader:
        assert (reader.info.matrix, reader.info.full_range) == (matrix, full)
    assert "is tagged" not in caplog.text


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (11, "SMPTE 2085"),
        (12, "chromaticity-derived"),
        (13, "chromaticity-derived constant luminance"),
        (14, "ICtCp"),
        (15, "matrix 15"),
    ],
)
def test_unknown_matrices_are_warned_about(tmp_path, caplog, tag, name):
    film(tmp_path / "film.mkv", 1, codec="ffv1", colorspace=tag)
    with VideoReader(tmp_path / "film.mkv") as reader:
        assert (reader.info.tags.matrix, reader.info.matrix) == (tag, "bt709")
    assert f"film.mkv is tagged {name}, which is taken for bt709" in caplog.text


def test_gray_of_hevc_is_limited_and_gray_of_ffv1_full(tmp_path):
    film(tmp_path / "a.mkv", 2, "gray", codec="libx265", options={"x265-params": "log-level=none"})
    film(tmp_path / "b.mkv", 2, "gray", codec="ffv1")
    ranges = []
    for name in ("a.mkv", "b.mkv"):
        with VideoReader(tmp_path / name) as reader:
            assert reader.info.kind == "gray"
            ranges.append(reader.info.full_range)
    assert ranges == [False, True]


def test_times_of_a_variable_rate_film(tmp_path):
    times = [0, 1001, 2002, 5005, 5205, 9009, 24024]
    film(tmp_path / "film.mp4", times=times, time_base=Fraction(1, 24000))
    with VideoReader(tmp_path / "film.mp4") as reader:
        frames = list(reader)
        assert [f.pts * reader.info.time_base for f in frames] == [Fraction(t, 24000) for t in times]


@pytest.mark.parametrize("name", ["film.avi", "film.ts", "film.mkv", "film.mp4"])
def test_every_container_gives_every_frame_in_order(tmp_path, name):
    film(tmp_path / name, 30, rate=Fraction(25), options={"bf": "3", "b-pyramid": "normal"})
    with VideoReader(tmp_path / name) as reader:
        frames = list(reader)
        seconds = [float((f.pts - frames[0].pts) * reader.info.time_base) for f in frames]
    assert seconds == pytest.approx([n / 25 for n in range(30)], abs=1e-3)
    for frame in frames:
        assert np.abs(frame.planes[0].astype(int) - moving("yuv420p", 64, 48, frame.index)[0]).mean() < 4
    assert not reader.truncated


def test_start_and_end_deliver_the_same_frames(tmp_path):
    film(tmp_path / "film.ts", 40)
    whole = frames_of(tmp_path / "film.ts")
    part = frames_of(tmp_path / "film.ts", start=11, end=27)
    assert [f.index for f in part] == list(range(11, 27))
    assert [f.pts for f in part] == [f.pts for f in whole[11:27]]
    assert same(part, whole[11:27])
    with VideoReader(tmp_path / "film.ts", start=11, end=27) as reader:
        assert reader.expected == 16
        assert not reader.truncated
    with pytest.raises(InputError, match="has 40 frames, none from frame 40 on"):
        frames_of(tmp_path / "film.ts", start=40)
    with pytest.raises(InputError, match="no frames from 5 to 5"):
        VideoReader(tmp_path / "film.ts", start=5, end=5)


@pytest.mark.parametrize(("name", "keep"), [("film.mkv", 0.6), ("film.avi", 0.6), ("film.ts", 0.6), ("film.mp4", 0.7)])
def test_truncated_film_gives_its_whole_frames(tmp_path, name, keep, caplog):
    path = tmp_path / name
    film(path, 60, options={"crf": "10"}, size=(160, 128))
    if name.endswith("mp4"):  # with the index in front, else nothing can be read
        with (
            av.open(str(path)) as old,
            av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"}) as new,
        ):
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    new.mux(packet)
        path = tmp_path / "fast.mp4"
    whole = frames_of(path)
    assert len(whole) == 60
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with VideoReader(path) as reader:
        frames = list(reader)
    assert reader.truncated
    assert 10 < len(frames) < 60
    if not name.endswith("ts"):  # a stream without an index does not tell how long its last frame should be
        assert same(frames, whole[: len(frames)])
    assert f"{len(frames)}" in caplog.text
    assert "truncated" in caplog.text


def test_whole_films_are_not_called_truncated(tmp_path, caplog):
    for name in ("a.mkv", "a.mp4", "a.mov", "a.avi", "a.ts", "a.webm"):
        codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
        film(tmp_path / name, 10, codec=codec, rate=Fraction(25))
        assert len(frames_of(tmp_path / name)) == 10
    assert caplog.text == ""


def test_damage_in_the_middle_is_reported_and_survived(tmp_path, caplog):
    path = tmp_path / "film.mkv"
    film(path, 60, options={"bf": "0", "g": "1"})
    with av.open(str(path)) as container:
        middle = [p for p in container.demux(video=0) if p.size][30]
        payload = bytes(middle)
    data = path.read_bytes()
    at = data.index(payload)
    path.write_bytes(data[:at] + bytes(len(payload)) + data[at + len(payload) :])
    with VideoReader(path) as reader:
        frames = list(reader)
        assert reader.truncated
        seconds = [float(f.pts * reader.info.time_base) for f in frames]
    assert seconds == pytest.approx([n / float(NTSC) for n in range(60) if n != 30], abs=1e-3)
    assert "film.mkv is damaged: 59 of about 60 whole frames could be read" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.txt", b"hello world\n" * 50, "not a video"),
        ("noise.mp4", bytes(range(256)) * 40, "not a video that can be read"),
        ("empty.mkv", b"", "not a video that can be read"),
    ],
)
def test_what_is_not_a_video(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        VideoReader(tmp_path / name)


def test_missing_soundonly_and_frameless_films(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        VideoReader(tmp_path / "none.mkv")
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        voice = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = 8000, 0, Fraction(1, 8000)
        container.mux(voice.encode(block))
        container.mux(voice.encode(None))
    with pytest.raises(InputError, match="no video stream"):
        VideoReader(tmp_path / "sound.mkv")
    with av.open(str(tmp_path / "none.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width = stream.height = 16
        container.start_encoding()
    with pytest.raises(InputError, match="holds no frames"):
        VideoReader(tmp_path / "none.mkv")
    film(tmp_path / "short.avi", 1)
    data = (tmp_path / "short.avi").read_bytes()
    (tmp_path / "short.avi").write_bytes(data[: data.index(b"movi") + 4])
    with pytest.raises(InputError, match="no video frames"):
        VideoReader(tmp_path / "short.avi")


def test_mp4_without_its_index_says_that_it_was_cut_off(tmp_path):
    film(tmp_path / "film.mp4", 30)
    data = (tmp_path / "film.mp4").read_bytes()
    (tmp_path / "film.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cut off before its index"):
        VideoReader(tmp_path / "film.mp4")


def test_a_decoder_that_cannot_be_opened_is_said(tmp_path):
    """The tables of HuffYUV behind AVI's BITMAPINFOHEADER (40 bytes) are damaged: PyAV then knows no codec any more."""
    film(tmp_path / "whole.avi", pix_fmt="yuv422p", codec="huffyuv")
    data = bytearray((tmp_path / "whole.avi").read_bytes())
    data[data.index(b"strf") + 8 + 40 + 8] = 0xFF
    (tmp_path / "film.avi").write_bytes(data)
    with pytest.raises(InputError, match="has no video frames that can be decoded"):
        VideoReader(tmp_path / "film.avi")


def test_text_cannot_be_read_as_ansi_art(tmp_path):
    (tmp_path / "notes.ans").write_text("hello\n" * 100)
    with pytest.raises(InputError, match="not a video"):
        VideoReader(tmp_path / "notes.ans")


def test_interlaced_film_is_announced(tmp_path, caplog):
    film(tmp_path / "film.mkv", 3, codec="mpeg2video", options={"flags": "+ildct+ilme", "top": "1"}, field_order=2)
    with VideoReader(tmp_path / "film.mkv") as reader:
        assert reader.info.interlaced
    assert "interlaced" in caplog.text


# --- folders of pictures ---


@pytest.mark.parametrize("suffix", [".png", ".tif", ".PNG"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_folder_of_pictures(tmp_path, suffix, kind, channels):
    rng = np.random.default_rng(0)
    shape = (9, 11) if channels == 1 else (9, 11, 3)
    samples = [rng.integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True) for _ in range(12)]
    pictures(tmp_path / "film", samples, f"p{{}}{suffix}")
    with VideoReader(tmp_path / "film") as reader:
        assert (reader.info.kind, reader.info.bits) == ("gray" if channels == 1 else "rgb", np.dtype(kind).itemsize * 8)
        assert (reader.info.frames, reader.info.full_range, reader.info.is_folder) == (12, True, True)
        for frame, sample in zip(reader, samples, strict=True):  # natural order: p10 after p9
            planes = [sample] if channels == 1 else [sample[..., c] for c in (2, 1, 0)]
            assert all(np.array_equal(p, q) for p, q in zip(frame.planes, planes, strict=True))


def test_folder_of_jpegs_is_full_range_bt601(tmp_path):
    pictures(tmp_path / "film", [np.full((900, 16, 3), 200, np.uint8)] * 2, "a {} 100%.jpg")
    with VideoReader(tmp_path / "film") as reader:
        assert (reader.info.kind, reader.info.matrix, reader.info.full_range, reader.info.siting) == (
            "yuv", "bt601", True, "center",
        )  # fmt: skip
        luma, chroma = decode_frame(next(iter(reader)), reader.info)
        assert luma.mean().item() == pytest.approx(200 / 255, abs=2 / 255)
        assert chroma.abs().max().item() < 2 / 255


def test_gray_pictures_among_coloured_ones(tmp_path):
    samples = [np.full((8, 8, 3), (1, 2, 3), np.uint8), np.full((8, 8), 9, np.uint8)]
    pictures(tmp_path / "film", samples)
    assert [int(p[0, 0]) for p in frames_of(tmp_path / "film")[1].planes] == [9, 9, 9]


def test_bad_folders(tmp_path):
    (tmp_path / "film").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        VideoReader(tmp_path / "film")
    pictures(tmp_path / "two", [np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8)])
    with pytest.raises(UnsupportedError, match=r"p1\.png: the size changes from 8x8 to 9x8"):
        frames_of(tmp_path / "two")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    pictures(tmp_path / "three", [noise] * 3)
    data = (tmp_path / "three/p1.png").read_bytes()
    for cut in (0, 30, len(data) // 2):
        (tmp_path / "three/p1.png").write_bytes(data[:cut])
        with pytest.raises(InputError, match=r"cannot read picture .*p1\.png"):
            frames_of(tmp_path / "three")


# --- writing: samples ---


@pytest.mark.parametrize("size", [(64, 48), (65, 49), (64, 49), (65, 48)])
@pytest.mark.parametrize(
    "pix_fmt", ["gray", "gray10le", "gray12le", "gray16le", "yuv420p", "yuv422p10le", "yuv444p16le", "yuv410p"]
)
def test_ffv1_is_lossless_and_gray_stays_gray(tmp_path, pix_fmt, size):
    film(tmp_path / "film.mkv", 4, pix_fmt, size, "ffv1")
    copy(tmp_path / "film.mkv", tmp_path / "out.mkv", "ffv1")
    with VideoReader(tmp_path / "out.mkv") as a, VideoReader(tmp_path / "film.mkv") as b:
        assert a.info.pix_fmt == pix_fmt
        assert (a.info.full_range, a.info.matrix) == (b.info.full_range, b.info.matrix)
    assert same(frames_of(tmp_path / "out.mkv"), frames_of(tmp_path / "film.mkv"))


@pytest.mark.parametrize("pix_fmt", ["bgr0", "gbrp10le", "gbrp16le"])
def test_ffv1_keeps_rgb(tmp_path, pix_fmt):
    film(
        tmp_path / "film.mkv", 2, "gbrp" if pix_fmt == "bgr0" else pix_fmt, codec="png" if pix_fmt == "bgr0" else "ffv1"
    ) if (pix_fmt != "bgr0") else pictures(
        tmp_path / "film.mkv", [np.dstack(random_planes("gbrp", 16, 16, n)) for n in range(2)]
    )
    with VideoReader(tmp_path / "film.mkv") as reader:
        out = output_format(reader.info, "ffv1", colored=False)
        assert out.pix_fmt == pix_fmt
        with VideoWriter(tmp_path / "out.mkv", reader, out, codec="ffv1") as writer:
            for frame in reader:
                writer.write(frame)
    assert same(frames_of(tmp_path / "out.mkv"), frames_of(tmp_path / "film.mkv"))


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "expected"),
    [
        ("yuv420p", "x264", "yuv420p"),
        ("yuv420p10le", "x264", "yuv420p10le"),
        ("yuv422p", "x264", "yuv422p"),
        ("yuv444p10le", "x264", "yuv444p10le"),
        ("yuv420p12le", "x264", "yuv420p10le"),
        ("gray", "x264", "yuvj420p"),
        ("gray16le", "x264", "yuv420p10le"),
        ("yuv410p", "x264", "yuv420p"),
        ("yuv440p", "x264", "yuv444p"),
        ("yuv411p", "x264", "yuv422p"),
        ("gbrp10le", "x264", "yuv420p10le"),
        ("yuv420p12le", "x265", "yuv420p12le"),
        ("gray10le", "x265", "yuv420p10le"),
        ("yuv420p", "prores", "yuv422p10le"),
        ("gray16le", "prores", "yuv422p10le"),
        ("yuv444p10le", "prores", "yuv422p10le"),
        ("yuv444p10le", "prores4444", "yuv444p12le"),
        ("gbrp10le", "prores4444", "yuv444p12le"),
        ("yuv444p16le", "ffv1", "yuv444p16le"),
    ],
)
def test_depth_and_subsampling_are_kept_as_well_as_the_codec_can(tmp_path, pix_fmt, codec, expected):
    film(tmp_path / "film.mkv", 3, pix_fmt, codec="ffv1", color_range=0 if "gray" in pix_fmt or "gbr" in pix_fmt else 1)
    target = tmp_path / ("out.mov" if codec.startswith("prores") else "out.mkv")
    copy(tmp_path / "film.mkv", target, codec, **({"crf": 4} if codec in ("x264", "x265") else {}))
    with VideoReader(tmp_path / "film.mkv") as a, VideoReader(target) as b:
        assert b.info.pix_fmt == expected
        for x, y in zip(a, b, strict=True):
            before, after = decode_frame(x, a.info), decode_frame(y, b.info)
            assert (before[0] - after[0]).abs().mean().item() < 0.01
            if a.info.kind == "yuv":
                assert (before[1] - after[1]).abs().mean().item() < 0.02


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_short_films_are_decoded_when_they_are_shown(tmp_path, count):
    """x265 says so of three frames only, and of fewer something else in every run."""
    film(tmp_path / "film.mkv", count, "gray")
    for codec in ("x264", "x265"):
        copy(tmp_path / "film.mkv", tmp_path / f"{codec}.mp4", codec)
        with av.open(str(tmp_path / f"{codec}.mp4")) as container:
            times = [(packet.pts, packet.dts) for packet in container.demux(video=0) if packet.size]
        assert len(times) == count and all(dts <= pts < 10_000 for pts, dts in times)
        assert times[0][1] > -10_000 and (count > 2 or all(dts == pts for pts, dts in times))


@pytest.mark.parametrize("codec", ["x264", "x265", "ffv1", "prores", "png"])
@pytest.mark.parametrize("size", [(65, 49), (64, 49), (65, 48)])
def test_odd_sizes_survive_every_codec(tmp_path, codec, size):
    film(tmp_path / "film.mkv", 3, "yuv420p", size, "ffv1", color_range=1, colorspace=1)
    target = tmp_path / {"png": "out", "prores": "out.mov"}.get(codec, "out.mkv")
    copy(tmp_path / "film.mkv", target, codec)
    frames = frames_of(target)
    assert len(frames) == 3
    assert frames[0].planes[0].shape == size[::-1]
    with VideoReader(target) as reader:
        luma = decode_frame(frames[2], reader.info)[0]
    with VideoReader(tmp_path / "film.mkv") as reader:
        assert (luma - decode_frame(list(reader)[2], reader.info)[0]).abs().mean().item() < 0.02


@pytest.mark.parametrize(("bits", "full"), [(8, True), (8, False), (10, False), (16, True), (16, False), (12, True)])
def test_luma_is_bit_exact_when_it_is_kept(tmp_path, bits, full):
    pix_fmt = "gray" if bits == 8 else f"gray{bits}le"
    film(tmp_path / "film.mkv", 2, pix_fmt, codec="ffv1", color_range=2 if full else 1)
    with VideoReader(tmp_path / "film.mkv") as reader:
        assert reader.info.full_range == full
        out = output_format(reader.info, "ffv1", colored=True)
        assert (out.kind, out.bits, out.subsampling, out.full_range) == ("yuv", bits, (0, 0), full)
        with VideoWriter(tmp_path / "out.mkv", reader, out, codec="ffv1") as writer:
            for frame in reader:
                luma, _ = decode_frame(frame, reader.info)
                chroma = torch.full((2, 48, 64), 0.1)
                kept = encode_frame(luma, chroma, frame, reader.info, out, colored=True, luma_kept=True)
                through_floats = encode_frame(luma, chroma, frame, reader.info, out, colored=True)
                assert np.array_equal(kept[0], through_floats[0])
                writer.write(Frame(frame.index, frame.pts, kept, frame.duration))
    with VideoReader(tmp_path / "out.mkv") as reader:
        assert reader.info.full_range == full
        for frame in reader:
            assert np.array_equal(frame.planes[0], moving(pix_fmt, 64, 48, frame.index)[0])
            luma, chroma = decode_frame(frame, reader.info)
            matrix = reader.info.matrix
            given = convert_chroma(torch.full((2, 48, 64), 0.1), "bt709", matrix)
            shown = fit_gamut(luma, given, matrix)  # black and white have no colour
            away = convert_chroma(chroma, "bt709", matrix) - shown
            assert away.abs().max().item() < 1 / ((1 << bits) - 1)


def test_png_folder_of_a_10_bit_film_has_16_bits_and_its_colours(tmp_path):
    film(tmp_path / "film.mkv", 3, "yuv444p10le", codec="ffv1", color_range=1, colorspace=6)
    copy(tmp_path / "film.mkv", tmp_path / "out", "png", start=1)
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == ["frame_000001.png", "frame_000002.png"]
    picture = cv2.imread(str(tmp_path / "out/frame_000002.png"), cv2.IMREAD_UNCHANGED)
    assert (picture.dtype, picture.shape) == (np.uint16, (48, 64, 3))
    luma, blue, red = (p.astype(float) for p in moving("yuv444p10le", 64, 48, 2))
    luma, blue, red = (luma - 64) / 876, (blue - 512) / 896, (red - 512) / 896
    expected = luma + 1.402 * red
    inside = (expected > 0.01) & (expected < 0.99) & (luma + 1.772 * blue < 1) & (luma + 1.772 * blue > 0)
    inside &= abs(luma - 0.344136 * blue - 0.714136 * red - 0.5) < 0.5
    assert inside.mean() > 0.05
    assert np.abs(picture[..., 2] / 65535 - expected)[inside].max() < 1e-4


def test_restored_luma_leaves_chroma_alone_and_repaired_chroma_changes_only_where_it_was(tmp_path):
    film(tmp_path / "film.mkv", 1, "yuv420p", codec="ffv1", color_range=1)
    with VideoReader(tmp_path / "film.mkv") as reader:
        frame, info = next(iter(reader)), reader.info
    out = output_format(info, "ffv1", colored=False)
    luma, chroma = decode_frame(frame, info)
    planes = encode_frame(luma * 0.9, chroma, frame, info, out, colored=False)
    assert not np.array_equal(planes[0], frame.planes[0])
    assert all(np.array_equal(p, q) for p, q in zip(planes[1:], frame.planes[1:], strict=True))
    repaired = chroma.clone()
    repaired[:, :24] += 0.1
    planes = encode_frame(luma, repaired, frame, info, out, colored=False)
    for plane, old in zip(planes[1:], frame.planes[1:], strict=True):
        assert np.array_equal(plane[13:], old[13:])
        assert (plane[:11].astype(int) - old[:11] >= 20).all()


def test_colour_of_gray_rgb_is_within_gamut_and_keeps_luma(tmp_path):
    grays = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pictures(tmp_path / "film", [np.dstack([grays] * 3)])
    with VideoReader(tmp_path / "film") as reader:
        frame, info = next(iter(reader)), reader.info
    luma, chroma = decode_frame(frame, info)
    assert chroma.abs().max().item() < 1e-6
    out = OutputFormat("rgb", 16, full_range=True, width=16, height=16)
    colors = torch.tensor([0.3, -0.2])[:, None, None].expand(2, 16, 16)
    planes = encode_frame(luma, colors, frame, info, out, colored=True)
    weighted = sum(w * p.astype(float) for w, p in zip((0.2126, 0.7152, 0.0722), planes, strict=True)) / 65535
    assert np.abs(weighted - grays / 255).max() < 2e-5
    assert len({p[8, 8] for p in planes}) == 3


# --- writing: time, tags, streams ---


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_times_of_a_variable_rate_film_are_kept_exactly(tmp_path, suffix):
    times = [0, 1001, 2002, 5005, 5205, 9009, 24024, 25025]
    film(tmp_path / f"film{suffix}", times=times, time_base=Fraction(1, 24000))
    copy(tmp_path / f"film{suffix}", tmp_path / f"out{suffix}")
    assert stream_times(tmp_path / f"out{suffix}") == [Fraction(t, 24000) for t in times]
    assert stream_times(tmp_path / f"film{suffix}") == [Fraction(t, 24000) for t in times]
    with av.open(str(tmp_path / f"film{suffix}")) as a, av.open(str(tmp_path / f"out{suffix}")) as b:
        assert a.streams.video[0].average_rate == b.streams.video[0].average_rate


def test_times_in_matroska_are_whole_milliseconds(tmp_path):
    times = [0, 40, 80, 81, 500, 1300]
    film(tmp_path / "film.mkv", times=times, time_base=Fraction(1, 1000), rate=Fraction(25))
    copy(tmp_path / "film.mkv", tmp_path / "out.mkv")
    assert stream_times(tmp_path / "out.mkv") == [Fraction(t, 1000) for t in times]
    copy(tmp_path / "film.mkv", tmp_path / "out.mp4")
    assert stream_times(tmp_path / "out.mp4") == [Fraction(t, 1000) for t in times]


@pytest.mark.parametrize("source", ["film.mkv", "film.mp4", "film.ts", "film.avi"])
@pytest.mark.parametrize("target", ["out.mkv", "out.mp4", "out.mov"])
@pytest.mark.parametrize("rate", [NTSC, Fraction(30000, 1001), Fraction(18), Fraction(16)])
def test_rate_is_exact_between_containers(tmp_path, source, target, rate):
    film(tmp_path / source, 40, rate=rate, size=(32, 32), options={"preset": "ultrafast"})
    copy(tmp_path / source, tmp_path / target)
    with VideoReader(tmp_path / target) as reader:
        frames = list(reader)
        assert reader.info.fps == rate
        assert len(frames) == 40
        times = [(f.pts - frames[0].pts) * reader.info.time_base for f in frames]
    tolerance = Fraction(1, 1000) if target == "out.mkv" else 0
    assert all(abs(t - n / rate) <= tolerance for n, t in enumerate(times))


@pytest.mark.parametrize(
    ("target", "codec"),
    [(f"out.{c}", codec) for codec in ("x264", "x265") for c in ("mkv", "mp4", "mov")]
    + [("out.mkv", "ffv1"), ("out.mov", "prores"), ("out.mkv", "prores")],
)
def test_tags_and_aspect_are_kept_and_pictures_are_turned_upright(tmp_path, target, codec):
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        context = stream.codec_context
        context.sample_aspect_ratio = Fraction(16, 15)
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 5, 5, 6, 1
        stream.set_display_rotation(90)
        for n in range(3):
            container.mux(stream.encode(frame_of(moving("yuv420p", 96, 64, n), "yuv420p")))
        container.mux(stream.encode(None))
    copy(tmp_path / "film.mp4", tmp_path / target, codec)
    with VideoReader(tmp_path / "film.mp4") as a, VideoReader(tmp_path / target) as b:
        assert (a.info.width, a.info.height) == (b.info.width, b.info.height) == (64, 96)
        assert b.info.sar == a.info.sar == Fraction(15, 16)
        assert (b.info.tags.matrix, b.info.tags.primaries, b.info.tags.transfer, b.info.tags.range) == (5, 5, 6, 1)
        assert a.info.display_matrix is None and b.info.display_matrix is None
        assert np.array_equal(next(iter(a)).planes[0].shape, (96, 64))
    for name, rotation in (("film.mp4", 90), (target, 0)):
        with av.open(str(tmp_path / name)) as container:
            assert next(container.decode(video=0)).rotation == rotation


@pytest.mark.parametrize(
    "aspect", [Fraction(16, 15), Fraction(8, 9), Fraction(32, 27), Fraction(64, 45), Fraction(1, 2)]
)
def test_aspect_in_the_header_of_matroska_is_exact_and_leaves_the_file_sound(tmp_path, ffmpeg, aspect):
    film(tmp_path / "film.mp4", 3, size=(720, 480), sample_aspect_ratio=aspect, sound=True)
    copy(tmp_path / "film.mp4", tmp_path / "out.mkv", "ffv1")
    with VideoReader(tmp_path / "out.mkv") as reader:
        assert reader.info.sar == aspect
        assert len(list(reader)) == 3
    command = [ffmpeg, "-v", "error", "-err_detect", "crccheck+explode", "-i", tmp_path / "out.mkv", "-f", "null", "-"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "codec"), [("out.mkv", "ffv1"), ("out.mkv", "x264"), ("out.mxf", "prores")])
@pytest.mark.parametrize("fault", ["another ratio", "no film"])
def test_an_aspect_that_is_not_what_was_written_is_an_error(tmp_path, monkeypatch, name, codec, fault):
    film(tmp_path / "film.mp4", 3, size=(720, 480), sample_aspect_ratio=Fraction(16, 15))
    setter = "set_mxf_aspect" if name.endswith("mxf") else "set_matroska_aspect"
    real = getattr(writing, setter)

    def faulty(path: Path, *about: object) -> bool:
        if fault == "no film":
            with path.open("r+b") as file:
                file.write(bytes(4096))
            return True
        if setter == "set_mxf_aspect":
            return real(path, replace(about[0], sar=1 / about[0].sar))
        return real(path, *about[:2], 1 / about[2])

    monkeypatch.setattr(writing, setter, faulty)
    said = {
        "another ratio": rf"aspect ratio 16/15 was written to .*{name}, but 15/16 is read there: nothing is kept",
        "no film": rf"{name} cannot be read after its sample aspect ratio 16/15 was written",
    }
    with pytest.raises(RemasterError, match=said[fault]):
        copy(tmp_path / "film.mp4", tmp_path / name, codec)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def riff(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    size = 4 + len(content) if length is None else length
    return b"RIFF" + size.to_bytes(4, "little") + kind + content + bytes(len(content) % 2)


@pytest.mark.parametrize(
    ("parts", "declared", "joined"),
    [
        ([riff(b"AVI ", b"x" * 20)], 32, False),
        ([riff(b"AVI ", b"x" * 20), riff(b"AVIX", b"y" * 8), riff(b"AVIX", b"y" * 8)], 72, False),
        ([riff(b"AVI ", b"x" * 20), riff(b"AVI ", b"x" * 20)], 64, True),
        ([riff(b"AVI ", b"x" * 21), riff(b"AVI ", b"x" * 20)], 66, True),  # an odd length is padded
        ([riff(b"AVI ", b"x" * 20, 1000)], 1008, False),  # cut off
        ([riff(b"AVI ", b"x" * 20), riff(b"AVIX", b"y" * 8, 1000)], 1040, False),
        ([riff(b"AVI ", b"x" * 20, 0)], 33, False),  # its writer was killed
        ([riff(b"AVI ", b"x" * 20), b"something else"], 32, False),
    ],
)
def test_how_long_an_avi_should_be_and_whether_it_is_one(tmp_path, parts, declared, joined):
    (tmp_path / "film.avi").write_bytes(b"".join(parts))
    assert declared_size(tmp_path / "film.avi") == declared
    assert is_joined(tmp_path / "film.avi") is joined


@pytest.fixture(scope="module")
def rich(tmp_path_factory, ffmpeg) -> Path:
    """A film with two sounds, subtitles, chapters, an attachment and metadata."""
    folder = tmp_path_factory.mktemp("rich")
    (folder / "s.srt").write_text(
        "1\n00:00:00,500 --> 00:00:01,500\nHello\n\n2\n00:00:01,600 --> 00:00:02,900\nWorld\n\n"
        "3\n00:00:03,000 --> 00:00:03,500\nEnd\n"
    )
    (folder / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=A Film\nartist=Someone\nSCANNER=Model 5\n"
        + "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}000\nEND={n + 1}000\ntitle=Part {n}\n" for n in range(4))
    )
    (folder / "font.ttf").write_bytes(b"not really a font")
    command = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=24000/1001:d=4"]
    command += ["-f", "lavfi", "-i", "sine=d=4", "-i", folder / "s.srt", "-i", folder / "meta.txt"]
    command += ["-map", "0", "-map", "1", "-map", "1", "-map", "2", "-map_metadata", "3", "-map_chapters", "3"]
    command += ["-c:v", "libx264", "-c:a:0", "aac", "-c:a:1", "flac", "-c:s", "srt", "-attach", folder / "font.ttf"]
    command += ["-metadata:s:t", "mimetype=application/x-truetype-font", "-metadata:s:a:0", "language=fra"]
    command += ["-metadata:s:v", "title=Picture", "-disposition:a:1", "comment", folder / "rich.mkv"]
    subprocess.run([str(c) for c in command], check=True)
    return folder / "rich.mkv"


def test_everything_is_kept_in_matroska(tmp_path, rich):
    copy(rich, tmp_path / "out.mkv")
    for kind, number in (("audio", 0), ("audio", 1), ("subtitles", 0)):
        assert packets(tmp_path / "out.mkv", kind, number) == packets(rich, kind, number)
    assert stream_times(tmp_path / "out.mkv") == stream_times(rich)
    with av.open(str(rich)) as a, av.open(str(tmp_path / "out.mkv")) as b:
        for key in ("start", "end", "metadata"):
            assert [c[key] for c in b.chapters()] == [c[key] for c in a.chapters()]
        assert len(b.chapters()) == 4
        assert (b.metadata["title"], b.metadata["SCANNER"]) == ("A Film", "Model 5")
        assert b.streams.attachments[0].data == b"not really a font"
        assert b.streams.attachments[0].name == "font.ttf"
        assert [s.language for s in b.streams.audio] == ["fra", None]
        assert [int(s.disposition) for s in b.streams] == [int(s.disposition) for s in a.streams]
        assert b.streams.video[0].metadata["title"] == "Picture"


def test_what_a_container_cannot_hold_is_named(tmp_path, rich, caplog):
    copy(rich, tmp_path / "out.mp4")
    assert "stream 3 (subtitle, srt) is converted to mov_text: mp4 cannot hold it" in caplog.text
    assert "font.ttf" in caplog.text
    assert "SCANNER" in caplog.text
    assert [data for _, data in packets(tmp_path / "out.mp4", "audio")] == [d for _, d in packets(rich, "audio")]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams.audio) == 2
        assert [c["metadata"]["title"] for c in container.chapters()] == [f"Part {n}" for n in range(4)]
        assert container.metadata["title"] == "A Film"


def test_a_part_takes_its_sound_subtitles_and_chapters_along(tmp_path, rich):
    copy(rich, tmp_path / "out.mkv", start=24, end=60)
    times = stream_times(rich)
    begin, finish = float(times[24]), float(times[60])
    assert stream_times(tmp_path / "out.mkv") == [t - times[24] for t in times[24:60]]
    sound = packets(tmp_path / "out.mkv", "audio", 1)
    expected = [(t - begin, d) for t, d in packets(rich, "audio", 1) if begin <= t < finish]
    assert [d for _, d in sound] == [d for _, d in expected]
    assert [t for t, _ in sound] == pytest.approx([t for t, _ in expected], abs=2e-3)
    words = packets(tmp_path / "out.mkv", "subtitles")
    assert [d for _, d in words] == [b"Hello", b"World"]
    assert [t for t, _ in words] == pytest.approx([0, packets(rich, "subtitles")[1][0] - begin], abs=2e-3)
    with av.open(str(tmp_path / "out.mkv")) as container:
        chapters = container.chapters()
        assert [c["metadata"]["title"] for c in chapters] == ["Part 1", "Part 2"]
        seconds = [(c["start"] * float(c["time_base"]), c["end"] * float(c["time_base"])) for c in chapters]
    assert seconds[0] == pytest.approx((0, 2 - begin), abs=2e-3)
    assert seconds[1] == pytest.approx((2 - begin, finish - begin), abs=0.05)


@pytest.mark.parametrize("name", ["film.mp4", "film.ts", "film.avi", "film.mov"])
def test_sound_keeps_its_place_between_containers(tmp_path, name):
    film(tmp_path / name, 60, sound=True, rate=Fraction(25), options={"bf": "0"} if name == "film.avi" else {})
    copy(tmp_path / name, tmp_path / "out.mkv")
    before, after = packets(tmp_path / name, "audio"), packets(tmp_path / "out.mkv", "audio")
    assert len(before) == len(after) > 15
    assert [t for t, _ in after] == pytest.approx([t for t, _ in before], abs=2e-3)
    times = stream_times(tmp_path / "out.mkv")
    assert float(times[5] - times[0]) == pytest.approx(0.2, abs=1e-3)
    assert float(times[0]) == pytest.approx(float(stream_times(tmp_path / name)[0]), abs=1e-3)


def test_a_late_clock_is_set_to_zero(tmp_path):
    film(tmp_path / "film.ts", times=[36000 * 25 + n for n in range(20)], rate=Fraction(25))
    copy(tmp_path / "film.ts", tmp_path / "out.mkv")
    assert stream_times(tmp_path / "out.mkv")[:3] == [0, Fraction(40, 1000), Fraction(80, 1000)]


def test_pictures_become_a_film(tmp_path):
    pictures(tmp_path / "film", [np.full((16, 16), n, np.uint8) for n in range(30)])
    copy(tmp_path / "film", tmp_path / "out.mp4", "x264", crf=0)
    with VideoReader(tmp_path / "out.mp4") as reader:
        frames = list(reader)
        assert (reader.info.fps, reader.info.full_range) == (Fraction(24), True)
    assert [int(f.planes[0][0, 0]) for f in frames] == list(range(30))
    assert [int(f.planes[1][0, 0]) for f in frames] == [128] * 30


# --- writing: names, failures ---


@pytest.mark.parametrize(("part", "said"), [((-5, None), "from -5 to the end"), ((7, 7), "from 7 to 7")])
def test_a_part_that_cannot_be_is_said_in_words(tmp_path, part, said):
    with pytest.raises(InputError, match=f"no frames {said}: start must be 0 or more"):
        VideoReader(tmp_path / "film.mkv", *part)


@pytest.mark.parametrize("name", ["Ünïcode 映画 %d.mkv", 'it\'s "quoted" & [odd].mkv', "a:b.mkv", "-dash.mkv"])
def test_any_legal_name_works(tmp_path, name):
    film(tmp_path / f"in {name}", 5)
    copy(tmp_path / f"in {name}", tmp_path / name)
    assert len(frames_of(tmp_path / name)) == 5
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted([name, f"in {name}"])


def test_output_has_its_name_only_when_complete(tmp_path):
    film(tmp_path / "film.mkv", 8)
    for target, codec in ((tmp_path / "out.mkv", "x264"), (tmp_path / "out", "png")):
        with VideoReader(tmp_path / "film.mkv") as reader:
            out = output_format(reader.info, codec, colored=False)
            writer = open_writer(target, reader, out, codec=codec)
            for frame in reader:
                planes = encode_frame(*decode_frame(frame, reader.info), frame, reader.info, out, colored=False)
                writer.write(Frame(frame.index, frame.pts, planes))
                assert not target.exists()
            writer.close()
            assert target.exists()
        with pytest.raises(RuntimeError, match="stop"), VideoReader(tmp_path / "film.mkv") as reader:
            with open_writer(target, reader, out, codec=codec, overwrite=True) as writer:
                frame = next(iter(reader))
                planes = encode_frame(*decode_frame(frame, reader.info), frame, reader.info, out, colored=False)
                writer.write(Frame(frame.index, frame.pts, planes))
                raise RuntimeError("stop")
        assert len(frames_of(target)) == 8  # the old one
    assert sorted(f.name for f in tmp_path.iterdir()) == ["film.mkv", "out", "out.mkv"]


def test_outputs_that_are_refused(tmp_path):
    film(tmp_path / "film.mkv", 2)
    (tmp_path / "there.mkv").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.doc").touch()
    for name, codec, overwrite, message in (
        ("there.mkv", "x264", False, "output exists"),
        ("none/out.mkv", "x264", False, "output folder does not exist"),
        ("out.avi", "x264", False, "cannot tell the container from out.avi"),
        (
            "out.mp4",
            "prores",
            False,
            r"\.mp4 does not hold prores: end it in \.mov, \.mxf or \.mkv, or use --codec x264",
        ),
        (
            "out.mxf",
            "x265",
            False,
            r"\.mxf does not hold x265: end it in \.mp4, .* or use --codec ffv1, prores, prores44",
        ),
        ("out.mov", "dpx", False, r"codec dpx writes a folder of pictures, not out\.mov: give a name without \.mov"),
        ("out.mkv", "png", False, "writes a folder of pictures"),
        ("out.mkv", "divx", False, "unknown codec 'divx': use one of x264, x265, ffv1, prores, prores4444, dnx"),
        ("film.mkv", "x264", True, "output is the input"),
        ("mine", "png", True, "holds other files"),
        ("mine", "x264", True, "cannot tell the container"),
    ):
        with pytest.raises(InputError, match=message):
            check_output(tmp_path / name, codec, overwrite, tmp_path / "film.mkv")
    check_output(tmp_path / "there.mkv", "x264", True, tmp_path / "film.mkv")
    with VideoReader(tmp_path / "film.mkv") as reader, pytest.raises(InputError, match=r"crf must lie in 0\.\.51"):
        VideoWriter(tmp_path / "o.mkv", reader, output_format(reader.info, "x264", False), crf=99)
    assert not list(tmp_path.glob(".*"))


def test_a_film_without_frames_leaves_nothing(tmp_path):
    film(tmp_path / "film.mkv", 2)
    with VideoReader(tmp_path / "film.mkv") as reader:
        for target, codec in (("out.mkv", "ffv1"), ("out", "png")):
            writer = open_writer(tmp_path / target, reader, output_format(reader.info, codec, False), codec=codec)
            with pytest.raises(InputError, match="nothing is written"):
                writer.close()
    assert sorted(f.name for f in tmp_path.iterdir()) == ["film.mkv"]


def test_overwrite_replaces_a_folder_of_frames(tmp_path):
    film(tmp_path / "film.mkv", 6)
    copy(tmp_path / "film.mkv", tmp_path / "out", "png")
    copy(tmp_path / "film.mkv", tmp_path / "out", "png", end=2, overwrite=True)
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == ["frame_000000.png", "frame_000001.png"]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["film.mkv", "out"]


def limited(code: str, limit: int) -> subprocess.CompletedProcess[str]:
    """Run Python with a limit on the size of files, which fails as a full disk does."""

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r}); {code}"]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=prepare, check=False)


def test_a_full_disk_is_one_clear_error(tmp_path):
    film(tmp_path / "film.mkv", 40, size=(160, 120), options={"crf": "0"})
    code = f"""
import os
os.chdir({str(tmp_path)!r})
import sys
from vs_remaster.video.reader import VideoReader
from vs_remaster.output.writer import open_writer
from vs_remaster.output.formats import output_format
from vs_remaster.film.frames import decode_frame, encode_frame
from vs_remaster.output import writer as writing
from vs_remaster.video.planes import Frame
from vs_remaster.errors import InputError
for name, codec in (("out.mkv", "ffv1"), ("out.mp4", "x264"), ("out", "png")):
    try:
        with VideoReader("film.mkv") as reader:
            out = output_format(reader.info, codec, False)
            with open_writer(name, reader, out, codec=codec) as writer:
                for frame in reader:
                    planes = encode_frame(*decode_frame(frame, reader.info), frame, reader.info, out, colored=False)
                    writer.write(Frame(frame.index, frame.pts, planes))
    except InputError as error:
        print(error, file=sys.stderr)
"""
    done = limited(code, 8000)
    assert done.stderr.splitlines() == [
        f"no space left for {name}: free some or write elsewhere" for name in ("out.mkv", "out.mp4", "out")
    ]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["film.mkv"]


def test_planes_of_another_size_are_refused(tmp_path):
    film(tmp_path / "film.mkv", 2)
    with VideoReader(tmp_path / "film.mkv") as reader:
        frame = next(iter(reader))
        frame.planes[1] = frame.planes[1][:, 1:]
        with pytest.raises(InputError, match="must be 32x24 in uint8, got 31x24"):
            with VideoWriter(tmp_path / "out.mkv", reader, output_format(reader.info, "x264", False)) as writer:
                writer.write(frame)
        with pytest.raises(InputError, match="planes must be"):
            with PictureWriter(tmp_path / "out", reader.info, output_format(reader.info, "png", False)) as writer:
                writer.write(frame)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["film.mkv"]


def test_memory_is_flat_when_sound_lies_far_from_the_picture(tmp_path, ffmpeg):
    """All sound behind all picture: copying it must not gather either."""
    film(tmp_path / "film.mkv", 50, sound=True)
    command = [ffmpeg, "-loglevel", "error", "-i", tmp_path / "film.mkv", "-c", "copy", "-max_interleave_delta", "0"]
    subprocess.run([str(c) for c in [*command, tmp_path / "film.mov"]], check=True)
    copy(tmp_path / "film.mov", tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        order = [
            (p.stream.type, float((p.dts if p.dts is not None else p.pts) * p.time_base))
            for p in container.demux()
            if p.size
        ]
    heard = 0.0
    for kind, time in order:
        heard = time if kind == "audio" else heard
        assert kind == "audio" or abs(time - heard) < 0.5


@pytest.mark.parametrize("name", ["film.mkv", "film.webm", "film.mp4", "film.mov", "film.avi"])
def test_files_that_were_joined_where_that_cannot_be_are_said(tmp_path, name, caplog):
    path = tmp_path / name
    film(path, 10, codec="libvpx-vp9" if name == "film.webm" else "mpeg4")
    whole = path.read_bytes()
    with VideoReader(path) as reader:
        assert len(list(reader)) == 10 and not reader.truncated
    path.write_bytes(whole * 3)
    with VideoReader(path) as reader:
        list(reader)
        assert reader.truncated
    assert "several files one behind the other" in caplog.text
