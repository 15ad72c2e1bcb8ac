"""Measures how fast restoring and colouring are, and that memory stays flat.

    python -m export.benchmark [--device cpu] [--precision fp32 bf16] [--engine torch onnxruntime]
    python -m export.benchmark --memory
    python -m export.benchmark --vapoursynth [--memory]

Speed is given in frames a second for 528x400, and as a share of what this machine reaches in a plain Conv3d of 256 to
256 channels (channels last), measured in the same run before and after. Memory: what is resident at frame 1000 and at
frame 4000 of a 320x240 film. With `--vapoursynth`: what the filters cost beyond the networks, each run paired with one
of the bare library on the same frames; and the memory of a script that restores and colours.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from export.evaluate import table
from export.flow import to_gray8
from vs_remaster.engines import ENGINES, PRECISIONS, choose_device
from vs_remaster.errors import RemasterError
from vs_remaster.job import remaster_film
from vs_remaster.references import Reference
from vs_remaster.remaster import ColorizeOptions, Colorizer, Picture, RemasterPipeline, RestoreOptions, Restorer
from vs_remaster.samples import Samples, decode_luma

SIZE = (400, 528)  # height, width
MEMORY_SIZE = (240, 320)
MEMORY_FRAMES = (1000, 4000)
CONV_INPUT = (1, 256, 8, 50, 66)  # the inner layers of a 528x400 film in a network of 3-D convolutions


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def timed(work: Callable[[], object], device: str) -> float:
    """How long `work` takes, in seconds."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def seconds(work: Callable[[], object], device: str, repeats: int) -> float:
    """Median duration of `work`, which is run once more before, to warm up."""
    work()
    return statistics.median(timed(work, device) for _ in range(repeats))


def ceiling(device: str, precision: str) -> float:
    """Multiply-accumulates a second that this machine reaches in a large plain convolution."""
    dtype = PRECISIONS[precision]
    layer = torch.nn.Conv3d(256, 256, 3, padding=1).to(device, dtype, memory_format=torch.channels_last_3d)
    x = torch.randn(CONV_INPUT, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last_3d)
    work = 256 * 256 * 27 * x[0, 0].numel()
    with torch.inference_mode():
        return work / seconds(lambda: layer(x), device, 5)


def film(frames: int, size: tuple[int, int]) -> Iterator[Picture]:
    """A moving synthetic gray film with grain, one frame after the other."""
    height, width = size
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for index in range(frames):
        picture = 0.5 + 0.2 * np.sin((x + 2 * index) / 23 + y / 31) + 0.2 * np.sin((y - index) / 17)
        picture += draw.normal(0, 0.03, picture.shape)
        yield Picture(torch.from_numpy(picture.clip(0, 1).astype(np.float32))[None], None, index)


def references(count: int, size: tuple[int, int]) -> list[Reference]:
    draw = torch.Generator().manual_seed(0)
    return [Reference(name=f"{k}", rgb=torch.rand(3, *size, generator=draw), frame=None) for k in range(count)]


def macs(work: Callable[[], object]) -> float:
    """Multiply-accumulates of convolutions and matrix products in `work`."""
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return counter.get_total_flops() / 2


def measure_speed(options: argparse.Namespace, device: str) -> None:
    """Print the table of speeds."""
    clip = torch.stack([picture.luma for picture in film(options.frames, SIZE)])
    print(f"{SIZE[1]}x{SIZE[0]}, {options.frames} frames, {options.references} references, {machine(device)}\n")
    rows, work = [], {}
    for engine, precision in product(options.engine, options.precision):
        how = {"device": device, "precision": precision, "engine": engine}
        if engine != "torch" and precision == "bf16":
            continue  # which only torch has
        restore = RestoreOptions(model=options.restorer, **how)
        colorize = ColorizeOptions(model=options.colorizer, lines=options.color_lines, **how)
        restorer, colorizer = Restorer(restore), Colorizer(colorize)
        pictures = references(options.references, SIZE)
        memory = colorizer.encode_references(pictures)
        pipeline = RemasterPipeline(restore, colorize, pictures)
        tasks: dict[str, Callable[[], object]] = {
            "restore": lambda r=restorer: r.restore(clip),
            "colour": lambda c=colorizer, m=memory: c.colorize(clip, m),
            "both": lambda p=pipeline: sum(1 for _ in p.process(film(options.frames, SIZE))),
        }
        before = ceiling(device, precision)
        if engine == "torch":  # only it can count
            work = {name: macs(task) for name, task in tasks.items()}
        measured = {name: seconds(task, device, options.repeats) for name, task in tasks.items()}
        top = statistics.mean([before, ceiling(device, precision)])
        for name, duration in measured.items():
            figures = [f"{options.frames / duration:.2f}", "", "", ""]
            if work:
                done = work[name]
                figures[1:] = (
                    f"{done / options.frames / 1e9:.1f}",
                    f"{done / duration / 1e9:.0f}",
                    f"{done / duration / top:.0%}",
                )
            rows.append([engine, precision, name, *figures])
        if engine == "torch":
            rows.append([engine, precision, "Conv3d 256 to 256", "", "", f"{top / 1e9:.0f}", "100%"])
    print(table(["engine", "precision", "task", "frames/s", "GMAC a frame", "GMAC/s", "share of the ceiling"], rows))


def resident_megabytes() -> float:
    """Memory of this process that is in RAM, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def write_film(path: Path, frames: int, size: tuple[int, int]) -> None:
    """Write the synthetic film as a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "23"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for picture in film(frames, size):
            frame = av.VideoFrame.from_ndarray(to_gray8(picture.luma[0].numpy()), format="gray")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())


def measure_memory(options: argparse.Namespace, device: str) -> float:
    """Print the resident memory on the way through a long film, from file to file as `vs-remaster run` does it.

    Returns:
        Growth between the two frames of `MEMORY_FRAMES`, in MB.
    """
    early, late = MEMORY_FRAMES
    found = {}
    started = time.perf_counter()

    def look(done: int, total: int | None) -> None:
        if done in (late // 40, early, (early + late) // 2, late):
            found[done] = resident_megabytes()
            rate = done / (time.perf_counter() - started)
            print(f"frame {done}: {found[done]:.0f} MB resident, {rate:.1f} frames/s", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "film.mkv"
        write_film(source, late, MEMORY_SIZE)
        remaster_film(
            source,
            Path(folder) / "remastered.mkv",
            restore=RestoreOptions(model=options.restorer, device=device),
            colorize=ColorizeOptions(model=options.colorizer, lines=options.color_lines, device=device),
            references=references(options.references, MEMORY_SIZE),
            progress=look,
        )
    growth = found[late] - found[early]
    print(f"growth from frame {early} to frame {late}: {growth:+.1f} MB")
    return growth


def vapoursynth_clip(frames: Sequence[np.ndarray], length: int) -> Any:
    """A gray 16-bit clip that shows `frames` `[H, W]` (code values) over and over."""
    import vapoursynth as vs

    height, width = frames[0].shape
    blank = vs.core.std.BlankClip(None, width, height, vs.GRAY16, length, keep=True)

    def fill(n: int, f: Any) -> Any:
        out = f.copy()
        np.copyto(np.asarray(out[0]), frames[n % len(frames)])
        return out

    return blank.std.ModifyFrame(blank, fill)


def drain(clip: Any, frames: int) -> None:
    """Ask for all frames in order, as an encoder does."""
    assert sum(1 for _ in clip.frames(close=True)) == frames


def measure_overhead(options: argparse.Namespace, device: str) -> dict[str, float]:
    """Print frames a second of the library on tensors and of the VapourSynth filters on the same frames, in turns.

    Returns:
        For each task the median of how much longer the filter took, as a share.
    """
    from vs_remaster import filters

    codes = [(picture.luma[0].numpy() * 65535).round().astype(np.uint16) for picture in film(options.frames, SIZE)]
    clip, source = torch.stack([decode(code) for code in codes]), vapoursynth_clip(codes, options.frames)
    print(f"{SIZE[1]}x{SIZE[0]}, {options.frames} frames, {options.references} references, {machine(device)}\n")
    rows, shares = [], {}
    for precision in options.precision:
        how = {"device": device, "precision": precision}
        restorer = Restorer(RestoreOptions(model=options.restorer, **how))
        colorizer = Colorizer(ColorizeOptions(model=options.colorizer, lines=options.color_lines, **how))
        pictures = references(options.references, SIZE)
        memory = colorizer.encode_references(pictures)
        stills = vapoursynth_stills(pictures)
        color = {"model": options.colorizer, "color_lines": options.color_lines, **how}
        tasks: dict[str, tuple[Callable[[], object], Callable[[], Any]]] = {
            "restore": (
                lambda r=restorer: r.restore(clip),
                lambda how=how: filters.restore(source, model=options.restorer, **how),
            ),
            "colour": (
                lambda c=colorizer, m=memory: c.colorize(clip, m),
                lambda color=color, stills=stills: filters.colorize(source, stills, **color),
            ),
        }
        for name, (library, make) in tasks.items():
            library()
            pairs = []
            for _ in range(options.repeats + 1):
                bare = timed(library, device)
                begun = make()  # nothing of it is kept from before
                pairs.append((bare, timed(lambda begun=begun: drain(begun, options.frames), device)))
            pairs = pairs[1:]
            shares[f"{precision} {name}"] = statistics.median(with_host / bare - 1 for bare, with_host in pairs)
            bare, with_host = (options.frames / statistics.median(x) for x in zip(*pairs))
            rows.append([precision, name, f"{bare:.2f}", f"{with_host:.2f}", f"{shares[f'{precision} {name}']:+.1%}"])
    print(table(["precision", "task", "library frames/s", "filter frames/s", "time added (median of pairs)"], rows))
    return shares


def decode(codes: np.ndarray) -> torch.Tensor:
    """Luma `[1, H, W]` as the filters decode 16-bit gray of limited range."""
    return decode_luma([codes], Samples("gray", 16))


def vapoursynth_stills(pictures: Sequence[Reference]) -> Any:
    """References as a clip."""
    import vapoursynth as vs

    _, height, width = pictures[0].rgb.shape
    blank = vs.core.std.BlankClip(None, width, height, vs.RGBS, len(pictures), keep=True)

    def fill(n: int, f: Any) -> Any:
        out = f.copy()
        for i, plane in enumerate(pictures[n].rgb.numpy()):
            np.copyto(np.asarray(out[i]), plane)
        return out

    return blank.std.ModifyFrame(blank, fill)


def measure_script_memory(options: argparse.Namespace, device: str) -> float:
    """Print the resident memory on the way through a long clip that the VapourSynth filters restore and colour.

    Returns:
        Growth between the two frames of `MEMORY_FRAMES`, in MB.
    """
    from vs_remaster import filters

    early, late = MEMORY_FRAMES
    codes = [(picture.luma[0].numpy() * 65535).round().astype(np.uint16) for picture in film(200, MEMORY_SIZE)]
    clip = filters.restore(vapoursynth_clip(codes, late), model=options.restorer, device=device)
    stills = vapoursynth_stills(references(options.references, MEMORY_SIZE))
    clip = filters.colorize(clip, stills, model=options.colorizer, color_lines=options.color_lines, device=device)
    samples: dict[int, list[float]] = {mark: [] for mark in (early, (early + late) // 2, late)}
    started = time.perf_counter()
    for done, _ in enumerate(clip.frames(close=True), 1):
        for mark, sizes in samples.items():
            if mark - 200 < done <= mark:  # within a block it goes up and down
                sizes.append(resident_megabytes())
            if done == mark:
                rate = done / (time.perf_counter() - started)
                print(f"frame {done}: {statistics.median(sizes):.0f} MB resident, {rate:.1f} frames/s", flush=True)
    growth = statistics.median(samples[late]) - statistics.median(samples[early])
    print(f"growth from frame {early} to frame {late}: {growth:+.1f} MB")
    return growth


def machine(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def main(arguments: Sequence[str] | None = None) -> float | dict[str, float] | None:
    """The command line; returns what the measurement that was asked for does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="measure memory instead of speed")
    parser.add_argument("--vapoursynth", action="store_true", help="measure the VapourSynth filters")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=list(PRECISIONS))
    parser.add_argument("--engine", nargs="+", default=["torch"], choices=ENGINES[1:])
    parser.add_argument("--restorer", default="fast", help="name of shipped weights, or a .safetensors file")
    parser.add_argument("--colorizer", default="fast", help="the same for colour")
    parser.add_argument("--color-lines", type=int, default=ColorizeOptions().lines)
    parser.add_argument("--references", type=int, default=2)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        device = choose_device(options.device)
        if options.vapoursynth:
            return (measure_script_memory if options.memory else measure_overhead)(options, device)
        return (measure_memory if options.memory else measure_speed)(options, device)
    except RemasterError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
