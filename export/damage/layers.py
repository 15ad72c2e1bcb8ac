"""Dirt on film: how much light passes it, and laying it over clips."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from export.damage.chance import Draw


class Layers:
    """Transmission of the dark and of the white dirt, kept as log(1 - alpha) so that order does not matter."""

    def __init__(self, count: int, height: int, width: int, device: torch.device) -> None:
        self.count, self.height, self.width = count, height, width
        self.plane = count * height * width
        self.log = torch.zeros(2 * self.plane + 1, device=device)  # the last slot takes what falls outside

    def paste(
        self, alpha: torch.Tensor, picture: torch.Tensor, white: torch.Tensor, top: torch.Tensor, left: torch.Tensor
    ) -> None:
        """Add patches `alpha` [E, h, w] at integer places; `picture`, `white`, `top`, `left` are int64 [E]."""
        rows = top[:, None] + torch.arange(alpha.shape[1], device=alpha.device)
        columns = left[:, None] + torch.arange(alpha.shape[2], device=alpha.device)
        base = picture * (self.height * self.width) + white * self.plane
        where = (base[:, None] + rows * self.width)[:, :, None] + columns[:, None, :]
        inside = ((rows >= 0) & (rows < self.height))[:, :, None] & ((columns >= 0) & (columns < self.width))[:, None]
        where = torch.where(inside, where, 2 * self.plane)
        self.log.index_add_(0, where.flatten(), torch.log1p(-alpha.clamp(0, 0.995)).flatten())

    def transmission(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What passes the dark and the white dirt [N, 1, H, W], 0..1."""
        both = torch.exp(self.log[:-1]).view(2, self.count, 1, self.height, self.width)
        return both[0], both[1]


class Dirt(NamedTuple):
    """Dirt on clips [B, T, 1, H, W]: how much light passes the dark and the white, and inks [2, B, 1, 1, 1, 1]."""

    dark: torch.Tensor
    white: torch.Tensor
    inks: torch.Tensor

    @classmethod
    def of(cls, draw: Draw, layers: Layers, clips: torch.Tensor) -> Dirt:
        """A near-black and a near-white for each of `clips`."""
        batch = len(clips)
        inks = np.stack([draw.between((0.0, 0.12), batch), draw.between((0.8, 1.0), batch)]).astype(np.float32)
        dark, white = (t.view(clips.shape) for t in layers.transmission())
        return cls(dark, white, torch.from_numpy(inks).to(clips.device)[..., None, None, None, None])

    def of_clips(self, clips: np.ndarray) -> Dirt:
        """That of some clips alone, by their numbers."""
        return Dirt(self.dark[clips], self.white[clips], self.inks[:, clips])

    def over(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lay it over clips; returns clips and mask."""
        dark, white, (black, bright) = self
        soiled = (x * dark + black * (1 - dark)) * white + bright * (1 - white)
        # faint dirt counts more than its opacity, but dirt that changes nothing (black on black) does not count
        visible = ((soiled - x).abs() / 0.04).clamp(max=1)
        clear = dark * white
        mask = (1 - clear * clear * clear) * visible
        return torch.where(clear < 1, soiled, x), mask
