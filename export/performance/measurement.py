"""One measurement of the networks at work, in a process of its own so that its memory is its own."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import av
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from export.performance.stages import Stages
from export.scores.flow import to_gray8
from vs_remaster.engines import PRECISIONS
from vs_remaster.errors import RemasterError
from vs_remaster.film.remastering import remaster_film, remaster_frames
from vs_remaster.references.reference import Reference
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions, Running
from vs_remaster.remaster.pipeline import Picture, RemasterPipeline
from vs_remaster.remaster.restorer import Restorer
from vs_remaster.system.process import take_over
from vs_remaster.video.planes import Frame
from vs_remaster.video.rawvideo import raw_format

TASKS = ("restore", "colour", "both")
FILM = "film"  # both, from file to file
MEMORY_SIZE = (240, 320)  # height, width
MEMORY_FRAMES = (1000, 4000)

_CONV_INPUT = (1, 256, 8, 50, 66)  # the inner layers of a 528x400 film in a network of 3-D convolutions
_REEL = 8  # frames that are kept to be shown over and over, so that a long clip takes no more memory than a short one
_WARM = 48  # frames, at most, that are run before the measurement, and in which multiply-accumulates are counted


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to measure.

    Attributes:
        task: one of `TASKS`, or `film`.
        width, height: of the frames, in pixels.
        frames: length of the clip.
        references: how many; each has the size of a frame.
        engine, precision, device: as in `RestoreOptions`.
        restorer, colorizer: names of models, or weight files.
        lines: height at which colour is computed.
        repeats: runs, of which the median is taken.
        threads: of PyTorch on the CPU; None: its own choice.
        source: the video to read, for task `film` only; `in_child` writes one.
        count: count multiply-accumulates too, in one more run.
        planes: frames are handed in, and taken, as 8-bit planes in main memory, as a film's are; else luma in floats.
        stages: with task `film`, take the time of each stage too, in one more run.
    """

    task: str
    width: int
    height: int
    frames: int
    references: int
    engine: str
    precision: str
    device: str
    restorer: str
    colorizer: str
    lines: int
    repeats: int = 1
    threads: int | None = None
    source: str = ""
    count: bool = False
    planes: bool = False
    stages: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found.

    Attributes:
        seconds: for the whole clip, without loading; with task `film` also encoding the references.
        latency: seconds from handing in the last frame that a block needs until the first frame of the block is there;
            with task `film` until it is written.
        encoding: seconds to encode the references; 0 where there is nothing to colour.
        peak: the most memory ever held, in MB: on the CPU the process's resident memory, on a GPU what PyTorch
            allocated there; nan where it cannot be known (other engines on a GPU, systems without /proc).
        idle: the same in MB with the networks and a few frames loaded and nothing else done.
        macs: multiply-accumulates a frame, of convolutions and matrix products; nan where not counted.
        stages: seconds of each stage, see `Stages`, in a run that took `watched` seconds; empty where not asked for.
    """

    seconds: float
    latency: float
    encoding: float
    peak: float
    idle: float
    macs: float
    stages: dict[str, float] = field(default_factory=dict)
    watched: float = float("nan")

    @property
    def working(self) -> float:
        """Memory that the work itself took, in MB."""
        return self.peak - self.idle


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


def ceiling(device: str, precision: str) -> float:
    """Multiply-accumulates a second that this machine reaches in a large plain convolution."""
    dtype = PRECISIONS[precision]
    layer = torch.nn.Conv3d(256, 256, 3, padding=1)
    # ty: ignore[no-matching-overload] its stub knows a memory format only by itself
    layer = layer.to(device, dtype, memory_format=torch.channels_last_3d)
    x = torch.randn(_CONV_INPUT, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last_3d)
    work = 256 * 256 * 27 * x[0, 0].numel()
    with torch.inference_mode():
        layer(x)
        return work / statistics.median(timed(lambda: layer(x), device) for _ in range(5))


def machine(device: str) -> str:
    """The processor or GPU by name."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def resident_megabytes(field: str = "VmRSS") -> float:
    """Memory of this process that is in RAM, in MB; `VmHWM`: the most there ever was; nan on systems without /proc."""
    # ru_maxrss would not do: a child inherits its parent's through fork and exec.
    status = Path("/proc/self/status")
    if not status.is_file():
        return float("nan")
    (line,) = (line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def film(frames: int, size: tuple[int, int]) -> Iterator[Picture]:
    """A moving synthetic gray film with grain, one frame after the other; `size`: height, width."""
    height, width = size
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for index in range(frames):
        picture = 0.5 + 0.2 * np.sin((x + 2 * index) / 23 + y / 31) + 0.2 * np.sin((y - index) / 17)
        picture += draw.normal(0, 0.03, picture.shape)
        yield Picture(torch.from_numpy(picture.clip(0, 1).astype(np.float32))[None], None, index)


def references(count: int, size: tuple[int, int]) -> list[Reference]:
    """Pictures of coloured noise; `size`: height, width."""
    draw = torch.Generator().manual_seed(0)
    return [Reference(name=f"{k}", rgb=torch.rand(3, *size, generator=draw), frame=None) for k in range(count)]


def write_film(path: Path, frames: int, size: tuple[int, int]) -> None:
    """Write the synthetic film as a video, a few of its frames over and over; `size`: height, width."""
    shown = [to_gray8(picture.luma[0].numpy()) for picture in film(min(frames, 4 * _REEL), size)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "23"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(shown[_order(index, len(shown))], format="gray")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())


def macs(work: Callable[[], object]) -> float:
    """Multiply-accumulates of convolutions and matrix products in `work`, which must run on engine `torch`."""
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return counter.get_total_flops() / 2


def passage(
    pipeline: RemasterPipeline, reel: Sequence[torch.Tensor], frames: int
) -> tuple[list[int], list[float], list[float]]:
    """Send a clip of `frames` frames through; the pictures of `reel` `[1, H, W]` are shown forwards and backwards.

    Returns:
        For each frame that came out how many had been handed in; when each frame was handed in, in seconds of a clock;
        when each came out.
    """
    needed, given, came = [], [], []

    def hand_in() -> Iterator[Picture]:
        for index in range(frames):
            given.append(time.perf_counter())
            # A copy: what was seen of a tensor is not worked out again where it comes twice in a window.
            yield Picture(reel[_order(index, len(reel))].clone(), None, index)

    for _ in pipeline.process(hand_in()):
        came.append(time.perf_counter())
        needed.append(len(given))
    return needed, given, came


def _order(index: int, count: int) -> int:
    """Which of `count` pictures frame `index` shows, forwards and backwards."""
    place = index % max(1, 2 * count - 2)
    return min(place, 2 * count - 2 - place) if count > 1 else 0


def plane_passage(pipeline: RemasterPipeline, reel: Sequence[torch.Tensor], frames: int) -> None:
    """`passage` of 8-bit planes in 4:2:0, which become such planes again; nothing is read or written."""
    height, width = reel[0].shape[-2:]
    info = raw_format("yuv420p", width, height, matrix="bt709", full_range=False)
    gray = [np.full((height // 2, width // 2), 128, np.uint8) for _ in range(2)]
    shown = [[(219 * luma[0].numpy() + 16).astype(np.uint8), *gray] for luma in reel]
    film = (Frame(index, index, shown[_order(index, len(shown))]) for index in range(frames))
    remaster_frames(film, lambda frame: None, pipeline, info, info)


def latency(needed: Sequence[int], given: Sequence[float], came: Sequence[float]) -> float:
    """Median over the blocks of the seconds from the last frame handed in to the first that came out.

    What comes out only because the film has ended does not count, unless there is nothing else.
    """
    firsts = {}
    for count, out in zip(needed, came):
        firsts.setdefault(count, out - given[count - 1])
    whole = [waited for count, waited in firsts.items() if count < max(needed)]
    return statistics.median(whole or firsts.values())


def _workers(job: Job, engine: str) -> tuple[Restorer | None, Colorizer | None]:
    how: Running = {"device": job.device, "precision": job.precision, "engine": engine}
    restores, colors = job.task != "colour", job.task != "restore"
    return (
        Restorer(RestoreOptions(model=job.restorer, **how)) if restores else None,
        Colorizer(ColorizeOptions(model=job.colorizer, lines=job.lines, **how)) if colors else None,
    )


def run(job: Job) -> Measured:
    """Measure in this process.

    Raises:
        RemasterError: what the library says.
    """
    if job.threads:
        torch.set_num_threads(job.threads)

    def memory(field: str) -> float:
        if job.device == "cpu":
            return resident_megabytes(field)
        used = torch.cuda.max_memory_allocated if field == "VmHWM" else torch.cuda.memory_allocated
        return used(job.device) / 2**20 if job.engine == "torch" else float("nan")

    restorer, colorizer = _workers(job, job.engine)
    reel = [picture.luma for picture in film(_REEL, job.size)]
    idle = memory("VmRSS")
    pictures = references(job.references, job.size) if colorizer else []
    started = time.perf_counter()
    pipeline = RemasterPipeline(restorer, colorizer, pictures)
    synchronize(job.device)
    encoding = time.perf_counter() - started if colorizer else 0.0
    warm = min(job.frames, _WARM)
    needed: list[int] = []
    if job.planes:
        plane_passage(pipeline, reel, warm)
    else:
        needed, *_ = passage(pipeline, reel, warm)
    if job.task == FILM:
        del pipeline  # which remembers the references once more
    else:
        del pictures
    runs = []
    for _ in range(job.repeats):
        started = time.perf_counter()
        if job.task == FILM:
            given, came = _file_to_file(job, restorer, colorizer, pictures)
        elif job.planes:
            plane_passage(pipeline, reel, job.frames)
        else:
            needed, given, came = passage(pipeline, reel, job.frames)
        took = time.perf_counter() - started
        runs.append((took, float("nan") if job.planes else latency(needed, given, came)))
    seconds, waits = (statistics.median(values) for values in zip(*runs))
    peak = memory("VmHWM")
    stages, watched = Stages(job.device), float("nan")
    if job.task == FILM and job.stages:
        started = time.perf_counter()
        with stages.watching():
            _file_to_file(job, restorer, colorizer, pictures)
        watched = time.perf_counter() - started
    work = float("nan")
    if job.count:
        shown = references(job.references, job.size) if colorizer else []
        pipeline = RemasterPipeline(*_workers(job, "torch"), shown)  # only torch can count
        work = macs(lambda: passage(pipeline, reel, warm)) / warm
    return Measured(
        seconds=seconds,
        latency=waits,
        encoding=encoding,
        peak=peak,
        idle=idle,
        macs=work,
        stages=dict(stages.seconds),
        watched=watched,
    )


def _file_to_file(
    job: Job, restorer: Restorer | None, colorizer: Colorizer | None, pictures: Sequence[Reference]
) -> tuple[list[float], list[float]]:
    """Remaster the film; when each frame was handed to the networks, and when each was written."""
    given, came = [], []
    with tempfile.TemporaryDirectory() as folder:
        remaster_film(
            Path(job.source),
            Path(folder) / "remastered.mkv",
            restore=restorer,
            colorize=colorizer,
            references=pictures,
            check=lambda: given.append(time.perf_counter()),
            look=lambda picture: came.append(time.perf_counter()),
        )
    return given, came


def in_child(job: Job) -> Measured:
    """Measure in a fresh process; with task `film` a synthetic film is written for it first.

    Raises:
        RemasterError: what the library says there, or the last thing that the process said before it failed.
    """
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryDirectory() as folder:
        if job.task == FILM:
            job = replace(job, source=str(Path(folder) / "film.mkv"))
            write_film(Path(job.source), job.frames, job.size)
        command = [sys.executable, "-m", __name__, json.dumps(asdict(job))]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        ended = f"the process ended with {done.returncode}; was there enough memory?"
        raise RemasterError(f"cannot measure {job.task} at {job.width}x{job.height}: {said[-1] if said else ended}")
    found = json.loads(done.stdout.splitlines()[-1])
    if "error" in found:
        raise RemasterError(found["error"])
    return Measured(**found)


def main(argument: str) -> None:
    """Print what was measured, or the error, as JSON."""
    try:
        found = asdict(run(Job(**json.loads(argument))))
    except RemasterError as error:
        found = {"error": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    take_over()
    main(sys.argv[1])
