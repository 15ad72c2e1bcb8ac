"""The sharpener: gives back to restored luma what blur and a soft copy took, and makes it twice as large.

It works on what the restorer made, when damage is filled already, and never sees grain that is to go. How soft a frame
is it is told by figures of the whole frame (`softness`), so that a soft background of a sharp picture stays as it is
and tiles agree. A small U-Net at 1/2 and 1/4 makes two residuals: one for the frame itself, weighted by how much is to
be done (`due`, as `Need` in the restorer: sharp film comes back as it was), and one for the frame at twice its size,
on top of its interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import MIDDLE, NO_HALO, Edges, Halo, ResBlock, Stage, bias_of, fold, pad_to_multiple, trim, unfold, wide
from .network import Network
from .restorer import Need

SCALES = (1, 2)
FIGURES = 7  # that `softness` gives
_CELL = 32  # pixels, in which softness is measured
_FAINT = 2e-5  # energy of differences between pixels that is as good as none
_TAPS = (-0.0234375, 0.2265625, 0.8671875, -0.0703125)  # cubic, a quarter of a pixel away, a = -0.5


@dataclass(frozen=True)
class SharpenerConfig:
    """Widths at 1/2 and 1/4, and residual blocks at 1/4 and, on the way back, at 1/2. `finer`: residual blocks, as wide
    as those at 1/4, that only work at scale 2; 0: none."""

    widths: tuple[int, int] = (24, 48)
    middle: int = 2
    decoder: int = 1
    finer: int = 3


class SharpenerOutput(NamedTuple):
    """What `SharpenerNet` returns.

    Attributes:
        change: what is to be added to the luma, or at scale 2 to the interpolation of it, `[B, T, 1, sH, sW]` float32.
        due_logits: how much is to be done, `[B, T, 1, h, w]` of cells of 32 pixels; at scale 2 it is not asked for.
    """

    change: Tensor
    due_logits: Tensor


class Finer(nn.Module):
    """Makes more of features `[N, inputs, H/2, W/2]`, for the detail of a picture of twice the size, `[N, 16, H/2,
    W/2]`. A fresh one adds nothing."""

    def __init__(self, inputs: int, width: int, blocks: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(inputs, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResBlock(width) for _ in range(blocks)))
        self.head = nn.Conv2d(width, 16, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(bias_of(self.head))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(F.leaky_relu(self.widen(x), 0.1)))


class SharpenerNet(Network):
    """The sharpening network; looks one frame each way.

    Source: our own design.
    """

    spatial_radius = 1
    before = after = 1
    block = 8
    multiple_of = 8

    config: SharpenerConfig

    def __init__(self, config: SharpenerConfig = SharpenerConfig()) -> None:
        super().__init__(config)
        half, quarter = config.widths
        self.stem = nn.Conv2d(4, half, 3, padding=1)
        self.down = nn.Conv2d(half, quarter, 3, 2, 1)
        self.told = nn.Sequential(nn.Linear(FIGURES, 32), nn.LeakyReLU(0.1), nn.Linear(32, 2 * quarter))
        self.middle = Stage(quarter, config.middle, temporal=True)
        self.due = Need(quarter, 24)
        self.up = nn.Conv2d(quarter, 4 * half, 1)
        self.decode = Stage(half, config.decoder, temporal=False)
        self.same = nn.Conv2d(half, 4, 3, padding=1)
        self.twice = nn.Conv2d(half, 16, 3, padding=1)
        self.finer = Finer(half, quarter, config.finer) if config.finer else None
        with torch.no_grad():
            for head in (self.same, self.twice):
                head.weight.mul_(0.1)
                bias_of(head).zero_()
            last = self.told[2]
            assert isinstance(last, nn.Linear)
            last.weight.mul_(0.1)
            bias_of(last).zero_()

    def forward(
        self,
        luma: Tensor,
        figures: Tensor | None = None,
        halo: Halo = NO_HALO,
        scale: int = 1,
        edges: Edges | None = None,
    ) -> SharpenerOutput:
        """Sharpen a window of restored frames.

        Args:
            luma: `[B, T, 1, H, W]`, 0..1.
            figures: `softness` of the whole frames `[B, T, 7]`, where `luma` is a tile of them; None: of `luma`.
            halo: frames at either end that are context and are not returned.
            scale: 1 or 2.
            edges: where the scene ends inside the window, see `neighbours`.
        """
        if scale not in SCALES:
            raise ValueError(f"scale must be 1 or 2, got {scale}")
        x, due = self.features(luma, figures, halo, edges)
        return self.sharpen(x, due, luma) if scale == 1 else self.enlarge(x, due, luma)

    def features(
        self, luma: Tensor, figures: Tensor | None = None, halo: Halo = NO_HALO, edges: Edges | None = None
    ) -> tuple[Tensor, Tensor]:
        """What both heads see, `[B*K, C, H/2, W/2]`, and logits of how much is to be done, of K frames: those that are
        no halo. See `forward`."""
        batch = luma.shape[0]
        figures = softness(luma) if figures is None else figures
        with torch.autocast(luma.device.type, enabled=False):
            told = self.told(fold(wide(figures)))
        pixels = F.pixel_unshuffle(pad_to_multiple(fold(wide(luma)), self.multiple_of) - MIDDLE, 2)
        skip = self.stem(pixels.contiguous(memory_format=torch.channels_last))
        x = self.down(F.leaky_relu(skip, 0.1))
        gain, offset = told[..., None, None].to(x.dtype).chunk(2, 1)
        x = x * (1 + gain) + offset
        x, _ = self.middle(x, batch, halo, 0, edges)
        x = trim(x, batch, halo.within(0), NO_HALO)
        with torch.autocast(luma.device.type, enabled=False):
            due = self.due(F.avg_pool2d(wide(x), 2))
        x = F.pixel_shuffle(self.up(x), 2) + trim(skip, batch, halo, NO_HALO)
        return self.decode(x, batch, NO_HALO, 0, edges)[0], due

    def sharpen(self, x: Tensor, due: Tensor, luma: Tensor) -> SharpenerOutput:
        """The change of the frames themselves; `luma` says how large and how many clips."""
        return self._output(self._own(x, due), due, luma, 1)

    def enlarge(self, x: Tensor, due: Tensor, luma: Tensor) -> SharpenerOutput:
        """The change of their interpolation at twice the size: that of the frames, enlarged, and finer detail."""
        detail = self.twice(x) if self.finer is None else self.twice(x) + self.finer(x)
        return self._output(enlarged(self._own(x, due)) + F.pixel_shuffle(wide(detail), 4), due, luma, 2)

    def _own(self, x: Tensor, due: Tensor) -> Tensor:
        change = F.pixel_shuffle(wide(self.same(x)), 2)
        return change * self.due.over(change, due)

    @staticmethod
    def _output(change: Tensor, due: Tensor, luma: Tensor, scale: int) -> SharpenerOutput:
        change = change[..., : scale * luma.shape[-2], : scale * luma.shape[-1]]
        return SharpenerOutput(*(unfold(x, luma.shape[0]) for x in (change, due)))


def softness(luma: Tensor) -> Tensor:
    """Figures of how soft whole frames `[B, T, 1, H, W]` are, `[B, T, 7]`: how fast the energy of differences between
    pixels falls from one size to the next, where it falls least and on average, and how much there is."""
    energies = []
    x = fold(wide(luma))
    for level in range(4):
        cell = _CELL >> level
        across = F.pad((x[..., 1:] - x[..., :-1]).square(), (0, 1))
        down = F.pad((x[..., 1:, :] - x[..., :-1, :]).square(), (0, 0, 0, 1))
        energies.append(F.avg_pool2d(across + down, cell, ceil_mode=True, count_include_pad=False) + _FAINT)
        if level < 3:
            x = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
    figures = []
    for fine, coarse in pairwise(energy.flatten(1) for energy in energies):
        ratio = (fine / coarse).log()
        weight = (coarse - _FAINT).sqrt() + 1e-4
        sharpest = weight * torch.exp(3 * ratio.clamp(-4, 1))
        figures += [(w * ratio).sum(1) / w.sum(1) for w in (weight, sharpest)]
    figures.append(energies[0].flatten(1).mean(1).log() / 4)
    return unfold(torch.stack(figures, 1), luma.shape[0])


def enlarged(x: Tensor) -> Tensor:
    """`[N, C, H, W]` to `[N, C, 2H, 2W]` by cubic interpolation (a = -0.5, as Catmull and Rom have it); pixels' centres
    lie as those of a picture of twice the size do."""
    for dim in (2, 3):
        padded = F.pad(x, (2, 2, 0, 0) if dim == 3 else (0, 0, 2, 2), mode="replicate")
        count = x.shape[dim]
        taps = [padded.narrow(dim, k, count) for k in range(5)]
        early = sum(w * tap for w, tap in zip(_TAPS, taps[:4]))
        late = sum(w * tap for w, tap in zip(_TAPS, taps[:0:-1]))
        assert isinstance(early, Tensor) and isinstance(late, Tensor)
        x = torch.stack([early, late], dim + 1).flatten(dim, dim + 1)
    return x
