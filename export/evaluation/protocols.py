"""How each task is scored: which numbers, over which frames, and what a network has to do besides."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch

from export.evaluation.cases import Case, references_of
from export.evaluation.methods import Method
from export.evaluation.report import Result, Scores, pictures_of, sample_times
from export.scores import metrics, naturalness
from export.scores.perceptual import LPIPS

Buckets = tuple[tuple[int, int | None], ...]
BUCKETS: Buckets = ((1, 10), (10, 30), (30, 60), (60, None))  # distance from the reference in frames, without the end
NEAR_BUCKETS: Buckets = ((1, 6), (6, 11), (11, 21), (21, 31), (31, None))  # where much moves

Scored = tuple[Scores, list[float]]


def truth_of(case: Case) -> torch.Tensor:
    """The truth of a case that is scored against it."""
    assert case.truth is not None
    return case.truth


def _by_distance(buckets: Buckets) -> dict[str, str]:
    """Names of RGB PSNR by distance from the reference, and how it is written."""
    return {(f"RGB {a}-{b - 1}" if b else f"RGB {a}+"): ".2f" for a, b in buckets}


class Protocol:
    """How a task is scored; one class for each task.

    Args:
        lpips: the network of LPIPS, None to leave it out.
    """

    main: str  # the score given clip by clip
    unit: str  # what the plots show
    formats: ClassVar[dict[str, str]]  # score -> how its numbers are written
    itself_text = ""

    def __init__(self, lpips: LPIPS | None = None) -> None:
        self.lpips = lpips

    def measured(self) -> list[str]:
        """Names of the scores that will be there: of those in `formats`, all that nothing is missing for."""
        return [name for name in self.formats if name != "LPIPS" or self.lpips]

    def scorer(self, case: Case) -> Callable[[torch.Tensor], Scored]:
        """A function that gives the scores of a result for this case, and one number a frame."""
        raise NotImplementedError

    def truth(self, case: Case) -> Result | None:
        """What is known of the truth itself, for the last row."""
        return None

    def itself(self, method: Method, case: Case) -> list[float]:
        """How well a network does where nothing is to be done, in dB."""
        return []

    def _fidelity(self, luma: torch.Tensor, truth: torch.Tensor) -> Scores:
        """How near luma comes to the truth."""
        detail = metrics.detail(luma, truth)
        scores = {
            "PSNR": metrics.psnr(luma, truth),
            "PSNR fitted": metrics.psnr(metrics.fit_gain_and_offset(luma, truth), truth),
            "SSIM": metrics.ssim(luma, truth),
            **self._lpips(luma, truth),
            "temporal": metrics.temporal_difference_error(luma, truth),
            "detail": detail.energy,
            "correlation": detail.correlation,
        }
        return {name: value for name, value in scores.items() if value is not None}

    def _lpips(self, result: torch.Tensor, truth: torch.Tensor) -> Scores:
        return {"LPIPS": metrics.lpips(result, truth, self.lpips)} if self.lpips else {}


class RestoreProtocol(Protocol):
    """Restored luma against the truth; `fitted`: after one gain and offset a clip; `inside`: PSNR where damage lies;
    `detail`: its energy, as a share of the truth's; `correlation`: of detail with the truth's.

    Args:
        lpips: the network of LPIPS, None to leave it out.
        extra: of `EXTRA`, scores that say something about some damage only.
    """

    main, unit = "PSNR fitted", "PSNR, dB"
    formats: ClassVar = {
        "PSNR": ".2f", "PSNR fitted": ".2f", "PSNR L*": ".2f", "SSIM": ".4f", "LPIPS": ".4f", "temporal": ".4f",
        "warp": ".5f", "inside": ".2f", "detail": ".3f", "correlation": ".3f", "left": ".2f", "overshoot": ".4f",
    }  # fmt: skip
    EXTRA: ClassVar = ("left", "overshoot")
    itself_text = "Clean input{of}: {mean:.2f} dB to itself on average, {worst:.2f} at worst."

    def __init__(self, lpips: LPIPS | None = None, extra: Sequence[str] = ()) -> None:
        super().__init__(lpips)
        self.extra = extra

    def measured(self) -> list[str]:
        return [name for name in super().measured() if name not in self.EXTRA or name in self.extra]

    def scorer(self, case: Case) -> Callable[[torch.Tensor], Scored]:
        truth, dirt = truth_of(case), case.dirt
        assert dirt is not None
        warp_error = metrics.WarpError.of(truth)

        def score(luma: torch.Tensor) -> Scored:
            scores = self._fidelity(luma, truth) | {
                "PSNR L*": metrics.psnr_lightness(luma, truth),
                "warp": warp_error(luma),
                "inside": metrics.psnr_inside(luma, truth, dirt),
            }
            if "left" in self.extra:
                scores["left"] = metrics.dirt_left(luma, case.luma, truth, dirt)
            if "overshoot" in self.extra:
                scores["overshoot"] = metrics.overshoot(luma, truth)
            found = {name: value for name, value in scores.items() if value is not None}
            return found, metrics.frame_psnr(luma, truth)

        return score

    def truth(self, case: Case) -> Result:
        truth = truth_of(case)
        return Result({"warp": metrics.WarpError.of(truth)(truth)}, pictures=pictures_of(truth))

    def itself(self, method: Method, case: Case) -> list[float]:
        assert case.clean is not None
        return [metrics.psnr(method(replace(case, luma=case.clean, dirt=None)), case.clean)]


class EnlargeProtocol(Protocol):
    """Luma made twice as large, against the truth; the scores are those of `RestoreProtocol`."""

    main, unit = "PSNR fitted", "PSNR, dB"
    formats: ClassVar = {name: RestoreProtocol.formats[name] for name in (
        "PSNR", "PSNR fitted", "SSIM", "LPIPS", "temporal", "detail", "correlation", "overshoot"
    )}  # fmt: skip

    def scorer(self, case: Case) -> Callable[[torch.Tensor], Scored]:
        truth = truth_of(case)

        def score(luma: torch.Tensor) -> Scored:
            scores = self._fidelity(luma, truth) | {"overshoot": metrics.overshoot(luma, truth)}
            return scores, metrics.frame_psnr(luma, truth)

        return score


class ColorProtocol(Protocol):
    """Coloured frames against the truth; frames that were given as references do not count in PSNR and LPIPS."""

    main, unit = "RGB", "RGB PSNR, dB"
    formats: ClassVar = {"RGB": ".2f", "ab": ".2f", "saturation": ".3f", "LPIPS": ".4f", "CDC": ".6f"}
    itself_text = "Reference equal to the frame{of}: {mean:.2f} dB ab on average, {worst:.2f} at worst."

    def scorer(self, case: Case) -> Callable[[torch.Tensor], Scored]:
        truth, given = truth_of(case), {reference.frame for reference in case.references}
        counted = [t for t in range(len(truth)) if t not in given]

        def score(result: torch.Tensor) -> Scored:
            frames = metrics.frame_psnr(result, truth)
            return self._scores(result, truth, frames, counted), _only(frames, counted)

        return score

    def _scores(self, result: torch.Tensor, truth: torch.Tensor, frames: list[float], counted: list[int]) -> Scores:
        scores = {"RGB": _mean(frames[t] for t in counted)}
        scores["ab"] = _mean(metrics.psnr_ab(result[t], truth[t]) for t in counted)
        scores["saturation"] = _mean(metrics.saturation(result[t], truth[t]) for t in counted)
        if counted:
            scores |= self._lpips(result[counted], truth[counted])
        return scores | {"CDC": metrics.color_distribution_consistency(result)}

    def truth(self, case: Case) -> Result:
        truth = truth_of(case)
        return Result({"CDC": metrics.color_distribution_consistency(truth)}, pictures=pictures_of(truth))

    def itself(self, method: Method, case: Case) -> list[float]:
        values, truth = [], truth_of(case)
        for t in sample_times(len(truth)):
            rgb = truth[t : t + 1]
            alone = replace(case, luma=case.luma[t : t + 1], references=references_of(rgb), cuts=())
            values.append(metrics.psnr_ab(method(alone), rgb))
        return values


class FirstFrameProtocol(ColorProtocol):
    """As `ColorProtocol`, with RGB PSNR also by the distance from frame 0, the only reference."""

    buckets: ClassVar[Buckets] = BUCKETS
    formats: ClassVar = _by_distance(BUCKETS) | ColorProtocol.formats

    def _scores(self, result: torch.Tensor, truth: torch.Tensor, frames: list[float], counted: list[int]) -> Scores:
        near = {name: frames[a:b] for name, (a, b) in zip(self.formats, self.buckets)}
        scores = {name: _mean(values) for name, values in near.items() if values}
        return scores | super()._scores(result, truth, frames, counted)


class MovingProtocol(FirstFrameProtocol):
    """The same for clips in which much moves: distances are smaller."""

    buckets: ClassVar = NEAR_BUCKETS
    formats: ClassVar = _by_distance(NEAR_BUCKETS) | ColorProtocol.formats


class RemasterProtocol(ColorProtocol):
    """DeepRemaster's whole task: PSNR of L*, of ab and of all three, scaled as in the papers, frame by frame."""

    main, unit = "Lab", "PSNR of Lab, dB"
    formats: ClassVar = {
        "L": ".2f", "ab": ".2f", "Lab": ".2f", "RGB": ".2f", "saturation": ".3f", "LPIPS": ".4f", "CDC": ".6f",
    }  # fmt: skip
    itself_text = ""

    def scorer(self, case: Case) -> Callable[[torch.Tensor], Scored]:
        truth, given = truth_of(case), {reference.frame for reference in case.references}
        counted = [t for t in range(len(truth)) if t not in given]

        def score(result: torch.Tensor) -> Scored:
            labs = [(metrics.packed_lab(ours), metrics.packed_lab(true)) for ours, true in zip(result, truth)]
            frames = {
                "L": [metrics.psnr(ours[:1], true[:1]) for ours, true in labs],
                "Lab": [metrics.psnr(ours, true) for ours, true in labs],
            }
            scores = {name: _mean(values[t] for t in counted) for name, values in frames.items()}
            rgb = metrics.frame_psnr(result, truth)
            return scores | self._scores(result, truth, rgb, counted), _only(frames["Lab"], counted)

        return score

    def itself(self, method: Method, case: Case) -> list[float]:
        return []


class FilmProtocol(Protocol):
    """Restored real film: there is no truth, so only naturalness and how much changes from frame to frame."""

    main, unit = "change", "mean change to the frame before, % of white"
    formats: ClassVar = {"NIQE": ".2f", "BRISQUE": ".2f", "change": ".2f", "brightness": ".3f"}

    def measured(self) -> list[str]:
        return [*naturalness.available(), "change", "brightness"]

    def scorer(self, case: Case) -> Callable[[torch.Tensor], Scored]:
        pairs = [t for t in range(1, len(case.luma)) if t not in case.cuts]
        measured = naturalness.available()
        if min(case.luma.shape[-2:]) <= 2 * naturalness.NIQE_PATCH:
            measured = [name for name in measured if name != "NIQE"]

        def score(luma: torch.Tensor) -> Scored:
            scores = {name: float(np.mean(getattr(naturalness, name.lower())(luma))) for name in measured}
            change = [math.nan, *(100 * luma.diff(dim=0).abs().mean((1, 2, 3))).tolist()]
            light = [math.nan, *(100 * luma.mean((1, 2, 3)).diff().abs()).tolist()]
            scores["change"], scores["brightness"] = (_mean(values[t] for t in pairs) for values in (change, light))
            return scores, _only(change, pairs)

        return score


def _mean(values) -> float:
    found = list(values)
    return float(np.mean(found)) if found else math.nan


def _only(frames: list[float], counted: list[int]) -> list[float]:
    """The values of the frames that count, nan for the others."""
    kept = [math.nan] * len(frames)
    for t in counted:
        kept[t] = frames[t]
    return kept
