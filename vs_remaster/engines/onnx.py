"""The networks in ONNX Runtime, on a CPU, with CUDA or with TensorRT.

Graphs are exported from the loaded network on first use and kept, see `sessions`. What the graphs leave out is done
here by PyTorch: filling windows up at scene ends, joining references, and the blending of blocks and the colour
conversions of DeepRemaster, whose own code is given the graphs to run in place of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..models.attention import Known, Memory, join, places
from ..models.colorizer import ColorizerNet
from ..models.fill import AT_ONCE, Fill
from ..models.layers import Halo, pad_to_multiple
from ..models.network import ComparableReferences, EncodedReferences, Network
from ..models.papers.deepremaster import DeepColorizer, DeepMemory, DeepRestorer
from ..models.restorer import Place, RestorerNet
from ..models.sharpener import SharpenerNet
from .ort import runtime
from .providers import binds_on_gpu, check_provider, usable_tensorrt
from .sessions import Session, graph_folder, load_graphs


@dataclass(frozen=True)
class BoundMemory:
    """Encoded references on the device: the graphs' inputs by name, how many references they are, and what some of
    them are made from."""

    inputs: dict[str, Any]
    references: int
    whole: EncodedReferences
    bind: Callable[[Any], BoundMemory]

    def to(self, device: torch.device | str) -> BoundMemory:
        """Itself: it stays where the graphs run."""
        return self

    def likeness(self, described: Tensor) -> Tensor:
        """See `Memory.likeness`."""
        assert isinstance(self.whole, ComparableReferences)
        return self.whole.likeness(described)

    def plus(self, more: BoundMemory) -> BoundMemory:
        """See `ComparableReferences.plus`."""
        assert isinstance(self.whole, ComparableReferences) and isinstance(more.whole, ComparableReferences)
        return self.bind(self.whole.plus(more.whole))

    def subset(self, chosen: Sequence[int], weights: Sequence[float]) -> BoundMemory:
        """Some of the references, see `Memory.subset`."""
        return self.bind(self.whole.subset(chosen, weights))


class _OnnxEngine[Net: Network]:
    """What all networks share: their sessions by name. Where PyTorch has the GPU too, pictures stay on it."""

    stays = False
    tells_places = looks = takes_parts = False

    def __init__(
        self, net: Net, device: str, precision: str, provider: str, files: dict[str, bytes] | None = None
    ) -> None:
        self.device, self.precision = device, precision
        self.home = device if self.stays and torch.cuda.is_available() and binds_on_gpu(provider) else "cpu"
        self.net = net.eval()
        # Every number of frames is another session, made in seconds or minutes: what cuts leave is filled up.
        self.least = 1 if provider == "cpu" else net.block
        name, files = graph_folder(net, precision).name, files or load_graphs(net, precision)
        self.sessions = {
            # every reference has its own size, and is encoded once
            part: Session(file, provider, device, f"{name}-{part}", self.home, provider != "cpu" and part != "encode")
            for part, file in files.items()
        }

    def restore(
        self, luma: Tensor, thumbs: Tensor, halo: Halo, place: Place | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine.restore`."""
        raise NotImplementedError

    def sharpen(self, luma: Tensor, figures: Tensor, halo: Halo, scale: int) -> Tensor:
        """See `Engine.sharpen`."""
        raise NotImplementedError

    def encode(
        self, pictures: Iterable[tuple[Tensor, Tensor]], known: Sequence[Known | None] | None = None
    ) -> BoundMemory:
        """See `Engine.encode`."""
        raise NotImplementedError

    def describe(self, luma: Tensor) -> Tensor:
        """See `Engine.describe`."""
        raise NotImplementedError

    def match_map(self, luma: Tensor, memory: EncodedReferences) -> tuple[Tensor, Tensor]:
        """See `Engine.match_map`."""
        raise NotImplementedError

    def colorize(self, luma: Tensor, memory: EncodedReferences, halo: Halo) -> tuple[Tensor, Tensor]:
        """See `Engine.colorize`."""
        raise NotImplementedError

    def look(self, luma: Tensor, memory: EncodedReferences) -> Any:
        """See `Engine.look`."""
        raise NotImplementedError

    def render(
        self, luma: Tensor, looks: Sequence[Any], memory: EncodedReferences, halo: Halo
    ) -> tuple[Tensor, Tensor]:
        """See `Engine.render`."""
        raise NotImplementedError

    def fill(self, count: int, halo: Halo) -> tuple[Tensor, Tensor]:
        """A window whose halo is as long as the network looks: which of the `count` frames that there are stand in it,
        and the first and last place of those that are no filling."""
        first, kept = self.net.before - halo.before, max(count - sum(halo), self.least)
        window = self.net.before + kept + self.net.after
        frames = (torch.arange(window) - first).clamp(0, count - 1)
        return frames, torch.tensor([max(first, 0), min(first + count, window) - 1])


class _RestorerEngine(_OnnxEngine[RestorerNet]):
    stays = True

    @torch.inference_mode()
    def restore(
        self, luma: Tensor, thumbs: Tensor, halo: Halo, place: Place | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine.restore`."""
        height, width = luma.shape[-2:]
        top, left, lines, columns = place or Place(0, 0, height, width)
        frames, scene = self.fill(len(thumbs), halo)
        own, sees = halo.within(self.net.spatial_radius), self.net.spatial_radius
        if len(luma) == len(thumbs):
            luma = luma[halo.before - own.before : len(luma) - (halo.after - own.after)]
        seen = frames[self.net.before - sees : len(frames) - (self.net.after - sees)] - (halo.before - own.before)
        padded = pad_to_multiple(luma.float(), self.net.multiple_of)
        inputs = {
            "luma": padded[seen.clamp_max(len(luma) - 1)],
            "thumbs": thumbs.float()[frames],
            "lines": _positions(top, height, padded.shape[-2], lines),
            "columns": _positions(left, width, padded.shape[-1], columns),
            "scene": scene,
        }
        out, kept = self.sessions["restore"].run(inputs), len(luma) - sum(own)
        restored, mask, toned = (out[name][:kept, :, :height, :width] for name in ("restored", "mask", "toned"))
        return restored, mask, toned


def _positions(first: int, count: int, padded: int, whole: int) -> Tensor:
    """Where lines or columns lie in the whole frame, 0..1; padding repeats the last one."""
    return (first + torch.arange(padded).clamp_max(count - 1) + 0.5).float() / whole


class _SharpenerEngine(_OnnxEngine[SharpenerNet]):
    stays = True

    @torch.inference_mode()
    def sharpen(self, luma: Tensor, figures: Tensor, halo: Halo, scale: int) -> Tensor:
        """See `Engine.sharpen`."""
        height, width = luma.shape[-2:]
        frames, scene = self.fill(len(luma), halo)
        padded = pad_to_multiple(luma.float(), self.net.multiple_of)
        inputs = {"luma": padded[frames], "figures": figures.float()[frames], "scene": scene}
        change = self.sessions["sharpen" if scale == 1 else "enlarge"].run(inputs)["change"]
        return change[: len(luma) - sum(halo), :, : scale * height, : scale * width]


class OnnxFill:
    """`Fill` in ONNX Runtime.

    Args:
        device: `cpu`, `cuda` or `cuda:n`.
        files: its exported graphs by name; None: those in the cache, or made now.

    Raises:
        UnsupportedError: a package or a library is missing.
    """

    def __init__(self, device: str, files: dict[str, bytes] | None = None) -> None:
        net = Fill()
        home = device if torch.cuda.is_available() else "cpu"
        name, files = graph_folder(net, "fp32").name, files or load_graphs(net, "fp32")
        provider = device.partition(":")[0]
        self._motion, self._fill = (
            Session(files[part], provider, device, f"{name}-{part}", home, planned=False) for part in ("motion", "fill")
        )

    @torch.inference_mode()
    def __call__(self, luma: Tensor, sound: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """See `Fill.forward`."""
        seen = self._motion.run({"luma": luma, "sound": sound})
        made = [self._fill.run({**seen, "cells": some}) for some in cells.split(AT_ONCE)]
        found, known = (torch.cat([part[name] for part in made]) for name in ("found", "known"))
        return found, known


class _ColorizerEngine(_OnnxEngine[ColorizerNet]):
    stays = True

    looks = True

    @torch.inference_mode()
    def encode(
        self, pictures: Iterable[tuple[Tensor, Tensor]], known: Sequence[Known | None] | None = None
    ) -> BoundMemory:
        """See `Engine.encode`."""
        memories = []
        for luma, chroma in pictures:
            made: dict[str, Any] = self._encoded(luma, chroma)
            place = places(luma.shape[-2] // 8, luma.shape[-1] // 8, luma.device)
            owner = torch.zeros(len(place), dtype=torch.int64)
            memories.append(
                Memory(**made, place=place, owner=owner, counts=[len(place)], areas=[len(made["overview"])])
            )
        return self._bind(join(memories))

    def _bind(self, memory: Memory) -> BoundMemory:
        most = max(memory.areas)
        # A reference of fewer areas than another repeats its last one: the most similar one is sought, not a sum.
        overviews = [x[torch.arange(most).clamp_max(len(x) - 1)] for x in memory.overview.split(memory.areas)]
        values = memory._asdict() | {
            "owner": F.one_hot(memory.owner, len(memory.counts)).float(),
            "overview": torch.stack(overviews),
            "gains": torch.zeros(len(memory.counts)) if memory.gains is None else memory.gains,
        }
        inputs = {name: self.sessions["look"].keep(x) for name, x in values.items() if isinstance(x, Tensor)}
        return BoundMemory(inputs, len(memory.counts), memory, self._bind)

    @torch.inference_mode()
    def describe(self, luma: Tensor) -> Tensor:
        """See `Engine.describe`."""
        frames = [self._encoded(frame, frame.new_zeros(1, 2, *frame.shape[-2:])) for frame in luma.float().split(1)]
        return torch.stack([made["overview"] for made in frames])

    def _encoded(self, luma: Tensor, chroma: Tensor) -> dict[str, Tensor]:
        return self.sessions["encode"].run({"luma": luma.float(), "chroma": chroma.float()})

    @torch.inference_mode()
    def colorize(self, luma: Tensor, memory: EncodedReferences, halo: Halo) -> tuple[Tensor, Tensor]:
        """See `Engine.colorize`."""
        return self.render(luma, self.look(luma, memory), memory, halo)

    @torch.inference_mode()
    def look(self, luma: Tensor, memory: EncodedReferences) -> list[dict[str, Tensor]]:
        """See `Engine.look`: by name what the graph makes of each frame."""
        assert isinstance(memory, BoundMemory)
        return [self.sessions["look"].run({"luma": frame, **memory.inputs}) for frame in luma.float().split(1)]

    @torch.inference_mode()
    def render(
        self, luma: Tensor, looks: Sequence[dict[str, Tensor]], memory: EncodedReferences, halo: Halo
    ) -> tuple[Tensor, Tensor]:
        """See `Engine.render`."""
        frames, scene = self.fill(len(luma), halo)
        window = [looks[number] for number in frames.tolist()]
        planes = {name: torch.cat([look[name] for look in window]) for name in window[0] if name != "shares"}
        out = self.sessions["decode"].run({"luma": luma.float()[frames], **planes, "scene": scene})
        kept = halo.kept(len(looks))
        return out["chroma"][: len(looks[kept])], torch.cat([look["shares"] for look in looks[kept]])


class _DeepRestorerEngine(_OnnxEngine[DeepRestorer]):
    @torch.inference_mode()
    def restore(
        self, luma: Tensor, thumbs: Tensor, halo: Halo, place: Place | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine.restore`."""
        out = self.net.restored(luma[None].float(), halo, self._predict)
        return out.luma[0], out.mask[0], out.toned[0]

    def _predict(self, light: Tensor) -> Tensor:
        return self.sessions["restore"].run({"light": light})["restored"]


class _DeepColorizerEngine(_OnnxEngine[DeepColorizer]):
    @torch.inference_mode()
    def encode(
        self, pictures: Iterable[tuple[Tensor, Tensor]], known: Sequence[Known | None] | None = None
    ) -> BoundMemory:
        """See `Engine.encode`."""
        pictures = list(pictures)
        memory = self.net.encoded(pictures, self._encode)
        if not pictures:  # one position that all attention goes to and that adds nothing
            memory = DeepMemory(*(x.new_zeros(1, x.shape[1] + i % 2) for i, x in enumerate(memory)))
        return self._bind(memory, len(pictures))

    def _bind(self, memory: DeepMemory, count: int | None = None) -> BoundMemory:
        keep = self.sessions["look"].keep
        count = memory.values8.shape[1] - 8 * memory.keys8.shape[1] if count is None else count
        return BoundMemory({name: keep(x) for name, x in memory._asdict().items()}, count, memory, self._bind)

    @torch.inference_mode()
    def colorize(self, luma: Tensor, memory: EncodedReferences, halo: Halo) -> tuple[Tensor, Tensor]:
        """See `Engine.colorize`."""
        assert isinstance(memory, BoundMemory)
        out = self.net.colored(luma[None].float(), [memory], halo, self._look, self._decode)
        return out.chroma[0], out.shares[0]

    def _encode(self, rgb: Tensor, number: int, count: int) -> DeepMemory:
        made = self.sessions["encode"].run({"rgb": rgb})

        def owned(values: Tensor) -> Tensor:
            owner = F.one_hot(torch.full((len(values),), number), count)
            return torch.cat([values, owner.to(values.dtype)], 1)

        return DeepMemory(*(owned(x) if "values" in name else x for name, x in made.items()))

    def _look(self, light: Tensor, memories: list[BoundMemory]) -> tuple[Tensor, Tensor, list[Tensor]]:
        (memory,) = memories
        made = self.sessions["look"].run({"light": light, **memory.inputs})
        return made["flat"], made["deep"], [made["shares"][:, : memory.references]]

    def _decode(self, flat: Tensor, deep: Tensor, batch: int) -> Tensor:
        return self.sessions["decode"].run({"flat": flat, "deep": deep})["ab"][None]


_ENGINES: dict[type[Network], type[_OnnxEngine]] = {
    RestorerNet: _RestorerEngine,
    SharpenerNet: _SharpenerEngine,
    ColorizerNet: _ColorizerEngine,
    DeepRestorer: _DeepRestorerEngine,
    DeepColorizer: _DeepColorizerEngine,
}


def onnx_engine(
    net: Network, device: str, precision: str, provider: str, files: dict[str, bytes] | None = None
) -> _OnnxEngine:
    """An engine that runs `net` in ONNX Runtime.

    Args:
        net: a loaded network; it becomes the engine's.
        device: `cpu`, `cuda` or `cuda:n`.
        precision: `fp32` or `fp16`.
        provider: `cpu`, `cuda` or `tensorrt`.
        files: its exported graphs by name; None: those in the cache, or made now.

    Raises:
        InputError: another precision. UnsupportedError: a package or a library is missing (the message says how to get
            it), or the network cannot be exported.
    """
    if precision not in ("fp32", "fp16"):
        raise InputError(f"engine 'onnxruntime' computes in fp32 or fp16, not in {precision!r}")
    runtime()
    number = int(device.partition(":")[2] or 0)
    if provider == "cuda":
        check_provider(provider, number)
    elif provider == "tensorrt":
        provider = usable_tensorrt(number)
    make = next((make for kind, make in _ENGINES.items() if isinstance(net, kind)), _OnnxEngine)
    return make(net, device, precision, provider, files)
