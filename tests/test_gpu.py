"""The networks on a GPU: the same pictures as on the CPU, on the device from end to end, and back in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vs_remaster.color.samples import decode_luma
from vs_remaster.engines.providers import check_provider, usable_tensorrt
from vs_remaster.engines.transfer import Transfer
from vs_remaster.errors import UnsupportedError
from vs_remaster.film.remastering import remaster_frames
from vs_remaster.output.formats import output_format
from vs_remaster.references.reference import Reference, load_references
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.remaster.pipeline import Picture, RemasterPipeline
from vs_remaster.remaster.restorer import Restorer
from vs_remaster.video.planes import Frame
from vs_remaster.video.reader import VideoReader

pytestmark = pytest.mark.gpu

SAMPLE = Path(__file__).parent / "data"
NEAR = {"fp32": 5e-3, "fp16": 2e-2}  # of the CPU's fp32; on a GPU its convolutions are TF32


@pytest.fixture(scope="module")
def film() -> torch.Tensor:
    """The first shot of the sample, luma `[T, 1, H, W]`."""
    with VideoReader(SAMPLE / "sample.mkv", 0, 40) as reader:
        return torch.stack([decode_luma(frame.planes, reader.info) for frame in reader])


@pytest.fixture(scope="module")
def references() -> list[Reference]:
    return load_references(SAMPLE / "references")


ENGINES = ["torch", "compile", "onnxruntime", "tensorrt"]


def ready(engine: str) -> None:
    """Skip where the engine's library is not there."""
    if engine in ("onnxruntime", "tensorrt"):
        pytest.importorskip("onnxruntime")
        try:
            if engine == "onnxruntime":
                check_provider("cuda", 0)
            elif usable_tensorrt(0) == "cuda":
                pytest.skip("no TensorRT runs on this card")
        except UnsupportedError as error:
            pytest.skip(str(error))


def how(device: str, precision: str = "fp32", engine: str = "torch", model: str = "fast") -> dict[str, str]:
    return {"model": model, "device": device, "precision": precision, "engine": engine}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", NEAR)
@pytest.mark.parametrize("model", ["fast", "quality"])
def test_restoring_is_as_on_the_cpu(film, model, precision, engine):
    ready(engine)
    both = how("cuda", precision, engine, model), how("cpu", model=model)
    there, here = (Restorer(RestoreOptions(**x)).restore(film) for x in both)
    assert there.luma.device.type == "cpu"
    assert (there.luma - here.luma).abs().quantile(0.999) < NEAR[precision]
    assert (there.mask - here.mask).abs().mean() < NEAR[precision]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", NEAR)
@pytest.mark.parametrize("model", ["fast", "quality"])
def test_colouring_is_as_on_the_cpu(film, references, model, precision, engine):
    ready(engine)
    made = []
    for options in (how("cuda", precision, engine, model), how("cpu", model=model)):
        colorizer = Colorizer(ColorizeOptions(**options, lines=160))
        made.append(colorizer.colorize(film[:20], colorizer.encode_references(references)))
    there, here = made
    # here and there another position of a reference is the most similar one, so single pixels may differ
    assert (there.chroma - here.chroma).abs().mean() < NEAR[precision] / 5
    assert (there.shares - here.shares).abs().max() < NEAR[precision]


def test_tiles_are_as_the_whole_frame(film):
    whole, tiled = (Restorer(RestoreOptions(**how("cuda"), tile=tile)).restore(film[:16]).luma for tile in (0, 384))
    assert (whole - tiled).abs().max() < 1e-2


@pytest.mark.parametrize("engine", ENGINES)
def test_a_film_is_as_its_parts_and_comes_back_in_order(film, references, engine):
    ready(engine)
    restorer = Restorer(RestoreOptions(**how("cuda", engine=engine)))
    colorizer = Colorizer(ColorizeOptions(**how("cuda", engine=engine), lines=160))
    pipeline = RemasterPipeline(restorer, colorizer, references, [25])
    out = list(pipeline.process(Picture(luma, None, i, payload=i) for i, luma in enumerate(film)))
    assert [p.payload for p in out] == list(range(len(film)))
    assert all(x.device.type == "cpu" for p in out for x in (p.luma, p.chroma, p.mask, p.shares))
    luma = restorer.restore(film, [25]).luma
    chroma = colorizer.colorize(luma, colorizer.encode_references(references), [25]).chroma
    assert torch.equal(torch.stack([p.luma for p in out]), luma)
    assert torch.equal(torch.stack([p.chroma for p in out]), chroma)


@pytest.mark.parametrize("precision", NEAR)
def test_replayed_blocks_are_as_those_done_step_by_step(film, references, precision):
    long = torch.cat([film, film.flip(0)] * 2)
    made = []
    for replays in (True, False):
        restorer = Restorer(RestoreOptions(**how("cuda", precision), sharpness=1))
        colorizer = Colorizer(ColorizeOptions(**how("cuda", precision), lines=160))
        engines = [restorer.engine, restorer.sharpener.engine, colorizer.engine]
        if not replays:
            for engine in engines:
                engine._replays = None
        luma = restorer.restore(long).luma
        chroma = colorizer.colorize(long, colorizer.encode_references(references)).chroma
        made.append((luma, chroma))
        assert not replays or all(engine._replays._made and not engine._replays._failed for engine in engines)
    assert all((a - b).abs().max() < 1e-3 for a, b in zip(*made))


def test_film_planes_made_on_the_device_are_those_of_the_cpu(references):
    made: list[list[Frame]] = [[], []]
    for device, frames in zip(("cuda", "cpu"), made):
        restorer = Restorer(RestoreOptions(**how(device)))
        colorizer = Colorizer(ColorizeOptions(**how(device), lines=160))
        with VideoReader(SAMPLE / "sample.mkv", 0, 40) as reader:
            out = replace(output_format(reader.info, "ffv1", True), bits=8)
            pipeline = RemasterPipeline(restorer, colorizer, references, "auto")
            remaster_frames(reader, frames.append, pipeline, reader.info, out)
    assert [frame.index for frame in made[0]] == [frame.index for frame in made[1]] == list(range(40))
    for there, here in zip(*made):
        for a, b in zip(there.planes, here.planes, strict=True):
            assert a.dtype == b.dtype and np.abs(a.astype(int) - b).mean() < 1


def test_tensorrt_is_no_slower_than_cuda(film, capsys):
    """Otherwise nobody needs it."""
    ready("tensorrt")
    ready("onnxruntime")
    restorers = [Restorer(RestoreOptions(**how("cuda", "fp16", engine))) for engine in ("tensorrt", "onnxruntime")]
    took: list[list[float]] = [[], []]
    for _ in range(5):
        for restorer, times in zip(restorers, took):
            started = time.perf_counter()
            restorer.restore(film)
            times.append(time.perf_counter() - started)
    ours, theirs = (min(times[1:]) / len(film) * 1000 for times in took)
    with capsys.disabled():
        print(f"restoring with TensorRT {ours:.2f} ms a frame, with CUDA {theirs:.2f}")
    assert ours < 1.1 * theirs


def test_copies_do_not_overtake_the_work():
    """Large tensors go there and back many times while the device is busy; each comes back as it was made."""
    transfer = Transfer("cuda")

    def values() -> Iterator[torch.Tensor]:
        for i in range(40):
            yield torch.full((1, 1080, 1920), float(i))

    coming = []
    for value in values():
        there = transfer.there(value)
        busy = torch.ones(2048, 2048, device="cuda")
        for _ in range(20):
            busy = busy @ busy * 1e-6
        coming.append(transfer.back([2 * there + 0 * busy[0, 0].nan_to_num(0, 0, 0), None]))
        del there
    for i, finish in enumerate(coming):
        value, nothing = finish()
        assert nothing is None and bool((value == 2 * i).all())
