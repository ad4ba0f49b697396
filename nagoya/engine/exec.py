"""A program in a container that answers each line that it reads with a line of its own.

To start a program there costs more than most questions do, of time and of the processor; so one is
started for many questions.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from docker.utils.socket import STDOUT

from nagoya.engine import containers
from nagoya.engine.containers import Handle
from nagoya.engine.frames import frames
from nagoya.engine.translation import translated
from nagoya.errors import EngineError

_LOOK_SECONDS = 10
"""After so long without a word, a look whether the container still runs."""


class ExecSession:
    """A program that is started in a container, and runs until this is closed or it ends by itself.

    Raises EngineError if it cannot be started.
    """

    def __init__(self, container: Handle, command: Sequence[str]) -> None:
        self._container = container
        self._doing = f"speaking with {command[0]} in {container.name}"
        assert container.client is not None
        api = container.client.api
        with translated(self._doing):
            program = api.exec_create(container.id, list(command), stdin=True)["Id"]
            stream: Any = api.exec_start(program, socket=True)
        # The SDK gives the socket, or a file around it that can only be read.
        self._socket: socket.socket = getattr(stream, "_sock", stream)
        self._socket.settimeout(_LOOK_SECONDS)
        # Over TLS the response has a file of its own around the socket.
        self._open = [*filter(None, [getattr(stream, "_response", None)]), stream, self._socket]
        self._answers = self._lines()

    def ask(self, line: str) -> str:
        """The answer to a line, however long it takes.

        Raises EngineError where none will come: with what the program said on stderr if it has
        ended, or with the state of the container if that does not run. There is no other question
        to be asked then.
        """
        try:
            with suppress(ConnectionError):  # what it said before its end is still to be read
                self._socket.sendall(f"{line}\n".encode())
            return next(self._answers)
        except OSError as error:
            raise EngineError(f"{self._doing}: {error}") from error

    def close(self) -> None:
        """Let the program read the end of its input."""
        with suppress(OSError):  # it may have ended before
            self._socket.shutdown(socket.SHUT_RDWR)
        for one in self._open:
            one.close()

    def _lines(self) -> Iterator[str]:
        """What it prints on stdout, line by line."""
        lines, complaints = b"", b""
        for stream, text in frames(self._received):
            if stream != STDOUT:
                complaints += text
                continue
            *whole, lines = (lines + text).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
        said = complaints.decode(errors="replace").strip()
        raise EngineError(f"{self._doing}: it has ended{': ' + said if said else ''}")

    def _received(self, size: int) -> bytes:
        """So many bytes; none where the other side has closed."""
        data = b""
        while len(data) < size:
            try:
                more = self._socket.recv(size - len(data))
            except TimeoutError:
                self._look()
                continue
            except ConnectionError:
                more = b""
            if not more:
                return b""
            data += more
        return data

    def _look(self) -> None:
        status = containers.state(self._container).status
        if status != "running":
            raise EngineError(f"{self._doing}: the container is {status}")
