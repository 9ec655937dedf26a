"""Atomic output: the old file or the new one, never half of either."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flowssl._files import atomic_path, locked, probe
from flowssl.exceptions import DataError


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def test_the_new_content_arrives_when_the_block_ends(tmp_path):
    target = tmp_path / "out.csv"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".csv"
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names_in(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_block_leaves_the_old_file(tmp_path, error):
    target = tmp_path / "out.csv"
    target.write_text("old")

    def write_half():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["out.csv"]


def test_a_link_stays_a_link_and_permissions_stay(tmp_path):
    target, link = tmp_path / "real.txt", tmp_path / "link.txt"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "out") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_pipe_is_written_to_and_not_replaced():
    code = (
        "from flowssl._files import atomic_path\n"
        "with atomic_path('/dev/stdout') as out: out.write_text('table')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "table"


def test_folders_are_os_errors_that_name_the_path(tmp_path):
    with pytest.raises(IsADirectoryError, match="folder"), atomic_path(tmp_path):
        pass
    absent = tmp_path / "absent" / "out.csv"
    with pytest.raises(FileNotFoundError, match=r"absent/out\.csv"), atomic_path(absent):
        pass


@pytest.mark.parametrize("action", [probe, lambda path: atomic_path(path).__enter__()])
@pytest.mark.parametrize(
    ("path", "number"),
    [
        (".", errno.EISDIR),
        ("absent/out", errno.ENOENT),
        ("dangling", errno.ENOENT),
        ("file/out", errno.ENOTDIR),
        ("loop", errno.ELOOP),
        ("x" * 256, errno.ENAMETOOLONG),
    ],
)
def test_a_place_that_takes_no_file_is_named(tmp_path, monkeypatch, action, path, number):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("absent/out")
    with pytest.raises(OSError, match="cannot be written") as caught:
        action(path)
    assert (caught.value.errno, caught.value.filename) == (number, path)
    assert sorted(names_in(tmp_path)) == ["dangling", "file", "loop"]


def test_an_error_while_writing_names_the_file_and_not_the_temporary_one(tmp_path):
    target = tmp_path / "out"

    def write():
        with atomic_path(target):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="cannot be written: No space left") as caught:
        write()
    assert caught.value.filename == str(target)


def test_a_file_size_limit_leaves_the_old_file(tmp_path):
    code = (
        "import resource, sys\n"
        "from flowssl._files import atomic_path, probe\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "probe('out')\n"
        "with atomic_path('out') as new: new.write_bytes(bytes(200_000))"
    )
    (tmp_path / "out").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "cannot be written: File too large: 'out'" in done.stderr
    assert names_in(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "old"


@pytest.mark.parametrize("name", ["x" * 255, "a." + "x" * 253])
def test_names_as_long_as_the_system_takes(tmp_path, name):
    probe(tmp_path / name)
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert names_in(tmp_path) == [name]


def test_a_probe_leaves_all_as_it_was_and_removes_old_temporary_files(tmp_path):
    target = tmp_path / "out"
    target.write_text("old")
    target.chmod(0o640)
    kept = [".flowssl-0123456789abcdef", ".flowssl-mine", "flowssl-0123456789abcdef", "x.csv"]
    for name in (*kept, ".flowssl-fedcba9876543210.csv"):
        (tmp_path / name).touch()
        if name != kept[0]:  # which another process may be writing
            os.utime(tmp_path / name, (0, 0))
    probe(target)
    assert sorted(names_in(tmp_path)) == sorted([*kept, "out"])
    assert target.read_text() == "old"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_devices_are_tried_too():
    with pytest.raises(OSError, match="No space left"):
        probe("/dev/full")
    probe("/dev/null")


def test_a_lock_keeps_threads_away_and_leaves_nothing(tmp_path):
    target, errors = tmp_path / "out", []

    def other():
        try:
            with locked(target):
                errors.append(None)
        except DataError as error:
            errors.append(str(error))

    for _ in range(2):
        with locked(target):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
    assert len(errors) == 2
    assert all("is being written by another fit" in error for error in errors)
    other()
    assert errors[-1] is None
    assert not names_in(tmp_path)


def test_a_killed_process_leaves_no_lock(tmp_path):
    target = tmp_path / "out"
    code = (
        "import os, signal, sys; from flowssl._files import locked\n"
        "with locked(sys.argv[1]): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, target], check=False)
    assert names_in(tmp_path) == ["out.lock"]
    with locked(target):
        pass
    assert not names_in(tmp_path)


def test_a_lock_takes_no_file_of_others(tmp_path):
    (tmp_path / "out.lock").write_text("notes")
    with (
        pytest.raises(DataError, match=r"out\.lock would be the lock of"),
        locked(tmp_path / "out"),
    ):
        pass
    (tmp_path / "link.lock").symlink_to("out.lock")
    with pytest.raises(DataError, match="move it away"), locked(tmp_path / "link"):
        pass
    assert (tmp_path / "out.lock").read_text() == "notes"


def test_where_there_are_no_locks_the_work_goes_on(tmp_path, monkeypatch):
    def refuse(self, **_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with locked(tmp_path / "out"):
        pass
    assert not names_in(tmp_path)
