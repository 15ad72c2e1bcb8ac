"""The finest part of a colorizer: colour is matched once more at 1/2, where letters, poles and lips are wide enough to
have their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import doubled, fine_match
from .layers import MIDDLE, Lift, ResBlock, bias_of, in_large_steps, rows, twice, wide

_RADIUS = 1


class Detail(nn.Module):
    """Matches at 1/2 round what was found at 1/4, and corrects the chroma with it. A fresh one changes nothing.

    Args:
        width: channels at 1/2.
        key: those of its matching features.
        width4: channels of what it is given at 1/4.
    """

    def __init__(self, width: int, key: int, width4: int) -> None:
        super().__init__()
        self.up = nn.Conv2d(width4, 4 * width, 1)
        self.stem = nn.Conv2d(4 + width, width, 3, padding=1)
        self.body = ResBlock(width)
        self.key = nn.Conv2d(width, key, 1)
        self.scale = nn.Parameter(torch.tensor(20.0))
        self.up_hidden = nn.Conv2d(width4, 4 * width, 1)
        self.mix = nn.Conv2d(5 + 2 * width, width, 3, padding=1)
        self.blocks = nn.Sequential(ResBlock(width), ResBlock(width))
        self.head = nn.Conv2d(width, 3, 3, padding=1)
        self.lift = Lift(width, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(bias_of(self.head))

    def features(self, luma: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures `[N, 1, H, W]` and their features at 1/4 to unit vectors `[N, key, H/2, W/2]` and features `[N,
        width, H/2, W/2]`."""
        pixels = F.pixel_unshuffle(luma - MIDDLE, 2).to(fine.dtype)
        half = self.body(self.stem(torch.cat([pixels, F.pixel_shuffle(self.up(fine), 2)], 1)))
        return F.normalize(wide(self.key(half)), dim=1), half

    def carry(self, queries: Tensor, found: Tensor, keys: Tensor, chroma: Tensor) -> Tensor:
        """Match frames' unit vectors `queries` `[N, key, H/2, W/2]`.

        `found` `[N, H/4, W/4, 7]`: what the matching at 1/4 found; `keys` `[M, key]` and `chroma` `[M, 2]` of the
        references. Returns `[N, 3, H/2, W/2]`: chroma and the best cosine.
        """
        large = self.training or in_large_steps(queries.device)
        with torch.autocast(queries.device.type, enabled=False):
            local = fine_match(rows(queries), doubled(found), keys, chroma, self.scale, _RADIUS, large, follow=False)
            carried = torch.cat([local.chroma, local.similarity], 2)
            return carried.transpose(1, 2).unflatten(2, queries.shape[-2:])

    def forward(
        self,
        chroma: Tensor,
        hidden: Tensor,
        luma: Tensor,
        half: Tensor,
        carried: Tensor,
        doubtful: Tensor | None = None,
    ) -> Tensor:
        """Correct `chroma` `[N, 2, H, W]` made from the features `hidden` `[N, width4, H/4, W/4]` of `luma` `[N, 1, H,
        W]`; `half`: its features at 1/2, `carried`: what was matched there, `doubtful` `[N, 1, H/8, W/8]`: where it is
        not made, None for nowhere."""
        before = F.avg_pool2d(chroma, 2)
        refined, nearness = carried.split([2, 1], 1)
        given = torch.cat([4 * (refined - before), nearness, 4 * before], 1).to(hidden.dtype)
        x = self.blocks(self.mix(torch.cat([given, half, F.pixel_shuffle(self.up_hidden(hidden), 2)], 1)))
        trust, delta = wide(self.head(x)).split([1, 2], 1)
        change = torch.tanh(trust) * (refined - before) + delta
        if doubtful is not None:
            change = change * (1 - twice(twice(doubtful)))
        return chroma + self.lift(change, x, luma)
