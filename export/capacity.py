"""Says what an archive takes: days, GPUs kept busy, disk, traffic, and what workers that die cost.

    python -m export.capacity --measure remastered.mkv [--codec x264 prores] [--json FILE]
    python -m export.capacity --films 1000 --gpus 64 --speed 30 100 250 --pace FILE [--job DIR] [--mtbf 24]

`--measure` runs a job in both ways, `--chunks lossless` and `--chunks final`, on a film that has been remastered
already, leaves its frames as they are, and prints what disk and time that takes on this machine. Without it, an archive
is simulated (see `export/performance/archive.py`) with those figures (`--pace`), once for each speed of a GPU and each
way. The speed of a GPU is what you say it is, or what `export.benchmark --film --json FILE` measured (`--benchmark
FILE`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.performance.archive import Archive, Outcome, simulate
from export.performance.measurement import FILM, machine
from export.performance.pace import Pace, kept_in, measure
from export.tables import progress, table
from vs_remaster.errors import InputError, RemasterError
from vs_remaster.jobs.planning.options import CHUNK_CODINGS
from vs_remaster.output.codecs import CODECS
from vs_remaster.system.process import take_over
from vs_remaster.system.sizes import size_text

_PACE_HEAD = [
    "codec, `--chunks`",
    "chunks, a frame",
    "film, a frame",
    "most on the disk, a frame",
    "looked through, frames/s",
    "kept, frames/s",
    "finished, frames/s",
]
_HEAD = [
    "frames/s a GPU, `--chunks`",
    "days",
    "GPUs busy",
    "lost by deaths and starts",
    "chunks made again",
    "most scratch",
    "read, written",
    "traffic on average",
    "films looked through or finished at once, at most",
]


def pace_rows(found: Sequence[Pace]) -> list[list[str]]:
    """The rows of the table of `--measure`."""
    return [
        [
            f"{pace.codec}, {pace.chunks}",
            size_text(pace.chunk_bytes),
            size_text(pace.film_bytes),
            size_text(pace.chunk_bytes + pace.film_bytes),
            f"{pace.survey_speed:.0f}",
            f"{pace.keep_speed:.0f}",
            f"{pace.finish_speed:.0f}",
        ]
        for pace in found
    ]


def outcome_row(archive: Archive, outcome: Outcome, name: str) -> list[str]:
    """A row of the table of an archive."""
    gpu_seconds = archive.gpus * outcome.seconds
    chunks = archive.films * -(-archive.frames // archive.chunk)
    moved = outcome.read + outcome.written
    return [
        name,
        f"{outcome.seconds / 86400:.2f}",
        f"{outcome.busy / gpu_seconds:.0%}",
        f"{outcome.lost / gpu_seconds:.2%}",
        f"{outcome.repeated} of {chunks}",
        size_text(outcome.peak),
        f"{size_text(outcome.read)}, {size_text(outcome.written)}",
        f"{size_text(moved / outcome.seconds)}/s",
        f"{outcome.desks}",
    ]


def measured_speed(path: Path) -> float:
    """The speed from file to file, or of both tasks, that `export.benchmark --json` wrote.

    Raises:
        InputError: it is not there.
    """
    try:
        rows = json.loads(path.read_text())
        task = FILM if any(row["task"] == FILM for row in rows) else "both"
        speeds = [row["frames_per_second"] for row in rows if row["task"] == task]
        if len(speeds) != 1:
            raise ValueError(f"{len(speeds)} rows of {task}, one is wanted: one size, one precision, one engine")
        return speeds[0]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no result of export.benchmark --tasks both --json ({error!r})") from error


def paces_of(path: Path) -> list[Pace]:
    """What `--measure --json` wrote.

    Raises:
        InputError: it is something else.
    """
    try:
        return [Pace(**told) for told in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is no result of export.capacity --measure --json ({error})") from error


def archive_of(options: argparse.Namespace, pace: Pace, speed: float, kept: dict[str, Any]) -> Archive:
    """What is simulated for one way to keep chunks and one speed of a GPU."""
    larger = options.scale
    chunk_bytes = kept["chunk_bytes"] if kept.get("kept") == pace.chunks else pace.chunk_bytes * larger
    return Archive(
        films=options.films,
        frames=options.frames,
        chunk=options.chunk,
        halo=options.halo,
        gpus=options.gpus,
        speed=speed,
        keep_speed=pace.keep_speed / larger * options.cpus,
        per_film=options.per_film,
        open_films=options.open_films,
        survey_speed=pace.survey_speed / larger * options.cpus,
        finish_speed=pace.finish_speed / larger * options.cpus,
        source_bytes=kept.get("source_bytes", options.source_bytes),
        chunk_bytes=chunk_bytes,
        film_bytes=pace.film_bytes * larger,
        bandwidth=options.bandwidth * 1e9,
        start=options.start,
        mtbf=options.mtbf * 3600,
        restart=options.restart,
        together=options.together,
        seed=options.seed,
    )


def plan(options: argparse.Namespace) -> None:
    """Print the table of an archive."""
    if not options.pace:
        raise InputError("an archive needs measured figures: --pace FILE, written by --measure FILM --json FILE")
    speeds = [*options.speed, *([measured_speed(options.benchmark)] if options.benchmark else [])]
    if not speeds:
        raise InputError("how fast is a GPU? give --speed in frames a second, or --benchmark FILE")
    if len(options.codec) > 1:
        raise InputError(f"an archive has one codec, got {', '.join(options.codec)}: give one --codec")
    kept = kept_in(options.job) if options.job else {}
    rows = []
    for speed in speeds:
        for pace in paces_of(options.pace):
            if pace.codec != options.codec[0]:
                continue
            archive = archive_of(options, pace, speed, kept)
            rows.append(outcome_row(archive, simulate(archive), f"{speed:g}, {pace.chunks}"))
            progress(", ".join(rows[-1]))
    if not rows:
        raise InputError(f"{options.pace} has no figures for {options.codec[0]}: measure it, or give another --codec")
    print(f"{options.films} films of {options.frames} frames, {options.gpus} GPUs, {options.codec[0]}\n")
    print(table(_HEAD, rows))


def measure_ways(options: argparse.Namespace) -> None:
    """Print, and keep, what both ways cost."""
    found = []
    for codec in options.codec:
        for chunks in CHUNK_CODINGS:
            found.append(measure(options.measure, codec, chunks, options.chunk))
            progress(", ".join(pace_rows(found)[-1]))
    print(f"{found[0].frames} frames of {options.measure.name}, {machine('cpu')}\n")
    print(table(_PACE_HEAD, pace_rows(found)))
    if options.json:
        options.json.write_text(json.dumps([asdict(pace) for pace in found], indent=1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.capacity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def number(name: str, default: Any, text: str) -> None:
        parser.add_argument(name, type=type(default), default=default, metavar="N", help=f"{text} (default: {default})")

    files = [name for name in CODECS if name not in ("png", "tiff", "dpx")]
    parser.add_argument("--measure", type=Path, metavar="FILM", help="measure what both ways cost")
    parser.add_argument("--json", type=Path, metavar="FILE", help="with --measure: keep what was measured")
    parser.add_argument("--codec", nargs="+", choices=files, default=["x264"], help="of the films (default: x264)")
    parser.add_argument("--pace", type=Path, metavar="FILE", help="that --measure wrote")
    parser.add_argument("--job", type=Path, metavar="DIR", help="take bytes a frame of chunks and source from this job")
    parser.add_argument("--speed", type=float, nargs="+", default=[], metavar="N", help="of a GPU, frames a second")
    parser.add_argument("--benchmark", type=Path, metavar="FILE", help="take the speed from export.benchmark --json")
    number("--films", 1000, "films")
    number("--frames", 150_000, "frames of a film")
    number("--gpus", 64, "GPUs, a worker each")
    number("--chunk", 500, "frames of a chunk")
    number("--halo", 32, "frames computed once more for a chunk")
    number("--per-film", 8, "GPUs that a film has at most")
    number("--open-films", 0, "films at work at the same time; 0: as many as keep the GPUs busy")
    number("--scale", 1.0, "pixels of the archive's frames by those of the film that was measured")
    number("--cpus", 1.0, "how much faster than here a film is looked through, kept and finished")
    number("--source-bytes", 0.0, "bytes a frame of the films as they are")
    number("--bandwidth", 5.0, "of the shared storage, GB a second")
    number("--mtbf", 24.0, "hours between two deaths of a worker; 0: none dies")
    number("--together", 8, "workers that die together: those of a machine with --workers, 1 with --ray")
    number("--start", 20.0, "seconds a worker takes to begin with a film")
    number("--restart", 60.0, "seconds until a worker that died is there again")
    number("--seed", 0, "of the deaths")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        (measure_ways if options.measure else plan)(options)
    except RemasterError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    take_over()
    main()
