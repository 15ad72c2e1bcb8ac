"""References without a painter: an image model colours the pictures that were picked."""

from __future__ import annotations

import logging
import shutil
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.job_films import write_film
from vs_remaster import cli
from vs_remaster.cli.entry import make_parser
from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.errors import InputError, UnsupportedError
from vs_remaster.references.manifest import NAME, Origin, read_manifest
from vs_remaster.references.reference import load_references
from vs_remaster.references.stamping import set_origin
from vs_remaster.stills.image_models import load_image_model
from vs_remaster.stills.painting import WEIGHT, color_references
from vs_remaster.video.reader import VideoReader

WEIGHTS = Path(__file__).parents[1] / "weights"
MODEL = WEIGHTS / "colorizer-automatic.safetensors"
"""It guesses colours as an image model does, and is there without another package."""
HOW = {"device": "cpu"}


def photograph(lines: int = 96) -> np.ndarray:
    """A real picture, `[H, W, 3]` uint8."""
    (reference, *_) = load_references(Path(__file__).parent / "data/references", lines=lines)
    return (reference.rgb.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def gray(pixels: np.ndarray) -> np.ndarray:
    luma = rgb_to_ycbcr(torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float())[0].numpy()
    return np.repeat(luma.round().astype(np.uint8)[..., None], 3, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As `references pick` wrote it, one of its pictures coloured by a person, one in part."""
    place = tmp_path / "references"
    place.mkdir()
    coloured = photograph()
    for name, pixels in (
        ("0000003.png", gray(coloured)),
        ("0000012.png", gray(coloured[:, ::-1])),
        ("mine-5.png", coloured),
    ):
        Image.fromarray(pixels).save(place / name)
    alpha = np.tile(np.arange(coloured.shape[1]).astype(np.uint8), (96, 1))
    Image.fromarray(np.dstack((gray(coloured), alpha))).save(place / "part-7.png")
    (place / NAME).write_text('# from the film\n[[reference]]\npicture = "0000003.png"\nframe = 3\norigin = "film"\n')
    return place


def test_gray_pictures_get_colours_and_keep_their_luma(folder, caplog):
    before = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    with caplog.at_level(logging.INFO):
        made = color_references(folder, MODEL, **HOW)
    assert [path.name for path in made] == ["0000003.png", "0000012.png"]
    assert "2 of 4 pictures in" in caplog.text and "stay as they are" in caplog.text
    assert all((folder / name).read_bytes() == before[name] for name in ("mine-5.png", "part-7.png"))
    shown = {one.name: one for one in load_references(folder)}
    ycc = rgb_to_ycbcr(shown["0000003.png"].rgb)
    luma = torch.from_numpy(gray(photograph())[..., 0] / 255).float()
    assert (ycc[0] - luma).abs().max() < 1 / 255 and ycc[1:].abs().mean() > 0.005
    weights = {name: one.weight for name, one in shown.items()}
    assert weights == {"0000003.png": 0.25, "0000012.png": 0.25, "mine-5.png": 1, "part-7.png": 1}
    assert shown["0000012.png"].origin == f"image-model:{MODEL.name}" and shown["0000012.png"].frame == 12
    assert (folder / NAME).read_text().startswith("# from the film\n")


def test_the_same_again_is_the_same_bit_for_bit(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for place in (folder, other):
        color_references(place, MODEL, **HOW)
    for path in folder.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


def test_what_has_colours_is_coloured_anew_only_where_that_is_asked_for(folder):
    color_references(folder, MODEL, **HOW)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert color_references(folder, MODEL, **HOW) == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    Image.fromarray(photograph()).save(folder / "0000003.png")  # corrected by hand
    corrected = (folder / "0000003.png").read_bytes()
    assert color_references(folder, MODEL, **HOW) == [] and (folder / "0000003.png").read_bytes() == corrected
    made = color_references(folder, MODEL, overwrite=True, weight=0.5, **HOW)
    assert len(made) == 3 and (folder / "0000003.png").read_bytes() != corrected
    assert read_manifest(folder / NAME).origins[f"image-model:{MODEL.name}"] == Origin(weight=0.25)  # a person's word


def test_a_picture_that_is_painted_meanwhile_stays(folder, monkeypatch, caplog):
    from vs_remaster.stills import painting

    load = painting.load_image_model

    def slow(*given):
        paint = load(*given)

        def at_work(luma):
            Image.fromarray(photograph()).save(folder / "0000003.png")
            return paint(luma)

        return at_work

    monkeypatch.setattr(painting, "load_image_model", slow)
    assert [path.name for path in color_references(folder, MODEL, **HOW)] == ["0000012.png"]
    assert "0000003.png was changed meanwhile" in caplog.text
    assert np.array_equal(np.asarray(Image.open(folder / "0000003.png")), photograph())


def test_pictures_that_are_no_png_are_named_before_anything_is_done(folder):
    Image.fromarray(gray(photograph())).save(folder / "9.jpg")
    before = (folder / NAME).read_text()
    with pytest.raises(InputError, match=r"9\.jpg is no PNG, and pictures are coloured in place: save it as png"):
        color_references(folder, MODEL, **HOW)
    assert (folder / NAME).read_text() == before


def test_files_that_colour_nothing_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        load_image_model(tmp_path / "none.pth", "cpu")
    with pytest.raises(InputError, match="is a folder"):
        load_image_model(tmp_path, "cpu")
    for name in ("colorizer-fast", "restorer-fast"):
        with pytest.raises(InputError, match="does not guess colours"):
            load_image_model(WEIGHTS / f"{name}.safetensors", "cpu")


def test_without_spandrel_it_is_said_what_to_install(tmp_path, monkeypatch):
    from vs_remaster.stills import image_models

    def missing(name: str) -> None:
        raise ImportError(name)

    (tmp_path / "a.pth").write_bytes(b"none")
    monkeypatch.setattr(image_models, "import_module", missing)
    with pytest.raises(UnsupportedError, match=r"pip install 'vs-remaster\[models\]'"):
        load_image_model(tmp_path / "a.pth", "cpu")


def test_an_origin_is_said_in_a_manifest_that_a_person_wrote(tmp_path):
    toml = tmp_path / NAME
    set_origin(tmp_path, ["5.png"], "model", Origin(weight=0.5))
    held = read_manifest(toml)
    assert held.entries[0].origin == "model" and held.entries[0].frame == 5 and held.origins["model"].weight == 0.5
    text = '# mine\n[[reference]]\npicture = "5.png"  # the ball\nweight = 2\n\n[origin.old]\nweight = 3e-1  # so\n'
    toml.write_text(text)
    set_origin(tmp_path, ["5.png", "6.png"], "model", Origin(weight=0.5))
    held, written = read_manifest(toml), toml.read_text()
    assert [(one.picture, one.origin) for one in held.entries] == [("5.png", "model"), ("6.png", "model")]
    assert held.origins == {"old": Origin(weight=0.3), "model": Origin(weight=0.5)}
    assert all(part in written for part in ("# mine\n", "# the ball", "weight = 3e-1  # so"))


# The command line ----------------------------------------------------------------------------------------------------


FAST = ("--device", "cpu", "--precision", "fp32", "--model", "fast", "--color-lines", "64")


def test_the_command_colours_a_folder(folder, capsys):
    assert cli.main(["references", "colorize", str(folder), "--image-model", str(MODEL), "--device", "cpu"]) == 0
    assert "2 pictures in" in capsys.readouterr().out
    assert cli.main(["references", "colorize", str(folder), "--image-model", str(folder / "no.pth")]) == 0  # all done
    assert cli.main(["references", "colorize", str(folder), "--image-model", "no.pth", "--overwrite"]) == 2
    assert "no such file or folder: no.pth" in capsys.readouterr().err


@pytest.mark.parametrize("job", [False, True])
def test_a_film_is_coloured_without_a_painter(tmp_path, capsys, job):
    film, outputs = tmp_path / "film.mkv", [tmp_path / "a.mkv", tmp_path / "b.mkv"]
    write_film(film, (16, 16))
    by = ("--automatic", "--image-model", str(MODEL), "--codec", "ffv1", "--no-restore", *FAST)
    for output in outputs:
        more = ("--job", str(output.with_suffix(".job")), "--shares", str(output.with_suffix(".json"))) if job else ()
        assert cli.main(["run", str(film), "-o", str(output), *by, *more]) == 0, capsys.readouterr().err
    frames = []
    for output in outputs:
        with VideoReader(output) as reader:
            frames.append([np.concatenate([plane.ravel() for plane in frame.planes]) for frame in reader])
    assert len(frames[0]) == 32 and all(map(np.array_equal, *frames))
    told = capsys.readouterr().out
    assert "coloured by colorizer-automatic.safetensors" in told
    if job:
        kept = tmp_path / "a.job" / "aligned" / "image-model-0"
        assert (kept / NAME).exists() and load_references(kept)[0].weight == 0.25
        again = ["run", str(film), "-o", str(outputs[0]), *by, "--job", str(tmp_path / "a.job"), "--overwrite"]
        assert cli.main(again) == 0
        assert "are used again" in capsys.readouterr().out


def test_the_command_s_default_is_the_library_s():
    told = make_parser().parse_args(["references", "colorize", "refs", "--image-model", "a.pth"])
    assert (told.weight, told.device) == (WEIGHT, "auto")


def test_an_image_model_is_of_automatic(tmp_path, capsys):
    for more in ((), ("--automatic", "--no-color")):
        given = ["run", "film.mkv", "-o", str(tmp_path / "a.mkv"), "--image-model", "a.pth", *more]
        assert cli.main(given) == 2
        assert "--image-model a.pth is of --automatic" in capsys.readouterr().err


# DDColor --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ddcolor(tmp_path_factory) -> Path:
    """DDColor's network with random weights, as its published file is laid out."""
    pytest.importorskip("spandrel", reason="needs spandrel: pip install 'vs-remaster[models]'")
    pytest.importorskip("spandrel_extra_arches", reason="needs spandrel: pip install 'vs-remaster[models]'")
    DDColor = import_module("spandrel_extra_arches.architectures.DDColor").DDColor

    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = DDColor(
            encoder_name="convnext-t", num_output_channels=2, last_norm="Spectral", num_queries=100, dec_layers=9
        )
        net.train()(torch.rand(1, 3, 256, 256))  # the norms of its weights are found in training
    state = net.state_dict()
    state["refine_net.0.0.bias"] = torch.tensor([20.0, -30.0])  # a* and b*, which random weights leave near 0
    path = tmp_path_factory.mktemp("models") / "ddcolor.pth"
    torch.save({"params": state}, path)
    return path


def test_ddcolor_s_weights_colour_pictures(folder, ddcolor):
    paint = load_image_model(ddcolor, "cpu")
    luma = torch.from_numpy(gray(photograph())[..., 0] / 255).float()[None]
    chroma = paint(luma)
    assert chroma.shape == (2, *luma.shape[1:]) and chroma.abs().mean() > 0.02
    assert torch.equal(chroma, load_image_model(ddcolor, "cpu")(luma))
    assert len(color_references(folder, ddcolor, **HOW)) == 2
    assert {one.origin for one in load_references(folder) if one.weight < 1} == {"image-model:ddcolor.pth"}


def test_files_that_spandrel_does_not_know_are_one_line(tmp_path):
    pytest.importorskip("spandrel", reason="needs spandrel: pip install 'vs-remaster[models]'")
    (tmp_path / "a.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"a\.pth' holds no model that spandrel knows") as error:
        load_image_model(tmp_path / "a.pth", "cpu")
    assert "\n" not in str(error.value)
