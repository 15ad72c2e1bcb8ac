"""Makes the frozen validation damage: `python -m export.damage --validation --data DATA --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from export.damage import SETS, VALIDATION_EDGE, VALIDATION_FRAMES, Damaged, load_templates, validation_clip
from export.material import decode_clip
from export.material.files import VIDEO_SUFFIXES
from export.scores.metrics import psnr


def contact_sheet(made: Damaged, times: list[int]) -> np.ndarray:
    """Rows of input, target and mask at the given frames, as one uint8 picture."""
    rows = [torch.cat([part[t, 0] for t in times], dim=1) for part in made]
    return (torch.cat(rows).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _write_validation(data: Path, out: Path) -> None:
    templates = load_templates(data / "damage" / "val")
    out.mkdir(parents=True, exist_ok=True)
    values: dict[str, list[float]] = {kind: [] for kind in SETS}
    paths = sorted(p for p in (data / "video" / "val").iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
    for path in paths:
        luma = decode_clip(path, short_edge=VALIDATION_EDGE, limit_frames=VALIDATION_FRAMES)
        times = [len(luma) // 2 + k for k in (-8, 0, 1) if 0 <= len(luma) // 2 + k < len(luma)]
        print(f"{path.stem:40s} {luma.shape[2]}x{luma.shape[1]}")
        for kind in SETS:
            made = validation_clip(path.stem, torch.from_numpy(luma)[:, None].float() / 255, templates, kind)
            values[kind].append(psnr(made.frames, made.target))
            cv2.imwrite(str(out / f"{path.stem}-{kind}.png"), contact_sheet(made, times))
            share = 100 * float((made.mask > 0.1).float().mean())
            print(f"  {kind:10s} input {values[kind][-1]:5.2f} dB  soiled {share:4.1f} %")
    for kind, found in values.items():
        print(f"{kind}: mean {sum(found) / len(found):.2f} dB over {len(found)} clips")
    print(f"pictures in {out}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m export.damage", description="Make the frozen validation damage and say how strong it is."
    )
    parser.add_argument("--validation", action="store_true", required=True, help="damage the validation clips")
    parser.add_argument("--data", type=Path, required=True, help="folder with video/val and damage/val")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    options = parser.parse_args()
    _write_validation(options.data, options.out)


if __name__ == "__main__":
    main()
