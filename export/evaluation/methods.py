"""What is compared: our networks, simple peers, and other programs, each as a function of a case.

A method of `restore` and `film` gives luma [T, 1, H, W], one of `colorize` and `remaster` RGB [T, 3, H, W].
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional as F

from export.evaluation import peers
from export.evaluation.cases import Case
from export.evaluation.enlarging import HOW_TO_GET, has_nnedi3, lanczos, nnedi3
from export.scores.metrics import DIRTY
from export.tables import progress
from vs_remaster import color
from vs_remaster.errors import InputError
from vs_remaster.references.reference import Reference
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions, Running
from vs_remaster.remaster.pipeline import Picture, RemasterPipeline
from vs_remaster.remaster.restorer import Restorer
from vs_remaster.stills.carrying import carry_in_clip

Method = Callable[[Case], torch.Tensor]
DIRT_KNOWN, CARRIED = ", dirt known", ", carried"
"""What the labels of networks end in that are told where the dirt is, and of those that carry colours on."""


class Peer(NamedTuple):
    """A method whose results are kept: `key` is all they depend on besides the case."""

    key: str
    run: Method


RestorePeer = Callable[[torch.Tensor], torch.Tensor]
ColorPeer = Callable[[torch.Tensor, Sequence[Reference]], torch.Tensor]


def _from_first_chroma(composed: bool) -> ColorPeer:
    def fill(luma: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
        return peers.propagate_chroma(luma, color.rgb_to_ycbcr(rgb)[1:], composed)

    return partial(peers.from_last_reference, fill)


RESTORE_PEERS: dict[str, tuple[str, RestorePeer]] = {
    "input": ("input", lambda luma: luma),
    "median": ("3-frame median", peers.temporal_median),
    "nlm": (f"NLM multi (h {peers.NLM_STRENGTH}, {peers.NLM_WINDOW} frames)", peers.non_local_means),
    "bm3d": (f"BM3D (sigma {peers.BM3D_SIGMA})", peers.bm3d),
}
"""Name on the command line -> name in tables, function of luma [T, 1, H, W]."""

COLOR_PEERS: dict[str, tuple[str, ColorPeer]] = {
    "gray": ("gray", lambda luma, references: torch.zeros_like(luma).expand(-1, 2, -1, -1)),
    "flow": ("flow, frame to frame", _from_first_chroma(composed=False)),
    "flow-added": ("flow, added up", _from_first_chroma(composed=True)),
    "transfer": ("colour transfer", partial(peers.from_last_reference, peers.transfer_color)),
}
"""Name on the command line -> name in tables, function of luma and references that gives chroma [T, 2, H, W]."""

DEFAULT_PEERS = {
    "restore": ("input", "median", "nlm"),
    "film": ("input", "median", "nlm"),
    "enlarge": (),
    "colorize": ("gray", "flow", "flow-added", "transfer"),
    "remaster": ("input+gray", "median+flow", "median+transfer"),
}


def to_rgb(luma: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """RGB [T, 3, H, W] of luma and BT.709 chroma; colours outside of the gamut go toward gray, as in the product."""
    frames = [color.ycbcr_to_rgb(torch.cat([y, color.fit_gamut(y, c)])) for y, c in zip(luma, chroma, strict=True)]
    return torch.stack(frames).clamp(0, 1)


# Peers ---------------------------------------------------------------------------------------------------------------


def peers_of(task: str, names: Iterable[str] | None = None) -> dict[str, Peer]:
    """Peers by the names in `RESTORE_PEERS` and `COLOR_PEERS`, for `remaster` one of each as `median+flow`.

    Raises:
        InputError: an unknown name.
    """
    made = dict(_peer(task, name) for name in (DEFAULT_PEERS[task] if names is None else names))
    return {label: Peer(label, method) for label, method in made.items()}


def _peer(task: str, name: str) -> tuple[str, Method]:
    if task in ("restore", "film"):
        label, restore = _named(RESTORE_PEERS, name)
        return label, lambda case: restore(case.luma).clamp(0, 1)
    if task == "colorize":
        label, colorize = _named(COLOR_PEERS, name)
        return label, lambda case: to_rgb(case.luma, colorize(case.luma, case.references))
    first, _, second = name.partition("+")
    (one, restore), (other, colorize) = _named(RESTORE_PEERS, first), _named(COLOR_PEERS, second)

    def remaster(case: Case) -> torch.Tensor:
        luma = restore(case.luma).clamp(0, 1)
        return to_rgb(luma, colorize(luma, case.references))

    return f"{one} + {other}", remaster


def _named(known: dict[str, tuple], name: str) -> tuple:
    if name not in known:
        raise InputError(f"no peer {name!r}; use {', '.join(known)}, for remaster one of each, such as median+flow")
    return known[name]


# Networks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NetworkOptions:
    """Where and how networks run; see `RestoreOptions`. To restore, `strength`, `sharpness` and `sharpener` are theirs.
    To colorize, `shown_at` enlarges what they see to so many lines and brings their colours back to the size of the
    clip: what a larger source would lose. With `dirt_known`, networks also restore with the mask of the dirt as what is
    to be repaired, in rows of their own: what an infrared scan is worth. With `carried`, networks also colorize from
    frames that colours were carried to, see `carry_in_clip`, in rows of their own, too."""

    device: str = "auto"
    precision: str = "fp32"
    shown_at: int | None = None
    strength: float = 1.0
    sharpness: float = 1.0
    sharpener: str = "auto"
    dirt_known: bool = False
    carried: bool = False


def networks_of(task: str, models: Sequence[str], options: NetworkOptions = NetworkOptions()) -> dict[str, Method]:
    """Our networks, by their labels.

    Args:
        models: each `NAME_OR_FILE` or `label=NAME_OR_FILE`; for `remaster` a name that both networks have, or
            `restorer,colorizer`. A single one without a label is called `ours`.

    Raises:
        InputError: no such weights, or two with one label.
    """
    made: dict[str, Method] = {}
    for given in models:
        label, model = _labelled(given)
        label = label or ("ours" if len(models) == 1 else ",".join(Path(part).stem for part in model.split(",")))
        if label in made:
            raise InputError(f"two models are called {label!r}; write one as label=NAME_OR_FILE")
        if task == "enlarge":
            made |= _enlarging(label, model, options)
        else:
            made[label] = _network(task, model, options)
        if options.dirt_known:
            made[label + DIRT_KNOWN] = _restoring(model, options, dirt_known=True)
        if options.carried:
            made[label + CARRIED] = _network(task, model, options, carried=True)
    return made


def _restoring(model: str, options: NetworkOptions, scale: int = 1, dirt_known: bool = False) -> Method:
    told = RestoreOptions(
        model=model, strength=options.strength, sharpness=options.sharpness, scale=scale,
        device=options.device, precision=options.precision, sharpener=options.sharpener,
    )  # fmt: skip
    restorer = Restorer(told)

    def restore(case: Case) -> torch.Tensor:
        repair = (case.dirt > DIRTY).float() if dirt_known and case.dirt is not None else None
        return restorer.restore(case.luma, case.cuts, repair=repair).luma.float().cpu().clamp(0, 1)

    return restore


def _enlarging(label: str, model: str, options: NetworkOptions) -> dict[str, Method]:
    """A restorer at scale 2, and what enlarges what it restores at scale 1."""

    same = _restoring(model, options)
    made = {f"{label}, then Lanczos": lambda case: lanczos(same(case)).clamp(0, 1)}
    if has_nnedi3():
        made[f"{label}, then nnedi3"] = lambda case: nnedi3(same(case)).clamp(0, 1)
    else:
        progress(HOW_TO_GET)
    return made | {label: _restoring(model, options, 2)}


def _labelled(given: str) -> tuple[str, str]:
    """Take `label=rest` apart; a label has no slashes, so that paths may have equals signs."""
    label, equals, rest = given.partition("=")
    return (label, rest) if equals and rest and not re.search(r"[\\/{}]", label) else ("", given)


def _network(task: str, model: str, options: NetworkOptions, carried: bool = False) -> Method:
    settings: Running = {"device": options.device, "precision": options.precision}
    if task in ("restore", "film"):
        return _restoring(model, options)
    if task == "colorize":
        colorizer = Colorizer(ColorizeOptions(model=model, **settings))

        def colorize(case: Case) -> torch.Tensor:
            shown = _enlarged(case, options.shown_at) if options.shown_at else case
            references = _usable(colorizer, shown)
            if carried:
                references = carry_in_clip(colorizer, shown.luma, references, shown.cuts)
            memory = colorizer.encode_references(references)
            chroma = colorizer.colorize(shown.luma, memory, shown.cuts).chroma.float().cpu()
            return to_rgb(case.luma, _scaled(chroma, case.luma.shape[-2:]))

        return colorize
    first, comma, second = model.partition(",")
    if not comma and model.endswith(".safetensors"):
        raise InputError(f"remaster needs two networks, got {model!r}; give restorer.safetensors,colorizer.safetensors")
    both = (
        Restorer(RestoreOptions(model=first, **settings)),
        Colorizer(ColorizeOptions(model=second or first, **settings)),
    )
    return partial(_remaster, *both)


def _scaled(pictures: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Pictures [T, C, h, w] at `size` (height, width)."""
    if pictures.shape[-2:] == torch.Size(size):
        return pictures
    if size[0] < pictures.shape[-2]:
        return torch.cat([F.interpolate(picture[None], tuple(size), mode="area") for picture in pictures])
    return torch.cat(
        [F.interpolate(picture[None], tuple(size), mode="bicubic", align_corners=False) for picture in pictures]
    )


def _enlarged(case: Case, lines: int) -> Case:
    """The luma and the references of a case with `lines` pixels in the short edge."""
    sides = case.luma.shape[-2:]
    size = [round(side * lines / min(sides)) for side in sides]
    pictures = tuple(replace(r, rgb=_scaled(r.rgb[None], size)[0].clamp(0, 1)) for r in case.references)
    return replace(case, luma=_scaled(case.luma, size).clamp(0, 1), references=pictures)


def _usable(colorizer: Colorizer, case: Case) -> Sequence[Reference]:
    """The references of a case; none for a network that takes none."""
    return case.references if colorizer.info.takes_references else ()


def _remaster(restorer: Restorer, colorizer: Colorizer, case: Case) -> torch.Tensor:
    pipeline = RemasterPipeline(restorer, colorizer, _usable(colorizer, case), case.cuts)
    film = pipeline.process(Picture(luma=luma, chroma=None, index=index) for index, luma in enumerate(case.luma))
    pictures = []
    for picture in film:
        assert picture.chroma is not None
        pictures.append((picture.luma.float().cpu(), picture.chroma.float().cpu()))
    luma, chroma = (torch.stack(planes) for planes in zip(*pictures, strict=True))
    return to_rgb(luma.clamp(0, 1), chroma)


# Other programs ------------------------------------------------------------------------------------------------------


def commands_of(task: str, lines: Iterable[str]) -> dict[str, Peer]:
    """Other programs, by `label=` before the command or the name of the program; see `peers.Command`.

    Raises:
        InputError: a command that lacks its placeholders, or two with one label.
    """
    made: dict[str, Peer] = {}
    in_color = task in ("colorize", "remaster")
    for given in lines:
        label, line = _labelled(given)
        command = peers.Command(line)
        label = label or Path(shlex.split(line)[0]).stem
        if label in made:
            raise InputError(f"two commands are called {label!r}; write one as 'label=command ...'")
        made[label] = Peer(line, partial(_run, command, in_color))
    return made


def _run(command: peers.Command, in_color: bool, case: Case) -> torch.Tensor:
    return command(case.luma, case.references, in_color=in_color)
