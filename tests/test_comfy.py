"""What the ComfyUI nodes compute, and the pack they come in, without ComfyUI (see test_comfy_nodes.py for that)."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
import threading
import tomllib
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from comfy_nodes import films, host, images, settings
from tests.support.comfy import NODES, STEP, apart, batch_of, clip, components, planes
from tests.support.films import film, frames_of
from vs_remaster import (
    ColorizeOptions,
    Colorizer,
    InputError,
    Reference,
    RestoreOptions,
    Restorer,
    UnsupportedError,
)
from vs_remaster.cli.entry import make_parser
from vs_remaster.film.remastering import context, remaster_film
from vs_remaster.output.options import OutputOptions
from vs_remaster.remaster.merging import merge_lab, repair_chroma
from vs_remaster.remaster.options import Levels
from vs_remaster.video.reader import VideoReader

CPU = {"model": "fast", "device": "cpu"}


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(RestoreOptions(**CPU))


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(ColorizeOptions(**CPU, lines=64))


@pytest.fixture(scope="module")
def given() -> list[Reference]:
    return images.references_of(torch.cat((clip(1, 60, 90, seed=5), clip(1, 60, 90, seed=6).flip(3))), 64)


# ---- defaults and limits


def test_defaults_are_those_of_the_command_line():
    told = vars(make_parser().parse_args(["run", "in.mkv", "-o", "out.mkv"]))
    for name, number in (
        ("strength", settings.STRENGTH),
        ("grain", settings.GRAIN),
        ("sharpness", settings.SHARPNESS),
        ("scale", settings.SCALE),
        ("restore_lines", settings.LINES),
        ("tile", settings.TILE),
        ("saturation", settings.SATURATION),
        ("color_lines", settings.COLOR_LINES),
    ):
        assert number.default == told[name], name
    assert settings.SCENES[settings.SCENES_DEFAULT] == told["scenes"]
    assert Levels.parse("") is told["levels"] is RestoreOptions().levels is None  # an empty input of a node
    assert settings.crf_of(settings.CRF.default) is told["crf"] is None
    assert (settings.DEVICES[0], settings.PRECISIONS[0]) == (told["device"], told["precision"])
    assert settings.WEIGHT.default == make_parser().parse_args(["merge", "a", "b", "-o", "c"]).weight
    assert settings.CODEC == OutputOptions().codec


def test_defaults_are_those_of_the_vapoursynth_filters():
    pytest.importorskip("vapoursynth")
    from vs_remaster.filters import definitions as filters

    restore = inspect.signature(filters.restore).parameters
    colorize = inspect.signature(filters.colorize).parameters
    assert restore["levels"].default is None
    assert [
        restore[name].default for name in ("strength", "grain", "sharpness", "scale", "lines", "tile", "scenes")
    ] == [
        settings.STRENGTH.default,
        settings.GRAIN.default,
        settings.SHARPNESS.default,
        settings.SCALE.default,
        settings.LINES.default,
        settings.TILE.default,
        settings.SCENES_DEFAULT,
    ]
    assert [colorize[name].default for name in ("saturation", "color_lines", "scenes")] == [
        settings.SATURATION.default,
        settings.COLOR_LINES.default,
        settings.SCENES_DEFAULT,
    ]
    assert inspect.signature(filters.merge_lab).parameters["weight"].default == settings.WEIGHT.default


@pytest.mark.parametrize(
    ("number", "make"),
    [
        (settings.STRENGTH, lambda v: RestoreOptions(strength=v)),
        (settings.GRAIN, lambda v: RestoreOptions(grain=v)),
        (settings.SHARPNESS, lambda v: RestoreOptions(sharpness=v)),
        (settings.SCALE, lambda v: RestoreOptions(scale=v)),
        (settings.LINES, lambda v: RestoreOptions(lines=v)),
        (settings.TILE, lambda v: RestoreOptions(tile=v)),
        (settings.COLOR_LINES, lambda v: ColorizeOptions(lines=v)),
        (settings.WEIGHT, lambda v: merge_lab(torch.rand(1, 1, 4, 4), torch.rand(1, 2, 4, 4), weight=v)),
    ],
)  # fmt: skip
def test_limits_are_just_what_the_library_takes(number, make):
    make(number.low), make(number.high)
    for beyond in (number.low - number.step, number.high + number.step):
        with pytest.raises(InputError, match=re.escape(str(beyond))):
            make(beyond)
    # the arrows of the page go from the smallest value in steps: they must be able to meet the default
    assert (number.default - number.low) / number.step == pytest.approx(
        round((number.default - number.low) / number.step)
    )


# ---- what the nodes compute


def test_restored_images_are_the_library_s(restorer):
    batch = clip(7, cut=4)
    luma, chroma = planes(batch)
    made = restorer.restore(luma, [4])
    out, mask = images.restore(batch, restorer, "auto")
    assert apart(out, batch_of(made.luma, repair_chroma(chroma, made.mask))) <= STEP
    assert apart(mask, made.mask[:, 0]) <= STEP
    assert apart(out, batch) > 0.02  # something was done
    assert out.dtype == mask.dtype == torch.float32 and out.is_contiguous()
    assert 0 <= out.min() and out.max() <= 1


def test_images_are_restored_to_twice_the_size():
    batch = clip(3)
    restorer = Restorer(RestoreOptions(**CPU, scale=2))
    made = restorer.restore(planes(batch)[0])
    out, mask = images.restore(batch, restorer, "none")
    assert out.shape == (3, 96, 128, 3) and mask.shape == (3, 96, 128)
    assert apart(planes(out)[0], made.luma) < 1e-5 and apart(mask, made.mask[:, 0]) <= STEP


def test_coloured_images_are_the_library_s(colorizer, given):
    batch = clip(6, cut=3)
    luma, _ = planes(batch)
    made = colorizer.colorize(luma, colorizer.encode_references(given), [3])
    out, shares = images.colorize(batch, given, colorizer, "auto")
    assert apart(out, batch_of(luma, made.chroma)) <= STEP
    assert apart(torch.tensor(shares), made.shares) <= 1e-6
    assert apart(planes(out)[0], luma) <= STEP  # luma is kept


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_merged_images_are_the_library_s(weight):
    batch, other = clip(3), clip(3, 30, 50, seed=2).flip(3)
    (luma, own), (their_luma, theirs) = planes(batch), planes(other)
    taken = merge_lab(luma, theirs, own_chroma=own, other_luma=their_luma, weight=weight)
    out = images.merge(batch, other, weight)
    assert apart(out, batch_of(luma, taken)) <= STEP
    assert (apart(out, batch) <= STEP) == (weight == 0)
    assert apart(images.merge(batch[:1], other[:1], weight), out[:1]) <= STEP


@pytest.mark.parametrize("frames", [1, 5])
@pytest.mark.parametrize("scenes", ["auto", "none"])
def test_strength_zero_gives_the_images_back(frames, scenes):
    batch = clip(frames)
    out, mask = images.restore(batch, Restorer(RestoreOptions(**CPU, strength=0)), scenes)
    assert apart(out, batch) <= STEP
    assert not mask.any()


def test_one_picture_alone_is_restored_and_coloured(restorer, colorizer, given):
    batch = clip(1)
    out, mask = images.restore(batch, restorer, "auto")
    assert out.shape == batch.shape and mask.shape == batch.shape[:3]
    colored, shares = images.colorize(batch, given, colorizer, "none")
    assert colored.shape == batch.shape and len(shares) == 1 and len(shares[0]) == 2


def test_a_batch_does_not_depend_on_what_came_before(restorer, colorizer, given):
    batch = clip(5)
    first = images.restore(batch, restorer, "auto")[0], images.colorize(batch, given, colorizer, "auto")[0]
    images.restore(clip(9, 32, 40, seed=9), restorer, "none")
    images.colorize(clip(4, 40, 32, seed=8), given[:1], colorizer, "none")
    again = images.restore(batch, restorer, "auto")[0], images.colorize(batch, given, colorizer, "auto")[0]
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])


def test_a_frame_depends_on_its_block_and_neighbours_only(restorer):
    """Frame n of a longer batch is the same frame."""
    block = restorer.window.block
    _, after = context(restorer.windows, 0, block)
    batch = clip(block + after + 9, 32, 40)
    short = images.restore(batch[: block + after], restorer, "none")[0]
    assert torch.equal(images.restore(batch, restorer, "none")[0][:block], short[:block])


def test_inputs_are_left_as_they_are(restorer, colorizer, given):
    batch, other = clip(3), clip(3, 24, 32, seed=4)
    kept = batch.clone(), other.clone(), [reference.rgb.clone() for reference in given]
    images.restore(batch, restorer, "auto")
    images.colorize(batch, given, colorizer, "auto")
    images.merge(batch, other, 0.5)
    assert torch.equal(batch, kept[0]) and torch.equal(other, kept[1])
    assert all(torch.equal(reference.rgb, rgb) for reference, rgb in zip(given, kept[2]))


def test_other_kinds_of_image_are_taken_for_what_they_show(restorer):
    batch = clip(2)
    expected = images.restore(batch, restorer, "none")[0]
    alpha = torch.cat((batch, torch.rand(2, 48, 64, 1)), -1)
    assert torch.equal(images.restore(alpha, restorer, "none")[0], expected)
    assert apart(images.restore(batch.double(), restorer, "none")[0], expected) <= STEP
    gray = batch[..., :1]
    assert torch.equal(
        images.restore(gray, restorer, "none")[0], images.restore(gray.repeat(1, 1, 1, 3), restorer, "none")[0]
    )
    loud = torch.where(batch > 0.6, 3.0, batch)
    assert torch.equal(images.restore(loud, restorer, "none")[0], images.restore(loud.clamp(0, 1), restorer, "none")[0])


def with_nan() -> Tensor:
    batch = clip(3)
    batch[1, 5, 6, 0], batch[1, 7, 7, 1] = torch.nan, torch.inf
    return batch


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (torch.zeros(0, 8, 8, 3), ["pictures holds no frames", "check"]),
        (torch.zeros(2, 0, 8, 3), ["8x0"]),
        (torch.zeros(2, 8, 8, 2), ["2 channels", "give RGB"]),
        (torch.zeros(2, 3, 8, 8), ["8 channels"]),
        (torch.zeros(8, 8, 3), ["(8, 8, 3)"]),
        (torch.zeros(2, 8, 8, 3, dtype=torch.uint8), ["uint8"]),
        ([clip(1)], ["list"]),
        (with_nan(), ["pictures: frame 1 holds 2 values", "NaN", "fp32"]),
    ],
)  # fmt: skip
def test_a_bad_image_is_named(batch, words):
    with pytest.raises(InputError) as error:
        images.checked(batch, "pictures")
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)


def test_lengths_that_differ_are_said():
    with pytest.raises(InputError, match=r"luma has 5 frames, chroma 1.*Reference Colorize"):
        images.merge(clip(5), clip(1), 1.0)


@pytest.mark.parametrize(
    ("text", "count", "numbers"),
    [
        ("", 3, [None, None, None]),
        ("0, 120, 340", 3, [0, 120, 340]),
        ("5,6,", 2, [5, 6]),
        ("0\n12", 2, [0, 12]),
        ("-, 12", 2, [None, 12]),
        (" , 12", 2, [None, 12]),
    ],
)
def test_frame_numbers_are_read(text, count, numbers):
    assert images.frame_numbers(text, count) == numbers


def test_frame_numbers_are_written_as_they_are_read():
    for numbers in ([0, 120], [None, 7, None], [4]):
        assert images.frame_numbers(images.write_numbers(numbers), len(numbers)) == numbers
    assert images.write_numbers([None, None]) == ""


@pytest.mark.parametrize(("text", "word"), [("1, x", "'x'"), ("1.5", "'1.5'"), ("-3", "'-3'"), ("1, 2, 3", "3 frames")])
def test_bad_frame_numbers_are_named(text, word):
    with pytest.raises(InputError, match=re.escape(word)):
        images.frame_numbers(text, 2)


def test_pictures_of_different_sizes_become_one_batch():
    shapes = [(40, 60), (20, 20), (90, 30)]  # the second is enlarged, the third made smaller
    given = [Reference(f"{i}", clip(1, *shape, seed=i)[0].permute(2, 0, 1)) for i, shape in enumerate(shapes)]
    given[1] = Reference("flat", torch.tensor([0.9, 0.2, 0.1])[:, None, None].repeat(1, 20, 20))
    out, mask = images.one_size(given)
    assert torch.equal(mask, torch.zeros(3, 90, 30))
    assert out.shape == (3, 90, 30, 3)  # 2700 pixels beat 2400
    assert torch.equal(out[2], given[2].rgb.permute(1, 2, 0))
    assert apart(out[1], torch.tensor([0.9, 0.2, 0.1]).expand(90, 30, 3)) < 1e-6  # borders bring no colour
    inner = out[0, 35:55]
    assert apart(inner.mean((0, 1)), given[0].rgb.mean((1, 2))) < 0.02
    assert torch.equal(out[0, :35], out[0, 35:36].expand(35, 30, 3))
    assert torch.equal(out[0, 55:], out[0, 54:55].expand(35, 30, 3))


class Stop(Exception):
    """What an interrupt raises."""


@pytest.mark.parametrize("kind", ["restore", "colorize"])
def test_an_interrupt_ends_within_a_block_and_leaves_no_trace(restorer, colorizer, given, kind):
    worker = restorer if kind == "restore" else colorizer
    batch = clip(3 * worker.window.block + 5, 32, 40)

    def work(check: Any, done: Any) -> Tensor:
        if kind == "restore":
            return images.restore(batch, restorer, "none", check, done)[0]
        return images.colorize(batch, given, colorizer, "none", check, done)[0]

    steps: list[int] = []
    whole = work(lambda: None, steps.append)
    assert steps == list(range(1, len(batch) + 1))
    made, pressed = [], worker.window.block + 1

    def check() -> None:
        if len(made) >= pressed:
            raise Stop

    with pytest.raises(Stop):
        work(check, made.append)
    assert pressed <= len(made) <= pressed + worker.window.block
    assert torch.equal(work(lambda: None, steps.append), whole)


def test_what_helps_is_said_when_memory_runs_out():
    @host.plain_errors
    def work(numbers: int) -> Tensor:
        return torch.empty(numbers)

    assert work(3).shape == (3,)
    with pytest.raises(MemoryError, match="fewer frames at a time, or use Remaster Video"):
        work(1 << 50)


def test_other_errors_reach_the_page_as_they_are():
    @host.plain_errors
    def work() -> None:
        raise RuntimeError("something broke")

    with pytest.raises(RuntimeError, match="something broke"):
        work()


def test_how_fast_and_how_long_is_said():
    now = [100.0]
    pace = host.Pace(lambda: now[0])
    assert pace.text("frame", 64, 500) == "frame 64 of 500"  # those were there before
    now[0] += 10
    assert pace.text("frame", 84, 500) == "frame 84 of 500, 2.0 frames/s, 3:28 left"
    assert pace.text("frame", 84, None) == "frame 84, 2.0 frames/s"
    assert pace.text("frame", 84, 100_000).endswith("13:52:38 left")
    assert pace.text("encoded frame", 1, 500) == "encoded frame 1 of 500"
    assert not pace.is_due("node", 5)
    now[0] += 5
    assert pace.is_due("node", 5) and not pace.is_due("node", 5)


def test_a_part_of_a_film_that_is_itself_a_part():
    part = films.Film(Path("a"), 10, 30, 10)
    assert part.part(0, None) == part and part.part(3, 9) == films.Film(Path("a"), 13, 19, 10)
    assert part.part(3, 90).end == 30 and films.Film(Path("a")).part(2, 5) == films.Film(Path("a"), 2, 5)
    for start, end in ((5, 5), (6, 2), (20, None)):
        with pytest.raises(InputError):
            part.part(start, end)


def test_an_old_package_is_named_with_what_to_do(monkeypatch):
    host.need("av"), host.need("cv2")
    monkeypatch.setattr(av, "__version__", "16.1.0")
    with pytest.raises(UnsupportedError, match=r"av 16.1.0 is too old, 19.0 or newer .* pip install -U av"):
        host.need("av")


# ---- films


@pytest.mark.parametrize("bits", [8, 16])
def test_a_video_in_memory_is_written_without_loss(tmp_path, bits):
    parts, path = components(9), tmp_path / "film.mkv"
    films.write_components(parts, path, "pcm_s24le", bits)
    frames = frames_of(path)
    assert len(frames) == 9
    for frame, image in zip(frames, parts.images):
        codes = np.stack(frame.planes, -1).astype(np.float64)
        assert np.abs(codes / (2**bits - 1) - image.numpy()).max() <= 0.5 / (2**bits - 1) + 1e-6
    with VideoReader(path) as reader:
        assert (reader.info.fps, reader.info.bits, reader.info.kind) == (25, bits, "rgb")
    with av.open(path) as container:
        sound = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], 1)
    assert sound.size == parts.audio["waveform"].numel()


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "x264"), (".mov", "prores"), (".mkv", "ffv1")])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_the_sound_of_a_video_in_memory_reaches_the_output(tmp_path, suffix, codec, channels):
    films.write_components(components(10, channels), tmp_path / "film.mkv", films._SOUND[suffix], 8)
    out = tmp_path / f"out{suffix}"
    remaster_film(
        tmp_path / "film.mkv", out, restore=RestoreOptions(**CPU), colorize=None, write=OutputOptions(codec=codec)
    )
    with av.open(out) as container:
        (stream,) = container.streams.audio
        assert stream.codec_context.layout.nb_channels == channels
        seconds = sum(frame.samples for frame in container.decode(audio=0)) / 8000
    assert seconds == pytest.approx(10 / 25, abs=0.15)  # AAC comes in frames of 0.13 s


def test_an_empty_video_is_said(tmp_path):
    parts = SimpleNamespace(images=torch.zeros(0, 3, 0, 0), audio=None, frame_rate=Fraction(25))
    with pytest.raises(InputError, match="video holds no frames"):
        films.write_components(parts, tmp_path / "film.mkv", "aac", 8)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray", "gbrp10le"])
def test_frames_picked_from_a_film_are_its_frames(tmp_path, pix_fmt):
    path = tmp_path / "film.mkv"
    film(path, 30, pix_fmt, codec="ffv1", options={"level": "3"})
    steps: list[tuple[int, int | None]] = []
    out, chosen = films.pick_from_film(
        films.Film(path), films.sharp_ones(3), lambda: None, lambda *step: steps.append(step)
    )
    assert len(chosen) == len(out) == 3 and steps[-1] == (30, 30)
    with av.open(path) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for image, number in zip(out, chosen):
        others = [float((image * 255 - torch.from_numpy(frame).float()).abs().mean()) for frame in decoded]
        assert int(np.argmin(others)) == number and others[number] < 5 < sorted(others)[1]
    # numbers count from the beginning of what is meant
    part, numbers = films.pick_from_film(
        films.Film(path, 10, 25), films.sharp_ones(2), lambda: None, lambda *step: None
    )
    assert max(numbers) < 15
    batch = torch.stack([torch.from_numpy(frame) for frame in decoded]).float() / 255
    assert apart(part, batch[[10 + n for n in numbers]]) < 0.1
    if pix_fmt == "gray":  # of colours each has its own luma
        assert films.pick_from_images(batch, films.sharp_ones(3), lambda: None, lambda *step: None)[1] == chosen


@pytest.mark.parametrize("after", [0, 1, 20])
def test_a_film_can_be_stopped_before_any_of_it_is_written(tmp_path, restorer, after):
    film(tmp_path / "film.mp4", 40)
    calls = []

    def check() -> None:
        calls.append(threading.current_thread())
        if len(calls) > after:
            raise Stop

    with pytest.raises(Stop):
        remaster_film(tmp_path / "film.mp4", tmp_path / "out.mkv", restore=restorer, colorize=None, check=check)
    assert len(calls) == after + 1 and set(calls) == {threading.current_thread()}
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


# ---- the pack


def load_pack(root: Path, code: str) -> str:
    """Run code in a new process that has loaded the checkout as ComfyUI loads a pack: under its path, as `pack`."""
    begin = f"""
import sys, time, importlib.util
import torch
began = time.process_time()
name = {str(root).replace(".", "_x_")!r}
spec = importlib.util.spec_from_file_location(name, {str(root / "__init__.py")!r})
sys.modules[name] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
def module(inside):
    return importlib.import_module(name + "." + inside)
"""
    done = subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, timeout=120, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_checkout_is_a_pack_with_a_library_of_its_own(root):
    told = load_pack(
        root,
        """
import pathlib, inspect
assert inspect.iscoroutinefunction(pack.comfy_entrypoint)
assert pathlib.Path(pack.__file__).parent.joinpath(pack.WEB_DIRECTORY, "docs").is_dir()
images, models = module("comfy_nodes.images"), module("comfy_nodes.models")
for inside in ("films", "host", "jobs", "settings"):
    module("comfy_nodes." + inside)
assert not {"vs_remaster", "comfy_nodes", "vapoursynth", "folder_paths"} & set(sys.modules)
assert not torch.cuda.is_initialized()
remaster = module("vs_remaster.remaster")
worker = remaster.Restorer(remaster.RestoreOptions(model="fast", device="cpu"))
print(images.restore(torch.rand(2, 24, 32, 3), worker, "auto")[0].shape)
try:
    images.checked(torch.zeros(0, 4, 4, 3), "images")
except module("vs_remaster.errors").InputError as error:
    print(error)
sys.path.insert(0, pack.__path__[0])  # and now one that was installed
import vs_remaster
print(vs_remaster.InputError is module("vs_remaster.errors").InputError)
""",
    )
    assert told.splitlines()[0] == "torch.Size([2, 24, 32, 3])"
    assert told.splitlines()[1].startswith("images holds no frames")
    assert told.splitlines()[2] == "False"


def test_the_pack_loads_quickly(root):
    """ComfyUI has loaded torch, numpy, av and safetensors before; OpenCV and we come on top."""
    code = """
for inside in ("films", "host", "images", "jobs", "models", "settings"):
    module("comfy_nodes." + inside)
print(time.process_time() - began)  # of this process alone: the machine may be busy
"""
    assert any(float(load_pack(root, code)) < 0.6 for _ in range(3))  # the fastest counts, and may be the first


def test_the_root_is_no_package_for_anybody_else(root):
    """Test runners and linters execute it as a plain file."""
    done = subprocess.run([sys.executable, root / "__init__.py"], capture_output=True, text=True, cwd="/", timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_requirements_name_what_comfyui_may_lack(root, monkeypatch):
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [re.match(r"[\w-]+", line)[0] for line in lines if line and not line.startswith("#")]
    theirs = {"torch", "numpy", "pillow", "safetensors", "tqdm"}
    assert theirs.isdisjoint(names)
    wanted = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    ours = {re.match(r"[\w-]+", name)[0] for name in wanted}
    assert set(names) == ours - theirs - {"opencv-python"}
    spec = importlib.util.spec_from_file_location("pack_install", root / "install.py")
    install = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(install)
    assert install.wanted() == ["-r", str(root / "requirements.txt")]  # there is an OpenCV, of whatever package
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert install.wanted()[2:] == ["opencv-python-headless>=4.12"]


def test_the_registry_is_told_what_it_asks_for(root):
    told = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    comfy = told["tool"]["comfy"]
    assert comfy["PublisherId"] and comfy["DisplayName"] and comfy["requires-comfyui"] == ">=0.8.0"
    assert re.search(r'__version__ = "\d+\.\d+\.\d+"', (root / comfy["version"]["path"]).read_text())
    ignored = (root / ".comfyignore").read_text().splitlines()
    assert {"tests/", "export/", "docs/", ".ci/"} <= set(ignored)
    kept = ("comfy_nodes", "example_workflows", "vs_remaster", "weights", "requirements.txt", "install.py")
    assert not [name for name in kept if any(line.strip("/") == name for line in ignored)]


def test_a_comfyui_that_is_too_old_is_told_in_one_line(root):
    """And gets no nodes, whichever way it looks for them."""
    code = f"""
import types
sys.modules["folder_paths"] = types.ModuleType("folder_paths")
import logging
logging.basicConfig(stream=sys.stdout, format="%(message)s")
for number, version in enumerate((None, "0.7.2", "0.8.0", "1.0")):
    if version:
        sys.modules["comfyui_version"] = types.SimpleNamespace(__version__=version)
    name = f"again{{number}}"
    again = importlib.util.spec_from_file_location(name, {str(root / "__init__.py")!r})
    sys.modules[name] = pack = importlib.util.module_from_spec(again)
    again.loader.exec_module(pack)
    print(getattr(pack, "NODE_CLASS_MAPPINGS", "as usual"))
"""
    older, nothing, old, nothing_too, *good = load_pack(root, code).splitlines()
    assert "an older one" in older and "needs ComfyUI 0.8 or newer, this is 0.7.2" in old
    assert nothing == nothing_too == "{}" and good == ["as usual", "as usual"]


def test_the_command_line_runs_from_the_pack_s_folder(root):
    done = subprocess.run(
        [sys.executable, "-m", "vs_remaster", "--version"], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout)


def test_every_node_has_a_help_page(root):
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (root / "comfy_nodes/web/docs").glob("*.md")}
    assert set(pages) == NODES
    assert all(len(page.split()) > 80 for page in pages.values())


# ---- masks that a person gives


def test_masks_of_a_batch_are_those_of_the_library():
    restorer, batch = Restorer(RestoreOptions(**CPU)), clip(5)
    repair, protect = torch.zeros(5, 48, 64), torch.zeros(1, 48, 64)
    repair[3, 10:14, 4:40], protect[:, 30:] = 1, 1
    luma, _ = planes(batch)
    made = restorer.restore(luma, repair=repair[:, None], protect=protect[None].expand(5, -1, -1, -1))
    out, mask = images.restore(batch, restorer, "none", repair=repair, protect=protect)
    assert apart(planes(out)[0], made.luma) < 1e-5 and apart(mask, made.mask[:, 0]) <= STEP
    plain = images.restore(batch, restorer, "none")
    empty = images.restore(batch, restorer, "none", repair=torch.zeros(1, 64, 64), protect=torch.zeros(64, 64))
    assert torch.equal(plain[0], empty[0]) and torch.equal(plain[1], empty[1])


def test_a_mask_of_another_size_is_scaled():
    half = torch.zeros(24, 32)
    half[5:10, 5:20] = 1
    scaled = images.mask_of(half, (48, 64))
    assert scaled.shape == (1, 48, 64) and scaled[0, 12:18, 12:38].min() == 1
    assert abs(float(images.mask_of(scaled[0], (24, 32)).sum() - half.sum())) < 20


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.zeros(3, 48, 64), "repair has 3 masks and images 4 frames: give one mask for each frame, or a single"),
        (torch.ones(4, 48, 64), "repair is white all over"),
        (torch.zeros(0, 48, 64), r"repair must be a MASK, floats \[frames, height, width\], got \(0, 48, 64\)"),
        (torch.zeros(4, 48, 64, 3), "repair must be a MASK"),
        (torch.zeros(4, 48, 64).bool(), r"got \(4, 48, 64\) torch.bool"),
        (torch.full((4, 48, 64), torch.nan), "repair holds values that are not numbers"),
    ],
)
def test_what_is_no_mask_for_a_batch_is_one_clear_error(mask, words):
    with pytest.raises(InputError, match=words):
        images.checked_mask(mask, 4, "repair")
