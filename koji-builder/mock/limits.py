"""How much one build may take of its builder, so that kojid and other builds go on.

The engine's limits, such as pids_limit, are for a builder as a whole. Within them, this ends a
build that starts too many processes, and where the disk runs out the build that has written most,
as the kernel does where memory runs out.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from errors import MockError, Status
from settings import Account, Settings

INTERVAL = 0.25  # seconds between two looks; longer after one at the disk that took long
# Processes and threads of one build: half of the builder's limit, and no more than this.
MOST_PROCESSES = 8192
# The disk is full for builds once less of its bytes or inodes is free than this part of them, up to
# that many.
RESERVE, MOST_RESERVE = 0.02, (1 << 30, 1 << 16)
CGROUPS = Path("/sys/fs/cgroup")


def engine_limit(controller: str, *names: str) -> int | None:
    """The limit of a control group's controller, from the first of the files that has a number.

    In version 2 of control groups a container's files are in CGROUPS, in version 1 in a folder for
    each controller.
    """
    for path in (folder / name for folder in (CGROUPS, CGROUPS / controller) for name in names):
        with suppress(OSError, ValueError):
            return int(path.read_text())
    return None


def tmpfs_options() -> str:
    """Options for a tmpfs that a build writes to: it holds at most a quarter of the memory.

    Memory that a file takes is no process's, so the kernel would kill others for it.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = engine_limit("memory", "memory.max", "memory.limit_in_bytes") or memory
    return f"mode=1777,size={min(limit, memory) // 4}"


class DiskFullError(MockError):
    """The disk is full, and this build has written more to it than the others."""


class Limits:
    """The limits of the build in a buildroot."""

    def __init__(self, settings: Settings, account: Account) -> None:
        self._basedir, self._buildroot = settings.basedir, settings.basedir / settings.root
        self._uid = account.uid
        half = (engine_limit("pids", "pids.max") or 2 * MOST_PROCESSES) // 2
        self._processes = min(half, MOST_PROCESSES)
        # Where the kernel refuses the worker a /proc of its own, other builds' processes are there.
        self._sees_own = Path("/proc/self").readlink() == Path("1")
        self._next = 0.0

    def check(self) -> None:
        """Look at processes and disk, unless the last look was just now; MockError if too much."""
        started = time.monotonic()
        if started < self._next:
            return
        self.check_processes()
        self.check_disk()
        self._next = time.monotonic() + max(INTERVAL, 20 * (time.monotonic() - started))

    def check_processes(self) -> None:
        """Raise MockError if the build has more processes and threads than it may have."""
        if self._sees_own and (threads := count_threads()) > self._processes:
            raise MockError(
                Status.BUILD,
                f"the build was ended: it had {threads} processes and threads, and one build may"
                f" have {self._processes}",
                "let it start fewer at once, or raise the builder's pids_limit in moromi.yml: one"
                f" build may have half of that, up to {MOST_PROCESSES}",
            )

    def check_disk(self) -> None:
        """Raise DiskFullError if the disk is full and this build is the one to end for it."""
        free, reserve = free_and_reserve(self._buildroot)
        for kind, name in enumerate(("bytes", "inodes")):
            if free[kind] >= reserve[kind]:
                continue
            own = written(self._buildroot, self._uid)[kind]
            others = (path for path in self._basedir.iterdir() if path != self._buildroot)
            if own > free[kind] and all(
                written(path, self._uid)[kind] <= own for path in others if is_in_use(path)
            ):
                raise DiskFullError(
                    Status.BUILD,
                    f"the build was ended: the builder's disk has {free[kind]:,} {name} left, and"
                    f" this build, which has written {own:,}, takes most of the running ones; its"
                    " files were removed",
                    "give the builder a larger disk, or fewer builds at once"
                    " (KOJI_BUILDER_CAPACITY)",
                )


def free_and_reserve(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of the disk of `path`: the bytes and inodes that are free, and those that should be."""
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize, disk.f_favail
    total = disk.f_blocks * disk.f_frsize, disk.f_files  # no inodes are counted on Btrfs
    shares = (int(amount * RESERVE) for amount in total)
    bytes_, inodes = (min(share, most) for share, most in zip(shares, MOST_RESERVE, strict=True))
    return free, (bytes_, inodes)


def count_threads() -> int:
    """The processes in /proc, with all their threads."""
    threads = 0
    for name in os.listdir("/proc"):  # noqa: PTH208 - four times a second
        with suppress(OSError):  # no process, or one that has just ended
            threads += Path("/proc", name, "task").stat().st_nlink - 2 if name.isdigit() else 0
    return threads


def written(directory: Path, uid: int) -> tuple[int, int]:
    """The bytes on the disk and the inodes of a user's files below a directory, without mounts."""
    device = directory.stat().st_dev
    size = number = 0
    left = [str(directory)]
    while left:
        with suppress(OSError), os.scandir(left.pop()) as entries:  # some vanish meanwhile
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if status.st_dev == device and entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                if status.st_uid == uid:
                    size += status.st_blocks * 512
                    number += 1
    return size, number


def is_in_use(buildroot: Path) -> bool:
    """Whether a mock runs in a buildroot: it has the lock then (see prepare in __main__.py)."""
    try:
        directory = os.open(buildroot, os.O_DIRECTORY)
    except OSError:  # a file, or gone
        return False
    try:
        fcntl.flock(directory, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(directory)
