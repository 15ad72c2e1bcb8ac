"""Separable filters, another one for each picture: blurring and moving."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F


def separable(x: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Separable filter of pictures [N, 1, H, W], each with its own taps [N, K] down and across."""
    height, width = x.shape[-2:]
    for taps, dim in ((rows, 2), (columns, 3)):
        taps = taps.to(x)
        reach = taps.shape[1] // 2
        size = height if dim == 2 else width
        mode = "reflect" if reach < size else "replicate"
        padded = F.pad(x, (0, 0, reach, reach) if dim == 2 else (reach, reach, 0, 0), mode=mode)
        x = padded.narrow(dim, 0, size) * taps[:, 0, None, None, None]
        for k in range(1, taps.shape[1]):
            x.addcmul_(padded.narrow(dim, k, size), taps[:, k, None, None, None])
    return x


def gauss(sigma: np.ndarray, unit_energy: bool = False) -> torch.Tensor:
    """Gaussian taps [N, K] of sigma [N], pixels; `unit_energy`: white noise keeps its standard deviation."""
    reach = int(np.ceil(2.5 * sigma.max()))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma[:, None]) ** 2)
    norm = np.sqrt((taps**2).sum(1)) if unit_energy else taps.sum(1)
    return torch.from_numpy((taps / norm[:, None]).astype(np.float32))


def shifted(shift: np.ndarray) -> torch.Tensor:
    """Lanczos-3 taps [N, K] that move pictures by `shift` pixels: sharp, unlike bilinear."""
    reach = int(np.ceil(np.abs(shift).max())) + 3
    at = np.arange(-reach, reach + 1) + shift[:, None]
    taps = np.where(np.abs(at) < 3, np.sinc(at) * np.sinc(at / 3), 0.0)
    return torch.from_numpy((taps / taps.sum(1, keepdims=True)).astype(np.float32))
