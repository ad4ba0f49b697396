"""A relay in front of the engine, which a test can cut, and which speaks TLS if it is to."""

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Relay:
    """Passes connections on to a socket, byte by byte and half by half."""

    def __init__(self, server: socket.socket, target: Path, tls: ssl.SSLContext | None) -> None:
        self._server, self._target, self._tls = server, target, tls
        self._sockets: list[socket.socket] = []

    def serve(self) -> None:
        """Accept connections until `cut`."""
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                if self._tls:
                    client = self._tls.wrap_socket(client, server_side=True)
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def cut(self) -> None:
        """Close every connection, and take no more."""
        for connection in (self._server, *self._sockets):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _pass_on(self, client: socket.socket) -> None:
        engine = socket.socket(socket.AF_UNIX)
        engine.connect(str(self._target))
        self._sockets += [client, engine]
        ends = {client: engine, engine: client}
        pending = {client: b"", engine: b""}
        for connection in ends:
            connection.settimeout(0)
        with suppress(OSError, ValueError), client, engine:
            while ends:
                for source, target in [*ends.items()]:
                    with suppress(*_BLOCKED):
                        if not pending[target]:
                            pending[target] = source.recv(1 << 16)
                            if not pending[target]:
                                del ends[source]
                                end(target)
                for target in [connection for connection in pending if pending[connection]]:
                    with suppress(*_BLOCKED):
                        pending[target] = pending[target][target.send(pending[target]) :]
                blocked = [connection for connection in pending if pending[connection]]
                select.select(
                    [connection for connection in ends if not pending[ends[connection]]],
                    blocked,
                    [],
                    0.1,
                )


def end(connection: socket.socket) -> None:
    """Tell the other side that no more comes from this one, which listens on."""
    if isinstance(connection, ssl.SSLSocket):
        with suppress(*_BLOCKED):
            connection.unwrap()
    else:
        connection.shutdown(socket.SHUT_WR)


@contextmanager
def relay(
    server: socket.socket, target: Path, tls: ssl.SSLContext | None = None
) -> Iterator[Relay]:
    """A relay from a listening socket to one of the engine's."""
    proxy = Relay(server, target, tls)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.cut()
        thread.join()
