"""Export networks to ONNX files, for ONNX Runtime, TensorRT, and filters such as vs-mlrt.

    python -m export.to_onnx restorer --model fast --out onnx [--fp16] [--opset 18] [--check tests/data/sample.mkv]
    python -m export.to_onnx restorer --model fast --out onnx --channels
    python -m export.to_onnx colorizer --model fast --out onnx
    python -m export.to_onnx deepremaster-restorer --out onnx
    python -m export.to_onnx deepremaster-colorizer --out onnx

One file for each graph, see `vs_remaster/engines/graphs.py`. Facts about the network (before, after, block,
multiple_of, colour space, sha256 of the weights, version) are in the file's metadata. `--channels`: our restorer with
the frames before and after as channels, `[1, before + 1 + after, H, W]` to `[1, 1, H, W]`, which filters for pictures
can run; whole frames only, because tone is read off the whole frame. `--check` runs the graphs in ONNX Runtime on the
CPU and prints how far they are from torch in float32, on noise and on the film, at three sizes.
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
from vs_remaster.engines.graphs import OPSET, facts, graphs, to_onnx
from vs_remaster.engines.onnx import onnx_engine
from vs_remaster.engines.pytorch import TorchEngine
from vs_remaster.engines.sessions import Session
from vs_remaster.errors import InputError, RemasterError
from vs_remaster.models import NETWORKS, info, network_name, task
from vs_remaster.models.layers import Halo
from vs_remaster.models.network import Network
from vs_remaster.models.restorer import thumbnails
from vs_remaster.system.files import check_replaceable, write_whole
from vs_remaster.video.reader import VideoReader
from vs_remaster.weights import load_model

SIZES = ((96, 128), (144, 176), (208, 272))  # height, width; multiples of 16


def operators(file: bytes) -> Counter[str]:
    """How often each operator stands in a graph; constants are not counted."""
    import onnx

    return Counter(node.op_type for node in onnx.load_from_string(file).graph.node if node.op_type != "Constant")


def check(net: Network, files: dict[str, bytes], precision: str, clip: Tensor) -> Tensor:
    """Differences between the graphs on ONNX Runtime's CPU provider and the network in torch and float32.

    Args:
        net: the network.
        files: its graphs, as `to_onnx` makes them.
        precision: theirs.
        clip: luma `[T, 1, H, W]`, 0..1, whose first three frames are no context; H and W as the network takes them.
    """
    halo = Halo(min(3, info(net).before), 0)
    torch_engine = TorchEngine(copy.deepcopy(net), "cpu", "fp32")
    if "channels" in files:
        middle = clip[:1].expand(info(net).before, -1, -1, -1), clip, clip[-1:].expand(info(net).after, -1, -1, -1)
        window = torch.cat(middle)[: info(net).before + 1 + info(net).after]
        made = Session(files["channels"], "cpu", "cpu", "channels").run({"frames": window.transpose(0, 1)})["luma"]
        wanted = torch_engine.restore(window, thumbnails(window[None])[0], Halo(info(net).before, info(net).after))[0]
        return (made - wanted).abs()
    engine = onnx_engine(copy.deepcopy(net), "cpu", precision, "cpu", files)
    if info(net).network == "restorer":
        thumbs = thumbnails(clip[None])[0]
        pairs = zip(engine.restore(clip, thumbs, halo), torch_engine.restore(clip, thumbs, halo))
    else:
        generator = torch.Generator().manual_seed(1)
        sizes = ((96, 64), tuple(clip.shape[-2:]))
        colors = (F.interpolate(torch.rand(1, 3, 6, 8, generator=generator), size, mode="bilinear") for size in sizes)
        pictures = [tuple(rgb_to_ycbcr(x).split([1, 2], 1)) for x in colors]
        results = [e.colorize(clip, e.encode(pictures), halo) for e in (engine, torch_engine)]
        pairs = zip(*results)
    return torch.cat([(made - wanted).abs().flatten() for made, wanted in pairs])


def main(arguments: Sequence[str] | None = None) -> list[Path]:
    """See the module's text; returns the files written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=list(NETWORKS))
    parser.add_argument("--model", help="a shipped or imported model, or a .safetensors file (default: fast, or the "
                        "paper's name)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--fp16", action="store_true", help="convolutions in half precision")
    parser.add_argument("--channels", action="store_true", help="neighbouring frames as channels")
    parser.add_argument("--opset", type=int, default=OPSET, help="of ONNX (default: %(default)s)")
    parser.add_argument("--check", type=Path, metavar="FILM", help="compare with torch, on noise and on this film")
    options = parser.parse_args(arguments)
    model = options.model or (options.network.partition("-")[0] if "-" in options.network else "fast")
    try:
        net = load_model(task(options.network), model)
        if network_name(net) != options.network:
            raise InputError(f"{model!r} is a {network_name(net)}, not a {options.network}")
        precision = "fp16" if options.fp16 else "fp32"
        parts = graphs(net, precision, options.channels)
        stem = f"{options.network}-{Path(model).stem}-{precision}"
        options.out.mkdir(parents=True, exist_ok=True)
        paths = {name: options.out / f"{stem}-{name}.onnx" for name in parts}
        for path in paths.values():
            check_replaceable(path, options.overwrite)
        files = {name: to_onnx(graph, facts(net, name, precision), options.opset) for name, graph in parts.items()}
        for name, path in paths.items():
            write_whole(path, files[name], overwrite=options.overwrite)
    except RemasterError as error:
        parser.error(str(error))
    for name, file in files.items():
        counts = ", ".join(f"{op} {n}" for op, n in sorted(operators(file).items()))
        print(f"{paths[name]}: {len(file) / 2**20:.1f} MiB; {counts}")
    if options.check:
        with VideoReader(options.check, end=8) as film:
            real = torch.stack([decode_luma(frame.planes, film.info) for frame in film])
        for size in SIZES:
            noise = torch.rand(8, 1, *size, generator=torch.Generator().manual_seed(0))
            film = F.interpolate(real, size, mode="bicubic", antialias=True).clamp(0, 1)
            for name, clip in (("noise", noise), ("film", film)):
                apart = check(net, files, precision, clip)
                print(
                    f"{size[1]}x{size[0]} {name}: from torch at most {apart.max():.1e}, mean {apart.mean():.1e}, "
                    f"{(apart > 4e-3).float().mean():.3%} over 4e-3"
                )
    return list(paths.values())


if __name__ == "__main__":
    main()
