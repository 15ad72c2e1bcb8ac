"""Work on a Ray cluster that has less room than was asked for, and what is left on its machines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.job_films import FAST, heard_and_seen, write_film
from vs_remaster.film.remastering import remaster_film
from vs_remaster.jobs.planning.options import JobOptions
from vs_remaster.jobs.run import remaster_job
from vs_remaster.output.options import OutputOptions
from vs_remaster.remaster.options import RestoreOptions

ray = pytest.importorskip("ray")

ROOT = Path(__file__).parents[2]
HOW = {"restore": RestoreOptions(device="cpu", model="fast", lines=64), "colorize": None}
LOSSLESS = OutputOptions(codec="ffv1")


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mkv", (16, 16, 16), size=(64, 48), sound=False)


@pytest.fixture(scope="module")
def undisturbed(film):
    output = film.with_name("whole.mkv")
    remaster_film(film, output, write=LOSSLESS, **HOW)
    return heard_and_seen(output)


@pytest.fixture(scope="module")
def cluster():
    """A cluster with two processors, and a way to take them."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray.remote(num_cpus=1)(_Other)
    ray.shutdown()


class _Other:
    def here(self) -> bool:
        return True


def on_ray(film: Path, output: Path, **more):
    options = JobOptions(chunk_frames=16, ray="auto", workers=3, ray_stream=more.pop("stream", False))
    return remaster_job(film, output, write=LOSSLESS, options=options, **HOW, **more)


def fetched() -> set[Path]:
    """Folders of films that workers have fetched."""
    return set(Path(tempfile.gettempdir()).glob("vs-remaster-film-*"))


@pytest.mark.parametrize("stream", [False, True])
def test_workers_that_have_no_room(cluster, film, undisturbed, tmp_path, caplog, stream):
    """Three are wanted, there is room for two, and one processor is taken; it works with one."""
    caplog.set_level("INFO", logger="vs_remaster")
    before = fetched()
    other = cluster.remote()
    ray.get(other.here.remote())
    on_ray(film, tmp_path / "out.mkv", stream=stream)
    ray.kill(other)
    assert "the Ray cluster has room for 2 of 3 workers: no more are used" in caplog.text
    assert heard_and_seen(tmp_path / "out.mkv") == undisturbed
    assert fetched() == before and [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


@pytest.mark.parametrize("stream", [False, True])
def test_masks_go_to_workers_and_come_back(cluster, film, tmp_path, stream):
    """A folder with numbers in names, and a picture whose frames are told beside it."""
    mask = np.zeros((48, 64), np.uint8)
    mask[20:24, 10:50] = 255
    repair, protect = tmp_path / "repair", tmp_path / "protect.png"
    repair.mkdir()
    for path in (repair / "0005.png", protect):
        path.write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    (tmp_path / "masks.toml").write_text('[[mask]]\npicture = "protect.png"\nframes = [20, 40]\n')
    given = {"repair": repair, "protect": protect}
    remaster_film(film, tmp_path / "direct.mkv", write=LOSSLESS, masks=tmp_path / "m.mkv", **given, **HOW)
    on_ray(film, tmp_path / "out.mkv", stream=stream, masks=tmp_path / "found.mkv", **given)
    for one, other in (("out.mkv", "direct.mkv"), ("found.mkv", "m.mkv")):
        assert heard_and_seen(tmp_path / one) == heard_and_seen(tmp_path / other)


def test_a_stop_is_heard_while_no_worker_comes(cluster, film, undisturbed, tmp_path):
    """Both processors are taken; when they are free again, the job goes on."""
    others = [cluster.remote() for _ in range(2)]
    ray.get([other.here.remote() for other in others])
    began, asked = time.monotonic(), []

    def check():
        asked.append(time.monotonic())
        if len(asked) > 60 and asked[-1] - asked[-2] > 0.2:  # of each frame of the survey, then of each look
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="0 of 3 chunks are kept"):
        on_ray(film, tmp_path / "out.mkv", check=check)
    assert time.monotonic() - began < 60
    for other in others:
        ray.kill(other)
    on_ray(film, tmp_path / "out.mkv")
    assert heard_and_seen(tmp_path / "out.mkv") == undisturbed


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_film_stays_on_the_machines_of_workers(film, tmp_path, how):
    before = fetched()
    command = [sys.executable, "-m", "vs_remaster.cli", "run", film, "-o", tmp_path / "out.mkv", *FAST, "--ray",
               "local", "--ray-stream", "--workers", "2", "--chunk", "16"]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    run = subprocess.Popen([*map(str, command)], cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while fetched() == before:
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    run.send_signal(how)
    assert run.wait(timeout=60) == (-how if how == signal.SIGKILL else 128 + how)
    deadline = time.monotonic() + 30
    while fetched() != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert fetched() == before
