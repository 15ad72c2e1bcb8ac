"""Colour as fine as the reference's own: where a frame shows what a reference shows, both are registered to a fraction
of a pixel, and the fine part of the reference's chroma is taken over.

Matching at 1/4 or 1/2 says where something is to within a few pixels, and what it carries is blurred by as much. Here
only the luma decides how pictures lie on each other, so nothing is trained, and every network that matches gains.

Source: dense inverse search (Kroeger, Timofte, Dai & Van Gool, ECCV 2016) begins with a search, too, and ends with the
step of Lucas & Kanade (1981).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .layers import constant, in_large_steps, twice, wide

# In positions at 1/2:
_WINDOW = 7  # whose shift is sought together,
_AGREEING = 3  # and which must agree after it
_SURROUNDINGS = 15  # over which brightness may differ between frame and reference
_COARSE = 9  # chroma averaged over as many is left as it was
_GRAIN = 4e-4  # squared difference of luma that means nothing,
_TEXTURE = 0.1  # and what more means nothing, as a share of the variance of luma
_TORN = 1.0  # variance of the shift, in pixels squared, from which what lies side by side moves apart
_FLAT = 1.6e-3  # squared slope of luma over four pixels from which a shift can be told
_FARTHEST = 1.5  # pixels that it may be


def picture(luma: Tensor, chroma: Tensor) -> Tensor:
    """A reference as `register` takes it: luma `[1, 1, H, W]` and chroma `[1, 2, H, W]` to `[4, H, W]`: smoothed luma,
    Cb, Cr, and 1 for a place that is known. In half precision, as there may be hundreds of references."""
    luma, chroma = wide(luma), wide(chroma)
    return torch.cat([_smooth(luma), chroma, torch.ones_like(luma)], 1)[0].half()


def register(luma: Tensor, found: Tensor, pictures: Tensor) -> Tensor:
    """What the references show of frames, pixel by pixel.

    Args:
        luma: `[N, 1, H, W]` 0..1.
        found: `[N, H/4, W/4, 7]`: where the matching at 1/4 found each place, as `Memory.place`.
        pictures: `[4, L, C]`: all references, one below the other, see `picture`, in single precision.

    Returns:
        `[N, 3, H, W]`: chroma, and how far it is to be trusted, 0..1.
    """
    with torch.autocast(luma.device.type, enabled=False):
        smooth = _smooth(wide(luma))
        moved, bounds = _steadied(found)
        moved, bounds = _enlarged(moved, bounds)
        half = F.avg_pool2d(smooth, 2)
        wrong = half - _sampled(pictures[:1], moved, bounds, 2)
        wrong = wrong - _mean(wrong, _SURROUNDINGS)
        near = F.pad(half, (1, 1, 1, 1), mode="replicate")
        across, down = near[..., 1:-1, 2:] - near[..., 1:-1, :-2], near[..., 2:, 1:-1] - near[..., :-2, 1:-1]
        own = torch.cat([across, down, moved], 1)  # its slope over four pixels of the full size, and its shift
        products = torch.cat([own.square(), own[:, :2] * wrong, moved, across * down], 1)
        squares, spread, both, middle, mixed = _mean(products, _WINDOW).split(2, 1)
        torn = torch.addcmul(spread, middle, middle, value=-1).sum(1, keepdim=True)
        squares = squares + _FLAT
        change = torch.addcmul(squares * both.flip(1), mixed, both, value=-1)  # down and across, by Cramer's rule
        change = change / torch.addcmul(squares[:, :1] * squares[:, 1:], mixed, mixed, value=-1)
        change = change.clamp(-_FARTHEST / 4, _FARTHEST / 4)
        moved, bounds = _enlarged(torch.add(moved, change, alpha=4), bounds)
        light, chroma, known = _sampled(pictures, moved, bounds, 1).split([1, 2, 1], 1)
        pair = torch.cat([half - F.avg_pool2d(light, 2), half], 1)
        wrong, texture = _mean((pair - _mean(pair, _SURROUNDINGS)).square(), _AGREEING).split(1, 1)
        agreed = torch.add(wrong / (-_TEXTURE * texture - _GRAIN), torn, alpha=-1 / _TORN).clamp(-30, 0).exp()
        return torch.cat([chroma, twice(agreed) * (known > 0.999)], 1)


def finer(chroma: Tensor, registered: Tensor, trust: Tensor) -> Tensor:
    """`chroma` `[N, 2, H, W]` with the fine part of what `register` gave, as far as its trust and `trust` `[N, 1, H,
    W]` say. What is wider than some pixels stays, so that colours go on to change slowly between references and over
    time."""
    carried, agreed = registered.split([2, 1], 1)
    trust = trust * agreed
    change = trust * (carried - chroma)
    coarse, total = _mean(F.avg_pool2d(torch.cat([change, trust], 1), 2), _COARSE).split([2, 1], 1)
    return chroma + torch.addcmul(change, trust, twice(coarse / (total + 1e-3)), value=-1)


def _steadied(found: Tensor) -> tuple[Tensor, Tensor]:
    """How far each position of `found` lies from its own, in pixels down and across, `[N, 2, h, w]`: the median of
    the medians of five in a line, of which those in another reference do not count. And where its reference lies, `[N,
    5, h, w]`: its lines and columns, those before it among all, and 0 where none round it lies in one farther below."""
    height, width = found.shape[1:3]
    _, place, bounds = found.float().permute(0, 3, 1, 2).split([1, 2, 4], 1)
    top = bounds[:, 2:3]
    moved = torch.add(_grid(height, width, -4, 0.0, found.device), place, alpha=4)
    line = F.pad(torch.cat([moved, top], 1), (2, 2, 0, 0), mode="replicate")
    near = torch.stack([line[..., i : i + width] for i in range(5)])
    moved = _median(torch.where(near[:, :, 2:] == top, near[:, :, :2], moved))
    line = F.pad(torch.cat([moved, top], 1), (0, 0, 2, 2), mode="replicate")
    near = torch.stack([line[..., i : i + height, :] for i in range(5)])
    moved = _median(torch.where(near[:, :, 2:] == top, near[:, :, :2], moved))
    return moved, torch.cat([4 * bounds - _ends(found.device), F.max_pool2d(top, 3, 1, 1) - top], 1)


def _median(x: Tensor) -> Tensor:
    """Of five, along the first dimension."""
    if in_large_steps(x.device):
        return x.median(0).values
    a, b, c, d, e = x.unbind()
    low = torch.maximum(torch.minimum(a, b), torch.minimum(c, d))
    high = torch.minimum(torch.maximum(a, b), torch.maximum(c, d))
    return torch.maximum(torch.minimum(low, high), torch.minimum(torch.maximum(low, high), e))


def _enlarged(moved: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
    """Both at twice the size; `moved` `[N, 2, h, w]` is bilinear, but not between places in different references."""
    near = F.interpolate(torch.cat([moved, bounds], 1), scale_factor=2.0, mode="nearest")
    return torch.where(near[:, 6:7] == 0, twice(moved), near[:, :2]), near[:, 2:]


def _sampled(pictures: Tensor, moved: Tensor, bounds: Tensor, step: int) -> Tensor:
    """What of `pictures` `[C, L, K]` frames show, `[N, C, h, w]`, bilinear: `moved` `[N, 2, h, w]` pixels from their
    own places, which are `step` pixels apart, in the references that `bounds` tells of."""
    count, _, height, width = moved.shape
    size, first = bounds[:, :4].split(2, 1)
    place = torch.minimum((moved + _grid(height, width, step, 0.5, moved.device)).clamp_min(0.5), size) + first
    down, across = place.split(1, 1)
    where = torch.cat([across * (2 / pictures.shape[2]), down * (2 / pictures.shape[1])], 1) - 1
    where = where.permute(0, 2, 3, 1).to(pictures)
    return F.grid_sample(pictures.expand(count, *pictures.shape), where, align_corners=False)


@constant
def _grid(height: int, width: int, step: int, middle: float, device: torch.device) -> Tensor:
    """Where positions of `step` x `step` pixels lie, down and across, `[2, h, w]`: their corners (`middle` 0) or
    their centres (0.5), in a frame whose first pixel reaches from 0 to 1."""
    y, x = (step * (torch.arange(n, device=device) + middle) for n in (height, width))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"))


@constant
def _ends(device: torch.device) -> Tensor:
    """What the last pixel's centre is short of the lines and columns of a picture, see `_steadied`."""
    return torch.tensor([0.5, 0.5, 0, 0], device=device).view(4, 1, 1)


def _smooth(x: Tensor) -> Tensor:
    """Without grain, by the weights 1, 2, 1 both ways."""
    return _filtered(x, (0.25, 0.5, 0.25))


def _mean(x: Tensor, side: int) -> Tensor:
    return _filtered(x, (1 / side,) * side)


def _filtered(x: Tensor, weights: tuple[float, ...]) -> Tensor:
    """`x` `[N, C, H, W]` convolved with `weights` both ways, its edges repeated."""
    radius, channels = len(weights) // 2, int(x.shape[1])
    kernel = _kernel(weights, channels, x.dtype, x.device)
    x = F.pad(x, (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(x, kernel, groups=channels), kernel.transpose(2, 3), groups=channels)


@constant
def _kernel(weights: tuple[float, ...], channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(weights, dtype=dtype, device=device).repeat(channels, 1, 1, 1)
