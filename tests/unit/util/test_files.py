"""util.files: whole or not there."""

import os
import pwd
import stat
from pathlib import Path

import pytest

from util import files
from util.entry import Fatal


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_writes_text_and_bytes_with_their_mode(tmp_path: Path) -> None:
    files.write(tmp_path / "text", "grüße\n")
    files.write(tmp_path / "key", b"\x00\xff", mode=0o600)
    assert (tmp_path / "text").read_bytes() == "grüße\n".encode()
    assert (tmp_path / "key").read_bytes() == b"\x00\xff"
    assert [mode(tmp_path / name) for name in ("text", "key")] == [0o644, 0o600]


def test_replaces_what_was_there_even_if_it_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("untouched")
    (tmp_path / "file").symlink_to("other")
    files.write(tmp_path / "file", "new")
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "other").read_text() == "untouched"


@pytest.mark.parametrize("broken", ["fsync", "fchmod"])
def test_a_failure_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(os, broken, full)
    with pytest.raises(OSError, match="No space left"):
        files.write(tmp_path / "file", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_an_empty_folder_is_not_done(tmp_path: Path) -> None:
    assert not files.done(tmp_path)
    (tmp_path / "lost+found").mkdir()
    assert not files.done(tmp_path)


def test_a_marked_folder_is_done(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("")
    files.mark_done(tmp_path)
    assert files.done(tmp_path)


def test_a_folder_without_its_marker_is_half_made(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("")
    with pytest.raises(Fatal, match="is incomplete: it holds work, but not") as refusal:
        files.done(tmp_path)
    assert refusal.value.hint


def test_a_private_copy_is_for_one_user(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    target = tmp_path / "daemon/key"
    for _ in range(2):
        files.private_copy(tmp_path / "key", target, pwd.getpwuid(os.geteuid()).pw_name)
    assert target.read_text() == "secret"
    assert (mode(target.parent), mode(target)) == (0o700, 0o400)
    assert target.stat().st_uid == os.geteuid()
