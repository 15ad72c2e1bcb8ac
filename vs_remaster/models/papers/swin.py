"""A Swin transformer on one picture: attention inside windows of 8 x 8 positions, every second block with the windows
shifted by half.

Source: Liu et al., Swin Transformer, ICCV 2021, in the residual groups of Liang et al., SwinIR, ICCVW 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WINDOW = 8  # positions, each way
_PARTS = (slice(0, -1), slice(-1, None))  # the windows before the last of a row or column, and the last


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows, with a learned bias for every relative position."""

    place: Tensor
    halves: Tensor

    def __init__(self, width: int, heads: int, shifted: bool) -> None:
        super().__init__()
        self.heads = heads
        self.shifted = shifted
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(nn.init.trunc_normal_(torch.empty((2 * WINDOW - 1) ** 2, heads), std=0.02))
        line, column = (x.flatten() for x in torch.meshgrid(*(2 * [torch.arange(WINDOW)]), indexing="ij"))
        down, across = (x[:, None] - x + WINDOW - 1 for x in (line, column))
        self.register_buffer("place", (2 * WINDOW - 1) * down + across, persistent=False)
        halves = [x[:, None] // (WINDOW // 2) != x // (WINDOW // 2) for x in (line, column)]
        self.register_buffer("halves", torch.stack(halves), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`x` `[N, H, W, C]`, sizes multiples of 8."""
        count, height, width, channels = x.shape
        rows, columns = height // WINDOW, width // WINDOW
        if self.shifted:
            x = x.roll((-WINDOW // 2, -WINDOW // 2), (1, 2))
        qkv = self.qkv(x).view(count, rows, WINDOW, columns, WINDOW, 3, self.heads, channels // self.heads)
        qkv = qkv.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6)  # [3, N, rows, columns, heads, 64, C / heads]
        bias = self.bias[self.place].permute(2, 0, 1)
        if self.shifted:
            # What rolled round to the other side of the picture shares the last windows, and must not be seen there.
            found = torch.cat([torch.cat([self._edge(qkv, bias, i, j) for j in (0, 1)], 2) for i in (0, 1)], 1)
        else:
            found = _attend(qkv, bias)
        found = found.unflatten(4, (WINDOW, WINDOW)).permute(0, 1, 4, 2, 5, 3, 6)
        x = self.out(found.reshape(count, height, width, channels))
        return x.roll((WINDOW // 2, WINDOW // 2), (1, 2)) if self.shifted else x

    def _edge(self, qkv: Tensor, bias: Tensor, bottom: int, right: int) -> Tensor:
        """Attention in all windows but the last (0) or in the last (1), down and across."""
        for last, apart in zip((bottom, right), self.halves):
            bias = bias.masked_fill(apart, float("-inf")) if last else bias
        return _attend(qkv[:, :, _PARTS[bottom], _PARTS[right]], bias)


def _attend(qkv: Tensor, bias: Tensor) -> Tensor:
    """`[3, N, rows, columns, heads, 64, d]` to `[N, rows, columns, heads, 64, d]`; the softmax is in float32 whatever
    the type."""
    query, key, value = qkv.flatten(1, 3)
    return F.scaled_dot_product_attention(query, key, value, bias[None].to(query.dtype)).view(qkv.shape[1:])


class SwinBlock(nn.Module):
    """Window attention and a two-layer perceptron, each with its norm and skip."""

    def __init__(self, width: int, heads: int, expansion: int, shifted: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads, shifted)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class SwinGroup(nn.Module):
    """Blocks, every second one shifted, a 3x3 convolution, and a skip over all; `[N, H, W, C]`."""

    def __init__(self, width: int, heads: int, depth: int, expansion: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(SwinBlock(width, heads, expansion, i % 2 == 1) for i in range(depth)))
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + convolve(self.conv, self.blocks(x))


def convolve(conv: nn.Module, x: Tensor) -> Tensor:
    """A convolution on positions `[N, H, W, C]`; no view copies anything."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
