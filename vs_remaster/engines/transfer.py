"""Pictures on their way to a device and back, beside its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Transfer:
    """Copies between this machine's memory and a device; where the device is the CPU, nothing is copied.

    On a GPU copies go through pinned memory, on a stream of their own in each direction: while the networks work on
    one block, the next block's frames come and the last block's leave. Whoever reads and writes in threads of their own
    works there `lifting` and `lowering`.

    Args:
        device: `cpu`, `cuda` or `cuda:n`.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.idle = self.device.type == "cpu"
        if not self.idle:
            self._up, self._down = (torch.cuda.Stream(self.device) for _ in range(2))

    def up(self, plane: np.ndarray) -> Tensor:
        """A plane `[h, w]` on the device, in its own samples; see `there`."""
        kind = torch.from_numpy(np.empty(0, plane.dtype.newbyteorder("="))).dtype
        pinned = torch.empty(plane.shape, dtype=kind, pin_memory=True)
        np.copyto(pinned.numpy(), plane)
        return self._sent(pinned)

    def down(self, planes: Sequence[Tensor]) -> list[np.ndarray]:
        """Planes from the device, in their own samples, when they are there."""
        return [plane.numpy() for plane in self.back(planes)() if plane is not None]

    def there(self, value: Tensor | None) -> Tensor | None:
        """`value` on the device; work that is asked for from now on waits for it."""
        if value is None or value.device.type == self.device.type:
            return value
        return self._sent(value.contiguous().pin_memory())

    def _sent(self, pinned: Tensor) -> Tensor:
        working = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._up):
            moved = pinned.to(self.device, non_blocking=True)
        working.wait_stream(self._up)
        moved.record_stream(working)  # its memory is not given away before the work on it is done
        return moved

    def back(self, values: Sequence[Tensor | None]) -> Callable[[], list[Tensor | None]]:
        """Begin to copy `values` to this machine's memory; the function returned waits for the end and gives them."""
        if self.idle:
            return lambda: list(values)
        self._down.wait_stream(torch.cuda.current_stream(self.device))
        copies: list[Tensor | None] = []
        with torch.cuda.stream(self._down):
            for value in values:
                if value is not None and value.device.type != "cpu":
                    value.record_stream(self._down)
                    value = torch.empty(value.shape, dtype=value.dtype, pin_memory=True).copy_(value, non_blocking=True)
                copies.append(value)
            done = self._down.record_event()

        def finish() -> list[Tensor | None]:
            done.synchronize()
            return copies

        return finish

    def lifting(self) -> AbstractContextManager[Any]:
        """In the thread that reads: what is done on the device with what has just come up waits for nothing else."""
        return nullcontext() if self.idle else torch.cuda.stream(self._up)

    def lifted(self) -> None:
        """Wait until what was done `lifting` is there for all."""
        if not self.idle:
            self._up.synchronize()

    def used(self, values: Sequence[Tensor | None]) -> None:
        """Say that work from now on uses what came up elsewhere."""
        for value in values:
            if value is not None and value.is_cuda:
                value.record_stream(torch.cuda.current_stream(self.device))

    def made(self) -> Any:
        """A mark of what has been asked for until now, for `lowering`."""
        return None if self.idle else torch.cuda.current_stream(self.device).record_event()

    def lowering(self, made: Any) -> AbstractContextManager[Any]:
        """In the thread that writes: what is done on the device waits for this mark, and not for later work."""
        if self.idle:
            return nullcontext()
        self._down.wait_event(made)
        return torch.cuda.stream(self._down)
