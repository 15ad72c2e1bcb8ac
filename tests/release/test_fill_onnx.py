"""Filling in ONNX Runtime is that of PyTorch: its graphs have thousands of operators, and take long to export."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch.nn import functional as F

if not (find_spec("onnx") and find_spec("onnxruntime")):
    pytest.skip("needs onnx and onnxruntime: pip install 'vs-remaster[onnx]'", allow_module_level=True)

from export.to_onnx import main as export
from vs_remaster.engines import make_fill, sessions
from vs_remaster.engines.onnx import OnnxFill
from vs_remaster.models.fill import CELL, RADIUS, Fill
from vs_remaster.models.layers import Halo
from vs_remaster.remaster.filling import Filler
from vs_remaster.remaster.window import Window

TIME = 2 * RADIUS + 1


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "cache_folder", lambda: folder)
        yield folder


@pytest.fixture(scope="module")
def filled(cache) -> OnnxFill:
    made = make_fill("onnxruntime", "cpu")
    assert isinstance(made, OnnxFill)
    return made


def moving(height: int, width: int, down: int, across: int) -> torch.Tensor:
    """A textured scene that moves, with a little grain, `[9, 1, H, W]`."""
    generator = torch.Generator().manual_seed(height + width)
    sides = height + 16 * abs(down), width + 16 * abs(across)
    rough = (torch.rand(1, 1, *(-(-side // n) for side in sides), generator=generator) for n in (4, 9, 30))
    canvas = sum(F.interpolate(x, sides, mode="bicubic") for x in rough)[0] / 3
    tops, lefts = (8 * abs(way) - 4 * way for way in (down, across))
    views = [
        canvas[:, tops + way_down : tops + way_down + height, lefts + way_across : lefts + way_across + width]
        for way_down, way_across in ((down * time, across * time) for time in range(TIME))
    ]
    grain = 0.01 * torch.randn(TIME, 1, height, width, generator=generator)
    return (torch.stack(views) + grain).clamp(0, 1)


@pytest.mark.parametrize(
    "size, speed, count",
    [((96, 128), (1, 2), 4), ((272, 484), (3, -5), 17), ((101, 147), (0, 3), 1), ((1, 1), (0, 0), 1)],
)
def test_the_same_as_pytorch(filled, size, speed, count):
    """Of any size and any number of cells, some of which reach over the edge."""
    luma = moving(*size, *speed)
    sound = (torch.rand(luma.shape, generator=torch.Generator().manual_seed(2)) > 0.02).float()
    for time in range(TIME):
        sound[time, :, 5 * time : 5 * time + 50, 20:70] = 0
    sound[0] = 0  # a frame of another scene
    grid = [(top, left) for top in range(0, size[0], CELL) for left in range(0, size[1], CELL)]
    cells = torch.tensor(grid)[:count]
    assert len(cells) == count
    (found, known), (wanted, wanted_known) = filled(luma, sound, cells), Fill()(luma, sound, cells)
    assert found.shape == (count, 1, CELL, CELL) and torch.equal(known, wanted_known)
    apart = (found - wanted).abs()
    assert (apart > 1e-4).float().mean() < 0.005  # where two motions fit equally well, rounding decides
    assert apart.mean() < 1e-4


def test_frames_are_filled_the_same(filled):
    clean = moving(144, 208, 1, 2)
    mask = torch.zeros_like(clean)
    mask[RADIUS, :, 50:90, 70:110] = 1
    frames = [(*pair, None) for pair in zip(clean * (1 - mask), mask)]
    ours, theirs = (
        torch.stack(
            Filler(Filler.window_beside(Window(before=0, after=0, block=2 * TIME)), engine).process(frames, Halo(0, 0))
        )
        for engine in ("onnxruntime", "torch")
    )
    assert (ours - theirs).abs().max() < 1e-4 and (ours - clean)[RADIUS, :, 50:90, 70:110].abs().mean() < 0.02


def test_graphs_are_kept_and_use_plain_operators(filled, cache, monkeypatch):
    import onnx

    from tests.test_onnx import PLAIN

    (folder,) = (cache / "onnx").glob("fill-*-fp32-*")
    for path in folder.glob("*.onnx"):
        model = onnx.load(path)
        assert {node.op_type for node in model.graph.node} <= PLAIN | {"Greater", "MaxPool", "Neg", "Not",
                                                                       "Round", "Xor"}  # fmt: skip
        assert "damage" in model.doc_string or "squares of 64 pixels" in model.doc_string
        assert {"network": "fill", "before": "4", "after": "4"}.items() <= {
            x.key: x.value for x in model.metadata_props
        }.items()
    monkeypatch.setattr(sessions, "graphs", None)  # not exported again
    assert OnnxFill("cpu")


def test_the_command_line_exports_it(tmp_path, capsys, root):
    paths = export(["fill", "--out", str(tmp_path), "--check", str(root / "tests/data/sample.mkv")])
    assert [path.name for path in paths] == ["fill-fp32-motion.onnx", "fill-fp32-fill.onnx"]
    said = [line for line in capsys.readouterr().out.splitlines() if "from torch" in line]
    assert len(said) == 6 and all(float(line.split("at most ")[1].split(",")[0]) < 1e-4 for line in said)
