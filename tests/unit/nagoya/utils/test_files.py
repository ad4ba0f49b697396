"""Atomic writing."""

import os
import stat
from pathlib import Path

import pytest

from nagoya.utils import files


def test_content_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    files.write(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files.write(path, b"two", 0o644)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """The temporary name cannot be known before."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / f".file.{os.getpid()}").symlink_to(victim)
    files.write(tmp_path / "file", b"content")
    assert victim.read_text() == "mine"


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.write(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
