"""Finding an engine that answers."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors

from nagoya.engine.frames import frames
from nagoya.errors import EngineError

USUAL_SOCKET = Path("/var/run/docker.sock")
PRIVATE_SOCKET = Path("/run/nagoya/engine.sock")
"""Where `tools/engine start` lets the project's private engine listen."""

# Builds and stops may take long without a byte on the wire; a dead engine is noticed otherwise.
_TIMEOUT = 600


@dataclass(frozen=True)
class Engine:
    """An engine that has answered: Docker's client, and the address it was found at."""

    client: docker.DockerClient
    address: str

    @property
    def private(self) -> bool:
        """Whether it is the project's own, started by `tools/engine`."""
        return self.address == f"unix://{PRIVATE_SOCKET}"


class _Api(docker.APIClient):
    """The SDK's calls, with a fault less: all is heard that a command in a container prints.

    The SDK reads from the socket, beneath the buffer that the head of the answer was read into.
    What came along with the head, as on a busy machine all that a short command has to say does, is
    lost (https://github.com/docker/docker-py/issues/3332).
    """

    def _read_from_socket(
        self, response: Any, stream: bool, tty: bool = True, demux: bool = False
    ) -> Any:
        buffered = response.raw._fp.fp
        if stream or tty or demux or not hasattr(buffered, "raw"):  # nobody asks for these here
            return super()._read_from_socket(response, stream, tty, demux)  # type: ignore[misc]
        self._raise_for_status(response)  # type: ignore[attr-defined]
        # A command may take as long as it likes.
        self._disable_socket_timeout(buffered.raw)  # type: ignore[attr-defined]
        try:
            return b"".join(output for _, output in frames(buffered.read))
        finally:
            response.close()


class _Client(docker.DockerClient):
    """The SDK's client, by those calls."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.api = _Api(*arguments, **options)


def connect() -> Engine:
    """The engine to use: DOCKER_HOST where it is set, else the usual socket, else our private one.

    Raises EngineError that names every address tried.
    """
    named = os.environ.get("DOCKER_HOST")
    usual = [f"unix://{USUAL_SOCKET}", f"unix://{PRIVATE_SOCKET}"]
    failures = []
    for address in [named] if named else usual:
        client = None
        try:
            client = _Client.from_env(
                environment={**os.environ, "DOCKER_HOST": address},
                timeout=_TIMEOUT,
                max_pool_size=32,
            )
            client.ping()
        except (docker.errors.DockerException, OSError) as error:
            if client is not None:
                client.close()
            failures.append(f"\n    {address}: {_plainly(error)}")
            continue
        return Engine(client, address)
    raise EngineError(
        f"no container engine answers{''.join(failures)}",
        "check DOCKER_HOST" if named else "start Docker, or `tools/engine start` for a private one",
    )


def _plainly(error: Exception) -> str:
    text = str(error)
    for sign, meaning in (
        ("FileNotFoundError", "there is no such socket"),
        ("PermissionError", "permission denied; are you root, or in the group docker?"),
        ("refused", "nobody listens there"),
    ):
        if sign in text:
            return meaning
    return text
