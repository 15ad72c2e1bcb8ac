"""Reading film that is damaged, turned, without times, of changing size, or no file at all."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.support.films import copy, film, frames_of, moving, pictures, same
from vs_remaster.cli.entry import main
from vs_remaster.errors import InputError, UnsupportedError
from vs_remaster.film.frames import decode_frame
from vs_remaster.film.shots import find_shots
from vs_remaster.video import reader as video
from vs_remaster.video.folder import gaps
from vs_remaster.video.planes import frame_of
from vs_remaster.video.reader import VideoReader
from vs_remaster.video.rotation import turn_of

NTSC = Fraction(24000, 1001)
COUNT = 60
LAST = COUNT - 1
DAMAGED = [(46,), (LAST - 1,), (LAST,), (5, 30, LAST - 2, LAST - 1, LAST)]


def noise(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def spoilt(source: Path, target: Path, numbers: tuple[int, ...]) -> None:
    """Copy a film with noise in place of some of its packets."""
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    for number in numbers:
        at = data.index(packets[number])
        data[at : at + len(packets[number])] = noise(len(packets[number]))
    target.write_bytes(data)


# --- damage ---


CODECS = {
    "intra.mp4": {"codec": "libx264", "options": {"bf": "0", "g": "1"}},
    "b.mp4": {"codec": "libx264", "options": {"bf": "3"}},
    "b.mkv": {"codec": "libx264", "options": {"bf": "3"}},
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "mpeg2.mkv": {"codec": "mpeg2video", "options": {"bf": "2"}, "rate": Fraction(25)},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "ffv1.mkv": {"codec": "ffv1", "options": {"level": "3", "slicecrc": "1"}},
    "vp9.mkv": {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}},
    "av1.mkv": {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "keyint=12"}, "size": (64, 64)},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}
INTRA = {"intra.mp4", "prores.mov", "mjpeg.avi"}


@pytest.mark.parametrize("name", CODECS)
def test_a_damaged_film_is_the_same_with_any_number_of_threads(tmp_path, name, monkeypatch, caplog):
    """No frame is lost behind a damaged one, and none without a word."""
    source = tmp_path / f"whole-{name}"
    film(source, COUNT, **CODECS[name])
    for damaged in DAMAGED:
        path = tmp_path / name
        spoilt(source, path, damaged)
        told = []
        for threads in (1, 2, 8, 16, 32):
            monkeypatch.setattr(video, "THREADS", threads)
            caplog.clear()
            with VideoReader(path) as reader:
                numbers = [frame.pts for frame in reader]
                told.append((numbers, reader.truncated, caplog.text))
        assert all(one == told[0] for one in told)
        assert told[0][1] and "damaged" in told[0][2]
        if name in INTRA:
            assert len(told[0][0]) == COUNT - len(damaged)


def test_the_end_of_a_film_that_its_container_lost_is_reported(tmp_path, caplog):
    """FFmpeg's reader of Matroska ends without an error where a block is no block."""
    film(tmp_path / "film.mkv", COUNT, options={"bf": "0", "g": "1"})
    data = bytearray((tmp_path / "film.mkv").read_bytes())
    with av.open(str(tmp_path / "film.mkv")) as container:
        at = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    end = sum(at[LAST])
    data[at[30][0] : end] = bytes(end - at[30][0])
    (tmp_path / "film.mkv").write_bytes(data)
    with VideoReader(tmp_path / "film.mkv") as reader:
        assert len(list(reader)) < COUNT
        assert reader.truncated
    assert "damaged" in caplog.text


# --- turned and mirrored ---

# the nine numbers of a display matrix, without those that move the picture
TURNS = {
    "90": (0, -1, 1, 0),
    "180": (-1, 0, 0, -1),
    "270": (0, 1, -1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transversed": (0, -1, -1, 0),
}


def turned_film(
    path: Path, turn: tuple[int, ...], pix_fmt: str = "yuv420p", size=(96, 64), count: int = 4, **how
) -> None:
    """A lossless film with a display matrix."""
    a, b, c, d = (number << 16 for number in turn)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for name, value in how.items():
            setattr(stream.codec_context, name, value)
        stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        for number in range(count):
            container.mux(stream.encode(frame_of(moving(pix_fmt, *size, number), pix_fmt)))
        container.mux(stream.encode(None))


def as_a_player_shows(path: Path, ffmpeg: str, pix_fmt: str) -> bytes:
    command = [ffmpeg, "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", pix_fmt, "-"]
    return subprocess.run([str(c) for c in command], capture_output=True, check=True).stdout


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le"])
@pytest.mark.parametrize("turn", TURNS)
def test_frames_are_upright_as_in_a_player(tmp_path, ffmpeg, turn, pix_fmt):
    turned_film(tmp_path / "film.mp4", TURNS[turn], pix_fmt, sample_aspect_ratio=Fraction(16, 15))
    with VideoReader(tmp_path / "film.mp4") as reader:
        info, frames = reader.info, list(reader)
    lying = turn in ("90", "270", "transposed", "transversed")
    assert (info.width, info.height) == ((64, 96) if lying else (96, 64))
    assert (info.sar, info.display_matrix) == (Fraction(15, 16) if lying else Fraction(16, 15), None)
    shown = b"".join(plane.tobytes() for frame in frames for plane in frame.planes)
    assert shown == as_a_player_shows(tmp_path / "film.mp4", ffmpeg, pix_fmt)


@pytest.mark.parametrize(
    ("subsampling", "size", "siting", "turn", "expected"),
    [
        ((1, 1), (96, 64), "left", "90", "bottom"),  # the first column becomes the last row
        ((1, 1), (96, 64), "left", "270", "top"),
        ((1, 1), (96, 64), "left", "upside down", "left"),
        ((1, 1), (96, 64), "left", "180", "center"),  # the right has no name
        ((1, 1), (95, 64), "left", "mirrored", "left"),  # a row of an odd number begins and ends with such a sample
        ((1, 1), (96, 64), "topleft", "90", "bottomleft"),
        ((1, 1), (96, 64), "center", "transversed", "center"),
        ((0, 0), (96, 64), "left", "90", "left"),
    ],
)
def test_where_chroma_lies_in_a_turned_picture(subsampling, size, siting, turn, expected):
    a, b, c, d = TURNS[turn]
    assert turn_of((a, b, 0, c, d, 0, 0, 0, 1)).siting(siting, subsampling, size) == expected


@pytest.mark.parametrize(
    ("target", "codec"),
    [
        ("out.mkv", "x264"),
        ("out.mp4", "x264"),
        ("out.mov", "prores"),
        ("out.mxf", "prores"),
        ("out.mkv", "ffv1"),
        ("out", "png"),
        ("out", "dpx"),
    ],
)
def test_film_is_written_upright_without_a_flag(tmp_path, target, codec, ffmpeg):
    turned_film(tmp_path / "film.mp4", TURNS["90"], "yuv422p", sample_aspect_ratio=Fraction(16, 15))
    copy(tmp_path / "film.mp4", tmp_path / target, codec)
    with VideoReader(tmp_path / "film.mp4") as a, VideoReader(tmp_path / target) as b:
        assert (a.info.subsampling, b.info.width, b.info.height) == ((0, 1), 64, 96)
        assert b.info.sar == (1 if codec == "png" else Fraction(15, 16))
        for before, after in zip(a, b, strict=True):
            difference = decode_frame(before, a.info)[0] - decode_frame(after, b.info)[0]
            assert difference.abs().mean() < (0.06 if target == "out" else 0.01)  # RGB has another luma
            if codec == "ffv1":
                assert np.array_equal(before.planes[0], after.planes[0])
    if target != "out":
        with av.open(str(tmp_path / target)) as container:
            assert next(container.decode(video=0)).rotation == 0


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv422p10le", "yuv422p16le", "yuv411p", "yuv410p"])
def test_subsampling_that_no_codec_has_when_turned_keeps_luma(tmp_path, pix_fmt):
    film(tmp_path / "lying.mkv", 2, pix_fmt, (96, 64), "ffv1")
    with av.open(str(tmp_path / "lying.mkv")) as old, av.open(str(tmp_path / "film.mkv"), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.set_display_rotation(90)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    copy(tmp_path / "film.mkv", tmp_path / "out.mkv", "ffv1")
    before, after = frames_of(tmp_path / "film.mkv"), frames_of(tmp_path / "out.mkv")
    assert before[0].planes[0].shape == (96, 64)
    assert all(np.array_equal(a.planes[0], b.planes[0]) for a, b in zip(before, after, strict=True))


def test_a_slanted_film_is_left_with_its_flag(tmp_path, caplog):
    turned_film(tmp_path / "film.mp4", (1, 0, 0, 1))
    with av.open(str(tmp_path / "slanted.mp4"), "w") as new, av.open(str(tmp_path / "film.mp4")) as old:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.set_display_rotation(30)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    copy(tmp_path / "slanted.mp4", tmp_path / "out.mp4")
    assert "turned by an angle that is no multiple of 90 degrees" in caplog.text
    with VideoReader(tmp_path / "out.mp4", notes=False) as reader:
        assert (reader.info.width, reader.info.height) == (96, 64)
        assert reader.info.display_matrix is not None


def test_photographs_are_turned_each_by_its_exif(tmp_path):
    sample = np.zeros((32, 48, 3), np.uint8)
    sample[:16, :24] = 250  # bright at the upper left
    (tmp_path / "film").mkdir()
    upright = Image.fromarray(sample)
    upright.save(tmp_path / "film/1.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "film/2.jpg", exif=exif, quality=95)
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "film/3.png", exif=exif)
    with VideoReader(tmp_path / "film") as reader:
        assert (reader.info.width, reader.info.height) == (48, 32)
        frames = [next(iter(reader)).planes, reader.planes(next(reader._pictures))]
    assert all(np.abs(frame[0][::8, ::8].astype(int) - sample[::8, ::8, 0]).max() < 16 for frame in frames)


def test_direct_and_job_make_the_same_upright_film(tmp_path):
    turned_film(tmp_path / "film.mp4", TURNS["270"], count=12)
    for name, job in (("direct.mkv", []), ("job.mkv", ["--job", str(tmp_path / "job")])):
        assert run(tmp_path / "film.mp4", tmp_path / name, *job, "--codec", "ffv1") == 0
    direct = frames_of(tmp_path / "direct.mkv")
    assert direct[0].planes[0].shape == (96, 64)
    assert same(direct, frames_of(tmp_path / "job.mkv"))


def run(source: Path, output: Path, *more: str) -> int:
    """`vs-remaster run` with what takes least time."""
    return main(["run", str(source), "-o", str(output), "--quiet", "--no-color", "--restore-lines", "64", *more])


# --- films without times ---


def raw_film(path: Path, ffmpeg: str, *how: str, rate: str = "24000/1001", count: int = 36) -> None:
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s=64x64:r={rate}", "-frames:v", count]
    subprocess.run([str(c) for c in [*command, *how, path]], check=True)


RAW = {
    "film.h264": ["-c:v", "libx264", "-bf", "3"],
    "film.hevc": ["-c:v", "libx265", "-x265-params", "log-level=none"],
    "film.m2v": ["-c:v", "mpeg2video", "-bf", "2"],
    "film.mpv": ["-c:v", "mpeg1video", "-bf", "2", "-f", "mpeg1video"],
}


@pytest.mark.parametrize("target", ["out.mkv", "out.mp4", "out.mov"])
@pytest.mark.parametrize("name", RAW)
def test_raw_streams_run_at_their_own_rate(tmp_path, ffmpeg, name, target, caplog):
    raw_film(tmp_path / name, ffmpeg, *RAW[name])
    copy(tmp_path / name, tmp_path / target)
    with VideoReader(tmp_path / target) as reader:
        times = [frame.pts * reader.info.time_base for frame in reader]
        assert reader.info.fps == NTSC
    assert len(times) == 36
    tolerance = Fraction(1, 1000) if target == "out.mkv" else 0
    assert all(abs(time - number / NTSC) <= tolerance for number, time in enumerate(times))
    assert "rate" not in caplog.text


def test_raw_streams_that_say_no_rate(tmp_path, ffmpeg, caplog):
    raw_film(tmp_path / "film.mjpeg", ffmpeg, "-c:v", "mjpeg", "-f", "mjpeg")
    with VideoReader(tmp_path / "film.mjpeg") as reader:
        assert reader.info.fps == 25
    assert "does not say its rate: 25 frames a second are taken, --fps gives another" in caplog.text
    caplog.clear()
    with VideoReader(tmp_path / "film.mjpeg", fps=Fraction(18)) as reader:
        assert [frame.pts * reader.info.time_base for frame in reader] == [Fraction(n, 18) for n in range(36)]
    assert caplog.text == ""


@pytest.mark.parametrize("job", [False, True])
@pytest.mark.parametrize("source", ["film.h264", "film"])
def test_a_rate_can_be_given(tmp_path, ffmpeg, source, job, capsys):
    if source == "film":
        pictures(tmp_path / source, [np.full((64, 64), 5 * n, np.uint8) for n in range(12)])
    else:
        raw_film(tmp_path / source, ffmpeg, *RAW[source], count=12)
    how = ["--job", str(tmp_path / "job"), "--keep-chunks"] if job else []
    assert run(tmp_path / source, tmp_path / "out.mp4", "--fps", "23.976", *how) == 0
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert reader.info.fps == NTSC
        assert [frame.pts * reader.info.time_base for frame in reader] == [n / NTSC for n in range(12)]
    if job:
        assert run(tmp_path / source, tmp_path / "out.mp4", "--fps", "16", "--overwrite", *how) == 2
        assert "fps was 24000/1001, is 16" in capsys.readouterr().err
        assert main(["report", str(tmp_path / "job"), "-o", str(tmp_path / "report"), "--quiet"]) == 0
        assert json.loads((tmp_path / "report/report.json").read_text())["fps"] == pytest.approx(float(NTSC))


def test_rates_that_are_refused(tmp_path, capsys):
    film(tmp_path / "film.mp4", 3)
    assert run(tmp_path / "film.mp4", tmp_path / "out.mp4", "--fps", "16") == 2
    assert "film.mp4 has times of its own: a rate (--fps) is for films that have none" in capsys.readouterr().err
    for wrong in ("0", "-5", "x", "1/0", "nan", "5000"):
        with pytest.raises(SystemExit):
            run(tmp_path / "film.mp4", tmp_path / "out.mp4", f"--fps={wrong}")
        assert "must be frames a second, such as 16 or 24000/1001" in capsys.readouterr().err


def test_merging_pictures_with_a_film_takes_the_rate_given(tmp_path):
    pictures(tmp_path / "luma", [np.full((64, 64), 9 * n, np.uint8) for n in range(6)])
    film(tmp_path / "chroma.mp4", 6, size=(64, 64))
    command = ["merge", str(tmp_path / "luma"), str(tmp_path / "chroma.mp4"), "-o", str(tmp_path / "out.mp4")]
    assert main([*command, "--fps", "18", "--quiet"]) == 0
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert (reader.info.fps, len(list(reader))) == (18, 6)


# --- films whose size or format changes ---


@pytest.fixture
def changing(tmp_path) -> Path:
    """30 frames of 64x64, 30 of 96x64."""
    for name, size in (("a.ts", (64, 64)), ("b.ts", (96, 64))):
        start = 30 if name == "b.ts" else 0
        film(tmp_path / name, size=size, rate=Fraction(25), times=list(range(start, start + 30)), options={"qp": "0"})
    (tmp_path / "film.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    return tmp_path / "film.ts"


@pytest.mark.parametrize(
    "how", [[], ["--job", "JOB"], pytest.param(["--codec", "png"], marks=pytest.mark.release)], ids=" ".join
)
def test_parts_of_a_film_whose_size_changes(changing, tmp_path, how, capsys):
    how = [word.replace("JOB", str(tmp_path / "job")) for word in how]
    end = "" if "png" in how else ".mkv"
    assert run(changing, tmp_path / f"out{end}", *how) == 2
    told = capsys.readouterr().err
    assert "frame 30: the size changes from 64x64 to 96x64" in told and "--end 30 and with --start 30" in told
    for number, (name, part) in enumerate((("first", ["--end", "30"]), ("second", ["--start", "30"]))):
        mine = [word.replace("/job", f"/job{number}") for word in how]
        assert run(changing, tmp_path / f"{name}{end}", *part, *mine) == 0
        alone = tmp_path / f"alone-{name}{end}"
        assert run(tmp_path / ("a.ts", "b.ts")[number], alone, *(["--codec", "png"] if "png" in how else [])) == 0
        made = frames_of(tmp_path / f"{name}{end}")
        assert made[0].planes[0].shape == ((64, 64), (64, 96))[number]
        assert same(made, frames_of(alone)) or number  # another place on the grid of blocks
    assert len(frames_of(tmp_path / f"second{end}")) == 30


def test_a_part_near_the_change_does_not_see_beyond_it(changing):
    with VideoReader(changing, 20, 28) as reader:
        reader.context = (5, 20)
        assert [frame.index for frame in reader] == list(range(15, 30))
    with VideoReader(changing, 35, 40) as reader:
        reader.context = (20, 3)
        assert reader.low == 30
        assert [frame.index for frame in reader] == list(range(30, 43))
        assert reader.count == 5
    with VideoReader(changing, 28, 40) as reader, pytest.raises(UnsupportedError, match="--start 30"):
        list(reader)


def test_a_folder_of_pictures_whose_size_changes(tmp_path):
    sizes = [(64, 64)] * 5 + [(64, 80)] * 5
    pictures(tmp_path / "film", [np.full(size, 9 * n, np.uint8) for n, size in enumerate(sizes)])
    assert run(tmp_path / "film", tmp_path / "out.mkv") == 2
    assert run(tmp_path / "film", tmp_path / "first.mkv", "--end", "5") == 0
    assert run(tmp_path / "film", tmp_path / "second.mkv", "--start", "5") == 0
    assert [len(frames_of(tmp_path / name)) for name in ("first.mkv", "second.mkv")] == [5, 5]


def test_shots_are_found_across_a_change_of_size(changing):
    assert find_shots(changing, [3, 40]) == {3: (0, 30), 40: (30, 60)}


# --- what is no file ---


@pytest.fixture
def fifo(tmp_path) -> Path:
    """A named pipe that somebody writes a film into, if anybody reads it."""
    film(tmp_path / "film.mkv", 5, size=(64, 64))
    os.mkfifo(tmp_path / "pipe.mkv.png")
    os.mkfifo(tmp_path / "pipe.mkv")
    return tmp_path / "pipe.mkv"


@pytest.mark.parametrize(
    "command",
    [
        ["run", "PIPE", "-o", "OUT.mkv"],
        ["run", "PIPE", "-o", "OUT.mkv", "--job", "JOB"],
        ["run", "PIPE", "-o", "OUT.mkv", "--references", "film.mkv"],
        ["run", "film.mkv", "-o", "OUT.mkv", "--references", "PIPE"],
        ["run", "film.mkv", "-o", "OUT.mkv", "--references", "PIPE.png"],
        ["merge", "PIPE", "film.mkv", "-o", "OUT.mkv"],
        ["merge", "film.mkv", "PIPE", "-o", "OUT.mkv"],
        ["references", "pick", "PIPE", "-o", "OUT"],
        ["references", "align", "PIPE", "film.mkv", "-o", "OUT"],
        ["references", "align", "film.mkv", "PIPE", "-o", "OUT"],
        ["references", "show", "PIPE", "--references", "film.mkv", "--frames", "1", "-o", "OUT"],
        ["report", "PIPE", "film.mkv", "-o", "OUT"],
        ["report", "film.mkv", "PIPE", "-o", "OUT"],
        ["weights", "import", "PIPE"],
    ],
)
def test_a_pipe_is_refused_in_one_line(fifo, tmp_path, command, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [word.replace("PIPE", fifo.name) for word in command]
    done = []
    thread = threading.Thread(target=lambda: done.append(main([*words, "--quiet"] if "import" not in words else words)))
    thread.daemon = True
    thread.start()
    thread.join(60)
    assert done == [2], "it waits for the pipe"
    (line,) = capsys.readouterr().err.splitlines()
    assert "is a pipe" in line or "is a film, which" in line
    assert not list(tmp_path.glob("OUT*"))


def test_streams_and_devices_are_refused(tmp_path):
    """All of them by one process, which has a pipe as its input."""
    paths = ["/dev/stdin", "/dev/fd/0", "/dev/zero", "/proc/self/fd/0"]
    code = "import sys; from vs_remaster.cli import main\n"
    code += "assert all(main(['run', path, '-o', sys.argv[1]]) == 2 for path in sys.argv[2:])"
    command = [sys.executable, "-c", code, str(tmp_path / "out.mkv"), *paths]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    for path, line in zip(paths, told.splitlines(), strict=True):
        assert f"{path} is a {'device' if 'zero' in path else 'pipe'}, which cannot be read twice" in line


def test_names_that_cannot_be_looked_at(tmp_path):
    for name, message in (("x" * 300, "File name too long"), ("a\0b", "null")):
        with pytest.raises(InputError, match=message):
            VideoReader(tmp_path / name)
    (tmp_path / "film").mkdir()
    os.mkfifo(tmp_path / "film/1.png")
    with pytest.raises(InputError, match=r"1\.png is a pipe"):
        VideoReader(tmp_path / "film")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "s.mkv"))
    with pytest.raises(InputError, match=r"s\.mkv is a socket"):
        VideoReader(tmp_path / "s.mkv")


# --- what is not kept is said ---


def test_what_is_lost_of_interlaced_linear_and_hdr_film_is_said(tmp_path, ffmpeg, caplog):
    film(tmp_path / "fields.mkv", 3, codec="mpeg2video", options={"flags": "+ildct+ilme", "top": "1"}, field_order=2)
    VideoReader(tmp_path / "fields.mkv").close()
    assert "treated as whole pictures and written as progressive: deinterlace it first" in caplog.text
    (tmp_path / "dpx").mkdir()
    raw_film(tmp_path / "dpx/1.dpx", ffmpeg, "-pix_fmt", "gbrp10le", count=1)
    data = bytearray((tmp_path / "dpx/1.dpx").read_bytes())
    data[801] = 2
    (tmp_path / "dpx/1.dpx").write_bytes(data)
    VideoReader(tmp_path / "dpx").close()
    assert "is linear by its header" in caplog.text
    hdr = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
    raw_film(tmp_path / "hdr.mp4", ffmpeg, "-c:v", "libx265", "-x265-params", f"log-level=none:{hdr}", count=3)
    caplog.clear()
    VideoReader(tmp_path / "hdr.mp4").close()
    (record,) = caplog.records
    assert "mastering display and content light level of" in record.getMessage()
    assert "hdr.mp4" in record.getMessage()


@pytest.mark.parametrize(
    "names, found",
    [
        (["a_1", "a_2", "a_4", "a_5", "a_9", "a_10"], [("a_2", "a_4", 1), ("a_5", "a_9", 3)]),
        (["0998", "0999", "1000"], []),
        (["a_10", "a_20", "a_30", "a_31"], []),  # numbered by something else
        (["a_1", "a_2", "b_7", "b_8"], []),
        (["one", "two"], []),
        (["only_7"], []),
    ],
)
def test_numbers_that_are_missing_in_a_folder_of_pictures_are_told(names, found, tmp_path):
    assert [(before.stem, after.stem, n) for before, after, n in gaps([tmp_path / f"{x}.png" for x in names])] == found


def test_a_folder_with_a_gap_is_read_with_a_warning(tmp_path, caplog):
    for number in (1, 2, 3, 6):
        Image.fromarray(np.full((48, 64), 100, np.uint8)).save(tmp_path / f"f_{number:04}.png")
    assert VideoReader(tmp_path).info.frames == 4
    assert "after f_0003.png comes f_0006.png, 2 missing" in caplog.text
