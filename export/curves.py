"""Draws the validation curves of training runs: `python -m export.curves ours=runs/a RTN=runs/b --out curves.png`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vs_remaster.errors import InputError, RemasterError


def read_curve(run: Path, figure: str) -> tuple[list[float], list[float]]:
    """Minutes and the values of `figure` out of a run's `validation.jsonl`.

    Raises:
        InputError: no such run, or it did not measure that.
    """
    path = run / "validation.jsonl"
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise InputError(f"no curve in {path}: {error.strerror}; give the --out folder of a training run") from error
    if not rows or figure not in rows[0]:
        raise InputError(f"{path} has no {figure!r}; it has {', '.join(rows[0]) if rows else 'no lines'}")
    return [row["minutes"] for row in rows], [row[figure] for row in rows]


def draw(curves: dict[str, tuple[list[float], list[float]]], unit: str, out: Path) -> None:
    """Write one picture with a line for each curve."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="tight")
    axes = figure.add_subplot(xlabel="minutes of training", ylabel=unit)
    for label, (minutes, values) in curves.items():
        axes.plot(minutes, values, marker="o", label=label)
    axes.grid(alpha=0.3)
    axes.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_figure(out, dpi=110)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m export.curves", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="LABEL=RUN", help="folders that export/train.py wrote to")
    parser.add_argument("--figure", default="output", help="which figure of validation.jsonl (default: %(default)s)")
    parser.add_argument("--unit", default="PSNR, dB", help="what to write beside the axis (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="a .png or .svg file")
    options = parser.parse_args(arguments)
    try:
        pairs = (run.rpartition("=")[::2] for run in options.runs)
        curves = {label or Path(run).name: read_curve(Path(run), options.figure) for label, run in pairs}
        draw(curves, options.unit, options.out)
    except RemasterError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except ImportError:
        parser.exit(2, f"{parser.prog}: drawing needs matplotlib: pip install matplotlib\n")


if __name__ == "__main__":
    main()
