"""mock's last look at a chroot, before kojid reads it as root."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def handover(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/mock/handover.py")


def make_folder(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("place", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
def test_an_rpm_database_is_left_with_files_and_links(
    handover: ModuleType, tmp_path: Path, place: str
) -> None:
    folder = make_folder(tmp_path, place)
    (folder / "rpmdb.sqlite").write_text("packages")
    (folder / "Packages").symlink_to("../sysimage/rpm/Packages")
    make_folder(folder, "__db")
    assert handover.hand_over(tmp_path) is None
    os.mkfifo(folder / "rpmdb.sqlite-journal")
    assert handover.hand_over(tmp_path) == (
        f"removed what kojid cannot read: 1 files, such as '{place}/rpmdb.sqlite-journal'"
    )
    assert {path.name for path in folder.iterdir()} == {"rpmdb.sqlite", "Packages", "__db"}


def test_source_rpms_are_whole_files(handover: ModuleType, tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "chroot_tmpdir/srpm_unpacked/SRPMS")
    (folder / "whole.src.rpm").write_text("rpm")
    (folder / "empty.src.rpm").touch()
    with (folder / "hole.src.rpm").open("wb") as file:
        file.write(b"rpm")
        file.truncate(1 << 30)
    os.mkfifo(folder / "pipe.src.rpm")
    (folder / "bell\a.src.rpm").write_text("rpm")
    Path(os.fsdecode(bytes(folder) + b"/\xff.src.rpm")).write_text("rpm")
    (folder / "link.src.rpm").symlink_to("whole.src.rpm")
    assert "5 files" in handover.hand_over(tmp_path)
    assert {path.name for path in folder.iterdir()} == {"whole.src.rpm", "empty.src.rpm"}


def test_a_folder_that_is_a_link_is_not_followed(handover: ModuleType, tmp_path: Path) -> None:
    """In a builder the kernel refuses it (nosymfollow); here the link leads to nothing."""
    make_folder(tmp_path, "var/lib")
    (tmp_path / "var/lib/rpm").symlink_to("/nowhere")
    assert handover.hand_over(tmp_path) is None


def test_the_chroot_is_as_old_as_the_call(handover: ModuleType, tmp_path: Path) -> None:
    os.utime(tmp_path, (5e9, 5e9))
    handover.hand_over(tmp_path)
    assert abs(tmp_path.stat().st_mtime - time.time()) < 60
