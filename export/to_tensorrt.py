"""Build TensorRT's engines ahead of time, so that the first film need not wait for them.

    python -m export.to_tensorrt --size 1440x1080 --size 528x400 [--restorer fast] [--scale 2] [--colorizer fast]

Runs what `--engine tensorrt` runs, once for each size of film, and leaves the engines in the cache folder where that
finds them; prints how long it took and how much it wrote. Restoring sees pictures of over 1.3 million pixels as tiles,
and colouring as many lines as `--color-lines`: engines are made for what the networks see.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from export.to_onnx import picture_size
from vs_remaster.engines.sessions import cache_folder
from vs_remaster.errors import RemasterError
from vs_remaster.models.sharpener import SCALES
from vs_remaster.references.reference import Reference
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions, Running
from vs_remaster.remaster.restorer import Restorer


def megabytes(folder: Path) -> float:
    """What the files in a folder take, in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=picture_size, action="append", required=True, metavar="WIDTHxHEIGHT")
    parser.add_argument("--restorer", default="auto", help="a model, or none")
    parser.add_argument("--scale", type=int, choices=SCALES, default=1, help="2: for films that are enlarged")
    parser.add_argument("--colorizer", default="auto", help="a model, or none")
    parser.add_argument("--color-lines", type=int, default=ColorizeOptions().lines)
    parser.add_argument("--references", type=int, default=2, help="how many; other numbers are other engines")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="fp16", choices=("fp16", "fp32"))
    options = parser.parse_args(arguments)
    how: Running = {"device": options.device, "precision": options.precision, "engine": "tensorrt"}
    try:
        for height, width in options.size:
            started, before = time.perf_counter(), megabytes(cache_folder() / "tensorrt")
            clip = torch.rand(1, 1, height, width)
            if options.restorer != "none":
                restore = RestoreOptions(model=options.restorer, scale=options.scale, **how)
                clip = Restorer(restore).restore(clip).luma  # what is coloured
            if options.colorizer != "none":
                colorizer = Colorizer(ColorizeOptions(model=options.colorizer, lines=options.color_lines, **how))
                references = [Reference(str(i), torch.rand(3, height, width), None) for i in range(options.references)]
                colorizer.colorize(clip, colorizer.encode_references(references))
            written = megabytes(cache_folder() / "tensorrt") - before
            print(f"{width}x{height}: {time.perf_counter() - started:.0f} s, {written:.0f} MB in {cache_folder()}")
    except RemasterError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
