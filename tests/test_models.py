"""Networks, registry, weight files."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from export.publish import publish
from vs_remaster import weights
from vs_remaster.cli.arguments import model_for
from vs_remaster.engines.pytorch import lay_out
from vs_remaster.errors import InputError
from vs_remaster.models import NETWORKS, build, config_json, info, layers
from vs_remaster.models.attention import Known, coarse_match, fine_match, join, known_only, likeness, places
from vs_remaster.models.colorizer import ColorizerNet, working_size
from vs_remaster.models.layers import Halo, shift
from vs_remaster.models.restorer import Tone, apply_tone, curve_of, thumbnails
from vs_remaster.remaster.options import RestoreOptions
from vs_remaster.remaster.worker import chosen_model
from vs_remaster.system.inputs import sha256


@pytest.mark.parametrize("name", NETWORKS)
def test_a_saved_network_loads_as_itself(name, tmp_path):
    torch.manual_seed(1)
    net = build(name)
    weights.save_weights(tmp_path / "a.safetensors", net)
    again = weights.load_weights(tmp_path / "a.safetensors", name)
    assert info(again) == info(net)
    for key, value in net.state_dict().items():
        assert torch.equal(again.state_dict()[key], value.half().float()), key


@pytest.mark.parametrize(
    ("name", "model", "size"),
    [
        ("restorer", "fast", 4),
        ("restorer", "quality", 10),
        ("colorizer", "fast", 4),
        ("colorizer", "quality", 10),
        ("colorizer", "automatic", 10),
    ],
)
def test_shipped_weights_are_small_whole_and_described(name, model, size):
    entry = weights.manifest()[f"{name}-{model}"]
    path = weights.find(name, model)
    assert path.stat().st_size <= size * 2**20
    assert sha256(path) == entry["sha256"]
    assert entry["licence"] and entry["training"] and entry["network"] == name
    assert (weights.folder() / entry["card"]).is_file()
    state = weights.load_weights(path).state_dict()
    assert all(v.isfinite().all() for v in state.values())


def test_all_shipped_weights_together_are_small():
    assert sum(path.stat().st_size for path in weights.folder().glob("*.safetensors")) <= 24 * 2**20


@pytest.mark.parametrize("model, most", [("fast", 6.1), ("quality", 37)])
def test_a_restorer_costs_no_more_than_promised(model, most):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        weights.load_model("restorer", model)(torch.rand(1, 1, 1, 400, 528))
    assert counter.get_total_flops() / 2e9 < most


def test_bad_weight_files_are_named(tmp_path):
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"no weights at all")
    with pytest.raises(InputError, match="junk"):
        weights.load_weights(junk)
    bare = tmp_path / "bare.safetensors"
    save_file({"a": torch.zeros(1)}, str(bare))
    with pytest.raises(InputError, match="does not name its network"):
        weights.load_weights(bare)
    with pytest.raises(InputError, match="holds a restorer, not a colorizer"):
        weights.load_weights(weights.find("restorer", "fast"), "colorizer")
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, str(other), {"network": "restorer"})
    with pytest.raises(InputError, match="do not fit"):
        weights.load_weights(other)
    for config in ("[1]", '{"middle": 0}', '{"widths": [-1, 2, 3]}', '{"depth": 3}'):
        with pytest.raises(InputError, match="cannot build"):
            build("restorer", config)
    for config in ('{"search": []}', '{"search": -1}', '{"shift": "yes"}', '{"half": true}', '{"key": 1048576}'):
        with pytest.raises(InputError, match=f"cannot build .*: {config.split(chr(34))[1]} (= |must be)"):
            build("colorizer", config)
    with pytest.raises(InputError, match="unknown network 'dream'"):
        build("dream")


def test_a_damaged_shipped_file_is_refused(tmp_path, monkeypatch):
    source = weights.find("restorer", "fast")
    publish("restorer-fast", source, "MIT", "test", tmp_path)
    monkeypatch.setattr(weights, "folder", lambda: tmp_path)
    assert weights.find("restorer", "fast").parent == tmp_path
    data = bytearray(source.read_bytes())
    data[-1] ^= 1
    (tmp_path / "restorer-fast.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        weights.find("restorer", "fast")
    assert json.loads((tmp_path / "manifest.json").read_text())["restorer-fast"]["training"] == "test"


def test_tone_leaves_a_neutral_setting_alone_and_black_and_white_in_place():
    x = torch.rand(2, 1, 20, 30)
    grid, curve = torch.zeros(2, 1, 5, 6), torch.zeros(2, 4, 1, 1)
    assert torch.equal(apply_tone(x, grid, curve_of(curve)), x)
    curve[:, 2:] = 0.5  # the two bends alone
    ends = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(2, 1, 1, 2)
    assert torch.allclose(apply_tone(ends, grid, curve_of(curve)), ends, atol=1e-6)


def unit(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(x, dim=-1)


def memory_of(height: int = 5, width: int = 7, seed: int = 0):
    from vs_remaster.models.attention import Memory

    g = torch.Generator().manual_seed(seed)
    k, n = height * width, 4 * height * width
    return Memory(
        unit(torch.randn(k, 16, generator=g)),
        torch.randn(k, 4, generator=g),
        unit(torch.randn(n, 8, generator=g)),
        torch.randn(n, 2, generator=g),
        places(height, width, torch.device("cpu")),
        torch.zeros(k, dtype=torch.int64),
        [k],
        unit(torch.randn(2, 16, generator=g)),
        [2],
    )


def test_attention_in_chunks_equals_plain_softmax(monkeypatch):
    from vs_remaster.models import attention

    memory = join([memory_of(seed=0), memory_of(4, 6, seed=1)])
    g = torch.Generator().manual_seed(5)
    q, null, values = unit(torch.randn(50, 16, generator=g)), unit(torch.randn(3, 16, generator=g)), torch.zeros(3, 4)
    temperature, null_bias, bias = torch.tensor(2.0), torch.tensor(-0.1), torch.tensor([0.0, -0.2])
    scale = 2.0 * torch.log(torch.tensor(59.0))
    real = q @ memory.keys.t() + bias[memory.owner]
    scores = scale * torch.cat([real, q @ null.t() - 0.1], 1)
    want = torch.softmax(scores, 1) @ torch.cat([memory.values, values])
    for limit in (100, 4_000_000):
        monkeypatch.setattr(attention, "CHUNK_SCORES", limit)
        got = coarse_match(q, memory, bias, null, values, null_bias, temperature)
        assert torch.allclose(got.value, want, atol=1e-5)
        assert torch.equal(got.best, real.argmax(1))
        for r in range(2):
            share = torch.softmax(scores, 1)[:, :59][:, memory.owner == r].sum(1)
            assert torch.allclose(got.shares[:, r], share, atol=1e-5)


def test_references_are_joined_in_any_order_of_steps():
    """Two and then a third is as all three at once: whose they are, where they begin, which are known in part."""
    net = ColorizerNet().eval()
    sizes = [(32, 48), (48, 32), (32, 32)]
    with torch.inference_mode():
        once = [net.encode(torch.rand(1, 1, *size), torch.rand(1, 2, *size) - 0.5) for size in sizes]
        once[1] = known_only(once[1], Known((torch.arange(32) < 16).float().expand(1, 1, 48, 32), True))
        want, got = join(once), join([join(once[:2]), once[2]])
    assert got.counts == want.counts and got.areas == want.areas and got.partial == want.partial == (1,)
    for name, x in want._asdict().items():
        if isinstance(x, torch.Tensor):
            assert torch.equal(getattr(got, name), x), name
    for i in range(3):
        alone, subset = once[i], got.subset([i], [1.0])
        assert all(torch.equal(x, getattr(subset, name)) for name, x in alone._asdict().items() if torch.is_tensor(x))


@pytest.mark.parametrize("weights", [None, [3.0, 0.01]])
def test_attention_in_half_precision_finds_what_float32_finds(weights):
    """The best place is one whose cosine is the highest to within what rounding unit vectors does, also among many that
    differ by less than half precision can tell of numbers near 1."""
    once = [memory_of(20, 30, seed=0), memory_of(15, 30, seed=1)]
    memory = join(once)
    g = torch.Generator().manual_seed(5)
    near = unit(memory.keys[::3] + 0.02 * torch.randn(350, 16, generator=g))  # cosines of some 0.997
    q = torch.cat([near, unit(near + 0.2 * torch.randn(350, 16, generator=g))])
    memory = join(once + once)  # everything twice, and once more with a little difference
    memory = memory._replace(keys=unit(memory.keys + 0.01 * torch.randn(memory.keys.shape, generator=g)))
    if weights:
        gains = torch.tensor(weights * 2).log()
        memory = memory._replace(gains=gains)
    null, values = unit(torch.randn(3, 16, generator=g)), torch.zeros(3, 4)
    given = torch.tensor([0.0, -0.05, 0.0, -0.02]), null, values, torch.tensor(-0.1), torch.tensor(2.5)
    want, got = (coarse_match(q, memory, *given, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert got.value.dtype == torch.float32
    assert (got.value - want.value).abs().max() < 0.04 * want.value.std()
    assert (got.shares - want.shares).abs().max() < 0.02
    cosine = (q * memory.keys[got.best]).sum(1) - (q * memory.keys[want.best]).sum(1)
    same = memory.owner[got.best] == memory.owner[want.best]
    assert same.float().mean() > 0.8  # each is there twice, almost
    assert cosine[same].abs().max() < 0.005  # of 16 numbers; of 64 rounding moves it by a quarter of that
    assert (got.similarity - want.similarity)[same].abs().max() < 0.007


def test_likeness_knows_which_reference_shows_the_scene():
    a, b = memory_of(seed=0), memory_of(seed=1)
    frames = torch.stack([a.overview, b.overview])
    alike = likeness(frames, join([a, b]))
    assert torch.allclose(alike.diagonal(), torch.ones(2), atol=1e-6)
    assert (alike.argmax(1) == torch.arange(2)).all()


def test_local_matching_finds_the_very_pixel_of_the_right_reference():
    """Queries are the fine keys of the second reference, moved by one fine pixel: the matching must find that again."""
    memories = [memory_of(5, 7, seed=0), memory_of(6, 4, seed=1)]
    memory = join(memories)
    keys = memories[1].fine_keys.view(12, 8, 8)
    queries = keys.roll(1, 1).reshape(1, -1, 8)
    found = memory.place[35:].view(1, 6, 4, 7)  # the same place in the second reference
    scale = torch.tensor(400.0)
    chroma, cosine, found = fine_match(queries, found, memory.fine_keys, memory.fine_chroma, scale, 2)
    want = memories[1].fine_chroma.view(12, 8, 2).roll(1, 1)
    got = chroma.view(12, 8, 2)
    assert torch.allclose(got[:, 1:], want[:, 1:], atol=1e-3)
    assert torch.allclose(cosine.view(12, 8)[:, 1:], torch.ones(12, 7), atol=1e-5)
    lines, columns = torch.meshgrid(torch.arange(12), torch.arange(7), indexing="ij")
    first = torch.full_like(lines, 140)  # the first reference has 10 x 14 positions
    assert torch.equal(found[0, :, 1:, :3], torch.stack([first, lines, columns], 2))


def test_upsampling_is_convex():
    net = ColorizerNet()
    chroma = torch.rand(2, 2, 8, 12) - 0.5
    made = net.convex(chroma, torch.randn(2, 48, 8, 12), torch.rand(2, 1, 32, 48))
    assert made.shape == (2, 2, 32, 48)
    assert made.min() >= chroma.min() - 1e-6 and made.max() <= chroma.max() + 1e-6
    flat = net.convex(torch.full((1, 2, 8, 12), 0.3), torch.randn(1, 48, 8, 12), torch.rand(1, 1, 32, 48))
    assert torch.allclose(flat, torch.full_like(flat, 0.3), atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width"), [(400, 528), (1080, 1920), (1920, 1080), (720, 304), (90, 2000), (16, 16)]
)
def test_working_size_keeps_the_shape(height, width):
    h, w = working_size(height, width, 432, 16)
    assert h % 16 == w % 16 == 0
    assert h * w <= 432 * 432 * 16 / 9 * 1.1
    assert abs((w / h) / (width / height) - 1) < 0.2
    assert working_size(width, height, 432, 16) == (w, h)


def test_working_size_of_a_line_of_pixels_is_bounded():
    assert max(working_size(50_000, 1, 432, 16)) <= 8 * 432


def test_a_weight_file_of_ones_own_needs_no_manifest(tmp_path, monkeypatch):
    weights.save_weights(tmp_path / "mine.safetensors", build("restorer"))
    monkeypatch.setattr(weights, "folder", lambda: tmp_path)
    assert weights.find("restorer", str(tmp_path / "mine.safetensors")).name == "mine.safetensors"
    with pytest.raises(InputError, match=r"no weight file 'gone\.safetensors'"):
        weights.find("restorer", "gone.safetensors")


def test_a_restorer_leaves_alone_what_needs_nothing_but_flicker_and_dirt_go():
    net = build("restorer").eval()
    luma = torch.rand(1, 5, 1, 40, 56)
    with torch.no_grad():
        net.head.weight.mul_(10)
        net.head.bias[8:] = -30.0  # no dirt
        net.tone.curve.bias[0] = 0.001
        assert (net(luma).luma - luma).abs().mean() > 0.01
        net.need[4].bias.fill_(-30.0)
        made = net(luma)
        assert torch.allclose(made.luma, luma, atol=1e-5) and torch.allclose(made.toned, luma, atol=1e-5)
        net.tone.curve.bias[0] = 0.1
        assert torch.allclose(net(luma).luma, luma + 0.1, atol=1e-3)
        net.head.bias[8:] = 30.0  # nothing but dirt
        made = net(luma)
        assert torch.allclose(made.luma, made.fill, atol=1e-6) and (made.luma - luma).abs().mean() > 0.01


def test_half_of_the_clips_train_as_if_all_were_to_be_done():
    net = build("restorer").train()
    with torch.no_grad():
        net.head.weight.normal_(std=0.1)
        net.need[4].bias.fill_(-30.0)
        torch.manual_seed(1)
        clips = torch.rand(1, 3, 1, 48, 48).expand(12, -1, -1, -1, -1)
        change = (net(clips).luma - net.eval()(clips).luma).flatten(1).abs().amax(1)
    assert 2 <= int((change > 1e-3).sum()) <= 10 and int((change < 1e-6).sum()) == 12 - int((change > 1e-3).sum())


def test_of_frames_far_away_thumbnails_are_enough():
    net, film = weights.load_model("restorer", "fast").eval(), torch.rand(1, 44, 1, 24, 32)
    for halo in (Halo(20, 20), Halo(20, 2), Halo(3, 20)):
        own = halo.within(net.sees)
        near = film[:, halo.before - own.before : film.shape[1] - (halo.after - own.after)]
        with torch.no_grad():
            whole, part = net(film, halo=halo), net(near, thumbnails(film), halo)
        assert whole.luma.shape[1] == 44 - sum(halo) and torch.equal(whole.luma, part.luma)
        assert near.shape[1] < 44


def test_tone_is_bent_as_it_says():
    x, grid, curve = torch.rand(2, 1, 20, 30), 0.1 * torch.randn(2, 1, 5, 6), 0.1 * torch.randn(2, 4, 1, 1)
    offset, gain, bend, twist = curve.split(1, 1)
    field = torch.nn.functional.interpolate(grid, (20, 30), mode="bilinear") + gain
    wanted = x + offset + x * field + x * (1 - x) * (bend + twist * (1 - 2 * x))
    assert torch.allclose(apply_tone(x, grid, curve_of(curve)), wanted, atol=1e-6)
    assert torch.equal(apply_tone(x, 0 * grid, curve_of(0 * curve)), x)


def test_a_tone_part_folded_for_use_says_the_same():
    tone = Tone(16).eval()
    for layer in (tone.grid, tone.curve):
        torch.nn.init.normal_(layer.weight, std=0.05)
        torch.nn.init.normal_(layer.bias, std=0.05)
    thumbs = torch.rand(1, 12, 1, 36, 48)
    grid, curve = tone(thumbs)
    for _ in range(2):
        tone.fuse()
        assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(tone(thumbs), (grid, curve)))


def test_channels_are_taken_from_other_frames_in_one_step_as_in_three(monkeypatch):
    clip = torch.rand(2, 5, 16, 6, 4)
    wanted = shift(clip, 4)
    monkeypatch.setattr(layers, "in_large_steps", lambda device: True)
    with torch.inference_mode():
        assert torch.equal(shift(clip, 4), wanted)
        assert torch.equal(shift(clip[:, :1], 4), clip[:, :1])


def test_a_restorer_from_before_it_knew_what_is_to_be_done_still_loads(tmp_path):
    net = build("restorer", '{"need": 0, "far": 0}').eval()
    older = {key: value for key, value in json.loads(config_json(net)).items() if key not in ("need", "far")}
    path = tmp_path / "older.safetensors"
    save_file(net.state_dict(), path, {"network": "restorer", "config": json.dumps(older)})
    luma = torch.rand(1, 3, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(weights.load_weights(path)(luma).luma, net(luma).luma)
    assert weights.load_weights(path).before == 8 and build("restorer").before == 20


def test_a_restorer_that_looked_for_hairs_in_the_gate_works_without_that_part(tmp_path, caplog):
    net = build("restorer").eval()
    older = json.loads(config_json(net)) | {"gate": 24}
    path = tmp_path / "older.safetensors"
    save_file(
        net.state_dict() | {"gate.head.bias": torch.zeros(16)},
        path,
        {"network": "restorer", "config": json.dumps(older)},
    )
    luma = torch.rand(1, 3, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(weights.load_weights(path)(luma).luma, net(luma).luma)
    assert "older.safetensors has a part that restorers have no more" in caplog.text


def test_the_name_hairs_warns_and_means_fast(caplog):
    weights.today.cache_clear()
    for _ in range(2):
        assert weights.find("restorer", "hairs") == weights.find("restorer", "fast")
    assert caplog.text.count("no restorer hairs any more: fast is taken") == 1
    assert weights.variants("restorer") == ["fast", "quality"]
    assert chosen_model("restorer", RestoreOptions(model="hairs")) == "fast"
    assert (model_for("hairs", "restorer"), model_for("hairs", "colorizer")) == ("hairs", "auto")


@pytest.mark.parametrize(
    ("name", "model", "dtype"),
    [
        ("restorer", "fast", torch.float32),
        ("restorer", "fast", torch.bfloat16),
        ("colorizer", "fast", torch.bfloat16),
    ],
)
def test_the_number_of_threads_changes_no_bit(name, model, dtype):
    """Of the colorizer in float32 it does: there is no matrix product that always sums in one order."""
    net = lay_out(weights.load_model(name, model))
    luma = torch.rand(1, 3, 1, 48, 64, generator=torch.Generator().manual_seed(5))
    chroma = torch.rand(1, 2, 48, 64, generator=torch.Generator().manual_seed(6)) - 0.5
    before, made = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                more = () if name == "restorer" else ([net.encode(luma[:, 0], chroma)],)
                made.append(net(luma, *more)[0])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, made[0]) for one in made[1:])
