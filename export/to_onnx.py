"""Export networks to ONNX files, for ONNX Runtime, TensorRT, and filters such as vs-mlrt.

    python -m export.to_onnx restorer --model fast --out onnx [--fp16] [--opset 18] [--check tests/data/sample.mkv]
    python -m export.to_onnx restorer --model fast --out onnx --size 528x400 [--frames 16]
    python -m export.to_onnx restorer --model fast --out onnx --channels [--sharpener fast|none] [--scale 2]
    python -m export.to_onnx sharpener --model fast --out onnx
    python -m export.to_onnx fill --out onnx
    python -m export.to_onnx colorizer --model fast --out onnx
    python -m export.to_onnx deepremaster-restorer --out onnx
    python -m export.to_onnx deepremaster-colorizer --out onnx

One file for each graph, see `vs_remaster/engines/graphs.py`. Facts about the network (before, after, block,
multiple_of, colour space, sha256 of the weights, version) are in the file's metadata, and what its inputs and outputs
are in its description. `--size`: for pictures of this size only, and so many frames made at once, with a fifth of the
operators; what encodes references takes every size all the same. `--channels`: our restorer and sharpener with the
frames before and after as channels, `[1, before + 1 + after, H, W]` to `[1, 1, scale * H, scale * W]`, which filters
for pictures can run; whole frames only, because tone and softness are read off the whole frame; large damage is not
filled from the frames beside it. `fill`: what does that; it has no weights. `--check` runs the graphs in ONNX Runtime
on the CPU and prints how far they are from torch in float32, on noise and on the film, at three sizes or at the one.
"""

from __future__ import annotations

import argparse
import copy
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.color.samples import decode_luma
from vs_remaster.engines.graphs import OPSET, channels, facts, graphs, to_onnx
from vs_remaster.engines.onnx import OnnxFill, onnx_engine
from vs_remaster.engines.pytorch import TorchEngine
from vs_remaster.engines.sessions import Session
from vs_remaster.engines.sizes import film_sizes, folded
from vs_remaster.errors import InputError, RemasterError
from vs_remaster.models import NETWORKS, info, network_name, task
from vs_remaster.models.fill import CELL, RADIUS, Fill
from vs_remaster.models.layers import Halo
from vs_remaster.models.network import Network
from vs_remaster.models.restorer import thumbnails
from vs_remaster.models.sharpener import SCALES, SharpenerNet, enlarged, softness
from vs_remaster.system.files import check_replaceable, write_whole
from vs_remaster.video.reader import VideoReader
from vs_remaster.weights import load_model

FILL = "fill"  # beside the networks
OPEN = ("encode", "softness")  # graphs of references and of whole frames, which have sizes of their own
SIZES = ((96, 128), (144, 176), (208, 272))  # height, width; multiples of 16


def picture_size(text: str) -> tuple[int, int]:
    """`528x400` to (400, 528): lines, columns."""
    width, height = (int(side) for side in text.split("x"))
    return height, width


def operators(file: bytes) -> Counter[str]:
    """How often each operator stands in a graph; constants are not counted."""
    import onnx

    return Counter(node.op_type for node in onnx.load_from_string(file).graph.node if node.op_type != "Constant")


def check(net: Network | Fill, files: dict[str, bytes], precision: str, clip: Tensor, least: int = 1) -> Tensor:
    """Differences between the graphs on ONNX Runtime's CPU provider and the network in torch and float32.

    Args:
        net: the network.
        files: its graphs, as `to_onnx` makes them.
        precision: theirs.
        clip: luma `[T, 1, H, W]`, 0..1, whose first three frames are context; H and W as the network takes them.
        least: how many frames the graphs make at least; what T leaves is filled up.
    """
    if isinstance(net, Fill):
        return _check_fill(net, files, clip)
    halo = Halo(min(3, info(net).before), 0)
    torch_engine = TorchEngine(copy.deepcopy(net), "cpu", "fp32")
    engine = onnx_engine(copy.deepcopy(net), "cpu", precision, "cpu", files)
    engine.least = least
    if info(net).network == "restorer":
        thumbs = thumbnails(clip[None])[0]
        pairs = zip(engine.restore(clip, thumbs, halo), torch_engine.restore(clip, thumbs, halo))
    elif info(net).network == "sharpener":
        figures = softness(clip[None])[0]
        told = Session(files["softness"], "cpu", "cpu", "softness").run({"luma": clip})["figures"]
        made = [(e.sharpen(clip, figures, halo, scale) for e in (engine, torch_engine)) for scale in (1, 2)]
        pairs = [(told, figures), *made]
    else:
        generator = torch.Generator().manual_seed(1)
        sizes = ((96, 64), tuple(clip.shape[-2:]))
        colors = (F.interpolate(torch.rand(1, 3, 6, 8, generator=generator), size, mode="bilinear") for size in sizes)
        pictures = [tuple(rgb_to_ycbcr(x).split([1, 2], 1)) for x in colors]
        results = [e.colorize(clip, e.encode(pictures), halo) for e in (engine, torch_engine)]
        pairs = zip(*results)
    return torch.cat([(made - wanted).abs().flatten() for made, wanted in pairs])


def _check_fill(net: Fill, files: dict[str, bytes], clip: Tensor) -> Tensor:
    """The same of filling a square in a clip whose first frame moves: where nothing matches, rounding decides."""
    clip = torch.stack([clip[0].roll((time, 2 * time), (1, 2)) for time in range(2 * RADIUS + 1)])
    sound = torch.ones_like(clip)
    sound[RADIUS, :, 20:60, 30:70] = 0
    inputs = clip, sound, torch.tensor([[0, 0], [0, CELL]])
    return (OnnxFill("cpu", files)(*inputs)[0] - net(*inputs)[0]).abs()


def check_channels(net: Network, sharpener: SharpenerNet | None, scale: int, file: bytes, clip: Tensor) -> Tensor:
    """Differences between a graph of `channels` and its networks in torch and float32, one after the other; see
    `check`."""
    nets = [x for x in (net, sharpener) if x]
    before, after = sum(x.before for x in nets), sum(x.after for x in nets)
    window = torch.cat([clip[:1].expand(before, -1, -1, -1), clip, clip[-1:].expand(after, -1, -1, -1)])
    window = window[: before + 1 + after]
    made = Session(file, "cpu", "cpu", "channels").run({"frames": window.transpose(0, 1)})["luma"]
    engines = [TorchEngine(copy.deepcopy(x), "cpu", "fp32") for x in nets]
    wanted = engines[0].restore(window, thumbnails(window[None])[0], Halo(net.before, net.after))[0]
    if sharpener:
        halo = Halo(sharpener.before, sharpener.after)
        change = engines[1].sharpen(wanted, softness(wanted[None])[0], halo, scale)
        wanted = wanted[halo.kept(len(wanted))]
        wanted = (enlarged(wanted) if scale > 1 else wanted) + change
    return (made - wanted).abs()


def _loaded(network: str, model: str | None) -> tuple[Network | Fill, str]:
    """A network and what its files are named after."""
    if network == FILL:
        if model:
            raise InputError(f"filling has no weights, so it has no model {model!r}; leave --model out")
        return Fill(), network
    model = model or (network.partition("-")[0] if "-" in network else "fast")
    net = load_model(task(network), model)
    if network_name(net) != network:
        raise InputError(f"{model!r} is a {network_name(net)}, not a {network}")
    return net, f"{network}-{Path(model).stem}"


def _sizes(net: Network | Fill, size: tuple[int, int] | None, frames: int | None, channels: bool) -> dict[str, int]:
    """The dimensions that `--size` and `--frames` decide, by name; a graph of channels takes any size."""
    if size is None:
        if frames is not None:
            raise InputError("--frames is for --size: without it, graphs take any number of frames")
        return {}
    if channels:
        if frames is not None:
            raise InputError("--frames is not for --channels, which makes one frame")
        return dict(zip(("height", "width"), size))
    if isinstance(net, Fill):
        raise InputError("filling has no graphs for one size; leave --size out")
    return film_sizes(net, *size, net.block if frames is None else frames)


def _sharpener(model: str | None, scale: int, channels: bool) -> SharpenerNet | None:
    """What sharpens in a graph of `channels`."""
    if not channels:
        if model or scale > 1:
            raise InputError("--sharpener and --scale are for --channels; export a sharpener itself by its name")
        return None
    if model == "none":
        return None
    net = load_model("sharpener", model or "fast")
    assert isinstance(net, SharpenerNet)  # the only kind there is
    return net


def main(arguments: Sequence[str] | None = None) -> list[Path]:
    """See the module's text; returns the files written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=[*NETWORKS, FILL])
    parser.add_argument("--model", help="a shipped or imported model, or a .safetensors file (default: fast, or the "
                        "paper's name)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--fp16", action="store_true", help="convolutions in half precision")
    parser.add_argument("--channels", action="store_true", help="neighbouring frames as channels")
    parser.add_argument("--size", type=picture_size, metavar="WIDTHxHEIGHT", help="for pictures of this size only")
    parser.add_argument(
        "--frames", type=int, help="with --size: how many are made at once (default: the network's block)"
    )
    parser.add_argument("--sharpener", help="with --channels: what sharpens, a shipped model, a .safetensors file, or "
                        "none (default: fast)")  # fmt: skip
    parser.add_argument("--scale", type=int, choices=SCALES, default=1, help="with --channels: 2 for twice the size")
    parser.add_argument("--opset", type=int, default=OPSET, help="of ONNX (default: %(default)s)")
    parser.add_argument("--check", type=Path, metavar="FILM", help="compare with torch, on noise and on this film")
    options = parser.parse_args(arguments)
    precision = "fp16" if options.fp16 else "fp32"
    try:
        net, stem = _loaded(options.network, options.model)
        stem = f"{stem}-{precision}"
        sharpener = _sharpener(options.sharpener, options.scale, options.channels)
        if options.channels:
            parts = channels(net, precision, sharpener, options.scale)
        else:
            parts = graphs(net, precision)
        sizes = _sizes(net, options.size, options.frames, options.channels)
        one_size = f"-{options.size[1]}x{options.size[0]}" if sizes else ""
        options.out.mkdir(parents=True, exist_ok=True)
        paths = {name: options.out / f"{stem}-{name}{'' if name in OPEN else one_size}.onnx" for name in parts}
        for path in paths.values():
            check_replaceable(path, options.overwrite)
        files = {
            name: folded(to_onnx(graph, facts(net, name, precision), options.opset), {} if name in OPEN else sizes)
            for name, graph in parts.items()
        }
        for name, path in paths.items():
            write_whole(path, files[name], overwrite=options.overwrite)
    except RemasterError as error:
        parser.error(str(error))
    for name, file in files.items():
        counts = ", ".join(f"{op} {n}" for op, n in sorted(operators(file).items()))
        print(f"{paths[name]}: {len(file) / 2**20:.1f} MiB; {counts}")
    if options.check:
        least = (options.frames or net.block) if sizes and isinstance(net, Network) else 1
        with VideoReader(options.check, end=8) as film:
            real = torch.stack([decode_luma(frame.planes, film.info) for frame in film])
            real = real[: least + 3] if sizes else real
        for size in [options.size] if sizes else SIZES:
            noise = torch.rand(len(real), 1, *size, generator=torch.Generator().manual_seed(0))
            film = F.interpolate(real, size, mode="bicubic", antialias=True).clamp(0, 1)
            for name, clip in (("noise", noise), ("film", film)):
                if isinstance(net, Network) and options.channels:
                    apart = check_channels(net, sharpener, options.scale, *files.values(), clip)
                else:
                    apart = check(net, files, precision, clip, least)
                print(
                    f"{size[1]}x{size[0]} {name}: from torch at most {apart.max():.1e}, mean {apart.mean():.1e}, "
                    f"{(apart > 4e-3).float().mean():.3%} over 4e-3"
                )
    return list(paths.values())


if __name__ == "__main__":
    main()
