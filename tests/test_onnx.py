"""Exported graphs and the engine that runs them give what torch gives; on the CPU provider of ONNX Runtime."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

if not (find_spec("onnx") and find_spec("onnxruntime")):
    pytest.skip("needs onnx and onnxruntime: pip install 'vs-remaster[onnx]'", allow_module_level=True)

from export.to_onnx import main as export
from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.color.samples import decode_luma
from vs_remaster.engines import ENGINES, Engine, make_engine, sessions
from vs_remaster.engines.graphs import LISTS, channels, fingerprint, graphs, to_onnx
from vs_remaster.engines.onnx import onnx_engine
from vs_remaster.engines.ort import runtime
from vs_remaster.engines.pytorch import TorchEngine
from vs_remaster.engines.sizes import film_sizes, folded
from vs_remaster.errors import InputError, UnsupportedError
from vs_remaster.models import build
from vs_remaster.models.fill import Fill
from vs_remaster.models.layers import Halo
from vs_remaster.models.restorer import Place, thumbnails
from vs_remaster.models.sharpener import SharpenerNet, enlarged, softness
from vs_remaster.references.reference import Reference
from vs_remaster.remaster import filling
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.remaster.restorer import Passing, Restorer
from vs_remaster.video.reader import VideoReader
from vs_remaster.weights import load_model, save_weights

NOTHING = Halo(0, 0)
# What TensorRT and ONNX Runtime have on every device; no loops, no branches, nothing of one library's own.
PLAIN = set(
    "Abs Add And ArgMax AveragePool Cast Ceil Clip Concat Constant ConstantOfShape Conv DepthToSpace Div Elu Equal "
    "Exp Expand Flatten Floor Gather Gemm Greater GreaterOrEqual GridSample Identity LeakyRelu Less LessOrEqual Log "
    "MatMul Max MaxPool Min Mod Mul Neg Pad Range Reciprocal ReduceL2 ReduceLogSumExp ReduceMax ReduceMean "
    "ReduceSum Reshape Resize Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Tanh Tile Transpose Unsqueeze "
    "Where".split()
)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    """Graphs are exported once for all tests here, and not from or into the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "cache_folder", lambda: folder)
        # Its export takes long: tests/release/test_fill_onnx.py
        patch.setattr(filling, "make_fill", lambda engine, device: Fill())
        yield folder


@pytest.fixture(scope="module")
def film(root: Path) -> Tensor:
    """Twelve frames of real film, `[12, 1, 96, 128]`."""
    with VideoReader(root / "tests/data/sample.mkv", end=12) as reader:
        frames = torch.stack([decode_luma(frame.planes, reader.info) for frame in reader])
    return F.interpolate(frames, (96, 128), mode="bicubic", antialias=True).clamp(0, 1)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def picture(height: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Luma `[1, 1, H, W]` and chroma `[1, 2, H, W]` of a smooth coloured picture."""
    rgb = F.interpolate(noise(1, 3, 6, 8, seed=seed), (height, width), mode="bicubic", align_corners=False)
    return tuple(rgb_to_ycbcr(rgb.clamp(0, 1)).split([1, 2], 1))


PICTURES = [picture(*size, seed=i) for i, size in enumerate([(48, 64), (64, 32), (32, 96), (80, 48), (64, 64)])]


def pair(net: nn.Module, precision: str = "fp32") -> tuple[Engine, Engine]:
    """The same network in ONNX Runtime, and in torch and float32."""
    return onnx_engine(copy.deepcopy(net), "cpu", precision, "cpu"), TorchEngine(copy.deepcopy(net), "cpu", "fp32")


@pytest.fixture(scope="module")
def restorers() -> tuple[Engine, Engine]:
    return pair(load_model("restorer", "fast"))


def fresh_sharpener() -> SharpenerNet:
    """Random weights, which change pictures more than trained ones."""
    torch.manual_seed(0)
    net = build("sharpener").eval()
    assert isinstance(net, SharpenerNet)
    with torch.no_grad():
        for layer in (net.told[2], net.same, net.twice):
            layer.weight.mul_(5)
    return net


@pytest.fixture(scope="module")
def sharpeners() -> tuple[Engine, Engine]:
    return pair(fresh_sharpener())


@pytest.fixture(scope="module", params=["fast", "quality"])
def colorizers(request: pytest.FixtureRequest) -> tuple[Engine, Engine]:
    """One that matches down to 1/4, and one that goes on to 1/2."""
    return pair(load_model("colorizer", request.param))


def restored(engines: tuple[Engine, Engine], luma: Tensor, halo: Halo = NOTHING, tile: tuple | None = None) -> Tensor:
    """Differences of luma, mask and toned luma; `tile`: first line, first column, lines and columns of a part."""
    thumbs, place = thumbnails(luma[None])[0], None
    if tile:
        top, left, height, width = tile
        place = Place(top, left, *luma.shape[-2:])
        luma = luma[..., top : top + height, left : left + width]
    made, wanted = (torch.stack(engine.restore(luma, thumbs, halo, place)) for engine in engines)
    assert made.shape == wanted.shape
    return (made - wanted).abs()


def colored(engines: tuple[Engine, Engine], luma: Tensor, pictures: list, halo: Halo = NOTHING) -> Tensor:
    """Differences of chroma; those of the shares are checked."""
    (made, shares), (wanted, shares_wanted) = (e.colorize(luma, e.encode(pictures), halo) for e in engines)
    assert made.shape == wanted.shape and shares.shape == shares_wanted.shape
    assert torch.allclose(shares, shares_wanted, atol=1e-4 if engines[0].precision == "fp32" else 1e-3)
    return (made - wanted).abs()


def sharpened(engines: tuple[Engine, Engine], luma: Tensor, halo: Halo, scale: int) -> Tensor:
    """Differences of what is added, which are worth more than nothing."""
    made, wanted = (engine.sharpen(luma, softness(luma[None])[0], halo, scale) for engine in engines)
    assert made.shape == wanted.shape and wanted.abs().mean() > 0.02
    return (made - wanted).abs()


# ---- the same numbers as torch


@pytest.mark.parametrize("frames, height, width", [(1, 48, 64), (2, 30, 45), (21, 40, 104)])
def test_restorer_of_any_length_and_size(restorers, frames, height, width):
    assert restored(restorers, noise(frames, 1, height, width)).max() < 1e-4


@pytest.mark.parametrize("halo", [(20, 20), (0, 20), (20, 0), (12, 19), (3, 5), (1, 0)])
def test_restorer_with_the_halo_of_any_cut(restorers, film, halo):
    luma = torch.cat([film, film.flip(0)] * 2)[: 1 + sum(halo)]
    assert restored(restorers, luma, Halo(*halo)).max() < 1e-4


@pytest.mark.parametrize("tile", [(0, 0, 56, 64), (40, 64, 56, 64), (16, 24, 35, 41)])
def test_restorer_of_a_tile(restorers, film, tile):
    """A part of a frame with odd sizes, toned by where it lies in the whole."""
    assert restored(restorers, film[:5], Halo(1, 2), tile).max() < 1e-4


def test_windows_filled_up_to_one_length(restorers, sharpeners, colorizers, film, monkeypatch):
    """As TensorRT wants them: the frames behind the scene's end leave no trace."""
    for engine, _ in (restorers, sharpeners, colorizers):
        monkeypatch.setattr(engine, "least", 7)
    for count, halo in ((3, NOTHING), (4, Halo(1, 0)), (4, Halo(0, 1))):
        assert sharpened(sharpeners, film[:count], halo, 1).max() < 1e-4
    for count, halo in ((3, NOTHING), (6, Halo(3, 0)), (6, Halo(1, 3))):
        assert restored(restorers, film[:count], halo).max() < 1e-4
        assert colored(colorizers, film[:count], PICTURES[:1], halo).max() < 1e-4


def test_a_whole_frame_is_no_tile(restorers, film):
    """The test above can fail: the place changes the picture."""
    wrong = restorers[0].restore(film[:3, :, :56, :64], thumbnails(film[None, :3])[0], NOTHING, Place(0, 0, 56, 64))
    right = restorers[1].restore(film[:3, :, :56, :64], thumbnails(film[None, :3])[0], NOTHING, Place(0, 0, 96, 128))
    assert (wrong[2] - right[2]).abs().max() > 1e-3


@pytest.mark.parametrize("references", [1, 2, 5])
@pytest.mark.parametrize("frames, size, halo", [(1, (48, 64), (0, 0)), (9, (80, 112), (3, 3)), (4, (32, 64), (0, 2))])
def test_colorizer_from_any_number_of_references(colorizers, references, frames, size, halo):
    assert colored(colorizers, noise(frames, 1, *size), PICTURES[:references], Halo(*halo)).max() < 1e-4


def test_colorizer_of_real_film(colorizers, film):
    assert colored(colorizers, film[:8], PICTURES[1:3], Halo(3, 1)).max() < 1e-4


def test_weights_scopes_and_likeness_of_references(colorizers, film):
    made, wanted = (engine.encode(PICTURES[:4]) for engine in colorizers)
    for chosen, weights in (((0, 2, 3), (1.0, 1.0, 1.0)), ((1, 3), (0.2, 30.0))):
        (chroma, shares), (right, shares_right) = (
            engine.colorize(film[:3], memory.subset(chosen, weights), NOTHING)
            for engine, memory in zip(colorizers, (made, wanted))
        )
        assert shares.shape == (3, len(chosen)) and torch.allclose(shares, shares_right, atol=1e-4)
        assert (chroma - right).abs().max() < 1e-3
    plain = colorizers[0].colorize(film[:3], made.subset((1, 3), (1.0, 1.0)), NOTHING)[1]
    assert (shares[:, 1] / shares[:, 0] > 2 * plain[:, 1] / plain[:, 0]).all()
    alike = [memory.likeness(engine.describe(film[:2])) for engine, memory in zip(colorizers, (made, wanted))]
    assert alike[0].shape == (2, 4) and torch.allclose(*alike, atol=1e-4)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("count, size, halo", [(1, (48, 64), (0, 0)), (10, (30, 45), (1, 1)), (4, (96, 128), (0, 1))])
def test_sharpener_of_any_length_and_size(sharpeners, scale, count, size, halo):
    luma = F.interpolate(noise(count, 1, 16, 24), size, mode="bicubic").clamp(0, 1)
    assert sharpened(sharpeners, luma, Halo(*halo), scale).max() < 1e-4


def test_softness_as_a_graph_of_its_own(film):
    """For those who run the graphs without this package; `softness` works on squares of 32 pixels."""
    graph = graphs(fresh_sharpener())["softness"]
    session = sessions.Session(to_onnx(graph, {}), "cpu", "cpu", "softness")
    for height, width in ((96, 128), (41, 70), (32, 33), (1, 1)):
        luma = film[:5, :, :height, :width]
        assert (session.run({"luma": luma})["figures"] - softness(luma[None])[0]).abs().max() < 1e-4


def test_networks_with_parts_left_out(film):
    torch.manual_seed(0)
    restorer, colorizer = '{"shift": false, "mask": false, "skip": false}', '{"shift": false, "local": false}'
    assert restored(pair(build("restorer", restorer)), film[:4], Halo(1, 2)).max() < 1e-4
    assert colored(pair(build("colorizer", colorizer)), film[:4], PICTURES[:2], Halo(1, 2)).max() < 1e-4


def test_half_precision(film):
    assert restored(pair(load_model("restorer", "fast"), "fp16"), film[:6], Halo(1, 1)).max() < 4e-3
    engines = pair(fresh_sharpener(), "fp16")
    assert all(sharpened(engines, film[:4], Halo(1, 1), scale).max() < 4e-3 for scale in (1, 2))


@pytest.mark.parametrize("model", [pytest.param("fast", marks=pytest.mark.release), "quality"])
def test_half_precision_of_colors(film, model):
    """Where two places of a reference are equally alike, rounding decides: single pixels may differ by more. `quality`
    has all that `fast` has."""
    made = colored(pair(load_model("colorizer", model), "fp16"), film, PICTURES[:2], Halo(1, 1))
    assert made.quantile(0.99) < 4e-3 and made.mean() < 5e-4


@pytest.mark.parametrize("official", ["false", "true"])
def test_deepremaster(official):
    """Random weights: the published ones are the user's own."""
    torch.manual_seed(0)
    config = f'{{"width": 0.125, "official": {official}}}'
    restorer, colorizer = (build(f"deepremaster-{name}", config).eval() for name in ("restorer", "colorizer"))
    for gamma in (colorizer.match8, colorizer.match16, colorizer.self8, colorizer.self16):
        nn.init.constant_(gamma.gamma, 0.5)  # a fresh network does not attend
    frames, halo = (5, NOTHING) if official == "true" else (6, Halo(2, 1))
    assert restored(pair(restorer), noise(frames, 1, 33, 50), halo).max() < 1e-4
    engines = pair(colorizer)
    for pictures in ([], PICTURES[:1], PICTURES[:2]):
        assert colored(engines, noise(frames, 1, 48, 64), pictures, halo).max() < 1e-4


def test_rtn_is_refused_by_name():
    with pytest.raises(UnsupportedError, match=r"rtn-colorizer.*engine torch"):
        graphs(build("rtn-colorizer"))


# ---- one size of film


def nodes(file: bytes) -> list[str]:
    import onnx

    return [node.op_type for node in onnx.load_from_string(file).graph.node]


def test_a_graph_for_one_size_has_a_third_of_the_operators(film):
    net = load_model("restorer", "fast")
    whole = sessions.load_graphs(net, "fp32")["restore"]
    file = folded(whole, film_sizes(net, 96, 128, 4))
    assert len(nodes(file)) <= 600 and len(nodes(whole)) > 2 * len(nodes(file))
    assert set(nodes(file)) <= PLAIN - {"Shape"} and nodes(file).count("Conv") == nodes(whole).count("Conv")
    engines = onnx_engine(copy.deepcopy(net), "cpu", "fp32", "cpu", {"restore": file}), TorchEngine(net, "cpu", "fp32")
    engines[0].least = 4
    for count, halo in ((6, Halo(1, 1)), (2, NOTHING)):
        assert restored(engines, film[:count], halo).max() < 1e-4
    with pytest.raises(Exception, match="Expected: 96"):
        restored(engines, film[:4, :, :48])


@pytest.mark.parametrize("part, most", [("look", 620), ("decode", 270), ("encode", 190)])
def test_colorizers_have_graphs_for_one_size_too(part, most):
    net = load_model("colorizer", "fast")
    assert len(nodes(folded(sessions.load_graphs(net, "fp32")[part], film_sizes(net, 48, 64, 4)))) < most


def fixed(engine: Engine) -> Engine:
    """An engine whose sessions are for one size of film, as on a GPU."""
    for name, session in engine.sessions.items():
        if name != "encode":
            engine.sessions[name] = sessions.Session(session.file, "cpu", "cpu", name, fixed=True)
    engine.least = 4
    return engine


SIZES = (slice(6), ...), (slice(2), ...), (slice(4), slice(None), slice(48), slice(64))


def for_one_size(engines: tuple[Engine, Engine]) -> tuple[Engine, Engine]:
    return fixed(onnx_engine(copy.deepcopy(engines[1].net), "cpu", "fp32", "cpu")), engines[1]


def test_sessions_for_one_size_make_the_same_pictures(restorers, sharpeners, film):
    """Whatever came before: one of another size, or of a window that a cut made shorter."""
    restorer, sharpener = for_one_size(restorers), for_one_size(sharpeners)
    first = restorer[0].restore(film[:3], thumbnails(film[None, :3])[0], NOTHING)[0]
    for part in SIZES:
        assert restored(restorer, film[part], Halo(1, 0)).max() < 1e-4
        assert sharpened(sharpener, film[part], NOTHING, 2).max() < 1e-4
    assert len(restorer[0].sessions["restore"]._made) == 3
    assert torch.equal(restorer[0].restore(film[:3], thumbnails(film[None, :3])[0], NOTHING)[0], first)


def test_sessions_for_one_size_make_the_same_colors(colorizers, film):
    colorizer = for_one_size(colorizers)
    for part in SIZES:
        assert all(colored(colorizer, film[part], PICTURES[:n], Halo(0, 1)).max() < 1e-4 for n in (1, 3))
    assert len(colorizer[0].sessions["look"]._made) == 2


def test_the_last_few_sessions_are_kept(restorers, film, monkeypatch):
    monkeypatch.setattr(sessions, "_KEPT", 2)
    engine = fixed(onnx_engine(copy.deepcopy(restorers[1].net), "cpu", "fp32", "cpu"))
    made = engine.sessions["restore"]._made
    for width in (64, 72, 64, 80):
        assert restored((engine, restorers[1]), film[:2, :, :48, :width]).max() < 1e-4
    assert [f"'width': {width}" in key for key, width in zip(made, (64, 80))] == [True, True] and len(made) == 2


# ---- frame n is always the same frame


def test_restorer_windows_equal_the_whole_film(film):
    options = RestoreOptions(model="fast", device="cpu", precision="fp32", sharpness=0)
    restorer = Restorer(replace(options, engine="onnxruntime"), block=4)
    torch_restorer = Restorer(options)
    whole = restorer.restore(film, [7]).luma
    for span in restorer.window.spans(1, 12, [7]):
        made = restorer.process(list(film[span.first : span.last]), span.halo)
        assert all(torch.equal(whole[span.start + i], luma) for i, (luma, _) in enumerate(made))
    assert (whole - torch_restorer.restore(film, [7]).luma).abs().max() < 1e-4


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("size", [(48, 64), (50, 70)])
def test_sharpening_is_that_of_torch(scale, size):
    restorers = [
        Restorer(RestoreOptions(model="fast", device="cpu", precision="fp32", scale=scale, engine=engine), block=4)
        for engine in ("torch", "onnxruntime")
    ]
    luma = [noise(1, *size, seed=i) for i in range(9)]
    ours, theirs = (
        [
            made.luma
            for made in one.sharpener.window.run(((Passing(x, x), i == 6) for i, x in enumerate(luma)), one.sharpen)
        ]
        for one in restorers
    )
    assert ours[0].shape == (1, scale * size[0], scale * size[1])
    assert max((a - b).abs().max() for a, b in zip(ours, theirs)) < 1e-4


def test_colorizer_windows_equal_the_whole_film(film):
    options = {"model": "fast", "device": "cpu", "lines": 64}
    colorizer = Colorizer(ColorizeOptions(**options, engine="onnxruntime"), block=4)
    torch_colorizer = Colorizer(ColorizeOptions(**options, precision="fp32"))
    references = [Reference("a", noise(3, 64, 80), None), Reference("b", noise(3, 90, 70, seed=1), None)]
    memory = colorizer.encode_references(references)
    whole = colorizer.colorize(film, memory, [7]).chroma
    for index in (2, 1):  # backwards: nothing of another window may be left in this one
        for span in colorizer.window.spans(index, 12, [7]):
            made = colorizer.process(list(film[span.first : span.last]), memory, span.halo)
            assert all(torch.equal(whole[span.start + i], chroma) for i, (chroma, _) in enumerate(made))
    wanted = torch_colorizer.colorize(film, torch_colorizer.encode_references(references), [7]).chroma
    assert (whole - wanted).abs().max() < 1e-4


def test_a_frame_that_lies_in_two_windows_is_looked_at_once(film, monkeypatch):
    options = {"model": "fast", "device": "cpu", "lines": 64, "engine": "onnxruntime"}
    colorizer = Colorizer(ColorizeOptions(**options), block=4)
    memory = colorizer.encode_references([Reference("a", noise(3, 64, 80), None)])
    session, counted = colorizer.engine.sessions["look"], []
    run = session.run
    monkeypatch.setattr(session, "run", lambda inputs: counted.append(1) or run(inputs))
    frames = ((frame, False) for frame in list(film))
    list(colorizer.window.run(frames, lambda part, halo: colorizer.process(part, memory, halo)))
    assert len(counted) == len(film)


# ---- files


def test_half_precision_keeps_what_decides_in_float32():
    """How soft a frame is and how much is to be done, as tone in the restorer."""
    import onnx

    kinds = dict[str, int]()
    for name, graph in graphs(fresh_sharpener(), "fp16").items():
        assert all(x.is_floating_point() <= (x.dtype == torch.float32) for x in graph.inputs.values())
        for weight in onnx.load_from_string(to_onnx(graph, {})).graph.initializer:
            kinds |= {f"{name} {weight.name}": weight.data_type}
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    assert kinds["sharpen net.stem.weight"] == kinds["enlarge net.twice.weight"] == half
    assert kinds["sharpen net.told.0.weight"] == kinds["sharpen net.due.0.weight"] == full


def test_channels_are_the_middle_frame(tmp_path, restorers, film):
    (path,) = export(["restorer", "--out", str(tmp_path), "--channels", "--sharpener", "none"])
    net = restorers[1].net
    count = net.before + 1 + net.after
    clip = torch.cat([film, film.flip(0)] * 3)[:count]
    session = sessions.Session(path.read_bytes(), "cpu", "cpu", "channels")
    for height, width in ((96, 128), (41, 70)):
        luma = clip[..., :height, :width]
        made = session.run({"frames": luma.transpose(0, 1)})["luma"]
        wanted = restorers[1].restore(luma, thumbnails(luma[None])[0], Halo(net.before, net.after))
        assert (made - wanted[0]).abs().max() < 1e-4


def test_channels_are_sharpened(restorers, film):
    net, sharpener = restorers[1].net, fresh_sharpener()
    ((name, graph),) = channels(net, "fp32", sharpener, 1).items()
    assert graph.facts.items() >= {"before": "21", "after": "21", "scale": "1"}.items()
    assert "large damage" in graph.about and name == "channels"
    check_channels(to_onnx(graph, {}), net, sharpener, 1, film)


def test_channels_are_sharpened_and_enlarged_from_the_command_line(tmp_path, restorers, film):
    import onnx

    fresh = tmp_path / "fresh.safetensors"
    save_weights(fresh, fresh_sharpener())
    export(["restorer", "--out", str(tmp_path), "--channels", "--scale", "2", "--sharpener", str(fresh)])
    sharpener = load_model("sharpener", str(fresh))
    assert isinstance(sharpener, SharpenerNet)
    path = tmp_path / "restorer-fast-fp32-channels-2x.onnx"
    model = onnx.load(path)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert (said["before"], said["after"], said["scale"]) == ("21", "21", "2")
    assert said["sharpener_sha256"] == fingerprint(sharpener)
    assert "21 frames before" in model.doc_string and "twice as large" in model.doc_string
    assert "large damage" in model.doc_string
    sizes = [[x.dim_param or x.dim_value for x in y.type.tensor_type.shape.dim] for y in model.graph.input]
    assert sizes == [[1, 43, "height", "width"]]
    assert {node.op_type for node in model.graph.node} <= PLAIN
    check_channels(path.read_bytes(), restorers[1].net, sharpener, 2, film)


def check_channels(file: bytes, net: nn.Module, sharpener: SharpenerNet, scale: int, film: Tensor) -> None:
    """The frame is what restoring and sharpening one after the other make of it."""
    session, restorer = sessions.Session(file, "cpu", "cpu", "channels"), TorchEngine(net, "cpu", "fp32")
    clip, halo = torch.cat([film, film.flip(0)] * 3)[:43], Halo(net.before, net.after)
    for height, width in ((96, 128), (41, 70)):
        luma = clip[..., :height, :width]
        beside = restorer.restore(luma, thumbnails(luma[None])[0], halo)[0]
        change = TorchEngine(sharpener, "cpu", "fp32").sharpen(beside, softness(beside[None])[0], Halo(1, 1), scale)
        wanted = (beside[1:2] if scale == 1 else enlarged(beside[1:2])) + change
        made = session.run({"frames": luma.transpose(0, 1)})["luma"]
        assert made.shape == wanted.shape == (1, 1, scale * height, scale * width)
        assert change.abs().mean() > 0.02 and (made - wanted).abs().max() < 1e-4


def test_graphs_for_one_size_from_the_command_line(tmp_path, capsys):
    import onnx

    paths = export(["colorizer", "--out", str(tmp_path), "--size", "64x48", "--frames", "3"])
    assert [path.name for path in paths] == [
        f"colorizer-fast-fp32-{name}.onnx" for name in ("encode", "look-64x48", "decode-64x48")
    ]
    sizes = {x.name: [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] for path in paths[1:]
             for x in onnx.load(path).graph.input}  # fmt: skip
    assert sizes["luma"] == [9, 1, 48, 64] and sizes["features4"][2:] == [12, 16] and sizes["keys"][0] == "keys"
    said = {entry.key: entry.value for entry in onnx.load(paths[1]).metadata_props}
    assert said["network"] == "colorizer" and said["graph"] == "look"
    (path,) = export(["restorer", "--out", str(tmp_path), "--channels", "--size", "70x42"])
    model = onnx.load(path)
    assert path.name.endswith("-channels-70x42.onnx") and len(model.graph.node) < 660
    assert [x.dim_value for x in model.graph.output[0].type.tensor_type.shape.dim] == [1, 1, 42, 70]
    assert "21 frames before" in model.doc_string


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["restorer", "--scale", "2"], "for --channels"),
        (["restorer", "--channels", "--sharpener", "none", "--scale", "2"], "with a sharpener 2"),
        (["sharpener", "--channels"], "only our restorer"),
        (["restorer", "--frames", "4"], "for --size"),
        (["restorer", "--size", "528"], "invalid picture_size value"),
        (
            ["restorer", "--size", "530x400"],
            "530x400 pixels and 16 frames at once; both sides have to be",
        ),
        (["restorer", "--size", "528x400", "--frames", "0"], "at least 1"),
        (["restorer", "--size", "528x400", "--channels", "--frames", "4"], "makes one frame"),
        (["fill", "--size", "528x400"], "no graphs for one size"),
        (["fill", "--model", "fast"], "no weights"),
        (["fill", "--fp16"], "fp32 only"),
        (["fill", "--channels"], "only our restorer"),
    ],
)
def test_arguments_that_do_not_fit(arguments, said, tmp_path, capsys):
    with pytest.raises(SystemExit):
        export([*arguments, "--out", str(tmp_path)])
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_files_say_what_they_are_and_use_plain_operators(tmp_path):
    import onnx

    paths = export(["colorizer", "--model", "quality", "--out", str(tmp_path), "--fp16", "--opset", "17"])
    assert [path.name for path in paths] == [f"colorizer-quality-fp16-{x}.onnx" for x in ("encode", "look", "decode")]
    net = load_model("colorizer", "quality")
    for path in paths:
        model = onnx.load(path)
        said = {entry.key: entry.value for entry in model.metadata_props}
        facts = {"network": "colorizer", "before": "3", "after": "3", "block": "16", "multiple_of": "16"}
        assert said.items() >= facts.items() and said["sha256"] == fingerprint(net) and said["precision"] == "fp16"
        assert "BT.709" in said["color"] and said["version"]
        assert model.opset_import[0].version == 17 and {x.domain for x in model.opset_import} == {""}
        assert {node.op_type for node in model.graph.node} <= PLAIN


@pytest.mark.parametrize(
    "name, config",
    [
        ("restorer", None),
        ("sharpener", None),
        ("deepremaster-restorer", '{"width": 0.125}'),
        ("deepremaster-colorizer", '{"width": 0.125}'),
    ],
)
def test_other_graphs_use_plain_operators_too(name, config):
    import onnx

    for graph in graphs(build(name, config)).values():
        assert {node.op_type for node in onnx.load_from_string(to_onnx(graph, {})).graph.node} <= PLAIN


def test_a_fingerprint_is_of_the_weights_and_settings():
    net = build("restorer")
    before = fingerprint(net)
    net.head.bias.data[0] += 1
    assert fingerprint(net) != before and fingerprint(build("restorer", '{"tone": 16}')) != before


# ---- the cache: of a small network, whose graph is made soon


@pytest.fixture(scope="module")
def narrow() -> nn.Module:
    torch.manual_seed(0)
    return build("deepremaster-restorer", '{"width": 0.125}').eval()


@pytest.mark.parametrize("damage", ["cut off", "changed", "missing", "no record"])
def test_a_damaged_cache_is_made_anew(damage, narrow, film, tmp_path, monkeypatch):
    net = copy.deepcopy(narrow)
    monkeypatch.setattr(sessions, "cache_folder", lambda: tmp_path)
    good = sessions.load_graphs(net, "fp32")["restore"]
    folder = sessions.graph_folder(net, "fp32")
    path = folder / "restore.onnx"
    if damage == "missing":
        path.unlink()
    elif damage == "no record":
        (folder / "sha256.json").write_text("{")
    else:
        path.write_bytes(good[:1000] if damage == "cut off" else good[:-9] + bytes(9))
    engines = make_engine(net, "onnxruntime", "cpu", "auto"), TorchEngine(copy.deepcopy(narrow), "cpu", "fp32")
    assert restored(engines, film[:2]).max() < 1e-4
    assert sessions._read(folder) and not list(folder.glob("*.part"))


def test_a_good_cache_is_used(monkeypatch):
    net = load_model("restorer", "fast")
    sessions.load_graphs(net, "fp32")
    monkeypatch.setattr(sessions, "graphs", None)
    assert list(sessions.load_graphs(net, "fp32")) == ["restore"]


def test_a_cache_that_cannot_be_written_is_no_error(narrow, film, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setattr(sessions, "cache_folder", lambda: tmp_path / "file")
    engine = make_engine(copy.deepcopy(narrow), "onnxruntime", "cpu", "auto")
    assert list(engine.sessions) == ["restore"]
    assert restored((engine, TorchEngine(copy.deepcopy(narrow), "cpu", "fp32")), film[:2]).max() < 1e-4
    assert "cannot keep the exported graphs in" in caplog.text


# ---- what is missing is named


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnsupportedError, match=r"'onnxruntime'.*pip install 'vs-remaster\[onnx\]'"):
        make_engine(load_model("restorer", "fast"), "onnxruntime", "cpu", "auto")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(sessions, "cache_folder", lambda: tmp_path)
    with pytest.raises(UnsupportedError, match=r"'onnx'.*pip install 'vs-remaster\[onnx\]'"):
        make_engine(load_model("restorer", "fast"), "onnxruntime", "cpu", "auto")


@pytest.mark.parametrize("provider, name", [("cuda", "CUDA"), ("tensorrt", "TensorRT")])
def test_a_missing_provider_is_named(provider, name, monkeypatch):
    net = load_model("restorer", "fast")
    with pytest.raises(UnsupportedError, match=rf"no {name}|cannot load its {name}|onnxruntime-gpu"):
        engine = onnx_engine(net, "cuda", "fp32", provider)
        engine.restore(noise(1, 1, 48, 64), noise(1, 1, 36, 48), NOTHING)


def test_a_provider_without_its_libraries_is_named(monkeypatch):
    """ONNX Runtime then goes on with another provider and says nothing."""
    ort = runtime()
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)
    with pytest.raises(UnsupportedError, match=r"cannot load its CUDAExecutionProvider.*cuDNN"):
        onnx_engine(load_model("restorer", "fast"), "cuda", "fp32", "cuda")


def test_options_that_do_not_fit_are_refused():
    net = load_model("restorer", "fast")
    assert ENGINES == ("auto", "torch", "compile", "onnxruntime", "tensorrt")
    with pytest.raises(InputError, match="fp32 or fp16, not in 'bf16'"):
        make_engine(net, "onnxruntime", "cpu", "bf16")
    with pytest.raises(InputError, match="tensorrt' is for GPUs"):
        make_engine(net, "tensorrt", "cpu", "auto")
    with pytest.raises(InputError, match="neighbouring frames as channels"):
        channels(load_model("colorizer", "fast"))


def test_auto_is_torch_and_says_so(caplog):
    with caplog.at_level("INFO"):
        assert isinstance(make_engine(build("restorer"), "auto", "cpu", "fp32"), TorchEngine)
    assert "engine torch" in caplog.text


def test_tensorrt_is_told_sizes_and_folders(cache):
    """Pictures of one size; lists of what references hold up to the next power of two."""
    shapes = {"luma": (1, 1, 48, 64), "keys": (100, 64), "overview": (2, 9, 64)}
    said = sessions.tensorrt_settings("colorizer-look", shapes, 0)
    assert said["trt_profile_min_shapes"] == "luma:1x1x48x64,keys:1x64,overview:2x1x64"
    assert said["trt_profile_opt_shapes"] == "luma:1x1x48x64,keys:100x64,overview:2x9x64"
    assert said["trt_profile_max_shapes"] == "luma:1x1x48x64,keys:128x64,overview:2x16x64"
    assert "trt_fp16_enable" not in said and Path(said["trt_engine_cache_path"]).is_relative_to(cache)
    other = sessions.tensorrt_settings("colorizer-look", shapes | {"luma": (1, 1, 64, 64)}, 0)
    assert other["trt_engine_cache_path"] != said["trt_engine_cache_path"]
    assert set(LISTS) > set(graphs(build("colorizer", '{"half": 24}'))["look"].inputs) - {"luma"}
