"""koji-hub's bounds of uploads, on files of this machine."""

import base64
import os
import time
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


class Kojihub:
    """Koji's module. Users have even numbers, a host logs in as 7; task 5 is user 2's."""

    def __init__(self, folder: Path) -> None:
        pathinfo = SimpleNamespace(volumedir=lambda volume: str(folder))
        self.koji = SimpleNamespace(GenericError=GenericError, pathinfo=pathinfo)
        self.context = SimpleNamespace()
        permissions = {2: ["build"], 4: [], 6: ["admin"], 7: []}
        self.RootExports: Any = lambda: SimpleNamespace(getUserPerms=permissions.get)
        self.log_in(6)

    def log_in(self, user: int) -> None:
        host = 1 if user == 7 else None
        session = SimpleNamespace(logged_in=True, user_id=user, getHostId=lambda: host)
        self.context.session = session

    @staticmethod
    def Task(number: int) -> SimpleNamespace:
        return SimpleNamespace(getOwner=lambda: {5: 2}[number])

    @staticmethod
    def get_user(number: int) -> dict[str, str]:
        return {"name": f"user{number}"}


@pytest.fixture
def bounds(uploads: ModuleType, load_script: Callable[[str], ModuleType], tmp_path: Path) -> Any:
    allowances = load_script("koji-hub/allowances.py").Allowances(tmp_path)
    return uploads.Bounds(Kojihub(tmp_path), TimeoutError, allowances, tmp_path)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the disk one of `size` MiB with `free` MiB for others than root, and for `files` more
    files; without them, it does not count files."""

    def set_disk(size: int, free: int, files: int = 0) -> None:
        answer = SimpleNamespace(
            f_blocks=size, f_bavail=free, f_frsize=MIB, f_files=files, f_favail=files
        )
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
        bounds.check_part("folder", 0, 0, length * MIB, None)


@pytest.mark.parametrize(
    ("size", "free", "length"), [(1_000_000, 1024 + 5, 5), (1000, 50 + 5, 5), (1000, 900, 100)]
)
def test_uploads_have_the_rest(
    bounds: Any, disk: Callable[..., None], size: int, free: int, length: int
) -> None:
    disk(size, free)
    bounds.check_part("folder", 0, 0, length * MIB, None)


def test_a_user_uploads_no_more_in_a_day_than_remains(
    bounds: Any, disk: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = bounds.kojihub
    hub.log_in(4)
    for used in (0, 150, 300):
        disk(1000, 50 + 900 - used)
        bounds.check_part("folder", 0, 0, 150 * MIB, None)
    disk(1000, 50 + 450)
    with pytest.raises(GenericError, match=r"uploads of user4: .* others, which are 449 MiB"):
        bounds.check_part("folder", 0, 0, MIB, None)
    # Neither of these has uploaded anything.
    for user in (2, 6):
        hub.log_in(user)
        bounds.check_part("folder", 0, 0, MIB, None)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86401)
    hub.log_in(4)
    bounds.check_part("folder", 0, 0, 200 * MIB, None)


def test_a_user_makes_no_more_files_in_a_day_than_remain(
    bounds: Any, disk: Callable[..., None]
) -> None:
    bounds.kojihub.log_in(4)
    disk(1000, 900, 1000)
    bounds.check_part("a" + "/a" * 396, 0, 0, 1, None)
    # It goes on with its file.
    bounds.check_part("a" + "/a" * 396, 1, 1, 1, None)
    with pytest.raises(GenericError, match="no room for more uploads of user4"):
        bounds.check_part("b" + "/b" * 396, 0, 0, 1, None)


def test_what_a_builder_uploads_counts_for_the_owner_of_its_task(
    bounds: Any, disk: Callable[..., None]
) -> None:
    disk(1000, 50 + 900)
    bounds.kojihub.log_in(7)
    bounds.check_part("tasks/5/5", 0, 0, 400 * MIB, None)
    with pytest.raises(GenericError, match="no room for more uploads of user2"):
        bounds.check_part("./tasks/5/5/logs", 0, 0, 400 * MIB, None)
    # Others cannot upload for that task, and take nothing of its owner's.
    bounds.kojihub.log_in(4)
    bounds.check_part("tasks/5/5", 0, 0, 400 * MIB, None)


@pytest.mark.parametrize("offset", [-1, 0, 3, 5])
def test_a_part_begins_in_the_file_or_at_its_end(bounds: Any, offset: int) -> None:
    bounds.check_part("folder", 5, offset, 1, None)


def test_a_part_does_not_begin_behind_the_end(bounds: Any) -> None:
    with pytest.raises(GenericError, match=r"has 5 bytes of this file, .* goes on at byte 6"):
        bounds.check_part("folder", 5, 6, 1, None)


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
