"""Puts luma and chroma together: of two sources, of two sizes, and where damage was repaired."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..color.chroma import guided_upsample
from ..errors import InputError
from .options import check_weight
from .worker import check_luma, resize


def fit_size(chroma: Tensor, luma_low: Tensor, luma: Tensor) -> Tensor:
    """Bring `chroma` `[T, 2, h, w]` to the size of `luma` `[T, 1, H, W]`; enlarged, its edges follow the luma."""
    size = luma.shape[-2:]
    if chroma.shape[-2:] == size:
        return chroma
    if size[0] > chroma.shape[-2] and size[1] > chroma.shape[-1]:
        return guided_upsample(chroma, luma_low, luma)
    return resize(chroma, size)


def merge_lab(
    luma: Tensor,
    chroma: Tensor,
    *,
    own_chroma: Tensor | None = None,
    other_luma: Tensor | None = None,
    weight: float = 1.0,
) -> Tensor:
    """Give the picture `luma` the colours of another source; the luma itself is not touched.

    Args:
        luma: `[T, 1, H, W]`, 0..1.
        chroma: `[T, 2, h, w]`, the other source's Cb, Cr (BT.709), of any size.
        own_chroma: `[T, 2, H, W]`, the colours the luma's source has itself; None: gray.
        other_luma: `[T, 1, h, w]`, the other source's luma, which tells where its colours end when they are enlarged;
            None: `luma` made smaller.
        weight: 0..1; 0 keeps the own colours, 1 takes the other's.

    Returns:
        Chroma `[T, 2, H, W]`.

    Raises:
        InputError: lengths or shapes that do not fit, or a weight outside 0..1.
    """
    check_luma(luma)
    if chroma.ndim != 4 or chroma.shape[1] != 2 or len(chroma) != len(luma):
        raise InputError(f"chroma must be [T, 2, h, w] with T = {len(luma)} frames, got {tuple(chroma.shape)}")
    check_weight(weight)
    size = chroma.shape[-2:]
    for name, tensor, shape in (
        ("own_chroma", own_chroma, (len(luma), 2, *luma.shape[-2:])),
        ("other_luma", other_luma, (len(luma), 1, *size)),
    ):
        if tensor is not None and tensor.shape != shape:
            raise InputError(f"{name} must be {list(shape)} to fit luma and chroma, got {list(tensor.shape)}")
    luma, chroma = luma.float(), chroma.float()
    if other_luma is None:
        other_luma = resize(luma, size)
    else:
        # The other source may be darker or flatter: bring its luma to this one's level before edges are compared.
        other_luma = _match_level(other_luma.float(), luma)
    taken = fit_size(chroma, other_luma, luma)
    own = torch.zeros_like(taken) if own_chroma is None else own_chroma.float()
    return torch.lerp(own, taken, weight)


def repair_chroma(chroma: Tensor, mask: Tensor) -> Tensor:
    """Fill the colours under damage from undamaged surroundings.

    Args:
        chroma: `[T, 2, H, W]`.
        mask: `[T, 1, H, W]`, 0..1; where it is under 0.1 the colours stay bit for bit.

    Returns:
        Chroma `[T, 2, H, W]`.
    """
    mask = ((mask - 0.1) / 0.9).clamp(0, 1)
    if not mask.any():
        return chroma
    return torch.lerp(chroma, _fill(chroma, (1 - mask) ** 2), mask)


def painted(luma: Tensor, repair: Tensor | None) -> Tensor:
    """Luma `[1, H, W]` in which what is to be repaired, `[1, H, W]`, 0..1, shows a smooth continuation of what lies
    round it; where it is 0 luma stays bit for bit. Where all is to be repaired, nothing is known: mid gray."""
    if repair is None:
        return luma
    repair = repair.to(luma)
    sound = (1 - repair)[None] ** 2
    paint = _fill(luma[None], sound) if sound.max() > 0.1 else torch.full_like(luma, 0.5)[None]
    return torch.lerp(luma, paint[0], repair)


def _fill(chroma: Tensor, sound: Tensor) -> Tensor:
    """Replace what is not `sound` (0..1) by what is known at the next coarser size, and so on until all is known."""
    if max(chroma.shape[-2:]) == 1 or sound.min() > 0.5:
        return chroma
    total = F.avg_pool2d(sound, 2, ceil_mode=True, count_include_pad=False)
    mean = F.avg_pool2d(chroma * sound, 2, ceil_mode=True, count_include_pad=False) / total.clamp_min(1e-6)
    coarse = _fill(mean, (4 * total).clamp(0, 1))
    return torch.lerp(resize(coarse, tuple(chroma.shape[-2:])), chroma, sound)


def _match_level(luma: Tensor, like: Tensor) -> Tensor:
    """Scale and shift each frame of `luma` to the mean and contrast of the same frame of `like`."""
    dims = (-3, -2, -1)
    scale = like.std(dims, correction=0, keepdim=True) / luma.std(dims, correction=0, keepdim=True).clamp_min(1e-3)
    return (luma - luma.mean(dims, keepdim=True)) * scale + like.mean(dims, keepdim=True)
