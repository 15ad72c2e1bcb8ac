"""Draws the validation curves of training runs: `python -m export.curves ours=runs/a RTN=runs/b --out curves.png`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from export import plots
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
        panel = plots.Panel("minutes of training", options.unit, curves)
        plots.draw(options.out, panel, width=7)
    except RemasterError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
