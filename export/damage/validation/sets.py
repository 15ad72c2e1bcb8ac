"""The sets by their names, and the damage that each gives to a clip."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

import torch

from export.damage.chance import Draw
from export.damage.masks import Templates
from export.damage.synthesis import Damaged
from export.damage.validation.alone import blurred, grainy
from export.damage.validation.blotches import blotched
from export.damage.validation.frozen import frozen
from export.damage.validation.paper import worn
from vs_remaster.errors import InputError

VALIDATION_EDGE = 272  # short edge of the clean validation clips: at least 1.3 times smaller than every source
VALIDATION_FRAMES = 48

SETS = ("frozen", "paper", "blotches")
"""Damage of three kinds: our synthesis, RTN's model, and opaque shapes that hide what lies beneath."""

_MADE: dict[str, Callable[[Draw, torch.Tensor, Templates | None], Damaged]] = {
    "paper": worn,
    "blotches": blotched,
    **{f"blur-{sigma}": partial(blurred, sigma) for sigma in (0.8, 1.2)},
    **{f"grain-{sigma}": partial(grainy, sigma) for sigma in (0.02, 0.05, 0.12)},
}
ALONE = tuple(name for name in _MADE if name not in SETS)
"""One loss of quality and nothing else: Gaussian blur of a sigma in pixels, white grain of a sigma as a share of
white."""


def validation_clip(
    name: str,
    clean: torch.Tensor,
    templates: Templates | None,
    kind: str = "frozen",
    *,
    steady: bool = False,
    only: Sequence[str] = (),
) -> Damaged:
    """The validation damage of one clip: the same on every machine and in every run.

    The first frames of a clip are damaged as those of all of it (in `frozen` up to `VALIDATION_FRAMES`).

    Args:
        name: the clip's name (file name without its ending): with the set it alone chooses the damage.
        clean: luma [T, 1, H, W], 0..1, whole frames; moved to the CPU in float32. At most `VALIDATION_FRAMES` frames
            for figures that can be compared.
        templates: the masks of `damage/val`, on the CPU.
        kind: the set, of `SETS` or `ALONE`.
        steady: no weave and no repeated frames; only `frozen` has them.
        only: kinds of damage in place of all of them (`DamageSettings.only`), in `frozen`.

    Raises:
        InputError: no such set, or `only` with another than `frozen`.
    """
    if kind != "frozen" and kind not in _MADE:
        raise InputError(f"no validation set {kind!r}; choose from {', '.join((*SETS, *ALONE))}")
    if only and kind != "frozen":
        raise InputError(f"the set {kind!r} cannot be taken apart; choose single kinds of damage of 'frozen'")
    clean = clean.detach().float().cpu()
    if kind != "frozen":
        return _MADE[kind](Draw(_seed(f"{kind} {name}")), clean, templates)
    frames = len(clean)
    # always made for the same length, so that fewer frames get the same damage as the first of many
    padded = torch.cat([clean, clean[-1:].expand(max(0, VALIDATION_FRAMES - frames), -1, -1, -1)])
    return Damaged(*(part[:frames] for part in frozen(_seed(name), padded, templates, steady, only)))


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
