"""The command line: `vs-remaster run`, `status`, `redo`, `pipe`, `merge`, `references`, `report` and `weights`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from .errors import InputError, RemasterError, system_text
from .progress import Lines, Progress
from .rates import named_path
from .system.process import take_over
from .version import __version__

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
        arguments = _parser().parse_args(argv)
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
def _messages(quiet: bool, out: TextIO, as_json: bool) -> Iterator[None]:
    """Show what the library reports: information on `out`, warnings on stderr."""
    handler, level, propagate = Lines(out, as_json), log.level, log.propagate
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
def _clean_end() -> Iterator[None]:
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
    sys.stderr.write(f"vs-remaster: {' '.join(message.split())}\n")
    return status


def _parser() -> argparse.ArgumentParser:
    from . import cli_references
    from .cli.report import add_report
    from .film.writing import OutputOptions
    from .jobs.commands import add_commands, add_job
    from .output.codecs import CODECS
    from .pipe import EXAMPLE
    from .rates import add_fps
    from .remaster.options import ColorizeOptions, RestoreOptions

    restore, color, write = RestoreOptions(), ColorizeOptions(), OutputOptions()
    parser = _Parser(prog="vs-remaster", description="Remaster old black-and-white film.")
    parser.add_argument("--version", action="version", version=f"vs-remaster {__version__}")
    commands = parser.add_subparsers(required=True, metavar="run|status|redo|pipe|merge|references|report|weights")

    run = commands.add_parser("run", help="restore a film and colour it from reference pictures")
    run.set_defaults(command=_run)
    run.add_argument("input", type=named_path, metavar="INPUT", help="a video, or a folder of pictures")
    _add_output(run, write, CODECS)
    what = _add_work(run, restore, color)
    _number(what, "--start", int, 0, "first frame")
    what.add_argument("--end", type=int, metavar="N", help="first frame not taken (default: to the end)")
    add_fps(run, "INPUT")
    what.add_argument(
        "--shares", type=named_path, metavar="FILE", help="JSON of how much each reference gave to each frame's colour"
    )
    what.add_argument(
        "--report", type=named_path, metavar="FOLDER", help="a page that shows the film before and after, see report"
    )
    add_job(run)
    add_commands(commands)

    pipe = commands.add_parser(
        "pipe",
        help="the same from stdin to stdout, uncompressed",
        description=f"Restore and colour a film that comes on stdin and goes to stdout, y4m or raw frames: {EXAMPLE}",
    )
    pipe.set_defaults(command=_pipe)
    _add_format(pipe)
    _add_work(pipe, restore, color)

    merge = commands.add_parser("merge", help="give the frames of one film the colours of another")
    merge.set_defaults(command=_merge)
    merge.add_argument("luma", type=named_path, metavar="LUMA", help="the film whose luma, times and sound are kept")
    merge.add_argument(
        "chroma", type=named_path, metavar="CHROMA", help="the film whose colours are taken; of any size"
    )
    _add_output(merge, write, CODECS)
    _number(merge, "--weight", float, 1.0, "0..1; 1 takes the colours of CHROMA, 0 keeps those of LUMA")
    _number(merge, "--offset", int, 0, "frame n of LUMA takes the colours of frame n + OFFSET of CHROMA")
    add_fps(merge, "LUMA")

    cli_references.add(commands, restore, color)
    add_report(commands, Progress)

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


def _add_work(parser: argparse.ArgumentParser, restore: Any, color: Any) -> Any:
    """What `run` and `pipe` share; returns the group that says what is done."""
    what = parser.add_argument_group("what is done")
    what.add_argument(
        "--references",
        type=named_path,
        nargs="+",
        metavar="DIR|FILE",
        help="pictures to take the colours from, a references.toml, or (run) a coloured copy of the film, see "
        "references align",
    )
    what.add_argument("--no-restore", action="store_true", help="leave the luma as it is")
    what.add_argument("--automatic", action="store_true", help="guess the colours of frames that no reference acts on")
    what.add_argument("--no-color", action="store_true", help="leave the colours as they are")
    _number(what, "--strength", float, restore.strength, "of the restoration, 0..1; 0 leaves the source untouched")
    _number(what, "--grain", float, restore.grain, "how much of the film's own grain is put back, 0..1")
    _number(what, "--saturation", float, color.saturation, "1: as predicted, 0: gray")
    what.add_argument(
        "--scenes",
        default="auto",
        metavar="auto|none|FILE",
        help="where the cuts are; a file holds the number of each scene's first frame, one a line (default: auto)",
    )
    how = parser.add_argument_group("how it is computed")
    how.add_argument(
        "--model",
        default=restore.model,
        metavar="MODEL|RESTORER,COLORIZER",
        help="fast, quality, hairs, deepremaster or a weight file, for both networks or each (default: %(default)s)",
    )
    how.add_argument(
        "--device", default=restore.device, metavar="auto|cpu|cuda[:n]", help="where (default: %(default)s)"
    )
    how.add_argument("--precision", default=restore.precision, choices=("auto", "fp32", "bf16", "fp16"))
    how.add_argument("--engine", default=restore.engine, help="what runs the networks (default: %(default)s)")
    _number(how, "--tile", int, restore.tile, "largest side of the pieces a frame is cut into; 0: automatic")
    _number(how, "--restore-lines", int, restore.lines, "height at which the restorer sees the picture; 0: automatic")
    _number(how, "--color-lines", int, color.lines, "height at which colour is computed")
    return what


def _add_format(parser: argparse.ArgumentParser) -> None:
    from .color.matrices import H273_MATRICES

    group = parser.add_argument_group("input and output")
    group.add_argument("--format", choices=("y4m", "raw"), default="y4m", help="of both (default: %(default)s)")
    group.add_argument(
        "--pix-fmt",
        metavar="NAME",
        help="of y4m: what is written, such as 420p10 or 444p16 (default: as it comes; gray that is coloured becomes "
        "4:4:4 of its depth); of raw frames: what they are by ffmpeg's name, such as gray16le, yuv420p10le or rgb24",
    )
    group.add_argument("--size", type=_size, metavar="WxH", help="of raw frames, in pixels")
    group.add_argument(
        "--matrix",
        choices=tuple(dict.fromkeys(H273_MATRICES.values())),
        metavar="bt601|bt709|...",
        help="of the colours (default: bt601 up to 576 lines, else bt709)",
    )
    group.add_argument(
        "--range",
        choices=("limited", "full"),
        help="of the code values (default: what y4m says; else full for gray and RGB, limited for YUV)",
    )
    group.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be WxH, such as 720x576, got {text!r}")
    return int(width), int(height)


def _number(group: Any, name: str, kind: type, default: float, text: str) -> None:
    group.add_argument(name, type=kind, default=default, metavar="N", help=f"{text} (default: {default:g})")


def _add_output(parser: argparse.ArgumentParser, write: Any, codecs: Sequence[str]) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "-o", "--output", type=named_path, required=True, metavar="OUTPUT", help=".mkv, .mp4, .mov, .mxf, or a folder"
    )
    group.add_argument("--codec", choices=codecs, help=f"(default: {write.codec}; png where OUTPUT has no extension)")
    group.add_argument("--crf", type=float, metavar="N", help="quality of x264 and x265: lower is better")
    group.add_argument("--bits", type=int, metavar="N", help="bits a sample (default: those of INPUT, or the next)")
    group.add_argument(
        "--timecode",
        metavar="HH:MM:SS:FF",
        help="of the first frame written, HH:MM:SS;FF for drop-frame (default: INPUT's)",
    )
    group.add_argument("--overwrite", action="store_true", help="replace OUTPUT")
    group.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")


def _output_options(arguments: argparse.Namespace) -> Any:
    from .film.writing import OutputOptions

    folder = arguments.output.is_dir() or not arguments.output.suffix
    codec = arguments.codec or ("png" if folder else OutputOptions().codec)
    wanted = {name: getattr(arguments, name) for name in ("crf", "bits", "timecode", "overwrite")}
    return OutputOptions(codec=codec, **wanted)


def _run(arguments: argparse.Namespace) -> None:
    from .film.remastering import remaster_film
    from .film.shares import SharesFile
    from .jobs.commands import job_options
    from .jobs.run import needs_job, remaster_job
    from .report.make import check_folder, make_report
    from .stills.copies import is_film
    from .system.files import check_replaceable

    options, write = job_options(arguments), _output_options(arguments)
    folder = options.folder_for(arguments.output)
    if arguments.report:
        check_folder(arguments.report, arguments.overwrite or folder.owns(arguments.report))
    if arguments.shares:
        check_replaceable(arguments.shares, arguments.overwrite or folder.owns(arguments.shares))
    files = arguments.input, arguments.output
    part = {"start": arguments.start, "end": arguments.end, "fps": arguments.fps}
    colored = bool(arguments.references or arguments.automatic) and not arguments.no_color
    by_job = bool(arguments.report) or needs_job(*files, write, colored, **part, options=options)
    with Progress(arguments.quiet, arguments.json) as progress:
        told = functools.partial(progress.told, "align")
        aligns = by_job and any(is_film(path) for path in arguments.references or ())
        with folder.at_work() if aligns else contextlib.nullcontext():
            work = _work(arguments, arguments.input, folder.aligned if by_job else None, told)
    with Progress(arguments.quiet, arguments.json) as progress:

        def report(folder: Path) -> None:
            if arguments.report:
                told = functools.partial(progress.told, "report")
                made = arguments.output if options.chunks == "final" else None
                make_report(folder, made, arguments.report, overwrite=arguments.overwrite, progress=told)

        if by_job:
            told = {"options": options, "watch": progress, "shares": arguments.shares, "finished": report}
            done = remaster_job(*files, write=write, **told, **part, **work)
        else:
            with SharesFile(arguments.shares, work["references"], overwrite=arguments.overwrite) as look:
                done = remaster_film(*files, write=write, progress=progress, look=look, **part, **work)
        if not options.plan:
            progress.result(done.frames, arguments.output)


def _pipe(arguments: argparse.Namespace) -> None:
    from .pipe import PipeOptions, remaster_pipe, standard_streams

    options = PipeOptions(
        format=arguments.format,
        size=arguments.size,
        pix_fmt=arguments.pix_fmt,
        matrix=arguments.matrix,
        full_range=arguments.range == "full" if arguments.range else None,
    )
    source, sink = standard_streams()
    with Progress(arguments.quiet) as progress:
        frames = remaster_pipe(source, sink, options, progress=progress, **_work(arguments))
    _report(frames, "stdout")


def _work(
    arguments: argparse.Namespace, film: Path | None = None, keep: Path | None = None, progress: Any = None
) -> dict[str, Any]:
    """What `run` and `pipe` do to a film; references that are films are laid beside one on disk only, see
    `film_references`."""
    from .references.reference import load_references
    from .remaster.options import ColorizeOptions, RestoreOptions
    from .remaster.scenes import parse_cuts
    from .stills.copies import film_references

    how = {name: getattr(arguments, name) for name in ("device", "precision", "engine")}
    restore = RestoreOptions(
        model=_model(arguments.model, "restorer"),
        strength=arguments.strength,
        grain=arguments.grain,
        lines=arguments.restore_lines,
        tile=arguments.tile,
        **how,
    )
    colorize = ColorizeOptions(
        model=_model(arguments.model, "colorizer"),
        saturation=arguments.saturation,
        lines=arguments.color_lines,
        automatic=arguments.automatic,
        **how,
    )
    scenes = arguments.scenes if arguments.scenes in ("auto", "none") else parse_cuts(arguments.scenes)
    references: Sequence[Any] = ()
    if arguments.references and not arguments.no_color:
        lines = arguments.color_lines
        if film is None:
            references = load_references(arguments.references, lines=lines)
        else:
            told = {"lines": lines, "keep": keep, "colorize": ColorizeOptions(**how), "progress": progress}
            references = film_references(arguments.references, film, **told)
    return {
        "restore": None if arguments.no_restore else restore,
        "colorize": None if arguments.no_color else colorize,
        "references": references,
        "scenes": scenes,
    }


def _model(name: str, network: str) -> str:
    """What `--model` means for a network: a weight file, imported weights and a shipped variant are for the networks
    that they hold; the other takes its own. With a comma it names one for each.

    Raises:
        InputError: it names more than two.
    """
    from .weights import imported, network_of, variants

    path = Path(name)
    if "," in name and not path.is_file():
        each = name.split(",")
        if len(each) != 2:
            raise InputError(f"--model takes one model, or RESTORER,COLORIZER; got {name!r}")
        return each[network == "colorizer"]
    if path.is_file():
        return name if network_of(path) == network else "auto"
    holds = [known.partition("-")[0] for known in imported() if known.partition("-")[2] == name]
    holds += [known for known in ("restorer", "colorizer") if name in variants(known)]
    return "auto" if holds and network not in holds else name


def _merge(arguments: argparse.Namespace) -> None:
    from .film.merging import merge_films

    with Progress(arguments.quiet) as progress:
        done = merge_films(
            arguments.luma,
            arguments.chroma,
            arguments.output,
            weight=arguments.weight,
            offset=arguments.offset,
            fps=arguments.fps,
            write=_output_options(arguments),
            progress=progress,
        )
    _report(done.frames, arguments.output)


def _report(frames: int, output: object) -> None:
    log.info("%d frames written to %s", frames, output)


def _import(arguments: argparse.Namespace) -> None:
    from .weights import import_published

    files = import_published(arguments.file, arguments.name, arguments.flow, overwrite=arguments.overwrite)
    name = files[0].stem.partition("-")[2]
    log.info("weights for --model %s written to %s", name, " and ".join(map(str, files)))


if __name__ == "__main__":
    program()
