"""The command `report`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..rates import add_fps, named_path
from ..report.make import DATA, PAGE, log, make_report

Progress = Callable[[bool], AbstractContextManager[Callable[[int, int | None], None]]]


def add_report(commands: Any, progress: Progress) -> None:
    """Register the command.

    Args:
        commands: what `add_subparsers` returned.
        progress: shows it.
    """
    parser = commands.add_parser("report", help="a page that shows a film before and after, with figures")
    parser.set_defaults(command=lambda arguments: _report(arguments, progress))
    parser.add_argument(
        "before", type=named_path, metavar="BEFORE", help="the source: a video, a folder of pictures, or a job folder"
    )
    parser.add_argument(
        "after",
        type=named_path,
        nargs="?",
        metavar="AFTER",
        help="what was made of it (default: what the job folder holds)",
    )
    parser.add_argument(
        "-o", "--output", type=named_path, required=True, metavar="FOLDER", help=f"for {PAGE}, {DATA} and pictures"
    )
    parser.add_argument(
        "--references",
        type=named_path,
        nargs="+",
        metavar="DIR|FILE",
        help="pictures that AFTER was coloured from (default: those of the job, where they are still there)",
    )
    add_fps(parser, "BEFORE")
    parser.add_argument("--overwrite", action="store_true", help="replace a report in FOLDER")
    parser.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")


def _report(arguments: argparse.Namespace, progress: Progress) -> None:
    with progress(arguments.quiet) as shown:
        make_report(
            arguments.before,
            arguments.after,
            arguments.output,
            arguments.references,
            overwrite=arguments.overwrite,
            fps=arguments.fps,
            progress=shown,
        )
    log.info("report written to %s", arguments.output / PAGE)
