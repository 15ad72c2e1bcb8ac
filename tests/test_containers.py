"""The table of `docs/containers.md`, made anew by writing and reading all that it speaks of."""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.support.films import copy
from vs_remaster.errors import RemasterError
from vs_remaster.video.reader import VideoReader

TABLE = Path(__file__).parents[1] / "docs" / "containers.md"
OUTPUTS = {
    "mkv": ("out.mkv", "ffv1"),
    "mp4": ("out.mp4", "x264"),
    "mov": ("out.mov", "prores"),
    "mxf": ("out.mxf", "prores"),
    "pictures": ("out", "png"),
}
PICTURE = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.6"]
TONE = ["-f", "lavfi", "-i", "sine=d=0.6:r=48000"]

Find = Callable[[Path], object]


def stream(kind: str, index: int = 0) -> Find:
    def find(path: Path) -> object:
        with av.open(str(path)) as container:
            found = [s for s in container.streams if s.type == kind]
            return found[index].name if len(found) > index and not path.is_dir() else None

    return find


def opened(look: Callable[[av.container.InputContainer], object]) -> Find:
    def find(path: Path) -> object:
        with av.open(str(path)) as container:
            return look(container)

    return find


def cover(container: av.container.InputContainer) -> object:
    pictures = [s for s in container.streams if s.disposition & av.stream.Disposition.attached_pic]
    attached = [s for s in container.streams if s.type == "attachment" and "image" in s.metadata.get("mimetype", "")]
    return bool(pictures or attached)


def tags(path: Path) -> object:
    with VideoReader(path, notes=False) as reader:
        told = reader.info.tags
        return (told.matrix, told.primaries, told.transfer, told.range) == (6, 6, 6, 1)


def times(path: Path) -> object:
    with VideoReader(path, notes=False) as reader:
        at = [frame.pts * reader.info.time_base for frame in reader]
    return [round(float(t - at[0]), 2) for t in at] == [0.0, 0.04, 0.2, 0.24, 0.28]


def info(look: Callable[[object], object]) -> Find:
    def find(path: Path) -> object:
        with VideoReader(path, notes=False) as reader:
            return look(reader.info)

    return find


def sound(codec: str, *more: str) -> tuple[str, list[object], Find]:
    return "film.mov" if codec.startswith("pcm_s") else "film.mkv", [*TONE, "-c:a", codec, *more], stream("audio")


# What a row of the table is about: the film that has it, and what is found of it in an output.
ROWS: dict[str, tuple[str, list[object], Find]] = {
    "sound: AAC": sound("aac"),
    "sound: MP3": sound("libmp3lame"),
    "sound: AC-3": sound("ac3"),
    "sound: Opus": sound("libopus"),
    "sound: FLAC": sound("flac"),
    "sound: PCM of 16 bits": sound("pcm_s16le"),
    "sound: PCM of 24 bits": sound("pcm_s24le"),
    "sound: μ-law": ("film.avi", [*TONE, "-c:a", "pcm_mulaw"], stream("audio")),
    "sound: ADPCM": ("film.avi", [*TONE, "-c:a", "adpcm_ms"], stream("audio")),
    "sound: WMA": ("film.asf", [*TONE, "-c:a", "wmav2"], stream("audio")),
    "subtitles: SRT": ("film.mkv", ["-i", "s.srt", "-c:s", "srt"], stream("subtitle")),
    "subtitles: ASS": ("film.mkv", ["-i", "s.srt", "-c:s", "ass"], stream("subtitle")),
    "subtitles: mov_text": ("film.mp4", ["-i", "s.srt", "-c:s", "mov_text"], stream("subtitle")),
    "chapters": ("film.mkv", ["-i", "c.txt", "-map_chapters", "1"], opened(lambda c: len(c.chapters()) == 2)),
    "attachments": (
        "film.mkv",
        ["-attach", "f.ttf", "-metadata:s:t", "mimetype=font/ttf"],
        opened(lambda c: any(s.type == "attachment" for s in c.streams)),
    ),
    "cover": ("film.mp4", ["-i", "p.png", "-c:v:1", "png", "-disposition:v:1", "attached_pic"], opened(cover)),
    "second track of pictures": ("film.mkv", ["-f", "lavfi", "-i", "color=s=64x48:r=25:d=0.6"], stream("video", 1)),
    "title": ("film.mkv", ["-metadata", "title=Old"], opened(lambda c: c.metadata.get("title") == "Old")),
    "language of sound": (
        "film.mkv",
        [*TONE, "-c:a", "aac", "-metadata:s:a", "language=fra"],
        opened(lambda c: bool(c.streams.audio) and c.streams.audio[0].language == "fra"),
    ),
    "sample aspect ratio": ("film.mkv", ["-vf", "setsar=16/15"], info(lambda i: i.sar == Fraction(16, 15))),
    "timecode": ("film.mov", ["-timecode", "01:02:03:04"], info(lambda i: i.timecode == "01:02:03:04")),
    "variable frame rate": (
        "film.mkv",
        ["-vf", "select='lt(n,2)+gt(n,4)*lt(n,8)'", "-fps_mode", "vfr"],
        times,
    ),
    "colour tags": (
        "film.mkv",
        ["-vf", "setparams=range=tv:colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m"],
        tags,
    ),
    "rotation": ("film.mp4", [], info(lambda i: (i.width, i.height, i.display_matrix) == (48, 64, None))),
}
WORDS = {"rotation": "turned upright"}


@pytest.fixture(scope="module")
def films(tmp_path_factory, ffmpeg) -> Path:
    folder = tmp_path_factory.mktemp("films")
    (folder / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,400\nHello\n")
    (folder / "c.txt").write_text(
        ";FFMETADATA1\n" + "".join(f"[CHAPTER]\nTIMEBASE=1/10\nSTART={n * 3}\nEND={n * 3 + 3}\n" for n in range(2))
    )
    (folder / "f.ttf").write_bytes(b"font" * 20)
    run = [ffmpeg, "-y", "-loglevel", "error"]
    known = subprocess.run([ffmpeg, "-hide_banner", "-h", "full"], capture_output=True, check=True).stdout
    if b"-display_rotation" not in known:
        pytest.skip("this FFmpeg is older than 6 and cannot turn a film")
    subprocess.run(
        [*run, "-f", "lavfi", "-i", "color=s=32x32:d=0.1", "-frames:v", "1", "p.png"], cwd=folder, check=True
    )
    for number, (row, (name, more, _)) in enumerate(ROWS.items()):
        inputs = more.count("-i")
        maps = [x for n in range(inputs + 1) if "c.txt" not in more or not n for x in ("-map", str(n))]
        target = f"{number}-{name}"
        command = [*run, *PICTURE, *more, *(maps if inputs else []), target]
        subprocess.run(list(map(str, command)), cwd=folder, check=True)
        if row == "rotation":
            turned = folder / f"{number}-turned-{name}"
            subprocess.run(
                [*run, "-display_rotation", "90", "-i", target, "-c", "copy", turned], cwd=folder, check=True
            )
            turned.replace(folder / target)
    return folder


def cell(row: str, film: Path, output: Path, codec: str, caplog: pytest.LogCaptureFixture) -> str:
    """What becomes of something in an output, in the words of the table."""
    find = ROWS[row][2]
    caplog.clear()
    try:
        copy(film, output, codec)
    except RemasterError:
        return "refused"
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    if output.is_dir():
        kept = row == "rotation" and find(output)
    else:
        kept = find(output)
    if not kept:
        assert warned, f"{row} is lost in {output.name} without a word"
        return "left out"
    if isinstance(kept, str) and (before := find(film)) != kept and not row.startswith("second"):
        assert warned or row.startswith("subtitles"), f"{row}: {before} became {kept} without a word"
        return f"to {kept}"
    return WORDS.get(row, "as it is" if isinstance(kept, str) else "kept")


def test_the_table_says_what_happens(films, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    lines = [f"| | {' | '.join(OUTPUTS)} |", f"| --- {'| --- ' * len(OUTPUTS)}|"]
    for number, (row, (name, _, _)) in enumerate(ROWS.items()):
        cells = []
        for kind, (output, codec) in OUTPUTS.items():
            place = tmp_path / f"{number}-{kind}"
            place.mkdir()
            cells.append(cell(row, films / f"{number}-{name}", place / output, codec, caplog))
        lines.append(f"| {row} | {' | '.join(cells)} |")
    written = re.findall(r"^\|.*\|$", TABLE.read_text(encoding="utf-8"), re.M)
    assert lines == written, "\n".join(["the table should be:", *lines])
