"""Names that PyTorch keeps to itself and that we need: whoever moves to another version looks here.

The functions import what they need when they are called: the compiler alone takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch._dynamo.exc import BackendCompilerFailed


def has_fast_bf16() -> bool:
    """Whether this CPU computes in bfloat16; where it does not, bfloat16 is slower than float32. The public
    `torch.cpu.get_capabilities` is not in every version of PyTorch that we run with."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def compiler_error() -> type[BackendCompilerFailed]:
    """What PyTorch's compiler raises where it has no C++ compiler or no Triton; no public name holds it.

    Its `inner_exception` says why.
    """
    from torch._dynamo.exc import BackendCompilerFailed

    return BackendCompilerFailed


def map_tensors(change: Callable[[Tensor], Tensor], nested: Any) -> Any:
    """`nested` tuples, lists and named tuples with all their tensors changed, which no public name of PyTorch does."""
    from torch.utils._pytree import tree_map_only

    return tree_map_only(Tensor, change, nested)
