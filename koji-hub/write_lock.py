"""The hub's WSGI entry: Koji's own, behind a gate that can be closed for a moment.

A call holds a shared lock on a file until it has committed. Who closes the gate leaves a note, so
that calls which come from then on wait, and then asks for the lock alone, which is had once those
that came before have ended: nothing is half written then, in the database or in the top directory.
The note holds the time up to which it counts, so that nobody's death leaves the hub shut for long.

A call that came before the state was changed under it, and waited, is not carried out in the other
state, in which its numbers may mean something else: it is told to come again, as Koji's clients do
by themselves when they are logged in.
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


def create(folder: Path = FOLDER) -> None:
    """Make the gate, which is open."""
    (folder / "gate").touch(mode=0o644)
    release(folder)


@contextmanager
def shared(folder: Path = FOLDER) -> Iterator[bool]:
    """Go through, once the gate is open; it cannot be closed meanwhile. Whether the state has been
    changed since one came."""
    descriptor = os.open(folder / "gate", os.O_RDONLY)
    came = None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        while is_held(folder):
            came = came or generation(folder)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            time.sleep(_PAUSE)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield came not in (None, generation(folder))
    finally:
        os.close(descriptor)


def exclusive(patience: float, seconds: float, folder: Path = FOLDER) -> str | None:
    """Close it for so many seconds at most, and wait for the end of the calls that are inside.

    What stands against it, where that takes more than `patience`, in seconds; it is as it was then.
    """
    deadline = time.monotonic() + patience
    while not _take(folder, seconds):
        if time.monotonic() > deadline:
            return "somebody else keeps or changes the state"
        time.sleep(_PAUSE)
    descriptor = os.open(folder / "gate", os.O_RDONLY)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                if time.monotonic() > deadline:
                    release(folder)
                    return "a call is at work on the hub, and does not end"
                time.sleep(_PAUSE)
    finally:
        os.close(descriptor)


def renew(seconds: float, folder: Path = FOLDER) -> None:
    """Keep it closed for so many seconds from now, if it is."""
    with _alone(folder):
        if is_held(folder):
            _note(folder, seconds)


def bump_generation(folder: Path = FOLDER) -> None:
    """Note that the state is another one from now on."""
    new = folder / "state.new"
    new.write_text(str(time.monotonic_ns()))
    new.replace(folder / "state")


def release(folder: Path = FOLDER) -> None:
    """Open it, closed or not."""
    (folder / "closed").unlink(missing_ok=True)


def is_held(folder: Path = FOLDER) -> bool:
    """Whether it is closed, by a note that still counts."""
    try:
        return time.monotonic() < float((folder / "closed").read_text())
    except FileNotFoundError:
        return False


def _take(folder: Path, seconds: float) -> bool:
    """Leave the note, unless another counts."""
    with _alone(folder):
        if is_held(folder):
            return False
        _note(folder, seconds)
        return True


def _note(folder: Path, seconds: float) -> None:
    new = folder / "closed.new"
    new.write_text(str(time.monotonic() + seconds))
    new.replace(folder / "closed")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only one who looks at the note in order to write it."""
    with (folder / "note").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def generation(folder: Path) -> str:
    try:
        return (folder / "state").read_text()
    except FileNotFoundError:
        return "the first"


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
    with shared() as changed:
        if changed and "session-id" in environ.get("QUERY_STRING", ""):
            start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"The hub has gone to another state meanwhile; call again.\n"]
        return _entry(script)({**environ, "SCRIPT_FILENAME": script}, start_response)
