"""Which build ends where the disk is nearly full."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

Driver = Callable[[str], ModuleType]
SIZE = 1000 << 30


def disk(free: int, *, size: int = SIZE, inodes: int = 100) -> SimpleNamespace:
    """A disk of `size` bytes, with `free` bytes and `inodes` of 1000 inodes left."""
    return SimpleNamespace(f_bavail=free, f_blocks=size, f_frsize=1, f_favail=inodes, f_files=1000)


def test_a_disk_that_is_nearly_full(driver: Driver) -> None:
    shortage = driver("space").shortage
    assert shortage(disk(2 << 30)) is None
    assert shortage(disk((1 << 30) - 1)) == "space"
    assert shortage(disk(600, size=10_000)) is None
    assert shortage(disk(400, size=10_000)) == "space"
    assert shortage(disk(2 << 30, inodes=49)) == "inodes"


@pytest.fixture
def buildroots(tmp_path: Path) -> list[Path]:
    """Three: one with the largest file, one with the most files, and one that is small."""
    for name in ("large", "many", "small"):
        (tmp_path / name).mkdir()
    (tmp_path / "large/file").write_bytes(b"x" * 1_000_000)
    for number in range(20):
        (tmp_path / f"many/{number}").write_bytes(b"x")
    return sorted(tmp_path.iterdir())


def test_the_one_that_takes_most(driver: Driver, buildroots: list[Path]) -> None:
    takes_most = driver("space").takes_most
    for what, most in (("space", "large"), ("inodes", "many")):
        assert [one.name for one in buildroots if takes_most(what, one, buildroots)] == [most]


def test_only_those_in_use_count(driver: Driver, buildroots: list[Path]) -> None:
    large, *_ = buildroots
    assert driver("space").in_use(large.parent) == []
    lock = os.open(large, os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert driver("space").in_use(large.parent) == [large]
    os.close(lock)


@pytest.mark.parametrize(("later", "ends"), [(0, True), (SIZE, False)])
def test_what_ended_meanwhile_spares_the_others(
    driver: Driver, buildroots: list[Path], monkeypatch: pytest.MonkeyPatch, later: int, ends: bool
) -> None:
    space = driver("space")
    seen = iter([disk(0), disk(later)])
    monkeypatch.setattr(space.os, "statvfs", lambda path: next(seen))
    assert bool(space.fault(buildroots[2])) == ends
