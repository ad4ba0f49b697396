"""Which build is ended where the disk is full."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

Driver = Callable[[str], ModuleType]
MB = 1 << 20


@pytest.fixture
def disk(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = driver("disk")
    monkeypatch.setattr(module, "SETTLING", 0)
    return module


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Makes a buildroot in which a mock runs."""
    locks = []

    def make(name: str, size: int) -> Path:
        buildroot = tmp_path / name
        (buildroot / "root").mkdir(parents=True)
        (buildroot / "root/file").write_bytes(os.urandom(size))
        locks.append(os.open(buildroot, os.O_DIRECTORY))
        fcntl.flock(locks[-1], fcntl.LOCK_EX)
        return buildroot

    yield make
    for lock in locks:
        os.close(lock)


def fill(disk: ModuleType, monkeypatch: pytest.MonkeyPatch, free: int, inodes: int = 40) -> None:
    """Let the disk have so much left, of 100 MiB and 50 inodes."""
    status = SimpleNamespace(f_bavail=free, f_frsize=1, f_blocks=100 * MB, f_favail=inodes,
                             f_files=50)  # fmt: skip
    monkeypatch.setattr(disk, "os", SimpleNamespace(**{**vars(os), "statvfs": lambda path: status}))


@pytest.mark.parametrize(
    ("space", "ends"),
    [((30 * MB, 40), False), ((MB, 40), True), ((0, 40), True), ((MB, 0), True),
     ((30 * MB, 0), True), ((4 * MB, 40), False)],
    ids=["room", "short", "full", "short of both", "no inodes", "has written less than is left"],
)  # fmt: skip
def test_a_build_is_ended_if_the_disk_is_full(
    disk: ModuleType, monkeypatch: pytest.MonkeyPatch, hold: Callable[..., Path],
    space: tuple[int, int], ends: bool,
) -> None:  # fmt: skip
    watch = disk.DiskWatch(hold("one", 3 * MB), os.getuid())
    fill(disk, monkeypatch, *space)
    if ends:
        with pytest.raises(disk.DiskFullError, match="its buildroot was emptied") as failure:
            watch.check()
        assert "build of this builder has written more than this one, " in str(failure.value)
    else:
        watch.check()


def test_the_build_that_has_written_most_is_ended(
    disk: ModuleType, monkeypatch: pytest.MonkeyPatch, hold: Callable[..., Path], tmp_path: Path
) -> None:
    """Of those that run; what others have left counts for nothing."""
    small, large = hold("small", 2 * MB), hold("large", 3 * MB)
    (tmp_path / "left/root").mkdir(parents=True)
    (tmp_path / "left/root/file").write_bytes(os.urandom(5 * MB))
    fill(disk, monkeypatch, MB)
    disk.DiskWatch(small, os.getuid()).check()
    with pytest.raises(disk.DiskFullError):
        disk.DiskWatch(large, os.getuid()).check()


def test_space_that_is_given_back_meanwhile_ends_nothing(
    disk: ModuleType, monkeypatch: pytest.MonkeyPatch, hold: Callable[..., Path]
) -> None:
    """By a build of another builder on this disk, or by one that has just ended."""
    monkeypatch.setattr(
        disk, "time", SimpleNamespace(monotonic=lambda: 0.0, process_time=lambda: 0.0)
    )
    monkeypatch.setattr(disk, "measure", lambda path, uid: (3 * MB, 1))
    watch = disk.DiskWatch(hold("one", 1), os.getuid())
    for _ in range(2):
        fill(disk, monkeypatch, MB)
        watch.look()
        fill(disk, monkeypatch, 100 * MB)
        watch.look()
    fill(disk, monkeypatch, MB)
    watch.look()
    with pytest.raises(disk.DiskFullError):
        watch.look()


def test_builders_on_one_disk_end_the_largest_build_first(
    disk: ModuleType, monkeypatch: pytest.MonkeyPatch, hold: Callable[..., Path], tmp_path: Path
) -> None:
    """They do not see each other's builds. In steps of half a second: when each is ended."""
    monkeypatch.setattr(disk, "SETTLING", 5.0)
    fill(disk, monkeypatch, MB)
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now, process_time=lambda: 0.0)
    monkeypatch.setattr(disk, "time", clock)
    (tmp_path / "a").mkdir()
    watches = {
        "hog": disk.DiskWatch(hold("a/hog", 24 * MB), os.getuid()),
        "other": disk.DiskWatch(hold("b/other", 6 * MB), os.getuid()),
    }
    ended: dict[str, float] = {}
    while len(ended) < len(watches):
        for name in watches.keys() - ended:
            try:
                watches[name].look()
            except disk.DiskFullError:
                ended[name] = now
        now += 0.5
    assert 10 <= ended["hog"] <= 11
    assert 20 <= ended["other"] <= 21


def test_what_is_written_is_the_users_own(disk: ModuleType, tmp_path: Path) -> None:
    """On this disk: no link is followed, a file with holes counts with what it takes, and a hard
    link not again."""
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/file").write_bytes(os.urandom(10_000))
    (tmp_path / "deep/again").hardlink_to(tmp_path / "deep/er/file")
    (tmp_path / "link").symlink_to("/usr")
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 40)
    size, number = disk.measure(tmp_path, os.getuid())
    assert number == 5
    assert 10_000 <= size < MB
    assert disk.measure(tmp_path, os.getuid() + 1) == (0, 0)
    assert disk.measure(tmp_path / "missing", os.getuid()) == (0, 0)


def test_a_buildroot_in_which_something_is_mounted_counts_for_nothing(
    disk: ModuleType, monkeypatch: pytest.MonkeyPatch, hold: Callable[..., Path]
) -> None:
    """It is not the build's, and must not be removed with the buildroot."""
    buildroot = hold("one", 3 * MB)
    mount = SimpleNamespace(path=f"{buildroot}/root/mnt/koji")
    monkeypatch.setattr(disk, "mount_points", lambda: [mount])
    assert disk.measure(buildroot, os.getuid()) == (0, 0)


def test_folders_too_deep_to_look_at_are_the_largest(
    disk: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(24, "Too many open files")

    (tmp_path / "deep").mkdir()
    monkeypatch.setattr(disk, "os", SimpleNamespace(**{**vars(os), "open": refuse}))
    assert disk.measure(tmp_path, os.getuid()) == (float("inf"), float("inf"))


def test_folders_that_change_all_the_time_are_the_largest(
    disk: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(disk, "LONGEST_LOOK", -1)
    assert disk.measure(tmp_path, os.getuid()) == (float("inf"), float("inf"))
    fill(disk, monkeypatch, MB)
    with pytest.raises(disk.DiskFullError, match="more than this one, too much to count; its"):
        disk.DiskWatch(tmp_path, os.getuid()).check()


def test_a_busy_processor_makes_no_build_look_larger(
    disk: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A look may take minutes then."""
    minutes = count(step=60.0)
    clock = SimpleNamespace(monotonic=lambda: next(minutes), process_time=time.process_time)
    monkeypatch.setattr(disk, "time", clock)
    (tmp_path / "file").touch()
    assert disk.measure(tmp_path, os.getuid()) == (0, 1)


def test_a_build_that_has_written_less_than_the_reserve_goes_on(
    disk: ModuleType, monkeypatch: pytest.MonkeyPatch, hold: Callable[..., Path]
) -> None:
    """Its end would not help."""
    fill(disk, monkeypatch, MB)
    disk.DiskWatch(hold("one", 3 * MB // 2), os.getuid()).check()


def test_a_buildroot_is_in_use_while_it_is_locked(
    disk: ModuleType, hold: Callable[..., Path], tmp_path: Path
) -> None:
    assert disk.is_in_use(hold("one", 1))
    assert not disk.is_in_use(tmp_path)
    assert not disk.is_in_use(tmp_path / "missing")
