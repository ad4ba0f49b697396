"""The files of `toji backup` and `toji restore`: who can read them, and what remains."""

import errno
import stat
import sys
from pathlib import Path

import pytest

from nagoya.cli.output import is_private, writing
from nagoya.cli.toji_backup import _reading
from nagoya.errors import LifecycleError, UsageError


def test_only_its_owner_can_read_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "koji.tar"
    with writing(path, "backup", "toji backup FILE") as stream:
        stream.write(b"secret")
        (partial,) = tmp_path.iterdir()
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_exists_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "koji.tar"
    path.write_text("mine")
    with (
        pytest.raises(UsageError, match="exists already"),
        writing(path, "backup", "toji backup FILE"),
    ):
        pass
    assert path.read_text() == "mine"


def test_what_others_have_put_into_the_folder_gets_no_keys(tmp_path: Path) -> None:
    (tmp_path / "koji.tar.part").symlink_to("others")
    (tmp_path / "others").touch(0o666)
    with writing(tmp_path / "koji.tar", "backup", "toji backup FILE") as stream:
        stream.write(b"keys")
    assert (tmp_path / "koji.tar").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "others").read_bytes() == b""
    assert {path.name for path in tmp_path.iterdir()} == {"koji.tar", "others"}


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none/koji.tar"
    with pytest.raises(UsageError) as refused, writing(path, "backup", "toji backup FILE"):
        pass
    assert refused.value.message == f"{path} cannot be written: no folder {path.parent}"


def test_nothing_remains_of_a_backup_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "koji.tar"
    with (
        pytest.raises(LifecycleError, match=r"koji\.tar was not written: full"),
        writing(path, "backup", "toji backup FILE") as file,
    ):
        file.write(b"some")
        raise OSError(errno.ENOSPC, "full")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mode", "private"), [(0o600, True), (0o640, False), (0o604, False)])
def test_a_backup_that_others_can_read_is_recognized(
    tmp_path: Path, mode: int, private: bool
) -> None:
    path = tmp_path / "koji.tar"
    path.touch()
    path.chmod(mode)
    with _reading(path) as stream:
        assert is_private(stream) is private


def test_closed_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="stdout is closed"), writing(Path("-"), "backup", "-"):
        pass
    with pytest.raises(UsageError, match="stdin is closed"), _reading(Path("-")):
        pass
