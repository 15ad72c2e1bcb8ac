"""Blocks are recorded and replayed: with a recorder that is played on the CPU. What CUDA graphs give is tested in
`test_gpu.py`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.support.nowhere import NOWHERE, on_a_gpu, there, waits
from vs_remaster.engines import pytorch, replay
from vs_remaster.engines.pytorch import TorchEngine
from vs_remaster.engines.replay import Replays
from vs_remaster.models.layers import Halo
from vs_remaster.models.restorer import thumbnails
from vs_remaster.models.sharpener import softness
from vs_remaster.system.torch_private import map_tensors
from vs_remaster.weights import find, load_model, load_weights


class Recorder:
    """As CUDA graphs are: what a record writes lies where it lay before, and its next replay writes over it."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, run: Callable[[], Any]) -> tuple[Callable[[], Any], Any]:
        self.recorded += 1
        outputs = run()
        flat: list[Tensor] = []
        map_tensors(flat.append, outputs)

        def again() -> None:
            self.replayed += 1
            fresh: list[Tensor] = []
            map_tensors(fresh.append, run())
            for old, new in zip(flat, fresh, strict=True):
                old.copy_(new)

        for x in flat:
            x.fill_(torch.nan)  # recording computes nothing
        return again, outputs


def double(x: Tensor) -> tuple[Tensor, dict[str, list[Tensor]]]:
    return 2 * x, {"more": [x + 1]}


def test_the_third_time_is_a_replay_and_each_result_stays_what_it_was():
    recorder = Recorder()
    replays = Replays(recorder)
    made = [replays("double", double, [torch.full((3,), float(i))]) for i in range(6)]
    assert (recorder.recorded, recorder.replayed) == (1, 4)
    for i, (twice, more) in enumerate(made):
        assert twice.tolist() == [2 * i] * 3 and more["more"][0].tolist() == [i + 1] * 3


def test_what_differs_in_size_kind_or_what_is_held_is_recorded_apart():
    recorder, a, b = Recorder(), torch.ones(1), torch.ones(1)
    replays = Replays(recorder)
    given = [
        ("x", torch.zeros(2), a),
        ("x", torch.zeros(3), a),
        ("x", torch.zeros(2, dtype=torch.float64), a),
        ("y", torch.zeros(2), a),
        (("x", Halo(1, 2)), torch.zeros(2), a),
        ("x", torch.zeros(2), b),
    ]
    for _ in range(3):
        for kind, x, held in given:
            assert replays(kind, lambda x, held=held: x + held, [x], [held]).tolist() == [1] * len(x)
    assert recorder.recorded == recorder.replayed == len(given)


def test_few_records_are_kept_and_give_way_when_they_are_not_used(monkeypatch):
    monkeypatch.setattr(replay, "_MOST", 3)
    monkeypatch.setattr(replay, "_STALE", 10)
    recorder = Recorder()
    replays = Replays(recorder)
    for _ in range(20):  # in turn, as the tiles of a large frame
        for size in range(1, 6):
            replays("x", double, [torch.zeros(size)])
    assert recorder.recorded == len(replays._made) == 3
    assert recorder.replayed == 3 * 18
    for _ in range(20):  # then a film of another size
        replays("x", double, [torch.zeros(9)])
    assert recorder.recorded == 4 and len(replays._made) == 3


def test_few_kinds_of_work_are_counted():
    replays = Replays(Recorder())
    for size in range(2 * replay._MOST_COUNTED):
        replays("x", double, [torch.zeros(size)])
    assert len(replays._seen) == replay._MOST_COUNTED


def test_where_recording_fails_that_is_said_once_and_work_goes_on(caplog):
    def fails(run: Callable[[], Any]) -> Any:
        run()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    replays = Replays(fails)
    with caplog.at_level(logging.WARNING):
        for size in (2, 2, 2, 2, 3, 3, 3):
            assert replays("x", double, [torch.ones(size)])[0].tolist() == [2] * size
    (told,) = caplog.messages
    assert "cannot be recorded (operation not permitted when stream is capturing): " in told


def windows(make: Callable[[TorchEngine, Tensor, int], Any], engines: list[TorchEngine]) -> None:
    """Four blocks in each engine; the same tensors come out, bit for bit."""
    for number in range(4):
        luma = torch.rand(6, 1, 64, 96, generator=torch.Generator().manual_seed(number))
        made: list[list[Tensor]] = [[], []]
        for engine, flat in zip(engines, made):
            map_tensors(flat.append, make(engine, luma, number))
        assert len(made[0]) == len(made[1]) and all(map(torch.equal, *made))


def both(net: Callable[[], Any]) -> tuple[list[TorchEngine], Recorder]:
    recorder = Recorder()
    return [TorchEngine(net(), "cpu", "fp32"), TorchEngine(net(), "cpu", "fp32", capture=recorder)], recorder


def test_restoring():
    engines, recorder = both(lambda: load_model("restorer", "fast"))
    windows(lambda engine, luma, _: engine.restore(luma, thumbnails(luma[None])[0], Halo(1, 1)), engines)
    assert (recorder.recorded, recorder.replayed) == (1, 2)


@pytest.mark.parametrize("scale", [1, 2])
def test_sharpening(scale):
    engines, recorder = both(lambda: load_weights(find("sharpener", "fast"), "sharpener"))
    windows(lambda engine, luma, _: engine.sharpen(luma, softness(luma[None])[0], Halo(1, 0), scale), engines)
    assert (recorder.recorded, recorder.replayed) == (1, 2)


def test_colouring():
    engines, recorder = both(lambda: load_model("colorizer", "fast"))
    picture = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(7))
    memories = {engine: engine.encode([(picture[:, :1], picture[:, 1:] - 0.5)]) for engine in engines}

    def make(engine: TorchEngine, luma: Tensor, number: int) -> Any:
        looks = engine.look(luma, memories[engine])
        return looks, engine.render(luma, looks, memories[engine], Halo(2, 1))

    windows(make, engines)
    frames = 4 * 6  # on a CPU each is looked at by itself
    assert (recorder.recorded, recorder.replayed) == (2, frames - 2 + 4 - 2)


def test_another_set_of_references_is_another_record():
    engines, recorder = both(lambda: load_model("colorizer", "fast"))
    pictures = [torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(n)) for n in (7, 8)]
    given = [(picture[:, :1], picture[:, 1:] - 0.5) for picture in pictures]
    memories = {engine: engine.encode(given) for engine in engines}
    some = {engine: [memory.subset([i], [1.0]) for i in (0, 1)] for engine, memory in memories.items()}
    windows(lambda engine, luma, number: engine.look(luma, some[engine][number % 2]), engines)
    assert recorder.recorded == 2


def test_nothing_is_recorded_on_a_cpu_or_where_it_is_compiled(monkeypatch):
    assert TorchEngine(load_model("restorer", "fast"), "cpu", "fp32")._replays is None
    monkeypatch.setattr(pytorch, "_compile", lambda net, graphs: net)
    compiled = TorchEngine(load_model("restorer", "fast"), "cpu", "fp32", compiled=True, capture=Recorder())
    assert compiled._replays is None


# ---- what can be recorded: the networks on a GPU of which there is only the name


@pytest.mark.parametrize("model", ["fast", "quality"])
def test_restoring_can_be_recorded(model):
    engine = TorchEngine(load_model("restorer", model), "cpu", "fp32")
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_a_gpu(engine)
        luma, thumbs = torch.rand(24, 1, 96, 128, device=NOWHERE), torch.rand(56, 1, 36, 48, device=NOWHERE)
        assert not waits(lambda: engine.restore(luma, thumbs, Halo(20, 20)))


@pytest.mark.parametrize("scale", [1, 2])
def test_sharpening_can_be_recorded(scale):
    engine = TorchEngine(load_weights(find("sharpener", "fast"), "sharpener"), "cpu", "fp32")
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_a_gpu(engine)
        luma, figures = torch.rand(10, 1, 96, 128, device=NOWHERE), torch.rand(10, 7, device=NOWHERE)
        assert not waits(lambda: engine.sharpen(luma, figures, Halo(1, 1), scale))


@pytest.mark.parametrize("model", ["fast", "quality"])
def test_colouring_can_be_recorded(model):
    engine = TorchEngine(load_model("colorizer", model), "cpu", "fp32")
    picture = torch.rand(1, 3, 96, 128)
    known = engine.encode([(picture[:, :1], picture[:, 1:] - 0.5)] * 2)
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_a_gpu(engine)
        memory = map_tensors(there, known)
        luma = torch.rand(22, 1, 96, 128, device=NOWHERE)
        looks = engine.look(luma, memory)
        assert not waits(lambda: engine.look(luma, memory))
        assert not waits(lambda: engine.render(luma, looks, memory, Halo(3, 3)))


def test_what_cannot_be_recorded_is_noticed():
    with FakeTensorMode():
        x = torch.rand(3, device=NOWHERE)
        assert waits(lambda: torch.arange(3).to(NOWHERE)) == ["aten::_to_copy"]
        assert waits(lambda: x.cpu()) == ["aten::_to_copy"]
        assert waits(lambda: 2 * x + 1) == []
