"""The colorizer: chroma for gray frames from any number of colour references.

Gray features of frame and references meet in source-reference attention at 1/8, are matched again locally at 1/4, and
a small decoder with temporal shifts turns the carried colour into the chroma of the frame, lifted to full size along
its luma edges. A network with channels at 1/2 matches once more there, see `detail.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import Match, Memory, areas, coarse_match, fine_match, join, joined, likeness, places
from .backbone import CHANNELS, GrayEfficientNet
from .detail import Detail
from .evenness import doubt, even
from .layers import (
    MIDDLE,
    NO_HALO,
    Edges,
    Halo,
    Lift,
    ResBlock,
    Stage,
    bias_of,
    fold,
    in_large_steps,
    rows,
    trim,
    twice,
    unfold,
    wide,
)
from .network import ColorizerNetwork
from .registration import finer, picture, register


@dataclass(frozen=True)
class ColorizerConfig:
    """Channels of the matching features and of the decoder at 1/8 and 1/4.

    `half`: channels at 1/2; 0: nothing is matched there. `shift` and `local` leave something out, to measure what it is
    worth: looking at neighbouring frames, and the local matching at 1/4.
    """

    key: int = 64
    value: int = 32
    fine_key: int = 24
    width8: int = 64
    width4: int = 48
    null_keys: int = 8
    search: int = 2
    half: int = 0
    half_key: int = 16
    shift: bool = True
    local: bool = True


class Features(NamedTuple):
    """What the encoder knows of a gray picture `[N, 1, H, W]`."""

    keys: Tensor  # [N, key, H/8, W/8] unit vectors
    fine_keys: Tensor  # [N, fine_key, H/4, W/4] unit vectors
    coarse: Tensor  # [N, width8, H/8, W/8]
    fine: Tensor  # [N, width4, H/4, W/4]


class Look(NamedTuple):
    """What is known of N frames, each by itself: features, and what the references give it."""

    coarse: Tensor  # [N, width8, H/8, W/8]
    fine: Tensor  # [N, width4, H/4, W/4]
    value: Tensor  # [N, 2 + value, H/8, W/8] carried by attention
    known: Tensor  # [N, 1, H/8, W/8], see `ColorizerOutput`
    similarity: Tensor  # [N, 1, H/8, W/8]
    refined: Tensor  # [N, 2, H/4, W/4] carried by local matching
    nearness: Tensor  # [N, 1, H/4, W/4]
    shares: list[Tensor]  # for each clip [T, R]
    found: Tensor | None = None  # [N, H/4, W/4, 7] for a network that goes on at 1/2
    registered: Tensor | None = None  # [N, 3, H, W] see `register`; None where nothing is matched locally


class ColorizerOutput(NamedTuple):
    """Chroma `[B, T, 2, H, W]`, and for training and for weights per reference what led to it."""

    chroma: Tensor
    chroma4: Tensor  # [B, T, 2, H/4, W/4] before the last upsampling
    coarse: Tensor  # [B, T, 2, H/8, W/8] carried by attention alone
    refined: Tensor  # [B, T, 2, H/4, W/4] carried by local matching alone
    known: Tensor  # [B, T, 1, H/8, W/8] 0..1: how sure the matching is that a reference shows this
    shares: list[Tensor]  # for each clip [T, R]: how much of `known` is each reference's, mean over the frame
    detail: Tensor | None = None  # [B, T, 2, H/2, W/2] carried by the matching at 1/2 alone


class ColorizerNet(ColorizerNetwork):
    """The colorizer network; looks 3 frames each way.

    Source: source-reference attention after DeepRemaster (section 3.2); the local matching, null keys and chroma-only
    output are ours.
    """

    exact = ()
    before = after = 3
    block = 16
    multiple_of = 16
    weighs_references = True

    config: ColorizerConfig

    def __init__(self, config: ColorizerConfig = ColorizerConfig()) -> None:
        super().__init__(config)
        c = config
        self.backbone = GrayEfficientNet()
        self.fine_in = nn.Conv2d(16 + CHANNELS[4], c.width4, 3, padding=1)
        self.fine_body = nn.Sequential(ResBlock(c.width4), ResBlock(c.width4))
        self.fine_key = nn.Conv2d(c.width4, c.fine_key, 1)
        self.key = nn.Conv2d(CHANNELS[8] + CHANNELS[16] + c.width4, c.key, 1)
        self.coarse_in = nn.Conv2d(CHANNELS[8] + CHANNELS[16] + c.width4, c.width8, 1)
        self.value = nn.Sequential(
            nn.Conv2d(8 + c.width8, c.value, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(c.value, c.value, 1)
        )
        self.null_keys = nn.Parameter(torch.randn(c.null_keys, c.key))
        self.null_values = nn.Parameter(torch.zeros(c.null_keys, 2 + c.value))
        self.null_bias = nn.Parameter(torch.tensor(-0.2))
        self.likeness = nn.Parameter(torch.tensor(1.0))
        self.temperature = nn.Parameter(torch.tensor(2.5))
        self.fine_scale = nn.Parameter(torch.tensor(20.0))
        self.mix8 = nn.Conv2d(2 + c.value + 2 + c.width8, c.width8, 3, padding=1)
        self.stage8a = Stage(c.width8, 2, temporal=c.shift)
        self.stage8b = Stage(c.width8, 2, temporal=c.shift)
        self.up = nn.Conv2d(c.width8, 4 * c.width4, 1)
        self.mix4 = nn.Conv2d(6 + 2 * c.width4, c.width4, 3, padding=1)
        self.stage4 = Stage(c.width4, 2, temporal=c.shift)
        self.head = nn.Conv2d(c.width4, 3, 3, padding=1)
        self.convex = Lift(c.width4)
        if c.half and not c.local:
            raise ValueError("without local matching nothing can be matched at 1/2; set half to 0")
        self.detail = Detail(c.half, c.half_key, c.width4) if c.half else None
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            bias_of(self.head).zero_()

    def features(self, luma: Tensor) -> Features:
        """Encode gray pictures `[N, 1, H, W]` 0..1, sizes multiples of 16."""
        deep, fine = self.seen(luma)
        return Features(self.keys(deep), F.normalize(wide(self.fine_key(fine)), dim=1), self.coarse_in(deep), fine)

    def seen(self, luma: Tensor) -> tuple[Tensor, Tensor]:
        """What is seen in gray pictures, `[N, ..., H/8, W/8]` and `[N, width4, H/4, W/4]`, see `features`."""
        f4, f8, f16 = self.backbone(luma)
        pixels = F.pixel_unshuffle(luma - MIDDLE, 4).to(f4.dtype)
        fine = self.fine_body(self.fine_in(torch.cat([pixels, 0.1 * f4], 1)))
        f16 = F.interpolate(f16, scale_factor=2, mode="bilinear", align_corners=False)
        return torch.cat([0.1 * f8, 0.2 * f16, F.avg_pool2d(fine, 2)], 1), fine

    def keys(self, deep: Tensor) -> Tensor:
        """The keys of `Features`, of what was `seen` at 1/8."""
        return F.normalize(wide(self.key(deep)), dim=1)

    def encode(self, luma: Tensor, chroma: Tensor) -> Memory:
        """Encode one reference: `luma` `[1, 1, H, W]`, `chroma` `[1, 2, H, W]` (BT.709 Cb, Cr), sizes multiples of
        16."""
        return self.encode_batch(luma, chroma)[0]

    def encode_batch(self, luma: Tensor, chroma: Tensor) -> list[Memory]:
        """Encode references of one size at once: `luma` `[N, 1, H, W]`, `chroma` `[N, 2, H, W]`, a memory for each.

        Quicker than one after the other where a GPU would wait for work, as in training.
        """
        f = self.features(luma)
        chroma4 = F.avg_pool2d(wide(chroma), 4)
        chroma8 = F.avg_pool2d(chroma4, 2)
        learned = self.value(torch.cat([F.pixel_unshuffle(4 * chroma4, 2).to(f.coarse.dtype), f.coarse], 1))
        values = torch.cat([chroma8, wide(learned)], 1)
        height, width = chroma8.shape[-2:]
        place = places(height, width, luma.device)
        owner = torch.zeros(height * width, dtype=torch.int64, device=luma.device)
        overviews = areas(f.keys)
        lists = {"keys": rows(f.keys), "values": rows(values), "fine_keys": rows(f.fine_keys),
                 "fine_chroma": rows(chroma4), "overview": overviews}  # fmt: skip
        if self.detail:
            half_keys, _ = self.detail.features(luma, f.fine)
            lists |= {"half_keys": rows(half_keys), "half_chroma": rows(F.avg_pool2d(wide(chroma), 2))}
        if self.registers:
            lists["pictures"] = [picture(*one) for one in zip(luma.split(1), chroma.split(1))]
        counts, sizes = [height * width], [overviews.shape[1]]
        return [
            Memory(**dict(zip(lists, parts)), place=place, owner=owner, counts=counts, areas=sizes)
            for parts in zip(*lists.values())
        ]

    def encode_all(self, pictures: Iterable[tuple[Tensor, Tensor]]) -> Memory:
        """Encode several references, each `(luma, chroma)` as in `encode`, into one memory."""
        return join([self.encode(luma, chroma) for luma, chroma in pictures])

    def describe(self, luma: Tensor) -> Tensor:
        """What frames `luma` `[N, 1, H, W]` look like as wholes: `[N, areas, D]` unit vectors, see `likeness`."""
        return areas(self.features(luma).keys)

    def forward(self, luma: Tensor, memories: list[Memory], halo: Halo = NO_HALO) -> ColorizerOutput:
        """Colour a window of frames.

        `luma` `[B, T, 1, H, W]` 0..1, sizes multiples of 16; one memory for each of the B clips; `halo`: context
        frames at either end that are not returned.
        """
        return self.render(luma, self.look(luma, memories), memories, halo)

    def look(self, luma: Tensor, memories: list[Memory]) -> Look:
        """What is known of each frame by itself: its features, and what the references give it."""
        f = self.features(fold(luma))
        own = [Features(*x) for x in zip(*(unfold(x, luma.shape[0]) for x in f))]
        carry = self.carry_together if self.training and alike(memories) else lambda *x: map(self.carry, *x)
        parts, shares, *local = zip(*carry(own, memories))
        value, known, similarity = (joined(x) for x in zip(*parts))
        refined, nearness, *found = (joined(x) for x in local)
        carried = value, known, similarity, refined, nearness
        registered = self.register(fold(luma), found[0], memories) if self.registers else None
        at_half = found[0] if self.detail else None
        return Look(f.coarse, f.fine, *carried, list(shares), at_half, registered)

    @property
    def registers(self) -> bool:
        """Whether chroma is made as fine as the references', see `register`. In training the network has to do without
        it."""
        return self.config.local and not self.training

    def register(self, luma: Tensor, found: Tensor, memories: list[Memory]) -> Tensor:
        """`register` for the frames `luma` `[N, 1, H, W]` of all clips, each with its memory."""
        made = []
        for light, place, memory in zip(luma.chunk(len(memories)), found.chunk(len(memories)), memories, strict=True):
            parts, whole = 1 if self.together else len(light), wide(memory.whole)
            made += [register(*one, whole) for one in zip(light.chunk(parts), place.chunk(parts))]
        return joined(made)

    def render(self, luma: Tensor, look: Look, memories: list[Memory], halo: Halo = NO_HALO) -> ColorizerOutput:
        """Colour a window whose frames have been looked at; see `forward`."""
        batch = luma.shape[0]
        shares = [share[halo.kept(len(share))] for share in look.shares]
        chroma4, hidden = self.decode(look, batch, halo)
        luma, value, known, refined, similarity = (
            trim(x, batch, halo, NO_HALO) for x in (fold(luma), look.value, look.known, look.refined, look.similarity)
        )
        doubtful = None
        if not self.training:
            doubtful = doubt(similarity, known)
            chroma4 = even(chroma4, luma, doubtful)
        chroma, detail = self.convex(chroma4, hidden, luma), None
        if self.detail:
            assert look.found is not None
            fine, found = (trim(x, batch, halo, NO_HALO) for x in (look.fine, look.found))
            chroma, detail = self.add_detail(chroma, hidden, luma, fine, found, memories, doubtful)
        if look.registered is not None and doubtful is not None:
            chroma = self.finer(chroma, trim(look.registered, batch, halo, NO_HALO), known, doubtful)
        planes = (unfold(x, batch) for x in (chroma, chroma4, value[:, :2], refined, known))
        return ColorizerOutput(*planes, shares, None if detail is None else unfold(detail, batch))

    def finer(self, chroma: Tensor, registered: Tensor, known: Tensor, doubtful: Tensor) -> Tensor:
        """`finer` where a reference is `known` to show it beyond `doubt`."""
        trust = F.interpolate(known - doubtful, scale_factor=8.0, mode="bilinear", align_corners=False)
        if self.together or torch.jit.is_tracing():
            return finer(chroma, registered, trust)
        return torch.cat([finer(*one) for one in zip(chroma.split(1), registered.split(1), trust.split(1))])

    def carry(self, f: Features, memory: Memory) -> tuple[tuple[Tensor, Tensor, Tensor], *tuple[Tensor, ...]]:
        """Carry the references' colour to the frames `f` (N of them) of one clip.

        Returns the coarse planes (value, known, similarity), each reference's share `[N, R]`, chroma and cosine of the
        fine matching, and for a network that goes on at 1/2 what it found, `[N, H/4, W/4, 7]`.
        """
        count, _, height, width = f.keys.shape
        match = self.match(f, memory)

        def plane(x: Tensor, scale: int) -> Tensor:
            return x.reshape(count, scale * height, scale * width, -1).permute(0, 3, 1, 2)

        known = match.shares.sum(1, keepdim=True)
        coarse = (plane(match.value, 1), plane(known, 1), plane(match.similarity, 1))
        shares = match.shares.view(count, height * width, -1).mean(1)
        if not self.config.local:
            return coarse, shares, *(twice(x) for x in (coarse[0][:, :2], coarse[2]))
        with torch.autocast(f.keys.device.type, enabled=False):
            found = memory.place[match.best].view(count, height, width, 7)
            scale, search = self.fine_scale, self.config.search
            given = rows(f.fine_keys), found, memory.fine_keys, memory.fine_chroma
            follow = self.registers or self.detail is not None
            local = fine_match(*given, scale, search, self.together, follow)
        planes = (plane(local.chroma, 2), plane(local.similarity, 2))
        return coarse, shares, *planes, *([] if local.found is None else [local.found])

    def add_detail(
        self,
        chroma: Tensor,
        hidden: Tensor,
        luma: Tensor,
        fine: Tensor,
        found: Tensor,
        memories: list[Memory],
        doubtful: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Match at 1/2 too: the corrected chroma of the frames, `[N, 2, H, W]`, and the carried one at 1/2.
        `doubtful`: see `doubt`; None: nothing is."""
        assert self.detail is not None
        if not (self.together or torch.is_grad_enabled() or len(luma) == 1):  # what a frame needs fits a cache
            given = (x.split(1) for x in (chroma, hidden, luma, fine, found))
            doubts = [None] * len(luma) if doubtful is None else doubtful.split(1)
            parts = [self.add_detail(*one, memories, part) for *one, part in zip(*given, doubts, strict=True)]
            return torch.cat([made for made, _ in parts]), torch.cat([carried for _, carried in parts])
        keys, half = self.detail.features(luma, fine)
        half_keys, half_chroma = memories[0].halves
        if len(memories) > 1:  # all in one list: what a clip found lies behind what the clips before it know
            first, parts = 0, []
            for part, memory in zip(found.chunk(len(memories)), memories):
                parts.append(torch.cat([part[..., :1] + first, part[..., 1:]], 3))
                first += len(memory.fine_keys)
            found = torch.cat(parts)
            half_keys, half_chroma = (torch.cat(x) for x in zip(*(memory.halves for memory in memories)))
        carried = self.detail.carry(keys, found, half_keys, half_chroma)
        return self.detail(chroma, hidden, luma, half, carried, doubtful), carried[:, :2]

    def carry_together(self, own: list[Features], memories: list[Memory]) -> Iterable[tuple]:
        """`carry` of clips whose references are alike in number and size, all at once: for training on a GPU, which
        would wait for many small steps."""
        tensors = [name for name, x in memories[0]._asdict().items() if isinstance(x, Tensor)]

        def one(f: Features, rows: dict[str, Any]) -> tuple:
            return self.carry(f, memories[0]._replace(**rows))

        given = Features(*map(torch.stack, zip(*own)))
        rows = {name: torch.stack([getattr(memory, name) for memory in memories]) for name in tensors}
        parts, *rest = torch.vmap(one)(given, rows)
        return zip(zip(*parts), *rest)

    def match(self, f: Features, memory: Memory) -> Match:
        """The coarse matching of the frames `f` of one clip, their positions one after the other."""
        dtype = scores_in(f.keys.device)
        with torch.autocast(f.keys.device.type, enabled=False):
            alike = likeness(areas(f.keys), memory)
            bias = self.likeness * (alike - alike.amax(1, keepdim=True))
            null = F.normalize(wide(self.null_keys), dim=1), wide(self.null_values), self.null_bias
            queries = rows(f.keys)
            if self.together:
                return coarse_match(queries.flatten(0, 1), memory, bias, *null, self.temperature, dtype)
            matches = [coarse_match(q, memory, b, *null, self.temperature, dtype) for q, b in zip(queries, bias)]
            return Match(*(torch.cat(x) for x in zip(*matches)))

    @property
    def together(self) -> bool:
        """Whether all frames are matched at once: a GPU would wait for many small steps, and crops in training are
        small. On a CPU one frame after the other is quicker, and does not depend on the others by a single bit."""
        return self.training or in_large_steps(self.null_bias.device)

    def match_map(self, luma: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """For each place of frames `luma` `[N, 1, H, W]` each reference's share in its colour, `[N, R, H/8, W/8]`, and
        how alike the best match is, `[N, 1, H/8, W/8]`."""
        f = self.features(luma)
        count, _, height, width = f.keys.shape
        match = self.match(f, memory)
        shares, similarity = (
            x.view(count, height, width, -1).permute(0, 3, 1, 2) for x in (match.shares, match.similarity)
        )
        return shares, similarity

    def decode(self, look: Look, batch: int, halo: Halo, edges: Edges | None = None) -> tuple[Tensor, Tensor]:
        """From what was carried to chroma `[N, 2, H/4, W/4]` and the features it was made from; the halo is dropped
        on the way. `edges`: where the scene ends inside the window."""
        first = torch.cat([4 * look.value[:, :2], look.value[:, 2:], look.known, look.similarity], 1)
        x = self.mix8(torch.cat([first.to(look.coarse.dtype), look.coarse], 1))
        x, halo8a = self.stage8a(x, batch, halo, 2, edges)
        x, halo8 = self.stage8b(x, batch, halo8a, 1, edges)
        x = F.pixel_shuffle(self.up(x), 2)
        coarse = twice(torch.cat([look.value[:, :2], look.known], 1))
        carried = torch.cat([4 * look.refined, look.nearness, 4 * coarse[:, :2], coarse[:, 2:]], 1)
        carried, fine = (trim(y, batch, halo, halo8) for y in (carried, look.fine))
        x = self.mix4(torch.cat([carried.to(x.dtype), fine, x], 1))
        x, halo4 = self.stage4(x, batch, halo8, 0, edges)
        x = trim(x, batch, halo4, NO_HALO)
        gate, delta = wide(self.head(x)).split([1, 2], 1)
        gate = torch.sigmoid(gate)
        refined, coarse = (trim(y, batch, halo, NO_HALO) for y in (look.refined, coarse[:, :2]))
        return gate * refined + (1 - gate) * coarse + delta, x


def scores_in(device: torch.device) -> torch.dtype:
    """The precision of the coarse matching's scores: bfloat16 where autocast computes in it, but in training and in
    exported graphs float32. float16 does not hold their sums."""
    kind = device.type
    if torch.is_grad_enabled() or torch.jit.is_tracing() or not torch.is_autocast_enabled(kind):
        return torch.float32
    return torch.bfloat16 if torch.get_autocast_dtype(kind) == torch.bfloat16 else torch.float32


def apart(look: Look) -> list[Look]:
    """A look at the frames of one clip as one look at each."""
    planes = [name for name, x in look._asdict().items() if isinstance(x, Tensor)]
    frames = zip(*(getattr(look, name).split(1) for name in planes), strict=True)
    shares = look.shares[0].split(1)
    return [look._replace(shares=[share], **dict(zip(planes, one))) for share, one in zip(shares, frames, strict=True)]


def together(looks: Sequence[Look]) -> Look:
    """Looks at the frames of one clip as one look at all of them."""
    shares = torch.cat([share for look in looks for share in look.shares])
    planes = [name for name, x in looks[0]._asdict().items() if isinstance(x, Tensor)]
    return looks[0]._replace(shares=[shares], **{n: torch.cat([getattr(look, n) for look in looks]) for n in planes})


def alike(memories: list[Memory]) -> bool:
    """Whether all have as many references of the same sizes, and no weights."""
    first = memories[0]
    return all(m.counts == first.counts and m.areas == first.areas and m.gains is None for m in memories)


def working_size(height: int, width: int, lines: int, multiple: int) -> tuple[int, int]:
    """Size at which a `height` x `width` picture is coloured: short side about `lines`, both multiples of `multiple`.

    A picture longer than 16:9 keeps the number of pixels of a 16:9 picture with that many lines, and no side exceeds
    eight times `lines`.
    """
    scale = lines / min(height, width)
    most = lines * lines * 16 / 9
    scale *= min(1.0, math.sqrt(most / (height * width * scale * scale)))

    def fitted(side: int) -> int:
        return max(multiple, min(8 * lines, round(side * scale / multiple) * multiple) // multiple * multiple)

    return fitted(height), fitted(width)
