"""koji-hub's bounds of uploads, on files of this machine."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

MIB = 1024**2


class GenericError(Exception):
    """As Koji's."""


@pytest.fixture
def uploads(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-hub/uploads.py")


@pytest.fixture
def bounds(uploads: ModuleType, tmp_path: Path) -> Any:
    pathinfo = SimpleNamespace(volumedir=lambda volume: str(tmp_path))
    kojihub = SimpleNamespace(koji=SimpleNamespace(GenericError=GenericError, pathinfo=pathinfo))
    return uploads.Bounds(kojihub, TimeoutError, tmp_path)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the disk one of `size` MiB with `free` MiB for others than root, and no inodes."""

    def set_disk(size: int, free: int) -> None:
        answer = SimpleNamespace(f_blocks=size, f_bavail=free, f_frsize=MIB, f_files=0)
        monkeypatch.setattr(os, "statvfs", lambda path: answer)

    return set_disk


@pytest.mark.parametrize(
    ("size", "free", "length"),
    [(1_000_000, 1024 + 5, 6), (1000, 50 + 5, 6), (1000, 0, 1), (1_000_000, 5_000, 4_000)],
)
def test_uploads_leave_room(
    bounds: Any, disk: Callable[..., None], size: int, free: int, length: int
) -> None:
    disk(size, free)
    with pytest.raises(GenericError, match=f"has {free} MiB free, and .* are not for uploads"):
        bounds.check_part(0, 0, length * MIB, None)


@pytest.mark.parametrize(
    ("size", "free", "length"), [(1_000_000, 1024 + 5, 5), (1000, 50 + 5, 5), (1000, 900, 100)]
)
def test_uploads_have_the_rest(
    bounds: Any, disk: Callable[..., None], size: int, free: int, length: int
) -> None:
    disk(size, free)
    bounds.check_part(0, 0, length * MIB, None)


@pytest.mark.parametrize("offset", [-1, 0, 3, 5])
def test_a_part_begins_in_the_file_or_at_its_end(bounds: Any, offset: int) -> None:
    bounds.check_part(5, offset, 1, None)


def test_a_part_does_not_begin_behind_the_end(bounds: Any) -> None:
    with pytest.raises(GenericError, match=r"has 5 bytes of this file, .* goes on at byte 6"):
        bounds.check_part(5, 6, 1, None)


def test_one_long_file_is_read_at_a_time(uploads: ModuleType, bounds: Any) -> None:
    for _ in range(2):
        with (
            bounds.read(uploads.LONG + 1),
            bounds.read(uploads.LONG),
            pytest.raises(TimeoutError, match="call again"),
            bounds.read(uploads.LONG + 1),
        ):
            pass
