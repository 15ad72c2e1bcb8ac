"""Curves as a picture, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vs_remaster.errors import UnsupportedError


@dataclass(frozen=True)
class Panel:
    """One pair of axes and what is drawn there.

    Attributes:
        across, up: what the axes show, with units.
        curves: label -> the points' places across and up; nan is left out.
        from_zero: let the upright axis begin at 0.
    """

    across: str
    up: str
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    from_zero: bool = False


def available() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw(path: Path, *panels: Panel, title: str = "", width: float = 9.0, marker: str | None = "o") -> None:
    """Write a picture of panels side by side; the labels of the first one stand for all.

    Args:
        path: a .png or .svg file; its folder is made.
        panels: what to draw, from left to right.
        title: above the first panel.
        width: of the picture, in hundreds of pixels; it is 400 high.
        marker: of each point, as matplotlib calls it; None: lines only.

    Raises:
        UnsupportedError: matplotlib is not installed.
    """
    if not available():
        raise UnsupportedError("drawing needs matplotlib: pip install matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 4), layout="constrained")
    FigureCanvasAgg(figure)  # no window system, whatever is set up
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(all_axes, panels):
        axes.set(xlabel=panel.across, ylabel=panel.up)
        for label, (places, values) in panel.curves.items():
            axes.plot(places, values, marker=marker, label=label)
        if panel.from_zero:
            axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.grid(alpha=0.3)
    all_axes[0].set_title(title)
    all_axes[0].legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
