"""Kinds of dirt: how large it is, how long it lives, how it looks."""

from __future__ import annotations

from typing import NamedTuple

from export.damage.chance import Range

BLOB, CURVE, MASK = 0, 1, 2


class Kind(NamedTuple):
    """Dirt of one name, whose count and chance are in `DamageSettings`."""

    diameter: Range  # pixels at NOMINAL_LINES, drawn log-uniformly
    life: Range  # frames
    alpha: Range
    soft: Range  # edge, pixels; for curves half the width
    shape: int
    categories: tuple[str, ...]
    aspect: Range = (1.0, 1.0)
    upright: bool = False
    lasting: float = 0.0  # share that lives as long as `life` says and drifts; the others live one frame
    edge: bool = False  # reaches in from the border of the frame

    @property
    def longest(self) -> int:
        """The longest life, frames."""
        return int(self.life[1]) if self.lasting else 1

    @property
    def mean_life(self) -> float:
        """Frames."""
        return self.lasting * (sum(self.life) / 2) + 1 - self.lasting


KINDS = {
    "dust": Kind((2.0, 11.0), (1, 1), (0.45, 1.0), (0.35, 0.9), BLOB, ("dots", "smut"), (1.0, 2.2)),
    "streaks": Kind((6.0, 60.0), (1, 2), (0.3, 0.9), (0.3, 0.6), BLOB, (), (8.0, 30.0), upright=True),
    "blotches": Kind((20, 150), (3, 15), (0.12, 0.9), (0.6, 6), BLOB, ("smut", "stain", "dots"), (1.0, 1.8),
                      lasting=0.06),
    "clusters": Kind((70, 220), (1, 1), (0.3, 0.9), (1, 1), MASK, ("dirt", "spots", "sprinkles", "scratches")),
    "hairs": Kind((12, 130), (1, 2), (0.4, 0.95), (0.5, 1.0), CURVE, ("hair", "hair-short", "lint")),
    "gate_hairs": Kind((30, 140), (20, 200), (0.5, 0.98), (0.6, 1.2), CURVE, ("hair", "hair-short", "lint"),
                        lasting=1.0, edge=True),
}  # fmt: skip
