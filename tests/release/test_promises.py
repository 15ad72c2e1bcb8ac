"""Long tests of what the README promises: flat memory, and quality on the validation clips with the shipped weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from export import benchmark, evaluate


def test_memory_does_not_grow_with_the_film():
    assert benchmark.main(["--memory"]) < 50


def test_memory_of_a_vapoursynth_script_does_not_grow_with_the_film():
    pytest.importorskip("vapoursynth")
    assert benchmark.main(["--vapoursynth", "--memory", "--color-lines", "96"]) < 50


def test_vapoursynth_adds_little_to_the_time_of_the_networks():
    pytest.importorskip("vapoursynth")
    assert all(share <= 0.1 for share in benchmark.main(["--vapoursynth", "--repeats", "3"]).values())


def column(text: str, method: str, name: str) -> float:
    """A number of the first table with such a column: row `method`, column `name`."""
    lines = [re.split(r"\s*\|\s*", line.strip("| ")) for line in text.splitlines() if line.startswith("|")]
    head = next(line for line in lines if name in line)
    row = next(line for line in lines if line[0].startswith(method))
    return float(row[head.index(name)])


@pytest.mark.data
def test_restoration_beats_simple_filters_by_what_the_model_card_says(data_folder: Path, capsys):
    evaluate.main(["restore", "--data", str(data_folder)])
    text = capsys.readouterr().out
    ours = column(text, "ours", "PSNR fitted")
    assert ours > column(text, "input", "PSNR fitted") + 6.3
    assert ours > max(column(text, "3-frame median", "PSNR fitted"), column(text, "NLM", "PSNR fitted"))
    assert float(re.search(r"Clean input: ([\d.]+) dB", text)[1]) > 55


@pytest.mark.data
@pytest.mark.parametrize("model, gain, first, itself", [("fast", 12.5, 2, 45), ("quality", 13.5, 0, 50)])
def test_colour_beats_gray_and_from_a_distance_on_optical_flow(data_folder: Path, capsys, model, gain, first, itself):
    evaluate.main(["colorize", "--data", str(data_folder), "--model", f"ours={model}"])
    text = capsys.readouterr().out
    assert column(text, "ours", "RGB") > column(text, "gray", "RGB") + gain
    for bucket in ("RGB 1-9", "RGB 10-29", "RGB 30-59", "RGB 60+")[first:]:
        assert column(text, "ours", bucket) > column(text, "flow, frame to frame", bucket)
    assert float(re.search(r"Reference equal to the frame: ([\d.]+) dB ab", text)[1]) > itself
