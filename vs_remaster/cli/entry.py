"""The command line: `vs-remaster run`, `status`, `redo`, `pipe`, `merge`, `references`, `report` and `weights`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import signal
import sys
import threading
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from ..errors import InputError, RemasterError, printable, system_text
from ..system.process import take_over
from ..version import __version__
from .arguments import (
    add_format,
    add_number,
    add_output,
    add_work,
    model_for,
    output_options,
    references_of,
    treatment_of,
)
from .progress import MessageHandler, ProgressDisplay
from .values import named_path, parse_reach

if TYPE_CHECKING:
    from ..film.request import FilmRequest
    from ..film.writing import ProgressCallback
    from ..references.reference import Reference

log = logging.getLogger("vs_remaster")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"vs-remaster: {message}; see {self.prog} --help\n")


def program() -> NoReturn:
    """The program `vs-remaster`: its process does nothing else."""
    take_over()
    sys.exit(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says, in whatever process this is.

    Args:
        argv: arguments; None: those of the process.

    Returns:
        Exit status: 0 done, 2 something that was given cannot be used, 130 stopped with Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["--version"]:  # without loading PyTorch, which takes seconds
        sys.stdout.write(f"vs-remaster {__version__}\n")
        return 0
    try:
        arguments = make_parser().parse_args(argv)
        out = sys.stderr if arguments.command is _pipe else sys.stdout
        with _messages(arguments.quiet, out, getattr(arguments, "json", False)), _clean_end():
            arguments.command(arguments)
        return 0
    except RemasterError as error:
        return _fail(str(error), 2)
    except OSError as error:
        return _fail(system_text(error), 2)
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "stopped", 130)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return _fail("out of memory: use --tile, or lower --restore-lines and --color-lines", 2)
        if type(error).__name__ != "OutOfMemoryError":
            raise
        return _fail("the GPU is out of memory: use --tile, or lower --restore-lines and --color-lines", 2)


@contextlib.contextmanager
def _messages(quiet: bool, out: TextIO, as_json: bool) -> Generator[None]:
    """Show what the library reports: information on `out`, warnings on stderr."""
    handler, level, propagate = MessageHandler(out, as_json), log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


@contextlib.contextmanager
def _clean_end() -> Generator[None]:
    """Let a request to terminate end the job as an error does, with nothing left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: Any) -> NoReturn:
        raise SystemExit(128 + number)

    old = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"vs-remaster: {' '.join(printable(message).split())}\n")
    return status


def make_parser() -> argparse.ArgumentParser:
    from ..output.codecs import CODECS
    from ..output.options import OutputOptions
    from ..remaster.options import CARRY_REACH, ColorizeOptions, RestoreOptions
    from ..usage import PIPE_EXAMPLE
    from .jobs import add_commands, add_job
    from .references import add_references
    from .report import add_report
    from .values import add_fps

    restore, color, write = RestoreOptions(), ColorizeOptions(), OutputOptions()
    parser = _Parser(prog="vs-remaster", description="Remaster old black-and-white film.")
    parser.add_argument("--version", action="version", version=f"vs-remaster {__version__}")
    commands = parser.add_subparsers(required=True, metavar="run|status|redo|pipe|merge|references|report|weights")

    run = commands.add_parser("run", help="restore a film and colour it from reference pictures")
    run.set_defaults(command=_run)
    run.add_argument("input", type=named_path, metavar="INPUT", help="a video, or a folder of pictures")
    add_output(run, write, CODECS)
    what = add_work(run, restore, color, auto=True)
    add_number(what, "--start", int, 0, "first frame")
    what.add_argument("--end", type=int, metavar="N", help="first frame not taken (default: to the end)")
    add_fps(run, "INPUT")
    what.add_argument(
        "--shares", type=named_path, metavar="FILE", help="JSON of how much each reference gave to each frame's colour"
    )
    what.add_argument(
        "--image-model",
        type=named_path,
        metavar="FILE",
        help="with --automatic: frames are picked, coloured by this image model, and the film from them; see "
        "references colorize",
    )
    what.add_argument(
        "--carry",
        type=parse_reach,
        nargs="?",
        const=CARRY_REACH,
        metavar="FRAMES",
        help="first carry colour in small steps to up to so many frames before and after each reference (12 to 1000, "
        "default: %(const)s), for what moves fast or comes nearer; see references carry",
    )
    what.add_argument(
        "--masks",
        type=named_path,
        metavar="OUTPUT",
        help="what was repaired, white on black: .mkv, or a folder of PNGs",
    )
    what.add_argument(
        "--report", type=named_path, metavar="FOLDER", help="a page that shows the film before and after, see report"
    )
    add_job(run)
    add_commands(commands)

    pipe = commands.add_parser(
        "pipe",
        help="the same from stdin to stdout, uncompressed",
        description=f"Restore and colour a film from stdin to stdout, as y4m or raw frames: {PIPE_EXAMPLE}",
    )
    pipe.set_defaults(command=_pipe)
    add_format(pipe)
    add_work(pipe, restore, color, auto=False)

    merge = commands.add_parser("merge", help="give the frames of one film the colours of another")
    merge.set_defaults(command=_merge)
    merge.add_argument("luma", type=named_path, metavar="LUMA", help="the film whose luma, times and sound are kept")
    merge.add_argument(
        "chroma", type=named_path, metavar="CHROMA", help="the film whose colours are taken; of any size"
    )
    add_output(merge, write, CODECS)
    add_number(merge, "--weight", float, 1.0, "0..1; 1 takes the colours of CHROMA, 0 keeps those of LUMA")
    add_number(merge, "--offset", int, 0, "frame n of LUMA takes the colours of frame n + OFFSET of CHROMA")
    add_fps(merge, "LUMA")

    add_references(commands, restore, color)
    add_report(commands)

    kept = commands.add_parser("weights", help="manage the weights that are not shipped")
    kept = kept.add_subparsers(required=True, metavar="import")
    take = kept.add_parser(
        "import",
        help="take over the authors' weights of DeepRemaster (CC BY-NC-SA 4.0) or RTN (academic research only), for "
        "--model deepremaster or rtn",
    )
    take.set_defaults(command=_import, quiet=False)
    take.add_argument("file", type=named_path, metavar="FILE", help="remasternet.pth.tar or net_G_200000.pth")
    take.add_argument("--as", dest="name", metavar="NAME", help="for --model, if not deepremaster or rtn")
    take.add_argument(
        "--flow", type=named_path, metavar="FILE", help="raft-sintel.pth, where RTN's file has no optical flow"
    )
    take.add_argument("--overwrite", action="store_true", help="replace weights that have this name")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    from ..film.remastering import remaster_film
    from ..film.request import FilmRequest
    from ..film.shares import SharesFile
    from ..jobs.run import needs_job, remaster_job
    from ..report.make import check_folder, make_report
    from ..stills.copies import is_film
    from ..system.files import check_replaceable
    from .jobs import job_options

    if arguments.image_model and (arguments.no_color or not arguments.automatic):
        raise InputError(f"--image-model {arguments.image_model} is of --automatic: give that, and leave colour on")
    if arguments.carry is not None and (arguments.no_color or not (arguments.references or arguments.image_model)):
        raise InputError(
            "--carry carries the colours of references: give --references or --image-model, and leave colour on"
        )
    options = job_options(arguments)
    auto = arguments.levels == "auto"
    request = FilmRequest(
        source=arguments.input,
        output=arguments.output,
        write=output_options(arguments),
        start=arguments.start,
        end=arguments.end,
        fps=arguments.fps,
        auto_levels=auto,
        masks=arguments.masks,
        **vars(treatment_of(arguments, None if auto else arguments.levels)),
    )
    folder = options.folder_for(request.output)
    if arguments.report and request.prepare.crops:
        raise InputError("--report lays both films on one another, and --steady-edges crop makes one smaller: use fill")
    if arguments.report:
        check_folder(arguments.report, request.write.overwrite or folder.owns(arguments.report))
    if arguments.shares:
        check_replaceable(arguments.shares, request.write.overwrite or folder.owns(arguments.shares))
    named = () if arguments.no_color else arguments.references or ()
    colored = bool(named or arguments.automatic) and not arguments.no_color
    by_job = bool(arguments.report) or needs_job(request, options, colored=colored)
    with ProgressDisplay(arguments.quiet, arguments.json) as progress:
        painted = arguments.image_model is not None
        makes = painted or arguments.carry is not None or any(is_film(path) for path in arguments.references or ())
        aligns = by_job and makes
        with folder.at_work() if aligns else contextlib.nullcontext():
            keep = folder.aligned if by_job else None
            told = functools.partial(progress.report, "align")
            references = references_of(arguments, request.source, keep, told)
            if painted:
                told = functools.partial(progress.report, "pick")
                references = [*references, *_painted(request, arguments, keep, told)]
            if arguments.carry is not None:
                told = functools.partial(progress.report, "carry")
                references = _carried(request, references, arguments, keep, told)
            request = replace(request, references=references)
    with ProgressDisplay(arguments.quiet, arguments.json) as progress:

        def report(folder: Path) -> None:
            if arguments.report:
                made = request.output if options.chunk_coding == "final" else None
                told = functools.partial(progress.report, "report")
                make_report(folder, made, arguments.report, overwrite=arguments.overwrite, progress=told)

        if by_job:
            done = remaster_job(request, options=options, watch=progress, shares=arguments.shares, finished=report)
        else:
            with SharesFile(arguments.shares, request.references, overwrite=arguments.overwrite) as look:
                done = remaster_film(request, progress=progress, look=look)
        if not options.plan:
            progress.result(done.frames, request.output)


def _painted(
    request: FilmRequest, arguments: argparse.Namespace, keep: Path | None, progress: ProgressCallback
) -> list[Reference]:
    """References that an image model makes."""
    from ..remaster.options import ColorizeOptions
    from ..stills.painting import painted_references

    how = {name: getattr(arguments, name) for name in ("device", "precision", "engine")}
    return painted_references(
        request.source,
        arguments.image_model,
        restore=request.restore_options,
        colorize=ColorizeOptions(model=model_for(arguments.model, "colorizer"), **how),
        lines=arguments.color_lines,
        keep=keep,
        progress=progress,
    )


def _carried(
    request: FilmRequest,
    references: Sequence[Reference],
    arguments: argparse.Namespace,
    keep: Path | None,
    progress: ProgressCallback,
) -> list[Reference]:
    """References and those that their colours are carried to."""
    from ..remaster.options import ColorizeOptions
    from ..stills.carrying import carried_references

    how = {name: getattr(arguments, name) for name in ("device", "precision", "engine")}
    model = model_for(arguments.model, "colorizer")
    return carried_references(
        request.source,
        references,
        reach=arguments.carry,
        restore=request.restore_options,
        colorize=ColorizeOptions(model=model, lines=arguments.color_lines, **how),
        prepare=request.prepare,
        scenes=request.scenes,
        start=request.start,
        end=request.end,
        fps=request.fps,
        lines=arguments.color_lines,
        keep=keep,
        progress=progress,
    )


def _pipe(arguments: argparse.Namespace) -> None:
    from ..pipe import PipeOptions, remaster_pipe, standard_streams

    options = PipeOptions(
        format=arguments.format,
        size=arguments.size,
        pix_fmt=arguments.pix_fmt,
        matrix=arguments.matrix,
        full_range=arguments.range == "full" if arguments.range else None,
    )
    source, sink = standard_streams()
    with ProgressDisplay(arguments.quiet) as progress:
        treatment = replace(treatment_of(arguments, arguments.levels), references=references_of(arguments))
        frames = remaster_pipe(source, sink, options, treatment, progress=progress)
    _report(frames, "stdout")


def _merge(arguments: argparse.Namespace) -> None:
    from ..film.merging import merge_films

    with ProgressDisplay(arguments.quiet) as progress:
        done = merge_films(
            arguments.luma,
            arguments.chroma,
            arguments.output,
            weight=arguments.weight,
            offset=arguments.offset,
            fps=arguments.fps,
            write=output_options(arguments),
            progress=progress,
        )
    _report(done.frames, arguments.output)


def _report(frames: int, output: object) -> None:
    log.info("%d frames written to %s", frames, output)


def _import(arguments: argparse.Namespace) -> None:
    from ..weights import import_published

    files = import_published(arguments.file, arguments.name, arguments.flow, overwrite=arguments.overwrite)
    name = files[0].stem.partition("-")[2]
    log.info("weights for --model %s written to %s", name, " and ".join(map(str, files)))
