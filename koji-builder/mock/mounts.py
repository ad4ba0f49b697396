"""Which mounts a buildroot gets, as plans that can be read and tested without making one.

The worker (see worker.py) sees the builder in mounts of its own, where only the chroot can be
written. The chroot has /proc, /sys and /dev, and what the configuration binds besides.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import kernel
from ending import Failed, Status
from settings import Settings

# What dnf, and through it the scriptlets of packages, have no business to see.
HIDDEN = ("/etc/pki/koji", "/run/secrets")
SCRATCH = "/tmp"  # the worker's own; what lies there otherwise is hidden too
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
LINKS = {
    "core": "/proc/kcore", "fd": "/proc/self/fd", "ptmx": "pts/ptmx", "stderr": "/proc/self/fd/2",
    "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
}  # fmt: skip
FLAGS = {"nosuid": kernel.NO_SUID, "nodev": kernel.NO_DEV, "noexec": kernel.NO_EXEC}


@dataclass(frozen=True)
class Mounted:
    """A line of /proc/self/mountinfo: where something is mounted, and with which options."""

    place: str
    options: tuple[str, ...]

    @property
    def flags(self) -> int:
        """The options that a remount has to repeat, or it would lift them."""
        return sum(flag for name, flag in FLAGS.items() if name in self.options)


@dataclass(frozen=True)
class Mount:
    """A mount to make in the chroot: the place is relative to it. A source of "" is the kind."""

    place: str
    source: str
    kind: str = ""
    flags: int = 0
    data: str = ""


def mountinfo(text: str) -> list[Mounted]:
    """Read /proc/self/mountinfo (proc(5)): the fifth field is the place, the sixth the options."""
    found = []
    for line in text.splitlines():
        fields = line.split(" ")
        place = fields[4].encode().decode("unicode_escape")  # a space is written \\040
        found.append(Mounted(place, tuple(fields[5].split(","))))
    return found


def beneath(directory: str, mounts: Iterable[Mounted]) -> list[Mounted]:
    """Those mounts that lie somewhere in a directory, the nearest first."""
    return [mounted for mounted in mounts if mounted.place.startswith(f"{directory}/")]


def to_close(root: Path, mounts: Iterable[Mounted]) -> list[Mounted]:
    """The mounts that become read-only in the worker: all but the chroot's, and those hidden."""
    writable = (str(root), SCRATCH)
    out_of_reach = tuple(f"{place}/" for place in (*writable, *HIDDEN))
    return [m for m in mounts if m.place not in writable and not m.place.startswith(out_of_reach)]


def chroot_plan(settings: Settings) -> list[Mount]:
    """What is mounted in the chroot, in order.

    /proc is bound with all that lies on it: the engine masks parts of it, /proc/sysrq-trigger for
    one, and a fresh procfs would lay them open. kojid and the runroot plugin bind a /dev of their
    own where internal_dev_setup is off.
    """
    plan = [
        Mount("proc", "/proc", flags=kernel.BIND | kernel.RECURSIVE),
        Mount("sys", "/sys", flags=kernel.BIND | kernel.RECURSIVE),
    ]
    if settings.own_dev:
        plan += [
            Mount("dev", "", "tmpfs", kernel.NO_SUID, "mode=755,size=1m"),
            *(Mount(f"dev/{name}", f"/dev/{name}", flags=kernel.BIND) for name in DEVICES),
            Mount("dev/pts", "", "devpts", kernel.NO_SUID | kernel.NO_EXEC,
                  "newinstance,ptmxmode=0666,mode=620,gid=5"),
            Mount("dev/shm", "", "tmpfs", kernel.NO_SUID | kernel.NO_DEV, "mode=1777"),
        ]  # fmt: skip
    return plan + [
        Mount(target.strip("/"), source, flags=kernel.BIND | kernel.RECURSIVE)
        for source, target in settings.binds
    ]


def descend(directory: int, path: str, *, file: bool = False, make: bool = False) -> int:
    """Open what lies at a relative path, and follow no link on the way: the caller closes it.

    With `make`, directories that are missing are made, and with `file` an empty file at the end.
    """
    here = os.dup(directory)
    parts = [part for part in path.split("/") if part]
    for number, part in enumerate(parts):
        is_file = file and number == len(parts) - 1
        try:
            if part == "..":
                raise PermissionError(f"{path}: .. could lead out of the chroot")
            if make:
                _make_one(part, here, is_file)
            flags = os.O_PATH if is_file else os.O_DIRECTORY
            deeper = os.open(part, flags | os.O_NOFOLLOW, dir_fd=here)
        finally:
            os.close(here)
        here = deeper
    if stat.S_ISLNK(os.fstat(here).st_mode):  # which is what O_PATH opens, instead of refusing it
        os.close(here)
        raise PermissionError(f"{path} is a link in the chroot")
    return here


def _make_one(name: str, directory: int, is_file: bool) -> None:
    """Make a file or a directory in an open directory, unless something of that name is there."""
    try:
        if is_file:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=directory))
        else:
            os.mkdir(name, 0o755, dir_fd=directory)
    except FileExistsError:
        pass


def make(plan: Iterable[Mount], root: int) -> None:
    """Make the mounts of a plan in a chroot, an open directory whose contents are not trusted."""
    for item in plan:
        if item.source and not Path(item.source).exists():
            raise Failed(Status.CHROOT, f"{item.source} is not there to be bound to /{item.place}")
        is_file = bool(item.source) and not Path(item.source).is_dir()
        place = descend(root, item.place, file=is_file, make=True)
        kernel.mount(item.source or item.kind, f"/proc/self/fd/{place}", item.kind, item.flags,
                     item.data)  # fmt: skip
        os.close(place)
        if item.place == "dev" and item.kind == "tmpfs":
            device_directory = descend(root, "dev")
            for name, target in LINKS.items():
                os.symlink(target, name, dir_fd=device_directory)
            os.close(device_directory)


def own_proc(mounts: Iterable[Mounted], scratch: Path) -> None:
    """Give the worker's namespace of processes its own /proc, masked as the engine masked the old.

    Where that is refused, as in a user namespace, the builder's /proc stays: it numbers processes
    in another way, and is good enough for all who ask for /proc/self.
    """
    fresh = scratch / "proc"
    fresh.mkdir()
    try:
        kernel.mount("proc", str(fresh), "proc", kernel.NO_SUID | kernel.NO_DEV | kernel.NO_EXEC)
    except kernel.Refused:
        return
    for mask in beneath("/proc", mounts):
        place = fresh / mask.place.removeprefix("/proc/")
        if place.exists():
            kernel.mount(mask.place, str(place), flags=kernel.BIND)
    kernel.mount(str(fresh), "/proc", flags=kernel.MOVE)


def isolate(root: Path) -> int:
    """Give the worker its view of the builder, and return the chroot, opened as a mount point."""
    mounts = mountinfo(Path("/proc/self/mountinfo").read_text())
    kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_IPC)
    kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    kernel.mount("tmpfs", SCRATCH, "tmpfs", kernel.NO_SUID | kernel.NO_DEV, "mode=1777")
    own_proc(mounts, Path(SCRATCH))
    kernel.mount(str(root), str(root), flags=kernel.BIND | kernel.RECURSIVE)
    for place in HIDDEN:
        if Path(place).is_dir():
            kernel.mount("tmpfs", place, "tmpfs", kernel.READ_ONLY)
    return os.open(root, os.O_DIRECTORY | os.O_NOFOLLOW)


def close(root: Path) -> None:
    """Make all that the worker sees read-only, but for the chroot and a /tmp of its own.

    So dnf and rpm, which run as root and take a chroot's absolute links for the builder's, can
    write nowhere else, whatever link a build or a package has planted.
    """
    for mounted in to_close(root, mountinfo(Path("/proc/self/mountinfo").read_text())):
        flags = kernel.BIND | kernel.REMOUNT | kernel.READ_ONLY | mounted.flags
        kernel.mount("none", mounted.place, flags=flags)
