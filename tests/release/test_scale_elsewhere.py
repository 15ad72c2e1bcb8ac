"""Frames of twice the size that are made in other processes and on other machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.support.job_films import heard_and_seen, write_film
from vs_remaster.film.remastering import remaster_film
from vs_remaster.jobs.planning.options import JobOptions
from vs_remaster.jobs.run import remaster_job
from vs_remaster.output.options import OutputOptions
from vs_remaster.remaster.options import RestoreOptions

HOW = {
    "restore": RestoreOptions(device="cpu", model="fast", scale=2, sharpness=0.5),
    "colorize": None,
    "write": OutputOptions(codec="ffv1"),
}


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mkv", (16, 16, 16), looks={1: "coloured"}, size=(64, 48))


@pytest.fixture(scope="module")
def direct(film):
    """Of one thread, as each of the workers has: another number rounds otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    remaster_film(film, film.with_name("direct.mkv"), **HOW)
    torch.set_num_threads(threads)
    return heard_and_seen(film.with_name("direct.mkv"))


@pytest.mark.parametrize("chunks", ["lossless", "final"])
def test_worker_processes(film, direct, tmp_path, monkeypatch, chunks):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    options = JobOptions(chunk_frames=16, workers=2, chunk_coding=chunks)
    remaster_job(film, tmp_path / "out.mkv", options=options, **HOW)
    assert heard_and_seen(tmp_path / "out.mkv") == direct


@pytest.mark.parametrize("stream", [False, True])
def test_a_ray_cluster(film, direct, tmp_path, monkeypatch, stream):
    ray = pytest.importorskip("ray")
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # one a worker
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        options = JobOptions(chunk_frames=16, ray="auto", workers=2, ray_stream=stream)
        remaster_job(film, tmp_path / "out.mkv", options=options, **HOW)
    finally:
        ray.shutdown()
    assert heard_and_seen(tmp_path / "out.mkv") == direct
