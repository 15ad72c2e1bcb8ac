"""A way to a device that is played on the CPU, and counts what would cross the bus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor

from vs_remaster.engines.transfer import Transfer


def counted(monkeypatch: pytest.MonkeyPatch, module: object) -> list[CountingTransfer]:
    """Those that a module makes from now on."""
    made: list[CountingTransfer] = []

    def counting(device: str) -> CountingTransfer:
        made.append(CountingTransfer(device))
        return made[-1]

    monkeypatch.setattr(module, "Transfer", counting)
    return made


class CountingTransfer(Transfer):
    """Its copies are copies in this machine's memory.

    Attributes:
        went_up, came_down: bytes of all that crossed.
    """

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        self.idle = False
        self.went_up = self.came_down = 0

    def _sent(self, pinned: Tensor) -> Tensor:
        self.went_up += pinned.nbytes
        return pinned.clone()

    def up(self, plane: np.ndarray) -> Tensor:
        return self._sent(torch.from_numpy(np.array(plane, plane.dtype.newbyteorder("="))))

    def there(self, value: Tensor | None) -> Tensor | None:
        return None if value is None else self._sent(value)

    def back(self, values: Sequence[Tensor | None]) -> Callable[[], list[Tensor | None]]:
        self.came_down += sum(value.nbytes for value in values if value is not None)
        return lambda: [None if value is None else value.clone() for value in values]

    def lifting(self) -> AbstractContextManager[None]:
        return nullcontext()

    def lifted(self) -> None:
        pass

    def made(self) -> None:
        pass

    def lowering(self, made: None) -> AbstractContextManager[None]:
        return nullcontext()
