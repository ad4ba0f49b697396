"""Run a command in a container, with its streams and a deadline.

The SDK loses output that arrives together with the head of the engine's answer
(https://github.com/docker/docker-py/issues/3332), and its reads have no deadline. So a connection
of our own carries the streams. The docker CLI would take six times the CPU time of each call.
"""

import json
import math
import re
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

import docker.errors
import requests

from nagoya.engine.client import Handle
from nagoya.engine.translation import translated
from nagoya.errors import EngineError, EngineTimeout

_CHECK_SECONDS = 10.0
"""How often the container of a silent command is inspected."""
_FRAME = struct.Struct(">BxxxL")
"""Precedes each piece of output: the number of its stream, and its length."""
_STDERR = 2
_MAX_STDERR = 1 << 16


class ExecSession:
    """A command that was started in a container; closing the session closes its stdin.

    Use `ask` for each request to a program that answers line by line, or `finish` or `stream` to
    run the command to its end. `kill_after` is in seconds, and needs the program `timeout` in the
    image. Raises EngineError if the command cannot be started, EngineTimeout after `seconds`.
    """

    def __init__(
        self,
        handle: Handle,
        command: Sequence[str],
        *,
        seconds: float = 60,
        environment: Mapping[str, str] | None = None,
        stdin: bool = True,
        kill_after: float | None = None,
    ) -> None:
        self._handle = handle
        self._program = command[0]
        self._doing = f"running {command[0]} in {handle.name}"
        self._unsent = b""
        self._received = b""
        self._lines = b""
        self._stderr = b""
        self._eof_wanted = False
        self._limit(seconds)
        timed = ["timeout", "-s", "KILL", f"{math.ceil(kill_after)}"] if kill_after else []
        with translated(self._doing):
            created = self._call(
                "POST",
                f"/containers/{handle.docker.id}/exec",
                {
                    "Cmd": [*timed, *command],
                    "Env": [f"{name}={value}" for name, value in (environment or {}).items()],
                    "AttachStdin": stdin,
                    "AttachStdout": True,
                    "AttachStderr": True,
                },
            )
            self._id = created["Id"]
            self._socket = handle.engine.open_socket(self._remaining())
            try:
                self._socket.settimeout(0)
                self._start()
            except BaseException:
                self._socket.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, line: str, seconds: float) -> str:
        """Send a line and return the line that the program answers.

        Raises EngineTimeout after `seconds`, and EngineError with the program's stderr if it has
        ended. Close the session then: a late answer would be taken for the next one.
        """
        self._limit(seconds)
        self._unsent += f"{line}\n".encode()
        while b"\n" not in self._lines:
            frame = self._read_frame()
            if not frame:
                reason = self._stderr.decode(errors="replace").strip()
                raise EngineError(
                    f"{self._doing}: {self._program} has ended{': ' + reason if reason else ''}"
                )
            stream, data = frame
            if stream == _STDERR:
                self._stderr += data
            else:
                self._lines += data
        answer, _, self._lines = self._lines.partition(b"\n")
        return answer.decode(errors="replace")

    def finish(self, input: bytes | None, seconds: float) -> tuple[int, bytes]:
        """Send `input`, close stdin, and return the exit status and the output.

        Raises EngineTimeout after `seconds`.
        """
        self._limit(seconds)
        if input is not None:
            self._unsent += input
            self._eof_wanted = True
        output = b""
        while frame := self._read_frame():
            output += frame[1]
        return self._wait(), output

    def stream(self, harmless: re.Pattern[str] | None = None) -> Iterator[bytes]:
        """What the command writes to its stdout, in pieces, until it ends.

        Raises EngineError with the start of its stderr if its exit status is not 0, unless all of
        that matches `harmless`.
        """
        errors = b""
        while frame := self._read_frame():
            if frame[0] == _STDERR:
                errors = (errors + frame[1])[:_MAX_STDERR]
            else:
                yield frame[1]
        if status := self._wait():
            reason = errors.decode(errors="replace").strip()
            if not (harmless and harmless.fullmatch(reason)):
                raise EngineError(f"{self._doing}: {reason or f'exit status {status}'}")

    def close(self) -> None:
        """Close the connection, and so the program's stdin. The program may run on."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _wait(self) -> int:
        """The exit status of the command, whose streams have ended."""
        with translated(self._doing):
            while True:
                state = self._call("GET", f"/exec/{self._id}/json")
                # Podman may close the streams a moment before it knows the status.
                if not state["Running"] and state["ExitCode"] is not None:
                    return int(state["ExitCode"])
                self._check_deadline()
                time.sleep(0.01)

    def _limit(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def _remaining(self) -> float:
        return max(0.001, self._deadline - time.monotonic())

    def _check_deadline(self) -> None:
        if time.monotonic() >= self._deadline:
            raise EngineTimeout(
                f"{self._doing}: {self._program} did not answer within {self._seconds:.0f} s"
            )

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the engine's API and return its answer."""
        api = self._handle.engine.client.api
        try:
            answer = api.request(
                method,
                f"{api.base_url}/v{api.api_version}{path}",
                json=body,
                timeout=self._remaining(),
            )
        except requests.Timeout:
            self._check_deadline()
            raise
        try:
            answer.raise_for_status()
        except requests.HTTPError as error:
            docker.errors.create_api_error_from_http_exception(error)
        return answer.json()

    def _start(self) -> None:
        """Start the command; this connection then carries its streams."""
        body = json.dumps({"Detach": False, "Tty": False}).encode()
        version = self._handle.engine.client.api.api_version
        self._unsent = (
            f"POST /v{version}/exec/{self._id}/start HTTP/1.1\r\nHost: docker\r\n"
            "Connection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        while b"\r\n\r\n" not in self._received:
            if not self._receive():
                raise ConnectionError("the connection was closed")
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        if head.split(maxsplit=2)[1] in (b"101", b"200"):
            return
        length = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
        while len(self._received) < (int(length[1]) if length else 1) and self._receive():
            pass
        with suppress(ValueError, KeyError, TypeError):
            raise EngineError(f"{self._doing}: {json.loads(self._received)['message']}")
        raise EngineError(f"{self._doing}: {head.splitlines()[0].decode(errors='replace')}")

    def _read_frame(self) -> tuple[int, bytes] | None:
        """The next piece of output and the number of its stream; None at the end."""
        head = self._take(_FRAME.size)
        if head is None:
            return None
        stream, size = _FRAME.unpack(head)
        data = self._take(size)
        return None if data is None else (stream, data)

    def _take(self, size: int) -> bytes | None:
        while len(self._received) < size:
            if not self._receive():
                return None
        data, self._received = self._received[:size], self._received[size:]
        return data

    def _receive(self) -> bool:
        """Wait for data and send pending data meanwhile, so that a full pipe never blocks both
        sides. Return False at the end."""
        blocked = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
        while True:
            with suppress(*blocked):
                try:
                    data = self._socket.recv(1 << 16)
                except (ConnectionError, ssl.SSLZeroReturnError):
                    data = b""
                self._received += data
                return bool(data)
            try:
                with suppress(*blocked):
                    if self._unsent:
                        self._unsent = self._unsent[self._socket.send(self._unsent) :]
                    if self._eof_wanted and not self._unsent:
                        self._eof_wanted = False
                        self._send_eof()
            except ConnectionError:  # the output of a program that has ended is still unread
                self._unsent, self._eof_wanted = b"", False
            self._check_deadline()
            write = [self._socket] if self._unsent else []
            wait = min(self._remaining(), _CHECK_SECONDS)
            if select.select([self._socket], write, [], wait) == ([], [], []):
                self._check_running()

    def _send_eof(self) -> None:
        if isinstance(self._socket, ssl.SSLSocket):
            # Sends the end of our half at once; the end of the engine's half comes later.
            self._socket.unwrap()
        else:
            self._socket.shutdown(socket.SHUT_WR)

    def _check_running(self) -> None:
        with translated(self._doing):
            state = self._call("GET", f"/containers/{self._handle.docker.id}/json")["State"]
        if state["Status"] != "running":
            raise EngineError(f"{self._doing}: the container is {state['Status']}")


def execute(
    container: Handle,
    command: Sequence[str],
    *,
    seconds: float,
    input: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a command in a running container, and return its exit status and its output.

    Raises EngineTimeout after `seconds`. A second later the command is killed, if the image has
    the program `timeout`, as Debian's have.
    """
    for kill_after in (seconds + 1, None):
        with ExecSession(
            container,
            command,
            seconds=seconds,
            environment=environment,
            stdin=input is not None,
            kill_after=kill_after,
        ) as session:
            status, output = session.finish(input, seconds)
        text = output.decode(errors="replace")
        if not (status in (126, 127) and '"timeout": executable file not found' in text):
            break
    return status, text
