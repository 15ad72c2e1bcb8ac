"""What is not picture: every sound, text and cover arrives, copied or converted, and joined films stay in step."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.films import copy, packets, stream_times
from vs_remaster.video.reader import VideoReader
from vs_remaster.video.stretches import find_stretches


def made(ffmpeg: str, path: Path, *options: object, seconds: int = 1, rate: int = 44100) -> Path:
    """A film with a tone."""
    command = [ffmpeg, "-y", "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d={seconds}"]
    command += ["-f", "lavfi", "-i", f"sine=d={seconds}:r={rate}", *options, path]
    subprocess.run([str(c) for c in command], check=True)
    return path


def sound(path: Path) -> tuple[str, np.ndarray]:
    with av.open(str(path)) as container:
        name, resampler = container.streams.audio[0].name, av.AudioResampler("dbl", "mono")
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return name, np.concatenate([frame.to_ndarray().ravel() for frame in frames])


@pytest.mark.parametrize("codec", ["wmav1", "wmav2", "adpcm_ms", "adpcm_ima_wav", "pcm_mulaw", "pcm_alaw", "g723_1"])
def test_sound_that_pyav_does_not_list_is_copied_into_matroska(tmp_path, ffmpeg, caplog, codec):
    film = made(ffmpeg, tmp_path / "film.avi", "-c:a", codec, rate=8000 if codec == "g723_1" else 44100)
    copy(film, tmp_path / "out.mkv")
    assert "stream 1" not in caplog.text
    assert [data for _, data in packets(tmp_path / "out.mkv", "audio")] == [d for _, d in packets(film, "audio")]
    (before, samples), (after, again) = sound(film), sound(tmp_path / "out.mkv")
    assert before == after == codec
    assert np.array_equal(samples, again)


@pytest.mark.parametrize(
    ("codec", "source", "target", "expected", "bits"),
    [
        ("wmav2", "film.asf", "out.mov", "pcm_s24le", 24),
        ("wmav2", "film.asf", "out.mp4", "flac", 24),
        ("adpcm_ms", "film.avi", "out.mp4", "flac", 16),
        ("pcm_f32be", "film.mov", "out.mkv", "pcm_f32le", 32),
        ("pcm_dvd", "film.vob", "out.mkv", "pcm_s16le", 16),
        ("flac", "film.mkv", "out.mov", "pcm_s16le", 16),
    ],
)
def test_sound_that_cannot_be_copied_is_converted_and_said_so(
    tmp_path, ffmpeg, caplog, codec, source, target, expected, bits
):
    rate, options = 48000, ["-ac", "2"] if codec == "pcm_dvd" else []
    film = made(ffmpeg, tmp_path / source, "-c:a", codec, *options, rate=48000)
    copy(film, tmp_path / target)
    kind = "FLAC" if expected == "flac" else "PCM"
    said = [record.message for record in caplog.records if "audio" in record.message]
    assert len(said) == 1
    assert f"is converted to {kind} of {bits} bits and 48000 Hz" in said[0]
    (_, samples), (name, again) = sound(film), sound(tmp_path / target)
    assert name == expected
    part = samples[len(samples) // 2 :][:500]  # where it lies depends on when the sound of the film begins
    away = np.abs(np.lib.stride_tricks.sliding_window_view(again, 500) - part).max(axis=1)
    assert away.min() < 2 ** -(bits - 2)
    assert len(samples) - 2 * rate // 10 < len(again) < 2 * rate


@pytest.mark.parametrize(("source", "target", "name"), [("srt", "mp4", "mov_text"), ("ass", "mov", "mov_text")])
def test_text_is_converted_and_comes_back(tmp_path, ffmpeg, caplog, source, target, name):
    (tmp_path / "s.srt").write_text(
        "1\n00:00:00,100 --> 00:00:00,400\n<i>Hello</i> there\n\n2\n00:00:00,500 --> 00:00:00,900\nWorld\n"
    )
    film = made(ffmpeg, tmp_path / "film.mkv", "-i", tmp_path / "s.srt", "-map", "0", "-map", "2", "-c:s", source)
    copy(film, tmp_path / f"out.{target}")
    assert caplog.text.count("is converted to mov_text") == 1
    copy(tmp_path / f"out.{target}", tmp_path / "back.mkv")
    with av.open(str(tmp_path / f"out.{target}")) as container:
        assert container.streams.subtitles[0].name == name
    words = packets(tmp_path / "back.mkv", "subtitles")
    assert [data for _, data in words] == [b"<i>Hello</i> there", b"World"]
    assert [time for time, _ in words] == pytest.approx([0.1, 0.5], abs=2e-3)


def test_covers_stay_covers(tmp_path, ffmpeg, caplog):
    subprocess.run([ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=32x32:d=0.04", tmp_path / "c.png"])
    cover = (tmp_path / "c.png").read_bytes()
    film = made(
        ffmpeg,
        tmp_path / "film.mkv",
        "-c:a",
        "aac",
        "-attach",
        tmp_path / "c.png",
        "-metadata:s:t",
        "mimetype=image/png",
    )
    for source, target in ((film, "a.mkv"), (tmp_path / "a.mkv", "b.mp4"), (tmp_path / "b.mp4", "c.mkv")):
        copy(source, tmp_path / target)
        with av.open(str(tmp_path / target)) as container:
            pictures = [s for s in container.streams.video if s.disposition & av.stream.Disposition.attached_pic]
            assert len(container.streams.video) == 2
            assert len(pictures) == 1
            assert bytes(next(p for p in container.demux(pictures[0]) if p.size)) == cover
    copy(tmp_path / "b.mp4", tmp_path / "d.mov")
    assert "stream 2 (video, png) is left out: mov cannot hold it" in caplog.text


def flash_and_beep(ffmpeg: str, path: Path, audio: str | None) -> Path:
    """Two seconds with a white frame and a tone at 0.48 s."""
    picture = "color=black:s=64x48:r=25:d=2,drawbox=color=white:t=fill:enable='eq(n,12)'"
    tone = "aevalsrc='0.8*sin(2*PI*1000*t)*between(t,0.48,0.56)':s=48000:d=2"
    command = [ffmpeg, "-y", "-loglevel", "error", "-f", "lavfi", "-i", picture]
    command += ["-f", "lavfi", "-i", tone, "-c:a", audio] if audio else []
    subprocess.run([str(c) for c in [*command, "-g", "25", path]], check=True)
    return path


def flashes(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        shown = container.decode(video=0)
        return [float(f.pts * f.time_base) for f in shown if f.to_ndarray(format="gray").mean() > 150]


def beeps(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        to_float, heard = av.AudioResampler("flt", "mono"), []
        for frame in container.decode(audio=0):
            for part in to_float.resample(frame):
                loud = np.flatnonzero(np.abs(part.to_ndarray().ravel()) > 0.2) / part.sample_rate
                heard += list(loud + float(part.pts * part.time_base))
    return [time for time, before in zip(heard, [-1, *heard], strict=False) if time - before > 0.2]


@pytest.mark.parametrize("times", [pytest.param(2, marks=pytest.mark.release), 3])
@pytest.mark.parametrize(("name", "audio"), [("film.ts", "aac"), ("film.mpg", "mp2"), ("film.ts", None)])
def test_joined_captures_keep_their_pace_and_their_sound(tmp_path, ffmpeg, caplog, name, audio, times):
    film = flash_and_beep(ffmpeg, tmp_path / name, audio)
    joined = tmp_path / f"joined{film.suffix}"
    joined.write_bytes(film.read_bytes() * times)
    for target, codec in (("out.mkv", "x264"), ("out.mp4", "x264"), ("out.mov", "x264"), ("out.mxf", "ffv1")):
        caplog.clear()
        copy(joined, tmp_path / target, codec)
        assert caplog.text.count("its clock begins anew") == 1
        shown = stream_times(tmp_path / target)
        assert len(shown) == 50 * times
        assert {round(b - a, 3) for a, b in pairwise(shown)} == {Fraction(4, 100)}
        seen = flashes(tmp_path / target)
        assert len(seen) == times
        if audio:
            assert beeps(tmp_path / target) == pytest.approx(seen, abs=0.012)


def test_a_film_that_only_stands_still_is_not_joined(tmp_path, ffmpeg):
    film = made(ffmpeg, tmp_path / "film.mkv", "-vf", "setpts='PTS+gt(N,10)*15/TB'", "-c:a", "flac", seconds=2)
    with VideoReader(film) as reader:
        times = [frame.pts * reader.info.time_base for frame in reader]
        assert find_stretches(reader.info, reader.stream.index) is None
    assert times[11] - times[10] > 15


def test_damaged_sound_does_not_end_a_film(tmp_path, ffmpeg, caplog):
    film = made(ffmpeg, tmp_path / "film.ts", "-c:a", "ac3", rate=48000, seconds=2)
    data, rng = bytearray(film.read_bytes()), np.random.default_rng(0)
    with av.open(str(film)) as container:
        pid = container.streams.audio[0].id
    for at in range(188 * 40, len(data) - 188, 188):
        if ((data[at + 1] & 0x1F) << 8 | data[at + 2]) == pid and rng.random() < 0.5:
            data[at + 60 : at + 180] = rng.bytes(120)
    film.write_bytes(data)
    for target in ("out.mkv", "out.mp4", "out.mov"):
        copy(film, tmp_path / target)
        assert len(stream_times(tmp_path / target)) == 50


def test_times_of_sound_far_behind_the_picture_make_no_silence(tmp_path, ffmpeg, caplog):
    """ffmpeg's own AVI of G.726 puts the end of a second of sound behind more than a hundred."""
    film = made(ffmpeg, tmp_path / "film.avi", "-c:a", "g726", "-ac", "1", "-ar", 8000, rate=8000)
    copy(film, tmp_path / "out.mp4")
    name, samples = sound(tmp_path / "out.mp4")
    assert name == "flac" and abs(len(samples) - 8000) < 100
    assert "its times lie far behind the picture's" in caplog.text


def test_what_a_folder_of_pictures_cannot_hold_is_named(tmp_path, ffmpeg, caplog):
    (tmp_path / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,400\nHello\n")
    (tmp_path / "m.txt").write_text(";FFMETADATA1\ntitle=A\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=900\ntitle=B\n")
    options = ["-i", tmp_path / "s.srt", "-i", tmp_path / "m.txt", "-map", "0", "-map", "1", "-map", "2"]
    film = made(ffmpeg, tmp_path / "film.mkv", *options, "-map_metadata", "3", "-vf", "setsar=2", "-c:a", "flac")
    copy(film, tmp_path / "out", "png")
    said = [record.message for record in caplog.records if "a folder of pictures cannot hold it" in record.message]
    assert len(said) == 1
    for lost in ("1 tracks of sound", "1 subtitles", "1 chapters", "metadata (title)", "sample aspect ratio 2"):
        assert lost in said[0]
