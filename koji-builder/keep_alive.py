"""A plugin for kojid: it notices within 30 seconds that the hub is out of reach, and tries again.

A call to the hub may rightly take minutes, and so kojid waits for hours for its answer. If the
network goes away meanwhile, no answer comes, and nothing tells kojid. With this plugin the kernel
asks the other side of each connection whether it is still there, and ends the connection if it is
not. kojid then repeats the call. A hub that is only slow, or stopped for a while, is waited for.

It holds for every connection that kojid and its tasks make with the library requests, and is always
on, whatever KOJI_BUILDER_PLUGINS says.
"""

import logging
import socket
import sys
from types import ModuleType
from typing import Any

from urllib3.connection import HTTPConnection

# Seconds of silence before the first question, between two, and until the connection is given up:
# as long as a network may drop every packet.
_IDLE, _INTERVAL, _LIMIT = 10, 4, 30

OPTIONS: list[tuple[int, int, int | bytes]] = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTERVAL),
    # Milliseconds. It holds for what was sent and not confirmed, and in place of a number of
    # questions.
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LIMIT * 1000),
]


def install(kojid: ModuleType, session_type: type[Any]) -> None:
    """Set the options for new connections, and close those that kojid has already."""
    # The list itself: urllib3 2 has it as the default of an argument.
    HTTPConnection.default_socket_options.extend(OPTIONS)
    for session in vars(kojid).values():
        if isinstance(session, session_type):
            session.new_session()
    logging.getLogger("koji.keep_alive").info("a lost connection ends after %s s", _LIMIT)


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["__main__"], sys.modules["koji"].ClientSession)
