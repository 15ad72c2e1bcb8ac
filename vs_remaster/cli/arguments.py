"""The options that commands share, and what they stand for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .values import add_scenes, named_path, parse_scenes

if TYPE_CHECKING:
    from ..film.request import Treatment
    from ..film.writing import ProgressCallback
    from ..output.options import OutputOptions
    from ..references.reference import Reference


def add_work(parser: argparse.ArgumentParser, restore: Any, color: Any, *, auto: bool) -> Any:
    """What `run` and `pipe` share; returns the group that says what is done. `auto`: levels can be found."""
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
    add_number(what, "--strength", float, restore.strength, "of the restoration, 0..1; 0 leaves the source untouched")
    add_number(what, "--grain", float, restore.grain, "how much of the film's own grain is put back, 0..1")
    add_number(what, "--sharpness", float, restore.sharpness, "how much of what blur took is given back, 0..1")
    what.add_argument(
        "--scale",
        type=int,
        choices=(1, 2),
        default=restore.scale,
        help="2: the film at twice its width and height (default: %(default)s)",
    )
    what.add_argument(
        "--levels",
        default=restore.levels,
        metavar="auto|LOW,HIGH[,GAMMA]" if auto else "LOW,HIGH[,GAMMA]",
        help="luma of the restored picture that becomes black and white, 0..1; a gamma above 1 brightens what lies "
        f"between{'; auto: found in each shot' if auto else ''} (default: the luma stays)",
    )
    what.add_argument(
        "--bad-frames",
        type=_bad_frames,
        default=(),
        metavar="N,N-N|FILE",
        help="frames that are lost (torn, black, garbage) and made anew from those around them, such as 120,341-343, "
        "or a file with such numbers; up to four in a row",
    )
    add_number(what, "--steady", float, 0.0, "how much of the weave of the film in the gate is taken out, 0..1")
    what.add_argument(
        "--steady-edges",
        choices=("fill", "crop"),
        help="what becomes of the picture's edge: filled from the frames beside it, or cut off (default: fill)",
    )
    what.add_argument(
        "--repair",
        type=named_path,
        metavar="FILE|DIR",
        help="masks, white where there is damage whatever the network thinks: a video, a picture, or a folder of "
        "pictures with the numbers of frames in their names",
    )
    what.add_argument(
        "--protect", type=named_path, metavar="FILE|DIR", help="such masks, white where the picture stays as it was"
    )
    add_number(what, "--saturation", float, color.saturation, "1: as predicted, 0: gray")
    what.add_argument(
        "--saturation-hues",
        default="",
        metavar="FROM-TO:N,...",
        help="the same for ranges of hue: degrees (red 0, yellow 60, green 120, cyan 180, blue 240, magenta 300) and a "
        "number, such as 330-30:1.2,90-150:0.7",
    )
    what.add_argument(
        "--lut",
        type=named_path,
        metavar="FILE",
        help="a look-up table for the colours, .cube, 1D or 3D; luma stays what it is",
    )
    add_scenes(what)
    how = parser.add_argument_group("how it is computed")
    how.add_argument(
        "--model",
        default=restore.model,
        metavar="MODEL|RESTORER,COLORIZER",
        help="fast, quality, deepremaster or a weight file, for both networks or each (default: %(default)s)",
    )
    how.add_argument(
        "--sharpener",
        default=restore.sharpener,
        metavar="auto|FILE",
        help="a weight file that sharpens and enlarges instead of the shipped one",
    )
    how.add_argument(
        "--device", default=restore.device, metavar="auto|cpu|cuda[:n]|xpu[:n]|mps", help="where (default: %(default)s)"
    )
    how.add_argument("--precision", default=restore.precision, choices=("auto", "fp32", "bf16", "fp16"))
    how.add_argument("--engine", default=restore.engine, help="what runs the networks (default: %(default)s)")
    add_number(how, "--tile", int, restore.tile, "largest side of the pieces a frame is cut into; 0: automatic")
    add_number(how, "--restore-lines", int, restore.lines, "height at which the restorer sees the film; 0: automatic")
    add_number(how, "--color-lines", int, color.lines, "height at which colour is computed")
    return what


def add_format(parser: argparse.ArgumentParser) -> None:
    from ..color.h273 import H273_MATRICES

    group = parser.add_argument_group("input and output")
    group.add_argument("--format", choices=("y4m", "raw"), default="y4m", help="of both (default: %(default)s)")
    group.add_argument(
        "--pix-fmt",
        metavar="NAME",
        help="of y4m: what is written, such as 420p10 or 444p16 (default: as it comes; gray that is coloured becomes "
        "4:4:4 of its depth); of raw frames: what they are by ffmpeg's name, such as gray16le, yuv420p10le or rgb24",
    )
    group.add_argument("--size", type=_size, metavar="WxH", help="of raw frames that come in, in pixels")
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


def _bad_frames(text: str) -> tuple[int, ...]:
    from ..remaster.lost_frames import parse_lost

    try:
        return parse_lost(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be WxH, such as 720x576, got {text!r}")
    return int(width), int(height)


def add_number(group: Any, name: str, kind: type, default: float, text: str) -> None:
    group.add_argument(name, type=kind, default=default, metavar="N", help=f"{text} (default: {default:g})")


def add_output(parser: argparse.ArgumentParser, write: Any, codecs: Sequence[str]) -> None:
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


def output_options(arguments: argparse.Namespace) -> OutputOptions:
    from ..output.options import OutputOptions

    folder = arguments.output.is_dir() or not arguments.output.suffix
    codec = arguments.codec or ("png" if folder else OutputOptions().codec)
    wanted = {name: getattr(arguments, name) for name in ("crf", "bits", "timecode", "overwrite")}
    return OutputOptions(codec=codec, **wanted)


def treatment_of(arguments: argparse.Namespace, levels: str | None) -> Treatment:
    """What `run` and `pipe` do to frames, but for the references: they may take long to load. `levels`: those of all
    shots, as a person writes them."""
    from ..color.hues import HueGain
    from ..color.look import Lut
    from ..film.request import NOT_ENLARGED, NOT_RESTORED, Treatment
    from ..remaster.options import ColorizeOptions, Levels, PrepareOptions, RestoreOptions

    where = _where(arguments)
    if levels is not None and not levels.strip():
        raise InputError(f"--levels is empty ({levels!r}): give LOW,HIGH or LOW,HIGH,GAMMA, or leave it out")
    if arguments.no_restore and levels:
        raise InputError(NOT_RESTORED)
    if arguments.no_restore and arguments.scale > 1:
        raise InputError(NOT_ENLARGED)
    restore = RestoreOptions(
        model=model_for(arguments.model, "restorer"),
        strength=arguments.strength,
        grain=arguments.grain,
        sharpness=arguments.sharpness,
        scale=arguments.scale,
        levels=Levels.parse(levels or ""),
        sharpener=arguments.sharpener,
        lines=arguments.restore_lines,
        tile=arguments.tile,
        **where,
    )
    colorize = ColorizeOptions(
        model=model_for(arguments.model, "colorizer"),
        saturation=arguments.saturation,
        saturation_hues=HueGain.all_of(arguments.saturation_hues),
        lut=None if arguments.no_color else Lut.of(arguments.lut),
        lines=arguments.color_lines,
        automatic=arguments.automatic,
        **where,
    )
    if arguments.steady_edges and not arguments.steady:
        raise InputError(f"--steady-edges {arguments.steady_edges} is of --steady, which is off: give --steady 1")
    return Treatment(
        restore=None if arguments.no_restore else restore,
        colorize=None if arguments.no_color else colorize,
        scenes=parse_scenes(arguments.scenes),
        repair=arguments.repair,
        protect=arguments.protect,
        prepare=PrepareOptions(
            bad_frames=arguments.bad_frames,
            steady=arguments.steady,
            steady_edges=arguments.steady_edges or "fill",
        ),
    )


def references_of(
    arguments: argparse.Namespace,
    film: Path | None = None,
    keep: Path | None = None,
    progress: ProgressCallback = lambda done, total: None,
) -> Sequence[Reference]:
    """The references that `run` and `pipe` name; those that are films are laid beside `film`, see `film_references`."""
    from ..references.reference import load_references
    from ..remaster.options import ColorizeOptions
    from ..stills.copies import film_references

    if not arguments.references or arguments.no_color:
        return ()
    lines = arguments.color_lines
    if film is None:
        return load_references(arguments.references, lines=lines)
    options = ColorizeOptions(**_where(arguments))
    return film_references(arguments.references, film, lines=lines, keep=keep, colorize=options, progress=progress)


def _where(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("device", "precision", "engine")}


def model_for(name: str, network: str) -> str:
    """What `--model` means for a network: a weight file, imported weights and a shipped variant are for the networks
    that they hold; the other takes its own. With a comma it names one for each.

    Raises:
        InputError: it names more than two.
    """
    from ..weights import imported, network_of, variants

    path = Path(name)
    if "," in name and not path.is_file():
        each = name.split(",")
        if len(each) != 2:
            raise InputError(f"--model takes one model, or RESTORER,COLORIZER; got {name!r}")
        return each[network == "colorizer"]
    if path.is_file():
        return name if network_of(path) == network else "auto"
    holds = [known.partition("-")[0] for known in imported() if known.partition("-")[2] == name]
    holds += [known for known in ("restorer", "colorizer") if name in variants(known, former=True)]
    return "auto" if holds and network not in holds else name
