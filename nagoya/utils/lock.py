"""Locks between processes; the kernel releases them however their holder ends."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Everybody can create files in either, and delete only their own; both are empty after a reboot.
_SHARED = Path("/run/lock") if os.access("/run/lock", os.W_OK) else Path(tempfile.gettempdir())


def cache_folder() -> Path:
    """Where Nagoya keeps what it can make again, by the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nagoya"


def private_folder() -> Path:
    """A folder of this user's that lasts until a reboot: no cleanup job empties it.
    It exists once a lock has been held."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime) / "nagoya"
    return Path(tempfile.gettempdir()) / f"nagoya-{os.getuid()}"


@contextmanager
def locked(name: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock of this user; `waiting` is called once if another process holds it.

    Its file stays, empty. Raises OSError if the folder of the locks belongs to another user.
    """
    folder = private_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(1, "belongs to another user", str(folder))
    with (folder / name).open("a") as file:
        _lock(file.fileno(), waiting)
        yield


@contextmanager
def locked_for_all(name: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that all users of this machine share; else as `locked`.

    Whoever comes first makes its file, and reading it is enough to lock it.
    """
    path = _SHARED / f"nagoya-{name}"
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
        os.fchmod(descriptor, 0o644)  # whatever the umask
    except FileExistsError:
        descriptor = os.open(path, flags)
    try:
        _lock(descriptor, waiting)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, waiting: Callable[[], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
