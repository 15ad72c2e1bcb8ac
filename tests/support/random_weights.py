"""Random weights for networks whose output is compared with published code."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Weights drawn in the order of their names, every statistic and gamma included, so they do not depend on how a
    layer starts."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name in sorted(shapes):
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(1)
            continue
        x = torch.randn(shapes[name], generator=generator)
        if name.endswith("gamma"):
            x = 0.5 + 0.1 * x
        elif name.endswith("running_var"):
            x = 1 + 0.3 * x.abs()
        elif name.endswith("bias_table"):
            x = 0.5 * x
        elif name.endswith(("running_mean", "bias")):
            x = 0.1 * x
        elif x.ndim == 1:
            x = 1 + 0.1 * x
        else:
            x = x * (1.5 / x[0].numel()) ** 0.5
        state[name] = x
    return state
