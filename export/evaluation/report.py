"""What an evaluation leaves behind: tables, JSON, pictures side by side, and a plot over the frames of each clip."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from export import plots
from export.scores.flow import to_gray8
from export.tables import progress, table

_CACHE_VERSION = 3

Scores = dict[str, float]


@dataclass(frozen=True)
class Result:
    """What a method made of a clip.

    Attributes:
        scores: a number for each metric.
        frames: one number a frame, what is plotted; nan where there is none.
        pictures: a few frames, uint8 BGR [N, H, W, 3].
        milliseconds: time a frame; None where it was not measured.
    """

    scores: Scores
    frames: list[float] = field(default_factory=list)
    pictures: np.ndarray | None = None
    milliseconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Scores, frames and time; what is not a number becomes null."""
        frames = [value if math.isfinite(value) else None for value in self.frames]
        scores = {name: value if math.isfinite(value) else None for name, value in self.scores.items()}
        timed = {} if self.milliseconds is None else {"ms/frame": self.milliseconds}
        return {"scores": scores, "frames": frames, **timed}


class Cache:
    """Keeps the results of the peers, which are slow and never change, in a folder; without a folder keeps nothing.

    Args:
        folder: where, or None.
        metrics: names what is measured, so that results with other metrics are kept apart.
    """

    def __init__(self, folder: Path | None, metrics: Iterable[str] = ()) -> None:
        self._folder = folder
        self._stamp = f"{_CACHE_VERSION} {' '.join(metrics)}"

    def __call__(self, method: str, clip: Iterable[torch.Tensor], measure: Callable[[], Result]) -> Result:
        """The kept result of `method` on exactly these tensors, or what `measure` gives now."""
        if self._folder is None:
            return measure()
        digest = hashlib.sha256(f"{self._stamp} {method}".encode())
        for tensor in clip:
            digest.update(str(tuple(tensor.shape)).encode() + tensor.contiguous().numpy().tobytes())
        path = self._folder / f"{digest.hexdigest()[:20]}.npz"
        if path.is_file():
            kept = np.load(path)
            return Result(json.loads(str(kept["scores"])), kept["frames"].tolist(), kept["pictures"])
        result = measure()
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        scores = json.dumps(result.scores)
        pictures = np.asarray(result.pictures)
        np.savez_compressed(part, scores=scores, frames=np.array(result.frames), pictures=pictures)
        part.replace(path)
        return result


def sample_times(count: int) -> list[int]:
    """The frames to keep as pictures: a quarter in, the middle, the last."""
    return sorted({count // 4, count // 2, count - 1})


def pictures_of(clip: torch.Tensor) -> np.ndarray:
    """The sample frames of a clip, luma or RGB [T, C, H, W], as uint8 BGR [N, H, W, 3]."""
    chosen = clip[sample_times(len(clip))].permute(0, 2, 3, 1)
    return to_gray8(chosen.expand(*chosen.shape[:3], 3).flip(-1).numpy())


def write_comparison(path: Path, columns: dict[str, np.ndarray]) -> None:
    """One picture: a row for each sample frame, a named column for each method."""
    named = []
    for name, pictures in columns.items():
        label = np.zeros((24, pictures.shape[2], 3), np.uint8)
        cv2.putText(label, name, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        named.append(np.concatenate([label, *pictures]))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(named, axis=1))


def draw_frames(path: Path, clip: str, unit: str, results: dict[str, Result]) -> None:
    """A plot with one line for each method over the frames of a clip."""
    curves = {method: (range(len(r.frames)), r.frames) for method, r in results.items() if r.frames}
    plots.draw(path, plots.Panel("frame", unit, curves), title=clip, marker=None)


def mean_scores(results: list[Result]) -> Scores:
    """Mean of each score over the clips that have it; the time is the median, as the first clip warms up."""
    names = dict.fromkeys(name for result in results for name in result.scores)
    values = {name: [r.scores[name] for r in results if name in r.scores] for name in names}
    times = [result.milliseconds for result in results if result.milliseconds is not None]
    timed = {"ms/frame": statistics.median(times)} if times else {}
    return {name: float(np.mean(v)) for name, v in values.items()} | timed


@dataclass
class Report:
    """Collects the results of one table clip by clip, and draws what was asked for.

    Attributes:
        name: what was measured on what; files are named after it.
        main: the score that is said of each clip.
        unit: what `Result.frames` are.
        out: folder for pictures and plots, or None.
        found: clip name -> method -> result.
    """

    name: str
    main: str
    unit: str
    out: Path | None = None
    found: dict[str, dict[str, Result]] = field(default_factory=dict)

    def add(self, clip: str, results: dict[str, Result]) -> None:
        """Say how far we are, and draw what belongs to this clip."""
        self.found[clip] = results
        values = [f"{m} {r.scores[self.main]:.2f}" for m, r in results.items() if self.main in r.scores]
        progress(f"{self.name} {clip}: {', '.join(values)}")
        if self.out:
            pictures = {m: r.pictures for m, r in results.items() if r.pictures is not None}
            write_comparison(self.out / f"{self.name}-{clip}.png", pictures)
            if plots.available():
                draw_frames(self.out / f"{self.name}-{clip}-frames.png", clip, self.unit, results)
            elif len(self.found) == 1:
                progress("plots are left out: pip install matplotlib")

    def as_json(self) -> dict[str, Any]:
        """Means, and the scores and frames of each clip, for each method."""
        clips = {clip: {m: r.as_json() for m, r in results.items()} for clip, results in self.found.items()}
        means = {m: Result(scores).as_json()["scores"] for m, scores in self.means().items()}
        return {"unit of frames": self.unit, "means": means, "clips": clips}

    def means(self) -> dict[str, Scores]:
        """Method -> means over clips."""
        methods = dict.fromkeys(method for results in self.found.values() for method in results)
        return {m: mean_scores([r[m] for r in self.found.values() if m in r]) for m in methods}

    def tables(self, formats: dict[str, str]) -> str:
        """The mean of each score in `formats` for each method, then the main score of each clip, as Markdown.

        Args:
            formats: score -> how its numbers are written; scores that no method has are left out.
        """
        means = self.means()
        formats = {c: f for c, f in (formats | {"ms/frame": ".0f"}).items() if any(c in s for s in means.values())}
        rows = [[m] + [f"{s[c]:{f}}" if c in s else "" for c, f in formats.items()] for m, s in means.items()]
        scored = [method for method in means if self.main in means[method]]
        clips = [
            [name] + [f"{r[m].scores[self.main]:{formats[self.main]}}" if m in r else "" for m in scored]
            for name, r in self.found.items()
        ]
        return table(["method", *formats], rows) + "\n" + table([self.main, *scored], clips)


def write_json(path: Path, about: dict[str, Any], reports: Iterable[Report]) -> None:
    """Write all numbers: what `about` says, and under `tables` what each report found, by its name."""
    content = {**about, "tables": {report.name: report.as_json() for report in reports}}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=1, allow_nan=False, default=str) + "\n", encoding="utf-8")
    part.replace(path)
