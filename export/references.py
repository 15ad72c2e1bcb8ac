"""What reference frames are worth: how many, which, and what those that do not belong to the film cost.

    python -m export.references --data DATA

Films of many shots are joined from the clips of DATA/video/val; some clips come back with another part. They are
coloured from 1, 2, 4 and 8 of their own frames: picked as `vs-remaster references pick` does, evenly spaced, and drawn
at random (mean of some draws); then from the picked ones with frames of other clips added.

RGB PSNR, the mean over all frames that are not references themselves, then over films. Tables are Markdown.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from export.evaluation.cases import Source, covering, read_clip
from export.evaluation.methods import to_rgb
from export.scores import metrics
from export.tables import progress, table
from vs_remaster import color
from vs_remaster.errors import RemasterError
from vs_remaster.references.reference import Reference
from vs_remaster.references.rules import settle
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions
from vs_remaster.stills.coverage import cover, describe
from vs_remaster.system.process import take_over

_ASPECT = 4 / 3
_RETURNS = 3  # parts of a clip at most


@dataclass(frozen=True)
class Film:
    """RGB `[T, 3, H, W]` of a film, its cuts, and RGB of pictures that do not belong to it."""

    rgb: torch.Tensor
    cuts: list[int]
    strangers: list[torch.Tensor]

    @property
    def luma(self) -> torch.Tensor:
        """`[T, 1, H, W]`."""
        return color.rgb_to_ycbcr(self.rgb)[:, :1]


def make_film(files: Sequence[Path], options: argparse.Namespace, seed: int) -> Film:
    """A film of `options.shots` shots with returning scenes, and frames of the clips that are not in it.

    Shots are between half and one and a half times `options.frames` long, so that scenes differ in weight.
    """
    draw = np.random.RandomState(seed)
    order = [files[i] for i in draw.permutation(len(files))]
    used = order[: min(len(order) - 1, max(2, options.shots // 2))]
    size = options.lines, round(options.lines * _ASPECT)
    gap = 2 * options.frames  # between two parts of a clip
    most = _RETURNS * (options.frames * 3 // 2 + gap)
    clips = [covering(read_clip(file, options.lines, True, most), *size) for file in used]
    # every scene once, then some of them again, and no scene twice in a row
    scenes = [int(scene) for scene in draw.permutation(len(used))]
    while len(scenes) < options.shots:
        scene = int(draw.randint(len(used)))
        if scene != scenes[-1] and scenes.count(scene) < _RETURNS:
            scenes.append(scene)
    parts, cuts, seen, total = [], [], dict.fromkeys(range(len(used)), 0), 0
    for scene in scenes[: options.shots]:
        length = int(draw.randint(max(2, options.frames // 2), options.frames * 3 // 2 + 1))
        start = min(seen[scene], len(clips[scene]) - length)
        parts.append(clips[scene][max(0, start) : max(0, start) + length])
        seen[scene] = start + length + gap
        cuts.append(total)
        total += len(parts[-1])
    strangers = []
    others = order[len(used) :]
    each = -(-options.strangers // len(others))
    for file in others:
        pixels = covering(read_clip(file, options.lines, True, 12 * each), *size)[::12]
        strangers += [torch.from_numpy(x).float() / 255 for x in pixels[:each]]
    rgb = torch.from_numpy(np.concatenate(parts)).float() / 255
    return Film(rgb, cuts[1:], strangers[: options.strangers])


def evenly(length: int, count: int) -> list[int]:
    """Frames in the middle of `count` equal parts."""
    return [int((2 * i + 1) * length / (2 * count)) for i in range(count)]


def score(
    colorizer: Colorizer,
    film: Film,
    frames: Sequence[int],
    more: Sequence[torch.Tensor] = (),
    likeness: float | None = None,
) -> float:
    """PSNR of the film coloured from its frames of these numbers and from more pictures, of which those are used that
    frames resemble by `likeness`; None: as `Reference` says."""
    references = [Reference(f"{n}", film.rgb[n].contiguous(), n) for n in sorted(frames)]
    references += [Reference(f"other {i}", rgb, origin="other", likeness=likeness) for i, rgb in enumerate(more)]
    memory = colorizer.encode_references(settle(references, film.cuts))
    luma = film.luma
    made = to_rgb(luma, colorizer.colorize(luma, memory, film.cuts).chroma)
    values = metrics.frame_psnr(made, film.rgb)
    return float(np.mean([value for n, value in enumerate(values) if n not in frames]))


def measure(colorizer: Colorizer, film: Film, options: argparse.Namespace, seed: int) -> dict[str, dict[str, float]]:
    """PSNR by way of choosing and number of references."""
    described = describe(iter(film.luma), colorizer)
    length, found = len(film.rgb), {}
    draw = np.random.RandomState(1000 + seed)
    for count in options.counts:
        picked = cover(described, count).frames
        progress(f"{count} picked: {picked}")
        drawn = [draw.choice(length, count, replace=False).tolist() for _ in range(options.draws)]
        found[str(count)] = {
            "picked": score(colorizer, film, picked),
            "evenly spaced": score(colorizer, film, evenly(length, count)),
            "random": float(np.mean([score(colorizer, film, frames) for frames in drawn])),
        }
        if film.strangers and count in options.with_strangers:
            for likeness in (None, options.likeness):
                more = "" if likeness is None else f", likeness {likeness:g}"
                name = f"picked + {len(film.strangers)} unrelated{more}"
                found[str(count)][name] = score(colorizer, film, picked, film.strangers, likeness)
        progress(f"{count}: " + ", ".join(f"{name} {value:.2f}" for name, value in found[str(count)].items()))
    return found


def evaluate(options: argparse.Namespace) -> None:
    """Measure all films and print the means."""
    settings = {"model": options.model, "device": options.device, "precision": options.precision}
    colorizer = Colorizer(ColorizeOptions(lines=options.color_lines, **settings))
    files = Source(options.data, options.clips_folder).files()
    found = []
    with torch.inference_mode():
        for seed in range(options.seed, options.seed + options.films):
            film = make_film(files, options, seed)
            progress(f"film {seed}: {len(film.rgb)} frames in {len(film.cuts) + 1} shots")
            found.append(measure(colorizer, film, options, seed))
    columns = list(dict.fromkeys(name for film in found for row in film.values() for name in row))
    rows = []
    for count in map(str, options.counts):
        means = {name: [film[count][name] for film in found if name in film[count]] for name in columns}
        rows.append([count, *(f"{np.mean(values):.2f}" if values else "" for values in means.values())])
    print(f"\nRGB PSNR in dB, {options.films} films of {options.shots} shots, {options.color_lines} lines.\n")
    print(table(["references", *columns], rows))
    if options.json:
        about = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
        about.pop("clips_folder")
        options.json.write_text(json.dumps({"options": about, "films": found, "colorizer": asdict(colorizer.options)}))


def main(arguments: list[str] | None = None) -> None:
    """The command line; ends with status 2 where something given cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m export.references", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with video/val")
    parser.add_argument("--clips-folder", type=Path, nargs="+", default=[], metavar="PATH", help="clips in its place")
    for name, default, text in (
        ("films", 2, "films"), ("shots", 12, "shots of each"), ("frames", 10, "mean length of a shot"),
        ("lines", 192, "height of the films"), ("color-lines", 160, "height at which colour is computed"),
        ("strangers", 20, "unrelated references that are added"), ("draws", 2, "draws at random"),
        ("seed", 0, "of the first film"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: {default})")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N", help="references")
    parser.add_argument(
        "--with-strangers", type=int, nargs="*", default=[4, 8], metavar="N", help="counts to add them to (4 8)"
    )
    parser.add_argument(
        "--likeness",
        type=float,
        default=0.0,
        metavar="N",
        help="below which they are left out, beside the default of "
        "references that show no frame of the film (default: 0, always used)",
    )
    parser.add_argument("--model", default="fast")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--json", type=Path, help="file for the numbers of each film")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    started = time.perf_counter()
    try:
        evaluate(options)
    except RemasterError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    progress(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    take_over()
    main()
