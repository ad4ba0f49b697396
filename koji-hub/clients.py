"""Whether the client of a call is still there.

Nobody needs the answer of a client that is gone, but Apache would have all that it asked for done
first. With calls that take seconds, and a thousand connections, that could be minutes in which
nobody else is answered.
"""

import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

CONNECTIONS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
# Seconds. Most calls wait and last less, and the connections need not be read for them.
PATIENCE = 1.0
# Seconds for which a list is used again. With a thousand connections, each takes milliseconds.
FRESH = PATIENCE / 2
OPEN = re.compile(rb" [0-9A-F]+:([0-9A-F]{4}) 01 ")


def is_gone(environ: Mapping[str, Any]) -> bool:
    """Whether no connection is open to the client's port, of whatever address.

    Only for a client that connected at least PATIENCE ago: the list of connections may be older
    than a later one.
    """
    port = environ.get("REMOTE_PORT")
    return port is not None and int(port) not in _open_ports(int(time.monotonic() / FRESH))


@lru_cache(maxsize=1)
def _open_ports(_period: int) -> frozenset[int]:
    """The clients' ports of open connections.

    The kernel lists a connection as `LOCAL REMOTE STATE` in hexadecimal; 01 is an open one.
    """
    lists = [path.read_bytes() for path in CONNECTIONS if path.exists()]
    return frozenset(int(port, 16) for text in lists for port in OPEN.findall(text))


def is_abandoned(environ: Mapping[str, Any]) -> bool:
    """Whether a call that begins now has waited so long that its client has left."""
    # mod_wsgi has microseconds of the clock.
    arrival = int(environ.get("mod_wsgi.queue_start", 0)) / 1e6
    return bool(arrival) and time.time() - arrival > PATIENCE and is_gone(environ)


class ClientGone(BaseException):
    """Ends what a client had asked for. Koji takes an Exception for the answer of a call."""


def watch(environ: Mapping[str, Any]) -> Callable[[], None]:
    """A function to call now and then: after PATIENCE, it raises ClientGone if the client has
    left."""
    looked = time.monotonic()

    def check() -> None:
        nonlocal looked
        if time.monotonic() - looked > PATIENCE:
            looked = time.monotonic()
            if is_gone(environ):
                raise ClientGone

    return check


def answer_nobody(start_response: Callable[..., Any]) -> list[bytes]:
    """The answer to an abandoned call, which only Apache's log shows."""
    start_response("408 Request Timeout", [("Content-Type", "text/plain")])
    return [b"Nobody waits for this answer.\n"]
