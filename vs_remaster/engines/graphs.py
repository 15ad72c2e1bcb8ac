"""The networks as ONNX graphs: what is exported of each, and how.

A graph has no loops and no branches. What the torch path does piece by piece is therefore several graphs, run as often
as needed by the engine: a reference is encoded on its own, a frame is matched on its own, and what mixes frames sees
the whole window. The window's halo never gets shorter: at a scene's end other frames fill it up, and `scene` says
between which two frames the scene lies. Only operations of ONNX itself; inputs and outputs float32 except planes that
go from one graph of a half-precision network to the next.
"""

from __future__ import annotations

import copy
import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError, UnsupportedError
from ..models import config_json, info, network_name
from ..models.attention import fine_match
from ..models.colorizer import ColorizerNet, Look
from ..models.evenness import doubt, even
from ..models.fill import CELL, FINE, RADIUS, Fill, Seen
from ..models.layers import Edges, Halo, rows, wide
from ..models.network import Network
from ..models.papers.deepremaster import FRAMES, MEAN_RGB, DeepColorizer, DeepMemory, DeepRestorer
from ..models.registration import register
from ..models.restorer import THUMBNAIL, Lines, RestorerNet
from ..models.sharpener import FIGURES, SCALES, SharpenerNet, enlarged, softness
from ..version import __version__
from .ort import graph_package

OPSET = 18  # what ONNX Runtime 1.14 and TensorRT 8.6 read; none of the operators needs more
_ROWS = ("keys", "values", "fine_keys", "fine_chroma", "half_keys", "half_chroma", "place", "owner", "gains")
LISTS = dict.fromkeys((*_ROWS, *DeepMemory._fields), 0) | {"overview": 1, "pictures": 1}
"""Which dimension of an input grows with the references."""
_CHUNKS = 4  # parts of a frame's queries: the graph holds a quarter of its scores at once


@dataclass(frozen=True)
class Graph:
    """One graph of a network.

    Attributes:
        module: what is exported.
        inputs: by name, an example of each; sizes that may change are in `dims`.
        outputs: names.
        dims: for inputs and outputs, the names of the dimensions that may change, by their number.
        about: for whoever runs it without this package: what goes in and comes out, and what is not in it.
        facts: what holds for this graph beside, or in place of, the facts about its network.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    dims: dict[str, dict[int, str]]
    about: str = ""
    facts: dict[str, str] = field(default_factory=dict)


class _Part[Net: Network](nn.Module):
    """Part of a network in its precision: convolutions in half precision, what decides colour and tone in float32."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.half_precision = any(p.dtype == torch.float16 for p in net.parameters())

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.float16, enabled=self.half_precision, cache_enabled=False):
            return self.make(*inputs)

    def make(self, *inputs: Any, **none: Any) -> Tensor | tuple[Tensor, ...]:
        """What the graph makes of its inputs, each of which has a name."""
        raise NotImplementedError


class _Restore(_Part[RestorerNet]):
    def make(self, luma: Tensor, thumbs: Tensor, lines: Tensor, columns: Tensor, scene: Tensor) -> tuple[Tensor, ...]:
        edges, halo = Edges(thumbs.shape[0], scene[0], scene[1]), Halo(self.net.before, self.net.after)
        out = self.net(luma[None], thumbs[None], halo, Lines(lines, columns), edges)
        return out.luma[0], out.mask[0], out.toned[0]


class _Sharpen(_Part[SharpenerNet]):
    """What a sharpener adds, at one scale."""

    def __init__(self, net: SharpenerNet, scale: int) -> None:
        super().__init__(net)
        self.scale = scale

    def make(self, luma: Tensor, figures: Tensor, scene: Tensor) -> Tensor:
        edges, halo = Edges(luma.shape[0], scene[0], scene[1]), Halo(self.net.before, self.net.after)
        return self.net(luma[None], figures[None], halo, self.scale, edges).change[0]


class _Softness(nn.Module):
    def forward(self, luma: Tensor) -> Tensor:
        return softness(luma[None])[0]


class _RestoreChannels(_Part[RestorerNet]):
    """The middle one of a window's frames, of any size, given as channels; also sharpened, at one scale, which takes
    the restored frames beside it."""

    def __init__(self, net: RestorerNet, sharpener: SharpenerNet | None, scale: int) -> None:
        super().__init__(net)
        self.sharpener, self.scale = sharpener, scale

    def make(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        multiple = max(net.multiple_of for net in (self.net, self.sharpener) if net)
        luma = frames.transpose(0, 1)
        thumbs = _averaging(height, THUMBNAIL[0]) @ luma @ _averaging(width, THUMBNAIL[1]).t()
        y, x = (torch.arange((n + multiple - 1) // multiple * multiple).clamp_max(n - 1) for n in (height, width))
        lines = Lines((y + 0.5) / height, (x + 0.5) / width)
        luma = luma.index_select(2, y).index_select(3, x)
        restored = self.net(luma[None], thumbs[None], Halo(self.net.before, self.net.after), lines).luma[0]
        if not self.sharpener:
            return restored[..., :height, :width]
        halo, scale = Halo(self.sharpener.before, self.sharpener.after), self.scale
        figures = softness(restored[None, ..., :height, :width])
        padded = restored.index_select(2, y).index_select(3, x)
        change = self.sharpener(padded[None], figures, halo, scale).change[0]
        middle = restored[halo.kept(halo.before + 1 + halo.after), :, :height, :width]
        return (enlarged(middle) if scale > 1 else middle) + change[..., : scale * height, : scale * width]


def _averaging(length: int, count: int) -> Tensor:
    """`F.adaptive_avg_pool2d` along one side, as a matrix `[count, length]`: its bins overlap where they must."""
    at = torch.arange(length)
    edges = torch.arange(count + 1) * length / count
    inside = (at >= edges[:-1, None].floor()) & (at < edges[1:, None].ceil())
    return inside.float() / inside.float().sum(1, keepdim=True)


class _Motion(nn.Module):
    def forward(self, luma: Tensor, sound: Tensor) -> tuple[Tensor, ...]:
        return tuple(Fill().look(luma, sound))


class _Fill(nn.Module):
    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        *seen, cells = inputs
        return Fill().find(Seen(*seen), cells)


class _Encode(_Part[ColorizerNet]):
    def make(self, luma: Tensor, chroma: Tensor) -> tuple[Tensor, ...]:
        memory = self.net.encode(luma, chroma)
        keys = memory.keys.t().reshape(1, -1, luma.shape[2] // 8, luma.shape[3] // 8)
        more = [wide(x) for x in (memory.pictures, memory.half_keys, memory.half_chroma) if x is not None]
        return memory.keys, memory.values, memory.fine_keys, memory.fine_chroma, _overview(keys), *more


class _FrameFeatures(_Part[ColorizerNet]):
    """What `ColorizerNet.features` and `carry` make of one frame, and of what is matched at 1/2."""

    def make(
        self,
        luma: Tensor,
        keys: Tensor,
        values: Tensor,
        fine_keys: Tensor,
        fine_chroma: Tensor,
        place: Tensor,
        owner: Tensor,
        overview: Tensor,
        gains: Tensor,
        *more: Tensor,
    ) -> tuple[Tensor, ...]:
        net = self.net
        f = net.features(luma)
        height, width = f.keys.shape[-2:]
        with torch.autocast("cpu", enabled=False):
            alike = (_overview(f.keys) @ overview.transpose(1, 2)).amax(2).mean(1)
            scale = net.temperature * owner.sum().clamp_min(2).log()
            gained = owner @ gains
            offset = owner @ (scale * (net.likeness * (alike - alike.amax()) - 1)) + gained
            null = F.normalize(wide(net.null_keys), dim=1).t()
            parts = []
            for q in (scale * rows(f.keys)).reshape(_CHUNKS, -1, keys.shape[1]).unbind():
                score = q @ keys.t() + offset
                top, best = score.max(1)
                similarity = (top - gained[best]) / scale + 1
                real = torch.exp(score)
                none = torch.exp(q @ null + scale * (net.null_bias - 1))
                total = real.sum(1, keepdim=True) + none.sum(1, keepdim=True)
                value = (real @ values + none @ wide(net.null_values)) / total
                parts.append((value, real @ owner / total, similarity[:, None], best))
            value, shares, similarity, best = (torch.cat(x) for x in zip(*parts))
            carried = torch.cat([value, shares.sum(1, keepdim=True), similarity], 1)
            coarse = carried.view(1, height, width, -1).permute(0, 3, 1, 2)
            if net.config.local:
                found = place[best].view(1, height, width, 7)
                fine = fine_match(rows(f.fine_keys), found, fine_keys, fine_chroma, net.fine_scale, net.config.search)
                local = torch.cat([fine.chroma, fine.similarity], 2)
                local = local.view(1, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)
                assert fine.found is not None  # it is told where the best ones are
                pictures, *halves = more
                registered = [register(luma, fine.found, pictures)]
            else:
                local = torch.cat([coarse[:, :2], coarse[:, -1:]], 1)
                local = F.interpolate(local, scale_factor=2, mode="bilinear", align_corners=False)
                registered = []
        made = (f.coarse, f.fine, coarse, local, shares.mean(0, keepdim=True), *registered)
        if not net.detail:
            return made
        half_keys, half = net.detail.features(luma, f.fine)
        assert fine.found is not None
        return *made, half, net.detail.carry(half_keys, fine.found, *halves)


class _Decode(_Part[ColorizerNet]):
    """What `ColorizerNet.decode`, `convex` and `detail` make of a window."""

    def make(
        self,
        luma: Tensor,
        features8: Tensor,
        features4: Tensor,
        carried8: Tensor,
        carried4: Tensor,
        scene: Tensor,
        *more: Tensor,
    ) -> Tensor:
        net, halo = self.net, Halo(self.net.before, self.net.after)
        value, known, similarity = carried8.split([2 + net.config.value, 1, 1], 1)
        refined, nearness = carried4.split([2, 1], 1)
        look = Look(features8, features4, value, known, similarity, refined, nearness, [])
        edges = Edges(luma.shape[0], scene[0], scene[1])
        chroma4, hidden = net.decode(look, 1, halo, edges)
        kept = halo.kept(luma.shape[0])
        luma, similarity, known = (x[kept] for x in (luma, similarity, known))
        doubtful = doubt(similarity, known)
        chroma = net.convex(even(chroma4, luma, doubtful), hidden, luma)
        if not net.config.local:
            return chroma
        registered, *halves = (x[kept] for x in more)
        if net.detail:
            chroma = net.detail(chroma, hidden, luma, *halves, doubtful)
        return net.finer(chroma, registered, known, doubtful)


def _overview(keys: Tensor) -> Tensor:
    """`areas` of one picture, `[areas, D]`: a cell at the border is padded, which a unit vector does not show."""
    return F.normalize(rows(F.avg_pool2d(F.pad(keys, (0, 2, 0, 2)), 4)), dim=2)[0]


class _DeepRestore(_Part[DeepRestorer]):
    def make(self, light: Tensor) -> Tensor:
        return self.net.predict(light)


class _DeepEncode(_Part[DeepColorizer]):
    def make(self, rgb: Tensor) -> tuple[Tensor, ...]:
        features = self.net.reference(rgb - MEAN_RGB, 1)
        keys8, values8 = self.net.match8.memorize(features)
        keys16, values16 = self.net.match16.memorize(self.net.reference_deep(features, 1))
        return keys8, wide(values8), keys16, wide(values16)


class _DeepLook(_Part[DeepColorizer]):
    def make(self, light: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        flat, deep, (shares,) = self.net.look(light, [DeepMemory(*memory)])
        return wide(flat), wide(deep), wide(shares)


class _DeepDecode(_Part[DeepColorizer]):
    def make(self, flat: Tensor, deep: Tensor) -> Tensor:
        return self.net.decode(flat, deep, 1)[0]


_CLIP = {0: "frames", 2: "height", 3: "width"}
_AT2, _AT4, _AT8, _AT16 = ({0: "frames", 2: f"height/{n}", 3: f"width/{n}"} for n in (2, 4, 8, 16))


def graphs(net: Network | Fill, precision: str = "fp32") -> dict[str, Graph]:
    """The graphs of a network by name.

    Args:
        net: a loaded network, which is copied; or what fills large damage, which has no weights and fp32 only.
        precision: `fp32` or `fp16`.

    Raises:
        InputError: another precision. UnsupportedError: a network without graphs.
    """
    half = _half(precision)
    if isinstance(net, Fill):
        if half:
            raise InputError("filling computes in fp32 only, got precision 'fp16' of an ONNX graph; use fp32")
        return _fill()
    make = next((make for kind, make in _GRAPHS.items() if isinstance(net, kind)), None)
    if make is None:
        raise UnsupportedError(
            f"network {network_name(net)!r} has no ONNX graphs: those of RTN would hold a loop over the film, those of "
            "the automatic colorizer nobody has written; use engine torch"
        )
    return make(_prepared(net, half))


def channels(
    net: Network | Fill, precision: str = "fp32", sharpener: SharpenerNet | None = None, scale: int = 1
) -> dict[str, Graph]:
    """One graph from neighbouring frames as channels, `[1, before + 1 + after, H, W]`, H and W any, to the frame in the
    middle, restored, `[1, 1, scale * H, scale * W]`.

    Args:
        net: a loaded restorer of ours; it is copied.
        precision: `fp32` or `fp16`.
        sharpener: it is in the graph, too, and makes `before` and `after` longer by its own.
        scale: 1, or with a sharpener 2.

    Raises:
        InputError: another precision, network or scale.
    """
    half = _half(precision)
    if not isinstance(net, RestorerNet):
        raise InputError(f"only our restorer takes neighbouring frames as channels, not {graphs_name(net)!r}")
    if scale not in (SCALES if sharpener else SCALES[:1]):
        raise InputError(f"scale must be 1, or with a sharpener 2, got {scale}")
    graph = _channels(_prepared(net, half), sharpener and _prepared(sharpener, half), scale)
    return {f"channels-{scale}x" if scale > 1 else "channels": graph}


def _half(precision: str) -> bool:
    if precision not in ("fp32", "fp16"):
        raise InputError(f"unknown precision {precision!r} of an ONNX graph; use fp32 or fp16")
    return precision == "fp16"


def _prepared[Net: Network](net: Net, half: bool) -> Net:
    net = copy.deepcopy(net).cpu().float().eval().requires_grad_(False)
    net.fuse()
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            layer.to(torch.float16 if half and not name.startswith(("tone.", "far.", "due.")) else torch.float32)
    return net


def _channels(net: RestorerNet, sharpener: SharpenerNet | None, scale: int) -> Graph:
    before, after = (sum(ways) for ways in zip(*((x.before, x.after) for x in (net, sharpener) if x)))
    frames = torch.rand(1, before + 1 + after, 40, 56)
    dims = {"frames": {2: "height", 3: "width"}, "luma": _scaled({2: "height", 3: "width"}, scale)}
    made = f"restored, sharpened{' and twice as large' if scale > 1 else ''}" if sharpener else "restored"
    about = (
        f"frames: luma of {before} frames before, the frame itself, and {after} after it, 0..1, whole frames; where "
        f"the film begins or ends, the first or last one again. luma: the frame, {made}. Filling large damage from the "
        "frames beside it is not in this graph."
    )
    facts = {"before": str(before), "after": str(after), "scale": str(scale)}
    facts |= {"sharpener_sha256": fingerprint(sharpener)} if sharpener else {}
    return Graph(_RestoreChannels(net, sharpener, scale), {"frames": frames}, ("luma",), dims, about, facts)


def _scaled(dims: dict[int, str], scale: int) -> dict[int, str]:
    """Names of dimensions, of which height and width are so many times as large."""
    return {at: f"{scale}*{name}" if scale > 1 and name in ("height", "width") else name for at, name in dims.items()}


def _restorer(net: RestorerNet) -> dict[str, Graph]:
    count = net.before + 4 + net.after
    inputs = {
        "luma": torch.rand(net.spatial_radius + 4 + net.spatial_radius, 1, 48, 64),
        "thumbs": torch.rand(count, 1, *THUMBNAIL),
        "lines": torch.linspace(0, 1, 48),
        "columns": torch.linspace(0, 1, 64),
        "scene": torch.tensor([2, count - 3]),
    }
    outputs = ("restored", "mask", "toned")
    dims = {"luma": {**_CLIP, 0: "seen"}, "thumbs": {0: "frames"}, "lines": {0: "height"}, "columns": {0: "width"}}
    dims |= {name: {**_CLIP, 0: "kept"} for name in outputs}
    return {"restore": Graph(_Restore(net), inputs, outputs, dims)}


def _sharpener(net: SharpenerNet) -> dict[str, Graph]:
    count = net.before + 4 + net.after
    inputs = {
        "luma": torch.rand(count, 1, 48, 64),
        "figures": torch.rand(count, FIGURES),
        "scene": torch.tensor([1, count - 2]),
    }
    dims = {"luma": _CLIP, "figures": {0: "frames"}}
    parts = {}
    for name, scale in (("sharpen", 1), ("enlarge", 2)):
        about = (
            "luma: restored frames, 0..1, both sides multiples of 8 (repeat the last lines and columns). figures: what "
            "the graph softness makes of the whole frames, also where luma is a tile of them. scene: the first and "
            "last frame in luma that are of the scene; what stands beyond has no influence. change: to be added to "
            f"{'the frames' if scale == 1 else 'the frames at twice their size, bicubic with a = -0.5'}, for all but "
            f"the first {net.before} and the last {net.after}."
        )
        change = _scaled({**_CLIP, 0: "kept"}, scale)
        parts[name] = Graph(
            _Sharpen(net, scale), inputs, ("change",), dims | {"change": change}, about, {"scale": str(scale)}
        )
    about = (
        f"luma: restored frames, 0..1, whole and of any size. figures: {FIGURES} a frame, that tell the graphs sharpen "
        "and enlarge how soft it is."
    )
    luma = {"luma": torch.rand(2, 1, 50, 70)}
    parts["softness"] = Graph(_Softness(), luma, ("figures",), {"luma": _CLIP, "figures": {0: "frames"}}, about)
    return parts


def _fill() -> dict[str, Graph]:
    luma, sound = torch.rand(2 * RADIUS + 1, 1, 40, 56), torch.ones(2 * RADIUS + 1, 1, 40, 56)
    picture = {2: "height", 3: "width"}
    levels = {name: {1: f"height/{n}+2", 2: f"width/{n}+2"} for name, n in zip(Seen._fields, FINE)}
    moved = {name: {2: "height/8", 3: "width/8"} for name in ("down", "across")}
    about = (
        f"luma: the frame in the middle and {RADIUS} on each side of it, restored, 0..1, of any size. sound: 1 where a "
        "pixel is undamaged, else 0, as it is all over a frame that is not there or of another scene. What comes out "
        "is for the graph fill."
    )
    dims = {"luma": picture, "sound": picture, **levels, **moved}
    motion = Graph(_Motion(), {"luma": luma, "sound": sound}, Seen._fields, dims, about)
    seen = Fill().look(luma, sound)
    cells = torch.tensor([[0, 0], [0, CELL], [CELL, 0]])
    about = (
        f"All but cells: from the graph motion. cells: the first lines and columns of squares of {CELL} pixels, that "
        "may reach over the edges. found: the luma of each, as the frames beside it show it. known: 1, or 0 where none "
        "of them does."
    )
    dims = {**levels, **moved, "cells": {0: "cells"}, "found": {0: "cells"}, "known": {0: "cells"}}
    return {
        "motion": motion,
        "fill": Graph(_Fill(), {**seen._asdict(), "cells": cells}, ("found", "known"), dims, about),
    }


def _colorizer(net: ColorizerNet) -> dict[str, Graph]:
    height, width, count = 48, 64, net.before + 2 + net.after
    config, at8, at4, at2 = net.config, *((height // n, width // n) for n in (8, 4, 2))
    keys, fine, half = (lines * columns for lines, columns in (at8, at4, at2))
    picture = {2: "height", 3: "width"}
    pair = {"luma": torch.rand(1, 1, height, width), "chroma": torch.rand(1, 2, height, width) - 0.5}
    remembered = {
        "keys": torch.rand(keys, config.key),
        "values": torch.rand(keys, 2 + config.value),
        "fine_keys": torch.rand(fine, config.fine_key),
        "fine_chroma": torch.rand(fine, 2),
    }
    halves = {"half_keys": torch.rand(half, config.half_key), "half_chroma": torch.rand(half, 2)} if net.detail else {}
    whole = {"pictures": torch.rand(4, height, width)} if config.local else {}
    lists = {"keys": {0: "keys"}, "values": {0: "keys"}, "fine_keys": {0: "fine"}, "fine_chroma": {0: "fine"}}
    lists |= {name: {0: "half"} for name in halves}
    dims = {
        "luma": picture,
        "chroma": picture,
        **lists,
        "overview": {0: "areas"},
        "pictures": {1: "height", 2: "width"},
    }
    encode = Graph(_Encode(net), pair, (*remembered, "overview", *whole, *halves), dims)

    memory = {
        "luma": torch.rand(1, 1, height, width),
        **remembered,
        "place": torch.tensor([0, 0, 0, *at4, 0, 0]).expand(keys, 7).contiguous(),
        "owner": torch.ones(keys, 2) / 2,
        "overview": torch.rand(2, 4, config.key),
        "gains": torch.rand(2),
        **whole,
        **halves,
    }
    dims = {"luma": picture, **lists, "place": {0: "keys"}, "owner": {0: "keys", 1: "references"}}
    dims |= {"pictures": {1: "lines", 2: "columns"}}
    dims |= {"overview": {0: "references", 1: "areas"}, "gains": {0: "references"}, "shares": {1: "references"}}
    planes = dict(zip(("features8", "features4", "carried8", "carried4"), (_AT8, _AT4, _AT8, _AT4)))
    finer = dict.fromkeys(whole and ("registered",), _CLIP)
    finer |= dict.fromkeys(("features2", "carried2"), _AT2) if net.detail else {}
    one = {name: {k: v for k, v in axes.items() if k} for name, axes in (planes | finer).items()}
    look = Graph(_FrameFeatures(net), memory, (*planes, "shares", *finer), dims | one)

    of_convolutions = net.fine_in.weight.dtype
    window = {
        "luma": torch.rand(count, 1, height, width),
        "features8": torch.rand(count, config.width8, *at8).to(of_convolutions),
        "features4": torch.rand(count, config.width4, *at4).to(of_convolutions),
        "carried8": torch.rand(count, 4 + config.value, *at8),
        "carried4": torch.rand(count, 3, *at4),
        "scene": torch.tensor([1, count - 2]),
    }
    if config.local:
        window["registered"] = torch.rand(count, 3, height, width)
    if net.detail:
        window["features2"] = torch.rand(count, config.half, *at2).to(of_convolutions)
        window["carried2"] = torch.rand(count, 3, *at2)
    dims = {"luma": _CLIP, **planes, **finer, "chroma": {**_CLIP, 0: "kept"}}
    return {"encode": encode, "look": look, "decode": Graph(_Decode(net), window, ("chroma",), dims)}


def _deep_restorer(net: DeepRestorer) -> dict[str, Graph]:
    light = {"light": torch.rand(1, FRAMES, 1, 32, 48)}
    axes = {1: "frames", 3: "height", 4: "width"}
    return {"restore": Graph(_DeepRestore(net), light, ("restored",), {"light": axes, "restored": axes})}


def _deep_colorizer(net: DeepColorizer) -> dict[str, Graph]:
    names = DeepMemory._fields
    lists: dict[str, dict[int, str]] = {name: {0: name.replace("values", "keys")} for name in names}
    picture = {2: "height", 3: "width"}
    encode = Graph(_DeepEncode(net), {"rgb": torch.rand(1, 3, 64, 96)}, names, {"rgb": picture, **lists})
    light = torch.rand(FRAMES, 1, 64, 96)
    width, key = net.match8.value.out_features, net.match8.key.out_features
    sizes = ((96, key), (96, width + 2), (24, key), (24, width + 2))
    inputs = {"light": light, **{name: torch.rand(size) for name, size in zip(names, sizes)}}
    columns = {name: {**axes, **({1: "columns"} if "values" in name else {})} for name, axes in lists.items()}
    outputs = {"flat": _AT8, "deep": _AT16, "shares": {0: "frames", 1: "references"}}
    look = Graph(_DeepLook(net), inputs, tuple(outputs), {"light": _CLIP, **columns, **outputs})
    features = {"flat": torch.rand(FRAMES, width, 8, 12), "deep": torch.rand(FRAMES, width, 4, 6)}
    decode = Graph(_DeepDecode(net), features, ("ab",), {"flat": _AT8, "deep": _AT16, "ab": _CLIP})
    return {"encode": encode, "look": look, "decode": decode}


_GRAPHS: dict[type[Network], Callable[..., dict[str, Graph]]] = {
    RestorerNet: _restorer,
    SharpenerNet: _sharpener,
    ColorizerNet: _colorizer,
    DeepRestorer: _deep_restorer,
    DeepColorizer: _deep_colorizer,
}


def graphs_name(net: Network | Fill) -> str:
    """What the graphs of a network are known by: its name in the registry, or `fill`."""
    return "fill" if isinstance(net, Fill) else network_name(net)


def fingerprint(net: Network | Fill) -> str:
    """sha256 of a network: its name, its hyper-parameters and its weights, before they are fused or rounded."""
    settings = "{}" if isinstance(net, Fill) else config_json(net)
    digest = hashlib.sha256(f"{graphs_name(net)} {settings}".encode())
    for key, value in sorted(net.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def facts(net: Network | Fill, part: str, precision: str) -> dict[str, str]:
    """What is written into the file of a graph, so that it can be used without this package."""
    if isinstance(net, Fill):
        known = {"network": graphs_name(net), "graph": part, "precision": precision, "color": "Y' 0..1"}
        return known | {"before": str(RADIUS), "after": str(RADIUS), "sha256": fingerprint(net), "version": __version__}
    about = info(net)
    color = "Y' 0..1, Cb and Cr -0.5..0.5 of BT.709" if about.network == "colorizer" else "Y' 0..1"
    if isinstance(net, DeepRestorer | DeepColorizer):
        color = "L 0..1, R'G'B' 0..1, ab packed into 0..1" if about.network == "colorizer" else "L 0..1"
    known = {"network": network_name(net), "graph": part, "precision": precision, "config": config_json(net)}
    known |= {name: str(getattr(about, name)) for name in ("before", "after", "block", "multiple_of")}
    return known | {"color": color, "sha256": fingerprint(net), "version": __version__}


def to_onnx(graph: Graph, properties: dict[str, str], opset: int = OPSET) -> bytes:
    """The file of a graph.

    Args:
        graph: what is exported.
        properties: facts about its network, for the file's metadata; those about the graph itself are added.
        opset: of ONNX.

    Raises:
        UnsupportedError: the package onnx is missing, or this version of torch cannot export.
    """
    onnx = graph_package()
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter that traces: 50 times faster than the one by torch.export, and every size stays open that the
        # tests change. It warns of itself and of numbers that are the same in every trace.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                graph.module,
                tuple(graph.inputs.values()),
                file,  # ty: ignore[invalid-argument-type] this exporter takes streams, too
                dynamo=False,
                opset_version=opset,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_axes=graph.dims,
            )
        except (TypeError, RuntimeError, ValueError) as error:
            raise UnsupportedError(f"torch {torch.__version__} cannot export this graph: {error}") from error
    model = onnx.load_from_string(file.getvalue())
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, properties | graph.facts)
    model.doc_string = graph.about
    onnx.checker.check_model(model)
    return model.SerializeToString()
