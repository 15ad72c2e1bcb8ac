"""Work that a GPU repeats, block after block, recorded once and replayed: as CUDA graphs.

A block of frames takes hundreds of kernels, and Python asks for them more slowly than a fast card works them off. What
is replayed is asked for at once.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..system.torch_private import map_tensors

log = logging.getLogger(__name__)

_SEEN_BEFORE = 2  # times that work is done as it comes; what the first scene cuts leave is not worth recording
_MOST = 8  # records kept: whole blocks, those at the film's ends, and what two sizes of film need
_STALE = 64  # pieces of work in which a record that gives way to another was not used
_MOST_COUNTED = 256  # kinds of work that are counted

Capture = Callable[[Callable[[], Any]], tuple[Callable[[], Any], Any]]
"""Records what a function does; gives what does it again, and the tensors that hold the result afterwards."""


@dataclass
class _Record:
    """Attributes: inputs: where `replay` reads. outputs: where it writes. held: what it reads that does not change.
    used: when it was replayed last, in pieces of work."""

    inputs: Sequence[Tensor]
    replay: Callable[[], Any]
    outputs: Any
    held: object
    used: int


class Replays:
    """Does work as it comes, or by replaying a record of it from the third time on.

    Where recording fails, that is said once, and all is done as it comes from then on.

    Args:
        capture: how work is recorded.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._seen: OrderedDict[Hashable, int] = OrderedDict()
        self._made: OrderedDict[Hashable, _Record] = OrderedDict()
        self._failed = False
        self._count = 0  # pieces of work
        self._lock = threading.Lock()  # between the copies in and the copies out nobody else replays

    def __call__(
        self, kind: Hashable, run: Callable[..., Any], inputs: Sequence[Tensor], held: Sequence[Tensor] = ()
    ) -> Any:
        """What `run(*inputs)` gives.

        Args:
            kind: tells this work from other work, with all that `run` depends on beside the inputs' values.
            run: makes tensors, in tuples, lists or named tuples or by itself; sizes follow from `kind` and those of the
                inputs.
            inputs: on the device.
            held: other tensors that `run` reads: the very same ones each time.
        """
        key = kind, tuple((x.shape, x.dtype) for x in inputs), tuple(map(id, held))
        with self._lock:
            record = None if self._failed else self._record(key, run, inputs, held)
            if record is not None:
                for mine, given in zip(record.inputs, inputs, strict=True):
                    mine.copy_(given)
                record.replay()
                return map_tensors(torch.clone, record.outputs)
        return run(*inputs)

    def _record(
        self, key: Hashable, run: Callable[..., Any], inputs: Sequence[Tensor], held: Sequence[Tensor]
    ) -> _Record | None:
        """The record for a key, made now if it is time; None: not yet, or it failed."""
        self._count += 1
        if key in self._made:
            self._made.move_to_end(key)
            self._made[key].used = self._count
            return self._made[key]
        seen = self._seen.pop(key, 0)
        if seen < _SEEN_BEFORE:
            self._seen[key] = seen + 1
            while len(self._seen) > _MOST_COUNTED:
                self._seen.popitem(last=False)
            return None
        if len(self._made) >= _MOST:
            oldest = next(iter(self._made))
            if self._count - self._made[oldest].used < _STALE:  # as with many tiles: each would push another out
                return None
            del self._made[oldest]
        mine = [x.clone() for x in inputs]
        try:
            replay, outputs = self._capture(lambda: run(*mine))
        except Exception as error:
            self._failed = True
            self._made.clear()
            why = str(error).strip().splitlines() or [type(error).__name__]
            log.warning("the GPU's work cannot be recorded (%s): it is asked for step by step, which is slower", why[0])
            return None
        self._made[key] = _Record(mine, replay, outputs, tuple(held), self._count)
        return self._made[key]


class CudaCapture:
    """Records work on a CUDA device.

    All records share their memory: each is replayed and its results copied before the next one is.

    Args:
        device: `cuda` or `cuda:n`.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._pool: Any = None

    def __call__(self, run: Callable[[], Any]) -> tuple[Callable[[], Any], Any]:
        """See `Capture`."""
        with torch.cuda.device(self._device), torch.cuda.stream(torch.cuda.current_stream()):
            current, stream, graph = torch.cuda.current_stream(), torch.cuda.Stream(), torch.cuda.CUDAGraph()
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                run()  # libraries take their memory for a stream when it is first used
            current.wait_stream(stream)
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            # other threads go on copying frames meanwhile
            with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
                outputs = run()
        return graph.replay, outputs
