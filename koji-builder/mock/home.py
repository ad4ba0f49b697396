"""What the driver writes into a chroot, and takes out of it. All of it runs inside, by Chroot.do.

Inside, an absolute link leads nowhere but into the chroot, and what the unprivileged user does it
does with that user's rights only. Files that lie outside come as descriptors, opened before.
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


def furnish(settings: Settings, account: Account, resolver: str, hosts: str) -> None:
    """As root, after the installation: the user, its home and macros, and the files asked for."""
    home = Path(settings.home)
    files = {
        "etc/resolv.conf": resolver if settings.host_resolver else "",
        "etc/hosts": hosts,
        **settings.files,
        f"{home}/.rpmmacros".lstrip("/"): "".join(
            f"{key} {value}\n" for key, value in settings.macros.items()
        ),
    }
    add_user(Path("/etc"), account, settings.home)
    for name, text in files.items():
        path = Path("/", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
    fresh_home(settings, account)


def add_user(etc: Path, account: Account, home: str) -> None:
    """Give the unprivileged user's numbers their names in the chroot's own passwd and group."""
    lines = {
        "passwd": f"{USER}:x:{account.uid}:{account.gid}::{home}:/bin/bash",
        "group": f"{GROUP}:x:{account.gid}:",
    }
    for name, line in lines.items():
        path = etc / name
        known = path.read_text().splitlines() if path.exists() else []
        kept = [other for other in known if other.split(":")[0] != line.split(":")[0]]
        path.write_text("".join(f"{text}\n" for text in [*kept, line]))


def fresh_home(settings: Settings, account: Account) -> None:
    """Make the directories of a build anew, whatever an earlier one has left in them."""
    home = Path(settings.home)
    home.mkdir(exist_ok=True)
    os.chown(home, account.uid, account.gid)
    build = home / "build"
    if build.is_symlink() or build.is_file():
        build.unlink()
    elif build.exists():
        shutil.rmtree(build)
    for path in (build, *(build / name for name in DIRECTORIES)):
        path.mkdir()
        os.chown(path, account.uid, account.gid)


def put(descriptor: int, path: Path) -> None:
    """Copy an open file to a path that does not exist yet."""
    with os.fdopen(os.dup(descriptor), "rb") as source:
        source.seek(0)
        with path.open("xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)


def put_tree(directory: int, path: Path) -> None:
    """Copy an open directory to one that exists; a link stays the link that it was."""
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
                put(source, target / name)
                (target / name).chmod(status.st_mode & 0o777 | 0o600)
                os.utime(target / name, ns=(status.st_atime_ns, status.st_mtime_ns))
                os.close(source)


def take(paths: Iterable[Path], directory: int) -> None:
    """Copy files out of the chroot into an open directory: plain files only, and never a link.

    O_NONBLOCK keeps a pipe that calls itself an RPM from stopping us for ever.
    """
    for path in paths:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(f"{path} is no plain file")
        with suppress(FileNotFoundError):
            os.unlink(path.name, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        target = os.open(path.name, flags, 0o664, dir_fd=directory)
        with os.fdopen(source, "rb") as reader, os.fdopen(target, "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        os.utime(path.name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=directory)
