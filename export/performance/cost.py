"""Time and memory against the size of the frames, the number of references or the length of the clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from export import plots
from export.performance.measurement import FILM, Job, Measured, in_child
from export.tables import progress, table
from vs_remaster.errors import InputError, UnsupportedError
from vs_remaster.models import info
from vs_remaster.weights import load_model

KINDS = ("size", "references", "length")
REFERENCES = (0, 1, 4, 16, 64)
LENGTHS = (48, 96, 192, 384)  # frames

# Exponents measured on machines that are not quite idle are off by a tenth or so.
_FLAT, _LINEAR = 0.15, 0.85
_AXIS = {"size": "megapixels a frame", "references": "references", "length": "frames"}
_HEAD = ["frames/s", "ms a frame", "seconds", "latency, ms", "encoding references, s", "peak memory, MB", "working, MB"]

Series = list[tuple[Job, Measured]]


def variants(kind: str, base: Job, values: Sequence[int] | None, sizes: Sequence[tuple[int, int]] = ()) -> list[Job]:
    """`base` with each of the values.

    Args:
        kind: one of `KINDS`.
        base: what stays the same.
        values: references, or frames; None: `REFERENCES` or `LENGTHS`, without those that the network cannot do.
        sizes: (width, height) in pixels, where these are what is varied.

    Raises:
        InputError: values that are not there, too small, or that the network cannot do.
    """
    if kind == "size":
        return [replace(base, width=width, height=height) for width, height in sorted(sizes)]
    if kind == "length":
        lengths = values or LENGTHS
        if min(lengths) < 1:
            raise InputError(f"a clip has 1 frame or more, got --values {min(lengths)}")
        return [replace(base, frames=frames) for frames in sorted(set(lengths))]
    if base.task == "restore":
        raise InputError("restoring has no references; give --cost references with --tasks colour or both")
    needs = base.task == FILM or info(load_model("colorizer", base.colorizer)).needs_references
    least = 1 if needs else 0
    if values and min(values) < least:
        raise InputError(f"{base.task} with {base.colorizer} needs {least} references or more, got {min(values)}")
    counts = sorted({count for count in values or REFERENCES if count >= least})
    return [replace(base, references=count) for count in counts]


def amount(kind: str, job: Job) -> float:
    """The work of a job: megapixels a frame, references, or frames."""
    return {"size": job.width * job.height / 1e6, "references": job.references, "length": job.frames}[kind]


def exponent(work: Sequence[float], cost: Sequence[float] | np.ndarray) -> float:
    """The p of cost = a work^p that fits best on logarithmic axes; nan with less than two amounts of work over 0."""
    points = [(x, y) for x, y in zip(work, cost) if x > 0 and y > 0]
    if len({x for x, _ in points}) < 2:
        return math.nan
    x, y = np.log(points).T
    return round(float(np.polyfit(x, y, 1)[0]), 3) + 0.0  # no -0.00


def growth(power: float) -> str:
    """An exponent in words."""
    if math.isnan(power):
        return "unknown"
    if abs(power) < _FLAT:
        return "flat"
    if power < 0:
        return "falling"
    if power < _LINEAR:
        return "less than linear"
    return "linear" if power <= 2 - _LINEAR else "more than linear"


def name(job: Job) -> str:
    """What a series of measurements is called."""
    return f"{job.engine} {job.precision} {job.task}"


def cost_table(kind: str, series: Sequence[Series]) -> str:
    """Every measurement, as Markdown."""
    rows = []
    for job, found in (pair for points in series for pair in points):
        label = f"{job.width}x{job.height}" if kind == "size" else f"{amount(kind, job):.0f}"
        figures = [
            f"{job.frames / found.seconds:.2f}",
            f"{1000 * found.seconds / job.frames:.1f}",
            f"{found.seconds:.2f}",
            f"{1000 * found.latency:.0f}",
            f"{found.encoding:.2f}",
            *("" if math.isnan(x) else f"{x:.0f}" for x in (found.peak, found.working)),
        ]
        rows.append([name(job), label, *figures])
    return table(["what", kind, *_HEAD], rows)


def growth_table(kind: str, series: Sequence[Series]) -> str:
    """How each series grows, over all its measurements and in the last step alone, as Markdown.

    Memory is what the work took beyond the loaded networks, and at least 1 MB.
    """
    rows = []
    for points in series:
        work = [amount(kind, job) for job, _ in points]
        row = [name(points[0][0])]
        seconds, memory = zip(*((found.seconds, found.working) for _, found in points))
        for cost in (seconds, np.maximum(memory, 1.0)):  # which keeps nan
            powers = exponent(work, cost), exponent(work[-2:], cost[-2:])
            row += [*("" if math.isnan(power) else f"{power:.2f}" for power in powers), growth(powers[0])]
        rows.append(row)
    head = [f"{what}{more}" for what in ("time", "memory") for more in (", exponent", ", last step", "")]
    return table([f"grows with {kind}", *head], rows)


def draw(path: Path, kind: str, series: Sequence[Series]) -> None:
    """Write a picture: time and memory, a line for each series."""

    def curves(figure: str) -> dict[str, tuple[list[float], list[float]]]:
        return {
            name(points[0][0]): (
                [amount(kind, job) for job, _ in points],
                [getattr(found, figure) for _, found in points],
            )
            for points in series
        }

    shown = (("seconds", "seconds"), ("peak memory, MB", "peak"))
    plots.draw(path, *(plots.Panel(_AXIS[kind], unit, curves(figure), from_zero=True) for unit, figure in shown))


def measure_cost(
    kind: str,
    bases: Sequence[Job],
    values: Sequence[int] | None,
    sizes: Sequence[tuple[int, int]],
    about: str,
    out: Path | None = None,
) -> None:
    """Print time and memory against `kind`, each measured in a fresh process, and how they grow.

    Args:
        kind: one of `KINDS`.
        bases: what to measure; each gives one series.
        values, sizes: see `variants`.
        about: what is said above the tables.
        out: folder for the tables and a plot.

    Raises:
        RemasterError: values that cannot be measured, no matplotlib, or what the library says.
    """
    if out and not plots.available():
        raise UnsupportedError("drawing needs matplotlib: pip install matplotlib; or leave out --out")
    wanted = [variants(kind, base, values, sizes) for base in bases]
    if out:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to --out {out}: {error.strerror}") from error
    series: list[Series] = []
    for jobs in wanted:
        series.append([])
        for job in jobs:
            found = in_child(job)
            series[-1].append((job, found))
            progress(f"{name(job)}, {amount(kind, job):g} {_AXIS[kind]}: {found.seconds:.2f} s")
    text = f"Cost against {kind}; otherwise {about}.\n\n{cost_table(kind, series)}\n{growth_table(kind, series)}"
    print(text)
    if out:
        (out / f"cost-{kind}.md").write_text(text, encoding="utf-8")
        draw(out / f"cost-{kind}.png", kind, series)
