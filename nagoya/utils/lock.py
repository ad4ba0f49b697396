"""Locks between this user's processes; the kernel releases them however their holder ends."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


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
    """Hold the lock of that name; `waiting` is called once if another process holds it.

    Its file stays, empty. Raises OSError if the folder of the locks belongs to another user.
    """
    folder = private_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(1, "belongs to another user", str(folder))
    with (folder / name).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
