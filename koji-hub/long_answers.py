"""Sends one long answer at a time.

Apache takes an answer from a process of the hub before the client reads it, but no more than 64 MiB
(httpd.conf). With the rest the process waits for the client. So clients that read slowly, or not at
all, could keep all processes. While one process waits, others answer such calls with 408, and
Koji's clients call again by themselves when they are logged in.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from answers import FOLDER

# Held while a long answer is sent; nobody else locks this folder.
LOCK = FOLDER
# Bytes, as SecResponseBodyLimit in httpd.conf.
LONG = 64 * 1024**2
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class LongAnswer:
    """An answer that holds the lock until it is sent, or its client has left."""

    def __init__(self, parts: Iterable[bytes], lock: int) -> None:
        self.parts = parts
        self.lock = lock

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.parts)

    def close(self) -> None:
        """Called by the WSGI server in the end."""
        os.close(self.lock)


def send_one_at_a_time(application: Application, folder: Path = LOCK) -> Application:
    """Koji's application, whose answers are lists."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start: tuple[Any, ...] = ()

        def keep_start(*arguments: Any) -> None:
            nonlocal start
            start = arguments

        parts = application(environ, keep_start)
        if not isinstance(parts, list) or sum(map(len, parts)) <= LONG:
            start_response(*start)
            return parts
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            start_response("408 Request Timeout", [("Content-Type", "text/plain")])
            return [b"The hub is sending another long answer; call again.\n"]
        start_response(*start)
        return LongAnswer(parts, lock)

    return answer
