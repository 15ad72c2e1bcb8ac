"""A frame crosses the bus once each way, in the film's own samples: counted on a CPU that plays a device."""

from __future__ import annotations

import io
from typing import get_args

import cv2
import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.support.counting import CountingTransfer, counted
from tests.support.films import moving, same
from tests.support.nowhere import NOWHERE, on_a_gpu, there, waits
from vs_remaster.color.samples import Kind, Lifted, Samples, decode, encode, plane_sizes
from vs_remaster.engines.transfer import Transfer
from vs_remaster.film.remastering import remaster_frames
from vs_remaster.film.request import Treatment
from vs_remaster.models.layers import Halo
from vs_remaster.pipe import PipeOptions, remaster_pipe
from vs_remaster.references.reference import Reference
from vs_remaster.remaster import pipeline as pipelines
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, PrepareOptions, RestoreOptions
from vs_remaster.remaster.picture import Picture
from vs_remaster.remaster.pipeline import RemasterPipeline
from vs_remaster.remaster.restorer import Passing, Restorer
from vs_remaster.system.torch_private import map_tensors
from vs_remaster.video.planes import Frame
from vs_remaster.video.rawvideo import RawFormat, raw_format

CPU = {"model": "fast", "device": "cpu", "precision": "fp32"}
WIDTH, HEIGHT, COUNT = 64, 48, 20
LUMA, CHROMA = WIDTH * HEIGHT, 2 * WIDTH * HEIGHT // 4  # samples of 4:2:0


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(RestoreOptions(**CPU))


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(ColorizeOptions(**CPU, lines=64))


@pytest.fixture
def buses(monkeypatch) -> list[CountingTransfer]:
    """Those of the pipelines that are made from now on."""
    return counted(monkeypatch, pipelines)


def treated(task: str, restorer: Restorer, colorizer: Colorizer, **more) -> Treatment:
    """What a task does to a film."""
    picture = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    colours = task != "restore"
    return Treatment(
        restore=None if task == "colour" else restorer,
        colorize=colorizer if colours else None,
        references=[Reference("a", picture)] if colours else [],
        **more,
    )


def film_of(pix_fmt: str) -> tuple[RawFormat, list[Frame]]:
    info = raw_format(pix_fmt, WIDTH, HEIGHT, matrix="bt601", full_range=False)
    return info, [Frame(i, i, moving(pix_fmt, WIDTH, HEIGHT, i)) for i in range(COUNT)]


def made_of(treatment: Treatment, pix_fmt: str, pipeline: RemasterPipeline | None = None) -> list[Frame]:
    info, frames = film_of(pix_fmt)
    made: list[Frame] = []
    pipeline = pipeline or treatment.pipeline()
    remaster_frames(frames, made.append, pipeline, info, info, given=treatment.given())
    return made


def on_the_cpu(treatment: Treatment) -> RemasterPipeline:
    pipeline = treatment.pipeline()
    pipeline.transfer = Transfer("cpu")
    return pipeline


def crossed(bus: CountingTransfer, task: str, size: int) -> bool:
    """Whether what crossed is what the task needs of a film in 4:2:0, `size` bytes a sample, and no more."""
    up = COUNT * size * (LUMA + CHROMA * (task == "restore"))  # what is coloured needs no old chroma
    down = COUNT * size * (LUMA * (task != "colour") + CHROMA)
    least = COUNT * size * LUMA if task == "restore" else down  # chroma comes back where damage was repaired in it
    return bus.went_up == up and least <= bus.came_down <= down


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv420p16le"])
@pytest.mark.parametrize("task", ["restore", "colour", "both"])
def test_a_film_crosses_once_each_way_in_its_own_samples(restorer, colorizer, buses, task, pix_fmt):
    treatment = treated(task, restorer, colorizer)
    made = made_of(treatment, pix_fmt)
    (bus,) = buses
    assert crossed(bus, task, 1 if pix_fmt == "yuv420p" else 2), (bus.went_up, bus.came_down)
    assert same(made, made_of(treatment, pix_fmt, on_the_cpu(treatment)))


@pytest.mark.parametrize("task", ["restore", "colour", "both"])
def test_a_pipe_does_too(restorer, colorizer, buses, task):
    _, frames = film_of("yuv420p")
    raw = b"".join(plane.tobytes() for frame in frames for plane in frame.planes)
    sink = io.BytesIO()
    how = PipeOptions(format="raw", size=(WIDTH, HEIGHT), pix_fmt="yuv420p")
    assert remaster_pipe(io.BytesIO(raw), sink, how, treated(task, restorer, colorizer)) == COUNT
    assert crossed(buses[0], task, 1) and len(sink.getvalue()) == len(raw)


def test_a_black_and_white_film_with_chroma_sends_luma_alone(restorer, buses):
    info, frames = film_of("yuv420p")
    for frame in frames:
        for plane in frame.planes[1:]:
            plane[:] = 128
    made: list[Frame] = []
    remaster_frames(frames, made.append, treated("restore", restorer, None).pipeline(), info, info)
    assert (buses[0].went_up, buses[0].came_down) == (COUNT * LUMA, COUNT * LUMA)
    assert all((plane == 128).all() for frame in made for plane in frame.planes[1:])


@pytest.mark.parametrize("edges", ["fill", "crop"])
def test_frames_whose_weave_is_taken_out_go_no_oftener(restorer, buses, edges):
    treatment = treated("restore", restorer, None, prepare=PrepareOptions(steady=1, steady_edges=edges))
    info, frames = film_of("yuv420p")
    for number, frame in enumerate(frames):
        frame.planes = [np.roll(plane, number % 2 * 2 // (1 + bool(i)), 0) for i, plane in enumerate(frame.planes)]
    made: list[list[Frame]] = [[], []]
    out = treatment.shown(info)
    for place, pipeline in zip(made, (treatment.pipeline(), on_the_cpu(treatment))):
        remaster_frames(frames, place.append, pipeline, info, out)
    assert buses[0].went_up == COUNT * (LUMA + CHROMA) >= buses[0].came_down
    assert same(*made)


def test_masks_go_with_the_frames_that_have_some(restorer, buses, tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:20, 10:20] = 255
    cv2.imwrite(str(tmp_path / "mask_3.png"), mask)
    treatment = treated("restore", restorer, None, repair=tmp_path)
    made = made_of(treatment, "gray")
    assert buses[0].went_up == COUNT * LUMA + 4 * LUMA
    assert same(made, made_of(treatment, "gray", on_the_cpu(treatment)))


def test_pictures_of_other_hosts_go_as_the_floats_that_they_are(restorer, buses):
    frames = [torch.rand(1, HEIGHT, WIDTH) for _ in range(COUNT)]
    pipeline = treated("restore", restorer, None).pipeline()
    made = list(pipeline.process(Picture(luma, None, i) for i, luma in enumerate(frames)))
    plain = list(
        on_the_cpu(treated("restore", restorer, None)).process(Picture(x, None, i) for i, x in enumerate(frames))
    )
    assert buses[0].went_up == 4 * COUNT * LUMA and buses[0].came_down == 2 * 4 * COUNT * LUMA  # with the mask
    assert all(torch.equal(a.luma, b.luma) for a, b in zip(made, plain, strict=True))


DEPTHS = [(8, False, False), (10, True, False), (16, False, False), (16, False, True), (32, False, True)]


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("bits, full, floats", DEPTHS)
def test_lifted_planes_become_the_same_floats_and_code_values(kind, bits, full, floats):
    samples = Samples(kind, bits, (1, 1) if kind == "yuv" else (0, 0), "bt601", full, floats=floats)
    rng, bus = np.random.default_rng(0), CountingTransfer()
    sizes = plane_sizes(kind, WIDTH, HEIGHT, samples.subsampling)
    if floats:
        planes = [rng.normal(0.4, 0.5, size).astype(samples.dtype) for size in sizes]
        planes[0][3, :3] = np.nan, np.inf, -np.inf
    else:
        planes = [rng.integers(0, 1 << bits, size, samples.dtype) for size in sizes]
    for plane in planes:
        plane.flags.writeable = False
    lifted = Lifted(planes, bus)
    luma, chroma = decode(planes, samples)
    there = decode(lifted, samples)
    assert torch.equal(luma, there[0]) and (chroma is there[1] is None or torch.equal(chroma, there[1]))
    for colored in (False, True):
        for kept, outs in (((luma * 0.9, chroma), (samples, Samples("rgb", 16))), ((None, chroma), (samples,))):
            for out in outs:
                if colored and (out.kind == "gray" or kept[1] is None):
                    continue
                made = [encode(*kept, given, samples, out, colored=colored) for given in (planes, lifted)]
                assert all(
                    p.dtype == q.dtype and np.array_equal(p, q, equal_nan=floats) for p, q in zip(*made, strict=True)
                )
    assert bus.went_up == sum(plane.nbytes for plane in planes), "each plane goes up once"


class NameOfABus:
    """To the device of which there is only the name."""

    def up(self, plane: np.ndarray) -> torch.Tensor:
        return torch.empty(plane.shape, dtype=torch.from_numpy(plane).dtype, device=NOWHERE)

    def down(self, planes: list[torch.Tensor]) -> list[np.ndarray]:
        assert all(plane.device == torch.device(NOWHERE) for plane in planes)
        return [np.empty(plane.shape, str(plane.dtype).removeprefix("torch.")) for plane in planes]


@pytest.mark.parametrize("lines", [0, 96])
def test_no_block_waits_for_this_machine(lines, monkeypatch):
    """Nothing but the frames crosses the bus, when the constants are there: no sizes, no numbers of frames. Left out is
    what is asked once a block: which frames have large damage, for filling and for what only flew by."""
    monkeypatch.setattr("vs_remaster.remaster.restorer.give_back", lambda *given: given[2:4])
    restorer = Restorer(RestoreOptions(**CPU, lines=lines))
    assert restorer.sharpener is not None
    with FakeTensorMode(allow_non_fake_inputs=True):
        for engine in (restorer.engine, restorer.sharpener.engine):
            on_a_gpu(engine)
        frames = [Passing(torch.rand(1, 192, 256, device=NOWHERE)) for _ in range(56)]
        made = restorer.clean(frames, Halo(20, 20))
        assert not waits(lambda: restorer.clean(frames, Halo(20, 20)))
        assert not waits(lambda: restorer.sharpen(made, Halo(1, 1)))
        assert not waits(lambda: restorer.finish(frames[0].luma, made[0]))


def test_no_block_waits_for_this_machine_to_colour():
    colorizer = Colorizer(ColorizeOptions(**CPU, lines=64))
    memory = colorizer.encode_references([Reference(str(i), torch.rand(3, 96, 128)) for i in range(2)])
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_a_gpu(colorizer.engine)
        memory.whole = map_tensors(there, memory.whole)
        frames = [torch.rand(1, 192, 256, device=NOWHERE) for _ in range(38)]
        luma, new = frames[:22], frames[16:]
        colorizer.process(luma, memory, Halo(3, 3))
        # six of them lay in the block before
        assert not waits(lambda: colorizer.process([*luma[16:], *(x.clone() for x in new[6:])], memory, Halo(3, 3)))


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("bits, full, floats", DEPTHS)
def test_only_planes_cross_when_they_become_floats_and_code_values(kind, bits, full, floats):
    samples = Samples(kind, bits, (0, 0), "bt601", full, floats=floats)
    planes = [np.zeros(size, samples.dtype) for size in plane_sizes(kind, WIDTH, HEIGHT)]
    with FakeTensorMode():
        luma, chroma = (torch.rand(count, HEIGHT, WIDTH, device=NOWHERE) for count in (1, 2))

        def there_and_back() -> None:
            lifted = Lifted(planes, NameOfABus())
            decode(lifted, samples)
            out = Samples("yuv", 16) if kind == "gray" else samples
            for given in (luma, None):
                made = encode(given, chroma, lifted, samples, out, colored=True)
                assert [plane.dtype for plane in made] == [out.dtype] * 3

        assert not waits(there_and_back)
