"""Outputs in the making: whole or not there, never in the place of another's file, one run at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.job_films import write_film
from vs_remaster.color.samples import plane_sizes
from vs_remaster.errors import InputError
from vs_remaster.film.shares import SharesFile
from vs_remaster.output.codecs import TABLE
from vs_remaster.output.formats import output_format, picture_stranger
from vs_remaster.output.writer import open_writer
from vs_remaster.references.reference import Reference
from vs_remaster.system import files
from vs_remaster.system.files import Part, give_name, reserved, write_whole
from vs_remaster.system.locks import is_locked
from vs_remaster.video.planes import Frame
from vs_remaster.video.reader import VideoReader

posix = pytest.mark.skipif(os.name != "posix", reason="locks on folders, links and kills are those of POSIX")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mkv", (6,), sound=False, size=(64, 48))


def writer(film: Path, output: Path, codec: str, overwrite: bool = False):
    reader = VideoReader(film)
    return reader, open_writer(
        output, reader, output_format(reader.info, codec, False), codec=codec, overwrite=overwrite
    )


def fill(reader: VideoReader, sink) -> None:
    out = sink.out
    sizes = plane_sizes(out.kind, reader.info.width, reader.info.height, out.subsampling)
    for frame in reader:
        planes = [np.full(size, 1 << (out.bits - 1), out.dtype) for size in sizes]
        sink.write(Frame(frame.index, frame.pts, planes, frame.duration))


OUTPUTS = [("out.mkv", "x264"), ("out.mov", "prores"), ("out.mkv", "ffv1"), ("out.mp4", "x264"), ("out.mxf", "dnxhr")]
OUTPUTS += [("out", codec) for codec, row in TABLE.items() if row.is_folder]


@pytest.mark.parametrize(("name", "codec"), OUTPUTS)
def test_what_came_while_a_film_was_written_stays_and_the_film_is_kept_beside_it(tmp_path, film, name, codec):
    if codec == "dnxhr":
        film = write_film(tmp_path / "large.mkv", (6,), sound=False, size=(256, 128))
    output = tmp_path / "to" / name
    output.parent.mkdir()
    reader, sink = writer(film, output, codec)
    fill(reader, sink)
    if TABLE[codec].is_folder:
        output.mkdir()
        (output / "frame_000000.png").write_bytes(b"somebody's")
    else:
        output.write_bytes(b"somebody's")
    with pytest.raises(InputError, match=r"came while this run was at work.* has the name out\.1"):
        sink.close()
    kept = output.with_name(f"{output.stem}.1{output.suffix}")
    assert names(output.parent) == {output.name, kept.name}
    there = output / "frame_000000.png" if TABLE[codec].is_folder else output
    assert there.read_bytes() == b"somebody's"
    with VideoReader(kept) as made:
        assert sum(1 for _ in made) == 6


@pytest.mark.parametrize("kind", ["png", "dpx"])
def test_a_folder_that_is_replaced_comes_back_when_a_file_was_put_into_it(tmp_path, film, kind):
    output = tmp_path / "out"
    output.mkdir()
    (output / "frame_000000.png").write_bytes(b"old")
    reader, sink = writer(film, output, kind, overwrite=True)
    fill(reader, sink)
    (output / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"has the name out\.1"):
        sink.close()
    assert names(tmp_path) == {"out", "out.1"} and names(output) == {"frame_000000.png", "notes.txt"}
    assert len(names(tmp_path / "out.1")) == 6


def test_a_folder_of_pictures_is_replaced_when_told(tmp_path, film):
    output = tmp_path / "out"
    output.mkdir()
    (output / "frame_000099.png").write_bytes(b"old")
    (output / ".DS_Store").write_bytes(b"somebody has looked at it")
    reader, sink = writer(film, output, "png", overwrite=True)
    fill(reader, sink)
    sink.close()
    assert names(tmp_path) == {"out"} and len(names(output)) == 6 and "frame_000099.png" not in names(output)


def test_shares_never_replace_a_file(tmp_path):
    path = tmp_path / "shares.json"
    red = Reference("red", torch.ones(3, 4, 4))
    path.write_text("mine")
    with pytest.raises(InputError, match="output exists"), SharesFile(path, [red]):
        pass
    assert path.read_text() == "mine"
    with SharesFile(path, [red], overwrite=True):
        pass
    assert '"references"' in path.read_text()
    path.unlink()
    with pytest.raises(InputError, match=r"has the name shares\.1\.json"), SharesFile(path, [red]):
        path.write_text("mine")
    assert path.read_text() == "mine" and '"frames"' in (tmp_path / "shares.1.json").read_text()
    assert names(tmp_path) == {"shares.json", "shares.1.json"}


@posix
def test_shares_onto_a_full_disk_are_one_line(tmp_path):
    with pytest.raises(InputError, match="output folder does not exist"), SharesFile(tmp_path / "no" / "a.json", []):
        pass
    sink = SharesFile(tmp_path / "shares.json", [Reference("a", torch.ones(3, 4, 4))])
    sink.__enter__()
    sink._file.close()
    sink._file = open("/dev/full", "w")
    sink._head = ""
    with pytest.raises(InputError, match="no space left"):
        for frame in range(10000):
            sink.write(frame, [(0, 1.0)])
        sink.__exit__(None, None, None)


@pytest.mark.parametrize("folder", [False, True])
def test_the_second_of_two_runs_is_refused_and_the_first_is_not_disturbed(tmp_path, folder):
    output = tmp_path / ("out" if folder else "out.mkv")
    first = Part(output, folder=folder)
    assert is_locked(first.place)
    with pytest.raises(InputError, match="being written by another run"):
        Part(output, folder=folder)
    Part(output.with_name("other"), folder=folder).discard()
    first.settle()
    assert names(tmp_path) == {output.name}
    Part(output, folder=folder).discard()


@posix
@pytest.mark.parametrize("folder", [False, True])
def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path, folder):
    output = tmp_path / "out"
    code = f"""
        import os, signal
        from pathlib import Path
        from vs_remaster.system.files import Part
        part = Part(Path({str(output)!r}), folder={folder})
        (part.place / "x" if {folder} else part.place).write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".part" and is_locked(left) is False
    others = tmp_path / ".out.mkv.part", tmp_path / ".out.part", tmp_path / ".out.12345678.part.txt"
    for other in others:
        other.write_text("somebody's")
    part = Part(output, folder=folder)
    assert names(tmp_path) == {part.place.name, *(other.name for other in others)}
    part.discard()


@posix
def test_of_many_runs_that_begin_at_once_one_writes(tmp_path):
    output, begun, won, lost = tmp_path / "out.mkv", threading.Barrier(16), [], []

    def run() -> None:
        begun.wait()
        try:
            won.append(Part(output))
        except InputError:
            lost.append(1)

    for _ in range(20):
        threads = [threading.Thread(target=run) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1 and len(lost) == 15
        won.pop().discard()
        lost.clear()
        assert not names(tmp_path)


@posix
def test_a_folder_that_was_about_to_be_replaced_is_there_again(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "frame_000000.png").write_bytes(b"old")
    output.rename(tmp_path / ".out.0123abcd.old")  # killed between two renames
    Part(output, folder=True).discard()
    assert names(tmp_path) == {"out"} and (output / "frame_000000.png").read_bytes() == b"old"
    shutil.copytree(output, tmp_path / ".out.0123abcd.old")  # killed after them
    Part(output, folder=True).discard()
    assert names(tmp_path) == {"out"}


def test_when_the_new_folder_cannot_take_its_name_the_old_one_comes_back(tmp_path, monkeypatch):
    output = tmp_path / "out"
    output.mkdir()
    (output / "frame_000000.png").write_bytes(b"old")
    part = Part(output, folder=True, overwrite=True, strangers=picture_stranger)
    (part.place / "frame_000000.png").write_bytes(b"new")

    def failing(part: Path, path: Path) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(files, "give_name", failing)
    with pytest.raises(InputError, match="permission denied"):
        part.settle()
    assert (output / "frame_000000.png").read_bytes() == b"old" and (part.place / "frame_000000.png").exists()
    part.discard()
    assert names(tmp_path) == {"out"}


@posix
def test_no_name_is_given_before_the_data_is_on_the_disk(tmp_path, monkeypatch):
    done: list[str] = []

    def recording(name):
        real = getattr(os, name)

        def call(*arguments, **options):
            done.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    for name in ("fsync", "link", "replace", "rename"):
        recording(name)
    part = Part(tmp_path / "film.mkv")
    part.place.write_bytes(b"film")
    part.settle()
    assert done == ["fsync", "link", "fsync"], "the file, its name, the folder that holds the name"
    done.clear()
    folder = Part(tmp_path / "pictures", folder=True)
    for number in range(3):
        (folder.place / str(number)).write_bytes(b"picture")
    folder.settle()
    assert done == [*["fsync"] * 4, "rename", "fsync"], "the pictures and their folder, its name, the folder round it"
    done.clear()
    write_whole(tmp_path / "record", b"data")
    assert done == ["fsync", "replace", "fsync"]


@posix
def test_without_links_the_name_is_taken_first(tmp_path, monkeypatch):
    def none(part: Path, path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")  # as FAT says

    monkeypatch.setattr(os, "link", none)
    part, path = tmp_path / "part", tmp_path / "film"
    part.write_text("film")
    give_name(part, path)
    assert path.read_text() == "film" and not part.exists()
    part.write_text("other")
    with pytest.raises(FileExistsError):
        give_name(part, path)
    assert path.read_text() == "film" and part.exists()


@posix
def test_symbolic_links_are_not_followed(tmp_path, film):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "out.mkv").symlink_to(precious)
    (tmp_path / "gone.mkv").symlink_to(tmp_path / "nothing")
    for name in ("out.mkv", "gone.mkv"):
        for overwrite in (False, True):
            with pytest.raises(InputError, match="output is a symbolic link"):
                writer(film, tmp_path / name, "x264", overwrite)
    assert precious.read_text() == "precious" and not (tmp_path / "nothing").exists()
    write_whole(tmp_path / "out.mkv", b"new")
    assert precious.read_text() == "precious" and not (tmp_path / "out.mkv").is_symlink(), "the link is replaced"


@pytest.mark.parametrize("folder", [False, True])
def test_the_longest_name_has_room_for_its_part(tmp_path, folder):
    for name in ("n" * 255, "é" * 127, "n" * 251 + ".mkv"):
        part = Part(tmp_path / name, folder=folder)
        with pytest.raises(InputError, match="another run"):
            Part(tmp_path / name, folder=folder)
        Part(tmp_path / (name[:-1] + "m"), folder=folder).discard()
        part.settle()
    assert len(names(tmp_path)) == 3


def test_a_reserved_output_keeps_others_away_until_its_writer_takes_over(tmp_path):
    output = tmp_path / "film.mkv"
    with reserved(output) as give_way:
        with pytest.raises(InputError, match="another run"):
            Part(output)
        give_way()
        Part(output).settle()
    assert names(tmp_path) == {"film.mkv"}


def test_a_file_that_exists_is_not_overwritten_unless_told(tmp_path):
    path = tmp_path / "a.png"
    write_whole(path, b"1", overwrite=False)
    with pytest.raises(InputError, match="exists and is never overwritten"):
        write_whole(path, b"2", overwrite=False)
    assert path.read_bytes() == b"1" and names(tmp_path) == {"a.png"}


@posix
def test_permissions_follow_the_users_umask(tmp_path):
    before = os.umask(0o027)
    try:
        Part(tmp_path / "file").settle()
        Part(tmp_path / "folder", folder=True).settle()
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_two_jobs_with_folders_of_their_own_do_not_share_an_output(tmp_path, film):
    """The second is refused before it computes anything, whatever folder it works in."""
    from vs_remaster import cli

    output = tmp_path / "out.mkv"
    fast = ["--device", "cpu", "--no-color", "--restore-lines", "32", "--quiet", "--codec", "ffv1"]
    with reserved(output):
        for more in ([], ["--job", tmp_path / "job"], ["--report", tmp_path / "report"]):
            assert cli.main([str(a) for a in ("run", film, "-o", output, *fast, *more)]) == 2
    assert names(tmp_path) <= {"job"}


def test_a_training_is_never_begun_over_another(tmp_path):
    from export.train import check_out
    from export.training.recipes import Settings

    check_out(tmp_path, Settings())
    (tmp_path / "checkpoint.pt").write_bytes(b"hours")
    for told in ({"resume": True}, {"overwrite": True}):
        check_out(tmp_path, Settings(**told))
    with pytest.raises(InputError, match="holds a training already"):
        check_out(tmp_path, Settings())


def test_exported_graphs_and_mixed_weights_replace_nothing(tmp_path, monkeypatch, root):
    from export import mix

    weights = str(root / "weights" / "restorer-fast.safetensors")
    (tmp_path / "mixed.safetensors").write_bytes(b"mine")
    monkeypatch.setattr(sys, "argv", ["mix", weights, weights, "0.5", "--out", str(tmp_path / "mixed.safetensors")])
    with pytest.raises(SystemExit, match="output exists"):
        mix.main()
    assert (tmp_path / "mixed.safetensors").read_bytes() == b"mine"


def test_shares_are_kept_when_the_name_of_the_film_was_taken(tmp_path):
    """What was computed is there, under whatever name."""
    red = Reference("red", torch.ones(3, 4, 4))
    with pytest.raises(files.OutputTaken), SharesFile(tmp_path / "shares.json", [red]):
        part = Part(tmp_path / "film.mkv")
        (tmp_path / "film.mkv").write_text("mine")
        part.settle()
    assert names(tmp_path) == {"film.mkv", "film.1.mkv", "shares.json"}


@pytest.mark.parametrize(
    "line",
    [
        "run @film -o ''",
        "run @film -o . --codec png",
        "run @film -o / --codec png",
        "run '' -o x.mkv",
        "references pick @film -o ''",
        "references stamp ''",
        "run @film -o x.mkv --start 99999999999999999999",
        "merge @film @film -o x.mkv --offset 100",
        "run @film -o x.mkv --scenes @pipe",
        "run @film -o x.mkv --references @pipe",
        "run @film -o x.mkv --model @pipe",
    ],
)
def test_names_and_numbers_that_cannot_be_meant_are_one_line(tmp_path, film, capsys, monkeypatch, line):
    from vs_remaster import cli

    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    words = line.replace("@film", str(film)).replace("@pipe", "pipe.png").split()
    try:
        status = cli.main(["" if word == "''" else word for word in words])
    except SystemExit as stop:  # of argparse
        status = stop.code
    assert status == 2 and capsys.readouterr().err.strip().count("\n") == 0
    assert names(tmp_path) == {"pipe.png"}


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"cannot make the folder '.*file.*': (File exists|Not a directory)"):
            files.make_folder(place)
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert names(tmp_path / "a") == {"b"}
