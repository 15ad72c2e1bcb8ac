"""Source-reference attention: coarse matching at 1/8 over all references, then local matching round the best match, at
1/4 and for some networks at 1/2.

The score matrix exists only for a chunk of queries and one reference at a time, so memory is bounded however many
references there are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK_SCORES = 4_000_000  # scores held at once (16 MB in float32)


class Memory(NamedTuple):
    """Encoded references, all their positions in one list: coarse ones at 1/8 (K of them), fine ones at 1/4 (N of
    them), and for some networks those at 1/2."""

    keys: Tensor  # [K, D] unit vectors
    values: Tensor  # [K, V]; the first two channels are Cb, Cr
    fine_keys: Tensor  # [N, d] unit vectors
    fine_chroma: Tensor  # [N, 2]
    place: Tensor  # [K, 5] int64: first fine row of the reference, fine line, fine column, fine lines, fine columns
    owner: Tensor  # [K] int64: which reference a coarse position belongs to
    counts: list[int]  # how many coarse positions each reference has
    overview: Tensor  # [A, D] unit vectors: the keys averaged over areas of 4 x 4, for all references
    areas: list[int]  # how many rows of `overview` each reference has
    gains: Tensor | None = None  # [R] logarithms of the references' weights; None: all weigh the same
    half_keys: Tensor | None = None  # [M, k] unit vectors at 1/2, M = 4N; None: nothing is matched there
    half_chroma: Tensor | None = None  # [M, 2]

    def to(self, device: torch.device | str) -> Memory:
        """The same memory on another device."""
        return self._replace(**{name: x.to(device) for name, x in self._asdict().items() if isinstance(x, Tensor)})

    @property
    def halves(self) -> tuple[Tensor, Tensor]:
        """`half_keys` and `half_chroma`; only where the network matches at 1/2."""
        assert self.half_keys is not None and self.half_chroma is not None
        return self.half_keys, self.half_chroma

    def likeness(self, described: Tensor) -> Tensor:
        """How much described frames `[F, P, D]` resemble each reference: `[F, R]`, see `likeness`."""
        return likeness(described.to(self.overview), self)

    def subset(self, chosen: Sequence[int], weights: Sequence[float]) -> Memory:
        """Some of the references (at least one) with weights above 0, exactly as if only they had been encoded."""
        fine = [4 * count for count in self.counts]
        sizes = {"fine_keys": fine, "fine_chroma": fine, "overview": self.areas}
        sizes |= {name: [4 * count for count in fine] for name in ("half_keys", "half_chroma")}
        lists = {
            name: x.split(sizes.get(name, self.counts))
            for name in (*_LISTED, "place", "owner")
            if (x := getattr(self, name)) is not None
        }
        first = [sum(fine[:i]) for i in range(len(fine))]
        parts = []
        for i in chosen:
            one = {name: x[i] for name, x in lists.items()}
            one["place"] = one["place"] - one["place"].new_tensor([first[i], 0, 0, 0, 0])
            parts.append(Memory(**one, counts=[self.counts[i]], areas=[self.areas[i]]))
        made = join(parts)
        if all(weight == 1 for weight in weights):
            return made
        return made._replace(gains=torch.tensor(weights, dtype=torch.float64).log().to(made.keys))


_LISTED = ("keys", "values", "fine_keys", "fine_chroma", "overview", "half_keys", "half_chroma")


def join(memories: list[Memory]) -> Memory:
    """Put several references into one memory."""
    rows, places, owners = 0, [], []
    for i, memory in enumerate(memories):
        place = memory.place.clone()
        place[:, 0] += rows
        rows += memory.fine_keys.shape[0]
        places.append(place)
        owners.append(torch.full_like(memory.owner, i))

    known = [name for name in _LISTED if getattr(memories[0], name) is not None]
    listed = {name: torch.cat([getattr(m, name) for m in memories]) for name in known}
    counts, areas = ([n for m in memories for n in getattr(m, name)] for name in ("counts", "areas"))
    return Memory(**listed, place=torch.cat(places), owner=torch.cat(owners), counts=counts, areas=areas)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """`softmax(queries keys^T) values`: `[Q, d]`, `[K, d]`, `[K, v]` to `[Q, v]`, exact, a chunk of scores at a time.

    `scaled_dot_product_attention` takes its blockwise path only where values are as wide as keys; here they are 8
    times wider, and it would hold the whole Q x K matrix (56 GB for five frames of 1440 x 1080).
    """
    transposed = keys.t()

    def part(chunk: Tensor) -> Tensor:
        score = chunk @ transposed
        score = score.sub_(score.detach().amax(1, keepdim=True)).exp_()
        return (score.to(values.dtype) @ values) / score.sum(1, keepdim=True)

    if torch.jit.is_tracing():  # for an exported graph, which has no loops
        return part(queries)
    return torch.cat([part(chunk) for chunk in queries.split(max(16, CHUNK_SCORES // max(1, len(keys))))])


def places(height: int, width: int, device: torch.device) -> Tensor:
    """`Memory.place` of one reference of `height` x `width` coarse positions."""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    y, x = 2 * y.flatten(), 2 * x.flatten()
    return torch.stack([torch.zeros_like(y), y, x, torch.full_like(y, 2 * height), torch.full_like(y, 2 * width)], 1)


class Match(NamedTuple):
    """Result of the coarse matching for Q queries."""

    value: Tensor  # [Q, V] attention-weighted values
    shares: Tensor  # [Q, R] attention on each reference, 0..1 in sum; the rest went to the null keys
    best: Tensor  # [Q] index of the best reference position
    similarity: Tensor  # [Q, 1] its cosine and its bias, without what its weight added


def likeness(frames: Tensor, memory: Memory) -> Tensor:
    """How much each frame as a whole looks like each reference: `[F, R]`, at most 1.

    `frames` `[F, P, D]`: the frames' matching features averaged over areas of 4 x 4 coarse positions, as unit
    vectors. For every area the most similar one of a reference is sought; the mean of those cosines is the likeness.
    """
    return torch.stack([resemblance(frames, overview) for overview in memory.overview.split(memory.areas)], 1)


def resemblance(frames: Tensor, overview: Tensor) -> Tensor:
    """`likeness` to one reference: `frames` `[F, P, D]` and its `overview` `[A, D]`, both unit vectors; `[F]`."""
    return (frames @ overview.t()).amax(2).mean(1)


def coarse_match(
    queries: Tensor,
    memory: Memory,
    bias: Tensor,
    null_keys: Tensor,
    null_values: Tensor,
    null_bias: Tensor,
    temperature: Tensor,
) -> Match:
    """Cosine attention of one frame's `queries` `[Q, D]` (unit vectors) over the memory and the null keys `[M, D]` ->
    values `[M, V]`.

    `bias` `[R]`, or `[F, R]` for the queries of F frames one after the other, at most 0, is added to the cosines of
    each reference's positions: the less a reference resembles the frame, the less it is asked. The softmax is sharpened
    with the logarithm of the number of keys, so that colour does not fade when frames or references grow. The logarithm
    of a reference's weight is added to its sharpened scores: weight 2 is as if its positions were there twice.
    """
    scale = temperature * math.log(max(len(memory.keys), 2))
    gains = None if memory.gains is None else memory.gains / scale
    offset = scale * (torch.atleast_2d(bias if gains is None else bias + gains) - 1)
    if len(offset) > 1:
        offset = offset.repeat_interleave(len(queries) // len(offset), 0)
    references = list(zip(memory.keys.split(memory.counts), memory.values.split(memory.counts)))
    step = max(16, CHUNK_SCORES // max(memory.counts))
    parts = []
    for i, q in enumerate((scale * queries).split(step)):
        # A score is at most 0 but for what weights add, so the exponentials need no search for the largest, and one
        # reference after the other can be added up.
        none = torch.exp(q @ null_keys.t() + scale * (null_bias - 1))
        value, masses, tops = none @ null_values, [], []
        own = offset[i * step : (i + 1) * step] if len(offset) > 1 else offset
        for (keys, values), bent in zip(references, own.split(1, 1)):
            score = torch.addmm(bent, q, keys.t())
            tops.append(score.detach().max(1))
            real = score.exp_()
            masses.append(real.sum(1))
            value = torch.addmm(value, real, values)
        top, which = torch.stack([top.values for top in tops], 1).max(1, keepdim=True)
        similarity = top / scale + 1
        if gains is not None:  # how sure a match is does not depend on how much it is wanted
            similarity = similarity - gains[which]
        firsts = itertools.accumulate(memory.counts[:-1], initial=0)
        best = torch.stack([top.indices + first for top, first in zip(tops, firsts)], 1).gather(1, which)[:, 0]
        shares = torch.stack(masses, 1)
        total = shares.sum(1, keepdim=True) + none.sum(1, keepdim=True)
        parts.append(Match(value / total, shares / total, best, similarity))
    return Match(*(torch.cat(x) for x in zip(*parts)))


class Local(NamedTuple):
    """Result of a local matching for the positions of F frames `[F, H, W]`."""

    chroma: Tensor  # [F, H*W, 2]
    similarity: Tensor  # [F, H*W, 1] the best cosine
    found: Tensor  # [F, H, W, 5] int64: where that is, as in `Memory.place`


def fine_match(
    queries: Tensor,
    found: Tensor,
    keys: Tensor,
    chroma: Tensor,
    scale: Tensor,
    radius: int,
    together: bool = False,
) -> Local:
    """Match in a window of `2 * radius + 1` squared round what was found at half the size.

    `queries` `[F, 2*h*2*w, d]` unit vectors of F frames; `found` `[F, h, w, 5]`: rows of `Memory.place`, in positions
    of this size; `keys` `[N, d]` and `chroma` `[N, 2]` of the references at this size; `together`: not one frame after
    the other, which takes F times the memory.
    """
    frames, height, width, _ = found.shape
    found = found.repeat_interleave(2, 1).repeat_interleave(2, 2)
    first, y, x, lines, columns = found.unbind(-1)
    device = queries.device
    y = y + (torch.arange(2 * height, device=device) % 2)[None, :, None]
    x = x + (torch.arange(2 * width, device=device) % 2)[None, None, :]
    reach = torch.arange(-radius, radius + 1, device=device)
    ys, xs = (
        torch.minimum((at[..., None] + reach).clamp_min(0), (count - 1)[..., None])
        for at, count in ((y, lines), (x, columns))
    )
    rows = first[..., None, None] + ys[..., :, None] * columns[..., None, None] + xs[..., None, :]
    rows = rows.flatten(-2).flatten(1, 2)  # [F, P, W]
    parts = []
    if together:
        queries, rows = queries.flatten(0, 1)[None], rows.flatten(0, 1)[None]
    for query, row in zip(queries, rows):
        cosine = torch.bmm(F.embedding(row, keys), query[..., None])[..., 0]
        weights = torch.softmax(scale * cosine, -1)
        parts.append((torch.bmm(weights[:, None], F.embedding(row, chroma))[:, 0], *cosine.max(-1, keepdim=True)))
    carried, similarity, best = (torch.stack(x).view(frames, 4 * height * width, -1) for x in zip(*parts))
    best = best.view(frames, 2 * height, 2 * width)
    side = 2 * radius + 1
    y, x = (
        torch.minimum((at + step - radius).clamp_min(0), count - 1)
        for at, step, count in ((y, best // side, lines), (x, best % side, columns))
    )
    return Local(carried, similarity, torch.stack([first, y, x, lines, columns], -1))


def doubled(found: Tensor) -> Tensor:
    """Places `[..., 5]` in positions of twice the size."""
    return torch.cat([4 * found[..., :1], 2 * found[..., 1:]], -1)
