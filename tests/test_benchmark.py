"""The benchmark at tiny sizes: its tables have the rows asked for, memory is that of a fresh process, costs grow."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export import benchmark
from export.performance import cost, measurement
from export.performance.measurement import Job, Measured, in_child, latency, passage, resident_megabytes, run
from export.performance.stages import STAGES, Stages
from vs_remaster.errors import InputError, RemasterError
from vs_remaster.models import build
from vs_remaster.remaster.options import RestoreOptions
from vs_remaster.remaster.pipeline import RemasterPipeline
from vs_remaster.weights import save_weights

JOB = Job(
    task="restore",
    width=64,
    height=48,
    frames=20,
    references=1,
    engine="torch",
    precision="fp32",
    device="cpu",
    restorer="fast",
    colorizer="fast",
    lines=64,
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures in this process, which is faster; its memory then means nothing. A film needs its own all the same."""
    for module in (benchmark, cost):
        monkeypatch.setattr(module, "in_child", lambda job: in_child(job) if job.task == "film" else run(job))
    monkeypatch.setattr(measurement, "_CONV_INPUT", (1, 256, 1, 5, 6))


def tables(text: str) -> list[list[dict[str, str]]]:
    """The Markdown tables in a text, each row by the names of its columns."""
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        if rows:
            found.append([dict(zip(rows[0], row, strict=True)) for row in rows[2:]])
    return found


def in_this_process(job: Job, folder: Path) -> Measured:
    """Also a film, which lies in a folder."""
    source = folder / "film.mkv"
    measurement.write_film(source, job.frames, job.size)
    return run(replace(job, source=str(source)))


def test_speed_table_has_a_row_for_each_size_and_task(here, capsys, monkeypatch, tmp_path):
    films = []

    def measured(job: Job) -> Measured:
        """The first film in a process of its own, what else there is in this one."""
        films.extend([job] if job.task == "film" else [])
        return in_child(job) if films == [job] else in_this_process(job, tmp_path)

    monkeypatch.setattr(benchmark, "in_child", measured)
    arguments = "--sizes 64x48 128x96 --tasks restore --film --precision fp32 --frames 8 --references 1"
    benchmark.main([*arguments.split(), "--color-lines", "64", "--repeats", "1"])
    *rows, top = tables(capsys.readouterr().out)[0]
    wanted = [(size, task) for size in ("64x48", "128x96") for task in ("restore", "film")]
    assert [(row["size"], row["task"]) for row in rows] == wanted
    assert top["share of the ceiling"] == "100%" and float(top["GMAC/s"]) > 0
    for row in rows:
        assert float(row["frames/s"]) > 0 and float(row["latency, ms"]) > 0 and float(row["peak memory, MB"]) > 100
        assert 0 < int(row["share of the ceiling"].strip("%"))
    work = {(row["size"], row["task"]): float(row["GMAC a frame"]) for row in rows}
    assert work["128x96", "restore"] > 2 * work["64x48", "restore"]
    assert work["128x96", "film"] > work["128x96", "restore"]


def test_everything_is_measured_in_one_call(here, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "in_child", lambda job: in_this_process(job, tmp_path))
    arguments = "--everything --device cpu --engine torch tensorrt --precision fp32 --sizes 64x48 --frames 6"
    benchmark.main([*arguments.split(), "--references", "1", "--color-lines", "64"])
    text = capsys.readouterr().out
    fast, fast_stages, quality, quality_stages = tables(text)
    for speeds, stages in ((fast, fast_stages), (quality, quality_stages)):
        *rows, _ = speeds
        assert [row["task"] for row in rows] == ["restore", "colour", "both", "film"]
        assert all(float(row["frames/s"]) > 0 and (row["latency, ms"] == "") != (row["task"] == "film") for row in rows)
        assert rows[2]["GMAC a frame"] == rows[3]["GMAC a frame"] != rows[0]["GMAC a frame"]
        (row,) = stages
        took = {stage: float(row[stage].split()[0]) for stage in STAGES}
        assert all(took[stage] > 0 for stage in ("decode", "convert", "scenes", "restore", "colour", "encode"))
        assert took["up"] == took["down"] == 0, "on a CPU there is no bus"
        assert took["restore"] == max(took.values()) or took["colour"] == max(took.values())
        assert float(row["all at once"]) > took["restore"]
    assert text.count("Not measured: tensorrt fp32 64x48") == 8 and "engine 'tensorrt' is for GPUs" in text


def test_time_that_one_stage_asks_another_for_is_the_other_s():
    stages = Stages()
    with stages.of("convert"):
        time.sleep(0.02)
        with stages.of("up"):
            time.sleep(0.05)
    assert 0.02 <= stages.seconds["convert"] < 0.04 and 0.05 <= stages.seconds["up"] < 0.07


def test_memory_is_that_of_a_fresh_process():
    ballast = torch.ones(400 << 20, dtype=torch.uint8)
    found = in_child(JOB)
    own = resident_megabytes("VmHWM")
    assert own > len(ballast) >> 20
    assert 100 < found.idle < found.peak < own - 200


def test_latency_is_from_the_last_frame_needed_to_the_first_made():
    # Two blocks of two frames, each 0.5 s after the third and the fifth frame; then the end, which took 9 s.
    needed, given = [3, 3, 5, 5, 5, 5], [0.0, 1.0, 2.0, 3.0, 4.0]
    assert latency([3, 3, 4, 4, 5], given, [2.5, 2.6, 3.7, 3.8, 13.0]) == pytest.approx(0.6)
    assert latency(needed[2:], given, [4.5, 4.6, 4.7, 4.8]) == pytest.approx(0.5)


def test_frames_come_out_as_soon_as_their_block_can_be_made():
    pipeline = RemasterPipeline(RestoreOptions(model="fast", device="cpu", precision="fp32"), scenes="none")
    window, filling, sharpening = pipeline.restorer.windows
    frames = 2 * window.block + window.after
    needed, given, came = passage(pipeline, [torch.rand(1, 48, 64) for _ in range(3)], frames)
    assert len(needed) == len(came) == len(given) == frames
    assert sharpening.block == filling.block and 2 * filling.block == window.block
    assert needed[: filling.block] == [frames] * filling.block
    assert came == sorted(came) and came[0] > given[window.block + window.after - 1]


def test_exponents_and_their_names():
    work = [1, 2, 4, 8]
    for power, words in ((0, "flat"), (0.5, "less than linear"), (1, "linear"), (2, "more than linear")):
        found = cost.exponent([0, *work], [5.0, *(3.0 * x**power for x in work)])
        assert found == pytest.approx(power, abs=1e-9) and cost.growth(found) == words
    assert cost.growth(-0.5) == "falling"
    assert cost.growth(cost.exponent([4], [2.0])) == "unknown"


def test_tables_of_growth_say_what_grows():
    def measured(job: Job) -> tuple[Job, Measured]:
        seconds = 0.01 * job.frames
        return job, Measured(seconds=seconds, latency=0.1, encoding=0, peak=900, idle=600, macs=float("nan"))

    series = [[measured(job) for job in cost.variants("length", JOB, [48, 24, 96])]]
    (rows,), (growth,) = tables(cost.cost_table("length", series)), tables(cost.growth_table("length", series))
    assert [(row["length"], row["seconds"], row["working, MB"]) for row in rows] == [
        ("24", "0.24", "300"),
        ("48", "0.48", "300"),
        ("96", "0.96", "300"),
    ]
    assert list(growth[0].values()) == ["torch fp32 restore", "1.00", "1.00", "linear", "0.00", "0.00", "flat"]
    blind = [[(job, replace(found, peak=float("nan"))) for job, found in series[0]]]
    (rows,), (growth,) = tables(cost.cost_table("length", blind)), tables(cost.growth_table("length", blind))
    assert rows[0]["peak memory, MB"] == rows[0]["working, MB"] == ""
    assert list(growth[0].values())[3:] == ["linear", "", "", "unknown"]


def test_no_references_only_where_the_network_can(tmp_path: Path):
    torch.manual_seed(0)
    path = tmp_path / "narrow.safetensors"
    save_weights(path, build("deepremaster-colorizer", '{"width": 0.0625}'))
    color = replace(JOB, task="colour")
    assert [job.references for job in cost.variants("references", color, None)] == [1, 4, 16, 64]
    with pytest.raises(InputError, match="needs 1 references or more, got 0"):
        cost.variants("references", color, [0, 1])
    narrow = replace(color, colorizer=str(path), frames=2)
    none, *_, most = cost.variants("references", narrow, None)
    assert (none.references, most.references) == (0, 64)
    assert run(none).seconds > 0


def test_references_and_length_cost_time(here, capsys):
    same = "--precision fp32 --sizes 64x48 --color-lines 64 --repeats 1"
    benchmark.main(["--cost", "references", "--values", "1", "256", "--frames", "8", *same.split()])
    few, many = tables(capsys.readouterr().out)[0]
    assert (few["references"], many["references"]) == ("1", "256")
    assert few["what"] == "torch fp32 colour"
    assert float(many["encoding references, s"]) > 4 * float(few["encoding references, s"])
    benchmark.main(["--cost", "length", "--values", "128", "16", "--tasks", "restore", *same.split()])
    (short, long), (growth,) = tables(capsys.readouterr().out)
    assert (short["length"], long["length"]) == ("16", "128")
    assert float(long["seconds"]) > 2 * float(short["seconds"])
    assert 0.4 < float(growth["time, exponent"]) < 1.6


def test_cost_of_size_with_a_plot(tmp_path: Path, capsys):
    pytest.importorskip("matplotlib", reason="needs the package matplotlib")
    same = "--cost size --tasks restore --precision fp32 --frames 10 --repeats 1"
    benchmark.main([*same.split(), "--sizes", "384x288", "96x64", "--out", str(tmp_path / "out")])
    text = capsys.readouterr().out
    (small, large), (growth,) = tables(text)
    assert (small["size"], large["size"]) == ("96x64", "384x288")
    assert float(large["seconds"]) > 2 * float(small["seconds"])
    assert float(large["working, MB"]) > float(small["working, MB"]) + 10
    assert growth["time"] in ("less than linear", "linear", "more than linear")
    assert (tmp_path / "out/cost-size.md").read_text() == text.removesuffix("\n")
    assert (tmp_path / "out/cost-size.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--sizes 528", "a size is WIDTHxHEIGHT, such as 528x400, even and from 32 to 8192 pixels; got '528'"),
        ("--sizes 65x48", "got '65x48'"),
        ("--sizes 64x16", "got '64x16'"),
        ("--frames 0", "--frames must be 1 or more, got 0"),
        ("--threads 0", "--threads must be 1 or more, got 0"),
        ("--values 3", "--values and --out belong to --cost"),
        ("--cost size --values 3", "--cost size takes --sizes"),
        ("--cost length --values 0", "a clip has 1 frame or more, got --values 0"),
        ("--cost length --sizes 64x48 96x64", "is measured at one size, got 2"),
        ("--cost references --tasks restore", "restoring has no references"),
        ("--cost references --values 0 1", "needs 1 references or more, got 0"),
        ("--everything --memory", "--everything is a measurement of its own"),
        ("--cost size --memory", "--cost is a measurement of its own"),
        ("--engine onnxruntime --precision bf16", "engine 'onnxruntime' has no bf16"),
        ("--device cuda:99", "device 'cuda:99' is not there"),
        ("--cost length --restorer nosuch --frames 1 --values 1", "no restorer model 'nosuch'"),  # said by the child
    ],
)
def test_errors_are_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(arguments.split())
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m export.benchmark: ") and message in line


def test_a_process_that_dies_is_said_in_one_line():
    with pytest.raises(RemasterError, match=r"^cannot measure restore at 64x48: .*Error: [^\n]*$"):
        in_child(replace(JOB, frames=0))
