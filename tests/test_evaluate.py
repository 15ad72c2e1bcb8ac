"""The evaluation on small clips: scores land in the right places, the cache changes nothing, pictures are written."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from export import evaluate, metrics
from export.damage import Damaged

SIZE = 64, 96


def coloured_frames(count: int) -> np.ndarray:
    """A coloured texture that moves right by a pixel a frame, uint8 [T, H, W, 3]."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    frames = []
    for t in range(count):
        waves = [np.sin((x - t) / a + y / b + c) for a, b, c in ((5, 9, 0), (7, -4, 1), (11, 6, 2))]
        frames.append(127.5 + 50 * np.stack([sum(waves) / 2 + wave / 2 for wave in waves], axis=-1))
    return np.stack(frames).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "video" / "val").mkdir(parents=True)
    with av.open(str(folder / "video" / "val" / "moving.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "bgr0"
        for pixels in coloured_frames(12):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return folder


def test_colour_tables_cache_and_pictures(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["colorize", "--data", str(data), "--rivals-only", "--lines", str(SIZE[0])]
    evaluate.main(arguments)
    fresh = capsys.readouterr().out
    for _ in range(2):
        evaluate.main([*arguments, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")])
        assert capsys.readouterr().out == fresh
    assert len(list((tmp_path / "cache").iterdir())) == len(evaluate.COLOR_RIVALS)
    picture = cv2.imread(str(tmp_path / "out" / "colorize-moving.png"))
    samples, methods = len(evaluate.sample_times(12)), len(evaluate.COLOR_RIVALS) + 1
    assert picture.shape == (24 + samples * SIZE[0], methods * SIZE[1], 3)
    assert np.abs(picture[24:88, -SIZE[1] :, ::-1].astype(int) - coloured_frames(12)[3]).max() <= 2

    rgb = torch.from_numpy(coloured_frames(12)).permute(0, 3, 1, 2).float() / 255
    luma = (rgb * torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]).sum(dim=1, keepdim=True)
    gray = np.mean(metrics.frame_psnr(luma.expand_as(rgb), rgb)[1:])
    (line,) = (line for line in fresh.splitlines() if line.startswith("| gray |"))
    assert float(line.split("|")[6]) == pytest.approx(gray, abs=0.02)
    rows = {line.split("|")[1].strip(): line.split("|") for line in fresh.splitlines() if line.startswith("| flow")}
    assert all(float(row[6]) > gray + 5 for row in rows.values())


def test_color_scores_are_by_distance_from_the_reference() -> None:
    truth = torch.full((70, 3, 8, 8), 0.5)
    error = torch.tensor([0.5, *[0.1] * 9, *[0.01] * 20, *[0.001] * 30, *[0.1] * 10])  # frame 0 must not count
    scores = evaluate.color_scores(truth + error[:, None, None, None], truth)
    found = [scores[evaluate.bucket_name(*bucket)] for bucket in evaluate.BUCKETS]
    assert found == pytest.approx([20, 40, 60, 20], abs=0.01)
    assert scores["RGB"] == pytest.approx((9 * 20 + 20 * 40 + 30 * 60 + 10 * 20) / 69, abs=0.01)


def test_restore_scores_of_a_perfect_and_of_an_idle_method() -> None:
    truth = torch.from_numpy(coloured_frames(6)).float().mean(dim=-1)[:, None] / 255
    frames = truth * 0.8 + 0.05
    frames[3, 0, 20:30, 20:30] = 1.0
    results = evaluate.restore_clip(
        Damaged(frames, truth, torch.zeros_like(truth)), lambda _: truth, evaluate.Cache(None)
    )
    perfect, idle, clean = (results[name].scores for name in ("ours", "input", "truth"))
    assert perfect["PSNR"] == perfect["PSNR fitted"] == perfect["PSNR L*"] == metrics.BEST
    assert perfect["SSIM"] == pytest.approx(1)
    assert perfect["temporal"] == 0
    assert perfect["warp"] == clean["warp"] < idle["warp"]
    assert idle["PSNR"] == pytest.approx(metrics.psnr(frames, truth))
    assert idle["PSNR"] < idle["PSNR fitted"] < results["3-frame median"].scores["PSNR fitted"]
    assert len(results) == len(evaluate.RESTORE_RIVALS) + 2


def test_a_folder_without_clips_is_an_error_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "video" / "val").mkdir(parents=True)
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(["colorize", "--data", str(tmp_path), "--rivals-only"])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "no videos in" in message and message.count("\n") == 1
