"""The hub's WSGI entry: Koji's own, behind a gate that can be closed for a moment.

A call holds a shared lock on a file until it has committed. Who closes the gate leaves a note, so
that calls which come from then on wait, and then asks for the lock alone, which is had once those
that came before have ended: nothing is half written then, in the database or in the top directory.
The note holds the time up to which it counts, so that nobody's death leaves the hub shut.
"""

import fcntl
import importlib.util
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path("/run/koji-hub")
# Calls wait this long between two looks, and so does who waits for their end.
_PAUSE = 0.01


def make(folder: Path = FOLDER) -> None:
    """Make the gate, which is open."""
    (folder / "gate").touch(mode=0o644)
    open_again(folder)


@contextmanager
def passage(folder: Path = FOLDER) -> Iterator[None]:
    """Go through, once the gate is open; it cannot be closed meanwhile."""
    descriptor = os.open(folder / "gate", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        while _closed(folder):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            time.sleep(_PAUSE)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def close(patience: float, seconds: float, folder: Path = FOLDER) -> bool:
    """Close it for so many seconds at most, and wait for the end of the calls that are inside.

    False where they have not ended within `patience`, in seconds; it is open again then.
    """
    note = folder / "closed.new"
    note.write_text(str(time.monotonic() + seconds))
    note.replace(folder / "closed")
    descriptor = os.open(folder / "gate", os.O_RDONLY)
    deadline = time.monotonic() + patience
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > deadline:
                    open_again(folder)
                    return False
                time.sleep(_PAUSE)
    finally:
        os.close(descriptor)


def open_again(folder: Path = FOLDER) -> None:
    """Open it, closed or not."""
    (folder / "closed").unlink(missing_ok=True)


def _closed(folder: Path) -> bool:
    try:
        return time.monotonic() < float((folder / "closed").read_text())
    except FileNotFoundError:
        return False


@cache
def _entry(script: str) -> Callable[..., Iterable[bytes]]:
    """The WSGI application in one of Koji's scripts."""
    spec = importlib.util.spec_from_file_location("koji_hub_entry", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    application: Callable[..., Iterable[bytes]] = module.application
    return application


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """One call of the hub's, through the gate. Its answer is whole when Koji returns it."""
    # httpd.conf says which script; Koji looks for its other files beside it.
    script = environ["nagoya.hub"]
    with passage():
        return _entry(script)({**environ, "SCRIPT_FILENAME": script}, start_response)
