"""Measures what a film-length job costs beside the networks: disk, and time to look through, keep and finish a film."""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vs_remaster.errors import InputError
from vs_remaster.film.request import FilmRequest
from vs_remaster.jobs.making.watch import Nobody, Stage
from vs_remaster.jobs.planning.options import ChunkCoding, JobOptions
from vs_remaster.jobs.run import remaster_job
from vs_remaster.jobs.status import status_of
from vs_remaster.output.codecs import codec_info
from vs_remaster.output.options import OutputOptions
from vs_remaster.remaster.options import RestoreOptions


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Of one kind of chunks; speeds in frames a second on this machine, sizes in bytes a frame.

    Attributes:
        codec: of the output.
        chunks: see `JobOptions`.
        frames: that were measured.
        survey_speed: at which a film is looked through.
        keep_speed: at which chunks are written, decoding of the film included.
        finish_speed: at which they become the film.
        chunk_bytes: of the chunks.
        film_bytes: of the film, sound included.
        chunk: frames of a chunk, on average.
    """

    codec: str
    chunks: ChunkCoding
    frames: int
    survey_speed: float
    keep_speed: float
    finish_speed: float
    chunk_bytes: float
    film_bytes: float
    chunk: float


class _Clock(Nobody):
    """Notes when each stage began and ended."""

    def __init__(self) -> None:
        self.times: dict[str, list[tuple[int, float]]] = {}

    def report(
        self, stage: Stage, done: int, total: int | None, disk_needed: int | None = None, disk_free: int | None = None
    ) -> None:
        self.times.setdefault(stage, []).append((done, time.perf_counter()))

    def speed(self, stage: str) -> float:
        """Frames a second from the first frame that was told of to the last."""
        told = [(done, when) for done, when in self.times[stage] if done]
        (first, began), (last, ended) = told[0], told[-1]
        return (last - first) / (ended - began) if ended > began and last > first else float("inf")


def measure(film: Path, codec: str, chunks: ChunkCoding, length: int) -> Pace:
    """Run a job on a film that leaves its frames as they are; give one that has been remastered already.

    Args:
        film: a video.
        codec: of the output.
        chunks: see `JobOptions`.
        length: frames of a chunk, at most.

    Raises:
        RemasterError: see `remaster_job`.
    """
    suffixes = codec_info(codec).suffixes
    if not suffixes:
        raise InputError(f"{codec} writes a folder of pictures: --measure needs a codec of films")
    with tempfile.TemporaryDirectory() as place, _quiet():
        folder, output = Path(place) / "job", Path(place) / f"film{suffixes[0]}"
        clock = _Clock()
        options = JobOptions(folder=folder, chunk_frames=length, chunk_coding=chunks, plan=True)
        restore = RestoreOptions(model="fast", device="cpu")
        request = FilmRequest(source=film, output=output, restore=restore, write=OutputOptions(codec=codec))
        remaster_job(request, options=options, watch=clock)
        shots = folder / "shots.toml"
        shots.write_text(re.sub(r"(?m)^(number = .*)$", r"\1\nskip = true", shots.read_text()))
        done = remaster_job(request, options=replace(options, plan=False), watch=clock)
        ended = time.perf_counter()
        kept = kept_in(folder)
        return Pace(
            codec=codec,
            chunks=chunks,
            frames=done.frames,
            survey_speed=clock.speed("survey"),
            keep_speed=clock.speed("frames"),
            finish_speed=done.frames / (ended - clock.times["frames"][-1][1]),
            chunk_bytes=kept["chunk_bytes"],
            film_bytes=output.stat().st_size / done.frames,
            chunk=kept["chunk"],
        )


def kept_in(folder: Path) -> dict[str, Any]:
    """What the finished chunks of a job folder say: `kept` (see `--chunks`), `chunk_bytes`, `source_bytes` (a frame),
    `chunk` (frames).

    Raises:
        InputError: it is no job folder, or no chunk is finished.
    """
    told = status_of(folder)
    if not told["chunks_done"]:
        raise InputError(f"no chunk of {folder} is finished: run its command first")
    source = Path(told["film"])
    size = source.stat().st_size if source.is_file() else sum(f.stat().st_size for f in source.glob("*"))
    return {
        "kept": told["kept"],
        "chunk_bytes": told["disk_used"] / told["done"],
        "source_bytes": size / told["total"],
        "chunk": told["total"] / told["chunks"],
    }


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    log = logging.getLogger("vs_remaster")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
