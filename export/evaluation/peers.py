"""What our networks are measured against: simple methods, and any program that reads and writes a video.

Restoration: a temporal median, non-local means, BM3D. Colour: optical flow, and a transfer of colour statistics.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from export.material import decode_clip
from export.scores.flow import DenseFlow, compose, to_gray8, warp
from vs_remaster import color
from vs_remaster.errors import InputError
from vs_remaster.references.reference import Reference

NLM_WINDOW = 5  # frames that non-local means looks at
NLM_STRENGTH = 11  # filter strength h in code values of 255; best of 5, 8, 11, 15, 20 on frames 22-27 of each clip
BM3D_SIGMA = 15  # code values of 255; best of 10, 15, 20, 30, 40 on 192x192 pixels of frame 24 of each clip


def temporal_median(luma: torch.Tensor) -> torch.Tensor:
    """Median of each pixel and its two neighbours in time; the first and last frame are repeated. [T, 1, H, W]."""
    padded = torch.cat([luma[:1], luma, luma[-1:]])
    return torch.stack([padded[:-2], padded[1:-1], padded[2:]]).median(dim=0).values


def non_local_means(luma: torch.Tensor, strength: float = NLM_STRENGTH) -> torch.Tensor:
    """OpenCV's `fastNlMeansDenoisingMulti` (Buades et al.) on luma [T, 1, H, W], 0..1; 8 bit inside."""
    pictures = list(to_gray8(luma[:, 0].numpy()))
    margin = NLM_WINDOW // 2
    padded = [pictures[0]] * margin + pictures + [pictures[-1]] * margin
    cleaned = [
        cv2.fastNlMeansDenoisingMulti(padded, index + margin, NLM_WINDOW, None, strength, 7, 21)
        for index in range(len(pictures))
    ]
    return torch.from_numpy(np.stack(cleaned))[:, None].float() / 255


def bm3d(luma: torch.Tensor, sigma: float = BM3D_SIGMA) -> torch.Tensor:
    """BM3D (Dabov et al., TIP 2007; its authors' package `bm3d`) on each frame of luma [T, 1, H, W], 0..1.

    Args:
        sigma: standard deviation of the noise, in code values of 255.

    Raises:
        InputError: the package is not installed.
    """
    try:
        from bm3d import bm3d as denoise
    except ImportError as error:
        raise InputError("BM3D needs a package that is free for non-commercial use only: pip install bm3d") from error
    cleaned = [denoise(frame, sigma / 255) for frame in luma[:, 0].double().numpy()]
    return torch.from_numpy(np.stack(cleaned))[:, None].float()


def propagate_chroma(luma: torch.Tensor, first: torch.Tensor, composed: bool) -> torch.Tensor:
    """Carry the first frame's chroma through the clip by dense optical flow.

    Args:
        luma: [T, 1, H, W], 0..1.
        first: chroma of frame 0, [2, H, W].
        composed: True: add the flows up, so that every frame takes its chroma from frame 0 in one step; False: take it
            from the frame before (which blurs a little each time, and so hides small errors).

    Returns:
        Chroma [T, 2, H, W].
    """
    flow, pictures = DenseFlow(), to_gray8(luma[:, 0].numpy())
    origin = first.permute(1, 2, 0).contiguous().numpy()
    carried, total = [origin], None
    for before, here in pairwise(pictures):
        step = flow(here, before)
        if composed:
            total = step if total is None else compose(step, total)
            carried.append(warp(origin, total))
        else:
            carried.append(warp(carried[-1], step))
    return torch.from_numpy(np.stack(carried)).permute(0, 3, 1, 2)


def transfer_color(luma: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Give every gray level of a frame the mean colour that the reference has at the same rank of brightness.

    A global transfer of statistics (after Reinhard et al., CG&A 2001, and Welsh et al., SIGGRAPH 2002): the histogram
    of a frame's L* is matched to the reference's, and the matched L* looks up the mean a*, b* of the reference's pixels
    of that lightness. Where a colour lies does not count.

    Args:
        luma: [T, 1, H, W], 0..1.
        reference: RGB [3, h, w], 0..1.

    Returns:
        Chroma [T, 2, H, W] of BT.709.
    """
    lightness, *ab = color.rgb_to_lab(reference).flatten(1).double().numpy()
    levels, ranks = _ranks(lightness)
    bins = np.searchsorted(levels, np.rint(lightness))
    table = [np.bincount(bins, x) / np.bincount(bins) for x in ab]
    out = []
    for frame in color.gray_to_lightness(luma[:, 0].clamp(0, 1)):
        rank = np.interp(frame.double().numpy(), *_ranks(frame.double().numpy()))
        planes = [torch.from_numpy(np.interp(rank, ranks, x)).float() for x in table]
        rgb = color.lab_to_rgb(torch.stack([frame, *planes]))
        out.append(color.rgb_to_ycbcr(rgb)[1:])
    return torch.stack(out)


def _ranks(lightness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The whole values of L* that occur, and of each the share of pixels that are darker (half of its own count)."""
    levels, count = np.unique(np.rint(lightness), return_counts=True)
    return levels, (np.cumsum(count) - count / 2) / count.sum()


def from_last_reference(
    fill: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], luma: torch.Tensor, references: Sequence[Reference]
) -> torch.Tensor:
    """Colour a clip piece by piece, each from the reference that it begins with.

    Args:
        fill: gives chroma [T, 2, H, W] for luma [T, 1, H, W] and the RGB [3, H, W] of its first frame.
        luma: [T, 1, H, W], 0..1.
        references: of known frames, ascending, the first of frame 0.
    """
    starts = [reference.frame for reference in references]
    parts = zip(starts, [*starts[1:], len(luma)], references, strict=True)
    return torch.cat([fill(luma[start:end], reference.rgb) for start, end, reference in parts])


@dataclass(frozen=True)
class Command:
    """A program that reads a video and writes one.

    Attributes:
        line: split as a shell would, but run without one; `{input}` (lossless FFV1 in Matroska, 8-bit RGB) and
            `{output}` (to be written, .mkv) must be in it, `{references}` (a folder of PNGs named after their frame)
            may be.
    """

    line: str

    def __post_init__(self) -> None:
        try:
            words = shlex.split(self.line)
        except ValueError as error:
            raise InputError(f"cannot split the command {self.line!r}: {error}; quote it as for a shell") from error
        for needed in ("{input}", "{output}"):
            if not any(needed in word for word in words):
                raise InputError(f"the command {self.line!r} lacks {needed}; write it where the path belongs")

    def __call__(self, clip: torch.Tensor, references: Sequence[Reference] = (), *, in_color: bool) -> torch.Tensor:
        """Run the program on a clip [T, 1 or 3, H, W], 0..1; returns luma [T, 1, H, W], or RGB if `in_color`.

        Raises:
            InputError: the program is not there or fails, or its output is missing or of another size or length.
        """
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            paths = {
                "input": folder / "input.mkv",
                "output": folder / "output.mkv",
                "references": folder / "references",
            }
            write_lossless(paths["input"], clip)
            paths["references"].mkdir()
            for reference in references:
                picture = to_gray8(reference.rgb.permute(1, 2, 0).flip(-1).numpy())
                cv2.imwrite(str(paths["references"] / f"{reference.frame or 0:06d}.png"), picture)
            self._run(paths)
            if not paths["output"].is_file():
                raise InputError(f"{self.line!r} ended well, but wrote no {{output}}; check its arguments")
            frames = decode_clip(paths["output"], short_edge=1 << 20, color=in_color)
        made = torch.from_numpy(frames).float() / 255
        made = made if in_color else made[:, None]
        wanted = (len(clip), *clip.shape[-2:])
        if (len(made), *made.shape[-2:]) != wanted:
            raise InputError(
                f"{self.line!r} wrote {len(made)} frames of {made.shape[-1]}x{made.shape[-2]}; "
                f"it has to keep the input's {wanted[0]} of {wanted[2]}x{wanted[1]}"
            )
        return made

    def _run(self, paths: dict[str, Path]) -> None:
        words = shlex.split(self.line)
        for key, path in paths.items():
            words = [word.replace(f"{{{key}}}", str(path)) for word in words]
        try:
            done = subprocess.run(words, capture_output=True, text=True, errors="replace")
        except OSError as error:
            raise InputError(f"cannot run {self.line!r}: {error.strerror or error}; check its first word") from error
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
            raise InputError(f"{self.line!r} failed with status {done.returncode}; the last it said: {said}")


def write_lossless(path: Path, clip: torch.Tensor) -> None:
    """Write a clip [T, 1 or 3, H, W], 0..1, as RGB of 8 bits in FFV1, 25 frames a second."""
    pictures = to_gray8(clip.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy())
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "bgr0"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="bgr0")))
        container.mux(stream.encode())
