"""Where the disk of a builder is full, the build that has written most to it is ended, as the
kernel does where memory is full. Its buildroot is emptied, so that the others go on.

This runs in the first process of a call, outside of the chroot and its mounts.
"""

import errno
import fcntl
import math
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from errors import MockError, Status
from mountinfo import beneath, mount_points

# The disk is full for builds once less of its bytes or inodes is free than this part of them, up to
# that many.
RESERVE, MOST_RESERVE = 0.02, (1 << 30, 1 << 16)
# Seconds in which a build that was ended gives its space back. Where the disk is full, a build that
# has written all of it is ended at once, one with half of it this much later, one with a quarter
# twice that, and so on: builders that share a disk do not see each other's builds.
SETTLING = 5.0
LONGEST_LOOK = 20.0  # processor seconds at one buildroot, for some millions of files


class DiskFullError(MockError):
    """The disk is full, and this build has written more to it than its builder's others.

    It is to be ended if that is still so after `settling` seconds.
    """

    def __init__(self, own: float, total: int, free: int, unit: str) -> None:
        """`own`, what the build has written, and the disk's sizes are in `unit`s."""
        written = "too much to count" if math.isinf(own) else f"{own:,.0f}"
        super().__init__(
            Status.BUILD,
            f"the build was ended: the builder's disk has {free:,} {unit} left, and no other"
            f" running build of this builder has written more than this one, {written}; its"
            " buildroot was emptied",
            "give the builder a larger disk, or fewer builds at once (KOJI_BUILDER_CAPACITY)",
        )
        self.settling = SETTLING * math.log2(max(total / own, 1))


class DiskWatch:
    """Watches the disk for the build in a buildroot, whose user has this uid."""

    def __init__(self, buildroot: Path, uid: int) -> None:
        self._buildroot, self._uid = buildroot, uid
        self._next = 0.0
        self._settled = False

    def look(self) -> None:
        """Check, but not soon after a check that took long. The second in a row ends the build."""
        if time.monotonic() < self._next:
            return
        started = time.process_time()
        try:
            self.check()
            pause, self._settled = 10 * (time.process_time() - started), False
        except DiskFullError as failure:
            if self._settled:
                raise
            pause, self._settled = failure.settling, True
        self._next = time.monotonic() + pause

    def check(self) -> None:
        """Raise DiskFullError if the disk is full and this build is the one to end for it."""
        kind = find_shortage(self._buildroot)
        if kind is None:
            return
        own = measure(self._buildroot, self._uid)[kind]
        others = [measure(path, self._uid)[kind] for path in self._neighbours()]
        total, free, reserve = (amounts[kind] for amounts in sizes(self._buildroot))
        if free < reserve < own and all(other <= own for other in others):
            raise DiskFullError(own, total, free, ("bytes", "inodes")[kind])

    def _neighbours(self) -> Iterator[Path]:
        """The buildroots in which other mocks run."""
        for path in self._buildroot.parent.iterdir():
            if path != self._buildroot and is_in_use(path):
                yield path


def find_shortage(path: Path) -> int | None:
    """What the disk of `path` lacks: 0 for bytes, 1 for inodes, None for neither."""
    _, free, reserve = sizes(path)
    return next((kind for kind in (0, 1) if free[kind] < reserve[kind]), None)


def sizes(path: Path) -> tuple[tuple[int, int], ...]:
    """Of the disk of `path`: all bytes and inodes, those that are free, and those to keep free."""
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize, disk.f_favail
    total = disk.f_blocks * disk.f_frsize, disk.f_files  # Btrfs does not count inodes
    shares = (int(amount * RESERVE) for amount in total)
    bytes_, inodes = (min(share, most) for share, most in zip(shares, MOST_RESERVE, strict=True))
    return total, free, (bytes_, inodes)


def measure(buildroot: Path, uid: int) -> tuple[float, float]:
    """The bytes on the disk and the inodes of a user's files in a buildroot.

    Nothing, if something is mounted there, as kojid's plugin runroot does: it is not the build's.
    Infinite, if the folders are too deep to look at, or change so that a look does not end. A busy
    processor makes no build look larger.
    """
    if beneath(str(buildroot), mount_points()):
        return 0, 0
    size = number = 0.0
    try:
        for status in walk(buildroot):
            if status.st_uid == uid:
                names = 1 if stat.S_ISDIR(status.st_mode) else max(status.st_nlink, 1)
                size += status.st_blocks * 512 / names
                number += 1 / names
    except FileNotFoundError:  # it is gone
        return 0, 0
    except OSError:
        return math.inf, math.inf
    return size, number


def walk(directory: Path) -> Iterator[os.stat_result]:
    """Of all that is below a directory. No link is followed, and what vanishes is left out.

    Raises OSError if the folders are deeper than this process may open files, TimeoutError after
    LONGEST_LOOK.
    """
    deadline = time.process_time() + LONGEST_LOOK
    flags = os.O_DIRECTORY | os.O_NOFOLLOW
    open_directories = [os.open(directory, flags)]
    listings = [os.scandir(open_directories[-1])]
    try:
        while listings:
            if time.process_time() > deadline:
                raise TimeoutError
            entry = next(listings[-1], None)
            if entry is None:
                listings.pop().close()
                os.close(open_directories.pop())
                continue
            try:
                yield entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    open_directories.append(os.open(entry.name, flags, dir_fd=open_directories[-1]))
                    listings.append(os.scandir(open_directories[-1]))
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    raise
    finally:
        for listing in listings:
            listing.close()
        for descriptor in open_directories:
            os.close(descriptor)


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
