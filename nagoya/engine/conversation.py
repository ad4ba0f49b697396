"""A program in a container that answers each line that it reads with a line of its own.

To start a program there costs more than most questions do, of time and of the processor; so one is
started for many questions.
"""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Self

from docker.utils.socket import STDOUT

from nagoya.engine.containers import Handle
from nagoya.engine.translation import translated
from nagoya.errors import EngineError

_ANSWER_SECONDS = 600


class Conversation:
    """A program that runs in a container for as long as this is open, or its own end."""

    def __init__(self, container: Handle, command: Sequence[str]) -> None:
        self._doing = f"speaking with {command[0]} in {container.name}"
        assert container.client is not None
        api = container.client.api
        with translated(self._doing):
            program = api.exec_create(container.id, list(command), stdin=True)["Id"]
            stream: Any = api.exec_start(program, socket=True)
        # The SDK gives the socket, or a file around it that can only be read.
        self._stream = stream
        self._socket: socket.socket = getattr(stream, "_sock", stream)
        self._socket.settimeout(_ANSWER_SECONDS)
        self._answers = self._lines()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, line: str) -> str:
        """The answer to a line, within ten minutes.

        Raises EngineError if there is none, with what the program said on stderr if it has ended.
        """
        with translated(self._doing):
            self._socket.sendall(f"{line}\n".encode())
            return next(self._answers)

    def close(self) -> None:
        """Let the program read the end of its input."""
        with suppress(OSError):  # it may have ended before
            self._socket.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._socket.close()

    def _lines(self) -> Iterator[str]:
        """What it prints on stdout, a line each, out of Docker's frames: a byte that tells the
        stream, three that mean nothing, four of length, and so many of output."""
        lines, complaints = b"", b""
        while header := self._received(8):
            stream, size = struct.unpack(">BxxxL", header)
            text = self._received(size)
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
            more = self._socket.recv(size - len(data))
            if not more:
                return b""
            data += more
        return data
