"""Atomic writes, the marker of a finished initialisation, and private copies of keys."""

import os
import pwd
import tempfile
from pathlib import Path

from .entry import Fatal

MARKER = ".complete"


def write(path: Path, data: str | bytes, mode: int = 0o644, owner: str | None = None) -> None:
    """Write `data` to `path` in one step: readers see the old file or the new one, never a part.

    `owner` is a user's name; the file gets that user's own group too. The folder must exist.
    No moment passes in which the file can be read by more than `mode` allows.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            if owner is not None:
                account = pwd.getpwnam(owner)
                os.fchown(file.fileno(), account.pw_uid, account.pw_gid)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
    _sync_folder(path.parent)


def done(folder: Path) -> bool:
    """Whether `folder` has the marker of a finished initialisation.

    False means that it is empty. Raises Fatal if it holds files but no marker: an initialisation
    was interrupted, or the files are somebody else's, and neither may be overwritten.
    """
    if (folder / MARKER).exists():
        return True
    # A volume that is a file system of its own has a lost+found from the start.
    strangers = [entry.name for entry in folder.iterdir() if entry.name != "lost+found"]
    if strangers:
        raise Fatal(
            f"{folder} is incomplete: it holds {', '.join(sorted(strangers)[:3])}, "
            f"but not the marker {MARKER}",
            hint="if nothing in it is needed, remove the container with its volume "
            "(`docker rm -v`) and start it again",
        )
    return False


def mark_done(folder: Path, note: str = "") -> None:
    """Write the marker, as the last step of an initialisation. `note` is for human readers."""
    write(folder / MARKER, note)


def private_copy(source: Path, target: Path, user: str) -> None:
    """Copy a key to where `user` alone can read it (0400, in a folder of its own, 0700).

    Choose a target on a tmpfs, such as /dev/shm: what lies in the container's own layer would
    become part of an image by `docker commit`.
    """
    account = pwd.getpwnam(user)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    os.chown(target.parent, account.pw_uid, account.pw_gid)
    write(target, source.read_bytes(), mode=0o400, owner=user)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
