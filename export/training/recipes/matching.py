"""The colorizer's coarse matching alone: which place of a reference shows what stands here.

All other parts stay as they are, so they look at each picture once. A step then takes a small part of the time of one
with the whole network, and sees whole pictures instead of crops.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.material.chance import integer, rand
from export.material.clips import decode_clip
from export.material.files import VIDEO_SUFFIXES, find_files
from export.training.networks import network_in
from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.errors import InputError
from vs_remaster.models.colorizer import ColorizerNet
from vs_remaster.models.layers import rows

from .material import film_tone
from .recipe import BACKBONE, CRITICS, DAMAGE, FLOW, JOINT, SHARPEN, SUPPLY, Recipe, Settings
from .validation import ColorValidation

log = logging.getLogger("train")

QUERIES = 800  # positions of a picture that ask in one step
SHOWN = 0.03  # of chroma: a position whose colour no place has to within this is not shown
LEAST = 4e-3  # an error of that much is as good as none
ALTERED = 0.2  # share of pictures in another tone and size
UNUSED = frozenset({"cache", "photo", "references", "size", "stride", "zoom"})
LONGEST = 1.4  # most that a picture is longer than its lines


class Picture(NamedTuple):
    """What the rest of the network saw in one picture, and the true chroma `[1, 2, h, w]` of the same places."""

    deep: Tensor
    chroma: Tensor


class Matching(Recipe):
    """Pairs of pictures of one clip, far apart in time, in tone and in size; the keys learn to find the same colour."""

    networks = ("colorizer",)
    defaults: ClassVar[dict[str, Any]] = {
        "batch": 2, "frames": 12, "lines": 320, "lr": 2e-3, "warmup": 50, "ema": 0.995, "approach": 1.6, "learn": "key",
    }  # fmt: skip
    ignored = SHARPEN | BACKBONE | CRITICS | DAMAGE | FLOW | JOINT | SUPPLY | UNUSED
    measured_by = ColorValidation

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        if not s.start_from:
            raise InputError("the recipe matching goes on with a trained colorizer; name it with --start-from")
        if s.learn != "key":
            raise InputError(
                f"the recipe matching teaches key, got learn {s.learn!r}; leave it out or use another recipe"
            )
        if s.frames < 2:
            raise InputError(f"frames must be 2 or more, got {s.frames}: so many pictures of each clip are matched")
        if not 1 <= s.approach <= 8:
            raise InputError(f"approach must be 1 to 8, got {s.approach}; 1 leaves all pictures at one size")
        self.albums: list[list[Picture]] = []

    def start(self) -> nn.ModuleDict:
        """The network, once the parts that do not learn have looked at all pictures."""
        nets = super().start()
        net = network_in(nets, ColorizerNet).to(self.s.device)
        generator = torch.Generator().manual_seed(self.s.seed)
        folder, edge = Path(self.s.data) / "video/train", round(self.s.approach * self.s.lines)
        for path in find_files(folder, VIDEO_SUFFIXES):  # one after the other: few pictures of each are kept
            frames = torch.from_numpy(decode_clip(path, short_edge=edge, color=True))
            if len(frames) > 1:
                self.albums.append(self.album(net, frames, generator))
        if not self.albums:
            raise InputError(f"no clip of two frames or more in {str(folder)!r}; matching needs pairs")
        log.info("%d clips, %d pictures", len(self.albums), sum(map(len, self.albums)))
        return nets

    @torch.no_grad()
    def album(self, net: ColorizerNet, clip: Tensor, generator: torch.Generator) -> list[Picture]:
        """Pictures from all of a clip `[T, 3, H, W]`, as the network sees them."""
        times = torch.linspace(0, len(clip) - 1, min(self.s.frames, len(clip))).round().long().tolist()
        return [self.picture(net, clip[at : at + 1], generator) for at in times]

    def picture(self, net: ColorizerNet, frame: Tensor, generator: torch.Generator) -> Picture:
        """One frame `[1, 3, H, W]`, as it is or in another tone and size."""
        rgb = frame.to(self.s.device).float() / 255
        altered = rand(generator) < ALTERED
        larger = self.s.approach ** (2 * rand(generator) - 1) if altered else 1.0
        scale = larger * self.s.lines / min(rgb.shape[-2:])
        unit = net.multiple_of
        seen = [max(unit, round(scale * side / unit) * unit) for side in rgb.shape[-2:]]
        rgb = F.interpolate(rgb, seen, mode="bicubic", antialias=True).clamp(0, 1)
        room = round(LONGEST * self.s.lines / unit) * unit  # what is larger is cut: longer lists of places take longer
        top, left = (unit * integer(generator, max(0, side - room) // unit + 1) for side in seen)
        luma, chroma = rgb_to_ycbcr(rgb[..., top : top + room, left : left + room]).split([1, 2], 1)
        if altered:
            luma = film_tone(generator)(luma).clamp(0, 1)
        return Picture(net.seen(luma)[0].half(), F.avg_pool2d(chroma, 8).half())

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        """Every pair counts alike by the logarithm of its error, as clips do in a mean of PSNR."""
        net = network_in(nets, ColorizerNet)
        errors = [self.error(net, generator) for _ in range(self.s.batch)]
        return {"match": torch.stack([(error + LEAST).log() for error in errors]).mean()}

    def error(self, net: ColorizerNet, generator: torch.Generator) -> Tensor:
        """How wrong the colours are that one picture of a clip gives to another: in the mean over what is asked, and
        each by itself."""
        album = self.albums[integer(generator, len(self.albums))]
        first = integer(generator, len(album))
        reference, picture = album[first], album[(first + 1 + integer(generator, len(album) - 1)) % len(album)]
        if rand(generator) < 0.5:
            reference = Picture(*(x.flip(-1) for x in reference))
        (keys, colors), (queries, target) = (
            (rows(net.keys(deep.float()))[0], rows(chroma.float())[0]) for deep, chroma in (reference, picture)
        )
        asked = torch.randperm(len(queries), generator=generator)[:QUERIES].to(queries.device)
        queries, target = queries[asked], target[asked]
        share = torch.softmax(net.temperature * math.log(len(keys)) * queries @ keys.t(), 1)
        wrong = torch.cdist(target, colors, p=1)
        counts = (wrong.amin(1) < SHOWN) * (1 + 4 * target.norm(dim=1))
        each = (share * wrong).sum(1) + (share @ colors - target).abs().sum(1)
        return (each * counts).sum() / counts.sum().clamp_min(1)
