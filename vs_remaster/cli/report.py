"""The command `report`."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from .progress import ProgressDisplay
from .values import add_fps, named_path

log = logging.getLogger(__name__)


def add_report(commands: Any) -> None:
    """Add the command to the others, `commands`: what `add_subparsers` returned."""
    parser = commands.add_parser("report", help="a page that shows a film before and after, with figures")
    parser.set_defaults(command=_report)
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
        "-o",
        "--output",
        type=named_path,
        required=True,
        metavar="FOLDER",
        help="for the page, its figures and its pictures",
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


def _report(arguments: argparse.Namespace) -> None:
    from ..report.make import PAGE, make_report

    with ProgressDisplay(arguments.quiet) as shown:
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
