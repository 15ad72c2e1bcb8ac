"""The nodes in a real ComfyUI: schemas and execute methods; its server is for tests/release/test_comfyui.py.

Set VS_REMASTER_COMFYUI to a ComfyUI checkout, and VS_REMASTER_COMFYUI_PYTHON to the Python that runs it where that is
another one than runs the tests.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from comfy_nodes import host, images, jobs, settings
from tests.support.comfy import NODES, STEP, apart, batch_of, clip, components, planes
from tests.support.films import film, frames_of, same
from tests.support.job_films import write_film
from vs_remaster import (
    ColorizeOptions,
    Colorizer,
    Reference,
    RestoreOptions,
    Restorer,
    cli,
    load_references,
    weights,
)
from vs_remaster.film.remastering import remaster_film
from vs_remaster.film.request import FilmRequest
from vs_remaster.jobs import job as film_job
from vs_remaster.jobs import run as film_jobs
from vs_remaster.jobs.making.maker import ChunkMaker
from vs_remaster.output.options import OutputOptions
from vs_remaster.remaster.levels import levelled_chroma, levelled_luma
from vs_remaster.remaster.merging import repair_chroma
from vs_remaster.remaster.options import Levels


def _other_python() -> str | None:
    python = os.environ.get("VS_REMASTER_COMFYUI_PYTHON")
    return python if python and Path(python).absolute() != Path(sys.executable) else None


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """ComfyUI's modules, on the CPU, with folders of their own; the nodes by id."""
    checkout = os.environ.get("VS_REMASTER_COMFYUI")
    if not checkout:
        pytest.skip("needs VS_REMASTER_COMFYUI=folder of a ComfyUI checkout")
    if _other_python():
        pytest.skip("runs in VS_REMASTER_COMFYUI_PYTHON, see test_in_the_python_that_runs_comfyui")
    sys.path.append(checkout)  # only while it is loaded: it has a package `tests` as well
    try:
        from comfy.cli_args import args

        args.cpu = True
        import comfy.model_management
        import comfy.model_patcher
        import comfy.utils
        import comfyui_version  # noqa: F401 - the pack looks at it
        import folder_paths
        from comfy_api.latest import InputImpl
    except ModuleNotFoundError as error:
        pytest.skip(f"needs VS_REMASTER_COMFYUI_PYTHON=the Python that runs ComfyUI: there is no {error.name} here")
    finally:
        sys.path.remove(checkout)
    import comfy_nodes

    base = tmp_path_factory.mktemp("comfyui")
    folder_paths.models_dir = str(base / "models")
    folder_paths.set_input_directory(str(base / "input"))
    folder_paths.set_output_directory(str(base / "output"))
    folder_paths.set_temp_directory(str(base / "temp"))
    (base / "input").mkdir()
    (base / "models/remaster").mkdir(parents=True)
    extension = asyncio.run(comfy_nodes.comfy_entrypoint())
    found = asyncio.run(extension.get_node_list())
    return SimpleNamespace(
        base=base,
        nodes={node.GET_SCHEMA().node_id: node for node in found},
        management=comfy.model_management,
        utils=comfy.utils,
        folders=folder_paths,
        VideoFromFile=InputImpl.VideoFromFile,
        VideoFromComponents=InputImpl.VideoFromComponents,
    )


@pytest.fixture
def hook(comfy: Any) -> Any:
    """A list of (value, total, preview, node id) that fills as nodes report; `on` is called for each."""
    seen = SimpleNamespace(steps=[], on=lambda value: None)

    def report(value: int, total: int, preview: Any, prompt_id: str | None = None, node_id: str | None = None) -> None:
        seen.steps.append((value, total, preview, node_id))
        seen.on(value)
        comfy.management.throw_exception_if_processing_interrupted()  # as the server's own does

    comfy.utils.set_progress_bar_global_hook(report)
    yield seen
    comfy.utils.set_progress_bar_global_hook(None)
    comfy.management.interrupt_current_processing(False)


def run(comfy: Any, node: str, **inputs: Any) -> tuple:
    """Execute a node as ComfyUI does: a clone of its class, in inference mode; what is left out has its default."""
    return run_whole(comfy, node, **inputs).result


def run_whole(comfy: Any, node: str, **inputs: Any) -> Any:
    kind = comfy.nodes[node]
    for wanted in kind.GET_SCHEMA().inputs:
        default = getattr(wanted, "default", None)
        if wanted.id not in inputs and default is not None:
            inputs[wanted.id] = default
    clone = kind.PREPARE_CLASS_CLONE({"hidden_inputs": {"UNIQUE_ID": "7"}})
    with torch.inference_mode():
        return clone.EXECUTE_NORMALIZED(**inputs)


@pytest.fixture(scope="module")
def given() -> Tensor:
    """Two references."""
    return torch.cat((clip(1, 60, 90, seed=5), clip(1, 60, 90, seed=6).flip(3)))


@pytest.fixture(scope="module")
def movie(comfy: Any) -> Path:
    """A film of 40 frames with sound in ComfyUI's input folder."""
    path = comfy.base / "input" / "film.mp4"
    film(path, 40, sound=True, rate=Fraction(25))
    return path


def restored(batch: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    luma, chroma = planes(batch)
    made = Restorer(RestoreOptions(device="cpu", **options)).restore(luma)
    return batch_of(made.luma, repair_chroma(chroma, made.mask * options.get("strength", 1.0))), made.mask[:, 0]


# ---- schemas


def test_the_nodes_are_those_that_saved_graphs_name(comfy):
    assert set(comfy.nodes) == NODES
    for node in comfy.nodes.values():
        schema = node.GET_SCHEMA()
        assert schema.category == "remaster" and schema.display_name and schema.description
        assert node.GET_NODE_INFO_V1()["category"] == "remaster"


def test_saved_graphs_have_all_that_a_node_cannot_do_without(comfy):
    whole = ["strength", "grain", "saturation", "color_lines", "scenes", "codec", "crf", "filename_prefix"]
    wanted = {  # of the first version of each node: what came later is optional
        "RemasterLoadRestorer": ["model", "device", "precision"],
        "RemasterLoadColorizer": ["model", "device", "precision"],
        "RemasterLoadModel": ["model", "device", "precision"],
        "RemasterRestore": ["images", "strength", "grain", "lines", "tile", "scenes"],
        "RemasterReferenceColorize": ["images", "saturation", "color_lines", "scenes"],
        "RemasterMergeLab": ["luma", "chroma", "weight"],
        "RemasterSteady": ["images", "strength", "scenes"],
        "RemasterLoadReferences": ["folder"],
        "RemasterLoadSample": [],
        "RemasterAlignReferences": ["video", "copy", "most", "folder"],
        "RemasterCompare": ["before", "after", "shown", "start"],
        "RemasterSaveReferences": ["images", "frames", "folder", "scope", "overwrite"],
        "RemasterPickReferences": ["count"],
        "RemasterVideo": ["path", "restore", "colorize", *whole],
    }
    for name, node in comfy.nodes.items():
        assert [x.id for x in node.GET_SCHEMA().inputs if not x.optional] == wanted[name]


def test_steady_film_makes_lost_frames_and_takes_the_weave_out(comfy):
    generator = torch.Generator().manual_seed(2)
    still = torch.nn.functional.interpolate(
        torch.rand(1, 1, 30, 40, generator=generator), scale_factor=4.0, mode="bicubic"
    )
    still = still[0, 0].clamp(0, 1)[..., None].expand(-1, -1, 3)
    places = torch.randint(0, 3, (24, 2), generator=generator).tolist()
    batch = torch.stack([still[y : y + 100, x : x + 140] for y, x in places])
    batch[9:11] = torch.rand(batch[9:11].shape, generator=torch.Generator().manual_seed(1))
    given = {"images": batch, "scenes": "none"}
    (mended,) = run(comfy, "RemasterSteady", **given, strength=0.0, bad_frames="9-10")
    sound = [n for n in range(24) if n not in (9, 10)]
    assert torch.equal(mended[sound], batch[sound]) and apart(mended[9], batch[9]) > 0.1
    (made,) = run(comfy, "RemasterSteady", **given, strength=1.0, bad_frames="9, 10")
    inner = (slice(None), slice(6, -6), slice(6, -6))
    assert (made - made.mean(0))[inner].abs().mean() < 0.6 * (mended - mended.mean(0))[inner].abs().mean()
    (cropped,) = run(comfy, "RemasterSteady", **given, strength=1.0, edges="crop", bad_frames="9, 10")
    assert torch.equal(cropped, made[:, 4:-4, 4:-4])
    for wrong, why in (
        ({"strength": 1.0, "bad_frames": "24"}, "bad frame 24 is not there: the film has 24 frames"),
        ({"strength": 1.0, "bad_frames": "1-5"}, "5 in a row"),
        ({"strength": 1.0, "bad_frames": "one"}, "cannot read bad frames file 'one'"),
        ({"strength": 0.0, "edges": "crop"}, "steady is 0"),
    ):
        with pytest.raises(Exception, match=why):
            run(comfy, "RemasterSteady", **given, **wrong)


def test_every_node_says_what_each_input_and_output_is(comfy, root):
    for name, node in comfy.nodes.items():
        page = (root / f"comfy_nodes/web/docs/{name}.md").read_text(encoding="utf-8")
        schema = node.GET_SCHEMA()
        for socket in (*schema.inputs, *schema.outputs):
            assert socket.tooltip and len(socket.tooltip) > 10, (name, socket.id)
            assert f"`{socket.id}`" in page, (name, socket.id)


def test_numbers_of_the_nodes_have_the_library_s_defaults_and_limits(comfy):
    numbers = {
        "strength": settings.STRENGTH,
        "grain": settings.GRAIN,
        "sharpness": settings.SHARPNESS,
        "steady": settings.STEADY,
        "scale": settings.SCALE,
        "lines": settings.LINES,
        "restore_lines": settings.LINES,
        "start": settings.START,
        "end": settings.END,
        "tile": settings.TILE,
        "saturation": settings.SATURATION,
        "color_lines": settings.COLOR_LINES,
        "weight": settings.WEIGHT,
        "count": settings.COUNT,
        "shown": settings.SHOWN,
        "most": settings.ALIGNED,
        "coverage": settings.COVERAGE,
        "crf": settings.CRF,
    }
    seen = set()
    for node in comfy.nodes.values():
        for wanted in node.GET_SCHEMA().inputs:
            if wanted.get_io_type() in ("INT", "FLOAT"):
                number = numbers[wanted.id]
                assert (wanted.default, wanted.min, wanted.max) == (number.default, number.low, number.high)
                seen.add(wanted.id)
    assert seen == set(numbers)
    options, color = RestoreOptions(), ColorizeOptions()
    assert [numbers[name].default for name in ("strength", "grain", "sharpness", "scale", "lines", "tile")] == [
        options.strength, options.grain, options.sharpness, options.scale, options.lines, options.tile,
    ]  # fmt: skip
    assert (numbers["saturation"].default, numbers["color_lines"].default) == (color.saturation, color.lines)


def test_the_search_of_the_page_finds_the_nodes_by_what_they_do(comfy, monkeypatch):
    """Where ComfyUI has aliases; 0.8 has none."""
    from comfy_nodes import sockets

    @dataclass
    class Schema(sockets.io.Schema):
        search_aliases: list[str] = field(default_factory=list)

    monkeypatch.setattr(sockets.io, "Schema", Schema)
    found = {alias for node in comfy.nodes.values() for alias in node.define_schema().search_aliases}
    wanted = "denoise, dust, scratch, flicker, deflicker, restore, colorize, black and white, old film"
    assert set(wanted.split(", ")) <= found


def test_models_remaster_stays_in_the_list_beside_other_folders(comfy, tmp_path, monkeypatch):
    from comfy_nodes import models

    known = dict(comfy.folders.folder_names_and_paths)
    monkeypatch.setattr(comfy.folders, "folder_names_and_paths", known)
    known.pop("remaster", None)
    comfy.folders.add_model_folder_path("remaster", str(tmp_path))  # as extra_model_paths.yaml does
    models.register_folder()
    models.register_folder()
    assert comfy.folders.get_folder_paths("remaster") == [str(tmp_path), str(comfy.base / "models/remaster")]


def test_the_model_list_of_the_node_shows_shipped_weights_and_files(comfy):
    shutil.copy(weights.find("restorer", "fast"), comfy.base / "models/remaster/mine.safetensors")
    (comfy.base / "models/remaster/notes.txt").write_text("no weights")
    (wanted, *_) = comfy.nodes["RemasterLoadModel"].define_schema().inputs
    assert {"restorer-fast", "colorizer-fast", "mine.safetensors"} <= set(wanted.options)
    assert "notes.txt" not in wanted.options


# ---- execute


def test_node_restore_gives_what_the_library_gives(comfy, hook):
    batch = clip(6)
    out, mask = run(comfy, "RemasterRestore", images=batch, scenes="none", grain=0.3)
    expected, where = restored(batch, grain=0.3)
    assert apart(out, expected) <= STEP and apart(mask, where) <= STEP
    assert [step[0] for step in hook.steps] == [1, 2, 3, 4, 5, 6]
    assert {step[1:] for step in hook.steps} == {(6, None, "7")}


def test_node_restore_levels_what_it_restored(comfy):
    batch = clip(4)
    out, _ = run(comfy, "RemasterRestore", images=batch, scenes="none", levels="0.2, 0.7, 1.2")
    luma, chroma = planes(batch)
    made, levels = Restorer(RestoreOptions(device="cpu")).restore(luma), Levels(0.2, 0.7, 1.2)
    wanted = levelled_luma(made.luma, levels)
    assert apart(out, batch_of(wanted, levelled_chroma(repair_chroma(chroma, made.mask), wanted, levels))) <= STEP
    with pytest.raises(Exception, match="levels are auto, which looks at whole shots of a film on disk"):
        run(comfy, "RemasterRestore", images=batch, levels="auto")
    with pytest.raises(Exception, match=r"levels need LOW below HIGH, got 0\.9 and 0\.1"):
        run(comfy, "RemasterRestore", images=batch, levels="0.9, 0.1")


def test_node_restore_makes_pictures_and_mask_twice_as_large(comfy):
    batch = clip(3)
    out, mask = run(comfy, "RemasterRestore", images=batch, scenes="none", scale=2, sharpness=0.5)
    assert out.shape == (3, 96, 128, 3) and mask.shape == (3, 96, 128)
    made = Restorer(RestoreOptions(device="cpu", scale=2, sharpness=0.5)).restore(planes(batch)[0])
    assert apart(planes(out)[0], made.luma) < 1e-5 and apart(mask, made.mask[:, 0]) <= STEP


def test_graphs_that_were_saved_before_sharpness_and_scale_still_run(comfy):
    for node in ("RemasterRestore", "RemasterVideo"):
        whole = ["masks", "reference_frames", "start", "end", "tile", "restore_lines", "unfinished", "automatic"]
        whole += ["bad_frames", "steady", "steady_edges", "cuts", "reference_mask", "saturation_hues", "lut"]
        more = whole if node == "RemasterVideo" else ["cuts"]
        later = ["sharpness", "scale", "repair", "protect", *more]
        inputs = comfy.nodes[node].GET_SCHEMA().inputs[-len(later) :]
        assert [one.id for one in inputs] == later and all(one.optional for one in inputs)
    batch, kind = clip(2), comfy.nodes["RemasterRestore"]
    old = {"strength": 1.0, "grain": 0.0, "lines": 0, "tile": 0, "scenes": "none"}
    with torch.inference_mode():
        clone = kind.PREPARE_CLASS_CLONE({"hidden_inputs": {"UNIQUE_ID": "7"}})
        (out, _) = clone.EXECUTE_NORMALIZED(images=batch, **old).result
    assert torch.equal(out, run(comfy, "RemasterRestore", images=batch, scenes="none")[0])


def test_node_restore_repairs_and_protects_what_masks_say(comfy):
    batch, repair, protect = clip(4), torch.zeros(1, 24, 32), torch.zeros(4, 48, 64)
    repair[:, 10:14, 4:20], protect[2, :, 40:] = 1, 1
    out, mask = run(comfy, "RemasterRestore", images=batch, scenes="none", repair=repair, protect=protect)
    assert mask[:, 22:26, 10:38].min() > 0.99 and mask[2, :, 40:].max() == 0
    assert apart(out[2, :, 40:], batch[2, :, 40:]) < 1e-4 < apart(out[1, :, 40:], batch[1, :, 40:])
    with pytest.raises(ValueError, match="protect has 3 masks and images 4 frames: give one mask"):
        run(comfy, "RemasterRestore", images=batch, protect=protect[:3])


def test_what_is_wrong_is_known_before_a_node_s_turn(comfy, movie):
    plugged = {"path": "nowhere", "video": None}  # as ComfyUI calls it
    for node, inputs, words in (
        ("RemasterRestore", {"lines": 63}, "restore lines must be 0 (automatic) or 64..8192, got 63"),
        ("RemasterRestore", {"lines": 64, "tile": 383}, "tile must be 0 (automatic) or at least 384 pixels, got 383"),
        ("RemasterRestore", {"lines": None, "tile": 384}, None),
        ("RemasterVideo", {"path": "nowhere.mp4"}, "path (no video is plugged in): there is nothing at"),
        ("RemasterVideo", {"path": "film.mp4", "repair": "nowhere"}, "repair: there is nothing at"),
        ("RemasterVideo", {"path": "film.mp4", "restore_lines": 1}, "restore lines must be 0"),
        ("RemasterVideo", {"path": "film.mp4", "tile": 1}, "tile must be 0"),
        ("RemasterVideo", plugged, None),
        ("RemasterPickReferences", {}, "plug in images or video, one of them; got neither"),
        ("RemasterPickReferences", {"images": None, "video": None}, "got both"),
        ("RemasterPickReferences", {"video": None}, None),
        ("RemasterReferenceColorize", {"reference_frames": "3, x"}, "'x' is no frame number"),
        ("RemasterReferenceColorize", {"reference_frames": None}, None),
    ):
        told = comfy.nodes[node].validate_inputs(**inputs)
        assert told is True if words is None else words in told, (node, inputs, told)


def test_models_fit_the_inputs_of_their_kind_only(comfy):
    kinds = {"restorer": "REMASTER_RESTORER", "colorizer": "REMASTER_COLORIZER"}
    shutil.copy(weights.find("restorer", "fast"), comfy.base / "models/remaster/kind.safetensors")
    for kind, name in kinds.items():
        loader = comfy.nodes[f"RemasterLoad{kind.capitalize()}"].define_schema()
        assert [out.get_io_type() for out in loader.outputs] == [name]
        others = [one for one in loader.inputs[0].options if not one.startswith(kind)]
        assert ("kind.safetensors" in others) == (kind == "restorer")
        assert f"{kind}-fast" in loader.inputs[0].options
    wanted = {
        one.get_io_type()
        for node in comfy.nodes.values()
        for one in node.GET_SCHEMA().inputs
        if one.id in ("model", "restorer", "colorizer") and one.get_io_type() != "COMBO"
    }
    assert wanted == {f"{name},REMASTER_MODEL" for name in kinds.values()}  # and what older graphs plug in
    (choice,) = run(comfy, "RemasterLoadRestorer", model="restorer-fast", device="cpu")
    assert (choice.network, choice.model, choice.device) == ("restorer", "fast", "cpu")
    check = comfy.nodes["RemasterLoadRestorer"].validate_inputs
    assert all(check(model=name) is True for name in (None, "restorer-fast", "kind.safetensors", "restorer-hairs"))
    assert "is a colorizer: choose a restorer" in check(model="colorizer-fast")
    assert "no model 'gone.safetensors'" in check(model="gone.safetensors")
    assert "no restorer model 'gone'" in check(model="restorer-gone")


def test_no_references_mean_the_same_in_all_nodes(comfy, movie, tmp_path):
    """Nothing is coloured then, unless colours are to be guessed."""
    with pytest.raises(ValueError, match=r"no references are plugged in: .* switch automatic on"):
        run(comfy, "RemasterReferenceColorize", images=clip(2))
    out, shares = run(comfy, "RemasterReferenceColorize", images=clip(2), automatic=True, color_lines=64)
    (model,) = run(comfy, "RemasterLoadColorizer", model="colorizer-automatic")
    same_as = run(comfy, "RemasterReferenceColorize", images=clip(2), model=model, color_lines=64)
    assert torch.equal(out, same_as[0]) and json.loads(shares) == [[], []]
    path = video(comfy, path=str(movie), codec="ffv1", automatic=True, end=20).result[1]
    guess = ColorizeOptions(device="cpu", lines=64, automatic=True)
    whole = {"restore": RestoreOptions(device="cpu"), "colorize": guess, "write": OutputOptions(codec="ffv1")}
    remaster_film(movie, tmp_path / "out.mkv", end=20, **whole)
    assert same(frames_of(Path(path)), frames_of(tmp_path / "out.mkv"))


def test_a_film_that_was_deleted_is_made_again_once(comfy, movie):
    kind = comfy.nodes["RemasterVideo"]
    mark = kind.PREPARE_CLASS_CLONE({"hidden_inputs": {"UNIQUE_ID": "7"}}).fingerprint_inputs
    made = Path(video(comfy, path=str(movie), end=8).result[1])
    before = mark(path=str(movie))
    assert mark(path=str(movie)) == before
    made.unlink()
    lost = mark(path=str(movie))
    assert lost != before and mark(path=str(movie)) == lost
    video(comfy, path=str(movie), end=8)
    assert mark(path=str(movie)) == lost


def test_what_save_video_cannot_save_is_said(comfy, movie):
    kind = comfy.nodes["RemasterVideo"]
    graph = {"9": {"class_type": "SaveVideo", "inputs": {"video": ["7", 0], "codec": "auto"}}}
    other = {"9": {"class_type": "SaveVideo", "inputs": {"video": ["7", 0], "codec": "h264"}}}
    defaults = {one.id: one.default for one in kind.GET_SCHEMA().inputs if getattr(one, "default", None) is not None}
    for codec, prompt, said in (("prores", graph, True), ("prores", other, False), ("ffv1", graph, False)):
        clone = kind.PREPARE_CLASS_CLONE({"hidden_inputs": {"UNIQUE_ID": "7", "PROMPT": prompt}})
        with torch.inference_mode():
            made = clone.EXECUTE_NORMALIZED(**defaults | {"path": str(movie), "end": 4, "codec": codec})
        assert (f"Save Video cannot save {codec}" in made.ui.as_dict()["text"][0]) == said


def test_cuts_of_a_list_are_those_of_the_library(comfy, given, tmp_path):
    batch = clip(10, cut=4)
    out, _ = run(comfy, "RemasterRestore", images=batch, cuts="7, 2", scenes="none")
    luma, chroma = planes(batch)
    made = Restorer(RestoreOptions(device="cpu")).restore(luma, [2, 7])
    assert apart(out, batch_of(made.luma, repair_chroma(chroma, made.mask))) <= STEP
    _, shares = run(
        comfy, "RemasterReferenceColorize", images=batch, references=given, color_lines=64, cuts="6",
        reference_frames="1, 7", reference_rules='[[reference]]\npicture = "a"\nscope = "shot"\n' * 2,
    )  # fmt: skip
    assert [n for n, row in enumerate(json.loads(shares)) if row[1] > 0] == [6, 7, 8, 9]
    movie = write_film(tmp_path / "two.mkv", (14, 10), sound=False)
    path = video(comfy, path=str(movie), cuts="5", codec="ffv1").result[1]
    options = {"restore": RestoreOptions(device="cpu"), "scenes": [5], "write": OutputOptions(codec="ffv1")}
    remaster_film(movie, tmp_path / "out.mkv", **options)
    assert same(frames_of(Path(path)), frames_of(tmp_path / "out.mkv"))
    with pytest.raises(ValueError, match="cuts: 'x' is no frame number"):
        run(comfy, "RemasterRestore", images=batch, cuts="3, x")


def test_frames_before_and_after_are_the_same_ones(comfy, movie, tmp_path):
    after = comfy.VideoFromFile(video(comfy, path=str(movie), start=10, end=20, codec="ffv1", scale=2).result[1])
    told = {"before": comfy.VideoFromFile(str(movie)), "after": after, "shown": 3}
    made = run_whole(comfy, "RemasterCompare", **told, start=10)
    both, was, became = made.result
    assert both.shape == (3, 96, 256, 3) and was.shape == became.shape == (3, 96, 128, 3)
    shown = made.ui.as_dict()["images"]
    assert len(shown) == 3
    for one in shown:
        (comfy.base / "temp" / one["subfolder"] / one["filename"]).unlink()
    frames = after.get_components().images
    source = comfy.VideoFromFile(str(movie)).get_components().images
    assert (became - frames[[1, 4, 8]]).abs().mean() < 0.01
    small = was[:, ::2, ::2]
    assert (small - source[[11, 14, 18]]).abs().mean() < (small - source[[1, 4, 8]]).abs().mean() / 2
    with pytest.raises(ValueError, match="has no frame"):
        run(comfy, "RemasterCompare", **told, start=35)


def test_references_come_out_of_a_coloured_copy(comfy, tmp_path):
    source = write_film(tmp_path / "gray.mkv", (30, 30), sound=False)
    copy = write_film(tmp_path / "coloured.mkv", (30, 30), looks={0: "coloured", 1: "coloured"}, sound=False)
    told = {"video": comfy.VideoFromFile(str(source)), "copy": comfy.VideoFromFile(str(copy)), "folder": "copy/a"}
    references, frames, rules, path = run(comfy, "RemasterAlignReferences", **told)
    numbers = [int(n) for n in frames.split(", ")]
    assert len(references) == len(numbers) >= 2 and min(numbers) < 30 <= max(numbers) and 'scope = "shot"' in rules
    assert (references.amax(3) - references.amin(3)).mean() > 0.02
    stamps = {file: file.stat().st_mtime_ns for file in Path(path).glob("*.png")}
    again = run(comfy, "RemasterAlignReferences", **told)
    assert torch.equal(again[0], references) and {f: f.stat().st_mtime_ns for f in stamps} == stamps


def test_a_sharpener_is_nothing_to_choose(comfy):
    (model, *_) = comfy.nodes["RemasterLoadModel"].GET_SCHEMA().inputs
    assert not [name for name in model.options if name.startswith("sharpener")]


def test_node_colorize_gives_what_the_library_gives(comfy, given):
    batch = clip(4)
    out, shares = run(
        comfy, "RemasterReferenceColorize",
        images=batch, references=given, color_lines=64, saturation=0.8, scenes="none", reference_frames="0, 3",
    )  # fmt: skip
    colorizer = Colorizer(ColorizeOptions(device="cpu", lines=64, saturation=0.8))
    memory = colorizer.encode_references([Reference("", rgb.permute(2, 0, 1).contiguous()) for rgb in given])
    luma, _ = planes(batch)
    made = colorizer.colorize(luma, memory)
    assert apart(out, batch_of(luma, made.chroma)) <= STEP
    assert apart(torch.tensor(json.loads(shares)), made.shares) <= 1e-6


def test_node_merge_takes_chroma_of_any_size(comfy):
    batch, other = clip(3), clip(3, 20, 30, seed=3)
    (out,) = run(comfy, "RemasterMergeLab", luma=batch, chroma=other)
    assert torch.equal(out, images.merge(batch, other, 1.0))


def test_node_options_do_not_stick_to_the_cached_model(comfy):
    batch = clip(4)
    for strength, sharpness in ((0.5, 1.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5)):
        how = {"strength": strength, "sharpness": sharpness}
        out, _ = run(comfy, "RemasterRestore", images=batch, scenes="none", **how)
        assert apart(out, restored(batch, **how)[0]) <= STEP


def test_node_loads_a_network_once_and_again_when_its_file_changed(comfy, monkeypatch):
    from comfy_nodes import models

    path = comfy.base / "models/remaster/own.safetensors"
    shutil.copy(weights.find("restorer", "fast"), path)
    (model,) = run(comfy, "RemasterLoadModel", model="own.safetensors")
    networks = []
    for _ in range(3):
        networks.append(models.restorer(model, strength=0.5).engine)
        models.colorizer(None, lines=64)
    assert networks[0] is networks[1] is networks[2]
    marks = comfy.nodes["RemasterLoadModel"].fingerprint_inputs
    before = marks(model="own.safetensors", device="auto")
    os.utime(path, ns=(1, 1))
    assert models.restorer(model).engine is not networks[0]
    assert marks(model="own.safetensors", device="auto") != before
    for lines in range(64, 64 + 16 * 12, 16):
        models.colorizer(None, lines=lines)
    assert len(models._kept) <= models._KEPT


def test_node_networks_are_comfyui_s_to_unload(comfy):
    from comfy_nodes import models

    batch = clip(2)
    first = run(comfy, "RemasterRestore", images=batch)[0]
    engine = models.restorer(None).engine
    loaded = [kept.model.model for kept in comfy.management.current_loaded_models if kept.model is not None]
    assert engine.net in loaded
    comfy.management.unload_all_models()
    comfy.management.cleanup_models()
    assert torch.equal(run(comfy, "RemasterRestore", images=batch)[0], first)


def test_node_says_when_a_model_is_the_wrong_one(comfy, given):
    (model,) = run(comfy, "RemasterLoadModel", model="restorer-fast")
    with pytest.raises(ValueError, match="restorer-fast is a restorer, this input takes a colorizer"):
        run(comfy, "RemasterReferenceColorize", images=clip(1), references=given, model=model)
    (model,) = run(comfy, "RemasterLoadModel", model="mine.safetensors", precision="fp16")
    with pytest.raises(ValueError, match="fp16"):
        run(comfy, "RemasterRestore", images=clip(1), model=model)
    other = comfy.base / "models/remaster/other.safetensors"
    save_file({"x": torch.zeros(1)}, other, {"network": "deepremaster-colorizer"})
    (model,) = run(comfy, "RemasterLoadModel", model="other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors is a colorizer, this input takes a restorer"):
        run(comfy, "RemasterRestore", images=clip(1), model=model)
    with pytest.raises(ValueError, match=r"no model 'gone.safetensors' in .*remaster"):
        run(comfy, "RemasterLoadModel", model="gone.safetensors")


def test_node_errors_are_one_line_for_the_page(comfy, given):
    for inputs, words in (
        ({"images": torch.zeros(0, 3, 0, 0)}, "images holds no frames"),
        ({"images": torch.zeros(2, 8, 8, 2)}, "8x8 with 2 channels"),
        ({"images": torch.full((2, 8, 8, 3), torch.nan)}, "frame 0 holds 192 values"),
        ({"images": clip(1), "tile": 100}, "at least 384 pixels, got 100"),
        ({"images": clip(1), "lines": 10}, "64..8192, got 10"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            run(comfy, "RemasterRestore", **inputs)
        assert type(error.value) is ValueError and "\n" not in str(error.value)
    with pytest.raises(ValueError, match="references holds no frames"):
        run(comfy, "RemasterReferenceColorize", images=clip(1), references=given[:0])
    with pytest.raises(ValueError, match="names 1 frames, references holds 2"):
        run(comfy, "RemasterReferenceColorize", images=clip(1), references=given, reference_frames="4")


def test_what_is_transparent_in_a_folder_s_pictures_gives_no_colour(comfy):
    folder = comfy.base / "input" / "clear"
    folder.mkdir()
    batch = clip(3, 64, 96)
    codes = (batch[1].numpy() * [255, 120, 40]).round().astype("uint8")
    alpha = np.zeros((64, 96, 1), "uint8")
    alpha[:, :48] = 255
    Image.fromarray(np.concatenate((codes, alpha), 2)).save(folder / "1.png")
    given, _, frames, _, mask = run(comfy, "RemasterLoadReferences", folder="clear")
    assert mask.mean() == 0.5
    how = {"images": batch, "references": given, "color_lines": 64, "scenes": "none", "reference_frames": frames}
    made, _ = run(comfy, "RemasterReferenceColorize", **how, saturation=1.0, reference_mask=mask)
    (reference,) = load_references(folder, lines=64)
    colorizer = Colorizer(ColorizeOptions(device="cpu", lines=64))
    expected, _ = images.colorize(batch, [reference], colorizer, "none")
    assert apart(made, expected) < 1e-6
    whole, _ = run(comfy, "RemasterReferenceColorize", **how, saturation=1.0)
    assert (made - whole).abs().mean() > 0.002


def test_the_look_of_colours_is_an_input(comfy):
    (comfy.base / "input" / "gray.cube").write_text("LUT_1D_SIZE 2\n0.5 0.5 0.5\n0.5 0.5 0.5\n")
    batch = clip(2, 64, 96)
    how = {"images": batch, "color_lines": 64, "scenes": "none", "automatic": True, "saturation": 1.0}
    plain, _ = run(comfy, "RemasterReferenceColorize", **how)
    spread = [one.amax(-1) - one.amin(-1) for one in (plain, *(
        run(comfy, "RemasterReferenceColorize", **how, **look)[0]
        for look in ({"saturation_hues": "0-360:0.5"}, {"lut": "gray.cube"})
    ))]  # fmt: skip
    assert spread[0].mean() > 0.01 and spread[1].mean() < 0.7 * spread[0].mean() and spread[2].max() < 1e-5
    node = comfy.nodes["RemasterReferenceColorize"]
    assert node.validate_inputs(saturation_hues="330-30:1.2", lut="gray.cube") is True
    assert "saturation_hues must be" in node.validate_inputs(saturation_hues="red")
    assert "there is nothing at" in node.validate_inputs(lut="none.cube")
    before = node.fingerprint_inputs(lut="gray.cube")
    (comfy.base / "input" / "gray.cube").write_text("LUT_1D_SIZE 2\n0 0 0\n1 1 1\n# another\n")
    assert node.fingerprint_inputs(lut="gray.cube") != before


def test_node_loads_references_of_a_folder(comfy, root):
    folder = comfy.base / "input" / "stills"
    folder.mkdir()
    sizes = {"shot_7.png": (30, 20), "shot_120.jpg": (60, 40), "a.png": (24, 24)}
    for name, size in sizes.items():
        if name == "a.png":  # so far all show a frame of the film, and there is nothing more to say of them
            assert run(comfy, "RemasterLoadReferences", folder="stills")[3] == ""
        Image.new("RGB", size, (200, 40, 30)).save(folder / name)
    batch, names, frames, rules, mask = run(comfy, "RemasterLoadReferences", folder="stills")
    assert mask.shape == (3, 40, 60) and not mask.any()
    assert rules.count("[[reference]]") == 3
    assert (
        batch.shape == (3, 40, 60, 3) and apart(batch, torch.tensor([200, 40, 30]).div(255).expand(3, 40, 60, 3)) < 0.02
    )
    assert names.splitlines() == ["shot_7.png", "shot_120.jpg", "a.png"] and frames == "7, 120, -"
    assert torch.equal(batch, run(comfy, "RemasterLoadReferences", folder=f'"{folder}"')[0])
    mark = comfy.nodes["RemasterLoadReferences"].fingerprint_inputs
    before = mark(folder="stills")
    Image.new("RGB", (30, 20)).save(folder / "a.png")
    assert mark(folder="stills") != before
    for wrong in ("nowhere", ""):
        with pytest.raises(ValueError, match="folder"):
            run(comfy, "RemasterLoadReferences", folder=wrong)


def test_node_saves_what_another_loads(comfy):
    batch = (clip(3) * 255).round() / 255
    given = {"images": batch + 0.001, "frames": "43, 30, -", "folder": "saved/stills", "scope": "shot"}
    made = run_whole(comfy, "RemasterSaveReferences", **given)
    out, frames, path = made.result
    assert torch.equal(out, batch) and frames == "43, 30, -" and path == str(comfy.base / "output/saved/stills")
    names = ["0000043.png", "0000030.png", "picture-a.png"]
    assert made.ui.as_dict()["images"][0] == {"filename": names[0], "subfolder": "saved/stills", "type": "output"}
    loaded, listed, numbers, rules, _ = run(comfy, "RemasterLoadReferences", folder="none", path=path)
    assert torch.equal(loaded, batch[[1, 0, 2]]) and numbers == "30, 43, -" and rules.count('scope = "shot"') == 2
    assert listed.splitlines() == [names[1], names[0], names[2]]
    load = comfy.nodes["RemasterLoadReferences"]
    (folder, _) = load.define_schema().inputs
    assert "saved/stills [output]" in folder.options
    assert torch.equal(run(comfy, "RemasterLoadReferences", folder="saved/stills [output]")[0], loaded)
    assert torch.equal(run(comfy, "RemasterSaveReferences", **given)[0], batch)  # the same again
    with pytest.raises(ValueError, match=r"0000043.png is there and shows something else"):
        run(comfy, "RemasterSaveReferences", **given | {"images": batch.flip(0)})
    run(comfy, "RemasterSaveReferences", **given | {"images": batch.flip(0), "overwrite": True})
    for inputs, words in (
        ({"frames": "1, x"}, "frames: 'x' is no"),
        ({"folder": "../x"}, "none in the output folder"),
        ({"frames": "3", "folder": "a"}, True),
        ({"folder": "  "}, "none in the output"),
    ):
        told = comfy.nodes["RemasterSaveReferences"].validate_inputs(**inputs)
        assert told is words or words in told
    assert "there is nothing at" in load.validate_inputs(folder="nowhere", path="")
    assert load.validate_inputs(folder="nowhere", path=path) is load.validate_inputs(folder="nowhere") is True


def test_node_video_takes_the_frames_that_references_show(comfy, tmp_path, given):
    """As the command line does from names; each acts in its shot alone."""
    movie = write_film(tmp_path / "two.mkv", (14, 10), sound=False)
    (comfy.base / "input/shown").mkdir()
    for n, picture in zip((3, 20), given):
        Image.fromarray((picture * 255).round().byte().numpy()).save(comfy.base / f"input/shown/{n:07}.png")
    rules = '[[reference]]\npicture = "a"\nscope = "shot"\n' * 2
    references, *_ = run(comfy, "RemasterLoadReferences", folder="shown")
    told = {"references": references, "reference_frames": "3, 20", "reference_rules": rules, "codec": "ffv1"}
    path = video(comfy, path=str(movie), **told).result[1]
    (comfy.base / "input/shown/references.toml").write_text(
        "".join(f'[[reference]]\npicture = "{n:07}.png"\nscope = "shot"\n' for n in (3, 20))
    )
    same_as = {"restore": RestoreOptions(device="cpu"), "colorize": ColorizeOptions(device="cpu", lines=64)}
    folder = load_references(comfy.base / "input/shown", lines=64)
    remaster_film(movie, tmp_path / "out.mkv", references=folder, write=OutputOptions(codec="ffv1"), **same_as)
    assert same(frames_of(Path(path)), frames_of(tmp_path / "out.mkv"))
    with pytest.raises(ValueError, match=r"shows frame 24, and there are 24, 0 to 23: .* references\.toml"):
        video(comfy, path=str(movie), **told | {"reference_frames": "3, 24", "reference_rules": ""})


def test_the_sample_can_be_coloured_at_once(comfy, monkeypatch):
    film, references, frames, rules = run(comfy, "RemasterLoadSample")
    assert references.shape == (2, 204, 480, 3) and frames == "0, 25" and rules.count('scope = "shot"') == 2
    told = {"references": references, "reference_frames": frames, "reference_rules": rules}
    part = {"video": film, "path": "", "start": 22, "end": 28, "codec": "ffv1", "restore": False}
    made = video(comfy, **part, **told)
    frames_made = frames_of(Path(made.result[1]))
    assert len(frames_made) == 6 and "6 frames coloured" in made.ui.as_dict()["text"][0]
    assert all(np.abs(frame.planes[1].astype(float) - 128).mean() > 1 for frame in frames_made)
    gray = video(comfy, **part, references=references.mean(3, keepdim=True).expand(-1, -1, -1, 3)).ui.as_dict()["text"][
        0
    ]
    assert "6 frames written" in gray and "the references are gray all over, so the film stays gray" in gray


def test_what_a_folder_says_of_its_references_acts_in_the_colorize_node(comfy):
    """A reference of weight 0 is as if it were not there, one out of scope too; rules go from node to node as text."""
    folder = comfy.base / "input" / "weighed"
    folder.mkdir()
    for name, color in (("red_0.png", (220, 30, 30)), ("blue_1.png", (30, 30, 220))):
        Image.new("RGB", (64, 48), color).save(folder / name)
    entry = '[[reference]]\npicture = "red_0.png"\n'
    batch, (blue, *_) = clip(3), run(comfy, "RemasterLoadReferences", folder="weighed")
    same = {"images": batch, "color_lines": 64, "scenes": "none"}
    alone, _ = run(comfy, "RemasterReferenceColorize", **same, references=blue[1:])
    for rule in ("weight = 0", "scope = [5, 9]"):
        (folder / "references.toml").write_text(entry + rule + "\n")
        pictures, _, frames, rules, _ = run(comfy, "RemasterLoadReferences", folder="weighed")
        told = {"references": pictures, "reference_frames": frames, "reference_rules": rules}
        out, shares = run(comfy, "RemasterReferenceColorize", **same, **told)
        assert apart(out, alone) <= STEP, rule
        assert all(row[0] == 0 and row[1] > 0 for row in json.loads(shares)), rule
    out, shares = run(comfy, "RemasterReferenceColorize", **same, references=pictures)
    assert apart(out, alone) > STEP and all(row[0] > 0 for row in json.loads(shares))


def test_node_picks_the_same_frames_of_images_and_video(comfy, tmp_path):
    movie = tmp_path / "gray.mkv"
    film(movie, 40, "gray", codec="ffv1")
    video = comfy.VideoFromFile(str(movie))
    batch = video.get_components().images
    out, frames = run(comfy, "RemasterPickReferences", video=video, count=3)
    assert frames == run(comfy, "RemasterPickReferences", images=batch, count=3)[1]
    assert apart(out, batch[[int(n) for n in frames.split(", ")]]) < 0.05
    memory = comfy.VideoFromFile(io.BytesIO(movie.read_bytes()))
    assert torch.equal(run(comfy, "RemasterPickReferences", video=memory, count=3)[0], out)
    parts = comfy.VideoFromComponents(SimpleNamespace(images=batch, audio=None, frame_rate=Fraction(25)))
    assert run(comfy, "RemasterPickReferences", video=parts, count=3)[1] == frames
    assert not list((comfy.base / "temp").glob("remaster-*"))
    # more coverage takes more frames, count limits them, and both hosts of the film agree
    few, many = (run(comfy, "RemasterPickReferences", video=video, count=0, coverage=c)[1] for c in (0.3, 0.95))
    assert 1 <= len(few.split(", ")) < len(many.split(", ")) <= 8
    assert many == run(comfy, "RemasterPickReferences", images=batch, count=0, coverage=0.95)[1]
    assert len(run(comfy, "RemasterPickReferences", images=batch, count=2, coverage=1.0)[1].split(", ")) == 2
    for inputs in ({}, {"images": batch, "video": video}):
        with pytest.raises(ValueError, match="images or video, one of them"):
            run(comfy, "RemasterPickReferences", **inputs)


# ---- RemasterVideo


def video(comfy: Any, **inputs: Any) -> Any:
    return run_whole(comfy, "RemasterVideo", color_lines=64, **inputs)


def by_the_library(movie: Path, output: Path, references: Tensor) -> Path:
    """Without loss."""
    given = images.references_of(references, 64)
    options = {"restore": RestoreOptions(device="cpu"), "colorize": ColorizeOptions(device="cpu", lines=64)}
    remaster_film(movie, output, references=given, write=OutputOptions(codec="ffv1"), **options)
    return output


def test_node_video_writes_the_film_that_the_library_writes(comfy, movie, given, tmp_path):
    path = video(comfy, path="film.mp4", references=given, codec="ffv1").result[1]
    assert same(frames_of(Path(path)), frames_of(by_the_library(movie, tmp_path / "out.mkv", given)))


def test_node_video_writes_a_film_of_twice_the_size(comfy, movie, tmp_path):
    path = video(comfy, path="film.mp4", codec="ffv1", scale=2, sharpness=0.5).result[1]
    restore = RestoreOptions(device="cpu", scale=2, sharpness=0.5)
    write = OutputOptions(codec="ffv1")
    remaster_film(movie, tmp_path / "out.mkv", restore=restore, colorize=None, write=write)
    assert same(frames_of(Path(path)), frames_of(tmp_path / "out.mkv"))


def test_node_video_repairs_and_protects_what_files_say(comfy, movie, tmp_path):
    """Files in ComfyUI's input folder; what was repaired goes into its output folder."""
    folder = comfy.base / "input/hair"
    folder.mkdir()
    mask = np.zeros((48, 64), np.uint8)
    mask[10:14, 20:50] = 255
    Image.fromarray(mask).save(folder / "0005.png")
    inputs = {"path": "film.mp4", "codec": "ffv1", "repair": "hair", "protect": str(folder / "0005.png")}
    path = video(comfy, **inputs | {"protect": ""}, masks="checks/found").result[1]
    more = {"restore": RestoreOptions(device="cpu"), "repair": folder, "write": OutputOptions(codec="ffv1")}
    remaster_film(movie, tmp_path / "out.mkv", masks=tmp_path / "masks.mkv", **more)
    assert same(frames_of(Path(path)), frames_of(tmp_path / "out.mkv"))
    found = comfy.base / "output/checks/found_00001_.mkv"
    assert same(frames_of(found), frames_of(tmp_path / "masks.mkv"))
    kind = comfy.nodes["RemasterVideo"]
    before = kind.fingerprint_inputs(**inputs)
    Image.fromarray(255 - mask).save(folder / "0005.png")
    assert kind.fingerprint_inputs(**inputs) != before
    for wrong, words in (
        ({"repair": "nowhere"}, "repair: there is nothing at"),
        ({"masks": "../../x"}, "masks '../../x' leads out of the output folder"),
        ({"restore": False}, "masks are of what is repaired: switch restore on"),
    ):
        with pytest.raises(ValueError, match=words):
            video(comfy, **inputs | wrong)


@pytest.mark.parametrize("levels", ["auto", " .2, .7 "])
def test_node_video_levels_whole_shots_as_the_library_does(comfy, tmp_path, levels):
    """Also of a film that is a file for this run only."""
    movie = write_film(tmp_path / "faded.mkv", (14, 10), looks={0: "faded"}, sound=False)
    numbers = None if levels == "auto" else (0.2, 0.7)
    options = {"restore": RestoreOptions(device="cpu", levels=numbers), "auto_levels": levels == "auto"}
    remaster_film(movie, tmp_path / "out.mkv", write=OutputOptions(codec="ffv1"), **options)
    for given in ({"path": str(movie)}, {"video": comfy.VideoFromFile(io.BytesIO(movie.read_bytes())), "path": ""}):
        path = video(comfy, **given, levels=levels, codec="ffv1").result[1]
        assert same(frames_of(Path(path)), frames_of(tmp_path / "out.mkv"))
    with pytest.raises(Exception, match="scale 2 enlarges what was restored: switch restore on"):
        video(comfy, path=str(movie), scale=2, restore=False)
    with pytest.raises(Exception, match="levels are of restored luma: switch restore on"):
        video(comfy, path=str(movie), levels=levels, restore=False)


def test_node_video_shows_the_film_and_how_far_it_is(comfy, given, hook, movie):
    made = video(comfy, path="film.mp4", references=given, filename_prefix="a/b")
    result, path = made.result
    assert path == str(comfy.base / "output/a/b_00001_.mp4") and result.get_stream_source() == path
    components = result.get_components()
    assert len(components.images) == 40 and components.audio is not None
    assert made.ui.as_dict() == {
        "images": [{"filename": "b_00001_.mp4", "subfolder": "a", "type": "output"}],
        "animated": (True,),
    }
    assert max(step[0] for step in hook.steps) == 40 and {step[3] for step in hook.steps} == {"7"}
    previews = [step[2] for step in hook.steps if step[2]]
    assert previews and previews[0][0] == "JPEG" and previews[0][1].size == (64, 48)


@pytest.mark.parametrize("codec", settings.CODECS)
def test_node_video_takes_any_video_and_codec(comfy, movie, given, tmp_path, codec):
    loaded = comfy.VideoFromFile(str(movie))
    memory = comfy.VideoFromFile(io.BytesIO(movie.read_bytes()))
    films = [Path(video(comfy, video=v, path="elsewhere.mp4", references=given, codec=codec).result[1])
             for v in (loaded, memory)]  # fmt: skip
    assert {path.suffix for path in films} == {settings.SUFFIXES[codec]}
    counts = [len(frames_of(path)) for path in films]
    assert counts == [40, 40]
    parts = video(comfy, video=comfy.VideoFromComponents(components(5)), references=given, codec=codec)
    assert len(frames_of(Path(parts.result[1]))) == 5
    if codec in ("ffv1", "prores"):
        assert str(parts.result[1]) in parts.ui.as_dict()["text"][0]
    assert not list((comfy.base / "temp").glob("remaster-*"))


def test_node_video_restores_only_without_references(comfy, movie):
    path = video(comfy, path=str(movie), crf=30.0, codec="ffv1").result[1]
    frames = frames_of(Path(path))
    assert len(frames) == 40 and not same(frames, frames_of(movie))
    with pytest.raises(ValueError, match="nothing to do"):
        video(comfy, path=str(movie), restore=False)


def test_node_video_takes_the_part_that_a_later_comfyui_trimmed(comfy, movie, tmp_path):
    class Trimmed(comfy.VideoFromFile):
        def get_active_trim_window(self) -> tuple[float, float]:
            return 10 / 25, 12 / 25

    path = video(comfy, video=Trimmed(str(movie)), codec="ffv1").result[1]
    whole = video(comfy, path=str(movie), codec="ffv1").result[1]
    assert same(frames_of(Path(path)), frames_of(Path(whole))[10:22])


def test_node_video_does_a_part(comfy, movie, tmp_path):
    whole = frames_of(Path(video(comfy, path=str(movie), codec="ffv1", restore_lines=64, tile=384).result[1]))
    part = video(comfy, path=str(movie), codec="ffv1", restore_lines=64, tile=384, start=7, end=19)
    assert same(frames_of(Path(part.result[1])), whole[7:19])
    restore, write = RestoreOptions(device="cpu", lines=64, tile=384), OutputOptions(codec="ffv1")
    remaster_film(movie, tmp_path / "out.mkv", restore=restore, colorize=None, write=write)
    assert same(frames_of(tmp_path / "out.mkv"), whole)

    class Trimmed(comfy.VideoFromFile):
        def get_active_trim_window(self) -> tuple[float, float]:
            return 5 / 25, 12 / 25

    trimmed = {"video": Trimmed(str(movie)), "path": "", "codec": "ffv1", "restore_lines": 64, "tile": 384}
    assert same(frames_of(Path(video(comfy, **trimmed, start=2, end=30).result[1])), whole[7:17])
    for wrong, words in (({"start": 3, "end": 3}, "end is 3 and start 3"), ({"start": 12}, "has 12 frames: 0 to 11")):
        with pytest.raises(ValueError, match=words):
            video(comfy, **trimmed, **wrong)


def test_node_video_says_what_is_kept_and_removes_what_nobody_finishes(comfy, hook, tmp_path, monkeypatch, caplog):
    for module in (film_jobs, film_job):
        monkeypatch.setattr(module, "chunk_length", lambda out, frames=0: 32)
    film(tmp_path / "film.mkv", 100, "gray", (64, 48), "ffv1")
    said: list[str] = []
    monkeypatch.setattr(host, "say", lambda text, node: said.append(text))
    monkeypatch.setattr(host, "_SPEAK", 0.0), monkeypatch.setattr(host, "_LOG", 0.0)
    inputs = {"path": str(tmp_path / "film.mkv"), "codec": "ffv1", "filename_prefix": "tried/film"}
    folder = comfy.base / "output/tried"

    def stopped(at: int, **more: Any) -> str:
        hook.on = lambda value: value == at and comfy.management.interrupt_current_processing(True)
        with pytest.raises(comfy.management.InterruptProcessingException):
            video(comfy, **inputs, **more)
        hook.on = lambda value: None
        return said[-1]

    assert stopped(20) == "Stopped after 20 of 100 frames. None is kept: the next run begins anew."
    assert stopped(70) == "Stopped after 70 of 100 frames. 64 of them are kept: run again to go on."
    assert any(re.fullmatch(r"frame 5\d of 100, [\d.]+ frames/s, \d:\d\d left", text) for text in said)
    assert any(text.startswith("looked at frame") for text in said)
    assert stopped(40, strength=0.5) == "Stopped after 40 of 100 frames. 32 of them are kept: run again to go on."
    assert sorted(path.name for path in folder.iterdir()) == [f"film_0000{n}_.mkv.job" for n in (1, 2)]
    with caplog.at_level("INFO"):
        made = video(comfy, **inputs, strength=0.5, unfinished="remove")
    assert "Remaster Video: frame 6" in caplog.text
    assert made.ui.as_dict()["text"][0].endswith("; 1 unfinished job removed")
    assert [path.name for path in folder.iterdir()] == ["film_00002_.mkv"]


def test_node_video_names_what_the_container_cannot_hold(comfy, tmp_path):
    film(tmp_path / "video.mkv", 12, rate=Fraction(25))
    source = tmp_path / "film.mkv"
    with av.open(tmp_path / "video.mkv") as video_in, av.open(source, "w") as out:
        track = out.add_stream_from_template(video_in.streams.video[0])
        sound = out.add_stream("pcm_u8", rate=8000, layout="mono")
        for packet in video_in.demux(video=0):
            if packet.size:
                packet.stream = track
                out.mux(packet)
        block = av.AudioFrame.from_ndarray(np.zeros((1, 3840), np.float32), format="fltp", layout="mono")
        block.sample_rate, block.pts = 8000, 0
        out.mux(sound.encode(block))
        out.mux(sound.encode(None))
    path = tmp_path / "out.mp4"
    workers = {"restore": Restorer(RestoreOptions(device="cpu")), "colorize": Colorizer(ColorizeOptions(device="cpu"))}
    text = jobs.remaster_video(FilmRequest(source=source, output=path, scenes="none", **workers), None)
    done, left_out, uncolored = text.split("; ")
    assert done == f"12 frames restored: {path}"
    assert "audio" in left_out and "mp4 cannot hold it" in left_out
    assert "not coloured" in uncolored


def test_node_video_errors_say_what_to_do(comfy, given, movie):
    (comfy.base / "input/empty.mp4").write_bytes(b"")
    for inputs, words in (
        ({"path": ""}, "no video is plugged in.*empty"),
        ({"path": "none.mp4"}, "nothing at .*none.mp4"),
        ({"path": "empty.mp4"}, "empty.mp4"),
        ({"video": comfy.VideoFromComponents(components(0, None))}, "video holds no frames"),
        ({"path": "film.mp4", "references": given.new_zeros(1, 4, 4, 2)}, "references has frames of 4x4"),
        ({"path": "film.mp4", "filename_prefix": "../../x"}, "leads out of the output folder"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            video(comfy, **inputs)
        assert type(error.value) is ValueError and "\n" not in str(error.value)


def test_node_video_interrupted_leaves_nothing_and_then_runs_as_if_it_had_not_been(comfy, movie, given, hook, tmp_path):
    before = sorted((comfy.base / "output").rglob("*"))
    hook.on = lambda value: value == 9 and comfy.management.interrupt_current_processing(True)
    inputs = {"path": str(movie), "references": given, "filename_prefix": "stopped", "codec": "ffv1"}
    with pytest.raises(comfy.management.InterruptProcessingException):
        video(comfy, **inputs)
    assert max(step[0] for step in hook.steps) < 40
    assert sorted((comfy.base / "output").rglob("*")) == before
    hook.on = lambda value: None
    path = video(comfy, **inputs).result[1]
    assert path.endswith("stopped_00001_.mkv")
    assert same(frames_of(Path(path)), frames_of(by_the_library(movie, tmp_path / "out.mkv", given)))


def test_node_video_and_command_line_finish_what_the_other_began(comfy, hook, tmp_path, monkeypatch, capsys):
    """A film longer than a chunk; the references are larger than they are used, and lie in a folder for the command
    line."""
    for module in (film_jobs, film_job):
        monkeypatch.setattr(module, "chunk_length", lambda out, frames=0: 32)
    folder = tmp_path / "references"
    folder.mkdir()
    codes = (torch.cat((clip(1, 200, 290, seed=5), clip(1, 200, 290, seed=6).flip(3))) * 255).round()
    for number, picture in enumerate(codes):
        Image.fromarray(picture.numpy().astype(np.uint8)).save(folder / f"{number}.png")
    (given, *_) = run(comfy, "RemasterLoadReferences", folder=str(folder))
    assert torch.equal(given, codes / 255)
    film(tmp_path / "film.mkv", 100, "gray", (64, 48), "ffv1")
    inputs = {"path": str(tmp_path / "film.mkv"), "references": given, "codec": "ffv1", "filename_prefix": "long/film"}
    hook.on = lambda value: value == 70 and comfy.management.interrupt_current_processing(True)
    with pytest.raises(comfy.management.InterruptProcessingException):
        video(comfy, **inputs)
    hook.on = lambda value: None
    output = comfy.base / "output/long/film_00001_.mkv"
    job_folder = output.with_name("film_00001_.mkv.job")
    chunks = sorted(path.name for path in job_folder.glob("chunks/*.json"))
    assert chunks == ["000000-000032.json", "000032-000064.json"]
    command = ["run", str(tmp_path / "film.mkv"), "-o", str(output), "--references", str(folder), "--codec", "ffv1"]
    command += ["--device", "cpu", "--color-lines", "64"]
    capsys.readouterr()
    assert cli.main(command) == 0
    assert "4 chunks, 2 of them finished before" in capsys.readouterr().out
    by_cli = frames_of(output)
    assert same(by_cli, frames_of(by_the_library(tmp_path / "film.mkv", tmp_path / "out.mkv", given)))

    (comfy.base / "output/long/film_00001_.mkv").unlink()
    monkeypatch.setattr(ChunkMaker, "make", stopping(ChunkMaker.make, 3))
    assert cli.main(command) == 130
    monkeypatch.undo()
    assert len(list(job_folder.glob("chunks/*.json"))) == 2
    path = video(comfy, **inputs).result[1]
    assert path == str(output) and not job_folder.exists()
    assert same(frames_of(output), by_cli)


def stopping(make: Any, count: int) -> Any:
    """The same until it is called that often: then Ctrl-C."""
    calls = []

    def made(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == count:
            raise KeyboardInterrupt
        return make(*given, **named)

    return made


def test_node_restore_interrupted_ends_within_a_block(comfy, hook):
    batch = clip(60, 32, 40)
    whole = run(comfy, "RemasterRestore", images=batch, scenes="none")[0]
    hook.steps.clear()
    hook.on = lambda value: value == 3 and comfy.management.interrupt_current_processing(True)
    with pytest.raises(comfy.management.InterruptProcessingException):
        run(comfy, "RemasterRestore", images=batch, scenes="none")
    assert hook.steps[-1][0] <= 3
    hook.on = lambda value: None
    assert torch.equal(run(comfy, "RemasterRestore", images=batch, scenes="none")[0], whole)


def test_in_the_python_that_runs_comfyui(root):
    """All of the above, when that is another Python."""
    python = _other_python()
    if not python or not os.environ.get("VS_REMASTER_COMFYUI"):
        pytest.skip("needs VS_REMASTER_COMFYUI and, in VS_REMASTER_COMFYUI_PYTHON, another Python than this")
    environment = {k: v for k, v in os.environ.items() if k != "VS_REMASTER_COMFYUI_PYTHON"}
    this = f"{Path(__file__).relative_to(root).as_posix()}::test_in_the_python_that_runs_comfyui"
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--deselect", this, __file__]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-6000:]
    assert re.search(r"\d+ passed", done.stdout) and "skipped: nothing" in done.stdout, done.stdout[-2000:]
