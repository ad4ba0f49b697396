"""Whether the client of a call is still there.

Nobody needs the answer of a client that is gone, but Apache would have all that it asked for done
first. With calls that take seconds, and a thousand connections, that could be minutes in which
nobody else is answered.
"""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONNECTIONS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
# Seconds. Most calls wait and last less, and the connections need not be read for them.
PATIENCE = 1.0


def is_gone(environ: Mapping[str, Any]) -> bool:
    """Whether no connection is open to the client's port, of whatever address.

    The kernel lists a connection as `LOCAL REMOTE STATE` in hexadecimal; 01 is an open one.
    """
    port = environ.get("REMOTE_PORT")
    if port is None:
        return False
    connection = re.compile(rb" [0-9A-F]+:%04X 01 " % int(port))
    return not any(connection.search(path.read_bytes()) for path in CONNECTIONS if path.exists())


def is_abandoned(environ: Mapping[str, Any]) -> bool:
    """Whether a call that begins now has waited so long that its client has left."""
    # mod_wsgi has microseconds of the clock.
    arrival = int(environ.get("mod_wsgi.queue_start", 0)) / 1e6
    return bool(arrival) and time.time() - arrival > PATIENCE and is_gone(environ)
