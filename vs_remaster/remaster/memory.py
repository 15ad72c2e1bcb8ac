"""Which references act on which frames: by their scope, and of many those that resemble the frames most.

What acts on a frame depends on its number, on the cuts and on the frames of its own block, so frame n stays the same
frame whoever asks for it. References that do not act are left out, exactly as if they had not been given.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.network import ComparableReferences, EncodedReferences
from ..references.reference import Reference
from ..references.rules import Rule, rules_of

log = logging.getLogger(__name__)

MOST = 16
"""So many references are attended at once; of more, those that resemble the frames most."""
_LOOKS = 3  # frames of a block that references are compared with
_KEPT = 4  # choices whose memories are kept joined
STRANGE = 0.7
"""Frames that resemble a picture less than that are not coloured from it where it shows no frame of the film and others
do. At 432 lines the likeness to other clips is 0.73 at most, 0.69 but for two alike crossings, to frames two or four
seconds away 0.74 to 0.96 (14 validation clips)."""
_SHARPNESS = 32.0  # about what the attention multiplies cosines with, so that a weight counts here as much as there


class Run(NamedTuple):
    """Frames `start` to `stop` of a window, on which the same references may act."""

    start: int
    stop: int
    acting: tuple[int, ...]


@dataclass
class ReferenceSet:
    """Encoded references, and when each of them acts. Made by `Colorizer.encode_references`; a thing to hand on.

    Attributes:
        whole: what the engine remembers of all of them.
        rules: one for each.
        weighs: the network can weigh and compare them; one that cannot uses what is in scope alike.
    """

    whole: EncodedReferences
    rules: tuple[Rule, ...]
    weighs: bool
    _warned: bool = field(default=False, repr=False)
    _made: OrderedDict[tuple[int, ...], EncodedReferences] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def runs(self, first: int, count: int) -> list[Run]:
        """Cut a window of `count` frames, the first of them number `first`, where references begin or cease to act."""
        edges = {edge - first for rule in self.rules for edge in (rule.first, rule.stop) if edge is not None}
        marks = [0, *sorted(edge for edge in edges if 0 < edge < count), count]
        found: list[Run] = []
        for start, stop in pairwise(marks):
            acting = tuple(i for i, rule in enumerate(self.rules) if rule.acts(first + start))
            if found and found[-1].acting == acting:  # the edge of a reference that is never used
                found[-1] = Run(found[-1].start, stop, acting)
            else:
                found.append(Run(start, stop, acting))
        return found

    def chosen(
        self, acting: tuple[int, ...], kept: Tensor, describe: Callable[[Tensor], Tensor], first: int
    ) -> tuple[int, ...]:
        """Those of the acting references that are attended.

        Args:
            acting: numbers of the references in scope.
            kept: the frames that will be made, `[T, 1, h, w]`.
            describe: what frames look like as wholes, see `Engine.describe`.
            first: number of the first of these frames.
        """
        acting = self._nearest(acting, first + (len(kept) - 1) / 2)
        own = any(self.rules[i].known for i in acting)
        foreign = {i for i in acting if own and not self.rules[i].known and self.rules[i].likeness is None}
        if not self.weighs or (len(acting) <= MOST and not foreign and not any(self.rules[i].likeness for i in acting)):
            return acting
        looks = sorted({round(i * (len(kept) - 1) / (_LOOKS - 1)) for i in range(_LOOKS)})
        assert isinstance(self.whole, ComparableReferences)  # those of a network that weighs
        nearness = self.whole.likeness(describe(kept[looks])).amax(0).tolist()
        close = [i for i in acting if nearness[i] >= (self.rules[i].likeness or 0)]
        if any(self.rules[i].known for i in close):
            close = [i for i in close if i not in foreign or nearness[i] >= STRANGE]
        if len(close) <= MOST:
            return tuple(close)
        rank = {i: nearness[i] + math.log(self.rules[i].weight) / _SHARPNESS for i in close}
        return tuple(sorted(sorted(close, key=lambda i: (-rank[i], i))[:MOST]))

    def _nearest(self, acting: tuple[int, ...], middle: float) -> tuple[int, ...]:
        """The acting references without those of which others of their origin are nearer to the frame `middle`."""
        groups: dict[str, list[tuple[float, int]]] = {}
        for i in acting:
            rule = self.rules[i]
            if rule.nearest is not None and rule.frame is not None:
                groups.setdefault(rule.origin, []).append((abs(rule.frame - middle), i))
        left = {i for group in groups.values() for _, i in sorted(group)[self.rules[group[0][1]].nearest :]}
        return tuple(i for i in acting if i not in left)

    def plus(self, reference: Reference, encoded: EncodedReferences) -> ReferenceSet:
        """These references and another one, behind them; only for a network that weighs."""
        assert isinstance(self.whole, ComparableReferences) and isinstance(encoded, ComparableReferences)
        return ReferenceSet(self.whole.plus(encoded), (*self.rules, *rules_of([reference])), self.weighs)

    def memory(self, chosen: tuple[int, ...]) -> EncodedReferences:
        """What the engine remembers of some of them, with their weights."""
        weights = [self.rules[i].weight if self.weighs else 1.0 for i in chosen]
        if len(chosen) == len(self.rules) and all(weight == 1 for weight in weights):
            return self.whole
        with self._lock:
            if chosen not in self._made:
                self._made[chosen] = self.whole.subset(chosen, weights)
            self._made.move_to_end(chosen)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
            return self._made[chosen]

    def gray(self, frames: Sequence[Tensor], number: int) -> list[tuple[Tensor, Tensor]]:
        """Chroma and shares for frames `[1, H, W]`, the first of them `number`, that no reference acts on: none."""
        if not self._warned:
            self._warned = True
            log.warning(
                "no reference acts on frame %d and perhaps others: they stay gray; widen a scope, or colour "
                "them automatically",
                number,
            )
        device = frames[0].device
        chroma = torch.zeros(len(frames), 2, *frames[0].shape[-2:], device=device)
        return list(zip(chroma, torch.zeros(len(frames), len(self.rules), device=device)))

    def spread(self, shares: Tensor, chosen: tuple[int, ...]) -> Tensor:
        """Shares `[T, C]` of the chosen ones as shares `[T, R]` of all; the others have none."""
        if len(chosen) == len(self.rules):
            return shares
        out = shares.new_zeros(len(shares), len(self.rules))
        out[:, list(chosen)] = shares
        return out


def reference_set(
    encoded: EncodedReferences, references: Sequence[Reference], weighs: bool, model: str
) -> ReferenceSet:
    """Encoded references with their rules; says once what the network cannot do."""
    rules = rules_of(references)
    ignored = [rule.name for rule in rules if rule.weight not in (0, 1) or rule.likeness]
    if ignored and not weighs:
        log.warning(
            "the network of model %s cannot weigh references or compare them with frames: weights other than 0, and "
            "likeness, of %s make no difference; scopes do",
            model, named(ignored),
        )  # fmt: skip
    foreign = sum(not rule.known and rule.likeness is None for rule in rules)
    if weighs and foreign and any(rule.known for rule in rules):
        log.info(
            "%d of %d references show no frame of the film: only what resembles them is coloured from them",
            foreign, len(rules),
        )  # fmt: skip
    if weighs and len(rules) > MOST:
        log.info(
            "%d references: of those in scope, each block of frames attends the %d that it resembles most",
            len(rules), MOST,
        )  # fmt: skip
    return ReferenceSet(encoded, rules, weighs)


def named(names: Sequence[str]) -> str:
    """Names of references for a message, the first of many."""
    return ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")
