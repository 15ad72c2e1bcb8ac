"""Curves over the length of a film, as inline SVG that stretches to any width; labels are text beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 1000, 100  # of the drawing, in units of its own
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds between two labels
_BORDERS = 200  # more shots than that are not told apart in a drawing


@dataclass(frozen=True)
class Line:
    """A curve: its label, a class of the style sheet, and values, None where there is none."""

    label: str
    style: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Axis:
    """What all plots share: length in frames and seconds, frames a value, and where shots start, 0..1."""

    frames: int
    seconds: float
    step: int
    borders: Sequence[float]


def plot(title: str, unit: str, lines: Sequence[Line], axis: Axis, top: float = 0.0, mark: float | None = None) -> str:
    """A figure.

    Args:
        title: what is drawn.
        unit: of the values.
        lines: curves of values that are 0 or more.
        axis: see `Axis`.
        top: upper end of the scale; 0: by the values.
        mark: a value that gets a line across.
    """
    values = [value for line in lines for value in line.values if value is not None]
    top = top or _round_up(max(values, default=0.0))
    drawn = [f'<rect class="now" x="0" y="0" width="0" height="{_HEIGHT}"/>']
    if len(axis.borders) <= _BORDERS:
        drawn += [_stroke("border", f"M{_WIDTH * x:.1f} 0V{_HEIGHT}") for x in axis.borders]
    drawn += [_stroke("grid", f"M0 {y}H{_WIDTH}") for y in (0, _HEIGHT // 2, _HEIGHT)]
    if mark is not None:
        drawn.append(_stroke("mark", f"M0 {_HEIGHT * (1 - mark / top):.1f}H{_WIDTH}"))
    drawn += [_stroke(line.style, _path(line.values, axis, top)) for line in lines]
    legend = "".join(f'<span class="key {line.style}">{escape(line.label)}</span>' for line in lines)
    told = "; ".join(f"{line.label}: {_range(line.values)} {unit}" for line in lines)
    scale = "".join(f"<span>{value:g}</span>" for value in (top, top / 2, 0))
    return (
        f'<figure class="plot"><figcaption><b>{escape(title)}</b> <span class="unit">{escape(unit)}</span> {legend}'
        f'</figcaption><div class="chart"><div class="scale" aria-hidden="true">{scale}</div>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(f"{title} over time. {told}")}">{"".join(drawn)}</svg>'
        f'<div class="times" aria-hidden="true">{_times(axis.seconds)}</div></div></figure>'
    )


def clock(seconds: float, tenths: bool = False) -> str:
    """Time as m:ss or h:mm:ss, with tenths where asked for."""
    total = math.floor(seconds * 10 + 0.5) if tenths else 10 * math.floor(seconds + 0.5)
    minutes, rest = divmod(total, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 10:04.1f}" if tenths else f"{rest // 10:02}"
    return f"{hours}:{minutes:02}:{text}" if hours else f"{minutes}:{text}"


def _stroke(style: str, path: str) -> str:
    return f'<path class="{style}" d="{path}"/>'


def _path(values: Sequence[float | None], axis: Axis, top: float) -> str:
    """Points in the middle of their steps, the last and the first drawn out to the ends."""
    points = []
    for i, value in enumerate(values):
        if value is not None:
            middle = (i + 0.5) * axis.step
            points.append((min(1.0, middle / axis.frames), min(1.0, value / top) if top else 0.0))
    if not points:
        return ""
    points = [(0.0, points[0][1]), *points, (1.0, points[-1][1])]
    return "M" + "L".join(f"{_WIDTH * x:.1f} {_HEIGHT * (1 - y):.1f}" for x, y in points)


def _range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{min(known):.2f} to {max(known):.2f}" if known else "no values, in"


def _round_up(value: float) -> float:
    """The next number of the kind 1, 2, 5, 10, 20; at least a tenth."""
    value = max(value, 0.1)
    unit = 10.0 ** math.floor(math.log10(value))
    return next(round(unit * n, 9) for n in (1, 2, 5, 10) if unit * n >= value * 0.999)


def _times(seconds: float) -> str:
    step = next((s for s in _STEPS if seconds / s <= 5), _STEPS[-1])
    while seconds / step > 6:
        step *= 2
    marks = [i * step for i in range(math.floor(seconds / step) + 1)]
    # a label that would hang over the end is left out
    kept = [mark for mark in marks if mark <= 0.96 * seconds or not mark]
    places = [(100 * mark / seconds if seconds else 0, clock(mark)) for mark in kept]
    return "".join(f'<span style="left:{place:.2f}%">{label}</span>' for place, label in places)
