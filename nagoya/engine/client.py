"""Finding an engine that answers."""

import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import docker.errors
from docker.models.containers import Container
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env

from nagoya.engine.translation import translated
from nagoya.errors import EngineError

USUAL_SOCKET = Path("/var/run/docker.sock")
PRIVATE_SOCKET = Path("/run/nagoya/engine.sock")
"""Where `tools/engine start` lets the project's private engine listen."""

# Builds and stops may take long without a byte on the wire; a dead engine is noticed otherwise.
_TIMEOUT = 600


@dataclass(frozen=True)
class Engine:
    """An engine that has answered: Docker's client, its address, and how it proves itself."""

    client: docker.DockerClient
    address: str
    tls: TLSConfig | None = None

    def version(self) -> dict[str, Any]:
        """What the engine says of itself."""
        with translated("asking for the engine's version"):
            return dict(self.client.version())

    def open_socket(self, seconds: float) -> socket.socket:
        """A new connection to the engine. Raises OSError, TimeoutError after `seconds`."""
        address = urlsplit(self.address)
        if address.scheme in ("unix", "http+unix"):
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(seconds)
                connection.connect(address.netloc + address.path)
            except OSError:
                connection.close()
                raise
            return connection
        connection = socket.create_connection((address.hostname, address.port), seconds)
        if self.tls is None:
            return connection
        context = ssl.create_default_context(cafile=self.tls.ca_cert)
        if self.tls.cert:
            context.load_cert_chain(*self.tls.cert)
        if not self.tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(connection, server_hostname=address.hostname)


@dataclass(frozen=True)
class Handle:
    """A container; opaque outside of this package, which has the functions that take it."""

    engine: Engine
    docker: Container

    @property
    def name(self) -> str:
        return str(self.docker.name)


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
            options = kwargs_from_env({**os.environ, "DOCKER_HOST": address})
            client = docker.DockerClient(
                version="auto", timeout=_TIMEOUT, max_pool_size=32, **options
            )
            client.ping()
        except (docker.errors.DockerException, OSError) as error:
            if client is not None:
                client.close()
            failures.append(f"\n    {address}: {_plainly(error)}")
            continue
        return Engine(client, address, options.get("tls"))
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
