"""What the shots of a film look like: gray, tinted, already coloured or black, and how many frames are repeated.

What is said here is only proposed to the person who edits the shots: nothing is done to a film because of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ...color.matrices import code_range
from ...color.samples import decode
from ...video.info import VideoInfo
from ...video.planes import Frame

Kind = Literal["gray", "tinted", "coloured", "black"]

_STEP = 8  # every so many samples in both directions are looked at
_BINS = 12  # of luma
_COLORLESS = 0.012  # rms of Cb and Cr, -0.5..0.5: three code values of 8 bits are noise of an encoder
_ONE_TINT = 0.016  # rms of Cb and Cr about their mean at the same luma: in a tinted picture colour follows from luma
_BLACK = 0.08  # luma that hardly any sample of a black frame is above
_SAME = 0.0006  # mean difference of two thumbnails that show one picture encoded twice


@dataclass(frozen=True)
class Appearance:
    """What a shot looks like.

    Attributes:
        kind: what most of its frames are; coloured where a quarter of them is.
        black: frames that are black.
        duplicates: frames that show the picture of the frame before.
    """

    kind: Kind
    black: int
    duplicates: int


class AppearanceMeter:
    """AppearanceMeter at the frames of a film one after the other."""

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._kinds: list[Kind] = []
        self._same: list[bool] = []
        self._last: torch.Tensor | None = None

    def push(self, frame: Frame, thumb: torch.Tensor) -> None:
        """Take the next frame, and its thumbnail (see `scenes.thumbnail`)."""
        same = self._last is not None and float((thumb - self._last).abs().mean()) < _SAME
        self._last = thumb
        self._same.append(same)
        self._kinds.append(self._kinds[-1] if same else _kind(frame, self._info, thumb))

    def of(self, first: int, last: int) -> Appearance:
        """The frames `first` to `last` (not included), counted from the first that was pushed, as a shot."""
        kinds = self._kinds[first:last]
        lit = [kind for kind in kinds if kind != "black"]
        if not lit:
            kind: Kind = "black"
        elif lit.count("coloured") * 4 >= len(lit):
            kind = "coloured"
        else:
            kind = "tinted" if lit.count("tinted") * 2 > len(lit) else "gray"
        # the first frame of a shot has none before it
        return Appearance(kind, len(kinds) - len(lit), sum(self._same[first + 1 : last]))


def _kind(frame: Frame, info: VideoInfo, thumb: torch.Tensor) -> Kind:
    luma, chroma = _sampled(frame, info, thumb)
    if np.quantile(luma, 0.995) < _BLACK:
        return "black"
    if chroma is None or np.sqrt(np.square(chroma).sum(0).mean()) < _COLORLESS:
        return "gray"
    bins = (luma.clip(0, 1) * (_BINS - 1)).round().astype(int)
    count = np.bincount(bins, minlength=_BINS).clip(1)
    mean = np.stack([np.bincount(bins, part, _BINS) / count for part in chroma])
    own = np.sqrt(np.square(chroma - mean[:, bins]).sum(0).mean())
    return "tinted" if own < _ONE_TINT else "coloured"


def _sampled(frame: Frame, info: VideoInfo, thumb: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None]:
    """Luma `[N]`, 0..1, and chroma `[2, N]`, -0.5..0.5, of some of the samples of a frame."""
    if info.kind == "gray":
        return thumb.numpy().ravel(), None
    if info.kind == "rgb":
        luma, chroma = decode([plane[::_STEP, ::_STEP] for plane in frame.planes], info)
        return luma.numpy().ravel(), None if chroma is None else chroma.numpy().reshape(2, -1)
    across, down = info.subsampling
    steps = slice(None, None, max(1, _STEP >> down)), slice(None, None, max(1, _STEP >> across))
    chroma = [plane[steps] for plane in frame.planes[1:]]
    rows, columns = chroma[0].shape
    luma = frame.planes[0][:: steps[0].step << down, :: steps[1].step << across][:rows, :columns]
    black, white = code_range(info.bits, info.full_range, False, info.matrix)
    zero, one = code_range(info.bits, info.full_range, True, info.matrix)
    return (luma.ravel() - black) / white, (np.stack(chroma).reshape(2, -1) - float(zero)) / one
