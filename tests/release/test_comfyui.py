"""The nodes and example workflows in a real ComfyUI server, held against the library on the same tensors.

Set VS_REMASTER_COMFYUI to a ComfyUI checkout, and VS_REMASTER_COMFYUI_PYTHON to the Python that runs it if that is not
this one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.comfy import NODES
from vs_remaster import ColorizeOptions, Colorizer, Reference, RestoreOptions, Restorer, load_references
from vs_remaster.color.matrices import fit_gamut, rgb_to_ycbcr, ycbcr_to_rgb
from vs_remaster.film.remastering import remaster_film
from vs_remaster.output.options import OutputOptions
from vs_remaster.remaster.merging import merge_lab, repair_chroma
from vs_remaster.remaster.scenes import detect_cuts, thumbnail
from vs_remaster.video.reader import VideoReader

STEP = 1 / 65535
WORKFLOWS = sorted((Path(__file__).parents[2] / "example_workflows").glob("*.json"))


@dataclass
class Film:
    """What lies in the server's input folder under the names that the example workflows use.

    Attributes:
        path: 30 frames of the sample, two shots, 8-bit.
        cut: the frame that starts the second shot.
        references: a folder with one colour picture of each shot, of another size than the film.
    """

    path: Path
    cut: int
    references: Path


@pytest.fixture(scope="module")
def film(comfyui: Any, root: Path) -> Film:
    """The films and references that the workflows ask for."""
    inputs = comfyui.base / "input"
    with av.open(root / "tests/data/sample.mkv") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][25:55]
    path = comfyui.put_film("film.mp4", frames)
    (inputs / "references").mkdir()
    for source, target in (("frame-0025.png", "frame-0000.png"), ("frame-0050.png", "frame-0025.png")):
        picture = cv2.imread(str(root / "tests/data/references" / source))
        cv2.imwrite(str(inputs / "references" / target), cv2.resize(picture, None, fx=0.5, fy=0.5))
    # The other film is small and coloured: a ramp of colours that moves over the gray picture.
    small = [cv2.resize(frame, (320, 136), interpolation=cv2.INTER_AREA).astype(np.float32) for frame in frames]
    ramp = np.linspace(0.4, 1, 320, dtype=np.float32)[:, None]
    tint = [np.roll(np.concatenate([ramp, np.ones_like(ramp), ramp[::-1]], 1), 8 * i, 0) for i in range(len(frames))]
    comfyui.put_film("coloured.mp4", [(frame * t).astype(np.uint8) for frame, t in zip(small, tint)])
    luma = torch.stack([torch.from_numpy(frame[..., 0] / 255).float()[None] for frame in frames])
    (cut,) = detect_cuts(torch.stack([thumbnail(frame) for frame in luma]))
    return Film(path, cut, inputs / "references")


def workflow(comfyui: Any, title: str) -> Any:
    """An example workflow in the form the server runs."""
    (path,) = [path for path in WORKFLOWS if path.stem == title]
    return comfyui.prompt(json.loads(path.read_text(encoding="utf-8")))


def planes(images: np.ndarray) -> tuple[Tensor, Tensor]:
    """Luma `[T, 1, H, W]` and chroma `[T, 2, H, W]` of pictures `[T, H, W, 3]`."""
    ycc = rgb_to_ycbcr(torch.from_numpy(images).permute(0, 3, 1, 2))
    return ycc[:, :1], ycc[:, 1:]


def pictures(luma: Tensor, chroma: Tensor) -> np.ndarray:
    """The inverse of `planes`: colours that R'G'B' cannot hold are made weaker, luma stays."""
    rgb = ycbcr_to_rgb(torch.cat([luma, fit_gamut(luma, chroma)], 1))
    return rgb.clamp(0, 1).permute(0, 2, 3, 1).numpy()


def cuts(luma: Tensor) -> list[int]:
    """Frames that start a scene."""
    return detect_cuts(torch.stack([thumbnail(frame) for frame in luma]))


def restored(images: np.ndarray, options: RestoreOptions = RestoreOptions()) -> tuple[np.ndarray, np.ndarray]:
    """Pictures `[T, H, W, 3]` and mask `[T, H, W]` as the library restores them."""
    luma, chroma = planes(images)
    out = Restorer(options).restore(luma, cuts(luma))
    return pictures(out.luma.clamp(0, 1), repair_chroma(chroma, options.strength * out.mask)), out.mask[:, 0].numpy()


def colored(images: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures `[T, H, W, 3]` and shares `[T, R]` as the library colours them."""
    colorizer = Colorizer(ColorizeOptions())
    rgb = torch.from_numpy(references).permute(0, 3, 1, 2)
    memory = colorizer.encode_references([Reference(str(i), picture) for i, picture in enumerate(rgb)])
    luma, _ = planes(images)
    out = colorizer.colorize(luma, memory, cuts(luma))
    return pictures(luma, out.chroma), out.shares.numpy()


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Of one shape and equal within one code value of 16 bits."""
    return a.shape == b.shape and float(np.abs(a - b).max()) <= STEP


def decoded(path: Path) -> list[list[np.ndarray]]:
    """Code values of every frame of a film, plane by plane."""
    with VideoReader(path) as reader:
        return [[np.array(plane) for plane in frame.planes] for frame in reader]


def same_film(a: Path, b: Path) -> bool:
    """Every frame of two films is bit-equal."""
    ours, theirs = decoded(a), decoded(b)
    return len(ours) == len(theirs) and all(
        np.array_equal(x, y) for one, other in zip(ours, theirs) for x, y in zip(one, other, strict=True)
    )


def test_every_node_is_there_and_explains_every_input(comfyui):
    kinds = comfyui.get("/object_info")
    assert {name for name in kinds if name.startswith("Remaster") and "Test" not in name} == NODES
    for name in NODES:
        kind = kinds[name]
        assert kind["category"] == "remaster" and kind["description"], name
        inputs = {**kind["input"].get("required", {}), **kind["input"].get("optional", {})}
        assert [key for key, value in inputs.items() if not value[1].get("tooltip")] == [], name
        assert all(kind["output_tooltips"]), name
        help_page = comfyui.get(f"/extensions/vs-remaster/docs/{name}.md").decode()
        assert [key for key in inputs if key not in help_page] == [], f"{name}: inputs the help page leaves out"


def test_the_workflows_are_offered_with_pictures(comfyui):
    titles = comfyui.get("/workflow_templates")["vs-remaster"]
    assert sorted(titles) == [path.stem for path in WORKFLOWS]
    for path in WORKFLOWS:
        address = f"/api/workflow_templates/vs-remaster/{path.stem.replace(' ', '%20')}"
        assert comfyui.get(address + ".json")["nodes"]
        picture = comfyui.get(address + ".jpg")
        assert len(picture) < 60_000
        assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape[0] >= 256


def test_workflow_restore_equals_the_library(comfyui, film):
    prompt = workflow(comfyui, "Restore a clip")
    node = prompt.find("RemasterRestore")
    prompt.keep(prompt[node]["inputs"]["images"], "source.npy")
    prompt.keep([node, 0], "restored.npy")
    prompt.keep([node, 1], "mask.npy")
    outputs = comfyui.run(prompt)
    source = comfyui.tensor("source.npy")
    assert cuts(planes(source)[0]) == [film.cut]
    pictures, mask = restored(source)
    assert close(comfyui.tensor("restored.npy"), pictures)
    assert close(comfyui.tensor("mask.npy"), mask)
    assert np.abs(pictures - source).max() > 0.05
    saved = outputs[prompt.find("SaveVideo")]["images"][0]
    assert len(decoded(comfyui.base / "output" / saved["subfolder"] / saved["filename"])) == len(source)


def test_workflow_colour_equals_the_library(comfyui, film):
    prompt = workflow(comfyui, "Colour a clip from references")
    node, loader = prompt.find("RemasterReferenceColorize"), prompt.find("RemasterLoadReferences")
    prompt.keep(prompt[node]["inputs"]["images"], "source.npy")
    prompt.keep([node, 0], "coloured.npy")
    prompt.keep([node, 1], "shares.json")
    for slot, file in enumerate(("references.npy", "names.txt", "frames.txt")):
        prompt.keep([loader, slot], file)
    comfyui.run(prompt)
    expected = load_references(film.references)
    references = comfyui.tensor("references.npy")
    assert np.array_equal(references, torch.stack([r.rgb for r in expected]).permute(0, 2, 3, 1).numpy())
    output = comfyui.base / "output"
    assert (output / "names.txt").read_text().split("\n") == ["frame-0000.png", "frame-0025.png"]
    assert [int(n) for n in (output / "frames.txt").read_text().split(",")] == [0, 25]
    source = comfyui.tensor("source.npy")
    pictures, shares = colored(source, references)
    made = comfyui.tensor("coloured.npy")
    assert close(made, pictures)
    assert close(planes(made)[0].numpy(), planes(source)[0].numpy())
    assert np.ptp(made, axis=-1).max() > 0.1
    told = np.array(json.loads((output / "shares.json").read_text()))
    assert told.shape == (len(source), 2) and np.allclose(told, shares, atol=1e-5)
    # each shot takes most of its colour from the picture of it
    assert told[: film.cut, 0].mean() > told[: film.cut, 1].mean()
    assert told[film.cut :, 0].mean() < told[film.cut :, 1].mean()


def test_workflow_pick_saves_frames_that_are_coloured_by_hand(comfyui, film):
    """As it comes it only picks: no film that is gray is called coloured."""
    prompt = workflow(comfyui, "Pick frames and colour the film")
    assert {node["class_type"] for node in prompt.values()} == {
        "LoadVideo", "RemasterPickReferences", "RemasterSaveReferences",
    }  # fmt: skip
    prompt.keep([prompt.find("RemasterPickReferences"), 0], "picked.npy")
    outputs = comfyui.run(prompt)
    saved = [image["filename"] for image in outputs[prompt.find("RemasterSaveReferences")]["images"]]
    frames = [int(Path(name).stem) for name in saved]
    assert len(frames) == 2 and frames[0] < film.cut <= frames[1]
    assert sorted(path.name for path in (comfyui.base / "output/references/film").glob("*.png")) == saved
    with av.open(film.path) as container:
        source = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    picked = np.stack([source[n] for n in frames]).astype(np.float32) / 255
    # the node reads code values to floats, the decoder's own R'G'B' is rounded to 8 bits
    assert np.abs(comfyui.tensor("picked.npy") - picked).max() < 1 / 255


def test_workflow_sample_with_hand_made_pictures_runs_at_once(comfyui, root, tmp_path):
    prompt = workflow(comfyui, "Try it with hand-made pictures")
    inputs = prompt.inputs("RemasterVideo")
    assert inputs["crf"] < 0, "automatic, as the library's default"
    prompt.keep([prompt.find("RemasterVideo"), 1], "path.txt")
    comfyui.run(prompt)
    sample, expected = root / "comfy_nodes/sample", tmp_path / "expected.mp4"
    given = load_references(sample / "references", lines=ColorizeOptions().lines)
    made = {"restore": RestoreOptions(), "colorize": ColorizeOptions(), "references": given}
    remaster_film(sample / "film.mp4", expected, write=OutputOptions(codec=inputs["codec"]), **made)
    assert same_film(Path((comfyui.base / "output/path.txt").read_text()), expected)


def test_workflow_sample_with_an_image_model_runs_at_once(comfyui, root):
    """The model is bypassed as it comes; with pictures in colour in its place the film has colours."""
    prompt = workflow(comfyui, "Try it with an image-edit model")
    video, save = prompt.find("RemasterVideo"), prompt.find("RemasterSaveReferences")
    picker = prompt.find("RemasterPickReferences")
    assert prompt[save]["inputs"]["images"] == [picker, 0] and prompt[save]["inputs"]["frames"] == [picker, 1]
    prompt[video]["inputs"].update(codec="ffv1", restore=False)
    prompt.keep([video, 1], "path.txt")
    told = comfyui.run(prompt)[video]["text"][0]
    assert "30 frames written" in told and "the references are gray all over, so the film stays gray" in told
    pictures = load_references(root / "comfy_nodes/sample/references")
    batch = np.stack([r.rgb.permute(1, 2, 0).numpy() for r in pictures])
    model = prompt.add("RemasterTestLoad", file=comfyui.put("model.npy", batch))
    prompt[save]["inputs"].update(images=[model, 0], overwrite=True)
    assert "30 frames coloured" in comfyui.run(prompt)[video]["text"][0]
    colours = [
        np.abs(planes[1].astype(float) - 128).mean()
        for planes in decoded(Path((comfyui.base / "output/path.txt").read_text()))
    ]
    assert min(colours) > 0.5


def test_workflow_merge_equals_the_library(comfyui, film):
    prompt = workflow(comfyui, "Merge colour with sharp luma")
    node = prompt.find("RemasterMergeLab")
    for name in ("luma", "chroma"):
        prompt.keep(prompt[node]["inputs"][name], f"{name}.npy")
    prompt.keep([node, 0], "merged.npy")
    comfyui.run(prompt)
    luma, own = planes(comfyui.tensor("luma.npy"))
    other, chroma = planes(comfyui.tensor("chroma.npy"))
    assert luma.shape[-2:] == (272, 640) and chroma.shape[-2:] == (136, 320)
    made = comfyui.tensor("merged.npy")
    assert close(made, pictures(luma, merge_lab(luma, chroma, own_chroma=own, other_luma=other)))
    assert close(planes(made)[0].numpy(), luma.numpy())
    assert np.ptp(made, axis=-1).max() > 0.1


def test_frames_coloured_by_hand_keep_their_numbers(comfyui, film, tmp_path):
    """Pick and save in one graph, paint over the files, load and film in another: as from the folder alone."""
    prompt = comfyui.empty()
    picker = prompt.add("RemasterPickReferences", video=[prompt.add("LoadVideo", file=film.path.name), 0], count=2)
    prompt.add(
        "RemasterSaveReferences", images=[picker, 0], frames=[picker, 1], folder="hand", scope="shot", overwrite=False
    )
    prompt.keep([picker, 1], "picked.txt")
    comfyui.run(prompt)
    frames = [int(n) for n in (comfyui.base / "output/picked.txt").read_text().split(",")]
    files = [comfyui.base / "output/hand" / f"{n:07}.png" for n in frames]
    assert frames[0] < film.cut <= frames[1]
    for file, tint in zip(files, ((1, 0.8, 0.6), (0.6, 0.8, 1))):
        cv2.imwrite(str(file), (cv2.imread(str(file)) * np.array(tint)).astype(np.uint8))
    listed = comfyui.get("/object_info/RemasterLoadReferences")["RemasterLoadReferences"]["input"]["required"]
    assert "hand [output]" in listed["folder"][1]["options"]
    prompt = comfyui.empty()
    loader = prompt.add("RemasterLoadReferences", folder="hand [output]")
    links = {"references": [loader, 0], "reference_frames": [loader, 2], "reference_rules": [loader, 3]}
    video = prompt.add("RemasterVideo", **video_inputs(comfyui, path=str(film.path), colorize=True, **links))
    prompt.keep([video, 1], "path.txt")
    comfyui.run(prompt)
    made = Path((comfyui.base / "output/path.txt").read_text())
    given = load_references(comfyui.base / "output/hand", lines=ColorizeOptions().lines)
    assert [(one.frame, one.scope) for one in given] == [(n, "shot") for n in frames]
    expected, write = tmp_path / "expected.mkv", OutputOptions(codec="ffv1")
    remaster_film(
        film.path, expected, restore=RestoreOptions(), colorize=ColorizeOptions(), references=given, write=write
    )
    assert same_film(made, expected)
    colours = [np.abs(planes[1].astype(float) - 128).mean() for planes in decoded(made)]
    assert min(colours[: film.cut]) > 1 and min(colours[film.cut :]) > 1  # also the second shot has some


def test_the_whole_path_from_picked_frames_to_a_film_that_the_command_line_finishes(comfyui, root, tmp_path):
    """Pick, recolour by hand, load, film; cancelled after its first chunk and finished with `vs-remaster`: the frames
    are those of a run of the command line alone."""
    y, x = np.mgrid[:64, :96].astype(np.float32)
    frames = [
        np.repeat((127 + 90 * np.sin((x + n) / (7 + 5 * (n >= 560))) * np.cos(y / 9))[..., None], 3, 2).astype(np.uint8)
        for n in range(1150)
    ]
    path = comfyui.put_film("path.mp4", frames)
    prompt = comfyui.empty()
    picker = prompt.add("RemasterPickReferences", video=[prompt.add("LoadVideo", file=path.name), 0], count=2)
    given = {"images": [picker, 0], "frames": [picker, 1], "folder": "path", "scope": "shot", "overwrite": False}
    prompt.add("RemasterSaveReferences", **given)
    comfyui.run(prompt)
    folder = comfyui.base / "output/path"
    pictures = sorted(folder.glob("*.png"))
    assert len(pictures) == 2 and int(pictures[0].stem) < 560 <= int(pictures[1].stem)
    for file, tint in zip(pictures, ((1, 0.8, 0.6), (0.6, 0.8, 1))):
        cv2.imwrite(str(file), (cv2.imread(str(file)) * np.array(tint)).astype(np.uint8))
    prompt = comfyui.empty()
    loader = prompt.add("RemasterLoadReferences", folder="path [output]")
    links = {"references": [loader, 0], "reference_frames": [loader, 2], "reference_rules": [loader, 3]}
    small = {"colorize": True, "color_lines": 64, "restore": False, "filename_prefix": "path/film"}
    video = prompt.add("RemasterVideo", **video_inputs(comfyui, path=str(path), **small, **links))
    comfyui.interrupt(comfyui.start(prompt), video, 720)
    output = folder / "film_00001_.mkv"
    kept = list((folder / f"{output.name}.job/chunks").glob("*.json"))
    assert kept and not output.exists()

    def command_line(target: Path) -> str:
        command = [
            sys.executable,
            "-m",
            "vs_remaster",
            "run",
            path,
            "-o",
            target,
            "--references",
            folder,
            "--no-restore",
        ]
        command += ["--codec", "ffv1", "--color-lines", "64", "--device", "cpu"]
        return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=1200).stdout

    assert f"{len(kept)} of them finished before" in command_line(output)
    command_line(tmp_path / "alone.mkv")
    assert [hashed(one) for one in (output, tmp_path / "alone.mkv")] == [hashed(output)] * 2
    colours = [np.abs(planes[1].astype(float) - 128).mean() for planes in decoded(output)]
    assert len(colours) == 1150 and min(colours) > 1


def hashed(path: Path) -> str:
    """MD5 of all samples of all frames, one after the other."""
    md5 = hashlib.md5()
    for planes in decoded(path):
        for plane in planes:
            md5.update(plane.tobytes())
    return md5.hexdigest()


def test_workflow_nodes_that_came_later_run_in_the_server(comfyui, film, tmp_path):
    """Steady Film, cuts, Compare and References from a Coloured Copy, in one graph."""
    prompt = comfyui.empty()
    source = [prompt.add("LoadVideo", file=film.path.name), 0]
    frames = [prompt.add("GetVideoComponents", video=source), 0]
    steady = prompt.add(
        "RemasterSteady", images=frames, strength=1.0, scenes="none", cuts=str(film.cut), bad_frames="7"
    )
    prompt.keep(frames, "before.npy")
    prompt.keep([steady, 0], "steady.npy")
    coloured = comfyui.base / "input/coloured.mp4"
    copy = [prompt.add("LoadVideo", file=coloured.name), 0]
    aligned = prompt.add("RemasterAlignReferences", video=source, copy=copy, most=8, folder="aligned")
    prompt.keep([aligned, 1], "aligned.txt")
    video = prompt.add("RemasterVideo", **video_inputs(comfyui, path=str(film.path), cuts=str(film.cut), scale=2))
    compare = prompt.add("RemasterCompare", before=source, after=[video, 0], shown=3, start=0)
    prompt.keep([compare, 0], "compare.npy")
    outputs = comfyui.run(prompt)
    before, made = comfyui.tensor("before.npy"), comfyui.tensor("steady.npy")
    assert before.shape == made.shape and np.abs(made[7] - before[7]).max() > 2 * STEP
    numbers = [int(n) for n in (comfyui.base / "output/aligned.txt").read_text().split(",")]
    assert min(numbers) < film.cut <= max(numbers)
    assert sorted(int(file.stem) for file in (comfyui.base / "output/aligned").glob("*.png")) == numbers
    _, lines, columns, _ = before.shape
    assert comfyui.tensor("compare.npy").shape == (3, 2 * lines, 4 * columns, 3)
    assert len(outputs[compare]["images"]) == 3


def test_an_interrupted_film_leaves_nothing_and_the_next_run_is_whole(comfyui, film, tmp_path):
    prompt = comfyui.empty()
    video = prompt.add("RemasterVideo", **video_inputs(comfyui, path=str(film.path), filename_prefix="stopped/film"))
    record = comfyui.interrupt(comfyui.start(prompt), video, 2)
    assert record["status"]["messages"][-1][0] == "execution_interrupted", record["status"]
    assert [path for path in (comfyui.base / "output/stopped").rglob("*") if path.is_file()] == []
    comfyui.run(prompt)
    (made,) = (comfyui.base / "output/stopped").iterdir()
    expected = tmp_path / "expected.mkv"
    remaster_film(film.path, expected, restore=RestoreOptions(), colorize=None, write=OutputOptions(codec="ffv1"))
    assert same_film(made, expected)


def video_inputs(comfyui: Any, **changes: Any) -> dict[str, Any]:
    """Inputs of RemasterVideo: its own defaults, a lossless codec, no colouring, and what is changed."""
    kinds = comfyui.get("/object_info/RemasterVideo")["RemasterVideo"]["input"]
    settings = {**kinds["required"], **kinds.get("optional", {})}
    values = {name: value[1]["default"] for name, value in settings.items() if "default" in value[1]}
    return {**values, "colorize": False, "codec": "ffv1", **changes}


def test_memory_is_flat_over_2000_frames(comfyui):
    random = np.random.default_rng(0)
    noise = random.integers(0, 60, (16, 240, 320, 1), dtype=np.uint8)
    ramp = np.linspace(40, 180, 320, dtype=np.uint8)[None, :, None]
    path = comfyui.put_film("long.mp4", Frames(noise, ramp, 2000))
    prompt = comfyui.empty()
    references = [prompt.add("RemasterTestLoad", file=comfyui.put("long.npy", colour())), 0]
    changes = {"colorize": True, "references": references, "color_lines": 128, "filename_prefix": "long/film"}
    video = prompt.add("RemasterVideo", **video_inputs(comfyui, path=str(path), **changes))
    run, samples = comfyui.start(prompt), []
    while not comfyui.get(f"/history/{run}"):
        time.sleep(0.25)
        samples.append((comfyui.progress(run, video), comfyui.memory()))
    assert comfyui.wait(run)["status"]["completed"]
    early = max(memory for frame, memory in samples if 300 <= frame <= 600)
    late = max(memory for frame, memory in samples if frame >= 1800)
    assert late - early < 100e6, f"grew by {(late - early) / 1e6:.0f} MB to {late / 1e6:.0f} MB"


class Frames:
    """A long film that is made while it is written: noise over a moving ramp, R'G'B' of 8 bits."""

    def __init__(self, noise: np.ndarray, ramp: np.ndarray, length: int) -> None:
        self.noise, self.ramp, self.length = noise, ramp, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> np.ndarray:
        if index >= self.length:
            raise IndexError(index)
        gray = self.noise[index % len(self.noise)] + np.roll(self.ramp, index, 1)
        return np.ascontiguousarray(np.broadcast_to(gray, (*gray.shape[:2], 3)))


def scene(frames: int, height: int = 96, width: int = 128, channels: int = 3) -> np.ndarray:
    """A gray clip `[T, H, W, C]`: a bright spot that moves over noise."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width]
    spots = [np.exp(-((x - 20 - 4 * i) ** 2 + (y - 40) ** 2) / 300) for i in range(frames)]
    gray = np.stack(spots) if frames else np.zeros((0, height, width))
    gray = (0.2 + 0.6 * gray + 0.05 * random.standard_normal(gray.shape)).clip(0, 1)
    return np.repeat(gray[..., None], channels, 3).astype(np.float32)


def colour(height: int = 48, width: int = 72) -> np.ndarray:
    """One reference picture `[1, H, W, 3]` of a size that no film here has."""
    y, x = np.mgrid[:height, :width] / height
    return np.stack([y, 0.5 * x, 1 - y], 2)[None].clip(0, 1).astype(np.float32)


def graph(comfyui: Any, node: str, clip: np.ndarray) -> Any:
    """A graph that sends a clip through one node and keeps its first output as out.npy."""
    prompt = comfyui.empty()
    kinds = comfyui.get(f"/object_info/{node}")[node]["input"]["required"]
    values = {name: value[1]["default"] for name, value in kinds.items() if "default" in value[1]}
    values |= {
        name: value[1]["options"][0] for name, value in kinds.items() if name not in values and value[0] == "COMBO"
    }
    link = [prompt.add("RemasterTestLoad", file=comfyui.put("clip.npy", clip)), 0]
    values["luma" if node == "RemasterMergeLab" else "images"] = link
    other = {"RemasterReferenceColorize": "references", "RemasterMergeLab": "chroma"}.get(node)
    if other:
        pictures = colour() if other == "references" else np.resize(colour(), (len(clip), 48, 72, 3))
        values[other] = [prompt.add("RemasterTestLoad", file=comfyui.put("other.npy", pictures)), 0]
    prompt.keep([prompt.add(node, **values), 0], "out.npy")
    return prompt


WORKERS = ("RemasterRestore", "RemasterReferenceColorize", "RemasterMergeLab")


def clear(details: dict[str, Any], *words: str) -> bool:
    """A message in plain words: one sentence or two that name what was given, no error of Python's or PyTorch's own."""
    message = details["exception_message"].strip()
    own = details["exception_type"].rsplit(".")[-1] in ("InputError", "UnsupportedError", "RemasterError", "ValueError")
    return own and 20 < len(message) < 400 and all(word in message for word in words)


@pytest.mark.parametrize("node", WORKERS)
def test_an_empty_batch_is_named(comfyui, node):
    details = comfyui.fail(graph(comfyui, node, scene(0)))
    assert details["node_type"] == node
    assert clear(details, "frame") or clear(details, "empty"), details


@pytest.mark.parametrize("node", WORKERS)
def test_one_frame_is_a_clip(comfyui, node):
    comfyui.run(graph(comfyui, node, scene(1)))
    assert comfyui.tensor("out.npy").shape == (1, 96, 128, 3)
    if node == "RemasterRestore":
        assert close(comfyui.tensor("out.npy"), restored(scene(1))[0])


@pytest.mark.parametrize("node", WORKERS)
def test_an_alpha_channel_changes_nothing(comfyui, node):
    comfyui.run(graph(comfyui, node, scene(2, channels=4)))
    with_alpha = comfyui.tensor("out.npy")
    comfyui.run(graph(comfyui, node, scene(2)))
    assert with_alpha.shape[-1] in (3, 4)
    assert close(with_alpha[..., :3], comfyui.tensor("out.npy"))


@pytest.mark.parametrize("node", WORKERS)
def test_what_is_not_a_number_is_named(comfyui, node):
    clip = scene(3)
    clip[1, 10:20, 10:20] = np.nan
    details = comfyui.fail(graph(comfyui, node, clip))
    assert details["node_type"] == node and clear(details, "frame 1", "NaN"), details


@pytest.mark.parametrize("node", WORKERS)
def test_odd_sizes_stay(comfyui, node):
    comfyui.run(graph(comfyui, node, scene(2, 95, 127)))
    assert comfyui.tensor("out.npy").shape == (2, 95, 127, 3)


def test_references_of_another_size_do(comfyui):
    comfyui.run(graph(comfyui, "RemasterReferenceColorize", scene(2)))
    assert close(comfyui.tensor("out.npy"), colored(scene(2), colour())[0])


def test_a_coloured_film_of_another_length_is_refused(comfyui):
    prompt = graph(comfyui, "RemasterMergeLab", scene(3))
    comfyui.put("other.npy", np.resize(colour(), (2, 48, 72, 3)))
    assert clear(comfyui.fail(prompt), "3", "2")


@pytest.mark.parametrize("node", ["RemasterVideo", "RemasterPickReferences"])
def test_a_video_without_pictures_is_refused(comfyui, node):
    path = comfyui.put_film("sound.mp4", [], np.zeros((1, 8000)))
    prompt = comfyui.empty()
    values = video_inputs(comfyui) if node == "RemasterVideo" else {"count": 1}
    link = [prompt.add("LoadVideo", file=path.name), 0]
    prompt.keep([prompt.add(node, **values, video=link), 1], "out.txt")
    assert clear(comfyui.fail(prompt), "sound.mp4")


def test_an_empty_video_is_refused(comfyui):
    prompt = comfyui.empty()
    clip = prompt.add("RemasterTestLoad", file=comfyui.put("clip.npy", scene(0)))
    video = prompt.add("CreateVideo", images=[clip, 0], fps=25.0)
    prompt.add("RemasterVideo", **video_inputs(comfyui, video=[video, 0]))
    assert clear(comfyui.fail(prompt), "frame")


@pytest.mark.parametrize("codec", ["x264", "ffv1", "prores"])
def test_a_video_made_in_the_graph_keeps_its_frames_and_its_sound(comfyui, codec):
    tone = 0.5 * np.sin(np.arange(8000) / 8)[None]
    path = comfyui.put_film("talking.mp4", [(255 * frame).astype(np.uint8) for frame in scene(25)], tone)
    prompt = comfyui.empty()
    parts = prompt.add("GetVideoComponents", video=[prompt.add("LoadVideo", file=path.name), 0])
    prompt.keep([parts, 0], "source.npy")
    video = prompt.add("CreateVideo", images=[parts, 0], audio=[parts, 1], fps=[parts, 2])
    values = video_inputs(comfyui, video=[video, 0], codec=codec, filename_prefix="made/film")
    prompt.keep([prompt.add("RemasterVideo", **values), 1], "path.txt")
    comfyui.run(prompt)
    with av.open((comfyui.base / "output/path.txt").read_text()) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") / 255 for frame in container.decode(video=0)])
    with av.open((comfyui.base / "output/path.txt").read_text()) as container:
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    error = frames - restored(comfyui.tensor("source.npy"))[0]
    assert np.sqrt((error**2).mean()) < (1 / 255 if codec == "ffv1" else 4 / 255)
    assert 7900 < len(sound) < 9100
    scale = 2.0 ** (8 * sound.dtype.itemsize - 1) if np.issubdtype(sound.dtype, np.integer) else 1.0
    assert 0.25 < (sound[2000:6000] / scale).std() < 0.45


def test_a_weight_file_of_the_user_is_offered_and_used(comfyui, root):
    shutil.copy(root / "weights/restorer-fast.safetensors", comfyui.base / "models/remaster/mine.safetensors")
    inputs = comfyui.get("/object_info/RemasterLoadModel")["RemasterLoadModel"]["input"]["required"]
    names = {path.stem for path in (root / "weights").glob("*.safetensors")}
    shipped = {name for name in names if not name.startswith("sharpener")}  # it comes with its restorer
    assert set(inputs["model"][1]["options"]) == {*shipped, "mine.safetensors"}
    prompt = graph(comfyui, "RemasterRestore", scene(2))
    mine = prompt.add("RemasterLoadModel", model="mine.safetensors", device="cpu", precision="fp32")
    prompt.inputs("RemasterRestore")["model"] = [mine, 0]
    comfyui.run(prompt)
    assert close(comfyui.tensor("out.npy"), restored(scene(2), RestoreOptions(precision="fp32"))[0])


def test_a_model_of_the_other_kind_is_refused(comfyui):
    prompt = graph(comfyui, "RemasterRestore", scene(2))
    other = prompt.add("RemasterLoadModel", model="colorizer-fast", device="auto", precision="auto")
    prompt.inputs("RemasterRestore")["model"] = [other, 0]
    assert clear(comfyui.fail(prompt), "colorizer-fast", "restorer")


def test_what_is_wrong_is_said_before_anything_runs(comfyui):
    """The server refuses the graph, and names the node and what to do."""
    wrong = {"tile": 100}, {"lines": 63}
    for changes, words in zip(wrong, ("at least 384 pixels, got 100", "64..8192, got 63")):
        prompt = graph(comfyui, "RemasterRestore", scene(2))
        prompt.inputs("RemasterRestore").update(changes)
        assert words in refused(comfyui, prompt, "RemasterRestore")
    for loader, node in (("RemasterLoadColorizer", "RemasterRestore"), ("RemasterLoadRestorer", "RemasterVideo")):
        prompt = graph(comfyui, node, scene(2)) if node == "RemasterRestore" else comfyui.empty()
        model = prompt.add(loader, model=f"{loader[12:].lower()}-fast", device="auto", precision="auto")
        if node == "RemasterRestore":
            prompt.inputs(node)["model"] = [model, 0]
        else:
            path = comfyui.put_film("small.mp4", [np.zeros((48, 64, 3), np.uint8)] * 3)
            prompt.add(node, **video_inputs(comfyui, path=path.name, colorizer=[model, 0]))
        assert "mismatch" in refused(comfyui, prompt, node)
    prompt = comfyui.empty()
    prompt.add("RemasterVideo", **video_inputs(comfyui, path="nowhere.mp4"))
    assert "there is nothing at" in refused(comfyui, prompt, "RemasterVideo")


def refused(comfyui: Any, prompt: Any, node: str) -> str:
    """What the server says of a node of a graph that it does not begin."""
    answer = comfyui.post("/prompt", {"prompt": prompt})
    assert "prompt_id" not in answer
    return json.dumps(answer["node_errors"][prompt.find(node)]["errors"])


def test_a_film_that_was_deleted_is_made_again(comfyui):
    path = comfyui.put_film("short.mp4", [(255 * frame).astype(np.uint8) for frame in scene(6)])
    prompt = comfyui.empty()
    prompt.add("RemasterVideo", **video_inputs(comfyui, path=path.name, filename_prefix="again/film"))

    def made() -> int:
        comfyui.run(prompt)
        return len(list((comfyui.base / "output/again").glob("*.mkv")))

    assert made() == 1 and made() == 1  # nothing has changed
    next((comfyui.base / "output/again").glob("*.mkv")).unlink()
    assert made() == 1 and made() == 1


def test_a_model_that_was_unloaded_comes_back(comfyui):
    prompt = graph(comfyui, "RemasterRestore", scene(2))
    comfyui.run(prompt)
    before = comfyui.tensor("out.npy")
    comfyui.post("/free", {"unload_models": True, "free_memory": True})
    time.sleep(1)
    comfyui.put("clip.npy", scene(2))
    comfyui.run(prompt)
    assert np.array_equal(comfyui.tensor("out.npy"), before)


def test_a_batch_can_be_interrupted(comfyui):
    prompt = graph(comfyui, "RemasterRestore", scene(200, 240, 320))
    record = comfyui.interrupt(comfyui.start(prompt), prompt.find("RemasterRestore"), 2)
    assert record["status"]["messages"][-1][0] == "execution_interrupted", record["status"]


def test_an_output_outside_of_the_output_folder_is_refused(comfyui, film):
    prompt = comfyui.empty()
    prompt.add("RemasterVideo", **video_inputs(comfyui, path=str(film.path), filename_prefix="../../out/film"))
    assert clear(comfyui.fail(prompt), "../../out/film")
    assert not (comfyui.base.parent / "out").exists()


def test_a_folder_that_is_not_there_is_refused(comfyui):
    prompt = comfyui.empty()
    prompt.keep([prompt.add("RemasterLoadReferences", folder="nowhere"), 0], "out.npy")
    answer = comfyui.post("/prompt", {"prompt": prompt})
    if "prompt_id" in answer:
        assert clear(comfyui.wait(answer["prompt_id"])["status"]["messages"][-1][1], "nowhere")
    else:
        assert "nowhere" in json.dumps(answer["node_errors"])
