"""Atomic output: the old file or the new one, never half of either."""

import stat
import subprocess
import sys

import pytest

from flowssl._files import atomic_path


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
