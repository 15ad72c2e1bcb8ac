"""Measures how fast restoring and colouring are, how much memory they take, and how both grow with the work.

    python -m export.benchmark [--sizes 528x400 1920x1080] [--precision fp32 bf16] [--engine torch onnxruntime] [--film]
        [--stages] [--planes] [--json FILE]
    python -m export.benchmark --everything [--frames 2000]
    python -m export.benchmark --cost size|references|length [--values 1 4 16] [--out FOLDER]
    python -m export.benchmark --memory
    python -m export.benchmark --vapoursynth [--memory]

Every row is measured in a fresh process. Frames a second: frames handed in one by one and taken one by one, the
references encoded before: luma in floats, with `--planes` 8-bit planes of 4:2:0 in main memory. With `--film` also from
file to file: decoding, both networks, x264. With `--stages` a second table has the time of each of its stages;
stages work at the same time. Latency: milliseconds from handing in the last frame that a block needs to the block's
first frame; not for planes. Peak memory: on a CPU what was resident at most, on a GPU what PyTorch allocated at most.
Share: of what this machine reaches in a plain Conv3d of 256 to 256 channels (channels last), measured before and after
each row.

`--everything` is what there is to measure on a GPU, in one call: both sets of networks at 528x400 and 1920x1080, with
engines torch and tensorrt, in planes and from file to file. What cannot be measured is said and left out. Other options
come before what it stands for: `--everything --device cpu --engine torch --precision fp32 --sizes 64x48 --frames 8`
rehearses it on a CPU.

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
from export.performance.stages import STAGES
from export.tables import progress, table
from vs_remaster.engines import ENGINES, PRECISIONS, choose_device
from vs_remaster.errors import InputError, RemasterError
from vs_remaster.film.remastering import remaster_film
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.system.process import take_over

SIZES = ("528x400",)
EVERYTHING = {
    "device": "cuda",
    "engine": ["torch", "tensorrt"],
    "precision": ["fp16"],
    "sizes": ["528x400", "1920x1080"],
    "frames": 2000,
    "repeats": 1,
    "planes": True,
    "stages": True,
}
"""What `--everything` stands for, where no other option says otherwise."""
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
    tasks = [*options.tasks, *([FILM] if options.film or options.stages else [])]
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
            planes=options.planes and task != FILM,
            stages=options.stages and task == FILM,
        )
        for (engine, precision), (width, height), task in product(engines, sizes, tasks)
    ]


def measure_speed(options: argparse.Namespace, device: str) -> None:
    """Print the table of speeds."""
    wanted = jobs(options, device, [parse_size(text) for text in options.sizes or SIZES])
    print(f"{options.frames} frames, {options.references} references, {machine(device)}\n", flush=True)
    rows: list[list[str]] = []
    shares: list[list[str]] = []
    kept: list[dict[str, object]] = []
    missing: list[str] = []
    tops: dict[str, list[float]] = {}
    before, precision = 0.0, ""
    for job in wanted:
        if job.precision != precision:  # else the one after the last row is the one before this row
            precision, before = job.precision, ceiling(device, job.precision)
        try:
            found = in_child(replace(job, count=True))
        except RemasterError as error:
            if not options.everything:
                raise
            missing.append(f"{job.engine} {job.precision} {job.width}x{job.height} {job.task}: {error}")
            continue
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
                "" if math.isnan(found.latency) else f"{1000 * found.latency:.0f}",
                "" if math.isnan(found.peak) else f"{found.peak:.0f}",
                f"{found.macs / 1e9:.1f}",
                f"{found.macs * rate / 1e9:.0f}",
                f"{found.macs * rate / top:.0%}",
            ]
        )
        kept.append({**asdict(job), "frames_per_second": rate, "latency": found.latency, "peak": found.peak})
        progress(", ".join(rows[-1]))
        if found.stages:
            times = [1000 * found.stages.get(stage, 0.0) / job.frames for stage in STAGES]
            whole = 1000 * found.watched / job.frames
            cells = [f"{took:.2f} ({took / sum(times):.0%})" for took in times]
            shares.append([job.engine, job.precision, f"{job.width}x{job.height}", *cells, f"{whole:.2f}"])
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1))
    for precision, reached in tops.items():
        rate = f"{statistics.mean(reached) / 1e9:.0f}"
        rows.append(["torch", precision, "", "Conv3d 256 to 256", "", "", "", "", rate, "100%"])
    print(table(_HEAD, rows))
    if shares:
        print("Milliseconds a frame of each stage by itself, with its share of their sum, from file to file:\n")
        print(table(["engine", "precision", "size", *STAGES, "all at once"], shares))
    for said in missing:
        print(f"Not measured: {said}")


def measure_everything(options: argparse.Namespace, device: str) -> None:
    """Print the tables of speeds for each set of networks."""
    kept = options.json
    for model in ("fast", "quality"):
        options.restorer = options.colorizer = model
        options.json = kept and kept.with_stem(f"{kept.stem}-{model}")
        print(f"Networks `{model}`")
        measure_speed(options, device)


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
    if options.everything and (options.cost or options.memory or options.vapoursynth):
        raise InputError("--everything is a measurement of its own; leave out --cost, --memory and --vapoursynth")
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
    parser.add_argument("--everything", action="store_true", help="all that there is to measure on a GPU")
    parser.add_argument("--planes", action="store_true", help="hand frames in as 8-bit planes")
    parser.add_argument("--stages", action="store_true", help="from file to file, also the time of each stage")
    parser.add_argument("--film", action="store_true", help="also both from file to file")
    parser.add_argument("--restorer", default="fast", help="name of shipped weights, or a .safetensors file")
    parser.add_argument("--colorizer", default="fast", help="the same for colour")
    parser.add_argument("--color-lines", type=int, default=ColorizeOptions().lines)
    parser.add_argument("--references", type=int, default=2)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    if options.everything:
        parser.set_defaults(**EVERYTHING)
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
        if options.everything:
            return measure_everything(options, device)
        return (measure_memory if options.memory else measure_speed)(options, device)
    except RemasterError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    take_over()
    main()
