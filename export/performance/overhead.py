"""What the VapourSynth filters cost beyond the networks, and the memory of a script that restores and colours."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from export.performance.measurement import (
    MEMORY_FRAMES,
    MEMORY_SIZE,
    film,
    machine,
    references,
    resident_megabytes,
    timed,
)
from export.tables import table
from vs_remaster.color.samples import Samples, decode_luma
from vs_remaster.references.reference import Reference
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions, Running
from vs_remaster.remaster.restorer import Restorer

SIZE = (400, 528)  # height, width


def vapoursynth_clip(frames: Sequence[np.ndarray], length: int) -> Any:
    """A gray 16-bit clip that shows `frames` `[H, W]` (code values) over and over."""
    import vapoursynth as vs

    height, width = frames[0].shape
    blank = vs.core.std.BlankClip(None, width, height, vs.GRAY16, length, keep=True)

    def fill(n: int, f: Any) -> Any:
        out = f.copy()
        np.copyto(np.asarray(out[0]), frames[n % len(frames)])
        return out

    return blank.std.ModifyFrame(blank, fill)


def drain(clip: Any, frames: int) -> None:
    """Ask for all frames in order, as an encoder does."""
    assert sum(1 for _ in clip.frames(close=True)) == frames


def measure_overhead(options: argparse.Namespace, device: str) -> dict[str, float]:
    """Print frames a second of the library on tensors and of the VapourSynth filters on the same frames, in turns.

    Returns:
        For each task the median of how much longer the filter took, as a share.
    """
    from vs_remaster.filters import definitions as filters

    codes = [(picture.luma[0].numpy() * 65535).round().astype(np.uint16) for picture in film(options.frames, SIZE)]
    clip, source = torch.stack([decode(code) for code in codes]), vapoursynth_clip(codes, options.frames)
    print(f"{SIZE[1]}x{SIZE[0]}, {options.frames} frames, {options.references} references, {machine(device)}\n")
    rows, shares = [], {}
    for precision in options.precision:
        how: Running = {"device": device, "precision": precision}
        restorer = Restorer(RestoreOptions(model=options.restorer, **how))
        colorizer = Colorizer(ColorizeOptions(model=options.colorizer, lines=options.color_lines, **how))
        pictures = references(options.references, SIZE)
        memory = colorizer.encode_references(pictures)
        stills = vapoursynth_stills(pictures)
        tasks: dict[str, tuple[Callable[[], object], Callable[[], Any]]] = {
            "restore": (
                partial(restorer.restore, clip),
                partial(filters.restore, source, model=options.restorer, **how),
            ),
            "colour": (
                partial(colorizer.colorize, clip, memory),
                partial(
                    filters.colorize,
                    source,
                    stills,
                    model=options.colorizer,
                    color_lines=options.color_lines,
                    **how,
                ),
            ),
        }
        for name, (library, make) in tasks.items():
            library()
            pairs = []
            for _ in range(options.repeats + 1):
                bare = timed(library, device)
                begun = make()  # nothing of it is kept from before
                pairs.append((bare, timed(lambda begun=begun: drain(begun, options.frames), device)))
            pairs = pairs[1:]
            shares[f"{precision} {name}"] = statistics.median(with_host / bare - 1 for bare, with_host in pairs)
            bare, with_host = (options.frames / statistics.median(x) for x in zip(*pairs))
            rows.append([precision, name, f"{bare:.2f}", f"{with_host:.2f}", f"{shares[f'{precision} {name}']:+.1%}"])
    print(table(["precision", "task", "library frames/s", "filter frames/s", "time added (median of pairs)"], rows))
    return shares


def decode(codes: np.ndarray) -> torch.Tensor:
    """Luma `[1, H, W]` as the filters decode 16-bit gray of limited range."""
    return decode_luma([codes], Samples("gray", 16))


def vapoursynth_stills(pictures: Sequence[Reference]) -> Any:
    """References as a clip."""
    import vapoursynth as vs

    _, height, width = pictures[0].rgb.shape
    blank = vs.core.std.BlankClip(None, width, height, vs.RGBS, len(pictures), keep=True)

    def fill(n: int, f: Any) -> Any:
        out = f.copy()
        for i, plane in enumerate(pictures[n].rgb.numpy()):
            np.copyto(np.asarray(out[i]), plane)
        return out

    return blank.std.ModifyFrame(blank, fill)


def measure_script_memory(options: argparse.Namespace, device: str) -> float:
    """Print the resident memory on the way through a long clip that the VapourSynth filters restore and colour.

    Returns:
        Growth between the two frames of `MEMORY_FRAMES`, in MB.
    """
    from vs_remaster.filters import definitions as filters

    early, late = MEMORY_FRAMES
    codes = [(picture.luma[0].numpy() * 65535).round().astype(np.uint16) for picture in film(200, MEMORY_SIZE)]
    clip = filters.restore(vapoursynth_clip(codes, late), model=options.restorer, device=device)
    stills = vapoursynth_stills(references(options.references, MEMORY_SIZE))
    clip = filters.colorize(clip, stills, model=options.colorizer, color_lines=options.color_lines, device=device)
    samples: dict[int, list[float]] = {mark: [] for mark in (early, (early + late) // 2, late)}
    started = time.perf_counter()
    for done, _ in enumerate(clip.frames(close=True), 1):
        for mark, sizes in samples.items():
            if mark - 200 < done <= mark:  # within a block it goes up and down
                sizes.append(resident_megabytes())
            if done == mark:
                rate = done / (time.perf_counter() - started)
                print(f"frame {done}: {statistics.median(sizes):.0f} MB resident, {rate:.1f} frames/s", flush=True)
    growth = statistics.median(samples[late]) - statistics.median(samples[early])
    print(f"growth from frame {early} to frame {late}: {growth:+.1f} MB")
    return growth
