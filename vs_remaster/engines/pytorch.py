"""The reference engine: PyTorch on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from ..models import EncodedReferences
from ..models.layers import Halo
from ..models.restorer import Place
from . import PRECISIONS


class TorchEngine:
    """Runs a network eagerly; convolutions in `precision`, everything that decides colour and tone in float32."""

    def __init__(self, net: nn.Module, device: str, precision: str) -> None:
        self.device, self.precision = device, precision
        net = net.to(device).eval()
        if hasattr(net, "fuse"):
            net.fuse()
        self.net = lay_out(net)

    def _mode(self) -> AbstractContextManager:
        dtype = PRECISIONS[self.precision]
        return torch.autocast(self.device.split(":")[0], dtype, enabled=dtype != torch.float32)

    @torch.inference_mode()
    def restore(
        self, luma: Tensor, thumbs: Tensor, halo: Halo, place: Place | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine.restore`."""
        with self._mode():
            out = self.net(luma[None].to(self.device), thumbs[None].to(self.device), halo, place)
        return out.luma[0].cpu(), out.mask[0].cpu(), out.toned[0].cpu()

    @torch.inference_mode()
    def encode(self, pictures: Iterable[tuple[Tensor, Tensor]]) -> EncodedReferences:
        """See `Engine.encode`."""
        with self._mode():
            return self.net.encode_all((luma.to(self.device), chroma.to(self.device)) for luma, chroma in pictures)

    @torch.inference_mode()
    def colorize(self, luma: Tensor, memory: EncodedReferences, halo: Halo) -> tuple[Tensor, Tensor]:
        """See `Engine.colorize`."""
        with self._mode():
            out = self.net(luma[None].to(self.device), [memory.to(self.device)], halo)
        return out.chroma[0].cpu(), out.shares[0].cpu()


def lay_out(net: nn.Module) -> nn.Module:
    """Lay the kernels of all convolutions out for channels_last; `Module.to` cannot where some are 3-D."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for kernel in net.parameters():
        if kernel.ndim in formats:
            kernel.data = kernel.data.contiguous(memory_format=formats[kernel.ndim])
    return net
