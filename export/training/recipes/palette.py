"""The automatic colorizer: what stands in a gray picture decides, out of a palette, what colours it may have."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.material import load_clips, sample_crops
from export.scores.metrics import psnr
from export.training.losses import charbonnier, temporal
from export.training.networks import network_in
from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.models.network import Network
from vs_remaster.models.palette import LINES, PaletteColorizer

from .material import Material, film_tone
from .recipe import CRITICS, DAMAGE, FLOW, JOINT, REFERENCES, SHARPEN, SUPPLY, Recipe, Settings
from .validation import means, save_picture, to_rgb, to_ycc

log = logging.getLogger("train")

CELL = 1 / 36  # the palette's colours lie so far apart
SPREAD = 0.02  # standard deviation of what counts as the same colour
NEAREST = 5  # colours that a true one is shared among
EVEN = 0.5  # 0: colours count as often as they occur, 1: all alike
FRAMES = 5  # of each validation clip


class GuessValidation:
    """RGB PSNR of a few frames of each clip, and how colourful they are beside the truth (mean chroma, 1: as much)."""

    def __init__(self, data: Path, device: str, every: int) -> None:
        self.device = device
        self.clips = load_clips(data / "video/val", LINES, color=True)[::every]

    def __call__(self, nets: nn.ModuleDict, pictures: Path) -> dict[str, float]:
        net, rows = network_in(nets, PaletteColorizer), []
        for clip in self.clips:
            ycc = to_ycc(clip.frames[:FRAMES], self.device, net.multiple_of)
            chroma = net(ycc[None, :, :1], []).chroma[0].float()
            true, made = to_rgb(ycc), to_rgb(torch.cat([ycc[:, :1], chroma], 1))
            gray = ycc[:, :1].expand_as(true)
            drift = chroma.diff(dim=0).abs().mean() / ycc[:, 1:].diff(dim=0).abs().mean().clamp_min(1e-4)
            colorful = chroma.norm(dim=1).mean() / ycc[:, 1:].norm(dim=1).mean()
            rows.append([psnr(made, true), psnr(gray, true), float(colorful), float(drift)])
            save_picture(pictures / f"{clip.name}.png", torch.cat([true[0], made[0]], -1).cpu())
        result = means(("rgb", "gray", "colorful", "drift"), rows)
        return result | {"output": result["rgb"]}


class Palette(Recipe):
    """Gray crops in, scores for the colours of a palette out.

    Source: soft encoding and rebalancing after Zhang, Isola & Efros, Colorful Image Colorization (ECCV 2016).
    """

    networks = ("palette-colorizer",)
    defaults: ClassVar[dict[str, Any]] = {"frames": 3, "size": 192, "lines": 256, "photo": 0.7}
    ignored = SHARPEN | CRITICS | DAMAGE | FLOW | JOINT | REFERENCES | SUPPLY
    measured_by = GuessValidation

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.material = Material.load(s, color=True)
        self.weights: Tensor | None = None
        log.info("%d clips, %d photographs", len(self.material.clips), len(self.material.photos))

    def start(self) -> nn.ModuleDict:
        """The network, and how much each of its colours counts."""
        nets = super().start()
        share = counted(self.samples(), network_in(nets, PaletteColorizer).palette)
        weight = 1 / ((1 - EVEN) * share + EVEN / len(share))
        self.weights = (weight / (weight * share).sum()).to(self.s.device)
        return nets

    def fresh(self, network: str) -> Network:
        net = super().fresh(network)
        assert isinstance(net, PaletteColorizer)
        if self.s.backbone:
            net.backbone.load_imagenet(torch.load(self.s.backbone, weights_only=True))
        net.palette.copy_(frequent(self.samples(), len(net.palette)))
        return net

    def samples(self) -> Tensor:
        """Chroma `[N, 2]` as it occurs in the material, at about 1/8 of its size."""
        pictures = [clip.frames[::40] for clip in self.material.clips] + [p[None] for p in self.material.photos]
        small = (F.avg_pool2d(rgb_to_ycbcr(x.float() / 255)[:, 1:], 8) for x in pictures)
        return torch.cat([x.flatten(2).transpose(1, 2).reshape(-1, 2).cpu() for x in small])

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        s = self.s
        rgb = sample_crops(*self.material, s.batch, s.frames, s.size, generator, device=s.device, scale=(0.75, 1.0),
                           photo_probability=s.photo)  # fmt: skip
        luma, chroma = zip(*(rgb_to_ycbcr(clip).split([1, 2], 1) for clip in rgb))
        target = torch.stack(chroma)
        luma = torch.stack([film_tone(generator)(x) for x in luma]).clamp(0, 1)
        net = network_in(nets, PaletteColorizer)
        assert self.weights is not None  # they are there from the start on
        with self.autocast():
            out = net(luma, [])
        eighth = F.avg_pool2d(target.flatten(0, 1), 8).unflatten(0, target.shape[:2])
        return {
            "choice": choice_loss(out.scores, eighth, net.palette, self.weights),
            "steady": 4 * temporal(out.guess - eighth),
            "edges": 4 * charbonnier(out.chroma - target, 4e-3).mean(),
        }


def choice_loss(scores: Tensor, chroma: Tensor, palette: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy of `scores` `[B, T, K, h, w]` with the palette's colours near the true `chroma` `[B, T, 2, h, w]`;
    rare colours count more, by `weights` `[K]`."""
    scores = scores.flatten(0, 1).permute(0, 2, 3, 1).flatten(0, 2)
    true = chroma.flatten(0, 1).permute(0, 2, 3, 1).flatten(0, 2)
    distance, near = torch.cdist(true, palette).topk(NEAREST, largest=False)
    share = torch.softmax(-(distance**2) / (2 * SPREAD**2), 1)
    likely = torch.log_softmax(scores.float(), 1).gather(1, near)
    return -((share * likely).sum(1) * weights[near[:, 0]]).mean()


def frequent(samples: Tensor, count: int) -> Tensor:
    """The `count` most frequent colours of a grid: the mean chroma `[count, 2]` of what falls into each cell."""
    cells, owner, hits = torch.unique((samples / CELL).round(), dim=0, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(cells), 2).index_add_(0, owner, samples)
    found = (sums / hits[:, None])[hits.argsort(descending=True)[:count]]
    rest = torch.full((count - len(found), 2), 2.0)  # fewer colours than places: the others are never near
    return torch.cat([found, rest])


def counted(samples: Tensor, palette: Tensor) -> Tensor:
    """How often each colour of the palette is the nearest one, `[K]`, in sum 1."""
    nearest = torch.cat([torch.cdist(part, palette.cpu()).argmin(1) for part in samples.split(100_000)])
    share = torch.bincount(nearest, minlength=len(palette)).float()
    return share / share.sum()
