"""`vs-remaster references`: which frames to colour, and the manifest of a folder of references."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from .values import add_fps, add_scenes, named_path, parse_reach, parse_scenes

log = logging.getLogger(__name__)

_COUNT = 8


def add_references(commands: Any, restore: Any, color: Any) -> None:
    """Add the command to the others; `restore` and `color` hold the defaults."""
    from ..remaster.options import CARRY_REACH, CARRY_WEIGHT, CARRY_WHOLE_WEIGHT

    group = commands.add_parser("references", help="frames worth colouring, and the manifest of references")
    group = group.add_subparsers(required=True, metavar="pick|align|colorize|carry|show|stamp")

    pick = group.add_parser(
        "pick",
        help="choose the frames of a film that are worth colouring and write them, restored",
        description="Choose frames that cover the rest of a film best and write them as pictures to colour, with a "
        "contact sheet and a references.toml.",
    )
    pick.set_defaults(command=_pick)
    pick.add_argument("input", type=named_path, metavar="INPUT", help="a video, or a folder of pictures")
    pick.add_argument(
        "-o", "--output", type=named_path, required=True, metavar="DIR", help="a folder without references"
    )
    pick.add_argument("-n", "--count", type=int, metavar="N", help=f"how many at most (default: {_COUNT})")
    pick.add_argument(
        "--coverage",
        type=float,
        default=0.0,
        metavar="0..1",
        help="as many as it takes to cover the film so well: 0 is no better than by frames of other scenes, 1 by its "
        "own frames",
    )
    pick.add_argument("--no-restore", action="store_true", help="write the frames as they are")
    pick.add_argument("--strength", type=float, default=restore.strength, metavar="N", help="of the restoration, 0..1")
    _add_how(pick, restore)

    align = group.add_parser(
        "align",
        help="take references out of a coloured copy of the film: another print, a DVD, what another tool made",
        description="Find the frames of a film in a coloured copy of it by what they show (the copy may run at another "
        "rate, be cropped, faded, begin elsewhere, lack scenes), and write those that are worth most as references.",
    )
    align.set_defaults(command=_align)
    align.add_argument("input", type=named_path, metavar="INPUT", help="a video, or a folder of pictures")
    align.add_argument("coloured", type=named_path, metavar="COLOURED", help="the copy that has colours")
    align.add_argument(
        "-o", "--output", type=named_path, required=True, metavar="DIR", help="a folder without references"
    )
    amount = align.add_mutually_exclusive_group()
    amount.add_argument("-n", "--count", type=int, metavar="N", help="how many at most (default: one or two a shot)")
    amount.add_argument("--every", type=float, metavar="SECONDS", help="one every so many seconds of INPUT")
    amount.add_argument("--coverage", type=float, metavar="0..1", help="see pick")
    add_fps(align, "INPUT")
    align.add_argument("--weight", type=float, default=1.0, metavar="N", help="of all of them (default: %(default)g)")
    _add_how(align, restore)

    paint = group.add_parser(
        "colorize",
        help="colour the gray pictures of a folder with an image model",
        description="Colour the pictures of a folder that pick wrote, in place, with an image model whose weights you "
        "bring, and give them a low weight. Pictures that have colours already are left alone.",
    )
    paint.set_defaults(command=_colorize)
    paint.add_argument("folder", type=named_path, metavar="DIR", help="the folder of references")
    paint.add_argument(
        "--image-model",
        type=named_path,
        required=True,
        metavar="FILE",
        help="weights that spandrel knows, such as DDColor's, or a colorizer of ours that takes no references",
    )
    paint.add_argument("--weight", type=float, default=0.25, metavar="N", help="of them (default: %(default)g)")
    paint.add_argument("--device", default=restore.device, metavar="auto|cpu|cuda[:n]")
    paint.add_argument("--overwrite", action="store_true", help="also colour pictures anew that have colours")
    paint.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")

    carry = group.add_parser(
        "carry",
        help="carry colour from references to the frames round them, and write these as references",
        description="Colour frames before and after each reference, 8 frames from one to the next, and write every "
        "second of them as a picture, with a contact sheet and a references.toml that gives them a very low weight. "
        "Give both folders to run: what moves fast, turns or comes nearer keeps its colour longer.",
    )
    carry.set_defaults(command=_carry)
    carry.add_argument("input", type=named_path, metavar="INPUT", help="a video, or a folder of pictures")
    carry.add_argument("--references", type=named_path, nargs="+", required=True, metavar="DIR|FILE", help="see run")
    carry.add_argument(
        "-o", "--output", type=named_path, required=True, metavar="DIR", help="a folder without references"
    )
    carry.add_argument(
        "--reach",
        type=parse_reach,
        default=CARRY_REACH,
        metavar="FRAMES",
        help="before and after, 12 to 1000 (default: %(default)s)",
    )
    add_scenes(carry)
    carry.add_argument(
        "--weight",
        type=float,
        metavar="N",
        help=f"of all of them (default: {CARRY_WEIGHT:g}; where engines carry whole pictures {CARRY_WHOLE_WEIGHT:g})",
    )
    carry.add_argument("--no-restore", action="store_true", help="colour the frames as they are")
    carry.add_argument("--strength", type=float, default=restore.strength, metavar="N", help="of the restoration, 0..1")
    add_fps(carry, "INPUT")
    carry.add_argument("--color-lines", type=int, default=color.lines, metavar="N", help="see run")
    _add_how(carry, restore)

    show = group.add_parser(
        "show",
        help="pictures of which reference colours what",
        description="Write single frames tinted with a hue for each reference that their colours come from, and below "
        "them the references, the more solid the more they give. Frames are looked at as they are, not restored.",
    )
    show.set_defaults(command=_show)
    show.add_argument("input", type=named_path, metavar="INPUT", help="a video, or a folder of pictures")
    show.add_argument("--references", type=named_path, nargs="+", required=True, metavar="DIR|FILE", help="see run")
    show.add_argument("--frames", type=int, nargs="+", required=True, metavar="N", help="numbers of the frames")
    show.add_argument("-o", "--output", type=named_path, required=True, metavar="DIR", help="a folder for the pictures")
    show.add_argument("--overwrite", action="store_true", help="replace pictures of the same names in DIR")
    add_fps(show, "INPUT")
    show.add_argument("--color-lines", type=int, default=color.lines, metavar="N", help="see run")
    _add_how(show, restore)

    stamp = group.add_parser(
        "stamp", help="write into a folder's references.toml what its pictures are now: their names and sha256"
    )
    stamp.set_defaults(command=_stamp, quiet=False)
    stamp.add_argument("folder", type=named_path, metavar="DIR", help="the folder of references")


def _add_how(parser: argparse.ArgumentParser, defaults: Any) -> None:
    parser.add_argument("--model", default=defaults.model, help="see run (default: %(default)s)")
    parser.add_argument("--device", default=defaults.device, metavar="auto|cpu|cuda[:n]|xpu[:n]|mps")
    parser.add_argument("--precision", default=defaults.precision, choices=("auto", "fp32", "bf16", "fp16"))
    parser.add_argument("--engine", default=defaults.engine, help="what runs the networks (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")


def _pick(arguments: argparse.Namespace) -> None:
    from ..remaster.options import ColorizeOptions, RestoreOptions
    from ..stills.contact_sheet import SHEET
    from ..stills.picking import pick_references
    from .arguments import model_for
    from .progress import ProgressDisplay

    how = {name: getattr(arguments, name) for name in ("device", "precision", "engine")}
    restore = RestoreOptions(model=model_for(arguments.model, "restorer"), strength=arguments.strength, **how)
    count = arguments.count if arguments.count is not None else 0 if arguments.coverage else _COUNT
    with ProgressDisplay(arguments.quiet) as progress:
        picked, covered = pick_references(
            arguments.input,
            arguments.output,
            count=count,
            coverage=arguments.coverage,
            restore=None if arguments.no_restore else restore,
            colorize=ColorizeOptions(model=model_for(arguments.model, "colorizer"), **how),
            progress=progress,
        )
    for one in picked:
        first, end = one.shot
        log.info("%s: of the shot %d to %d, for %.0f %% of the film", one.path.name, first, end - 1, 100 * one.share)
    log.info(
        "%d frames written to %s (coverage %.2f), an overview to %s",
        len(picked), arguments.output, covered, arguments.output / SHEET,
    )  # fmt: skip


def _align(arguments: argparse.Namespace) -> None:
    from ..errors import InputError
    from ..remaster.options import ColorizeOptions
    from ..stills.copies import align_references
    from .arguments import model_for
    from .progress import ProgressDisplay

    amount = {name: getattr(arguments, name) for name in ("count", "every", "coverage")}
    for name, value in amount.items():
        if value is not None and value <= 0:
            raise InputError(f"--{name} must be above 0, got {value:g}")
    how = {name: getattr(arguments, name) for name in ("device", "precision", "engine")}
    with ProgressDisplay(arguments.quiet) as progress:
        done = align_references(
            arguments.input,
            arguments.coloured,
            arguments.output,
            **{name: value for name, value in amount.items() if value is not None},
            weight=arguments.weight,
            fps=arguments.fps,
            colorize=ColorizeOptions(model=model_for(arguments.model, "colorizer"), **how),
            progress=progress,
        )
    log.info(
        "%d pictures written to %s, for %d of %d shots",
        len(done.frames), arguments.output, done.shots - done.lonely, done.shots,
    )  # fmt: skip


def _colorize(arguments: argparse.Namespace) -> None:
    from ..stills.painting import color_references
    from .progress import ProgressDisplay

    with ProgressDisplay(arguments.quiet) as progress:
        made = color_references(
            arguments.folder,
            arguments.image_model,
            weight=arguments.weight,
            device=arguments.device,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    log.info("%d pictures in %s coloured: look at them, and correct what is wrong", len(made), arguments.folder)


def _carry(arguments: argparse.Namespace) -> None:
    from ..remaster.options import ColorizeOptions, RestoreOptions
    from ..stills.carrying import carry_references
    from ..stills.contact_sheet import SHEET
    from ..stills.copies import film_references
    from .arguments import model_for
    from .progress import ProgressDisplay

    how = {name: getattr(arguments, name) for name in ("device", "precision", "engine")}
    restore = RestoreOptions(model=model_for(arguments.model, "restorer"), strength=arguments.strength, **how)
    lines = arguments.color_lines
    options = ColorizeOptions(model=model_for(arguments.model, "colorizer"), lines=lines, **how)
    with ProgressDisplay(arguments.quiet) as progress:
        made = carry_references(
            arguments.input,
            film_references(arguments.references, arguments.input, lines=lines, colorize=options),
            arguments.output,
            reach=arguments.reach,
            weight=arguments.weight,
            restore=None if arguments.no_restore else restore,
            colorize=options,
            scenes=parse_scenes(arguments.scenes),
            fps=arguments.fps,
            progress=progress,
        )
    if not made:
        log.info("nothing to carry: within the shots of the references no frame is far enough from one; no pictures")
        return
    log.info(
        "colour carried to %d frames, written to %s, an overview to %s: look at them, and correct what is wrong",
        len(made), arguments.output, arguments.output / SHEET,
    )  # fmt: skip


def _show(arguments: argparse.Namespace) -> None:
    from ..remaster.options import ColorizeOptions
    from ..stills.copies import film_references
    from ..stills.shares import show_shares
    from .arguments import model_for

    how = {name: getattr(arguments, name) for name in ("device", "precision", "engine")}
    options = ColorizeOptions(model=model_for(arguments.model, "colorizer"), lines=arguments.color_lines, **how)
    references = film_references(
        arguments.references, arguments.input, lines=arguments.color_lines, colorize=ColorizeOptions(**how)
    )
    paths = show_shares(
        arguments.input, arguments.output, references, arguments.frames, options, arguments.fps,
        overwrite=arguments.overwrite,
    )  # fmt: skip
    log.info("%d pictures written to %s", len(paths), arguments.output)


def _stamp(arguments: argparse.Namespace) -> None:
    from ..references.manifest import NAME
    from ..references.stamping import stamp

    count = stamp(arguments.folder)
    log.info("%d pictures in %s", count, arguments.folder / NAME)
