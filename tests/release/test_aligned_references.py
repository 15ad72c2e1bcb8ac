"""What references out of a re-timed, cropped, darkened copy of a film are worth, on the validation clips."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from export.evaluation.cases import covering, read_clip
from export.evaluation.methods import to_rgb
from export.references import Film, evenly, score
from export.scores import metrics
from vs_remaster.references.reference import load_references
from vs_remaster.references.rules import settle
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions
from vs_remaster.stills.copies import align_references

HEIGHT, WIDTH, FRAMES = 144, 192, 16


def write(path: Path, frames: np.ndarray, rate: int, *, gray: bool) -> Path:
    """A film of RGB `[T, H, W, 3]`, 8 bits."""
    with av.open(str(path), "w") as container:
        options = {} if gray else {"crf": "16"}
        stream = container.add_stream("ffv1" if gray else "libx264", rate=Fraction(rate), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "gray" if gray else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.data
def test_aligned_references_are_worth_as_much_as_frames_of_the_film(data_folder: Path, tmp_path: Path, capsys):
    files = sorted((data_folder / "video" / "val").glob("*.mp4"))
    clips = [covering(read_clip(file, HEIGHT, True, FRAMES), HEIGHT, WIDTH) for file in files]
    pixels = np.concatenate(clips)
    pixels = pixels if pixels.dtype == np.uint8 else (255 * pixels).round().astype(np.uint8)
    cuts = np.cumsum([len(clip) for clip in clips])[:-1].tolist()
    film = Film(torch.from_numpy(pixels).float() / 255, cuts, [])
    truth = pixels.transpose(0, 2, 3, 1)

    kept = np.r_[: cuts[2], cuts[3] : len(truth)]  # the copy lacks the fourth clip
    shows = kept[np.arange(len(kept) * 25 // 24) * 24 // 25]
    y, x = round(0.04 * HEIGHT), round(0.04 * WIDTH)
    darker = (255 * (np.arange(256) / 255) ** 1.2).round().astype(np.uint8)
    copy = [cv2.resize(darker[truth[n, y:-y, x:-x]], (240, 144), interpolation=cv2.INTER_AREA) for n in shows]
    logo = np.full((20, 144, 240, 3), (30, 60, 200), np.uint8)
    logo[:, 50:90, 60:180] = 220
    gray = write(tmp_path / "gray.mkv", truth, 24, gray=True)
    other = write(tmp_path / "copy.mp4", np.concatenate([logo, np.stack(copy)]), 25, gray=False)

    colorizer = Colorizer(ColorizeOptions(device="cpu", lines=96))
    found = align_references(gray, other, tmp_path / "refs", colorize=colorizer)
    frames = found.alignment.frames
    there = np.isin(np.arange(len(truth)), kept)
    shown = np.concatenate([np.full(len(logo), -9999), shows])[frames]
    right = (np.abs(shown - np.arange(len(truth)))[there & (frames >= 0)] <= 1).mean()

    references = load_references(tmp_path / "refs", lines=96)
    with torch.inference_mode():
        memory = colorizer.encode_references(settle(references, film.cuts))
        made = to_rgb(film.luma, colorizer.colorize(film.luma, memory, film.cuts).chroma)
        aligned = metrics.frame_psnr(made, film.rgb)
        even = score(colorizer, film, evenly(len(truth), len(references)))
        same = score(colorizer, film, found.frames)
    aligned = float(np.mean([value for n, value in enumerate(aligned) if n not in found.frames]))
    nothing = float(np.mean(metrics.frame_psnr(film.luma.expand(-1, 3, -1, -1), film.rgb)))
    with capsys.disabled():
        print(
            f"\n{len(references)} references; frames found {found.alignment.found} of {there.sum()}, within one "
            f"{right:.4f}; gray {nothing:.2f}, aligned {aligned:.2f}, as many evenly from the truth {even:.2f}, the "
            f"same frames from the truth {same:.2f} dB"
        )
    assert right >= 0.98 and (frames[~there] < 0).all()
    assert found.alignment.found >= 0.95 * there.sum()
    assert aligned > nothing + 6 and aligned > even - 2
