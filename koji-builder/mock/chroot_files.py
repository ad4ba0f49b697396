"""Files that the driver copies into a chroot and out of it. All of this runs inside, by Chroot.do.

Inside, an absolute link leads only into the chroot, and the unprivileged user has no more rights
than its own. Files outside are passed in as open descriptors.
"""

import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from settings import Account, Settings

DIRECTORIES = ("BUILD", "BUILDROOT", "RPMS", "SOURCES", "SPECS", "SRPMS", "originals")
USER, GROUP = "mockbuild", "mock"
TMPDIR = "/chroot_tmpdir"  # kojid's default, and that of every version
# The rpm database, and where newer distributions have it. kojid looks there first since 1.32.
DATABASE, NEW_DATABASE = Path("/var/lib/rpm"), Path("/usr/lib/sysimage/rpm")
# What dnf keeps of repositories; kojid's configuration names the first.
CACHES = (Path("/var/cache/yum"), Path("/var/cache/dnf"))
DATABASES = (DATABASE, NEW_DATABASE, Path("/usr/share/rpm"))


def furnish() -> None:
    """As root, before the installation: write what packages and builds expect of every system."""
    for name in ("etc", "var/lib/dbus"):
        Path("/", name).mkdir(parents=True, exist_ok=True)
    Path("/etc/machine-id").write_text(f"{os.urandom(16).hex()}\n")
    Path("/var/lib/dbus/machine-id").symlink_to("../../../etc/machine-id")
    Path("/etc/mtab").symlink_to("../proc/self/mounts")
    Path("/etc/fstab").touch()


def link_database(root: Path, place: Path) -> None:
    """As root: make `place` a link to the database, and NEW_DATABASE too if it is there.

    `place` is where the chroot's own rpm looks. Packages put links to single files there (Fedora's
    rpm does), or have moved the database there, with a link in its old place (openSUSE's).
    """
    database = root / DATABASE.relative_to("/")
    new = root / NEW_DATABASE.relative_to("/")
    for path in {root / place.relative_to("/"), *([new] if new.is_dir() else [])}:
        if path.exists() and path.samefile(database):
            continue
        if path.is_dir() and not path.is_symlink():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Relative, for dnf and rpm read the chroot from outside.
        path.symlink_to(os.path.relpath(database.resolve(), path.parent.resolve()))


def populate(settings: Settings, account: Account, resolver: str, hosts: str) -> None:
    """As root, after the installation: write the user, its home and macros, and configured files.

    kojid makes its own directory, TMPDIR, once this is done; what a package put there is removed.
    `resolver` and `hosts` are the contents of /etc/resolv.conf and /etc/hosts.
    """
    home = Path(settings.home)
    files = {
        "etc/resolv.conf": resolver if settings.host_resolver else "",
        "etc/hosts": hosts,
        **settings.files,
        f"{home}/.rpmmacros".lstrip("/"): "".join(
            f"{key} {value}\n" for key, value in settings.macros.items()
        ),
    }
    remove(Path(TMPDIR))
    add_user(Path("/etc"), account, settings.home)
    for name, text in files.items():
        path = Path("/", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
    recreate_home(settings, account)


def add_user(etc: Path, account: Account, home: str) -> None:
    """Name the unprivileged user and its group in the chroot's own passwd and group."""
    lines = {
        "passwd": f"{USER}:x:{account.uid}:{account.gid}::{home}:/bin/bash",
        "group": f"{GROUP}:x:{account.gid}:",
    }
    for name, line in lines.items():
        path = etc / name
        lines_before = path.read_text().splitlines() if path.exists() else []
        others = [other for other in lines_before if other.split(":")[0] != line.split(":")[0]]
        path.write_text("".join(f"{text}\n" for text in [*others, line]))


def recreate_home(settings: Settings, account: Account) -> None:
    """Empty and recreate the directories that rpmbuild works in."""
    home = Path(settings.home)
    home.mkdir(exist_ok=True)
    os.chown(home, account.uid, account.gid)
    build = home / "build"
    remove(build)
    for path in (build, *(build / name for name in DIRECTORIES)):
        path.mkdir()
        os.chown(path, account.uid, account.gid)


def remove(path: Path) -> None:
    """Remove whatever has that name, if anything."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_caches() -> None:
    """As root: remove what a scriptlet may have made of dnf's caches, which dnf would believe.

    dnf comes from outside of the chroot, where a link leads to another place.
    """
    for folder in ("/var", "/var/cache"):
        if Path(folder).is_symlink():
            raise NotADirectoryError(f"{folder} is a link")
    for cache in CACHES:
        remove(cache)


def copy_in(descriptor: int, path: Path) -> None:
    """Copy an open file to a path that must not exist."""
    with os.fdopen(os.dup(descriptor), "rb") as source:
        source.seek(0)
        with path.open("xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)


def copy_tree_in(directory: int, path: Path) -> None:
    """Copy an open directory into an existing one; symbolic links are copied as links."""
    for here, names, files, descriptor in os.fwalk(".", dir_fd=directory, follow_symlinks=False):
        target = path / here
        for name in list(names):
            if stat.S_ISLNK(os.lstat(name, dir_fd=descriptor).st_mode):
                files.append(name)
            else:
                (target / name).mkdir(exist_ok=True)
        for name in files:
            status = os.lstat(name, dir_fd=descriptor)
            if stat.S_ISLNK(status.st_mode):
                (target / name).symlink_to(os.readlink(name, dir_fd=descriptor))
            elif stat.S_ISREG(status.st_mode):
                source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=descriptor)
                copy_in(source, target / name)
                (target / name).chmod(status.st_mode & 0o777 | 0o600)
                os.utime(target / name, ns=(status.st_atime_ns, status.st_mtime_ns))
                os.close(source)


def is_mostly_holes(descriptor: int) -> bool:
    """Whether an open regular file is: no RPM is, and what a copy writes for them fills any disk.

    Moves the file's position. The number of blocks alone does not tell: ZFS counts them late, and
    Btrfs compresses.
    """
    status = os.fstat(descriptor)
    return status.st_blocks * 512 < status.st_size // 2 and (
        os.lseek(descriptor, 0, os.SEEK_HOLE) < status.st_size
    )


def copy_out(paths: Iterable[Path], directory: int) -> None:
    """Copy regular files out of the chroot into an open directory, replacing files of that name.

    Raises OSError for a link, PermissionError for anything else that is not a regular file, for one
    that is mostly holes, and for a name with control characters, which XML, and so a task's result,
    cannot contain.
    O_NONBLOCK keeps the open of a pipe named like an RPM from blocking.
    """
    for path in paths:
        if not path.name.isprintable():
            raise PermissionError(f"{path.name!r}: the name has characters that cannot be printed")
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(f"{path} is not a regular file")
        if is_mostly_holes(source):
            raise PermissionError(f"{path} is mostly holes, {status.st_size:,} bytes long")
        os.lseek(source, 0, os.SEEK_SET)
        with suppress(FileNotFoundError):
            os.unlink(path.name, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        target = os.open(path.name, flags, 0o664, dir_fd=directory)
        with os.fdopen(source, "rb") as reader, os.fdopen(target, "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        os.utime(path.name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=directory)
