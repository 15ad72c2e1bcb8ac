"""One lock for outputs and jobs: who has it, and looking without disturbing anybody."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from vs_remaster.errors import InputError
from vs_remaster.jobs.planning.folder import JobFolder
from vs_remaster.system import locks

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks on folders and links are those of POSIX")


@pytest.fixture(params=["file", "folder", "file without locks of an open file"])
def place(request, tmp_path, monkeypatch):
    path = tmp_path / "it"
    if request.param == "folder":
        path.mkdir()
    else:
        path.touch()
    if "without" in request.param:

        def none(handle: int, command: int, what: bytes) -> bytes:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        monkeypatch.setattr(locks.fcntl, "fcntl", none)
    return path


def opened(path) -> int:
    return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)


def test_one_has_it_until_the_file_is_closed(place):
    first, second = opened(place), opened(place)
    try:
        assert not locks.look(place)
        assert locks.lock(first)
        assert locks.look(place) and locks.look(place)
        assert not locks.lock(second)
        os.close(first)
        assert not locks.look(place)
        assert locks.lock(second), "whoever looked has not kept it"
    finally:
        os.close(second)


def test_looking_makes_nothing_and_needs_no_right_to_write(place):
    with pytest.raises(FileNotFoundError):
        locks.look(place.with_name("nothing"))
    assert locks.is_locked(place.with_name("nothing")) is None
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    handle = opened(place)
    try:
        locks.lock(handle)
        place.chmod(0o444)
        assert locks.look(place)
    finally:
        place.chmod(0o755)
        os.close(handle)


def test_what_is_locked_can_be_written_and_read_by_others(tmp_path):
    """As FFmpeg does with a part, by its name."""
    place = tmp_path / "part"
    handle = os.open(place, os.O_RDWR | os.O_CREAT)
    try:
        assert locks.lock(handle)
        code = "import sys; open(sys.argv[1], 'r+b').write(b'film'); print(open(sys.argv[1]).read())"
        done = subprocess.run([sys.executable, "-c", code, place], capture_output=True, text=True, check=True)
        assert done.stdout == "film\n" and place.read_bytes() == b"film"
    finally:
        os.close(handle)


def test_a_job_does_not_follow_a_link_that_lies_where_its_lock_should(tmp_path):
    (tmp_path / "precious").write_text("precious")
    folder = JobFolder(tmp_path / "job")
    folder.make()
    (folder.path / "lock").symlink_to(tmp_path / "precious")
    assert "tells nothing" in folder.worker()
    with pytest.raises(InputError, match=r"lock is a symbolic link, which no job makes: remove it"), folder.at_work():
        pass
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_folder_that_cannot_be_locked_is_said(tmp_path, monkeypatch):
    folder = JobFolder(tmp_path / "job")
    folder.make()

    def none(handle: int) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "lock", none)
    with pytest.raises(InputError, match=r"cannot be locked \(No locks available\): give --job a folder on another"):
        folder.locked().__enter__()
