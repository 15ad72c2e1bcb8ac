"""When a reference acts: its scope, settled for a film whose cuts are known."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from ..errors import InputError
from .reference import Reference


def settle(
    references: Sequence[Reference], cuts: Iterable[int] | None, fps: Fraction | float | None = None
) -> list[Reference]:
    """Turn every time into a frame and every scope `shot` into a range of frames.

    Args:
        references: as they were loaded.
        cuts: all frames of the film that start a shot; None: not known, then what the references say of their shots
            is taken.
        fps: frames a second, for references that belong to a time; None: not known.

    Returns:
        The references in their order; their scopes are `film` or ranges.

    Raises:
        InputError: the shot of a reference cannot be told (named).
    """
    edges = None if cuts is None else [0, *sorted({int(cut) for cut in cuts} - {0})]
    return [_settled(reference, edges, fps) for reference in references]


def _settled(reference: Reference, edges: list[int] | None, fps: Fraction | float | None) -> Reference:
    frame, what = reference.frame, f"reference {reference.name!r}"
    if reference.time is not None and fps:
        frame = round(reference.time * float(fps))
        reference = replace(reference, frame=frame, time=None)
    if reference.scope != "shot":
        return reference
    if frame is None and (edges is not None or reference.shot is None):
        if reference.time is not None:
            raise InputError(f"{what} belongs to a time, but the rate of the film is not known here: give its frame")
        raise InputError(f"{what} acts in its shot, but nothing says which frame it shows: give its frame")
    if edges is not None and frame is not None:
        at = bisect.bisect_right(edges, frame)
        return replace(reference, scope=(edges[at - 1], edges[at] if at < len(edges) else None))
    if reference.shot is None:
        raise InputError(
            f"{what} acts in its shot, but the cuts are found only as the film goes by: say where they are (scenes), "
            "or write shot = [first, end] into its entry"
        )
    return replace(reference, scope=reference.shot)


def beyond(references: Sequence[Reference], frames: int | None) -> str:
    """What is said of references whose frame a film has not; empty where there are none.

    Args:
        references: settled ones.
        frames: how many the film has; None: not known.
    """
    far = [one for one in references if frames is not None and one.frame is not None and one.frame >= frames]
    if not far or frames is None:
        return ""
    more = f" (and {len(far) - 1} more)" if len(far) > 1 else ""
    return (
        f"reference {far[0].name!r} shows frame {far[0].frame}{more}, and there are {frames}, 0 to {frames - 1}: "
        "give its frame in references.toml or as the last number of its name; if all are counted from elsewhere, take "
        "that offset off"
    )


class Rule(NamedTuple):
    """When one reference acts: on frames `first` to `stop` (None: the film's end), of those it resembles by `likeness`
    or more (None: see `STRANGE`), with this weight; `known`: it shows a frame of the film, `frame` (None: only its time
    is known); `nearest`: at most so many with its `origin` act at once (None: all)."""

    name: str
    weight: float
    first: int
    stop: int | None
    likeness: float | None
    known: bool
    frame: int | None = None
    origin: str = ""
    nearest: int | None = None

    def acts(self, frame: int) -> bool:
        """Whether it may act on the frame of a number."""
        return self.weight > 0 and self.first <= frame and (self.stop is None or frame < self.stop)


def rules_of(references: Sequence[Reference]) -> tuple[Rule, ...]:
    """When each of the settled references acts.

    Raises:
        InputError: the scope of one is still `shot`, or it acts where it is among the nearest, and nothing says which
            frame it shows.
    """
    rules = []
    for one in settle(references, None):
        first, stop = one.scope if isinstance(one.scope, tuple) else (0, None)
        if one.nearest is not None and one.frame is None:
            raise InputError(
                f"reference {one.name!r} acts where it is among the {one.nearest} nearest with the origin "
                f"{one.origin!r}, but nothing says which frame it shows: give its frame, or remove nearest"
            )
        known = one.frame is not None or one.time is not None
        about = one.likeness, known, one.frame, one.origin, one.nearest
        rules.append(Rule(one.name, float(one.weight), first, stop, *about))
    return tuple(rules)
