"""Bits that change on the disk while a job is under way: what they touch is made again, in the same run."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.support.job_films import heard_and_seen, write_film
from vs_remaster import cli
from vs_remaster.errors import RemasterError
from vs_remaster.jobs.making.chunks import DamagedChunk, read_chunk, recorded
from vs_remaster.jobs.making.final import read_packets
from vs_remaster.jobs.planning.checksums import sealed, unsealed
from vs_remaster.jobs.planning.folder import DamagedPlan
from vs_remaster.jobs.planning.options import JobOptions
from vs_remaster.jobs.run import remaster_job
from vs_remaster.jobs.status import chunks_of, opened
from vs_remaster.output.options import OutputOptions
from vs_remaster.remaster.options import RestoreOptions

CODECS = {"lossless": "ffv1", "final": "prores"}
CHUNK = "000016-000032"


def run(folder: Path, chunks: str, **more) -> Path:
    """Restore `film.mkv` in two chunks by way of the folder `job`."""
    output = folder / "out.mov"
    remaster_job(
        folder / "film.mkv",
        output,
        restore=RestoreOptions(device="cpu", model="fast", lines=64),
        colorize=None,
        write=OutputOptions(codec="prores", overwrite=True),
        options=JobOptions(folder=folder / "job", chunk_frames=16, chunk_coding=chunks),
        **more,
    )
    return output


@pytest.fixture(scope="module", params=sorted(CODECS))
def made(request, tmp_path_factory) -> tuple[str, Path]:
    """A job that is done; its folder is kept."""
    folder = tmp_path_factory.mktemp(request.param)
    write_film(folder / "film.mkv", (16, 16), size=(64, 48))
    run(folder, request.param)
    return request.param, folder


def flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 4
    path.write_bytes(data)


def index_of(path: Path) -> float:
    """Where the index of a file says how large the first packet is; some of its other bytes mean nothing."""
    data = path.read_bytes()
    table = data.rfind(b"stsz")
    return 0.98 if table < 0 else (table + 19.5) / (len(data) - 1)


@pytest.mark.parametrize("what", ["header", "packet", "index", "record", "plan", "otherwise"])
def test_what_is_damaged_is_made_again_at_once(made, tmp_path, what, caplog):
    chunks, folder = made
    whole = heard_and_seen(folder / "out.mov")
    path = folder / "job" / "chunks" / f"{CHUNK}{'.mkv' if chunks == 'lossless' else '.mov'}"
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    other = path.with_name("000000-000016.json").stat().st_mtime_ns
    if what in ("record", "plan"):
        flip(path.with_suffix(".json") if what == "record" else folder / "job" / "job.json", 0.5)
    else:
        flip(path, {"header": 0.0, "index": index_of(path)}.get(what, 0.6))
    if what == "otherwise":  # as if another machine had made it: all is joined anew
        told = unsealed(path.with_suffix(".json").read_bytes())
        path.with_suffix(".json").write_bytes(sealed({**told, "damage": [0.5] * 16}))
    run(folder, chunks)
    assert heard_and_seen(folder / "out.mov") == whole
    assert path.with_name("000000-000016.json").stat().st_mtime_ns == other
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before or chunks == "lossless"
    said = [line for line in caplog.messages if "damaged" in line]
    assert len(said) == (what != "record") or what == "index"  # which may hold nothing that is used


def test_one_that_is_damaged_again_ends_the_run(made, tmp_path):
    """After that, the same command makes it again."""
    chunks, folder = made
    whole = heard_and_seen(folder / "out.mov")
    path = next((folder / "job" / "chunks").glob(f"{CHUNK}.m*"))
    flip(path, 0.6)

    class Flips:
        needed = 0

        def report(self, stage, done, total, needed=None, free=None):
            if stage == "frames" and self.needed and not needed:  # it has been made again
                flip(path, 0.6)
            self.needed = needed or 0

    with pytest.raises(RemasterError, match=rf"{path.name} is damaged.*1 of 2 chunks are kept.*same command again"):
        run(folder, chunks, watch=Flips())
    run(folder, chunks)
    assert heard_and_seen(folder / "out.mov") == whole


def test_a_flip_is_noticed_wherever_it_is(made, tmp_path):
    """Or it changes nothing. Every byte near both ends of a chunk's file, and some of all the rest."""
    chunks, folder = made
    job, plan, _ = opened(folder / "job")
    chunk = chunks_of(plan)[1]
    shutil.copytree(job.chunks, tmp_path / "chunks")
    path, record = next((tmp_path / "chunks").glob(f"{CHUNK}.m*")), recorded(job.chunks, chunk)
    assert record is not None
    chance = random.Random(3)

    def content():
        if chunks == "final":
            return list(read_packets(path.parent, chunk, record))
        return [[plane.tobytes() for plane in planes] for planes in read_chunk(path.parent, chunk, record)]

    def flipped(data: bytes, place: int) -> bytes:
        return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]

    whole, data = content(), path.read_bytes()
    ends = [*range(0, 300, 3), *range(len(data) - 90, len(data), 3)]
    noticed = 0
    for place in ends + chance.sample(range(len(data)), 100):
        path.write_bytes(flipped(data, place))
        try:
            assert content() == whole
        except DamagedChunk:
            noticed += 1
    assert noticed > 100
    data = path.with_suffix(".json").read_bytes()
    for place in chance.sample(range(len(data)), 300):
        path.with_suffix(".json").write_bytes(flipped(data, place))
        assert recorded(path.parent, chunk) is None
    data = job.plan.read_bytes()
    try:
        for place in chance.sample(range(10, len(data)), 300):
            job.plan.write_bytes(flipped(data, place))
            with pytest.raises(DamagedPlan):
                job.read_plan()
        assert cli.main(["status", str(job.path)]) == 2
    finally:
        job.plan.write_bytes(data)
