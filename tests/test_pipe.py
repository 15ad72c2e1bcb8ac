"""`vs-remaster pipe`: y4m and raw frames through real pipes, files and ffmpeg, byte for byte."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import fields
from io import BytesIO, RawIOBase
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.films import frames_of, moving, random_planes
from vs_remaster import cli
from vs_remaster.cli.entry import make_parser
from vs_remaster.color.chroma import resize_chroma
from vs_remaster.color.samples import _decode
from vs_remaster.errors import InputError, RemasterError, UnsupportedError
from vs_remaster.pipe import PipeOptions, _read, remaster_pipe
from vs_remaster.references.reference import Reference, load_references
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.remaster.restorer import Restorer
from vs_remaster.usage import PIPE_EXAMPLE
from vs_remaster.video.rawvideo import Header, RawFormat, raw_format, y4m_format

SIZE = (64, 48)
FAST = ["--device", "cpu", "--color-lines", "64"]
MANY = ["420", "420jpeg", "420mpeg2", "420paldv", "411", "422", "444", "mono"]
DEEP = [f"{stem}{bits}" for stem in ("420p", "422p", "444p", "mono") for bits in (9, 10, 12, 14, 16)]
RAW = ["gray", "gray10le", "gray16le", "yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv420p10le"]
RAW += ["yuv422p12", "yuv444p16le", "gbrp", "gbrp10le", "gbrp16le", "rgb24", "rgb48le"]


def format_of(name: str, size: tuple[int, int] = SIZE, full: bool | None = None) -> RawFormat:
    return (raw_format if name in RAW else y4m_format)(name, *size, matrix=None, full_range=full)


def pix_fmt_of(name: str) -> str:
    """FFmpeg's name of a planar format with the same planes."""
    info = format_of(name)
    stem = {"gray": "gray", "rgb": "gbrp"}.get(info.kind) or f"yuv{name[:3]}p"
    return stem if info.bits == 8 else f"{stem}{info.bits}le"


def y4m(name: str, count: int, *tags: str, size: tuple[int, int] = SIZE, make: Callable = moving) -> bytes:
    """A film: C with `name`, `tags` as they are."""
    info = format_of(name, size)
    head = " ".join(["YUV4MPEG2", f"W{size[0]}", f"H{size[1]}", "F24000:1001", "Ip", "A16:15", f"C{name}", *tags])
    frames = (b"FRAME\n" + info.data(make(pix_fmt_of(name), *size, n)) for n in range(count))
    return b"".join((head.encode() + b"\n", *frames))


def taken_apart(data: bytes, matrix: str | None = None) -> tuple[Header, RawFormat, list[list[np.ndarray]]]:
    """(header, format, planes of every frame) of a y4m stream, which must end with a frame."""
    line, _, rest = data.partition(b"\n")
    header = Header.parse(line)
    info = y4m_format(header.pix_fmt, header.width, header.height, matrix=matrix, full_range=header.full_range)
    size = info.frame_bytes + 6
    assert len(rest) % size == 0
    frames = [rest[i : i + size] for i in range(0, len(rest), size)]
    assert all(frame.startswith(b"FRAME\n") for frame in frames)
    return header, info, [info.planes(frame[6:]) for frame in frames]


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def untouched() -> Restorer:
    return Restorer(RestoreOptions(strength=0, device="cpu"))


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(ColorizeOptions(device="cpu", lines=64))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    picture = np.full((48, 64, 3), (40, 90, 200), np.uint8)
    picture[:, ::4] //= 2
    (folder / "ref_0.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return folder


@pytest.fixture(scope="module")
def references(folder) -> list[Reference]:
    return load_references(folder)


@pytest.fixture
def command(monkeypatch, tmp_path, capsys) -> Callable[..., tuple[int, bytes, str]]:
    """Run `vs-remaster pipe` in this process on files as stdin and stdout: exit status, stdout, stderr."""

    def run(data: bytes, *arguments: object) -> tuple[int, bytes, str]:
        (tmp_path / "in").write_bytes(data)
        with (tmp_path / "in").open() as source, (tmp_path / "out").open("w") as sink, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", source)
            patch.setattr(sys, "stdout", sink)
            try:
                status = cli.main(["pipe", *map(str, arguments)])
            except SystemExit as stop:
                status = stop.code
        return status, (tmp_path / "out").read_bytes(), capsys.readouterr().err

    return run


# --- headers and formats ---


@given(
    size=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    name=st.sampled_from(MANY + DEEP),
    full=st.sampled_from([None, True, False]),
    others=st.lists(st.sampled_from(["F25:1", "A0:0", "Ip", "XFOO=1", "XCOMMENT", "XFOO=C", "Zx"]), unique=True),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_a_header_comes_out_as_it_went_in(size, name, full, others, order):
    tags = [f"W{size[0]}", f"H{size[1]}", f"C{name}", *others]
    tags += [] if full is None else [f"XCOLORRANGE={'FULL' if full else 'LIMITED'}"]
    order.shuffle(tags)
    line = " ".join(["YUV4MPEG2", *tags]).encode() + b"\n"
    header = Header.parse(line)
    assert (header.width, header.height, header.pix_fmt, header.full_range) == (*size, name, full)
    same = y4m_format(name, *size, matrix=None, full_range=full)
    assert header.line(same) == line
    out = y4m_format("444p16", *size, matrix=None, full_range=same.full_range)
    again = Header.parse(header.line(out))
    changed = name != "444p16"
    assert (again.pix_fmt, again.full_range) == ("444p16", out.full_range if changed else full)
    kept = [tag for tag in tags if not tag.startswith(("C", "XCOLORRANGE"))]
    assert [tag for tag in again.tags if not tag.startswith(("C", "XCOLORRANGE"))] == kept


def test_what_a_header_leaves_out():
    assert Header.parse(b"YUV4MPEG2 W2 H2").pix_fmt == "420jpeg"
    assert Header.parse(b"YUV4MPEG2 W2 H2 XYSCSS=422P10\n").pix_fmt == "422p10"
    assert [format_of(name).full_range for name in ("mono16", "444", "gray", "rgb24", "yuv420p")] == [1, 0, 1, 1, 0]
    assert [format_of(name).siting for name in MANY[:4]] == ["center", "center", "left", "topleft"]
    header = Header.parse(b"YUV4MPEG2 W2 H2 C420jpeg XYSCSS=420JPEG")
    assert header.line(format_of("420jpeg", (2, 2), True)) == (
        b"YUV4MPEG2 W2 H2 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL\n"
    )
    assert header.line(format_of("422", (2, 2))) == b"YUV4MPEG2 W2 H2 C422 XCOLORRANGE=LIMITED\n"


@pytest.mark.parametrize("size", [(65, 49), (1, 1)])
@pytest.mark.parametrize("name", MANY + DEEP + RAW)
def test_planes_and_bytes(name, size):
    """Against FFmpeg's own arrangement of the bytes."""
    info = format_of(name, size)
    planes = random_planes(pix_fmt_of(name) if name not in RAW else info.pix_fmt, *size)
    data = info.data(planes)
    assert len(data) == info.frame_bytes
    assert equal(info.planes(data), planes)
    order = {"rgb": [1, 2, 0], "yuv": [0, 1, 2], "gray": [0]}[info.kind]
    if name in ("rgb24", "rgb48le"):
        assert data == np.dstack(planes).tobytes()
    else:
        assert data == b"".join(planes[i].tobytes() for i in order)


@pytest.mark.parametrize("name", MANY + DEEP + RAW)
def test_strength_0_gives_back_every_byte(name, untouched):
    size = (65, 49)
    info = format_of(name, size)
    if name in RAW:
        planes = [random_planes(name, *size, n) for n in range(3)]
        data, options = b"".join(map(info.data, planes)), PipeOptions(format="raw", size=size, pix_fmt=name)
    else:
        data, options = y4m(name, 3, "XYSCSS=OLD", "XFOO=bar", size=size, make=random_planes), PipeOptions()
    sink = BytesIO()
    assert remaster_pipe(BytesIO(data), sink, options, restore=untouched, colorize=None) == 3
    if info.kind != "rgb":
        assert sink.getvalue() == data
        return
    for n, before in enumerate(planes):  # R'G'B' is made anew of luma and chroma
        after = info.planes(sink.getvalue()[n * info.frame_bytes : (n + 1) * info.frame_bytes])
        assert max(np.abs(p.astype(int) - q).max() for p, q in zip(after, before, strict=True)) <= (info.bits == 16)


@pytest.mark.parametrize("name", ["mono", "420jpeg", "422p10", "444p12", "mono16"])
def test_ffmpeg_reads_what_is_written(tmp_path, name, untouched):
    with (tmp_path / "film.y4m").open("wb") as sink:
        remaster_pipe(BytesIO(y4m(name, 3, "XCOLORRANGE=LIMITED")), sink, restore=untouched, colorize=None)
    frames = frames_of(tmp_path / "film.y4m")
    assert len(frames) == 3
    for frame in frames:
        assert equal(frame.planes, moving(pix_fmt_of(name), *SIZE, frame.index))


# --- colours ---


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(
    ("name", "made"),
    [("mono", "444"), ("mono10", "444p10"), ("mono16", "444p16"), ("420jpeg", "420jpeg"), ("422p10", "422p10"),
     ("444p16", "444p16")],
)  # fmt: skip
def test_luma_is_kept_bit_for_bit_when_colour_is_added(name, made, full, colorizer, references):
    sink, tag = BytesIO(), f"XCOLORRANGE={'FULL' if full else 'LIMITED'}"
    source = BytesIO(y4m(name, 3, tag, "XFOO=bar", make=random_planes))
    remaster_pipe(source, sink, restore=None, colorize=colorizer, references=references)
    header, _, frames = taken_apart(sink.getvalue())
    assert (header.pix_fmt, header.full_range, len(frames)) == (made, full, 3)
    assert {"F24000:1001", "Ip", "A16:15", "XFOO=bar", tag} < set(header.tags)
    for n, planes in enumerate(frames):
        luma, *colors = random_planes(pix_fmt_of(name), *SIZE, n)
        assert np.array_equal(planes[0], luma)
        assert all(len(np.unique(plane)) > 1 for plane in planes[1:])
        assert not colors or not np.array_equal(planes[1], colors[0])


def test_another_format_holds_the_same_colours(colorizer, references):
    film = y4m("mono16", 2, size=(66, 50))

    def colored(name: str, matrix: str) -> tuple[RawFormat, list[list[np.ndarray]]]:
        sink, options = BytesIO(), PipeOptions(pix_fmt=name, matrix=matrix)
        remaster_pipe(BytesIO(film), sink, options, restore=None, colorize=colorizer, references=references)
        return taken_apart(sink.getvalue(), matrix)[1:]

    fine, whole = colored("444p16", "bt601")
    for name in ("420jpeg", "420p10", "422p12"):
        info, frames = colored(name, "bt601")
        for made, full in zip(frames, whole, strict=True):
            size, layout = made[1].shape, {"subsampling": info.subsampling}
            wanted = resize_chroma(_decode(full[1:], fine, chroma=True), size, info.siting, **layout)
            assert (_decode(made[1:], info, chroma=True) - wanted).abs().max() < 0.6 / (1 << info.bits)
    assert not np.array_equal(colored("444p16", "bt709")[1][0][1], whole[0][1])


def test_chroma_of_another_siting_is_moved(untouched):
    """Half a pixel of luma, a quarter of a sample of 4:2:0: 2 codes on a slope of 8."""

    def slope(pix_fmt: str, width: int, height: int, seed: int) -> list[np.ndarray]:
        ramp = np.tile(8 * np.arange(width // 2, dtype=np.uint8), (height // 2, 1))
        return [np.zeros((height, width), np.uint8), ramp, ramp]

    sink = BytesIO()
    film = y4m("420jpeg", 1, size=(32, 32), make=slope)
    remaster_pipe(BytesIO(film), sink, PipeOptions(pix_fmt="420mpeg2"), restore=untouched, colorize=None)
    header, _, ((_, blue, red),) = taken_apart(sink.getvalue())
    assert header.pix_fmt == "420mpeg2"
    for plane in (blue, red):
        assert (np.abs(8.0 * np.arange(1, 15) - 2 - plane[:, 1:-1]) <= 1).all()
        assert (np.diff(plane[:, 1:-1].astype(int)) == 8).all()


@pytest.mark.parametrize(("name", "tags"), [("mono", ()), ("mono16", ("XCOLORRANGE=LIMITED",)), ("444p10", ())])
def test_frames_are_those_of_run(tmp_path, command, folder, name, tags):
    film = y4m(name, 12, *tags)
    (tmp_path / "film.y4m").write_bytes(film)
    common = ["--references", folder, *FAST]
    output = ["-o", tmp_path / "out.mkv", "--codec", "ffv1"]
    assert cli.main([str(a) for a in ("run", tmp_path / "film.y4m", *output, *common)]) == 0
    status, data, err = command(film, *common)
    assert status == 0, err
    assert f"64x48 {name}: restore with fast at 64x48, colour from 1 reference with fast at" in err
    assert err.endswith("12 frames written to stdout\n")
    _, _, frames = taken_apart(data)
    for mine, theirs in zip(frames, frames_of(tmp_path / "out.mkv"), strict=True):
        assert equal(mine, theirs.planes)


@pytest.mark.parametrize("levels", [[], ["--levels", "0.2,0.7,1.2"]])
def test_a_restored_film_keeps_its_format_and_is_that_of_run(tmp_path, command, levels):
    film = y4m("420jpeg", 6, "XYSCSS=420JPEG", size=(65, 49))
    (tmp_path / "film.y4m").write_bytes(film)
    output = ["-o", tmp_path / "out.mkv", "--codec", "ffv1"]
    assert cli.main([str(a) for a in ("run", tmp_path / "film.y4m", *output, *levels, *FAST)]) == 0
    status, data, err = command(film, *levels, *FAST)
    assert status == 0, err
    assert data.partition(b"\n")[0] == film.partition(b"\n")[0]
    _, _, frames = taken_apart(data)
    for n, (mine, theirs) in enumerate(zip(frames, frames_of(tmp_path / "out.mkv"), strict=True)):
        assert equal(mine, theirs.planes)
        assert not np.array_equal(mine[0], moving("yuv420p", 65, 49, n)[0])


def test_raw_frames_are_those_of_y4m(command, folder):
    common = ["--references", folder, *FAST]
    status, data, err = command(y4m("mono16", 4), *common)
    assert status == 0, err
    head, _, rest = data.partition(b"\n")
    assert b"C444p16" in head
    raw = b"".join(format_of("gray16le").data(moving("gray16le", *SIZE, n)) for n in range(4))
    status, data, err = command(raw, "--format", "raw", "--size", "64x48", "--pix-fmt", "gray16le", *common)
    assert status == 0, err
    assert "; yuv444p16le, bt601, full range, to stdout\n" in err
    size = format_of("yuv444p16le").frame_bytes
    assert data == b"".join(rest[i + 6 : i + 6 + size] for i in range(0, len(rest), size + 6))


# --- the stream ---


class ChunkCoding(RawIOBase):
    """A stream that gives its bytes in the pieces that an iterator makes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, room) -> int:
        self._rest = self._rest or next(self._chunks, b"")
        taken, self._rest = self._rest[: len(room)], self._rest[len(room) :]
        room[: len(taken)] = taken
        return len(taken)


@pytest.mark.parametrize("count", [1, 2, 17, 40])
def test_as_many_frames_as_came_however_they_came(count, colorizer, references):
    restorer = Restorer(RestoreOptions(device="cpu"))
    film = y4m("mono", count).replace(b"FRAME\n", b"FRAME Ip XFOO\n", 1)
    ends = np.sort(np.random.default_rng(count).integers(0, len(film), 3 * count))  # in pieces, as pipes give
    results = []
    for chunks in ([film[i:j] for i, j in pairwise([0, *ends, len(film)]) if i < j], [film]):
        sink = BytesIO()
        work = {"restore": restorer, "colorize": colorizer, "references": references}
        assert remaster_pipe(ChunkCoding(iter(chunks)), sink, **work) == count
        results.append(sink.getvalue())
        assert len(taken_apart(results[-1])[2]) == count
    assert results[0] == results[1]


def test_a_long_stream_takes_no_more_memory(untouched):
    taken = written = most = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken, most
        yield b"YUV4MPEG2 W16 H16 Cmono\n"
        for taken in range(1, 501):
            most = max(most, taken - written)
            yield b"FRAME\n" + bytes(16 * 16)

    def progress(done: int, total: int | None) -> None:
        nonlocal written
        written = done

    options = {"restore": untouched, "colorize": None, "progress": progress}
    assert remaster_pipe(ChunkCoding(chunks()), BytesIO(), **options) == taken == written == 500
    assert most < 100


def test_real_ffmpeg_on_both_ends(tmp_path, monkeypatch, capsys, ffmpeg, folder):
    quiet = [ffmpeg, "-v", "error", "-nostdin"]
    before = subprocess.Popen(
        [*quiet, "-f", "lavfi", "-i", "testsrc2=s=64x48:r=24000/1001:d=2", "-frames:v", "20", "-pix_fmt", "gray10le",
         "-f", "yuv4mpegpipe", "-strict", "-1", "-"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    arguments = [*quiet, "-i", "-", "-c:v", "ffv1", str(tmp_path / "new.mkv")]
    after = subprocess.Popen(arguments, stdin=subprocess.PIPE, text=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", before.stdout)
        patch.setattr(sys, "stdout", after.stdin)
        assert cli.main(["pipe", "--references", str(folder), "--quiet", *FAST]) == 0, capsys.readouterr().err
    after.stdin.close()
    assert (before.wait(60), after.wait(60)) == (0, 0)
    frames = frames_of(tmp_path / "new.mkv")
    assert len(frames) == 20
    assert [p.shape for p in frames[0].planes] == [SIZE[::-1]] * 3
    assert capsys.readouterr().err == ""


def start(*arguments: str) -> subprocess.Popen[bytes]:
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job of a shell in the background ignores it
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "vs_remaster.cli", "pipe", *arguments, *FAST],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[1],
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, ours)


def test_a_broken_pipe_and_ctrl_c_end_quietly():
    """The second while the program before holds the pipe open and gives nothing."""
    film = y4m("mono", 80)
    most = film.index(b"\n") + 1 + 32 * (64 * 48 + 6)
    jobs = [start("--quiet"), start()]
    broken, stopped = jobs
    try:
        for job in jobs:
            job.stdin.write(film)
            job.stdin.flush()
        assert [len(job.stdout.read(most)) for job in jobs] == [most] * 2  # frames come before the end of the film
        time.sleep(0.5)  # until it waits for more
        os.kill(stopped.pid, signal.SIGINT)
        broken.stdout.close()
        with pytest.raises(BrokenPipeError):
            for _ in range(1000):
                broken.stdin.write(film[film.index(b"\n") + 1 :])
                broken.stdin.flush()
        assert (broken.wait(60), stopped.wait(60)) == (0, 130)
        assert broken.stderr.read() == b""
        assert stopped.stderr.read().decode().splitlines()[-1] == "vs-remaster: stopped"
    finally:
        for job in jobs:
            job.kill()
            for pipe in (job.stdin, job.stdout, job.stderr):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


# --- what is refused ---


@pytest.mark.parametrize(
    ("cut", "words"),
    [(-1, "frame 19 is cut off: 3071 of 3072 bytes"), (-3074, "frame 19 is cut off: 0 of 3072 bytes"),
     (-3072, "frame 19 is cut off: 0 of 3072 bytes"), (None, "frame 20 does not begin with FRAME")],
)  # fmt: skip
def test_whole_frames_are_written_before_a_broken_one(command, cut, words):
    film = y4m("mono", 20)
    whole = film[: -3078 if cut else None]
    status, wanted, err = command(whole, "--quiet", *FAST)
    assert (status, err) == (0, "")
    status, data, err = command(film[:cut] if cut else film + b"RUBBISH AND MORE", "--quiet", *FAST)
    assert status == 2
    assert err.startswith(f"vs-remaster: stdin: {words}")
    assert err.endswith(f"; {19 if cut else 20} frames were written\n")
    assert err.count("\n") == 1
    assert data == wanted


def test_bad_input_is_one_line_and_nothing_is_written(command):
    def head(*tags: str) -> bytes:
        return " ".join(["YUV4MPEG2", *tags]).encode() + b"\n"

    raw = ("--format", "raw", "--size", "64x48", "--pix-fmt", "gray")
    frame = b"FRAME\n" + bytes(16)
    for words, data, *arguments in (
        ("stdin is empty", b""),
        (f"stdin is not y4m but looks like Matroska or WebM: {PIPE_EXAMPLE}", b"\x1a\x45\xdf\xa3" + bytes(99)),
        ("looks like MP4 or MOV", b"\0\0\0\x20ftypisom" + bytes(99)),
        (f"stdin is not y4m: {PIPE_EXAMPLE}", b"YUV4"),
        ("header does not end", b"YUV4MPEG2 W4 H4"),
        ("header does not end", b"YUV4MPEG2 W4 H4 " + b"X" * 5000),
        ("y4m format '444alpha' is not known: use 420", head("W4", "H4", "C444alpha")),
        ("y4m format '420p17' is not known", head("W4", "H4", "C420p17")),
        ("y4m format '444ph' is not known", head("W4", "H4", "C444ph")),
        ("has no width", head("H4", "Cmono")),
        ("got '-4'", head("W4", "H-4", "Cmono")),
        ("a size of 0x4 pixels cannot be right", head("W0", "H4", "Cmono")),
        ("a size of 4x999999999999 pixels cannot be right", head("W4", "H999999999999")),
        ("interlaced, top field first: deinterlace it first with ffmpeg -i FILE -vf bwdif", head("W4", "H4", "It")),
        ("interlaced, bottom field first", head("W4", "H4", "Ib")),
        ("interlaced in parts", head("W4", "H4", "Im")),
        ("holds no frames: its y4m header is all there is", head("W4", "H4", "Cmono")),
        ("nothing to do", head("W4", "H4", "Cmono") + frame, "--no-restore"),
        ("y4m format 'yuv420p' is not known", head("W4", "H4", "Cmono") + frame, "--pix-fmt", "yuv420p"),
        ("leave --size out", b"", "--size", "4x4"),
        ("give --size and --pix-fmt", b"", "--format", "raw", "--size", "4x4"),
        ("must be WxH, such as 720x576, got '4'", b"", "--format", "raw", "--size", "4"),
        ("raw frames of 'nv12' cannot be taken", b"", *raw, "--pix-fmt", "nv12"),
        ("raw frames of 'yuva444p' cannot be taken", b"", *raw, "--pix-fmt", "yuva444p"),
        ("raw frames of 'grayf32le' cannot be taken", b"", *raw, "--pix-fmt", "grayf32le"),
        ("stdin holds no frames", b"", *raw),
        ("frame 0 is cut off: 99 of 3072 bytes; 0 frames", bytes(99), *raw),
        ("invalid choice: 'pal'", b"", "--matrix", "pal"),
        ("strength must be between 0 and 1", b"", "--strength", "2"),
        ("levels need LOW below HIGH, got 0.9 and 0.1", b"", "--levels", "0.9,0.1"),
        ("levels are auto, which looks at whole shots of a film on disk (run, ", b"", "--levels", "auto"),
    ):
        status, out, err = command(data, "--quiet", *arguments, *FAST)
        assert (status, out) == (2, b""), words
        assert words in err
        assert err.startswith("vs-remaster: ")
        assert err.count("\n") == 1, err


def test_colours_need_a_place(colorizer, references):
    with pytest.raises(InputError, match="mono16 has no place for colours"):
        remaster_pipe(
            BytesIO(y4m("mono", 1)), BytesIO(), PipeOptions(pix_fmt="mono16"), restore=None, colorize=colorizer,
            references=references,
        )  # fmt: skip
    with pytest.raises(InputError, match="unknown matrix 'pal'"):
        PipeOptions(matrix="pal")


def test_a_terminal_a_folder_and_a_closed_stream_are_refused(monkeypatch, capsys, tmp_path):
    master, terminal = os.openpty()
    there = os.open(tmp_path, os.O_RDONLY)

    class Folder:
        closed = False
        isatty = staticmethod(lambda: False)
        fileno = staticmethod(lambda: there)

    for stream, words in (
        (open(terminal), f"stdin is a terminal: {PIPE_EXAMPLE}"),
        (None, "closed"),
        (Folder, "director"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", stream)
            assert cli.main(["pipe", *FAST]) == 2
        assert words in capsys.readouterr().err
    os.close(master)
    os.close(there)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_error(untouched):
    with open("/dev/full", "wb", buffering=0) as sink, pytest.raises(RemasterError, match="no space left for stdout"):
        remaster_pipe(BytesIO(y4m("mono", 1)), sink, restore=untouched, colorize=None)


# --- options ---


def test_options_are_those_of_run():
    arguments = vars(make_parser().parse_args(["pipe"]))
    run = vars(make_parser().parse_args(["run", "in.mkv", "-o", "out.mkv"]))
    own = {"format", "pix_fmt", "size", "matrix", "range", "command"}
    assert {name: value for name, value in arguments.items() if name not in own} == {
        name: run[name] for name in arguments if name not in own
    }
    assert {field.default for field in fields(PipeOptions)} == {"y4m", None}
    assert {arguments[name] for name in own - {"command"}} == {"y4m", None}


def test_options_reach_the_engine(monkeypatch, command, folder):
    seen = {}

    def record(source, sink, options, treatment, **more):
        seen.update(vars(treatment), options=options)
        raise UnsupportedError("stop here")

    monkeypatch.setattr("vs_remaster.pipe.remaster_pipe", record)
    command(
        b"", "--references", folder, "--strength", ".5", "--saturation", "1.5", "--grain", ".25", "--scenes", "none",
        "--range", "limited", "--matrix", "bt2020", "--pix-fmt", "rgb24", "--format", "raw", "--size", "4x6",
        "--levels", ".1,.8", "--sharpness", ".75", "--scale", "2", "--sharpener", "own.safetensors", *FAST,
    )  # fmt: skip
    assert seen["restore"] == RestoreOptions(
        strength=0.5, grain=0.25, sharpness=0.75, scale=2, sharpener="own.safetensors", levels=(0.1, 0.8), device="cpu"
    )
    assert seen["colorize"] == ColorizeOptions(saturation=1.5, lines=64, device="cpu")
    assert (seen["scenes"], len(seen["references"])) == ("none", 1)
    assert seen["options"] == PipeOptions(format="raw", size=(4, 6), pix_fmt="rgb24", matrix="bt2020", full_range=False)
    command(b"", "--range", "full", "--no-restore", "--no-color", *FAST)
    assert (seen["restore"], seen["colorize"], seen["options"].full_range) == (None, None, True)


@pytest.mark.parametrize("size", [(32768, 32768), (16384, 16384)])
def test_a_header_of_monstrous_frames_is_refused(size):
    stream = BytesIO(b"YUV4MPEG2 W%d H%d F24:1 C444p16\n" % size)
    with pytest.raises(InputError, match=rf"a size of {size[0]}x{size[1]} pixels cannot be right: .* 134 million"):
        remaster_pipe(stream, BytesIO(), restore=RestoreOptions(), colorize=None)


def test_memory_for_a_frame_is_taken_as_its_bytes_come():
    stream = BytesIO(bytes(1000))
    tracemalloc.start()
    assert _read(stream, 800 << 20) == bytes(1000)
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()
    data = bytes(range(256)) * (300 << 10)  # more than is waited for at once
    assert _read(BytesIO(data), len(data)) == data and _read(BytesIO(data), len(data) + 1) == data
