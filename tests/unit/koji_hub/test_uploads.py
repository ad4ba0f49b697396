"""koji-hub's bounds of uploads, on files of this machine."""

import base64
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


class Calls:
    """Koji's calls about files; each file of a task has 100 bytes."""

    def uploadFile(self) -> None:
        """Write a part of a file."""

    def checkUpload(self) -> None:
        """Read a file."""

    def downloadTaskOutput(
        self, task: int, name: str, offset: int, size: int, volume: str | None
    ) -> str:
        """Read a part of a task's file."""
        content = bytes(100)[offset:]
        return base64.b64encode(content[:size] if size >= 0 else content).decode()


@pytest.fixture
def bounded_calls(uploads: ModuleType, bounds: Any) -> Any:
    bounds.kojihub.RootExports = type("Calls", (Calls,), {})
    bounds.kojihub.handle_upload = None
    bounds.kojihub.convert_value = lambda value, cast: cast(value)
    uploads.bound_uploads(bounds)
    return bounds.kojihub.RootExports()


@pytest.mark.parametrize("longest", [100, 101, 102, 10**6])
def test_a_tasks_file_is_read(
    uploads: ModuleType, bounded_calls: Any, monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    monkeypatch.setattr(uploads, "LONGEST_PART", longest)
    for arguments, length in (((), 100), ((10,), 90), ((0, "90"), 90), ((95, 10), 5)):
        data = bounded_calls.downloadTaskOutput(1, "root.log", *arguments)
        assert len(base64.b64decode(data)) == length


@pytest.mark.parametrize("size", [-1, 94, 10**12])
def test_no_answer_has_all_of_a_long_file(
    uploads: ModuleType, bounded_calls: Any, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(uploads, "LONGEST_PART", 93)
    with pytest.raises(GenericError, match=r"root\.log is longer"):
        bounded_calls.downloadTaskOutput(1, "root.log", size=size)
