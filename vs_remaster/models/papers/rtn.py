"""The recurrent transformer network (RTN), which restores old film or carries the colours of references through it.

A hidden state travels through the clip, once forwards and once backwards. At every frame it is brought there by optical
flow, and a learned mask decides for each pixel whether to believe it or the frame: dirt differs from what came along
with the motion. A Swin transformer then restores the state inside the frame, and a small decoder makes a picture of
both passes' states.

Source: Wan, Zhang, Chen & Liao, Bringing Old Films Back to Life, CVPR 2022. The implementation is our own; the authors
published a restorer and no colorizer. Their code and weights carry no licence: users import their own copy.

A state remembers without end, so a window is `overlap` frames, a block, and `overlap` frames: what comes out for a
frame depends on the film and the frame alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...color.matrices import gray_to_lightness, rgb_to_lab, rgb_to_ycbcr, ycbcr_to_rgb
from ...errors import InputError
from ..layers import NO_HALO, Halo, bias_of, fold, pad_to_multiple, unfold, wide
from ..network import ColorizerNetwork, Network
from ..restorer import Place, thumbnails
from .flow import FLOWS, make_flow, warp
from .results import ColoredWindow, RestoredWindow, changes, chroma_of
from .swin import WINDOW, SwinGroup, convolve

AB = 128.0  # a* and b* are divided by it
_HALF = 2 * WINDOW  # pixels; the transformer works at half size, in windows
_COARSEST = 32  # pixels of the flow's picture to one of its coarsest level


@dataclass(frozen=True)
class RtnConfig:
    """Sizes of the network, and how it sees a film.

    Attributes:
        hidden: channels of the travelling state.
        embedding: channels of the transformer; a multiple of 4 and of all `heads`.
        depths: blocks in each of its groups.
        heads: attention heads in each of its groups.
        expansion: of the transformer's perceptrons.
        flow: network for the optical flow, `spynet` or `raft` (with the package torchvision).
        flow_scale: 1, 2 or 4; the flow is computed on pictures that many times smaller.
        shrink: 1, 2 or 4; all but the flow sees pictures that many times smaller, with their pixels as channels.
        overlap: frames of context on each side of a block.
        block: frames made at once.
        rgb: the restorer takes and makes R'G'B' and ends in a tanh, as the authors' weights need it; else Y' alone.
    """

    hidden: int = 16
    embedding: int = 64
    depths: tuple[int, ...] = (2, 2, 2)
    heads: tuple[int, ...] = (4, 4, 4)
    expansion: int = 2
    flow: str = "spynet"
    flow_scale: int = 1
    shrink: int = 1
    overlap: int = 6
    block: int = 18
    rgb: bool = False

    def __post_init__(self) -> None:
        if not self.depths or len(self.depths) != len(self.heads):
            raise ValueError(f"depths and heads must be of one length, got {self.depths} and {self.heads}")
        if self.hidden < 2 or any(self.embedding % n for n in (4, *self.heads)):
            raise ValueError(
                f"hidden must be 2 or more, embedding a multiple of 4 and of all heads, got {self.hidden}, "
                f"{self.embedding} and {self.heads}"
            )
        if self.flow not in FLOWS:
            raise ValueError(f"flow must be {' or '.join(FLOWS)}, got {self.flow!r}")
        if self.flow_scale not in (1, 2, 4) or self.shrink not in (1, 2, 4):
            raise ValueError(f"flow_scale and shrink must be 1, 2 or 4, got {self.flow_scale!r} and {self.shrink!r}")
        if self.overlap < 0 or self.block < 1:
            raise ValueError(f"overlap must be 0 or more and block 1 or more, got {self.overlap} and {self.block}")


class Flows(NamedTuple):
    """Optical flow of a clip of T frames, `[B, T - 1, 2, H, W]` each, x and y in pixels.

    `to_past[:, t]` leads from frame t + 1 to frame t, `to_future[:, t]` from frame t to frame t + 1.
    """

    to_past: Tensor
    to_future: Tensor


class Aggregation(nn.Module):
    """The learnable guided mask (section 3.2 of the paper): the state where it is believed, else the frame's own
    features."""

    def __init__(self, planes: int, hidden: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(planes, hidden, 3, padding=1)
        self.guide = nn.Conv2d(2 * hidden + 1, hidden // 2, 3, padding=1)
        self.mask = nn.Conv2d(hidden // 2, 1, 3, padding=1)

    def forward(self, frame: Tensor, state: Tensor | None, residual: Tensor | None) -> Tensor:
        """`frame` `[B, planes, H, W]`, the state brought here `[B, hidden, H, W]`, and by how much the frame that it
        comes from, brought here too, differs from this one `[B, 1, H, W]`."""
        own = self.project(frame)
        if state is None or residual is None:
            return own
        guide = self.guide(torch.cat([state.to(own.dtype), own, residual.to(own.dtype)], 1))
        mask = torch.sigmoid(wide(self.mask(F.leaky_relu(guide, 0.2))))
        return torch.lerp(wide(own), wide(state), mask).to(own.dtype)


class SpatialTransformer(nn.Module):
    """Restores a state inside its frame: Swin groups at half size (section 3.3 of the paper)."""

    def __init__(self, config: RtnConfig) -> None:
        super().__init__()
        width = config.embedding
        self.first = nn.Conv2d(config.hidden, width // 2, 3, padding=1)
        self.halve = nn.Conv2d(width // 2, width, 4, 2, 1)
        self.norm_in = nn.LayerNorm(width)
        parts = zip(config.heads, config.depths)
        self.groups = nn.Sequential(*(SwinGroup(width, heads, depth, config.expansion) for heads, depth in parts))
        self.norm_out = nn.LayerNorm(width)
        self.after = nn.Conv2d(width, width, 3, padding=1)
        self.before_up = nn.Conv2d(width, width, 3, padding=1)
        self.up = nn.Conv2d(width, width // 2, 3, padding=1)
        self.last = nn.Conv2d(width // 2, config.hidden, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        """`[B, hidden, H, W]`, sizes multiples of 16."""
        full = F.leaky_relu(self.first(state), 0.2)
        half = self.halve(full)
        x = self.norm_out(self.groups(self.norm_in(half.permute(0, 2, 3, 1))))
        x = F.leaky_relu(self.before_up(half + convolve(self.after, x).permute(0, 3, 1, 2)), 0.01)
        x = self.up(F.interpolate(x, scale_factor=2, mode="nearest"))
        return self.last(F.leaky_relu(x + full, 0.2))


class Recurrence(nn.Module):
    """One direction's step from a frame to the next."""

    def __init__(self, planes: int, config: RtnConfig) -> None:
        super().__init__()
        self.luma = config.shrink**2  # so many of the planes, the first, are luma (or red, which is the same)
        self.aggregation = Aggregation(planes, config.hidden)
        self.spatial = SpatialTransformer(config)

    def forward(self, planes: Tensor, order: Sequence[int], flow: Callable[[int, int], Tensor]) -> Iterator[Tensor]:
        """The state `[B, hidden, H, W]` at each of the frames `order` of `planes` `[B, T, C, H, W]`; `flow` from one
        frame to another, by their numbers."""
        state: Tensor | None = None
        residual: Tensor | None = None
        for i, here in enumerate(order):
            frame = planes[:, here]
            if state is not None:
                carried = torch.cat([planes[:, order[i - 1], : self.luma], wide(state)], 1)
                seen, state = warp(carried, flow(here, order[i - 1])).tensor_split([self.luma], 1)
                residual = (seen - frame[:, : self.luma]).abs().mean(1, keepdim=True)
            state = self.spatial(self.aggregation(frame, state, residual))
            yield state


class _Network(Network):
    """What both networks share: everything but the meaning of their planes."""

    fixed_block = True

    config: RtnConfig

    def __init__(self, config: RtnConfig, planes: int, outputs: int) -> None:
        super().__init__(config)
        self.multiple_of = _HALF * config.shrink
        planes, outputs = (config.shrink**2 * count for count in (planes, outputs))
        self.before = self.after = config.overlap
        self.block = config.block
        self.from_past = Recurrence(planes, config)
        self.from_future = Recurrence(planes, config)
        hidden = config.hidden
        layers: list[nn.Module] = []
        for inputs in (2 * hidden, hidden, hidden, hidden):
            layers += [nn.Conv2d(inputs, hidden, 3, padding=1), nn.LeakyReLU(0.1)]
        last = nn.Conv2d(hidden, outputs, 3, padding=1)
        self.decoder = nn.Sequential(*layers, last)
        for part in self.modules():
            # With smaller kernels, torch's own, no colour of a reference ever reached another frame in training.
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, 0.1)
                nn.init.zeros_(bias_of(part))
            elif isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=0.02)
                nn.init.zeros_(bias_of(part))
        with torch.no_grad():
            last.weight.mul_(0.1)  # a fresh network leaves the picture nearly as it is
            for recurrence in (self.from_past, self.from_future):
                recurrence.spatial.last.weight.mul_(0.4)  # else a fresh state doubles at every frame
        # Trained elsewhere; it learns no further unless asked to.
        self.flow = make_flow(config.flow).requires_grad_(False)

    def flow_between(self, here: Tensor, there: Tensor) -> Tensor:
        """Optical flow `[N, 2, H, W]`, in pixels, by which `there` is warped into `here`, `[N, 1, H, W]` 0..1, sizes
        multiples of 4."""
        scale = self.config.flow_scale
        with torch.autocast(here.device.type, enabled=False):
            flow = self.flow(*(F.avg_pool2d(wide(x), scale) if scale > 1 else wide(x) for x in (here, there)))
            if scale == 1:
                return flow
            return scale * F.interpolate(flow, scale_factor=scale, mode="bilinear", align_corners=False)

    def flows(self, luma: Tensor) -> Flows:
        """The optical flow of whole clips, `luma` `[B, T, 1, H, W]` 0..1, to hand to `predict` more than once."""
        batch, (past, future) = len(luma), (fold(luma[:, :-1]), fold(luma[:, 1:]))
        return Flows(*(unfold(self.flow_between(*pair), batch) for pair in ((future, past), (past, future))))

    def decode(self, luma: Tensor, planes: Tensor, flows: Flows | None, kept: slice) -> Tensor:
        """What the decoder makes of the frames `kept` of `planes` `[B, T, C, H, W]`, float32; `luma` is for the
        flow."""

        shrink = self.config.shrink
        planes = unfold(F.pixel_unshuffle(fold(planes), shrink), len(planes))

        def flow(here: int, there: int) -> Tensor:
            if flows is None:
                found = self.flow_between(luma[:, here], luma[:, there])
            else:
                found = flows.to_past[:, there] if there < here else flows.to_future[:, here]
            return F.avg_pool2d(found, shrink) / shrink

        count = planes.shape[1]
        start, stop, _ = kept.indices(count)
        later = self.from_future(planes, range(count - 1, start - 1, -1), flow)
        behind = list(islice(later, count - stop, None))  # only what frames that are made still need
        made = []
        for i, state in enumerate(self.from_past(planes, range(stop), flow)):
            if i >= start:
                made.append(F.pixel_shuffle(wide(self.decoder(torch.cat([behind.pop(), state], 1))), shrink))
        return torch.stack(made, 1)


class RtnRestorer(_Network):
    """The restorer: luma in, luma out."""

    def __init__(self, config: RtnConfig = RtnConfig()) -> None:
        planes = 3 if config.rgb else 1
        super().__init__(config, planes, planes)

    def predict(self, luma: Tensor, flows: Flows | None = None, kept: slice = slice(None)) -> Tensor:
        """The network itself, on a whole clip.

        Args:
            luma: `[B, T, 1, H, W]`, Y' 0..1, sizes multiples of 16 times `shrink`, any T.
            flows: optical flow of the clip; None: computed pair by pair.
            kept: the frames that are wanted; only what they need of the others is computed.

        Returns:
            `[B, kept, 1, H, W]` float32: restored Y'; not clipped to 0..1, except that of `rgb`.
        """
        if not self.config.rgb:
            light = 2 * wide(luma) - 1
            return (self.decode(luma, light, flows, kept) + light[:, kept] + 1) / 2
        return rgb_to_ycbcr(self.predict_rgb(luma.expand(-1, -1, 3, -1, -1), flows, kept))[:, :, :1]

    def predict_rgb(self, rgb: Tensor, flows: Flows | None = None, kept: slice = slice(None)) -> Tensor:
        """As `predict`, where the network is one for R'G'B': `[B, T, 3, H, W]`, 0..1, in and out."""
        planes = 2 * wide(rgb) - 1
        return (torch.tanh(self.decode(rgb, planes, flows, kept) + planes[:, kept]) + 1) / 2

    def forward(
        self, luma: Tensor, thumbs: Tensor | None = None, halo: Halo = NO_HALO, place: Place | None = None
    ) -> RestoredWindow:
        """Restore a window of frames `luma` `[B, T, 1, H, W]`, Y' 0..1, of any size; those that are no halo.

        When `luma` is a tile, `place` says where it lies: the transformer's windows and the flow's pyramid then lie as
        they do in the whole frame. `thumbs`, which other restorers need for tiles, do not matter.
        """
        batch, count, _, height, width = luma.shape
        grid = _COARSEST * max(self.config.flow_scale, self.config.shrink)
        top, left = (place.top % grid, place.left % grid) if place else (0, 0)
        padded = F.pad(fold(wide(luma)), (left, 0, top, 0), mode="replicate")
        kept = halo.kept(count)
        restored = self.predict(unfold(pad_to_multiple(padded, self.multiple_of), batch), kept=kept)
        restored = restored[..., top : top + height, left : left + width].clamp(0, 1)
        return RestoredWindow(restored, *(unfold(x, batch) for x in changes(fold(wide(luma[:, kept])), fold(restored))))


class RtnReferences(NamedTuple):
    """Reference pictures as they are, for `RtnColorizer`."""

    looks: Tensor  # [R, P] small luma pictures, mean 0 and length 1
    pictures: list[Tensor]  # [1, 4, h, w] each: Y', L 0..1, a and b divided by 128

    def to(self, device: torch.device | str) -> RtnReferences:
        """The same references on another device."""
        return RtnReferences(self.looks.to(device), [x.to(device) for x in self.pictures])

    def subset(self, chosen: Sequence[int], weights: Sequence[float]) -> RtnReferences:
        """Some of the references; weights cannot act in this network."""
        return RtnReferences(self.looks[list(chosen)], [self.pictures[i] for i in chosen])


class RtnColorizer(_Network, ColorizerNetwork):
    """The colorizer: Lab planes in, ab out; ab is known in coloured frames only, and the states carry it to the others.

    The paper colours a clip from its first frame. Here references are pictures of any number that need not be frames of
    the film: for every window the one most like its first frame is set before it as one more frame, and the one most
    like its last frame behind it, both scaled to its size. Likeness is the normalised correlation of small luma
    pictures. The paper's colour code was not published: input, output and the choice of references are ours.
    """

    needs_references = True

    def __init__(self, config: RtnConfig = RtnConfig()) -> None:
        super().__init__(config, 4, 2)

    def predict(
        self, light: Tensor, ab: Tensor, known: Tensor, flows: Flows | None = None, kept: slice = slice(None)
    ) -> Tensor:
        """The network itself, on a whole clip.

        Args:
            light: `[B, T, 1, H, W]`, L* / 100 of the gray film, 0..1, sizes multiples of 16 times `shrink`, any T.
            ab: `[B, T, 2, H, W]`, a* and b* divided by 128, about -1..1; where they are not known they do not matter.
            known: `[B, T, 1, H, W]` or `[B, T, 1, 1, 1]`, 1 where a frame's colours are given, 0 elsewhere.
            flows: optical flow of the clip; None: computed pair by pair.
            kept: the frames that are wanted; only what they need of the others is computed.

        Returns:
            `[B, kept, 2, H, W]` float32: a* and b* divided by 128.
        """
        light, known = wide(light), wide(known).expand_as(light)
        given = wide(ab) * known
        return self.decode(light, torch.cat([2 * light - 1, given, known], 2), flows, kept) + given[:, kept]

    def encode(self, luma: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor]:
        """One reference, Y' `[1, 1, h, w]` 0..1 and Cb, Cr (BT.709) `[1, 2, h, w]`: its look and its planes, as in
        `RtnReferences`."""
        luma = wide(luma).clamp(0, 1)
        lab = rgb_to_lab(ycbcr_to_rgb(torch.cat([luma, wide(chroma)], 1)).clamp(0, 1))
        return _looks(luma), torch.cat([luma, gray_to_lightness(luma) / 100, lab[:, 1:] / AB], 1)

    def encode_all(self, pictures: Iterable[tuple[Tensor, Tensor]]) -> RtnReferences:
        """Several references, each `(luma, chroma)` as in `encode`, of any size.

        Raises:
            InputError: there is none.
        """
        encoded = [self.encode(luma, chroma) for luma, chroma in pictures]
        if not encoded:
            raise InputError("no references to colour from; give at least one colour picture")
        looks, planes = zip(*encoded)
        return RtnReferences(torch.cat(looks), list(planes))

    def forward(self, luma: Tensor, memories: list[RtnReferences], halo: Halo = NO_HALO) -> ColoredWindow:
        """Colour a window of frames `luma` `[B, T, 1, H, W]`, Y' 0..1, sizes multiples of 16; one set of references
        for each of the B clips.

        The chroma is that of the colour with the gray's L* and the predicted ab, brought into the gamut; Y' stays. A
        reference's share in a frame is its nearness in time, as nothing else tells them apart.
        """
        count = luma.shape[1]
        luma = wide(luma).clamp(0, 1)
        light = gray_to_lightness(luma) / 100
        planes, shares = [], []
        for own, gray, memory in zip(luma, light, memories):
            first, last = (_looks(own[[0, -1]]) @ memory.looks.t()).argmax(1).tolist()
            ends = [_scaled(memory.pictures[i], own.shape[-2:]) for i in (first, last)]
            clip = F.pad(gray, (0, 0, 0, 0, 0, 2))  # no colours
            planes.append(torch.cat([ends[0][:, 1:], clip, ends[1][:, 1:]]))
            behind = torch.arange(1, count + 1, device=luma.device) / (count + 1)
            share = luma.new_zeros(count, len(memory.pictures))
            share[:, first] += 1 - behind
            share[:, last] += behind
            shares.append(share[halo.kept(count)])
        planes = torch.stack(planes)
        known = planes.new_zeros(1, count + 2, 1, 1, 1)
        known[:, [0, -1]] = 1
        kept = halo.kept(count)
        inner = slice(kept.start + 1, kept.stop + 1)
        ab = self.predict(planes[:, :, :1], planes[:, :, 1:], known, kept=inner)
        chroma = chroma_of(fold(light[:, kept]), (AB * fold(ab) + 128) / 255)
        return ColoredWindow(unfold(chroma, len(luma)), shares)


def _looks(luma: Tensor) -> Tensor:
    """Small pictures of `luma` `[N, 1, H, W]` as rows of mean 0 and length 1 `[N, P]`; a product is a correlation."""
    small = thumbnails(luma[None])[0].flatten(1)
    return F.normalize(small - small.mean(1, keepdim=True), dim=1)


def _scaled(picture: Tensor, size: tuple[int, int]) -> Tensor:
    if picture.shape[-2:] == size:
        return picture
    return F.interpolate(picture, size, mode="bilinear", antialias=True, align_corners=False)
