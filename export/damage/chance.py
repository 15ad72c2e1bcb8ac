"""Random numbers for damage."""

from __future__ import annotations

import math
from typing import overload

import numpy as np

Range = tuple[float, float]


class Draw(np.random.RandomState):
    """A Mersenne Twister; the order in which numbers are drawn must not change, or validation damage does."""

    @overload
    def between(self, span: Range, size: None = None) -> float: ...

    @overload
    def between(self, span: Range, size: int) -> np.ndarray: ...

    def between(self, span: Range, size: int | None = None) -> float | np.ndarray:
        """Uniform numbers from a range."""
        return span[0] + (span[1] - span[0]) * self.random_sample(size)

    @overload
    def log_between(self, span: Range, size: None = None) -> float: ...

    @overload
    def log_between(self, span: Range, size: int) -> np.ndarray: ...

    def log_between(self, span: Range, size: int | None = None) -> float | np.ndarray:
        """Numbers from a range, uniform on a logarithmic scale."""
        return span[0] * (span[1] / span[0]) ** self.random_sample(size)

    def mostly_low(self, span: Range) -> float:
        """A number from a range, low + (high - low) * u^2: most are near the low end."""
        low, high = span
        return low + (high - low) * self.random_sample() ** 2

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return self.random_sample() < probability

    def wander(self, frames: int, deviation: float, memory: float) -> np.ndarray:
        """Stationary first-order autoregression [T] with the mean over the clip taken out (nobody could know it)."""
        noise = self.standard_normal(frames)
        out = np.empty(frames)
        state = noise[0]
        for t in range(frames):
            state = memory * state + math.sqrt(1 - memory * memory) * noise[t] if t else state
            out[t] = state
        return deviation * (out - out.mean())
