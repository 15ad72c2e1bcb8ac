"""The reference engine: PyTorch on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UnsupportedError
from ..models.attention import Known, Memory
from ..models.colorizer import ColorizerNet, Look, apart, together
from ..models.layers import Halo, in_large_steps, wide
from ..models.network import ColorizerNetwork, EncodedReferences, Network
from ..models.restorer import Place, RestorerNet
from ..models.sharpener import SharpenerNet
from ..system.torch_private import compiler_error, map_tensors
from .engine import PRECISIONS
from .replay import Capture, CudaCapture, Replays


class TorchEngine:
    """Runs a network; convolutions in `precision`, everything that decides colour and tone in float32.

    Args:
        net: a loaded network; it becomes the engine's.
        device: what `choose_device` gives. On `xpu` and `mps` pictures come out in this machine's memory.
        precision: `fp32`, `bf16` or `fp16`.
        compiled: compile it for every size and length of window that comes (on a GPU replayed as CUDA graphs), which
            takes a minute or so each and pays where many frames of one size follow; else operation by operation.
        capture: how blocks are recorded to be replayed, see `Replays`; None: on `cuda` as CUDA graphs, elsewhere not at
            all. Those of the papers' networks, and what is compiled, are not.
    """

    tells_places = takes_parts = True

    def __init__(
        self, net: Network, device: str, precision: str, compiled: bool = False, capture: Capture | None = None
    ) -> None:
        self.device = device
        self.home = "cpu" if device.startswith(("xpu", "mps")) else device  # `Transfer` has streams of CUDA's
        self.precision, self.compiled = precision, compiled
        net = net.to(device).eval()
        net.fuse()
        if precision != "fp32":
            cast_once(net, PRECISIONS[precision])
        self.net = lay_out(net)
        self.looks = isinstance(net, ColorizerNet) and not compiled
        capture = CudaCapture(device) if capture is None and device.startswith("cuda") else capture
        repeats = isinstance(net, (RestorerNet, SharpenerNet, ColorizerNet)) and not compiled
        self._replays = Replays(capture) if capture and repeats else None
        self._run = _compile(self.net, graphs=device.startswith("cuda")) if compiled else self.net

    @property
    def _colorizer(self) -> ColorizerNetwork:
        assert isinstance(self.net, ColorizerNetwork)  # whoever colours has one
        return self.net

    def _mode(self) -> AbstractContextManager:
        dtype = PRECISIONS[self.precision]
        return torch.autocast(self.device.split(":")[0], dtype, enabled=dtype != torch.float32)

    @torch.inference_mode()
    def restore(
        self, luma: Tensor, thumbs: Tensor, halo: Halo, place: Place | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine.restore`."""

        def run(luma: Tensor, thumbs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            with self._mode():
                out = self._run(luma[None], thumbs[None], halo, place)
            return out.luma[0], out.mask[0], out.toned[0]

        made = self._repeated(("restore", halo, place), run, [luma, thumbs])
        restored, mask, toned = (x.to(self.home) for x in made)
        return restored, mask, toned

    @torch.inference_mode()
    def sharpen(self, luma: Tensor, figures: Tensor, halo: Halo, scale: int) -> Tensor:
        """See `Engine.sharpen`."""

        def run(luma: Tensor, figures: Tensor) -> Tensor:
            with self._mode():
                return self._run(luma[None], figures[None], halo, scale).change[0]

        return self._repeated(("sharpen", halo, scale), run, [luma, figures]).to(self.home)

    @torch.inference_mode()
    def encode(
        self, pictures: Iterable[tuple[Tensor, Tensor]], known: Sequence[Known | None] | None = None
    ) -> EncodedReferences:
        """See `Engine.encode`."""
        with self._mode():
            there = ((luma.to(self.device), chroma.to(self.device)) for luma, chroma in pictures)
            made = self._colorizer.encode_all(there)
        if known is None:
            return made
        assert isinstance(made, Memory)  # that of a network that weighs references
        return made.showing(known)

    @torch.inference_mode()
    def describe(self, luma: Tensor) -> Tensor:
        """See `Engine.describe`."""
        with self._mode():
            return self._colorizer.describe(luma.to(self.device))

    @torch.inference_mode()
    def match_map(self, luma: Tensor, memory: EncodedReferences) -> tuple[Tensor, Tensor]:
        """See `Engine.match_map`."""
        with self._mode():
            shares, similarity = self._colorizer.match_map(luma.to(self.device), memory.to(self.device))
        return shares.to(self.home), similarity.to(self.home)

    @torch.inference_mode()
    def colorize(self, luma: Tensor, memory: EncodedReferences, halo: Halo) -> tuple[Tensor, Tensor]:
        """See `Engine.colorize`."""
        if self.looks:  # a frame is the same whether or not it has been looked at before
            return self.render(luma, self.look(luma, memory), memory, halo)
        with self._mode():
            out = self._run(luma[None].to(self.device), [memory.to(self.device)], halo)
        return out.chroma[0].to(self.home), out.shares[0].to(self.home)

    @torch.inference_mode()
    def look(self, luma: Tensor, memory: EncodedReferences) -> list[Look]:
        """See `Engine.look`."""
        net = self.net
        assert isinstance(net, ColorizerNet) and isinstance(memory, Memory)
        luma, there = luma.to(self.device), memory.to(self.device)
        large = in_large_steps(luma.device)
        known = there if large else _widened(there)  # once for all frames

        def run(part: Tensor) -> Look:
            with self._mode():
                return net.look(part[None], [_widened(known)])

        parts = [luma] if large else luma.split(1)
        return [look for part in parts for look in apart(self._repeated("look", run, [part], _tensors(there)))]

    @torch.inference_mode()
    def render(
        self, luma: Tensor, looks: Sequence[Look], memory: EncodedReferences, halo: Halo
    ) -> tuple[Tensor, Tensor]:
        """See `Engine.render`."""
        net = self.net
        assert isinstance(net, ColorizerNet) and isinstance(memory, Memory)
        whole, there = together(looks), memory.to(self.device)
        names = [name for name, x in whole._asdict().items() if isinstance(x, Tensor)]

        def run(luma: Tensor, shares: Tensor, *planes: Tensor) -> tuple[Tensor, Tensor]:
            given = whole._replace(shares=[shares], **dict(zip(names, planes, strict=True)))
            with self._mode():
                out = net.render(luma[None], given, [there], halo)
            return out.chroma[0], out.shares[0]

        inputs = [luma, whole.shares[0], *(getattr(whole, name) for name in names)]
        chroma, shares = self._repeated(("render", halo, *names), run, inputs, _tensors(there))
        return chroma.to(self.home), shares.to(self.home)

    def _repeated(
        self, kind: Hashable, run: Callable[..., Any], inputs: Sequence[Tensor], held: Sequence[Tensor] = ()
    ) -> Any:
        """See `Replays`."""
        there = [x.to(self.device) for x in inputs]
        return run(*there) if self._replays is None else self._replays(kind, run, there, held)


def _widened(memory: Memory) -> Memory:
    """References whose pictures are kept in half precision, in full."""
    return memory if memory.pictures is None else memory._replace(pictures=wide(memory.pictures))


def _tensors(memory: Memory) -> list[Tensor]:
    """All tensors in it, which tell it from others."""
    return [*(x for x in memory if isinstance(x, Tensor)), *memory.clear]


def _compile(net: Network, graphs: bool) -> Any:
    """`net` as PyTorch's compiler makes it; with `graphs`, what comes out is copied from memory that the next run
    writes to."""
    compiled = torch.compile(net, dynamic=False, mode="reduce-overhead" if graphs else None)

    def run(*inputs: Any) -> Any:
        if graphs:
            torch.compiler.cudagraph_mark_step_begin()
        try:
            made = compiled(*inputs)
        except compiler_error() as error:
            why = str(error.inner_exception).strip().splitlines()[0]
            raise UnsupportedError(
                f"engine 'compile' cannot compile this network here ({why}): install a C++ compiler (g++ or clang; on "
                "a GPU also the package triton), or use engine torch"
            ) from error
        return map_tensors(torch.clone, made) if graphs else made

    return run


def cast_once(net: Network, dtype: torch.dtype) -> None:
    """Bring the weights that autocast would cast in every block to `dtype`; what comes out is the same."""
    if net.exact is None:
        return
    exact = {layer for name in net.exact if (part := getattr(net, name)) is not None for layer in part.modules()}
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer not in exact:
            layer.to(dtype)


def lay_out(net: Network) -> Network:
    """Lay the kernels of all convolutions out for channels_last; `Module.to` cannot where some are 3-D."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for kernel in net.parameters():
        if kernel.ndim in formats:
            kernel.data = kernel.data.contiguous(memory_format=formats[kernel.ndim])
    return net
