"""Pictures on their way to a device and back, beside its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Transfer:
    """Copies between this machine's memory and a device; where the device is the CPU, nothing is copied.

    On a GPU copies go through pinned memory, on a stream of their own in each direction: while the networks work on
    one block, the next block's frames come and the last block's leave.

    Args:
        device: `cpu`, `cuda` or `cuda:n`.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.idle = self.device.type == "cpu"
        if not self.idle:
            self._up, self._down = (torch.cuda.Stream(self.device) for _ in range(2))

    def there(self, value: Tensor | None) -> Tensor | None:
        """`value` on the device; work that is asked for from now on waits for it."""
        if value is None or value.device.type == self.device.type:
            return value
        working = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._up):
            moved = value.contiguous().pin_memory().to(self.device, non_blocking=True)
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
