"""The evaluation on small clips: scores land in the right places, the cache changes nothing, pictures are written."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from export import evaluate
from export.curves import main as curves
from export.curves import read_curve
from export.evaluation import cases, enlarging, methods, peers, report
from export.evaluation.cases import Case, Source
from export.evaluation.protocols import FilmProtocol, FirstFrameProtocol, RemasterProtocol, RestoreProtocol
from export.scores import metrics
from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.errors import InputError
from vs_remaster.models.sharpener import enlarged

SIZE = 64, 96


def coloured_frames(count: int, scale: float = 1.0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A coloured texture that moves right by a pixel a frame, uint8 [T, H, W, 3]; another `scale` is another one."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32) / scale
    frames = []
    for t in range(count):
        waves = [np.sin((x - t) / a + y / b + c) for a, b, c in ((5, 9, 0), (7, -4, 1), (11, 6, 2))]
        frames.append(127.5 + 50 * np.stack([sum(waves) / 2 + wave / 2 for wave in waves], axis=-1))
    return np.stack(frames).astype(np.uint8)


def as_clip(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255


def write(path: Path, frames: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    peers.write_lossless(path, as_clip(frames))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "video" / "val" / "moving.mkv", coloured_frames(12))
    return folder


@pytest.fixture(scope="module")
def long_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of 160 frames, alike in nothing."""
    folder = tmp_path_factory.mktemp("long")
    write(folder / "a.mkv", coloured_frames(160))
    write(folder / "b.mkv", coloured_frames(160, scale=2.3)[:, ::-1, :, ::-1])
    return folder


def cells(text: str, row: str) -> list[str]:
    """The cells of the first table row that begins with `row`."""
    return next([c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith(f"| {row}"))


def test_colour_tables_cache_and_pictures(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["colorize", "--data", str(data), "--rivals-only", "--lines", str(SIZE[0])]
    evaluate.main(arguments)
    fresh = capsys.readouterr().out
    for _ in range(2):
        evaluate.main([*arguments, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")])
        assert capsys.readouterr().out == fresh
    names = methods.DEFAULT_PEERS["colorize"]
    assert len(list((tmp_path / "cache").iterdir())) == len(names)
    picture = cv2.imread(str(tmp_path / "out" / "colorize-moving.png"))
    samples = len(report.sample_times(12))
    assert picture.shape == (24 + samples * SIZE[0], (len(names) + 1) * SIZE[1], 3)
    assert np.abs(picture[24:88, -SIZE[1] :, ::-1].astype(int) - coloured_frames(12)[3]).max() <= 2

    rgb = as_clip(coloured_frames(12))
    gray = np.mean(metrics.frame_psnr(rgb_to_ycbcr(rgb)[:, :1].expand_as(rgb), rgb)[1:])
    column = cells(fresh, "method").index("RGB")
    assert float(cells(fresh, "gray")[column]) == pytest.approx(gray, abs=0.02)
    for row in ("flow, frame to frame", "flow, added up"):
        assert float(cells(fresh, row)[column]) > gray + 5
    assert float(cells(fresh, "colour transfer")[column]) > gray


def test_colour_of_fast_clips_has_a_table_of_its_own(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(data / "video" / "val", tmp_path / "video" / "val")
    shutil.copytree(data / "video" / "val", tmp_path / "video" / "val-motion")
    arguments = ["colorize", "--data", str(tmp_path), "--rivals-only", "--lines", str(SIZE[0]), "--peers", "gray"]
    evaluate.main(arguments)
    calm, fast = capsys.readouterr().out.split("Clips of val-motion.")
    assert "RGB 1-9" in cells(calm, "method") and "RGB 1-5" in cells(fast, "method")
    evaluate.main([*arguments, "--clips-from", "val-motion"])
    assert capsys.readouterr().out.split("Clips of val-motion.")[1] == fast


def test_color_scores_are_by_distance_from_the_reference() -> None:
    truth = torch.full((70, 3, 8, 8), 0.5)
    error = torch.tensor([0.5, *[0.1] * 9, *[0.01] * 20, *[0.001] * 30, *[0.1] * 10])  # frame 0 must not count
    case = Case("flat", truth[:, :1], truth, references=cases.references_of(truth))
    protocol = FirstFrameProtocol()
    scores, frames = protocol.scorer(case)(truth + error[:, None, None, None])
    assert [scores[name] for name in list(protocol.formats)[:4]] == pytest.approx([20, 40, 60, 20], abs=0.01)
    assert list(protocol.formats)[:4] == ["RGB 1-9", "RGB 10-29", "RGB 30-59", "RGB 60+"]
    assert scores["RGB"] == pytest.approx((9 * 20 + 20 * 40 + 30 * 60 + 10 * 20) / 69, abs=0.01)
    assert math.isnan(frames[0]) and frames[1:3] == pytest.approx([20, 20], abs=0.01)


def test_restore_scores_of_a_perfect_and_of_an_idle_method() -> None:
    truth = as_clip(coloured_frames(6)).mean(dim=1, keepdim=True)
    frames = truth * 0.8 + 0.05
    frames[3, 0, 20:30, 20:30] = 1.0
    results = evaluate.measure_clip(
        Case("clip", frames, truth, (frames == 1).float(), truth),
        RestoreProtocol(extra=["overshoot"]),
        {"ours": lambda case: case.truth},
        methods.peers_of("restore"),
        "restore",
        report.Cache(None),
    )
    perfect, idle, clean = (results[name].scores for name in ("ours", "input", "truth"))
    assert perfect["PSNR"] == perfect["PSNR fitted"] == perfect["PSNR L*"] == metrics.BEST
    assert perfect["SSIM"] == pytest.approx(1)
    assert perfect["temporal"] == perfect["overshoot"] == 0
    assert perfect["inside"] == metrics.BEST and perfect["detail"] == perfect["correlation"] == pytest.approx(1)
    assert idle["inside"] == pytest.approx(metrics.psnr(frames[3, 0, 20:30, 20:30], truth[3, 0, 20:30, 20:30]))
    assert idle["overshoot"] == pytest.approx(float(metrics.overshoot(frames, truth))) and idle["detail"] > 0.64
    assert "left" not in idle
    assert perfect["warp"] == clean["warp"] < idle["warp"]
    assert idle["PSNR"] == pytest.approx(metrics.psnr(frames, truth))
    assert idle["PSNR"] < idle["PSNR fitted"] < results["3-frame median"].scores["PSNR fitted"]
    assert list(results) == ["input", "3-frame median", "NLM multi (h 11, 5 frames)", "ours", "truth"]
    assert results["ours"].milliseconds > 0 and results["input"].milliseconds is None
    assert np.argmin(results["input"].frames) == 3
    assert results["3-frame median"].frames[3] > results["input"].frames[3] + 2


def test_remaster_scores_are_those_of_lab() -> None:
    truth = as_clip(coloured_frames(5))
    case = Case("clip", truth[:, :1], truth, references=cases.references_of(truth))
    gray = methods.to_rgb(rgb_to_ycbcr(truth)[:, :1], torch.zeros(5, 2, *SIZE))
    scores, frames = RemasterProtocol().scorer(case)(gray)
    assert scores["Lab"] == pytest.approx(np.mean([metrics.psnr_lab(gray[t], truth[t]) for t in range(1, 5)]))
    assert scores["ab"] == pytest.approx(np.mean([metrics.psnr_ab(gray[t], truth[t]) for t in range(1, 5)]))
    assert scores["L"] > scores["ab"] + 5  # only the colour is missing
    assert np.nanmean(frames) == pytest.approx(scores["Lab"])


def test_film_scores_tell_flicker_from_noise_and_leave_cuts_out() -> None:
    still = as_clip(coloured_frames(1))[:, :1].expand(6, -1, -1, -1)
    flicker = still + torch.tensor([0, 0.05, 0, 0.3, 0.35, 0.3])[:, None, None, None]
    scores, frames = FilmProtocol().scorer(Case("film", flicker, cuts=(3,)))(flicker)
    assert [scores["change"], scores["brightness"]] == pytest.approx([5, 5], abs=0.01)  # % of white
    assert [math.isnan(value) for value in frames] == [True, False, False, True, False, False]
    noise = still + 0.1 * torch.randn(still.shape, generator=torch.Generator().manual_seed(0))
    scores, _ = FilmProtocol().scorer(Case("film", noise))(noise)
    assert scores["brightness"] < 1 < scores["change"]


# What is measured on -------------------------------------------------------------------------------------------------


def test_films_are_joined_from_clips_of_any_shape(tmp_path: Path) -> None:
    shapes = {"a": (12, (64, 96)), "b": (10, (96, 64)), "c": (9, (60, 80)), "d": (30, (64, 96))}
    made = {name: coloured_frames(count, size=size) for name, (count, size) in shapes.items()}
    files = [write(tmp_path / f"{name}.mkv", frames) for name, frames in made.items()]
    films = list(cases.joined_films(files, 20, 48))
    assert [(name, len(rgb), starts) for name, rgb, starts in films] == [("film-1", 20, [12]), ("film-2", 20, [9])]
    assert all(rgb.shape[1:] == (3, 48, 64) for _, rgb, _ in films)
    # c is 4:3, so it is only shrunk: nothing cut off
    small = cv2.resize(made["c"][4], (64, 48), interpolation=cv2.INTER_AREA)
    assert (films[1][1][4].permute(1, 2, 0) * 255 - torch.from_numpy(small).float()).abs().max() <= 1
    with pytest.raises(InputError, match="61 frames; a film needs 300"):
        list(cases.joined_films(files, 300, 48))


def test_the_protocol_of_300_frames(long_clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (case,) = cases.color_cases(Source(paths=[long_clips]), "300", lines=48)
    assert len(case.luma) == 300
    assert [reference.frame for reference in case.references] == [0, 60, 120, 180, 240]
    assert torch.equal(case.references[3].rgb, case.truth[180])
    assert case.cuts == (160,)
    assert "2 clips joined at 160; cuts found at 1 of these 1 frames and at 0 others" in capsys.readouterr().err


def test_the_protocol_of_90_frames_takes_long_clips_only(long_clips: Path, data: Path, capsys) -> None:
    source = Source(paths=[long_clips, data / "video" / "val"], frames=5)
    found = list(cases.color_cases(source, "90", lines=48))
    assert [(case.name, len(case.luma), len(case.references)) for case in found] == [("a", 5, 1), ("b", 5, 1)]
    assert "shorter than 90 frames: moving" in capsys.readouterr().err
    with pytest.raises(InputError, match="no clip has 90 frames"):
        list(cases.color_cases(Source(data), "90"))


def test_clips_are_videos_or_folders_of_pictures(tmp_path: Path) -> None:
    frames = coloured_frames(3)
    video = write(tmp_path / "clips" / "video.mkv", frames)
    (tmp_path / "clips" / "pictures").mkdir()
    for t, picture in enumerate(frames):
        cv2.imwrite(str(tmp_path / "clips" / "pictures" / f"{t:08d}.png"), picture[..., ::-1])
    assert Source(paths=[tmp_path / "clips"]).files() == [tmp_path / "clips" / "pictures", video]
    for in_color in (True, False):
        one, other = (rgb for _, rgb in Source(paths=[tmp_path / "clips"]).read(None, in_color))
        assert torch.equal(one, other) and one.shape == (3, 3 if in_color else 1, *SIZE)
    (_, shrunk), _ = Source(paths=[tmp_path / "clips"]).read(32, True, frames=2)
    assert shrunk.shape == (2, 3, 32, 48)
    with pytest.raises(InputError, match="no such file or folder"):
        Source(paths=[tmp_path / "nothing"]).files()
    with pytest.raises(InputError, match="--clips-folder"):
        Source().files()


def test_a_seed_gives_other_damage_than_the_frozen_one(data: Path) -> None:
    source = Source(paths=[data / "video" / "val"], frames=2)
    seeds = (None, None, 5, 5)
    frozen, again, other, same = (next(cases.restore_cases(source, lines=64, seed=seed)).luma for seed in seeds)
    assert torch.equal(frozen, again) and torch.equal(other, same)
    assert metrics.psnr(frozen, other) < 35


# What is compared ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program that makes films brighter, as a command line; its last argument makes it fail in several ways."""
    script = tmp_path_factory.mktemp("a folder") / "tool.py"
    script.write_text(
        "import sys, av, numpy as np\n"
        "source, target, how = sys.argv[1:4]\n"
        "if how == 'fail': sys.exit('out of film')\n"
        "if how == 'nothing': sys.exit()\n"
        "with av.open(source) as film: frames = [f.to_ndarray(format='rgb24') for f in film.decode(video=0)]\n"
        "if how == 'short': frames.pop()\n"
        "if len(sys.argv) > 4:\n"
        "    import pathlib, cv2\n"
        "    (name,) = pathlib.Path(sys.argv[4]).iterdir()\n"
        "    assert name.name == '000000.png'\n"
        "    frames = [np.asarray(cv2.imread(str(name))[..., ::-1]) for _ in frames]\n"
        "with av.open(target, 'w') as film:\n"
        "    stream = film.add_stream('ffv1', rate=25)\n"
        "    stream.height, stream.width = frames[0].shape[:2]\n"
        "    stream.pix_fmt = 'bgr0'\n"
        "    for pixels in frames:\n"
        "        pixels = np.minimum(pixels, 245) + 10 if len(sys.argv) == 4 else np.ascontiguousarray(pixels)\n"
        "        picture = av.VideoFrame.from_ndarray(pixels.astype(np.uint8), format='rgb24')\n"
        "        film.mux(stream.encode(picture.reformat(format='bgr0')))\n"
        "    film.mux(stream.encode())\n"
    )
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} {{input}} {{output}}"


def test_another_program_is_run_on_a_lossless_clip(tool: str) -> None:
    clip = torch.from_numpy(coloured_frames(3)[..., 0]).float()[:, None] / 255
    brighter = peers.Command(f"{tool} work")(clip, in_color=False)
    assert torch.equal((brighter * 255).round(), (clip * 255).clamp(max=245) + 10)
    rgb = as_clip(coloured_frames(3))
    first = peers.Command(f"{tool} work {{references}}")(rgb[:, :1], cases.references_of(rgb), in_color=True)
    assert torch.equal(first, rgb[:1].expand_as(rgb))


def test_a_program_that_fails_is_one_clear_error(tool: str) -> None:
    clip = torch.zeros(3, 1, 16, 24)
    for how, said in (
        ("fail", "failed with status 1; the last it said: out of film"),
        ("nothing", "wrote no {output}"),
        ("short", "wrote 2 frames of 24x16; it has to keep the input's 3 of 24x16"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            peers.Command(f"{tool} {how}")(clip, in_color=False)
    with pytest.raises(InputError, match="cannot run"):
        peers.Command("there-is-no-such-program {input} {output}")(clip, in_color=False)
    with pytest.raises(InputError, match=re.escape("lacks {output}")):
        peers.Command("cp {input} out.mkv")
    with pytest.raises(InputError, match="cannot split"):
        peers.Command("cp '{input} {output}")


def test_labels_of_models_and_commands(root: Path) -> None:
    weights = root / "weights" / "restorer-fast.safetensors"
    assert list(methods.networks_of("restore", ["fast"])) == ["ours"]
    assert list(methods.networks_of("restore", [f"mine={weights}", str(weights)])) == ["mine", "restorer-fast"]
    assert list(methods.commands_of("restore", ["cp {input} {output}", "b=cp {input} {output}"])) == ["cp", "b"]
    with pytest.raises(InputError, match="two models are called 'fast'"):
        methods.networks_of("restore", ["fast", "fast"])
    with pytest.raises(InputError, match="remaster needs two networks"):
        methods.networks_of("remaster", [str(weights)])
    with pytest.raises(InputError, match="no peer 'bm4d'; use input, median, nlm, bm3d"):
        methods.peers_of("restore", ["bm4d"])


def test_networks_peers_and_a_program_side_by_side_in_tables_and_json(
    data: Path, tool: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.main([
        "restore", "--clips-folder", str(data / "video" / "val"), "--frames", "3", "--lines", "64", "--threads", "1",
        "--model", "fast", "--model", f"file={root / 'weights' / 'restorer-fast.safetensors'}",
        "--sets", "frozen", "--peers", "input", "--command", f"brighter={tool} work",
        "--json", str(tmp_path / "scores.json"),
    ])  # fmt: skip
    text = capsys.readouterr().out
    assert "1 clips, validation set frozen without masks" in text
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][:7] == [
        "method", "---", "input", "brighter", "fast", "file", "truth",
    ]  # fmt: skip
    assert "Clean input, fast: " in text and "Clean input, file: " in text
    stored = json.loads((tmp_path / "scores.json").read_text())
    assert stored["task"] == "restore" and stored["options"]["frames"] == 3
    found = stored["tables"]["restore-frozen"]
    clip = found["clips"]["moving"]
    assert clip["fast"]["scores"] == clip["file"]["scores"]
    assert clip["fast"]["ms/frame"] > 0
    assert len(clip["brighter"]["frames"]) == 3
    assert clip["input"]["scores"]["PSNR"] == pytest.approx(found["means"]["input"]["PSNR"])
    shown = cells(text, "fast")[cells(text, "method").index("PSNR")]
    assert float(shown) == pytest.approx(clip["fast"]["scores"]["PSNR"], abs=0.006)


def test_each_set_and_folder_has_a_table_of_its_own(data: Path, tmp_path: Path, capsys) -> None:
    for folder, frames in {"val": coloured_frames(4), "val-motion": coloured_frames(4, scale=2.0)}.items():
        write(tmp_path / "video" / folder / f"of-{folder}.mkv", frames)
    (tmp_path / "damage" / "val" / "dots").mkdir(parents=True)
    cv2.imwrite(
        str(tmp_path / "damage" / "val" / "dots" / "0.png"),
        cv2.circle(np.zeros((40, 40), np.uint8), (20, 20), 15, 255, -1),
    )
    common = ["restore", "--rivals-only", "--peers", "input", "--json", str(tmp_path / "scores.json")]
    evaluate.main([*common, "--data", str(tmp_path)])
    text = capsys.readouterr().out
    tables = json.loads((tmp_path / "scores.json").read_text())["tables"]
    names = [f"restore-{kind}{folder}" for folder in ("", "-val-motion") for kind in ("frozen", "paper", "blotches")]
    assert list(tables) == names
    assert [list(table["clips"]) for table in tables.values()] == [["of-val"]] * 3 + [["of-val-motion"]] * 3
    assert len({table["means"]["input"]["PSNR"] for table in tables.values()}) == 6
    assert all({"inside", "detail", "correlation"} < set(table["means"]["input"]) for table in tables.values())
    assert "1 clips of val, validation set paper;" in text and "1 clips of val-motion, validation set blotches;" in text
    evaluate.main([*common, "--data", str(tmp_path), "--clips-from", "val-motion", "--sets", "blur-1.2,grain-0.05"])
    capsys.readouterr()
    blur, grain = json.loads((tmp_path / "scores.json").read_text())["tables"].values()
    assert blur["means"]["input"]["detail"] < 0.9 < 1.1 < grain["means"]["input"]["detail"]
    assert "overshoot" in blur["means"]["input"] and "overshoot" not in grain["means"]["input"]
    assert "inside" not in blur["means"]["input"]
    for wrong, said in {
        "--sets frozen,dust": "unknown 'dust'; choose from frozen, paper, blotches, blur-0.8",
        "--sets paper --only dust": "--only takes the set frozen apart",
        f"--clips-from val --clips-folder {data}": "leave one of them out",
    }.items():
        with pytest.raises(SystemExit, match="2"):
            evaluate.main([*common, "--data", str(tmp_path), *wrong.split()])
        assert said in capsys.readouterr().err


def test_one_kind_of_damage_alone_is_made_and_what_is_left_of_it_measured(data: Path, capsys) -> None:
    common = [
        "restore",
        "--clips-folder",
        str(data / "video" / "val"),
        "--frames",
        "3",
        "--clips",
        "1",
        "--peers",
        "input",
        "--device",
        "cpu",
    ]
    evaluate.main([*common, "--only", "scratches", "dust"])
    text = capsys.readouterr().out
    assert "only scratches, dust" in text
    left = {name: float(cells(text, name)[cells(text, "method").index("left")]) for name in ("input", "ours")}
    assert left["input"] == 1 and 0 < left["ours"] < 1
    with pytest.raises(SystemExit):
        evaluate.main([*common, "--only", "rust"])
    assert "unknown damage ['rust']; choose from" in capsys.readouterr().err
    soiled, truth = torch.full((2, 1, 8, 8), 0.9), torch.full((2, 1, 8, 8), 0.5)
    dirt = (torch.arange(8) < 4).float().expand(2, 1, 8, 8)
    assert metrics.dirt_left(soiled.lerp(truth, 0.75 * dirt), soiled, truth, dirt) == pytest.approx(0.25)
    assert (
        metrics.dirt_left(soiled, soiled, truth, 0 * dirt) is None
        and metrics.dirt_left(truth, truth, truth, dirt) is None
    )


def test_networks_are_measured_at_a_strength() -> None:
    case = Case("clip", torch.rand(3, 1, *SIZE))
    none, half, all_ = (
        methods.networks_of("restore", ["fast"], methods.NetworkOptions("cpu", strength=strength))["ours"](case)
        for strength in (0.0, 0.5, 1.0)
    )
    assert torch.equal(none, case.luma) and (all_ - none).abs().mean() > 0.02
    assert (half - (none + all_) / 2).abs().mean() < 0.01  # but for values cut off at black and white


def test_networks_are_told_where_the_dirt_is() -> None:
    """Also as rows of their own; undamaged film has none."""
    truth = torch.linspace(0.2, 0.8, 96).expand(3, 1, 64, 96).contiguous()
    dirt = torch.zeros_like(truth)
    dirt[1, :, 20:30, 30:50] = 1
    case = Case("clip", torch.where(dirt > 0, 0.5 * truth, truth), truth, dirt, truth)
    both = methods.networks_of("restore", ["fast"], methods.NetworkOptions("cpu", dirt_known=True))
    assert list(both) == ["ours", "ours, dirt known"]
    plain, told = (metrics.psnr_inside(method(case), truth, dirt) for method in both.values())
    assert told > 35 and told > plain
    same = {RestoreProtocol().itself(method, case)[0] for method in both.values()}
    assert len(same) == 1
    with pytest.raises(SystemExit):
        evaluate.main(["colorize", "--dirt-known"])


def test_colours_of_an_enlarged_clip_come_back_to_its_size(data: Path) -> None:
    rgb = as_clip(coloured_frames(2))
    case = Case("clip", rgb_to_ycbcr(rgb)[:, :1], rgb, references=cases.references_of(rgb))
    small, large = (
        methods.networks_of("colorize", ["fast"], methods.NetworkOptions(shown_at=lines))["ours"](case)
        for lines in (None, 3 * SIZE[0])
    )
    assert large.shape == small.shape
    assert torch.equal(rgb_to_ycbcr(large)[:, 0] > 0.5, rgb_to_ycbcr(small)[:, 0] > 0.5), "the luma is the clip's own"
    gray = case.luma.expand_as(rgb)
    assert metrics.psnr(large, rgb) > metrics.psnr(gray, rgb) + 3


def test_what_enlarges_keeps_pixels_where_they_are() -> None:
    y, x = np.mgrid[:64, :96].astype(np.float32)
    wave = torch.from_numpy(0.5 + 0.3 * np.sin(x / 9) * np.cos(y / 7))[None, None]
    half = torch.nn.functional.avg_pool2d(wave, 2)
    made = {"lanczos": enlarging.lanczos(half), "cubic": enlarged(half)}
    if enlarging.has_nnedi3():
        made["nnedi3"] = enlarging.nnedi3(half)
    for name, large in made.items():
        assert large.shape == wave.shape, name
        assert metrics.psnr(large[..., 8:-8, 8:-8], wave[..., 8:-8, 8:-8]) > 50, name


def test_enlarging_has_a_table_for_each_kind_of_damage(data: Path, capsys) -> None:
    (case,) = cases.enlarge_cases(Source(data), "clean")
    assert case.truth is not None and case.luma.shape[-2:] == (32, 48) and case.truth.shape[-2:] == (64, 96)
    evaluate.main([*"enlarge --frames 2 --sets clean,blotches --clips-folder".split(), str(data / "video" / "val")])
    out = capsys.readouterr().out
    assert "clips of half the size, clean" in out and "validation set blotches" in out
    assert float(cells(out, "ours")[1]) > 25
    assert float(cells(out, "ours, then Lanczos")[1]) > 25


def test_a_film_is_restored_and_coloured_in_one(
    long_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.main([
        "remaster", "--clips-folder", str(long_clips / "a.mkv"), "--frames", "4", "--lines", "64", "--threads", "1",
        "--json", str(tmp_path / "scores.json"), "--out", str(tmp_path),
    ])  # fmt: skip
    text = capsys.readouterr().out
    assert "Remastering, 1 clips, 4 frames each, frame 0 as the only reference" in text
    stored = json.loads((tmp_path / "scores.json").read_text())
    clip = stored["tables"]["remaster-90"]["clips"]["a"]
    scores = {method: found["scores"] for method, found in clip.items()}
    assert scores["ours"]["L"] > scores["input + gray"]["L"]
    assert scores["ours"]["ab"] > scores["input + gray"]["ab"]
    assert clip["ours"]["frames"][0] is None
    assert (tmp_path / "remaster-90-a.png").is_file()


def test_real_film_is_measured_without_a_truth(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = str(data / "video" / "val" / "moving.mkv")
    evaluate.main(["film", "--clips-folder", clip, "--rivals-only", "--peers", "input", "median"])
    text = capsys.readouterr().out
    assert "Real film, 1 clips" in text and "truth" not in text
    column = cells(text, "method").index("change")
    assert float(cells(text, "3-frame median")[column]) < float(cells(text, "input")[column])


def test_plots_show_each_frame(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib, of the extra train")
    lines = {"one": [math.nan, 30.0, 31.0, 29.0], "other": [math.nan, 25.0, 25.5, 26.0]}
    results = {name: report.Result({}, values) for name, values in lines.items()}
    report.draw_frames(tmp_path / "plots" / "clip.png", "clip", "PSNR, dB", results)
    picture = cv2.imread(str(tmp_path / "plots" / "clip.png"))
    assert picture.shape == (400, 900, 3)
    blue = np.abs(picture.astype(int) - (180, 119, 31)).max(axis=-1) < 8  # matplotlib's first colour, as BGR
    assert blue.sum() > 300


def test_a_folder_without_clips_is_an_error_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "video" / "val").mkdir(parents=True)
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(["colorize", "--data", str(tmp_path), "--rivals-only", "--peers", "gray"])
    assert stopped.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "no videos in" in message


def test_curves_of_training_runs(tmp_path, capsys):
    for name in ("a", "b"):
        run = tmp_path / name
        run.mkdir()
        rows = [{"step": i, "minutes": float(i), "output": 20.0 + i} for i in range(3)]
        (run / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_curve(tmp_path / "a", "output") == ([0.0, 1.0, 2.0], [20.0, 21.0, 22.0])
    with pytest.raises(SystemExit, match="2"):
        curves([str(tmp_path / "c"), "--out", str(tmp_path / "no.png")])
    assert "give the --out folder of a training run" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        curves([str(tmp_path / "a"), "--figure", "ssim", "--out", str(tmp_path / "no.png")])
    assert "has no 'ssim'" in capsys.readouterr().err
    pytest.importorskip("matplotlib", reason="needs the package matplotlib")
    curves([f"one={tmp_path / 'a'}", str(tmp_path / "b"), "--out", str(tmp_path / "curves.png")])
    assert cv2.imread(str(tmp_path / "curves.png")).shape[2] == 3
