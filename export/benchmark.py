"""Measures how fast restoring and colouring are, how much memory they take, and how both grow with the work.

    python -m export.benchmark [--sizes 528x400 1920x1080] [--precision fp32 bf16] [--engine torch onnxruntime] [--film]
        [--json FILE]
    python -m export.benchmark --cost size|references|length [--values 1 4 16] [--out FOLDER]
    python -m export.benchmark --memory
    python -m export.benchmark --vapoursynth [--memory]

Every row is measured in a fresh process. Frames a second: frames handed in one by one and taken one by one, the
references encoded before; with `--film` from file to file: decoding, both networks, x264. Latency: milliseconds from
handing in the last frame that a block needs to the block's first frame. Peak memory: on a CPU what was resident at
most, on a GPU what PyTorch allocated at most. Share: of what this machine reaches in a plain Conv3d of 256 to 256
channels (channels last), measured before and after each row.

`--cost` gives time and memory against the size of the frames, the number of references or the length of the clip.
`--memory`: what is resident at frame 1000 and at frame 4000 of a 320x240 film. With `--vapoursynth`: what the filters
cost beyond the networks, each run paired with one of the bare library on the same frames; and the memory of a script
that restores and colours.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import torch

from export.performance import overhead
from export.performance.cost import KINDS, measure_cost
from export.performance.measurement import (
    FILM,
    MEMORY_FRAMES,
    MEMORY_SIZE,
    TASKS,
    Job,
    ceiling,
    in_child,
    machine,
    references,
    resident_megabytes,
    write_film,
)
from export.tables import progress, table
from vs_remaster.engines import ENGINES, PRECISIONS, choose_device
from vs_remaster.errors import InputError, RemasterError
from vs_remaster.film.remastering import remaster_film
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.system.process import take_over

SIZES = ("528x400",)
COST_SIZES = ("528x400", "720x576", "1440x1080", "1920x1080")
_HEAD = [
    "engine",
    "precision",
    "size",
    "task",
    "frames/s",
    "latency, ms",
    "peak memory, MB",
    "GMAC a frame",
    "GMAC/s",
    "share of the ceiling",
]


def parse_size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` in pixels.

    Raises:
        InputError: not of that form, or not two even numbers from 32 to 8192.
    """
    found = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", text)
    width, height = (int(side) for side in found.groups()) if found else (0, 0)
    if any(side % 2 or not 32 <= side <= 8192 for side in (width, height)):
        raise InputError(f"a size is WIDTHxHEIGHT, such as 528x400, even and from 32 to 8192 pixels; got {text!r}")
    return width, height


def jobs(options: argparse.Namespace, device: str, sizes: Sequence[tuple[int, int]]) -> list[Job]:
    """What was asked for: engine x precision x size x task; `sizes`: width, height."""
    engines = [
        (engine, precision)
        for engine, precision in product(options.engine, options.precision)
        if engine in ("torch", "compile") or precision != "bf16"  # which only PyTorch has
    ]
    if not engines:
        raise InputError(f"engine {options.engine[0]!r} has no bf16; use --precision fp32 or fp16")
    tasks = [*options.tasks, *([FILM] if options.film else [])]
    return [
        Job(
            task=task,
            width=width,
            height=height,
            frames=options.frames,
            references=options.references,
            engine=engine,
            precision=precision,
            device=device,
            restorer=options.restorer,
            colorizer=options.colorizer,
            lines=options.color_lines,
            repeats=options.repeats,
            threads=options.threads,
        )
        for (engine, precision), (width, height), task in product(engines, sizes, tasks)
    ]


def measure_speed(options: argparse.Namespace, device: str) -> None:
    """Print the table of speeds."""
    wanted = jobs(options, device, [parse_size(text) for text in options.sizes or SIZES])
    print(f"{options.frames} frames, {options.references} references, {machine(device)}\n", flush=True)
    rows: list[list[str]] = []
    kept: list[dict[str, object]] = []
    tops: dict[str, list[float]] = {}
    before, precision = 0.0, ""
    for job in wanted:
        if job.precision != precision:  # else the one after the last row is the one before this row
            precision, before = job.precision, ceiling(device, job.precision)
        found = in_child(replace(job, count=True))
        after = ceiling(device, precision)
        tops.setdefault(precision, []).append(top := (before + after) / 2)
        before = after
        rate = job.frames / found.seconds
        rows.append(
            [
                job.engine,
                job.precision,
                f"{job.width}x{job.height}",
                job.task,
                f"{rate:.2f}",
                f"{1000 * found.latency:.0f}",
                "" if math.isnan(found.peak) else f"{found.peak:.0f}",
                f"{found.macs / 1e9:.1f}",
                f"{found.macs * rate / 1e9:.0f}",
                f"{found.macs * rate / top:.0%}",
            ]
        )
        kept.append({**asdict(job), "frames_per_second": rate, "latency": found.latency, "peak": found.peak})
        progress(", ".join(rows[-1]))
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1))
    for precision, reached in tops.items():
        rate = f"{statistics.mean(reached) / 1e9:.0f}"
        rows.append(["torch", precision, "", "Conv3d 256 to 256", "", "", "", "", rate, "100%"])
    print(table(_HEAD, rows))


def measure_memory(options: argparse.Namespace, device: str) -> float:
    """Print the resident memory on the way through a long film, from file to file as `vs-remaster run` does it.

    Returns:
        Growth between the two frames of `MEMORY_FRAMES`, in MB.
    """
    early, late = MEMORY_FRAMES
    found = {}
    started = time.perf_counter()

    def look(done: int, total: int | None) -> None:
        if done in (late // 40, early, (early + late) // 2, late):
            found[done] = resident_megabytes()
            rate = done / (time.perf_counter() - started)
            print(f"frame {done}: {found[done]:.0f} MB resident, {rate:.1f} frames/s", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "film.mkv"
        write_film(source, late, MEMORY_SIZE)
        remaster_film(
            source,
            Path(folder) / "remastered.mkv",
            restore=RestoreOptions(model=options.restorer, device=device),
            colorize=ColorizeOptions(model=options.colorizer, lines=options.color_lines, device=device),
            references=references(options.references, MEMORY_SIZE),
            progress=look,
        )
    growth = found[late] - found[early]
    print(f"growth from frame {early} to frame {late}: {growth:+.1f} MB")
    return growth


def check_options(options: argparse.Namespace) -> None:
    """Refuse what cannot be measured.

    Raises:
        InputError: with the option and its value.
    """
    for name, least in (("frames", 1), ("repeats", 1), ("references", 0)):
        if getattr(options, name) < least:
            raise InputError(f"--{name} must be {least} or more, got {getattr(options, name)}")
    if options.threads is not None and options.threads < 1:
        raise InputError(f"--threads must be 1 or more, got {options.threads}")
    if options.cost and (options.memory or options.vapoursynth):
        raise InputError("--cost is a measurement of its own; leave out --memory and --vapoursynth")
    if not options.cost and (options.values or options.out):
        raise InputError("--values and --out belong to --cost; give --cost size, references or length")
    if options.cost == "size" and options.values:
        raise InputError("--cost size takes --sizes, not --values")
    if options.cost in ("references", "length") and len(options.sizes or SIZES) > 1:
        raise InputError(f"--cost {options.cost} is measured at one size, got {len(options.sizes)}: --sizes 528x400")


def measure_growth(options: argparse.Namespace, device: str) -> None:
    """Print how time and memory grow with what `--cost` names."""
    sizes = [parse_size(text) for text in options.sizes or (COST_SIZES if options.cost == "size" else SIZES)]
    options.tasks = ["colour"] if options.cost == "references" and options.tasks == list(TASKS) else options.tasks
    bases = jobs(options, device, sizes[:1])
    width, height = sizes[0]
    about = f"{width}x{height}, {options.frames} frames, {options.references} references, {machine(device)}"
    measure_cost(options.cost, bases, options.values, sizes, about, options.out)


def main(arguments: Sequence[str] | None = None) -> float | dict[str, float] | None:
    """The command line; returns what the measurement that was asked for does."""
    parser = argparse.ArgumentParser(
        prog="python -m export.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", action="store_true", help="measure memory over a long film instead of speed")
    parser.add_argument("--vapoursynth", action="store_true", help="measure the VapourSynth filters")
    parser.add_argument("--cost", choices=KINDS, help="measure time and memory against this")
    parser.add_argument("--values", type=int, nargs="+", help="with --cost references or length: which")
    parser.add_argument("--out", type=Path, help="with --cost: a folder for the table and a plot")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the speeds, for export.capacity")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=list(PRECISIONS))
    parser.add_argument("--engine", nargs="+", default=["torch"], choices=ENGINES[1:])
    parser.add_argument("--sizes", nargs="+", metavar="WxH", help=f"in pixels; default {SIZES[0]}")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--film", action="store_true", help="also both from file to file")
    parser.add_argument("--restorer", default="fast", help="name of shipped weights, or a .safetensors file")
    parser.add_argument("--colorizer", default="fast", help="the same for colour")
    parser.add_argument("--color-lines", type=int, default=ColorizeOptions().lines)
    parser.add_argument("--references", type=int, default=2)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    try:
        check_options(options)
        if options.threads:
            torch.set_num_threads(options.threads)
        device = choose_device(options.device)
        if options.vapoursynth:
            return (overhead.measure_script_memory if options.memory else overhead.measure_overhead)(options, device)
        if options.cost:
            return measure_growth(options, device)
        return (measure_memory if options.memory else measure_speed)(options, device)
    except RemasterError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    take_over()
    main()
