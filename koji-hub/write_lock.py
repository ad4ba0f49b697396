"""The hub's WSGI entry: Koji's own, behind a lock that a snapshot or a reset can take for a moment.

A call holds a shared lock on a file until it has committed. A snapshot first writes a deadline to a
file, so that later calls wait until then, and then asks for the exclusive lock, which it gets once
the earlier calls have ended: nothing is half written then, in the database or in the top directory.
Because of the deadline, a snapshot that dies does not lock the hub for long.

A call that arrived before a reset, and waited for it, is not carried out in the new state, in which
its numbers may mean something else. It is answered with 503, and Koji's clients call again by
themselves when they are logged in.
"""

import fcntl
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from xmlrpc.client import Unmarshaller

if __name__.startswith("_mod_wsgi_"):
    # Last, so that nothing here hides a module of Koji's.
    sys.path.append(str(Path(__file__).parent))
from allowances import Allowances
from answers import Answers, keep_answers
from clients import answer_nobody, is_abandoned
from compat import name_missing_digest
from long_answers import send_one_at_a_time
from paths import check_paths
from permissions import check_permissions
from refused_calls import (
    bound_headers,
    bound_multicalls,
    bound_tasks,
    refuse_calls,
    refuse_decimals,
)
from repeated_tasks import repeat_tasks
from uploads import Bounds, bound_uploads

FOLDER = Path("/run/koji-hub")
CALLS = "calls.lock"
WRITER, WRITER_LOCK = "writer", "writer.lock"
GENERATION = "generation"
# How long a call, or a snapshot, waits before it looks again.
_PAUSE = 0.01


def create(folder: Path = FOLDER) -> None:
    """Create the lock, free."""
    (folder / CALLS).touch(mode=0o644)
    release(folder)


@contextmanager
def shared(folder: Path = FOLDER) -> Iterator[bool]:
    """Hold the shared lock during a call. Yields True if the state was switched while it waited."""
    descriptor = os.open(folder / CALLS, os.O_RDONLY)
    arrived_in = None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        while is_held(folder):
            arrived_in = arrived_in or generation(folder)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            time.sleep(_PAUSE)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield arrived_in not in (None, generation(folder))
    finally:
        os.close(descriptor)


def exclusive(patience: float, seconds: float, folder: Path = FOLDER) -> str | None:
    """Take the lock for at most `seconds`, and wait until the calls that hold it have ended.

    Returns None, or after `patience` seconds why the lock could not be had; then it is not held.
    """
    deadline = time.monotonic() + patience
    while not _take(folder, seconds):
        if time.monotonic() > deadline:
            return "another snapshot or reset holds the hub's write lock"
        time.sleep(_PAUSE)
    descriptor = os.open(folder / CALLS, os.O_RDONLY)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                if time.monotonic() > deadline:
                    release(folder)
                    return "a call to the hub is still running"
                time.sleep(_PAUSE)
    finally:
        os.close(descriptor)


def renew(seconds: float, folder: Path = FOLDER) -> None:
    """Hold the lock for `seconds` from now, if it is still held."""
    with _writer_lock(folder):
        if is_held(folder):
            _write_deadline(folder, seconds)


def release(folder: Path = FOLDER) -> bool:
    """Release the lock. Returns whether it was held until now."""
    # A `renew` that has looked and not yet written would take the lock again after us.
    with _writer_lock(folder):
        held = is_held(folder)
        (folder / WRITER).unlink(missing_ok=True)
        return held


def is_held(folder: Path = FOLDER) -> bool:
    """Whether the exclusive lock is held or waited for, and its deadline is not past."""
    try:
        return time.monotonic() < float((folder / WRITER).read_text())
    except FileNotFoundError:
        return False


def bump_generation(folder: Path = FOLDER) -> None:
    """Note that the state was replaced."""
    _replace(folder / GENERATION, str(time.monotonic_ns()))


def generation(folder: Path = FOLDER) -> str:
    """A text that changes whenever the state is replaced."""
    try:
        return (folder / GENERATION).read_text()
    except FileNotFoundError:
        return "first"


def _take(folder: Path, seconds: float) -> bool:
    with _writer_lock(folder):
        if is_held(folder):
            return False
        _write_deadline(folder, seconds)
        return True


def _write_deadline(folder: Path, seconds: float) -> None:
    _replace(folder / WRITER, str(time.monotonic() + seconds))


def _replace(path: Path, text: str) -> None:
    """Write a file in one step. What is in /run need not survive a crash, so nothing is synced."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@contextmanager
def _writer_lock(folder: Path) -> Iterator[None]:
    """Keep others from changing the deadline between looking at it and writing it."""
    with (folder / WRITER_LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@cache
def _entry(script: str) -> Callable[..., Iterable[bytes]]:
    """The WSGI application in one of Koji's scripts, with what is added to it here."""
    spec = importlib.util.spec_from_file_location("koji_hub_entry", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    application: Callable[..., Iterable[bytes]] = module.application
    keep_answers(application.__globals__, Answers())
    refuse_decimals(Unmarshaller)
    refuse_calls(application.__globals__)
    bound_multicalls(application.__globals__)
    try:
        kojihub, server = map(importlib.import_module, ("kojihub", "koji.server"))
    # Koji reports it to its clients.
    except (ImportError, SyntaxError):
        return send_one_at_a_time(application)
    # A Koji that lacks what is changed here takes no calls.
    check_paths(kojihub)
    bound_headers(application.__globals__)
    # Since 1.31 kojihub is a package, which has copies of this module's functions.
    functions = sys.modules[kojihub.new_build.__module__]
    repeat_tasks(functions)
    allowances = Allowances()
    bound_tasks(kojihub, functions, allowances)
    check_permissions(kojihub)
    name_missing_digest(kojihub)
    bound_uploads(Bounds(kojihub, server.RequestTimeout, allowances))
    return send_one_at_a_time(application)


def _is_logged_in(environ: Mapping[str, Any]) -> bool:
    """Whether the call names a session: in the URL up to Koji 1.30, in a header since."""
    return "HTTP_KOJI_SESSION_ID" in environ or "session-id" in environ.get("QUERY_STRING", "")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Pass one call to Koji. The answer is complete when Koji returns it."""
    # httpd.conf says which script; Koji looks for its other files beside it.
    script = environ["nagoya.hub"]
    if is_abandoned(environ):
        return answer_nobody(start_response)
    with shared() as switched:
        if switched and _is_logged_in(environ):
            start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"The hub was reset while this call waited; call again.\n"]
        return _entry(script)({**environ, "SCRIPT_FILENAME": script}, start_response)
