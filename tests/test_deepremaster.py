"""DeepRemaster's two networks against a plain implementation and recorded figures; blocks without seams; the import of
the authors' weights."""

from __future__ import annotations

import hashlib
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support.random_weights import draw_weights
from vs_remaster import cli, weights
from vs_remaster.color.matrices import lab_to_rgb, rgb_to_ycbcr
from vs_remaster.engines.pytorch import lay_out
from vs_remaster.errors import InputError
from vs_remaster.models import attention, build, info
from vs_remaster.models.attention import attend
from vs_remaster.models.papers import deepremaster
from vs_remaster.models.papers.deepremaster import DeepColorizer, DeepMemory, DeepRemasterConfig, DeepRestorer, blend
from vs_remaster.models.papers.published import published_name, published_state
from vs_remaster.references.reference import Reference
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.remaster.restorer import Restorer
from vs_remaster.remaster.window import Window
from vs_remaster.weights import save_weights

SIZE = {"deepremaster-restorer": 9_878_113, "deepremaster-colorizer": 54_282_654}
ENCODER = (2, 1, 1, 2, 1, 1, 2, 1, 1)  # strides


def random_weights(net: torch.nn.Module, seed: int) -> dict[str, Tensor]:
    """Weights under the authors' names and in their shapes."""
    shapes = {}
    for key, value in net.state_dict().items():
        shape = tuple(value.shape)
        shape = {4: (*shape[:2], 1, *shape[2:]), 2: (*shape, 1, 1, 1)}.get(len(shape), shape)
        shapes[published_name(net, key)] = shape
    return draw_weights(shapes, seed)


# ---- the networks once more, as plainly as they can be written


class Plain:
    """Layers of a network taken from its weights by name; `[B, C, T, H, W]` throughout."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def conv(self, x: Tensor, name: str, stride: int = 1, padding: tuple[int, ...] | None = None) -> Tensor:
        weight = self.state[name + ".weight"]
        padding = tuple(n // 2 for n in weight.shape[2:]) if padding is None else padding
        return F.conv3d(x, weight, self.state[name + ".bias"], (1, stride, stride), padding)

    def unit(self, x: Tensor, name: str, stride: int = 1, padding: tuple[int, ...] | None = None) -> Tensor:
        x = self.conv(x, name + ".conv3d", stride, padding)
        norm = [self.state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.elu(F.batch_norm(x, *norm))

    def units(self, x: Tensor, names: list[str], strides: tuple[int, ...] = ()) -> Tensor:
        for i, name in enumerate(names):
            x = self.unit(x, name, strides[i] if strides else 1)
        return x

    def attention(self, source: Tensor, reference: Tensor, name: str) -> Tensor:
        query = self.conv(source, name + ".query_conv").flatten(2)
        key, value = (self.conv(reference, f"{name}.{part}_conv").flatten(2) for part in ("key", "value"))
        weights = torch.softmax(query.transpose(1, 2) @ key, 2)
        return source + self.state[name + ".gamma"] * (value @ weights.transpose(1, 2)).view(source.shape)

    def double(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=(1, 2, 2), mode="trilinear", align_corners=False)

    def restore(self, light: Tensor) -> Tensor:
        x = F.pad(light - 0.4462414, (1, 1, 1, 1, 1, 1), mode="replicate")
        x = self.unit(x, "layers.1", 2, (0, 0, 0))
        x = self.units(x, [f"layers.{i}" for i in range(2, 9)], (1, 1, 2, 1, 1, 1, 1))
        x = self.units(self.double(x), ["layers.9", "layers.10", "layers.11"])
        x = self.conv(self.unit(self.double(x), "layers.12"), "layers.13")
        return (light + torch.tanh(x)).clamp(0, 1)

    def colorize(self, light: Tensor, references: Tensor | None) -> Tensor:
        x = F.pad(light - 0.4462414, (1, 1, 1, 1, 0, 0), mode="replicate")
        x = self.unit(x, "down1.1", 2, (0, 0, 0))
        x = self.units(x, [f"down1.{i}" for i in range(2, 10)], ENCODER[1:])
        if references is not None:
            seen = self.units(references - 0.48, [f"reffeatnet1.{i}" for i in range(9)], ENCODER)
            x = self.attention(x, seen, "stattn1")
        flat = self.units(x, ["flat.0", "flat.1"])
        x = self.units(x, ["down2.0", "down2.1"], (2, 1))
        if references is not None:
            seen = self.units(seen, [f"reffeatnet2.{i}" for i in range(3)], (2, 1, 1))
            x = self.attention(x, seen, "stattn2")
        x = self.unit(x, "conv1")
        x = self.double(self.attention(x, x, "selfattn1"))
        x = self.unit(torch.cat([x, flat], 1), "up1.conv3d")
        x = self.unit(self.attention(x, x, "selfattn2"), "conv2")
        for first, last in (("up2.0", "up2.1"), ("up3.0", "up3.1"), ("up4.0", None)):
            x = self.unit(self.double(x), first)
            x = self.unit(x, last) if last else x
        return torch.sigmoid(self.conv(x, "up4.1"))


def make(kind: type, seed: int, **config: float) -> tuple[torch.nn.Module, Plain]:
    """A network with random weights, ready for inference, and its plain twin."""
    net = kind(DeepRemasterConfig(**config))
    state = random_weights(net, seed)
    net.load_state_dict(published_state(net, state))
    net.eval().requires_grad_(False).fuse()
    return net, Plain(state)


@pytest.fixture(scope="module")
def restorer() -> tuple[DeepRestorer, Plain]:
    return make(DeepRestorer, 0)


@pytest.fixture(scope="module")
def colorizer() -> tuple[DeepColorizer, Plain]:
    return make(DeepColorizer, 1)


def noise(*shape: int, seed: int = 9) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def remember(net: DeepColorizer, references: Tensor) -> DeepMemory:
    """References `[R, 3, H, W]` as they are, none of them resized."""
    count = len(references)
    if not count:
        return net.encode_all([])
    return DeepMemory(*(torch.cat(x) for x in zip(*(net.encode(references[i, None], i, count) for i in range(count)))))


# ---- the networks


@pytest.mark.parametrize("name", SIZE)
def test_number_of_parameters(name):
    assert sum(p.numel() for p in build(name).parameters()) == SIZE[name]


def figures(y: Tensor) -> list[float]:
    y = y.double()
    return [y.mean().item(), y.std().item(), y.flatten()[::997].sum().item()]


@torch.inference_mode()
def test_restorer_is_the_published_network(restorer):
    net, plain = restorer
    assert (net.before, net.block, net.after) == (4, 16, 3)
    light = noise(1, 5, 1, 48, 64)
    out = net.predict(light)
    # of the authors' code with these weights: mean, standard deviation, sum of every 997th value
    assert figures(out) == pytest.approx([0.05444, 0.113851, 1.519709], abs=2e-5)
    for size in ((5, 48, 64), (1, 36, 52), (3, 20, 44)):
        light = noise(1, size[0], 1, *size[1:])
        assert (net.predict(light) - plain.restore(light.transpose(1, 2)).transpose(1, 2)).abs().max() < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize(
    ("count", "published"),
    [
        (0, [0.610993, 0.11033, 18.989379]),
        (1, [0.594975, 0.109032, 18.422916]),
        (4, [0.595259, 0.108768, 18.433905]),
    ],
)
def test_colorizer_is_the_published_network(colorizer, count, published):
    net, plain = colorizer
    light, references = noise(1, 5, 1, 48, 64), noise(count, 3, 33, 57, seed=count)
    out = net.predict(light, [remember(net, references)])
    assert figures(out) == pytest.approx(published, abs=2e-5)
    want = plain.colorize(light.transpose(1, 2), references.transpose(0, 1)[None] if count else None).transpose(1, 2)
    assert (out - want).abs().max() < 1e-5


@pytest.mark.release
@torch.inference_mode()
def test_how_much_faster_than_the_plain_networks(restorer, colorizer):
    """Prints the ratio for five frames and four references; nothing is promised of a machine that others use too."""

    def seconds(run) -> float:
        run()
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    for net, _ in (restorer, colorizer):
        lay_out(net)
    light, references = noise(1, 5, 1, 48, 64), noise(4, 3, 48, 64)
    memory, clip, beside = remember(colorizer[0], references), light.transpose(1, 2), references.transpose(0, 1)[None]
    ours = seconds(lambda: (restorer[0].predict(light), colorizer[0].predict(light, [memory])))
    plain = seconds(lambda: (restorer[1].restore(clip), colorizer[1].colorize(clip, beside)))
    print(f"DeepRemaster, 4 references: {plain / ours:.2f} times as fast as the plain networks")
    assert plain / ours > 0.5


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.elements = max(self.elements, out.untyped_storage().nbytes() // out.element_size())
        return out


@pytest.mark.parametrize("queries", [7, 900])
def test_attention_in_chunks_equals_softmax_and_holds_no_matrix(queries, monkeypatch):
    q, k, v = (noise(n, width, seed=n) for n, width in ((queries, 8), (600, 8), (600, 64)))
    want = torch.softmax(6 * q @ k.t(), 1) @ v
    for limit in (10_000, 4_000_000):
        monkeypatch.setattr(attention, "CHUNK_SCORES", limit)
        with Largest() as most:
            got = attend(6 * q, k, v)
        assert (got - want).abs().max() < 1e-5
        assert most.elements <= max(limit, queries * 64)


def test_attention_takes_little_at_1440_x_1080_with_16_references():
    """Scores, once more while they are cast, and nothing else that grows with the product of queries and keys."""
    longest = max(5 * 180 * 135, 16 * 32 * 43)
    assert max(16 * longest, attention.CHUNK_SCORES) * 4 * 2 < 256 * 2**20


# ---- blocks


def blended(length: int, block: int, cuts: set[int], make) -> list[float]:
    """A film whose frames are numbers, through windows of `block`."""

    def process(frames, halo):
        clip = torch.tensor(frames)[None, :]
        return blend(lambda part: (make(clip[:, part]),), len(frames), halo)[0][0].tolist()

    window = Window(before=4, after=3, block=block)
    return list(window.run(((float(i), i in cuts) for i in range(length)), process))


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 50), st.sampled_from([2, 6, 16, 40]), st.sets(st.integers(1, 49), max_size=6))
def test_every_frame_comes_from_its_own_scene_whatever_the_window(length, block, cuts):
    made = blended(length, block, cuts, lambda clip: clip)
    assert made == pytest.approx(list(range(length)))
    edges = [0, *sorted(c for c in cuts if c < length), length]
    ends = [(a, b) for a, b in pairwise(edges) for _ in range(a, b)]
    seen = blended(length, block, cuts, lambda clip: clip.amin(1, keepdim=True).expand(clip.shape))
    assert all(low <= frame for (low, _), frame in zip(ends, seen))
    seen = blended(length, block, cuts, lambda clip: clip.amax(1, keepdim=True).expand(clip.shape))
    assert all(frame < high for (_, high), frame in zip(ends, seen))


@settings(deadline=None, max_examples=60)
@given(st.integers(40, 60), st.sampled_from([2, 6, 40]), st.sets(st.sampled_from([3, 21, 22, 37]), max_size=3))
def test_blocks_lie_alike_in_any_window(length, block, cuts):
    """Every frame is told the sum of its block: equal sums, equal blocks. Scenes that one window holds whole have no
    neighbour to agree with."""

    def total(clip):
        return clip.sum(1, keepdim=True).expand(clip.shape)

    edges = [0, *sorted(cuts), length]
    ours, other = blended(length, 16, cuts, total), blended(length, block, cuts, total)
    for a, b in pairwise(edges):
        if all(a // size < (b - 1) // size for size in (16, block)):
            assert ours[a:b] == pytest.approx(other[a:b])


def test_what_the_place_in_a_block_adds_does_not_flicker():
    bend = torch.tensor([3.0, 1.0, 0.0, 2.0, 6.0])  # by the place
    made = torch.tensor(blended(48, 16, set(), lambda clip: bend[: clip.shape[1]].expand(clip.shape)))[5:-5]
    square = 0.5 * (torch.arange(5.0) - 2) ** 2
    even = torch.tensor(blended(48, 16, set(), lambda clip: square[: clip.shape[1]].expand(clip.shape)))[5:-5]
    change = (made[1:] - made[:-1]).abs()
    assert change.max() - change.min() < 1e-6
    assert (even - even[0]).abs().max() < 1e-6


@torch.inference_mode()
def test_no_seam_where_blocks_meet():
    """A film that stands still: official blocks jump, ours change as little there as elsewhere."""
    ratios, worst = [], []
    for official in (True, False):
        net, _ = make(DeepRestorer, 0, official=official, width=0.5)
        net.head.weight.mul_(0.05)
        net.head.bias.mul_(0.05)
        still = F.interpolate(noise(1, 1, 6, 8), (32, 48), mode="bicubic").clamp(0, 1).expand(26, 1, 32, 48)
        window = Window(before=net.before, after=net.after, block=net.block)
        process = lambda frames, halo: list(net(torch.stack(list(frames))[None], halo=halo).luma[0])  # noqa: B023, E731
        out = torch.stack(list(window.run(((frame, False) for frame in still), process)))
        change = (out[1:] - out[:-1]).abs().mean((1, 2, 3))
        edge = torch.arange(1, 26) % net.block == 0
        inner = slice(4, 20)  # not the ends of the film
        change, edge = change[inner], edge[inner]
        ratios.append((change[edge].mean() / change[~edge].mean()).item())
        worst.append(change.max().item())
    print(f"change across over change inside: official {ratios[0]:.2f}, ours {ratios[1]:.2f}; largest {worst}")
    assert ratios[1] < 1.1
    assert worst[1] < worst[0] / 3


# ---- the weights' way in, and through the library


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A file like the authors', with random weights, in the format of their time."""
    path = tmp_path_factory.mktemp("published") / "remasternet.pth.tar"
    nets = (DeepRestorer(), 0), (DeepColorizer(), 1)
    torch.save(
        dict(zip(("modelR", "modelC"), (random_weights(*net) for net in nets))),
        path,
        _use_new_zipfile_serialization=False,
    )
    return path


@pytest.fixture(scope="module")
def installed(checkpoint, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home") / "weights"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "user_folder", lambda: folder)
        weights.import_published(checkpoint)
    return folder


@pytest.fixture
def home(installed, monkeypatch) -> Path:
    monkeypatch.setattr(weights, "user_folder", lambda: installed)
    return installed


CPU = {"device": "cpu", "precision": "fp32"}


def test_imported_weights_are_the_file_s(home, checkpoint, restorer):
    assert weights.imported() == [
        *("colorizer-deepremaster", "colorizer-deepremaster-official"),
        *("restorer-deepremaster", "restorer-deepremaster-official"),
    ]
    stored = torch.load(checkpoint, weights_only=True)["modelR"]
    net = weights.load_model("restorer", "deepremaster")
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in published_state(net, stored).items())
    assert not net.config.official and weights.load_model("restorer", "deepremaster-official").config.official
    path = weights.find("restorer", "deepremaster-official")
    assert weights.network_of(path) == info(net).network == "restorer"


def test_official_is_the_published_behaviour_to_the_frame(home, restorer, colorizer):
    """Disjoint blocks of five, the last one shorter, the gray value as L."""
    luma = noise(7, 1, 64, 80)
    made = Restorer(RestoreOptions(model="deepremaster-official", **CPU)).restore(luma).luma
    light = luma.transpose(0, 1)[None]
    want = torch.cat([restorer[1].restore(part) for part in light.split(5, 2)], 2)[0].transpose(0, 1)
    assert (made - want).abs().max() < 1e-5
    picture = Reference(name="a", rgb=noise(3, 256, 320, seed=4), frame=None)
    worker = Colorizer(ColorizeOptions(model="deepremaster-official", lines=64, **CPU))
    made = worker.colorize(luma, worker.encode_references([picture])).chroma
    parts = [colorizer[1].colorize(part, picture.rgb[None, :, None]) for part in light.split(5, 2)]
    ab = torch.cat(parts, 2)[0].transpose(0, 1)
    rgb = lab_to_rgb(torch.cat([100 * luma, (255 * ab - 128).clamp(-100, 100)], 1)).clamp(0, 1)
    assert (made - rgb_to_ycbcr(rgb)[:, 1:]).abs().max() < 1e-4


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> dict[str, str]:
    """Files of narrow networks with random weights, by task: as good as whole ones where the network does not matter,
    and soon done."""
    paths = {}
    for seed, name in enumerate(SIZE):
        net = build(name, '{"width": 0.125}')
        path = tmp_path_factory.mktemp("narrow") / f"{name}.safetensors"
        save_weights(path, net, published_state(net, random_weights(net, seed)))
        paths[name.removeprefix("deepremaster-")] = str(path)
    return paths


def test_restorer_options_keep_their_meaning(narrow):
    luma = noise(3, 1, 400, 54)
    how = {"model": narrow["restorer"], **CPU}
    whole = Restorer(RestoreOptions(**how)).restore(luma)
    assert whole.luma.shape == whole.mask.shape == luma.shape
    assert 0 <= whole.mask.min() < whole.mask.max() <= 1
    half = Restorer(RestoreOptions(strength=0.5, **how)).restore(luma).luma
    assert (half - (luma + whole.luma) / 2).abs().max() < 1e-5
    tiled = Restorer(RestoreOptions(tile=384, **how)).restore(luma)
    assert (tiled.luma - whole.luma).abs().max() < 1e-5
    assert (tiled.mask - whole.mask).abs().max() < 1e-3
    for size in ((1, 1), (7, 9)):
        assert Restorer(RestoreOptions(**how)).restore(noise(2, 1, *size)).luma.isfinite().all()
    grain = Restorer(RestoreOptions(grain=1, **how)).restore(luma).luma
    assert (grain - luma).abs().mean() < (whole.luma - luma).abs().mean()
    with pytest.raises(InputError, match="block must be 16"):
        Restorer(RestoreOptions(**how), block=5)


def test_bf16_shows_the_same_picture(narrow):
    """Of narrow networks: where bfloat16 is imitated, whole ones take minutes."""
    luma = noise(3, 1, 48, 64)
    exact, fast = ({"device": "cpu", "precision": p} for p in ("fp32", "bf16"))
    a, b = (Restorer(RestoreOptions(model=narrow["restorer"], **how)).restore(luma).luma for how in (exact, fast))
    assert (a - b).abs().max() < 0.03 and (a - b).abs().mean() < 0.003
    pictures = [Reference(name=str(i), rgb=noise(3, 40, 60, seed=i), frame=None) for i in range(2)]
    workers = (Colorizer(ColorizeOptions(model=narrow["colorizer"], lines=64, **how)) for how in (exact, fast))
    a, b = (worker.colorize(luma, worker.encode_references(pictures)) for worker in workers)
    assert (a.chroma - b.chroma).abs().mean() < 0.003
    assert (a.shares - b.shares).abs().max() < 0.01


def test_colorizer_with_and_without_references(narrow):
    luma = noise(4, 1, 50, 70)
    worker = Colorizer(ColorizeOptions(model=narrow["colorizer"], lines=64, **CPU))
    pictures = [Reference(name=str(i), rgb=noise(3, 40 + 8 * i, 60, seed=i), frame=None) for i in range(3)]
    made = worker.colorize(luma, worker.encode_references(pictures))
    assert made.chroma.shape == (4, 2, 50, 70) and made.shares.shape == (4, 3)
    assert (made.shares.sum(1) - 1).abs().max() < 1e-4 and made.shares.min() > 0
    alone = worker.colorize(luma, worker.encode_references([]))
    assert alone.shares.shape == (4, 0)
    assert (alone.chroma - made.chroma).abs().mean() > 1e-3
    neutral = worker.colorize(luma, worker.encode_references(pictures[::-1]))
    assert (neutral.chroma - made.chroma).abs().max() < 1e-4
    assert (neutral.shares.flip(1) - made.shares).abs().max() < 1e-4


def test_official_references_lie_in_black_margins():
    """All of the mean shape, the longest edge of each fitted to it in steps of 16."""
    wide, tall = deepremaster._in_margins([torch.ones(1, 3, 100, 200), torch.ones(1, 3, 200, 100)])
    assert wide.shape == tall.shape == (1, 3, 256, 320)
    assert wide[..., 48:208, :].min() > 0.999 and wide[..., :48, :].max() == wide[..., 208:, :].max() == 0
    assert tall[..., 80:240].min() > 0.999 and tall[..., :80].max() == tall[..., 240:].max() == 0
    assert deepremaster._scaled(torch.ones(1, 3, 100, 200)).shape == (1, 3, 256, 512)


def test_import_from_the_command_line(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(weights, "user_folder", lambda: tmp_path / "w")
    assert cli.main(["weights", "import", str(checkpoint)]) == 0
    told = capsys.readouterr()
    assert "--model deepremaster" in told.out
    assert told.err.count("\n") == 1 and "1219f5830e4a7208b1c7ba2f089a16c8" in told.err
    md5 = hashlib.md5(checkpoint.read_bytes(), usedforsecurity=False).hexdigest()
    assert md5 in told.err
    assert cli.main(["weights", "import", str(checkpoint), "--as", "mine"]) == 0
    assert capsys.readouterr().err == ""
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == [
        *("colorizer-deepremaster.safetensors", "colorizer-mine.safetensors"),
        *("restorer-deepremaster.safetensors", "restorer-mine.safetensors"),
    ]
    assert weights.find("colorizer", "mine").is_file()
    mine = weights.find("restorer", "mine")
    mine.write_bytes(b"trained for days")
    assert cli.main(["weights", "import", str(checkpoint), "--as", "mine"]) == 2
    assert "imported under the name mine already" in capsys.readouterr().err
    assert mine.read_bytes() == b"trained for days"
    assert cli.main(["weights", "import", str(checkpoint), "--as", "mine", "--overwrite"]) == 0
    assert weights.load_weights(mine)


def test_files_that_are_none_of_the_authors(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(weights, "user_folder", lambda: tmp_path / "w")
    good = {"modelR": random_weights(DeepRestorer(), 0)}
    files = {
        "gone": None,
        "junk": b"no weights at all",
        "empty": b"",
        "list": [1, 2],
        "other": {"model": {}},
        "half": good,
        "bare": {"modelR": {}, "modelC": {}},
        "shape": {"modelR": {**good["modelR"], "layers.13.bias": torch.zeros(3)}, "modelC": {}},
        "more": {"modelR": {**good["modelR"], "layers.14.bias": torch.zeros(3)}, "modelC": {}},
        "code": {"modelR": Path("x"), "modelC": {}},
    }
    said = {"half": "modelC is missing", "shape": "layers.13.bias has the shape", "more": "layers.14.bias belongs"}
    for name, content in files.items():
        path = tmp_path / f"{name}.pth.tar"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        assert cli.main(["weights", "import", str(path)]) == 2
        error = capsys.readouterr().err
        told = "no such file" if content is None else "remasternet.pth.tar"
        assert error.count("\n") == 1 and name in error and told in error
        assert said.get(name, "") in error
    assert not (tmp_path / "w").exists()
    for name in ("fast", "a-b", "", "../a"):
        with pytest.raises(InputError, match="cannot name"):
            weights.import_published(tmp_path / "gone", name)


def test_without_an_import_the_error_says_how(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "user_folder", lambda: tmp_path)
    for model in ("deepremaster", "deepremaster-official"):
        with pytest.raises(InputError, match=r"CC BY-NC-SA 4\.0.*vs-remaster weights import"):
            Restorer(RestoreOptions(model=model, device="cpu"))
    with pytest.raises(InputError, match="no restorer model 'dream'; use fast or quality or deepremaster"):
        weights.find("restorer", "dream")
    with pytest.raises(InputError, match="no restorer model 'fast-official'"):
        weights.load_model("restorer", "fast-official")


def test_where_imported_weights_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr("vs_remaster.system.folders.user_folder", lambda kind: tmp_path / kind)
    assert weights.user_folder() == tmp_path / "data" / "weights"
