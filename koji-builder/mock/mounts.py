"""The mounts of a buildroot, as plans that can be read and tested without making any.

The worker (see worker.py) has a mount namespace of its own, in which only the chroot is writable.
The chroot has /proc, /sys, /dev, and the directories that the configuration binds.
"""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import dnf_files
import kernel
from errors import MockError, Status
from limits import tmpfs_options, tmpfs_size
from mountinfo import MountPoint, beneath, mount_points
from settings import Settings

# Hidden from dnf, and so from the scriptlets of packages: secrets, the builder's terminals, where
# somebody may type one, what other tasks have, and files of the hub's, which somebody who only
# reads can lock.
SECRETS, TERMINALS = ("/etc/pki/koji", "/etc/pki/koji-builders", "/run/secrets"), "/dev/pts"
TASKS, TOP = ("/etc/kojid", "/etc/mock/koji", "/var/tmp/koji"), "/mnt/koji"
SCRATCH = "/tmp"  # the worker's own tmpfs, which hides the builder's /tmp
MOST_TERMINALS = 256  # of a buildroot; the machine has some thousand
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
OPTIONAL_DEVICES = ("fuse", "loop-control", "loop[0-9]*")  # where the container has them
LINKS = {
    "core": "/proc/kcore", "fd": "/proc/self/fd", "ptmx": "pts/ptmx", "stderr": "/proc/self/fd/2",
    "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
}  # fmt: skip
FLAGS = {"nosuid": kernel.NO_SUID, "nodev": kernel.NO_DEV, "noexec": kernel.NO_EXEC,
         "nosymfollow": kernel.NO_LINKS}  # fmt: skip


@dataclass(frozen=True)
class Mount:
    """A mount to make in the chroot. `target` is relative; no source means a new `fstype`."""

    target: str
    source: str
    fstype: str = ""
    flags: int = 0
    data: str = ""


def chroot_devices() -> list[str]:
    """The names of the devices in a chroot of this container."""
    optional = (path.name for name in OPTIONAL_DEVICES for path in Path("/dev").glob(name))
    return [*DEVICES, *sorted(optional)]


def restrictions(mount: MountPoint) -> int:
    """The flags that a remount has to repeat, or it would lift them."""
    return sum(flag for name, flag in FLAGS.items() if name in mount.options)


def hidden(local_repositories: Iterable[str]) -> tuple[str, ...]:
    """What to cover once a buildroot's mounts are made; SECRETS are covered before.

    A repository in the top directory leads to packages in all of it.
    """
    needed = any(Path(path).is_relative_to(TOP) for path in local_repositories)
    top = (f"{TOP}/work", f"{TOP}/.snapshots") if needed else (TOP,)
    return (TERMINALS, *TASKS, *top)


def read_only_mounts(
    roots: Iterable[Path],
    covered: Iterable[str],
    mounts: Iterable[MountPoint],
    devices: Iterable[str] = DEVICES,
) -> list[MountPoint]:
    """The mounts to make read-only in the worker: all but the chroots', and those below a cover.

    In the chroots, wherever they are mounted, those of /sys: the engine's /sys/fs/cgroup may be a
    tmpfs that all builds can write to. And the devices: they are the builder's own, whose mode root
    could change. Builds can write to them all the same. And what a bootstrap's dnf reads.
    """
    roots = [*roots]
    writable = (*map(str, roots), SCRATCH)
    out_of_reach = tuple(f"{path}/" for path in (*writable, *SECRETS, *covered))
    shared = [
        f"{root}/{name}/"
        for root in roots
        for name in ("sys", f"{root.parents[1]}/{dnf_files.NAME}".lstrip("/"),
                     *(f"dev/{device}" for device in devices))
    ]  # fmt: skip
    return [
        m
        for m in mounts
        if (m.path not in writable and not m.path.startswith(out_of_reach))
        or any(path in f"{m.path}/" for path in shared)
    ]


def chroot_plan(settings: Settings, devices: Iterable[str] = DEVICES) -> list[Mount]:
    """What to mount in the chroot, in order.

    /proc is bound recursively: the engine masks parts of it, such as /proc/sysrq-trigger, and a
    fresh procfs would expose them. Where internal_dev_setup is off, kojid and its plugin runroot
    bind their own /dev.
    """
    plan = [
        Mount("proc", "/proc", flags=kernel.BIND | kernel.RECURSIVE),
        Mount("sys", "/sys", flags=kernel.BIND | kernel.RECURSIVE),
    ]
    if settings.own_dev:
        plan += [
            Mount("dev", "", "tmpfs", kernel.NO_SUID | kernel.NO_DEV,
                  "mode=755,size=1m,nr_inodes=1024"),  # the nodes are mounts of their own
            *(Mount(f"dev/{name}", f"/dev/{name}", flags=kernel.BIND) for name in devices),
            Mount("dev/pts", "", "devpts", kernel.NO_SUID | kernel.NO_EXEC,
                  f"newinstance,ptmxmode=0666,mode=620,gid=5,max={MOST_TERMINALS}"),
            Mount("dev/shm", "", "tmpfs", kernel.NO_SUID | kernel.NO_DEV, tmpfs_options()),
        ]  # fmt: skip
    return plan + [
        Mount(target.strip("/"), source, flags=kernel.BIND | kernel.RECURSIVE)
        for source, target in settings.binds
    ]


def descend(directory: int, path: str, *, file: bool = False, make: bool = False) -> int:
    """Open a path relative to an open directory, following no link. The caller closes the result.

    `make` creates missing directories, and with `file` an empty file at the end. Raises OSError,
    PermissionError for ".." and for a link.
    """
    here = os.dup(directory)
    parts = [part for part in path.split("/") if part]
    for number, part in enumerate(parts):
        is_file = file and number == len(parts) - 1
        try:
            if part == "..":
                raise PermissionError(f"{path}: .. could lead out of the chroot")
            if make:
                _create(part, here, is_file)
            flags = os.O_PATH if is_file else os.O_DIRECTORY
            deeper = os.open(part, flags | os.O_NOFOLLOW, dir_fd=here)
        finally:
            os.close(here)
        here = deeper
    if stat.S_ISLNK(os.fstat(here).st_mode):  # O_PATH opens a link instead of refusing it
        os.close(here)
        raise PermissionError(f"{path} is a link in the chroot")
    return here


def _create(name: str, directory: int, is_file: bool) -> None:
    """Create a file or a directory in an open directory, unless the name is taken."""
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
            raise MockError(
                Status.CHROOT, f"cannot bind {item.source} to /{item.target}: it does not exist"
            )
        is_file = bool(item.source) and not Path(item.source).is_dir()
        target = descend(root, item.target, file=is_file, make=True)
        kernel.mount(item.source or item.fstype, f"/proc/self/fd/{target}", item.fstype,
                     item.flags, item.data)  # fmt: skip
        os.close(target)
        if item.target == "dev" and item.fstype == "tmpfs":
            device_directory = descend(root, "dev")
            for name, link in LINKS.items():
                os.symlink(link, name, dir_fd=device_directory)
            os.close(device_directory)


def mount_proc(mounts: list[MountPoint], scratch: Path) -> None:
    """Give the worker's PID namespace its own /proc, masked as the engine masked the builder's.

    Where the kernel refuses that, as in a user namespace, the builder's /proc stays. It numbers
    processes differently, which does not matter to programs that read /proc/self.
    """
    fresh = scratch / "proc"
    fresh.mkdir()
    try:
        kernel.mount("proc", str(fresh), "proc", kernel.NO_SUID | kernel.NO_DEV | kernel.NO_EXEC)
    except kernel.KernelError:
        return
    # No process owns System V's shared memory, as with a tmpfs.
    with suppress(OSError):
        pages = tmpfs_size() // os.sysconf("SC_PAGE_SIZE")
        (fresh / "sys/kernel/shmall").write_text(f"{pages}\n")
    for mask in beneath("/proc", mounts):
        target = fresh / mask.path.removeprefix("/proc/")
        if target.exists():
            kernel.mount(mask.path, str(target), flags=kernel.BIND)
    kernel.mount(str(fresh), "/proc", flags=kernel.MOVE)


def refuse_links(basedir: Path) -> None:
    """Let nothing in the builder follow a link or open a device below basedir, as long as the
    builder runs.

    kojid is root, and uses a buildroot between two calls of mock: it checks sources out into it,
    reads logs and the rpm database. No link that the chroot's root has planted must lead it out,
    and no device must keep it reading. Only the worker, for which `isolate` undoes this, follows
    links.
    """
    if not kernel.follows_links(basedir):
        return
    kernel.mount(str(basedir), str(basedir), flags=kernel.BIND | kernel.RECURSIVE)
    _change_flags(basedir, kernel.NO_LINKS | kernel.NO_DEV, 0)


def _change_flags(path: Path, added: int, removed: int) -> None:
    """Change flags of the mount on a path; the remount has to repeat the others."""
    (mount,) = [m for m in mount_points() if m.path == str(path)][-1:]
    flags = kernel.BIND | kernel.REMOUNT | (restrictions(mount) | added) & ~removed
    kernel.mount("none", str(path), flags=flags)


def isolate(root: Path, *others: Path) -> int:
    """Give the worker its own mounts; return the chroot, which is now a mount point, opened.

    Of all buildroots, it sees those that `root` and `others` are in. `hide` has to follow.
    """
    mounts = mount_points()
    kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_IPC)
    kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    show_only(root.parent, *(other.parent for other in others))
    kernel.mount("tmpfs", SCRATCH, "tmpfs", kernel.NO_SUID | kernel.NO_DEV, tmpfs_options())
    mount_proc(mounts, Path(SCRATCH))
    hide(SECRETS)
    return open_root(root)


def show_only(*buildroots: Path) -> None:
    """Cover mock's basedir, so that only these folders in it can be seen."""
    basedir = buildroots[0].parent
    opened = {path.name: os.open(path, os.O_DIRECTORY | os.O_NOFOLLOW) for path in buildroots}
    kernel.mount("tmpfs", str(basedir), "tmpfs", kernel.NO_SUID | kernel.NO_DEV, "mode=755,size=4m")
    for name, descriptor in opened.items():
        (basedir / name).mkdir()
        kernel.mount(f"/proc/self/fd/{descriptor}", str(basedir / name),
                     flags=kernel.BIND | kernel.RECURSIVE)  # fmt: skip
        os.close(descriptor)


def open_root(root: Path) -> int:
    """Make a chroot a mount point, in which links are followed and devices are not, and open it."""
    kernel.mount(str(root), str(root), flags=kernel.BIND | kernel.RECURSIVE)
    _change_flags(root, kernel.NO_DEV, kernel.NO_LINKS)
    return os.open(root, os.O_DIRECTORY | os.O_NOFOLLOW)


def bootstrap_plan(settings: Settings, root: Path, scratch: Path) -> list[Mount]:
    """What to mount in a bootstrap chroot: the buildroot at its own path, and what dnf reads."""
    files = dnf_files.folder(settings)
    shared = [Path(SCRATCH), scratch, files, *(Path(url) for url in settings.local_repositories)]
    return [
        *chroot_plan(replace(settings, own_dev=True, binds=())),
        *(Mount(str(path).lstrip("/"), str(path), flags=kernel.BIND) for path in shared),
        Mount(str(root).lstrip("/"), str(root), flags=kernel.BIND | kernel.RECURSIVE),
    ]


def detach_proc() -> None:
    """Unmount every /proc from this process's mounts."""
    for mount in reversed(mount_points()):
        if mount.fstype == "proc":
            kernel.unmount(mount.path)


def hide(folders: Iterable[str]) -> None:
    """Cover folders in this process's mounts."""
    for path in folders:
        if Path(path).is_dir():
            kernel.mount("tmpfs", path, "tmpfs", kernel.READ_ONLY)


def lend(basedir: Path) -> None:
    """Give this process mounts of its own, in which links below basedir are followed and devices
    work, for another driver. For everyone else, above all kojid, they do not; and the secrets are
    hidden."""
    refuse_links(basedir)
    kernel.unshare(kernel.NEW_MOUNTS)
    kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    _change_flags(basedir, 0, kernel.NO_LINKS | kernel.NO_DEV)
    hide(SECRETS)


def make_read_only(roots: Iterable[Path], covered: Iterable[str]) -> None:
    """Make everything read-only in the worker except the chroots and its own /tmp.

    dnf and rpm run as root, and resolve a chroot's absolute links in the builder. This keeps them
    from writing anywhere else, whatever link a build or a package has planted.
    """
    for mount in read_only_mounts(roots, covered, mount_points(), chroot_devices()):
        flags = kernel.BIND | kernel.REMOUNT | kernel.READ_ONLY | restrictions(mount)
        kernel.mount("none", mount.path, flags=flags)
