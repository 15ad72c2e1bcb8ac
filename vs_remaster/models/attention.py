"""Source-reference attention: coarse matching at 1/8 over all references, then local matching round the best match, at
1/4 and for some networks at 1/2.

The score matrix exists only for a chunk of queries and one reference at a time, so memory is bounded however many
references there are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .layers import constant, in_large_steps, rows, wide

CHUNK_SCORES = 500_000  # scores in float32 held at once on a CPU (2 MB, which stay in a core's cache)
GPU_SCORES = 128_000_000  # and elsewhere (512 MB), where many small steps would take longer; twice as many in bfloat16
_FOLDS = 16  # parts of a row of scores in which its highest is sought


class Memory(NamedTuple):
    """Encoded references, all their positions in one list: coarse ones at 1/8 (K of them), fine ones at 1/4 (N of
    them), and for some networks those at 1/2."""

    keys: Tensor  # [K, D] unit vectors
    values: Tensor  # [K, V]; the first two channels are Cb, Cr
    fine_keys: Tensor  # [N, d] unit vectors
    fine_chroma: Tensor  # [N, 2]
    place: Tensor  # [K, 7] int64, see `places`
    owner: Tensor  # [K] int64: which reference a coarse position belongs to
    counts: list[int]  # how many coarse positions each reference has
    overview: Tensor  # [A, D] unit vectors: the keys averaged over areas of 4 x 4, for all references
    areas: list[int]  # how many rows of `overview` each reference has
    gains: Tensor | None = None  # [R] logarithms of the references' weights; None: all weigh the same
    half_keys: Tensor | None = None  # [M, k] unit vectors at 1/2, M = 4N; None: nothing is matched there
    half_chroma: Tensor | None = None  # [M, 2]
    pictures: Tensor | None = None  # [4, L, C] see `registration.picture`; None: nothing is registered
    partial: tuple[int, ...] = ()  # the references of which only some coarse positions are here, see `known_only`
    clear: tuple[Tensor, ...] = ()  # of each of those, the keys of the others, `[C, D]`; none where they are not known

    def to(self, device: torch.device | str) -> Memory:
        """The same memory on another device."""
        moved = {name: x.to(device) for name, x in self._asdict().items() if isinstance(x, Tensor)}
        return self._replace(**moved, clear=tuple(x.to(device) for x in self.clear))

    @property
    def halves(self) -> tuple[Tensor, Tensor]:
        """`half_keys` and `half_chroma`; only where the network matches at 1/2."""
        assert self.half_keys is not None and self.half_chroma is not None
        return self.half_keys, self.half_chroma

    @property
    def whole(self) -> Tensor:
        """`pictures`; only where chroma is registered."""
        assert self.pictures is not None
        return self.pictures

    def likeness(self, described: Tensor) -> Tensor:
        """How much described frames `[F, P, D]` resemble each reference: `[F, R]`, see `likeness`."""
        return likeness(described.to(self.overview), self)

    def plus(self, more: Memory) -> Memory:
        """See `ComparableReferences.plus`."""
        return join([self, more])

    def showing(self, known: Sequence[Known | None]) -> Memory:
        """The same where each reference is known, see `known_only`; None for all of it."""
        parts = [self.subset([i], [1.0]) for i in range(len(self.counts))]
        return join([one if part is None else known_only(one, part) for one, part in zip(parts, known, strict=True)])

    def subset(self, chosen: Sequence[int], weights: Sequence[float]) -> Memory:
        """Some of the references (at least one) with weights above 0, exactly as if only they had been encoded."""
        fine = [int(place[0, 3] * place[0, 4]) for place in self.place.split(self.counts)]
        sizes = {"fine_keys": fine, "fine_chroma": fine, "overview": self.areas}
        sizes |= {name: [4 * count for count in fine] for name in ("half_keys", "half_chroma")}
        lists = {
            name: x.split(sizes.get(name, self.counts))
            for name in (*_LISTED, "place", "owner")
            if (x := getattr(self, name)) is not None
        }
        starts = [place[0].tolist() for place in self.place.split(self.counts)]
        shapes = [(4 * lines, 4 * columns) for _, _, _, lines, columns, *_ in starts]
        pictures = None if self.pictures is None else self.pictures.split([lines for lines, _ in shapes], 1)
        parts = []
        for i in chosen:
            one: dict[str, Any] = {name: x[i] for name, x in lists.items()}
            one["place"] = one["place"] - one["place"].new_tensor([starts[i][0], 0, 0, 0, 0, starts[i][5], 0])
            one["owner"] = torch.zeros_like(one["owner"])
            one["pictures"] = pictures and pictures[i][..., : shapes[i][1]]
            one["clear"] = tuple(keys for number, keys in zip(self.partial, self.clear) if number == i)
            partial = tuple(0 for _ in one["clear"])
            parts.append(Memory(**one, counts=[self.counts[i]], areas=[self.areas[i]], partial=partial))
        made = join(parts)
        if all(weight == 1 for weight in weights):
            return made
        return made._replace(gains=torch.tensor(weights, dtype=torch.float64).log().to(made.keys))


_LISTED = ("keys", "values", "fine_keys", "fine_chroma", "overview", "half_keys", "half_chroma")


def join(memories: list[Memory]) -> Memory:
    """Put the references of several memories into one."""
    rows, lines, first, places, owners, partial = 0, 0, 0, [], [], []
    for memory in memories:
        place = memory.place.clone()
        place[:, 0] += rows
        place[:, 5] += lines
        rows += memory.fine_keys.shape[0]
        lines += sum(int(one[0, 3]) for one in memory.place.split(memory.counts))
        places.append(place)
        owners.append(memory.owner + first)
        partial += [first + number for number in memory.partial]
        first += len(memory.counts)

    known = [name for name in _LISTED if getattr(memories[0], name) is not None]
    listed: dict[str, Any] = {name: torch.cat([getattr(m, name) for m in memories]) for name in known}
    if all(m.pictures is not None for m in memories):
        widest = max(m.whole.shape[2] for m in memories)
        with torch.autocast(memories[0].keys.device.type, enabled=False):  # which joins no half precision to bfloat16
            listed["pictures"] = torch.cat([F.pad(m.whole, (0, widest - m.whole.shape[2])) for m in memories], 1)
    counts, areas = ([n for m in memories for n in getattr(m, name)] for name in ("counts", "areas"))
    clear = tuple(keys for memory in memories for keys in memory.clear)
    more: dict[str, Any] = {"counts": counts, "areas": areas, "partial": tuple(partial), "clear": clear}
    return Memory(**listed, place=torch.cat(places), owner=torch.cat(owners), **more)


class Known(NamedTuple):
    """Where a reference is known: `mask` `[1, 1, H, W]`, 0..1, at the size at which it is encoded; and whether its luma
    is the right one elsewhere, too."""

    mask: Tensor
    everywhere: bool


DOUBT = 0.72
"""Cosine from which a place counts as shown by a reference that is known in part and whose luma elsewhere is not known.
At 432 lines nine in ten places that it does not show stay below 0.69 to 0.77 (two films, frames up to 20 apart); those
that it shows have 0.65 to 0.9 on average."""
_REACH = 8  # steps from a known place of which half or more is known to the farthest that a local matching can look at


def known_only(memory: Memory, known: Known) -> Memory:
    """What one reference `memory` shows where it is known.

    Coarse positions of which less than half is known are left out. Finer ones hold what the nearest known one holds:
    they are looked at round a match only, and then they are as what is beyond the picture's edge.

    Where its luma is right everywhere, the coarse positions that are left out tell what it does not show, see
    `coarse_match`, and it is compared with frames as a whole.

    Args:
        memory: of one reference.
        known: at least one coarse position has to be.
    """
    mask = known.mask.to(memory.keys.device)
    fine, half, coarse = (F.avg_pool2d(mask, n)[0, 0] >= 0.5 for n in (4, 2, 8))
    near = {"fine_keys": fine, "fine_chroma": fine, "half_keys": half, "half_chroma": half}
    made = {name: x[nearest(part)] for name, part in near.items() if (x := getattr(memory, name)) is not None}
    if memory.pictures is not None:
        made["pictures"] = torch.cat([memory.pictures[:3], mask[0].to(memory.pictures)])
    if bool(coarse.all()):
        return memory._replace(**made)
    kept = coarse.flatten()
    made |= {name: getattr(memory, name)[kept] for name in ("keys", "values", "place", "owner")}
    made |= {"counts": [int(kept.sum())], "partial": (0,)}
    if known.everywhere:
        return memory._replace(**made, clear=(memory.keys[~kept],))
    keys = torch.where(kept[:, None], memory.keys, 0).t().reshape(1, -1, *coarse.shape)
    some = F.avg_pool2d(coarse.float()[None, None], 4, ceil_mode=True, count_include_pad=False).flatten() > 0
    made |= {"overview": areas(keys)[0, some], "areas": [int(some.sum())]}
    return memory._replace(**made, clear=(memory.keys[:0],))


def nearest(known: Tensor) -> Tensor:
    """For each place of `known` `[h, w]` a known one near it, as numbers `[h * w]`; itself where it is known. Beyond
    `_REACH` steps any."""
    numbers = torch.arange(known.numel(), dtype=torch.float32, device=known.device).view(1, 1, *known.shape)
    found = torch.where(known, numbers, -1)
    for _ in range(_REACH):
        found = torch.where(found < 0, F.max_pool2d(found, 3, 1, 1), found)
    return torch.where(found < 0, found.amax(), found).long().flatten()


def areas(keys: Tensor) -> Tensor:
    """Matching features `[N, D, h, w]` averaged over areas of about 4 x 4 positions, as unit vectors `[N, areas,
    D]`."""
    return F.normalize(rows(F.avg_pool2d(keys, 4, ceil_mode=True, count_include_pad=False)), dim=2)


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
    return torch.cat([part(chunk) for chunk in queries.split(max(16, at_once(queries) // max(1, len(keys))))])


def at_once(x: Tensor) -> int:
    """How many numbers like those of `x` are held at once where it is."""
    return (GPU_SCORES if in_large_steps(x.device) else CHUNK_SCORES) * 4 // x.element_size()


def places(height: int, width: int, device: torch.device) -> Tensor:
    """`Memory.place` of one reference of `height` x `width` coarse positions, in fine positions: the first row of the
    reference, line and column in it, its lines and columns, and where it begins in `Memory.pictures`."""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    y, x = 2 * y.flatten(), 2 * x.flatten()
    none, lines, columns = (torch.full_like(y, n) for n in (0, 2 * height, 2 * width))
    return torch.stack([none, y, x, lines, columns, none, none], 1)


class Match(NamedTuple):
    """Result of the coarse matching for Q queries."""

    value: Tensor  # [Q, V] attention-weighted values
    shares: Tensor  # [Q, R] attention on each reference, 0..1 in sum; the rest went to the null keys
    best: Tensor  # [Q] index of the best reference position
    similarity: Tensor  # [Q, 1] its cosine and its bias, without what its weight added


def likeness(frames: Tensor, memory: Memory) -> Tensor:
    """How much each frame as a whole looks like each reference: `[F, R]`, at most 1.

    `frames` `[F, P, D]`: the frames' matching features averaged over areas of 4 x 4 coarse positions, as unit
    vectors. For every area the most similar one of a reference is sought; the mean of those cosines is the likeness. Of
    a reference that is known in part, and not its luma elsewhere, it says whether the frame shows that: for each of its
    own areas the most similar one of the frame is sought.
    """
    parts = {i for i, keys in zip(memory.partial, memory.clear) if not len(keys)}
    overviews = enumerate(memory.overview.split(memory.areas))
    return torch.stack([resemblance(frames, one, i in parts) for i, one in overviews], 1)


def resemblance(frames: Tensor, overview: Tensor, partial: bool = False) -> Tensor:
    """`likeness` to one reference: `frames` `[F, P, D]` and its `overview` `[A, D]`, both unit vectors; `[F]`.
    `partial`: it is known in part."""
    cosines = frames @ overview.t()
    return cosines.amax(1).mean(1) if partial else cosines.amax(2).mean(1)


def coarse_match(
    queries: Tensor,
    memory: Memory,
    bias: Tensor,
    null_keys: Tensor,
    null_values: Tensor,
    null_bias: Tensor,
    temperature: Tensor,
    dtype: torch.dtype = torch.float32,
) -> Match:
    """Cosine attention of one frame's `queries` `[Q, D]` (unit vectors) over the memory and the null keys `[M, D]` ->
    values `[M, V]`.

    `bias` `[R]`, or `[F, R]` for the queries of F frames one after the other, at most 0, is added to the cosines of
    each reference's positions: the less a reference resembles the frame, the less it is asked. The softmax is sharpened
    with the logarithm of the number of keys, so that colour does not fade when frames or references grow. The logarithm
    of a reference's weight is added to its sharpened scores: weight 2 is as if its positions were there twice.

    A reference that is known in part is asked as far as it shows what is sought: its positions are weighed with the
    square of their share in the attention to all of it, those that are clear included, or beside `DOUBT`.

    `dtype`: of the scores and of what is multiplied by them, see `Scores`.
    """
    scores = Scores(temperature * math.log(max(len(memory.keys), 2)), dtype)
    scale = scores.scale
    gains = None if memory.gains is None else memory.gains / scale
    offset = torch.atleast_2d(bias if gains is None else bias + gains)  # at most 0 but for what weights add
    if len(offset) > 1:
        offset = offset.repeat_interleave(len(queries) // len(offset), 0)
    known = scores.keys(memory.keys), scores.values(memory.values)
    references = list(zip(*(x.split(memory.counts) for x in known)))
    clear = {i: keys if not len(keys) else scores.keys(keys) for i, keys in zip(memory.partial, memory.clear)}
    longest = max(*memory.counts, 1, *(len(keys) for keys in memory.clear))
    prepared = scores.queries(queries)
    step = min(len(queries), max(16, at_once(prepared) // longest))
    # Memory that is fresh for every product costs as much time as the product.
    scratch = prepared.new_empty(step * longest) if torch.is_inference_mode_enabled() else None
    parts = []
    for part, q in enumerate(prepared.split(step)):
        # A cosine is at most 1, so the exponentials need no search for the largest, and one reference after the other
        # can be added up. Powers of two take a third of the time of the natural ones.
        none = torch.exp(scale * (queries[part * step : (part + 1) * step] @ null_keys.t() + null_bias - 1))
        value, masses, tops, where = none @ null_values, [], [], []
        own = offset[part * step : (part + 1) * step] if len(offset) > 1 else offset
        asked = torch.exp(scale * own) if scores.less else torch.exp(scale * (own - 1))
        for i, ((keys, values), share) in enumerate(zip(references, asked.unbind(1))):
            doubt = None
            if i in clear:
                rest = clear[i]
                if len(rest):
                    doubt = wide(products(q, rest, scratch).exp2_().sum(1))
                else:
                    doubt = torch.exp(scale * (DOUBT - scores.less))
            real = products(q, keys, scratch).exp2_()
            top, place = highest(real.detach())
            # Quicker this way round on a CPU.
            found = wide((values.t() @ real.t()).t())
            mass = found[:, -1]
            if doubt is not None:
                shown = (mass / (mass + doubt)).square()
                top = wide(top) * shown.clamp_min(1e-12)
                share = share * shown
            tops.append(top)
            where.append(place)
            masses.append(share * mass)
            value = value + share[:, None] * found[:, :-1]
        top, which = (wide(torch.stack(tops, 1)).log() / scale + own).max(1, keepdim=True)
        similarity = top + scores.less
        if gains is not None:  # how sure a match is does not depend on how much it is wanted
            similarity = similarity - gains[which]
        firsts = itertools.accumulate(memory.counts[:-1], initial=0)
        best = torch.stack([place + first for place, first in zip(where, firsts)], 1).gather(1, which)[:, 0]
        shares = torch.stack(masses, 1)
        total = shares.sum(1, keepdim=True) + none.sum(1, keepdim=True)
        parts.append(Match(value / total, shares / total, best, similarity))
    return Match(*(joined(x) for x in zip(*parts)))


class Scores:
    """The operands of `coarse_match`'s products: powers of two of `queries keys^T` are those of e of `scale` times the
    cosines less `less`, and what these weigh, their sum included, is their product with `values`.

    In half precision a number near 0 is exact to far less than one near the largest. So 1 is taken off each cosine
    within the product, by a column more: the best matches come close to 0, and those that differ little still differ.
    Rounding the unit vectors themselves moves a cosine by some 0.0002.
    """

    def __init__(self, scale: Tensor, dtype: torch.dtype) -> None:
        self.dtype, self.less = dtype, 0 if dtype == torch.float32 else 1
        self.steepness = scale / math.log(2)
        if self.less:
            self.steepness = self.steepness.to(dtype).float()
        self.scale = math.log(2) * self.steepness

    def queries(self, queries: Tensor) -> Tensor:
        """The unit vectors `[Q, D]` as one operand."""
        return (self.steepness * self._widened(queries, 1.0)).to(self.dtype)

    def keys(self, keys: Tensor) -> Tensor:
        """The unit vectors `[K, D]` as the other."""
        return self._widened(keys, -1.0).to(self.dtype)

    def values(self, values: Tensor) -> Tensor:
        """`[K, V]` to `[K, V + 1]`, with 1 in the last column."""
        return torch.cat([values, _row((1.0,), values.device).expand(len(values), -1)], 1).to(self.dtype)

    def _widened(self, x: Tensor, first: float) -> Tensor:
        if not self.less:
            return x
        more = 8 - x.shape[1] % 8  # rows of a multiple of 16 bytes, which tensor cores ask for
        return torch.cat([x, _row((first,) + (0.0,) * (more - 1), x.device).expand(len(x), -1)], 1)


@constant
def _row(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor([numbers], device=device)


def products(queries: Tensor, keys: Tensor, scratch: Tensor | None) -> Tensor:
    """`queries keys^T`, `[Q, D]` and `[K, D]` to `[Q, K]`, in memory that is there already where some is given."""
    if scratch is None:
        return queries @ keys.t()
    count = len(queries) * len(keys)
    return torch.mm(queries, keys.t(), out=scratch[:count].view(len(queries), len(keys)))


def highest(score: Tensor) -> tuple[Tensor, Tensor]:
    """`score.max(1)` of `[Q, K]`, none below 0, which on a CPU takes several times as long: the highest of each column
    of a folded row first, which is quick, then of these. Of equal ones it may be another."""
    if score.dtype == torch.bfloat16 and not in_large_steps(score.device):  # whose bits are as quick as integers only
        top, best = highest(score.view(torch.int16))
        return top.view(torch.bfloat16), best
    width = score.shape[1] // _FOLDS
    if in_large_steps(score.device) or width < _FOLDS:
        return tuple(score.max(1))
    folded = score[:, : _FOLDS * width].unflatten(1, (_FOLDS, width))
    column = folded.amax(1).argmax(1, keepdim=True)
    top, fold = folded.gather(2, column[:, None].expand(-1, _FOLDS, 1))[..., 0].max(1, keepdim=True)
    best = fold * width + column
    if rest := score[:, _FOLDS * width :].shape[1]:
        other, place = score[:, -rest:].max(1, keepdim=True)
        best = torch.where(other > top, place + _FOLDS * width, best)
        top = torch.maximum(top, other)
    return top[:, 0], best[:, 0]


class Local(NamedTuple):
    """Result of a local matching for the positions of F frames `[F, H, W]`."""

    chroma: Tensor  # [F, H*W, 2]
    similarity: Tensor  # [F, H*W, 1] the best cosine
    found: Tensor | None  # [F, H, W, 7] int64: where that is, as in `Memory.place`


def fine_match(
    queries: Tensor,
    found: Tensor,
    keys: Tensor,
    chroma: Tensor,
    scale: Tensor,
    radius: int,
    together: bool = False,
    follow: bool = True,
) -> Local:
    """Match in a window of `2 * radius + 1` squared round what was found at half the size.

    `queries` `[F, 2*h*2*w, d]` unit vectors of F frames; `found` `[F, h, w, 7]`: rows of `Memory.place`, in positions
    of this size; `keys` `[N, d]` and `chroma` `[N, 2]` of the references at this size; `together`: not one frame after
    the other, but as many as memory is kept for elsewhere than on a CPU; `follow`: whether it is told where the best
    ones are.
    """
    frames, height, width, _ = found.shape
    first, y, x, lines, columns, *_ = found.flatten(1, 2)[..., None].unbind(-2)  # [F, P, 1], P = h*w
    reach = torch.arange(-radius, radius + 2, device=queries.device)
    ys = torch.minimum((y + reach).clamp_min(0), lines - 1)
    xs = torch.minimum((x + reach).clamp_min(0), columns - 1)
    rows = (first + ys * columns)[..., :, None] + xs[..., None, :]  # [F, P, side, side]
    # The four positions that share what was found look into windows that overlap: their union is fetched once.
    quads = queries.unflatten(1, (height, 2, width, 2)).transpose(2, 3).flatten(3, 4).flatten(1, 2)  # [F, P, 4, d]
    outside = _outside(radius, queries.device)
    rows = rows.flatten(-2)
    portion = max(1, GPU_SCORES // (rows[0].numel() * keys.shape[1])) if together else 1
    parts = []
    for query, row in zip(quads.split(portion), rows.split(portion)):
        query, row = query.flatten(0, 1), row.flatten(0, 1)
        cosine = torch.bmm(query, F.embedding(row, keys).transpose(1, 2)) + outside
        similarity, best = cosine.max(-1, keepdim=True)
        weights = torch.exp(scale * (cosine - similarity.detach()))
        weights = weights / weights.sum(-1, keepdim=True)
        parts.append((torch.bmm(weights, F.embedding(row, chroma)), similarity, best))
    carried, similarity, best = (
        joined(x).view(frames, height, width, 2, 2, -1).transpose(2, 3).flatten(1, 4) for x in zip(*parts)
    )
    if not follow:
        return Local(carried, similarity, None)
    best = best.view(frames, 2 * height, 2 * width)
    twofold = found[:, :, None, :, None].expand(-1, -1, 2, -1, 2, -1).reshape(frames, 2 * height, 2 * width, -1)
    first, at, size, above = twofold.split([1, 2, 2, 2], -1)
    step = torch.stack([best // len(reach), best % len(reach)], -1) - radius
    place = torch.minimum((at + step).clamp_min(0), size - 1)
    return Local(carried, similarity, torch.cat([first, place, size, above], -1))


def joined(parts: Sequence[Tensor]) -> Tensor:
    """All parts in one list; a single one needs no copy."""
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]


@constant
def _outside(radius: int, device: torch.device) -> Tensor:
    """What is added to the cosines of four positions so that each has a window of its own: `[4, side * side]`, 0 inside
    and far below any cosine outside."""
    side = torch.arange(2 * radius + 2, device=device)
    inside = torch.stack([side <= 2 * radius, side >= 1])  # of the first and the second of two
    window = inside[:, None, :, None] & inside[None, :, None, :]
    return torch.where(window, 0.0, -1e4).flatten(2).flatten(0, 1)


def doubled(found: Tensor) -> Tensor:
    """Places `[..., 7]` in positions of twice the size."""
    return torch.cat([4 * found[..., :1], 2 * found[..., 1:]], -1)
