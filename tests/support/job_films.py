"""Films with cuts for the tests of film-length jobs, what is compared of two results, and runs that kill themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from vs_remaster.video.planes import frame_of, planes_of

SIZE = (96, 64)
SHOTS = (20, 37, 9, 60, 14)
FAST = ["--device", "cpu", "--model", "fast", "--color-lines", "64"]


def shot(kind: int, number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A moving pattern of its own for every kind of shot."""
    y, x = np.mgrid[: size[1], : size[0]]
    wave = np.sin((x * (1 + kind) + 3 * number) / 9 + 2 * kind) * np.cos((y * (1 + kind) + number) / 11 + kind)
    return ((0.5 + 0.35 * wave) * 255).astype(np.uint8)


def write_film(
    path: Path,
    lengths: tuple[int, ...] = SHOTS,
    *,
    looks: dict[int, str] | None = None,
    times: list[int] | None = None,
    codec: str = "libx264",
    sound: bool = True,
    options: dict[str, str] | None = None,
    size: tuple[int, int] = SIZE,
    sar: Fraction = Fraction(1),
    kinds: int = 1000,
) -> Path:
    """Write a film of 24 frames a second (time base 1/240) with a cut between shots.

    Args:
        path: of the file.
        lengths: frames of each shot.
        looks: of shots that are not gray: coloured, sepia, black, still or faded.
        times: of the frames, in ticks; None: ten apart.
        codec: of the picture.
        sound: with sound.
        options: of the encoder; a key frame is every twelve frames.
        size: of the pictures.
        sar: sample aspect ratio.
        kinds: of shots; after so many they come again. From the thirtieth or so on cuts are found inside of them.
    """
    options = {"g": "12", "bf": "2"} if options is None and codec == "libx264" else options or {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.sample_aspect_ratio = sar
        if codec == "libx264":
            stream.time_base = stream.codec_context.time_base = Fraction(1, 240)
        voice = container.add_stream("aac" if path.suffix != ".avi" else "pcm_s16le", rate=8000, layout="mono")
        number = 0
        for kind, length in enumerate(lengths):
            look = (looks or {}).get(kind, "gray")
            for _ in range(length):
                picture = frame_of(_planes(kind % kinds, number, look, size), "yuv420p")
                base = Fraction(1, 240) if codec == "libx264" else Fraction(1, 24)
                picture.pts, picture.time_base = times[number] if times else number * int(1 / base) // 24, base
                container.mux(stream.encode(picture))
                number += 1
        container.mux(stream.encode(None))
        if sound:
            for k in range(number * 8000 // 24 // 1000):
                tone = np.sin(np.arange(k * 1000, (k + 1) * 1000) / 10).astype(np.float32)[None]
                fmt = "fltp" if path.suffix != ".avi" else "s16"
                block = av.AudioFrame.from_ndarray(
                    tone if fmt == "fltp" else (tone * 9999).astype(np.int16), fmt, "mono"
                )
                block.sample_rate, block.pts, block.time_base = 8000, k * 1000, Fraction(1, 8000)
                container.mux(voice.encode(block))
            container.mux(voice.encode(None))
    return path


def _planes(kind: int, number: int, look: str, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    width, height = size
    neutral = np.full((height // 2, width // 2), 128, np.uint8)
    luma = shot(kind, 0 if look == "still" else number, size)
    if look == "black":
        return [np.full_like(luma, 16), neutral, neutral]
    if look == "faded":
        return [(38 + 0.55 * luma).astype(np.uint8), neutral, neutral]
    if look == "coloured":
        small = shot(kind + 1, number, (width // 2, height // 2))
        return [luma, 64 + small // 2, 192 - small // 2]
    if look == "sepia":
        return [luma, neutral - 16, neutral + 12]
    return [luma, neutral, neutral]


def write_references(folder: Path) -> Path:
    """Two coloured pictures."""
    folder.mkdir()
    for number, color in enumerate([(40, 90, 200), (200, 120, 30)]):
        write_reference(folder / f"ref_{number * 6}.png", color)
    return folder


def write_reference(path: Path, color: tuple[int, int, int]) -> None:
    """One coloured picture."""
    picture = np.full((48, 64, 3), color, np.uint8)
    picture[:, ::4] //= 2
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


def heard_and_seen(path: Path) -> tuple[list[Any], list[Any]]:
    """Time and samples of every frame, and time and bytes of every packet of sound."""
    with av.open(str(path)) as container:
        frames = [(frame.pts, [plane.tobytes() for plane in planes_of(frame)]) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return frames, []
        return frames, [(p.pts, p.duration, bytes(p)) for p in container.demux(audio=0) if p.size]


# What is killed: a function that is called in that part of the work, and whether before or after it has worked.
PLACES = {
    "survey": ("vs_remaster.jobs.planning.survey", "checksum", "before"),
    "plan": ("vs_remaster.jobs.planning.folder", "JobFolder.write_plan", "after"),
    "decode": ("vs_remaster.jobs.making.cursor", "Cursor._read", "before"),
    "network": ("vs_remaster.remaster", "Restorer.process", "after"),
    "chunk": ("vs_remaster.jobs.making.chunks", "ChunkWriter.write", "after"),
    "name": ("os", "replace", "before"),
    "named": ("os", "replace", "after"),
    "record": ("vs_remaster.jobs.making.chunks", "_write_record", "before"),
    "masks": ("vs_remaster.jobs.making.chunks", "_MasksFile.settle", "after"),
    "recorded": ("vs_remaster.jobs.making.chunks", "_write_record", "after"),
    "encode": ("vs_remaster.output.writer", "VideoWriter.write", "after"),
    "mux": ("vs_remaster.output.copying", "StreamCopier._copy", "after"),
    "end": ("vs_remaster.output.writer", "VideoWriter.close", "before"),
    "ended": ("vs_remaster.output.writer", "VideoWriter.close", "after"),
    "pictures": ("vs_remaster.video.folder", "PictureWriter.close", "after"),
    "shares": ("vs_remaster.film.shares", "SharesFile.__exit__", "after"),
    "removal": ("vs_remaster.jobs.planning.folder", "JobFolder.remove", "before"),
    "removing": ("shutil", "rmtree", "after"),
    "removed": ("vs_remaster.jobs.planning.folder", "JobFolder.forget_outputs", "before"),
}

_KILLED = """
import importlib, os, signal, sys
module, name, when, count = sys.argv[1:5]
owner = importlib.import_module(module)
*path, name = name.split(".")
for part in path:
    owner = getattr(owner, part)
whole, calls = getattr(owner, name), 0
def called(*given, **named):
    global calls
    calls += 1
    if when == "after":
        made = whole(*given, **named)
    if calls == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    return made if when == "after" else whole(*given, **named)
setattr(owner, name, called)
from vs_remaster import cli
sys.exit(cli.main(sys.argv[5:]))
"""


def run_and_kill(place: str, count: int, *arguments: object) -> int:
    """Run the command line in a process that dies (SIGKILL) at the `count`th call of a place; its exit status."""
    return start_and_kill(place, count, *arguments).wait(timeout=300)


def start_and_kill(place: str, count: int, *arguments: object) -> subprocess.Popen[bytes]:
    """The same without waiting."""
    module, name, when = PLACES[place]
    command = [sys.executable, "-c", _KILLED, module, name, when, str(count), *map(str, arguments)]
    root = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        command, cwd=root, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
