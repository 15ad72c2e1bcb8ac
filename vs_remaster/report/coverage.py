"""How well references show what a film shows, and which frames are worth painting.

Pictures are compared as the colorizer compares them, by its own matching features averaged over areas, so what counts
here as a likeness is what it can carry colour along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional as F

from ..color.matrices import rgb_to_ycbcr
from ..models.attention import resemblance
from ..references.reference import OPAQUE, Reference
from ..references.rules import rules_of
from ..remaster.colorizer import Colorizer
from ..remaster.options import ColorizeOptions
from ..remaster.worker import resize

COVERED = 0.5
"""Coverage from which a shot counts as shown by a reference. On 14 validation clips frames two seconds apart had 0.41
to 0.95 (all but one over 0.6), frames of different clips 0.34 at most."""

_LINES = 240  # tells scenes apart as well as the 432 at which films are coloured, in a third of the time
_MODEL = "fast"


class Describer:
    """Describes pictures by the matching features of the shipped colorizer.

    Args:
        references: pictures to compare with, settled (see `references.settle`); may be empty.
    """

    def __init__(self, references: Sequence[Reference] = ()) -> None:
        self._colorizer = Colorizer(ColorizeOptions(model=_MODEL, precision="fp32"))
        self.names = [reference.name for reference in references]
        self._rules = rules_of(references)
        self._overviews = [self._overview(reference) for reference in references]

    def describe(self, luma: Tensor) -> Tensor:
        """Luma `[1, H, W]`, 0..1, to what it looks like: unit vectors `[A, D]`, one for each area."""
        return self._colorizer.describe(luma, _LINES)

    def _overview(self, reference: Reference) -> Tensor:
        """A reference, described; those areas alone where it is known."""
        described = self.describe(rgb_to_ycbcr(reference.rgb[None])[0, :1])
        if reference.known is None:
            return described
        height, width = self._colorizer.size_at(*reference.known.shape, _LINES)
        known = resize(reference.known[None, None], (height, width))
        known = F.avg_pool2d(F.avg_pool2d(known, 8), 4, ceil_mode=True, count_include_pad=False).flatten()
        return described[known >= min(OPAQUE, float(known.max()))]

    def coverage(self, picture: Tensor, frame: int) -> tuple[float, str | None]:
        """How well the best reference that acts on a frame shows what the described picture of it shows, 0..1, and its
        name."""
        acting = [i for i, rule in enumerate(self._rules) if rule.acts(frame)]
        found = {i: alike(picture, self._overviews[i]) for i in acting}
        best = max(found, key=found.__getitem__, default=None)
        return (0.0, None) if best is None else (found[best], self.names[best])


def alike(picture: Tensor, other: Tensor) -> float:
    """How well the second picture shows what the first shows, both described: 0 not at all, 1 the same.

    Unrelated pictures have a mean cosine of about a half: that is 0 here.
    """
    return min(1.0, max(0.0, 2 * float(resemblance(picture[None], other)) - 1))


@dataclass
class Scene:
    """Shots that look alike and that no reference shows; the frame to paint is of the first of them."""

    shot: int
    frame: int
    seconds: float
    shots: list[int]
    look: Tensor = field(repr=False)


class Scenes:
    """Gathers uncovered shots by likeness while they pass by, so that one painted frame serves all that look like it.

    Args:
        most: scenes held; of more the shortest are given up.
    """

    def __init__(self, most: int) -> None:
        self.found: list[Scene] = []
        self._most = most

    def add(self, shot: int, frame: int, seconds: float, look: Tensor) -> list[int]:
        """Take a shot that no reference covers.

        Args:
            shot: its number.
            frame: number of the frame that stands for it.
            seconds: its length.
            look: that frame, described.

        Returns:
            Frames that need not be kept any more: perhaps this one, perhaps an earlier one.
        """
        near = max(self.found, key=lambda scene: alike(look, scene.look), default=None)
        if near is not None and alike(look, near.look) >= COVERED:
            near.seconds += seconds
            near.shots.append(shot)
            return [frame]
        self.found.append(Scene(shot, frame, seconds, [shot], look))
        return self.thin(self._most)

    def thin(self, most: int) -> list[int]:
        """Give up all but the `most` longest; return their frames."""
        self.found.sort(key=lambda scene: (-scene.seconds, scene.frame))
        given_up, self.found = self.found[most:], self.found[:most]
        return [scene.frame for scene in given_up]
