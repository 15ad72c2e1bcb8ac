"""Measures restoration and colouring on the validation clips, beside simple rivals, and writes pictures to look at.

    python -m export.evaluate restore --data DATA [--out DIR] [--cache DIR]
    python -m export.evaluate colorize --data DATA [--out DIR] [--cache DIR]

DATA holds video/val and damage/val. Restoration is measured on the frozen validation damage (export/damage.py).
Colouring is measured on clean luma with frame 0 as the only reference. Tables are Markdown; a mean is over clips.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from export import baselines, metrics
from export.damage import VALIDATION_EDGE, VALIDATION_FRAMES, Damaged, load_templates, validation_clip
from export.data import VIDEO_SUFFIXES, decode_clip
from export.flow import to_gray8
from vs_remaster import color
from vs_remaster.errors import InputError, RemasterError

BUCKETS = ((1, 10), (10, 30), (30, 60), (60, None))  # distance from the reference in frames, the end not included
COLOR_LINES = 320
_CACHE_VERSION = 2

Scores = dict[str, float]


@dataclass(frozen=True)
class Result:
    """What a method made of a clip: its scores, and a few of its frames as uint8 BGR pictures [N, H, W, 3]."""

    scores: Scores
    pictures: np.ndarray


class Cache:
    """Keeps the results of the rivals, which are slow and never change, in a folder; without a folder keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def __call__(self, method: str, clip: tuple[torch.Tensor, ...], measure: Callable[[], Result]) -> Result:
        """The kept result of `method` on exactly these tensors, or what `measure` gives now."""
        if self._folder is None:
            return measure()
        digest = hashlib.sha256(f"{_CACHE_VERSION} {method}".encode())
        for tensor in clip:
            digest.update(str(tuple(tensor.shape)).encode() + tensor.contiguous().numpy().tobytes())
        path = self._folder / f"{digest.hexdigest()[:20]}.npz"
        if path.is_file():
            kept = np.load(path)
            return Result(json.loads(str(kept["scores"])), kept["pictures"])
        result = measure()
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, scores=json.dumps(result.scores), pictures=result.pictures)
        part.replace(path)
        return result


# What is common to both ----------------------------------------------------------------------------------------------


def clips(options: argparse.Namespace, short_edge: int, in_color: bool) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and frames [T, C, H, W], 0..1, of each validation clip."""
    paths = sorted(p for p in (options.data / "video" / "val").iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
    if not paths:
        raise InputError(f"no videos in {options.data / 'video' / 'val'}; name the folder that holds video/val")
    for path in paths[: options.clips]:
        frames = decode_clip(path, short_edge=short_edge, color=in_color, limit_frames=options.frames)
        tensor = torch.from_numpy(frames).float() / 255
        yield path.stem, tensor if in_color else tensor[:, None]


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


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def mean_scores(results: list[Result]) -> Scores:
    """Mean of each score over the clips that have it."""
    names = dict.fromkeys(name for result in results for name in result.scores)
    values = {name: [r.scores[name] for r in results if name in r.scores] for name in names}
    return {name: float(np.mean(v)) for name, v in values.items()}


def print_tables(found: dict[str, dict[str, Result]], formats: dict[str, str], main_score: str) -> None:
    """The mean of each score in `formats` for each method, then `main_score` of each clip.

    Args:
        found: clip name -> method -> result.
        formats: score -> how its numbers are written.
    """
    methods = next(iter(found.values()))
    means = {method: mean_scores([results[method] for results in found.values()]) for method in methods}
    rows = [[m] + [f"{s[c]:{f}}" if c in s else "" for c, f in formats.items()] for m, s in means.items()]
    print(table(["method", *formats], rows))
    scored = [method for method in methods if main_score in means[method]]
    rows = [[name] + [f"{r[m].scores[main_score]:{formats[main_score]}}" for m in scored] for name, r in found.items()]
    print(table([main_score, *scored], rows))


def report_clip(options: argparse.Namespace, name: str, results: dict[str, Result], main_score: str) -> None:
    """Say how far we are, and write the clip's pictures where they are wanted."""
    values = [f"{m} {r.scores[main_score]:.2f}" for m, r in results.items() if main_score in r.scores]
    progress(f"{name}: {', '.join(values)}")
    if options.out:
        write_comparison(options.out / f"{options.task}-{name}.png", {m: r.pictures for m, r in results.items()})


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# Restoration ---------------------------------------------------------------------------------------------------------


def restore_scores(luma: torch.Tensor, truth: torch.Tensor, warp_error: metrics.WarpError) -> Scores:
    fitted = metrics.fit_gain_and_offset(luma, truth)
    return {
        "PSNR": metrics.psnr(luma, truth),
        "PSNR fitted": metrics.psnr(fitted, truth),
        "PSNR L*": metrics.psnr_lightness(luma, truth),
        "SSIM": metrics.ssim(luma, truth),
        "temporal": metrics.temporal_difference_error(luma, truth),
        "warp": warp_error(luma),
    }


def our_restorer(options: argparse.Namespace) -> Callable[[torch.Tensor], torch.Tensor]:
    from vs_remaster.remaster import RestoreOptions, Restorer

    settings = RestoreOptions(model=options.model, device=options.device, precision=options.precision)
    restorer = Restorer(settings)
    return lambda luma: restorer.restore(luma).luma.float().cpu()


RESTORE_RIVALS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "input": lambda luma: luma,
    "3-frame median": baselines.temporal_median,
    f"NLM multi (h {baselines.NLM_STRENGTH}, {baselines.NLM_WINDOW} frames)": baselines.non_local_means,
}


def restore_clip(made: Damaged, ours: Callable | None, cache: Cache) -> dict[str, Result]:
    """What every method makes of one damaged clip."""
    warp_error = metrics.WarpError.of(made.target)

    def measure(restore: Callable) -> Result:
        luma = restore(made.frames).clamp(0, 1)
        return Result(restore_scores(luma, made.target, warp_error), pictures_of(luma))

    results = {
        method: cache(f"restore {method}", (made.frames, made.target), partial(measure, restore))
        for method, restore in RESTORE_RIVALS.items()
    }
    if ours:
        results["ours"] = measure(ours)
    return results | {"truth": Result({"warp": warp_error(made.target)}, pictures_of(made.target))}


def evaluate_restore(options: argparse.Namespace) -> None:
    """Print the tables of restoration."""
    wanted = slice(options.frames)
    options.frames = VALIDATION_FRAMES  # damage depends on the length of the clip: make all of it, then cut
    templates = load_templates(options.data / "damage" / "val")
    ours = None if options.rivals_only else our_restorer(options)
    found, identity = {}, []
    for name, clean in clips(options, VALIDATION_EDGE, in_color=False):
        made = Damaged(*(part[wanted] for part in validation_clip(name, clean, templates)))
        found[name] = restore_clip(made, ours, Cache(options.cache))
        if ours:
            identity.append(metrics.psnr(ours(clean[wanted]).clamp(0, 1), clean[wanted]))
        report_clip(options, name, found[name], "PSNR fitted")
    print(f"\nRestoration, {len(found)} clips, frozen validation damage; fitted: after one gain and offset a clip.\n")
    formats = {"PSNR": ".2f", "PSNR fitted": ".2f", "PSNR L*": ".2f", "SSIM": ".4f", "temporal": ".4f", "warp": ".5f"}
    print_tables(found, formats, "PSNR fitted")
    if identity:
        print(f"Clean input: {np.mean(identity):.2f} dB to itself on average, {min(identity):.2f} at worst.\n")


# Colour --------------------------------------------------------------------------------------------------------------


def to_rgb(luma: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """RGB [T, 3, H, W] of luma and BT.709 chroma; colours outside of the gamut go toward gray, as in the product."""
    frames = [color.ycbcr_to_rgb(torch.cat([y, color.fit_gamut(y, c)])) for y, c in zip(luma, chroma, strict=True)]
    return torch.stack(frames).clamp(0, 1)


def color_scores(result: torch.Tensor, truth: torch.Tensor) -> Scores:
    """RGB PSNR by distance from frame 0, ab PSNR and CDC; frame 0 itself, which was given, does not count in PSNR."""
    rgb = metrics.frame_psnr(result, truth)
    scores = {}
    for start, end in BUCKETS:
        if rgb[start:end]:
            scores[bucket_name(start, end)] = float(np.mean(rgb[start:end]))
    scores["RGB"] = float(np.mean(rgb[1:]))
    pairs = list(zip(result, truth, strict=True))[1:]
    scores["ab"] = float(np.mean([metrics.psnr_ab(a, b) for a, b in pairs]))
    scores["CDC"] = metrics.color_distribution_consistency(result)
    return scores


def bucket_name(start: int, end: int | None) -> str:
    return f"RGB {start}-{end - 1}" if end else f"RGB {start}+"


def our_colorizer(options: argparse.Namespace) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A function of luma [T, 1, H, W] and one reference [3, H, W] that gives chroma [T, 2, H, W]."""
    from vs_remaster.references import Reference
    from vs_remaster.remaster import ColorizeOptions, Colorizer

    settings = ColorizeOptions(model=options.model, device=options.device, precision=options.precision)
    colorizer = Colorizer(settings)

    def colorize(luma: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        memory = colorizer.encode_references([Reference(name="frame", rgb=reference, frame=None)])
        return colorizer.colorize(luma, memory).chroma.float().cpu()

    return colorize


COLOR_RIVALS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "gray": lambda luma, first: torch.zeros_like(luma).expand(-1, 2, -1, -1),
    "flow, frame to frame": partial(baselines.propagate_chroma, composed=False),
    "flow, added up": partial(baselines.propagate_chroma, composed=True),
}


def colorize_clip(rgb: torch.Tensor, ours: Callable | None, cache: Cache) -> tuple[dict[str, Result], list[float]]:
    """What every method makes of one clip's luma, and the ab PSNR of ours for frames which are their own reference."""
    luma, chroma = color.rgb_to_ycbcr(rgb).split((1, 2), dim=1)

    def measure(colorize: Callable, *given: torch.Tensor) -> Result:
        result = to_rgb(luma, colorize(luma, *given))
        return Result(color_scores(result, rgb), pictures_of(result))

    results = {
        method: cache(f"colorize {method}", (rgb,), partial(measure, colorize, chroma[0]))
        for method, colorize in COLOR_RIVALS.items()
    }
    itself = []
    if ours:
        results["ours"] = measure(ours, rgb[0])
        for t in sample_times(len(rgb)):
            alone = slice(t, t + 1)
            itself.append(metrics.psnr_ab(to_rgb(luma[alone], ours(luma[alone], rgb[t])), rgb[alone]))
    truth = Result({"CDC": metrics.color_distribution_consistency(rgb)}, pictures_of(rgb))
    return results | {"truth": truth}, itself


def evaluate_colorize(options: argparse.Namespace) -> None:
    """Print the tables of colouring."""
    ours = None if options.rivals_only else our_colorizer(options)
    found, itself = {}, []
    for name, rgb in clips(options, options.lines, in_color=True):
        found[name], own = colorize_clip(rgb, ours, Cache(options.cache))
        itself += own
        report_clip(options, name, found[name], "RGB")
    print(f"\nColour, {len(found)} clips, frame 0 as the only reference; PSNR by distance from it in frames.\n")
    formats = {bucket_name(*bucket): ".2f" for bucket in BUCKETS} | {"RGB": ".2f", "ab": ".2f", "CDC": ".6f"}
    print_tables(found, formats, "RGB")
    if itself:
        print(f"Reference equal to the frame: {np.mean(itself):.2f} dB ab on average, {min(itself):.2f} at worst.\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["restore", "colorize"])
    parser.add_argument("--data", type=Path, required=True, help="folder with video/val and damage/val")
    parser.add_argument("--model", default="fast", help="name of shipped weights, or a .safetensors file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--clips", type=int, help="only so many clips")
    parser.add_argument("--frames", type=int, help="only so many frames of each clip")
    parser.add_argument("--lines", type=int, default=COLOR_LINES, help="short edge of the clips to colour")
    parser.add_argument("--rivals-only", action="store_true", help="leave our own networks out")
    parser.add_argument("--out", type=Path, help="folder for pictures")
    parser.add_argument("--cache", type=Path, help="folder that keeps the results of the rivals")
    parser.add_argument("--threads", type=int, help="CPU threads of PyTorch and OpenCV")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
        cv2.setNumThreads(options.threads)
    started = time.perf_counter()
    try:
        with torch.inference_mode():
            {"restore": evaluate_restore, "colorize": evaluate_colorize}[options.task](options)
    except RemasterError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    progress(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
