"""Remasters the sample in tests/data and puts three stages side by side: what `make demo` does."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from export.material import decode_clip
from vs_remaster import cli
from vs_remaster.system.process import take_over

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests" / "data"
SHOWN = (6, 72)  # one frame of each shot, away from the references
WHOLE = 1 << 16  # no picture has so many lines: do not shrink


def side_by_side(source: Path, result: Path) -> np.ndarray:
    """Rows of input, restored and coloured, uint8 BGR; colouring keeps luma: the result's is the restored film."""
    before = decode_clip(source, short_edge=WHOLE)
    restored = decode_clip(result, short_edge=WHOLE)
    coloured = decode_clip(result, short_edge=WHOLE, color=True)
    rows = []
    for time in SHOWN:
        stages = [cv2.cvtColor(gray[time], cv2.COLOR_GRAY2BGR) for gray in (before, restored)]
        rows.append(np.concatenate([*stages, coloured[time].transpose(1, 2, 0)[..., ::-1]], axis=1))
    return np.concatenate(rows)


def main() -> int:
    out = ROOT / "demo"
    out.mkdir(exist_ok=True)
    film, picture = out / "remastered.mkv", out / "input-restored-coloured.png"
    sample = SAMPLE / "sample.mkv"
    status = cli.main(
        ["run", str(sample), "-o", str(film), "--references", str(SAMPLE / "references"), "--overwrite"]
    )  # fmt: skip
    if status:
        return status
    cv2.imwrite(str(picture), side_by_side(sample, film))
    print(f"film, restored and coloured: {film}")
    print(f"input | restored | coloured: {picture}")
    return 0


if __name__ == "__main__":
    take_over()
    sys.exit(main())
