"""Disk space: before a disk is full, the build that has taken most of it ends.

Builds share a disk with each other and with kojid, and no quota can be set from within a container.
So each mock looks at the disk while its build runs, and ends it if the disk is nearly full and no
other buildroot in use takes more of it.
"""

import fcntl
import os
import subprocess
from pathlib import Path

# Bytes that a build leaves free, or a twentieth of a small disk; and the same share of its inodes.
ROOM = 1 << 30
SHARE = 20


def shortage(disk: os.statvfs_result) -> str | None:
    """What is running out on a disk, `space` or `inodes`."""
    if disk.f_bavail * disk.f_frsize < min(ROOM, disk.f_blocks * disk.f_frsize // SHARE):
        return "space"
    if disk.f_favail < disk.f_files // SHARE:
        return "inodes"
    return None


def in_use(basedir: Path) -> list[Path]:
    """The buildroots that a mock is working in."""
    return [path for path in sorted(basedir.iterdir()) if path.is_dir() and _is_locked(path)]


def _is_locked(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def takes_most(what: str, own: Path, others: list[Path]) -> bool:
    """Whether no other folder takes more `space` or `inodes` than this one."""
    unit = ["--inodes"] if what == "inodes" else ["--block-size=1"]
    folders = [own, *(path for path in others if path != own)]
    counted = subprocess.run(
        ["du", "--summarize", "--one-file-system", *unit, *map(str, folders)],
        check=False,  # files vanish meanwhile
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    sizes = [int(line.split()[0]) for line in counted.stdout.splitlines()]
    return bool(sizes) and sizes[0] == max(sizes)


def fault(buildroot: Path) -> str | None:
    """Why the build in this buildroot has to end, if it has to."""
    what = shortage(os.statvfs(buildroot))
    if not what or not takes_most(what, buildroot, in_use(buildroot.parent)):
        return None
    # A larger one may have ended, and been deleted, meanwhile.
    if shortage(os.statvfs(buildroot)):
        return f"the builder's disk has hardly any {what} left, and this build takes most of it"
    return None
