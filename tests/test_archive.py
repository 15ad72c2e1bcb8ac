"""Outputs for archives: MXF, DNxHR, DPX and TIFF, timecode; real files, read back by the library and by FFmpeg."""

from __future__ import annotations

import logging
import struct
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.support.films import NTSC, copy, film, frames_of, moving, packets, pictures, random_planes, same
from vs_remaster.color.samples import decode_rgb
from vs_remaster.errors import InputError, UnsupportedError
from vs_remaster.film.frames import decode_frame
from vs_remaster.output.codecs import CONTAINERS, TABLE, check_container
from vs_remaster.output.formats import OutputFormat, output_format
from vs_remaster.output.pictures import PictureWriter
from vs_remaster.output.writer import VideoWriter
from vs_remaster.video.containers import declared_size
from vs_remaster.video.planes import Frame
from vs_remaster.video.reader import VideoReader
from vs_remaster.video.timecode import Timecode, first_timecode

LARGE = (256, 144)  # DNxHR takes nothing smaller
DROP = Fraction(30000, 1001)


def timecodes(path: Path) -> set[str]:
    """Every timecode that FFmpeg finds in a file."""
    with av.open(str(path)) as container:
        found = [container.metadata, *(s.metadata for s in container.streams)]
    return {text for data in found for key, text in data.items() if key.lower() == "timecode"}


def sound_of(path: Path, number: int = 0) -> np.ndarray:
    """Decoded samples `[n, channels]`; those of 24 bits in the upper bits of 32."""
    with av.open(str(path)) as container:
        track = container.streams.audio[number]
        blocks = [f.to_ndarray().reshape(-1, f.layout.nb_channels) for f in container.decode(track)]
    return np.concatenate(blocks)


# --- timecode ---


@pytest.mark.parametrize("rate", [24, 30, 60])
def test_timecode_goes_on_by_one_frame_and_says_what_it_was_made_of(rate):
    fps = Fraction(rate * 1000, 1001)
    drop = rate % 30 == 0
    separator = ";" if drop else ":"
    code = Timecode.parse(f"00:00:59{separator}{rate - 2}", fps)
    labels = [str(code + n) for n in range(12 * 60 * rate)]
    assert len(set(labels)) == len(labels)
    assert labels == sorted(labels)
    for label in labels[:: rate * 7 + 1] + labels[:10]:
        assert str(Timecode.parse(label, fps)) == label
    skipped = {24: 0, 30: 2, 60: 4}[rate]
    assert labels[2] == f"00:01:00{separator}{skipped:02}"
    assert labels[1] == f"00:00:59{separator}{rate - 1}"
    assert f"00:10:00{separator}00" in labels
    assert (f"00:09:00{separator}00" in labels) == (not drop)


def test_an_hour_of_drop_frame_lasts_an_hour_and_midnight_follows():
    hour = Timecode.parse("01:00:00;00", DROP)
    assert hour.number == 107892  # SMPTE ST 12-1: 108 numbers of 108000 are dropped
    assert abs(hour.number / DROP - 3600) < Fraction(1, 250)
    assert str(Timecode.parse("23:59:59;29", DROP) + 1) == "00:00:00;00"
    assert str(Timecode.parse("23:59:59:23", NTSC) + 25) == "00:00:01:00"
    assert str(Timecode.parse("1:02:03.29", DROP)) == "01:02:03;29"
    assert Timecode.parse("01:00:00;00", Fraction(2997, 100)).number == 107892


@pytest.mark.parametrize(
    ("text", "fps", "message"),
    [
        ("1:2:3", 25, "must be HH:MM:SS:FF.*got '1:2:3'"),
        ("00:00:00:25", 25, "00:00:00:25 does not exist at 25 frames a second: at most 23:59:59:24"),
        ("24:00:00:00", 25, "does not exist"),
        ("00:60:00:00", 25, "does not exist"),
        ("00:01:00;01", DROP, "does not exist: drop-frame goes from 00:00:59;29 to 00:01:00;02"),
        ("00:01:00;05", 25, "drop-frame, which a film of 25 frames a second does not have.*write 00:01:00:05"),
        ("00:01:00;05", 30, "drop-frame"),
    ],
)
def test_times_that_do_not_exist(text, fps, message):
    with pytest.raises(InputError, match=message):
        Timecode.parse(text, Fraction(fps))


@pytest.fixture(scope="module")
def coded(tmp_path_factory, ffmpeg) -> Path:
    """A colour film of BT.601 with drop-frame timecode, sound of 16 bits at 44.1 kHz and of 24 bits at 48 kHz."""
    path = tmp_path_factory.mktemp("coded") / "film.mov"
    command = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=256x144:r=30000/1001:d=2"]
    command += ["-f", "lavfi", "-i", "sine=d=1.5", "-f", "lavfi", "-i", "aevalsrc=sin(t*900)|sin(t*700):s=48000:d=2.5"]
    command += ["-map", "0", "-map", "1", "-map", "2", "-c:v", "libx264", "-crf", "8", "-pix_fmt", "yuv420p", "-c:a:0"]
    command += ["pcm_s16le", "-c:a:1", "pcm_s24le", "-timecode", "00:00:59;20"]
    # by a filter: newer FFmpegs (9.0) take primaries and transfer from the frames, whatever the options say
    tags = "setparams=colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m"
    command += ["-vf", f"setsar=16/15,{tags}", path]
    subprocess.run([str(part) for part in command], check=True)
    return path


CONTAINED = [("out.mov", "prores4444"), ("out.mkv", "ffv1"), ("out.mp4", "x264"), ("out.mxf", "prores")]


@pytest.mark.parametrize(("name", "codec"), CONTAINED)
def test_timecode_is_carried_advanced_and_set(tmp_path, coded, name, codec):
    copy(coded, tmp_path / name, codec, end=3)
    assert timecodes(tmp_path / name) == {"00:00:59;20"}
    # ten frames to the end of the minute; its first two numbers are dropped
    copy(coded, tmp_path / name, codec, start=15, end=18, overwrite=True)
    assert timecodes(tmp_path / name) == {"00:01:00;07"}
    copy(coded, tmp_path / name, codec, start=15, end=18, overwrite=True, timecode="10:20:30:10")
    assert timecodes(tmp_path / name) == {"10:20:30:10"}
    with VideoReader(tmp_path / name, start=2) as reader:
        assert reader.info.timecode == "10:20:30:10"
        assert str(first_timecode(reader.info, 2, None)) == "10:20:30:12"
    copy(tmp_path / name, tmp_path / "again.mkv", "ffv1", start=1)
    assert timecodes(tmp_path / "again.mkv") == {"10:20:30:11"}


def test_timecode_that_cannot_be_kept_is_named(tmp_path, coded, caplog):
    copy(coded, tmp_path / "out", "png", end=1)
    assert "timecode 00:00:59;20 is left out: png pictures cannot hold it, dpx can" in caplog.text
    assert "2 tracks of sound, the sample aspect ratio 16/15, the colour tags left out: a folder" in caplog.text
    with VideoReader(coded) as reader:
        out = output_format(reader.info, "ffv1", False)
        with pytest.raises(InputError, match="does not exist at 30 frames a second"):
            VideoWriter(tmp_path / "out.mkv", reader, out, codec="ffv1", timecode="00:00:00:30")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["out"]


# --- MXF ---


@pytest.mark.parametrize("codec", ["prores", "prores4444", "dnxhr", "dnxhr444", "ffv1"])
def test_mxf_holds_picture_tags_and_sound(tmp_path, coded, codec):
    copy(coded, tmp_path / "out.mxf", codec, start=7, end=37)
    with VideoReader(coded, 7, 37) as source, VideoReader(tmp_path / "out.mxf") as reader:
        a, b = source.info, reader.info
        assert (b.fps, b.sar, b.width, b.height) == (DROP, Fraction(16, 15), *LARGE)
        assert (b.full_range, b.tags.primaries) == (False, 6)
        assert b.matrix == ("bt709" if codec.startswith("dnxhr") else "bt601")
        assert (b.bits, b.subsampling) == {
            "prores": (10, (1, 0)), "dnxhr": (10, (1, 0)), "prores4444": (12, (0, 0)), "dnxhr444": (10, (0, 0)),
            "ffv1": (8, (1, 1)),
        }[codec]  # fmt: skip
        frames = list(reader)
        assert len(frames) == 30
        for x, y in zip(source, frames, strict=True):
            if codec == "ffv1":
                assert all(np.array_equal(p, q) for p, q in zip(x.planes, y.planes, strict=True))
            away = (decode_rgb(x.planes, a) - decode_rgb(y.planes, b)).abs()
            assert away.mean().item() < 0.01  # a matrix that is not the file's is twice as far away
    whole = sound_of(coded, 1)
    begin, length = round(7 / DROP * 48000), round(30 / DROP * 48000)
    assert np.array_equal(sound_of(tmp_path / "out.mxf", 1), whole[begin : begin + length])
    assert len(sound_of(tmp_path / "out.mxf", 0)) == length


def test_a_matrix_that_dnxhr_cannot_say_would_show(tmp_path, coded):
    """What the bound above would see if code values were written as they are."""
    with VideoReader(coded) as reader:
        frame, info = next(iter(reader)), reader.info
    wrong = decode_rgb(frame.planes, replace(info, matrix="bt709"))
    assert (decode_rgb(frame.planes, info) - wrong).abs().mean().item() > 0.02


@pytest.mark.parametrize("pix_fmt", ["gray", "gray16le", "yuv422p10le", "yuv444p16le", "gbrp10le", "gbrp16le"])
def test_ffv1_in_mxf_is_lossless(tmp_path, pix_fmt):
    film(tmp_path / "film.mkv", 3, pix_fmt, (65, 49), "ffv1", rate=Fraction(25))
    copy(tmp_path / "film.mkv", tmp_path / "out.mxf", "ffv1")
    with VideoReader(tmp_path / "film.mkv") as a, VideoReader(tmp_path / "out.mxf") as b:
        assert (b.info.pix_fmt, b.info.full_range) == (pix_fmt, a.info.full_range)
        assert same(list(a), list(b))


@pytest.mark.parametrize("name", ["out.mkv", "out.mxf"])
def test_every_slice_of_ffv1_has_a_checksum(tmp_path, name):
    film(tmp_path / "film.mkv", 2, "gray16le", codec="ffv1", rate=Fraction(25))
    copy(tmp_path / "film.mkv", tmp_path / name, "ffv1")
    payload = packets(tmp_path / name, "video")[1][1]
    data = (tmp_path / name).read_bytes()
    at = data.index(payload) + len(payload) // 2
    (tmp_path / f"bad{name}").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        for path, mismatches in ((tmp_path / name, 0), (tmp_path / f"bad{name}", 1)):
            with av.open(str(path)) as container, av.logging.Capture(False) as said:
                assert len(list(container.decode(video=0))) == 2
            assert sum("slice CRC mismatch" in text for _, _, text in said) == mismatches
    finally:
        av.logging.set_level(level)


def test_what_mxf_cannot_hold_is_named(tmp_path, ffmpeg, caplog):
    (tmp_path / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,500\nHello\n")
    (tmp_path / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=A Film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n"
    )
    command = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1"]
    command += ["-f", "lavfi", "-i", "sine=d=1", "-i", tmp_path / "s.srt", "-i", tmp_path / "meta.txt", "-map", "0"]
    command += ["-map", "1", "-map", "2", "-map_metadata", "3", "-map_chapters", "3", "-c:a", "aac", "-c:s", "srt"]
    command += ["-metadata:s:a", "language=fra", "-metadata:s:v", "title=Picture"]
    subprocess.run([str(c) for c in [*command, tmp_path / "film.mkv"]], check=True)
    copy(tmp_path / "film.mkv", tmp_path / "out.mxf", "prores")
    assert "stream 1 (audio, aac, fra), 44100 Hz, is converted to PCM of 24 bits and 48000 Hz" in caplog.text
    assert "stream 2 (subtitle, srt) is left out: mxf cannot hold it" in caplog.text
    assert "1 chapters are left out" in caplog.text
    assert "title of stream 0 left out" in caplog.text
    assert "language of stream 1 left out" in caplog.text
    assert "metadata title left out: mxf cannot hold it" in caplog.text
    heard = sound_of(tmp_path / "out.mxf").ravel() / 2**31
    assert len(heard) == 48000
    spectrum = np.abs(np.fft.rfft(heard[8000:40000]))
    assert np.argmax(spectrum) * 48000 / 32000 == pytest.approx(440, abs=2)  # the tone, at its pitch
    with av.open(str(tmp_path / "film.mkv")) as container:
        loud = np.concatenate([f.to_ndarray().ravel() for f in container.decode(audio=0)])
    assert np.abs(heard[8000:40000]).max() == pytest.approx(np.abs(loud[8000:36000]).max(), abs=0.005)


def test_sound_that_begins_late_pauses_and_ends_early_keeps_its_place(tmp_path):
    film(tmp_path / "v.mkv", 200, "gray", codec="ffv1", size=(16, 16), rate=Fraction(25))
    with av.open(str(tmp_path / "v.mkv")) as old, av.open(str(tmp_path / "film.mkv"), "w") as new:
        picture = new.add_stream_from_template(old.streams.video[0])
        voice = new.add_stream("pcm_s16le", rate=48000, layout="mono")
        new.start_encoding()
        sounds = [(0.5, 1), (0.6, 2), (1.5, 3), (7.7, 4)]  # seconds, what is heard for 0.1 s
        blocks = []
        for time, value in sounds:
            block = av.AudioFrame.from_ndarray(np.full((1, 4800), value, np.int16), format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = 48000, round(time * 48000), Fraction(1, 48000)
            blocks += voice.encode(block)
        for packet in sorted([*old.demux(video=0), *blocks], key=lambda p: float((p.pts or 0) * p.time_base)):
            if packet.size:
                packet.stream = picture if packet.stream.type == "video" else packet.stream
                new.mux(packet)
    copy(tmp_path / "film.mkv", tmp_path / "out.mxf", "ffv1")
    expected = np.zeros(8 * 48000, np.int16)
    for time, value in sounds:
        expected[round(time * 48000) :][:4800] = value
    assert np.array_equal(sound_of(tmp_path / "out.mxf").ravel(), expected)


def test_sound_behind_the_picture_is_named(tmp_path, coded, caplog):
    copy(coded, tmp_path / "out.mxf", "prores", end=20)
    assert "sound behind" not in caplog.text  # the film goes on there as well
    copy(coded, tmp_path / "out.mxf", "prores", overwrite=True)
    assert "sound behind the last picture is left out" in caplog.text
    assert len(sound_of(tmp_path / "out.mxf", 1)) == len(sound_of(tmp_path / "out.mxf", 0)) == 96096


def test_variable_rate_is_refused_by_mxf_before_any_work(tmp_path):
    film(tmp_path / "film.mp4", times=[0, 1001, 2002, 5005, 6006], time_base=Fraction(1, 24000), size=LARGE)
    with VideoReader(tmp_path / "film.mp4") as reader:
        out = output_format(reader.info, "dnxhr", False)
        with pytest.raises(InputError, match=r"film\.mp4 has a variable rate \(frame \d .*\.mxf cannot hold.*\.mkv or"):
            VideoWriter(tmp_path / "out.mxf", reader, out, codec="dnxhr")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["film.mp4"]


@pytest.mark.parametrize("rate", [NTSC, Fraction(18), Fraction(25), Fraction(60000, 1001)])
def test_mxf_has_the_exact_rate_of_a_film_in_milliseconds(tmp_path, rate, caplog):
    film(tmp_path / "film.mkv", 30, "gray", codec="ffv1", rate=rate)
    copy(tmp_path / "film.mkv", tmp_path / "out.mxf", "ffv1")
    with VideoReader(tmp_path / "out.mxf") as reader:
        assert (reader.info.fps, reader.info.time_base) == (rate, 1 / rate)
        assert [f.pts for f in reader] == list(range(30))
    assert ("not every program takes" in caplog.text) == (rate == 18)


def test_an_mxf_that_was_cut_off_is_called_truncated(tmp_path):
    film(tmp_path / "film.mkv", 30, "gray", codec="ffv1", rate=Fraction(25))
    copy(tmp_path / "film.mkv", tmp_path / "out.mxf", "ffv1")
    size = (tmp_path / "out.mxf").stat().st_size
    assert size * 0.9 < declared_size(tmp_path / "out.mxf") <= size
    with VideoReader(tmp_path / "out.mxf") as reader:
        assert len(list(reader)) == 30
        assert not reader.truncated
    data = (tmp_path / "out.mxf").read_bytes()
    (tmp_path / "out.mxf").write_bytes(data[: size * 6 // 10])
    with VideoReader(tmp_path / "out.mxf") as reader:
        assert 10 < len(list(reader)) < 25
        assert reader.truncated


# --- the table ---


def test_the_table_is_what_ffmpeg_can_do():
    for name, row in TABLE.items():
        assert row.is_folder == bool(row.extension)
        for suffix in row.suffixes:
            with av.open("/dev/null", "w", format=CONTAINERS[suffix]) as container:
                container.add_stream(row.encoder, rate=25)
            check_container(Path(f"film{suffix}"), name)
        for suffix in set(CONTAINERS) - set(row.suffixes):
            with pytest.raises(InputError, match=rf"{suffix} does not hold {name}|folder of pictures"):
                check_container(Path(f"film{suffix}"), name)


def test_pictures_too_small_and_bits_that_do_not_exist(tmp_path):
    film(tmp_path / "film.mkv", 1, "yuv411p", codec="ffv1")
    with VideoReader(tmp_path / "film.mkv") as reader:
        with pytest.raises(InputError, match=r"dnxhr takes pictures of 256x120 and more, .*film\.mkv has 64x48"):
            output_format(reader.info, "dnxhr", False)
        with pytest.raises(InputError, match="png holds 8 or 16 bits a sample, not 10"):
            output_format(reader.info, "png", False, 10)
        out = output_format(reader.info, "ffv1", False, 16)
        assert out.subsampling == (0, 0), "FFmpeg has no 4:1:1 of 16 bits"
        out = replace(out, subsampling=(2, 0))
        with pytest.raises(UnsupportedError, match="ffv1 cannot take yuv411p16le: try other --bits"):
            VideoWriter(tmp_path / "out.mkv", reader, out, codec="ffv1")
        assert output_format(reader.info, "tiff", False, 16).bits == 16
    pictures(tmp_path / "gray", [np.zeros((8, 8), np.uint8)])
    with (
        VideoReader(tmp_path / "gray") as reader,
        pytest.raises(InputError, match="dpx holds 16 bits a sample of gray"),
    ):
        output_format(reader.info, "dpx", False, 10)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["film.mkv", "gray"]


# --- folders of pictures ---


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [
        *((codec, pix_fmt) for codec in ("png", "tiff") for pix_fmt in ("gray", "gray16le", "gbrp", "gbrp16le")),
        *(("dpx", pix_fmt) for pix_fmt in ("gray16le", "gbrp10le", "gbrp12le", "gbrp16le")),
    ],
)
def test_pictures_come_back_exactly(tmp_path, codec, pix_fmt):
    pictures(tmp_path / "film", [np.zeros((49, 65), np.uint8)])
    kind, bits = pix_fmt.startswith("gray"), int("".join(c for c in pix_fmt if c.isdecimal()) or 8)
    out = OutputFormat("gray" if kind else "rgb", bits, full_range=True, width=65, height=49)
    made = [random_planes(pix_fmt, 65, 49, seed) for seed in range(3)]
    with VideoReader(tmp_path / "film") as reader:
        with PictureWriter(tmp_path / "out", reader.info, out, codec=codec) as writer:
            for n, planes in enumerate(made):
                writer.write(Frame(n, n, planes))
            assert not (tmp_path / "out").exists()
    with VideoReader(tmp_path / "out") as reader:
        assert (reader.info.kind, reader.info.bits, reader.info.full_range) == (out.kind, bits, True)
        for frame, planes in zip(reader, made, strict=True):
            assert all(np.array_equal(p, q) for p, q in zip(frame.planes, planes, strict=True))
    names = [f.name for f in sorted((tmp_path / "out").iterdir())]
    assert names == [f"frame_{n:06d}{TABLE[codec].extension}" for n in range(3)]
    if codec != "dpx":
        seen = cv2.imread(str(tmp_path / "out" / names[1]), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(seen if kind else seen[..., 2], made[1][0])


def test_dpx_knows_rate_aspect_and_timecode(tmp_path, coded, ffmpeg):
    copy(coded, tmp_path / "out", "dpx", start=8, end=12)
    copy(tmp_path / "out", tmp_path / "out.mov", "prores", start=1)
    with VideoReader(tmp_path / "out") as reader:
        info = reader.info
        assert (info.fps, info.sar, info.timecode) == (DROP, Fraction(16, 15), "00:00:59;28")
        assert (info.bits, info.tags.primaries, info.tags.transfer) == (10, 6, 6)
    # the third is the first of the next minute, whose first two numbers are dropped
    assert (tmp_path / "out/frame_000010.dpx").read_bytes()[1920:1924] == bytes([0x00, 0x01, 0x00, 0x42])
    assert timecodes(tmp_path / "out.mov") == {"00:00:59;29"}
    with VideoReader(tmp_path / "out.mov") as reader:
        assert (reader.info.fps, reader.expected) == (DROP, 3)
    command = [ffmpeg, "-v", "error", "-i", tmp_path / "out/frame_000008.dpx", "-f", "rawvideo", "-pix_fmt", "gbrp10le"]
    done = subprocess.run([str(c) for c in [*command, "-"]], check=True, capture_output=True)
    green, blue, red = np.frombuffer(done.stdout, "<u2").reshape(3, 144, 256)
    assert all(np.array_equal(p, q) for p, q in zip(frames_of(tmp_path / "out")[0].planes, (red, green, blue)))


def test_dpx_of_a_scan_is_taken_as_it_is_and_said_so(tmp_path, caplog):
    film(tmp_path / "film.mkv", 1, "gbrp10le", codec="ffv1")
    copy(tmp_path / "film.mkv", tmp_path / "out", "dpx")
    caplog.set_level(logging.WARNING)
    (path,) = (tmp_path / "out").iterdir()
    data = path.read_bytes()
    assert struct.unpack(">I", data[16:20])[0] == len(data)
    path.write_bytes(data[:801] + b"\x03" + data[802:])
    frame = frames_of(tmp_path / "out")[0]
    assert all(np.array_equal(p, q) for p, q in zip(frame.planes, moving("gbrp10le", 64, 48, 0), strict=True))
    assert "frame_000000.dpx is logarithmic by its header; its code values are taken as they are" in caplog.text


def test_gray_goes_into_dpx_of_16_bits_and_back(tmp_path):
    film(tmp_path / "film.mkv", 2, "gray10le", codec="ffv1")
    copy(tmp_path / "film.mkv", tmp_path / "out", "dpx")
    with VideoReader(tmp_path / "out") as reader:
        assert (reader.info.kind, reader.info.bits, reader.info.full_range) == ("gray", 16, True)
        for frame in reader:
            back = np.round(frame.planes[0] / 65535 * 1023).astype(np.uint16)
            assert np.array_equal(back, moving("gray10le", 64, 48, frame.index)[0])
            assert decode_frame(frame, reader.info)[0].max() < 0.9
