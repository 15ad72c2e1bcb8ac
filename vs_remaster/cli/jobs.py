"""What the command line has for film-length work: options of `run`, and the commands `status` and `redo`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from typing import Any

from ..errors import InputError
from ..jobs.planning.options import CHUNK_CODINGS, CHUNK_FRAMES
from ..system.sizes import size_text
from .values import named_path

log = logging.getLogger(__name__)


def add_job(run: argparse.ArgumentParser) -> None:
    """Add the options of `run` that long films have."""
    group = run.add_argument_group("film-length jobs")
    group.add_argument(
        "--job",
        type=named_path,
        metavar="DIR",
        help="work by way of this folder and keep it (default: OUTPUT.job for films longer than a chunk, removed when "
        "all is done)",
    )
    group.add_argument("--keep-chunks", action="store_true", help="keep the job folder when all is done")
    group.add_argument("--plan", action="store_true", help="only find the shots and write DIR/shots.toml")
    group.add_argument(
        "--chunk",
        type=int,
        default=CHUNK_FRAMES,
        metavar="N",
        help="frames that are made and kept together, at most (default: %(default)s)",
    )
    group.add_argument(
        "--chunks",
        choices=CHUNK_CODINGS,
        default=CHUNK_CODINGS[0],
        help="what they are kept as: without loss, to be encoded when all are there, or in the codec of OUTPUT, to be "
        "joined as they are (default: %(default)s)",
    )
    group.add_argument(
        "--workers", type=int, metavar="N", help="processes that work at the same time, one GPU each (default: 1)"
    )
    group.add_argument("--ray", metavar="ADDRESS", help="let a Ray cluster do the work: auto, local or HOST:PORT")
    group.add_argument(
        "--ray-stream", action="store_true", help="send film and chunks through Ray even where paths are shared"
    )
    group.add_argument("--json", action="store_true", help="say what is going on in JSON, an object a line")


def job_options(arguments: argparse.Namespace) -> Any:
    """The options that `add_job` added, as `JobOptions`."""
    from ..jobs.planning.options import JobOptions

    return JobOptions(
        folder=arguments.job,
        keep=arguments.keep_chunks,
        chunk_frames=arguments.chunk,
        chunk_coding=arguments.chunks,
        plan=arguments.plan,
        workers=arguments.workers,
        ray=arguments.ray,
        ray_stream=arguments.ray_stream,
    )


def add_commands(commands: Any) -> None:
    """Add the commands that look after a job folder."""
    status = commands.add_parser("status", help="say how far a job is")
    status.set_defaults(command=_status, quiet=False)
    status.add_argument("folder", type=named_path, metavar="DIR", help="the job folder")
    status.add_argument("--json", action="store_true", help="as JSON")

    redo = commands.add_parser("redo", help="let shots of a job be done again")
    redo.set_defaults(command=_redo, quiet=False)
    redo.add_argument("folder", type=named_path, metavar="DIR", help="the job folder")
    redo.add_argument("--shot", type=int, nargs="+", required=True, metavar="N", help="their numbers, as in shots.toml")


def _status(arguments: argparse.Namespace) -> None:
    from ..jobs.status import facts_of, opened

    folder, plan, survey = opened(arguments.folder)
    told = facts_of(folder, plan, survey)
    if arguments.json:
        sys.stdout.write(json.dumps(told) + "\n")
        return
    log.info("%s, frames %d to %d", told["film"], survey.start, survey.end)
    log.info(
        "%d of %d frames in %d of %d chunks are made (%s), %s; about %s more are needed",
        told["done"],
        told["total"],
        told["chunks_done"],
        told["chunks"],
        f"in {encode['codec']}, to be joined" if (encode := plan["job"].get("encode")) else "lossless, to be encoded",
        size_text(told["disk_used"]),
        size_text(told["disk_needed"]),
    )
    kinds = ", ".join(f"{count} {kind}" for kind, count in told["shots"].items())
    log.info("%d shots: %s; %d frames shown twice", len(survey.shots), kinds, told["duplicates"])
    log.info("%s", f"at work: {told['worker']}" if told["worker"] else "nobody is at work: run its command to go on")


def _redo(arguments: argparse.Namespace) -> None:
    from ..jobs.making.chunks import forget
    from ..jobs.status import chunks_of, opened

    folder, plan, survey = opened(arguments.folder)
    wrong = [number for number in arguments.shot if not 1 <= number <= len(survey.shots)]
    if wrong:
        raise InputError(f"there is no shot {wrong[0]} in {folder.path}: it has shots 1 to {len(survey.shots)}")
    shots = [survey.shots[number - 1] for number in arguments.shot]
    with folder.locked():
        touched = [c for c in chunks_of(plan) if any(c.first < shot.last and shot.first < c.last for shot in shots)]
        count = sum(forget(folder.chunks, chunk) for chunk in touched)
    log.info("%d of %d chunks will be made again: run the job's command", count, len(plan["chunks"]))
