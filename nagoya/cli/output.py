"""Files with keys, which a command writes for its user alone."""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nagoya.errors import LifecycleError, UsageError


@contextmanager
def writing(file: Path, what: str, command: str, *, private: bool = True) -> Iterator[IO[bytes]]:
    """A new file that only its owner can read; nothing remains of it if something fails.

    `what` is a word for its content, `command` writes it to a file. Raises UsageError if the file
    exists, LifecycleError if it cannot be written, or where stdout is not as `private`.
    """
    if str(file) == "-":
        if sys.stdout is None:
            raise UsageError(f"stdout is closed, and gets no {what}", command)
        if sys.stdout.isatty():
            raise UsageError(f"stdout is a terminal, which cannot hold a {what}", command)
        if private and not is_private(sys.stdout.buffer):
            raise LifecycleError(
                f"stdout is a file that others can read, and the {what} holds keys",
                f"`{command}` makes a private file, and so does the shell after `umask 077`",
            )
        yield sys.stdout.buffer
        return
    if file.exists():
        raise UsageError(f"{file} exists already", "choose another name, or delete it")
    if not file.parent.is_dir():
        raise UsageError(f"{file} cannot be written: no folder {file.parent}")
    partial = file.with_name(f"{file.name}.part")
    try:
        partial.unlink(missing_ok=True)
        # Nothing that somebody else has put there gets the keys.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(partial, flags, 0o600)
    except OSError as error:
        raise LifecycleError(f"{partial} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
        partial.rename(file)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise LifecycleError(f"{file} was not written: {error.strerror}") from error
        raise


def is_private(stream: IO[bytes]) -> bool:
    """Whether nobody but its owner can read a file; a pipe belongs to its two programs."""
    mode = os.fstat(stream.fileno()).st_mode
    return not stat.S_ISREG(mode) or not mode & 0o077
