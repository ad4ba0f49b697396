"""Connect to the engine that the docker CLI would use."""

import hashlib
import json
import logging
import os
import re
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import docker.errors
import requests
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.models.containers import Container
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env

from nagoya.engine.translation import translated
from nagoya.errors import EngineError

USUAL_SOCKET = Path("/var/run/docker.sock")
PRIVATE_SOCKET = Path("/run/nagoya/engine.sock")
"""Where `tools/engine start` lets the project's private engine listen."""

_CONNECT_SECONDS = 5
# Builds and stops may be silent for long.
_TIMEOUT = 600
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """Where an engine may be; `source` is the setting that names it."""

    url: str
    source: str = ""
    context: str | None = None
    tls: TLSConfig | None = None


@dataclass(frozen=True)
class Engine:
    """An engine that has answered."""

    client: docker.DockerClient
    endpoint: Address

    @property
    def address(self) -> str:
        """Its URL, as DOCKER_HOST has it."""
        return self.endpoint.url

    @property
    def docker_command(self) -> list[str]:
        """The docker CLI on the same engine, whatever the environment says."""
        if self.endpoint.context:
            return ["docker", "--context", self.endpoint.context]
        return ["docker", "--host", self.address]

    @property
    def remote_host(self) -> str | None:
        """The engine's machine, or None where it is this one."""
        url = urlsplit(self.address)
        if url.scheme == "tcp":
            try:
                # Only an address of this machine can be listened on.
                socket.create_server((url.hostname or "", 0)).close()
            except OSError:
                return url.hostname
        return None

    def version(self) -> dict[str, Any]:
        """The engine's description of itself."""
        with translated("asking for the engine's version"):
            return dict(self.client.version())

    def info(self) -> dict[str, Any]:
        """The engine's description of its machine and its settings."""
        with translated("asking the engine about its machine"):
            return dict(self.client.info())

    @cached_property
    def log_driver(self) -> str:
        """The engine's name for where it keeps logs of containers, such as json-file, or ""."""
        return str(self.info().get("LoggingDriver", ""))

    def process_id(self) -> int | None:
        """The number of the engine's process, if that can be seen from here."""
        if not self.address.startswith("unix:"):
            return None
        with self.open_socket(_CONNECT_SECONDS) as connection:
            credentials = connection.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
            )
        pid: int = struct.unpack("3i", credentials)[0]
        return pid or None

    def open_socket(self, seconds: float) -> socket.socket:
        """A new connection to the engine. Raises OSError, TimeoutError after `seconds`."""
        url = urlsplit(self.address)
        if url.scheme == "unix":
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(seconds)
                connection.connect(url.netloc + url.path)
            except OSError:
                connection.close()
                raise
            return connection
        connection = socket.create_connection((url.hostname, url.port), seconds)
        tls = self.endpoint.tls
        if tls is None:
            return connection
        context = ssl.create_default_context(cafile=tls.ca_cert)
        if tls.cert:
            context.load_cert_chain(*tls.cert)
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(connection, server_hostname=url.hostname)


@dataclass(frozen=True)
class Handle:
    """A container. Opaque outside of this package, whose functions take it."""

    engine: Engine
    docker: Container

    @property
    def name(self) -> str:
        return str(self.docker.name)


def connect() -> Engine:
    """Connect to the engine that DOCKER_HOST, DOCKER_CONTEXT or `docker context use` names, else to
    the first of the usual sockets that answers within 5 s.

    Raises EngineError that names every address tried.
    """
    failures = []
    hint = "start Docker, or `tools/engine start` for a private one"
    for address in _addresses():
        try:
            with closing(_client(address, _CONNECT_SECONDS)) as client:
                version = client.api.version(api_version=False)["ApiVersion"]
        except (docker.errors.DockerException, OSError) as error:
            failures.append(f"\n    {address.url}: {_describe(error)}")
            if "PermissionError" in str(error):
                hint = "run it as root, or as a user in the group docker"
            elif address.source:
                hint = f"check {address.source}"
            continue
        return Engine(_client(address, _TIMEOUT, version), address)
    raise EngineError(f"no container engine answers{''.join(failures)}", hint)


def _client(
    address: Address, seconds: int, version: str = DEFAULT_DOCKER_API_VERSION
) -> docker.DockerClient:
    client = docker.DockerClient(
        base_url=address.url,
        tls=address.tls or False,
        version=version,
        timeout=seconds,
        max_pool_size=32,
    )
    # Else REQUESTS_CA_BUNDLE would win over the engine's own CA.
    client.api.trust_env = False
    client.api.hooks["response"].append(_log)
    return client


def _log(answer: requests.Response, **_: object) -> None:
    # The path alone: the query of a commit has variables, which may be secret.
    path = re.sub("([0-9a-f]{12})[0-9a-f]{52}", r"\1", urlsplit(answer.url).path)
    seconds = answer.elapsed.total_seconds()
    _logger.debug("%s %s: %s, %.3f s", answer.request.method, path, answer.status_code, seconds)


def _addresses() -> Iterator[Address]:
    """The address that a setting names, else those of the usual sockets."""
    if host := os.environ.get("DOCKER_HOST"):
        yield _checked(host, "DOCKER_HOST", tls=_tls_from_environment())
    elif context := os.environ.get("DOCKER_CONTEXT") or _current_context():
        yield _from_context(context)
    else:
        runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
        # The last two but one are those of a rootless Docker and of Docker Desktop.
        rootless = [runtime / "docker.sock", Path.home() / ".docker/run/docker.sock"]
        present = [path for path in rootless if path.exists()]
        for path in [USUAL_SOCKET, *present, PRIVATE_SOCKET]:
            yield Address(f"unix://{path}")


def _checked(
    url: str, source: str, context: str | None = None, tls: TLSConfig | None = None
) -> Address:
    parts = urlsplit(url)
    if parts.scheme == "ssh":
        raise EngineError(
            f"{source}: Nagoya does not connect by ssh ({url})",
            f"run it on {parts.hostname}: published ports can be reached only there",
        )
    if not ((parts.scheme == "unix" and parts.path) or (parts.scheme == "tcp" and parts.netloc)):
        raise EngineError(
            f"{source}: '{url}' is not an address",
            "an address is like unix:///var/run/docker.sock or tcp://127.0.0.1:2375",
        )
    try:
        missing = parts.scheme == "tcp" and not parts.port
    except ValueError:
        missing = True
    if missing:
        raise EngineError(
            f"{source}: '{url}' names no port", f"add one, such as tcp://{parts.hostname}:2375"
        )
    return Address(url, source, context, tls)


def _tls_from_environment() -> TLSConfig | None:
    try:
        return kwargs_from_env().get("tls")
    except docker.errors.TLSParameterError as error:
        raise EngineError(
            f"DOCKER_TLS_VERIFY is set, but the certificates cannot be used: {error.msg}",
            "DOCKER_CERT_PATH names the folder of ca.pem, cert.pem and key.pem",
        ) from error


def _docker_folder() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _current_context() -> str | None:
    try:
        name = json.loads((_docker_folder() / "config.json").read_bytes()).get("currentContext")
    except (OSError, ValueError, AttributeError):
        return None
    return name if name != "default" else None


def _from_context(name: str) -> Address:
    """The address of a docker context. The SDK finds none if config.json is missing."""
    if name == "default":
        return Address(f"unix://{USUAL_SOCKET}", "DOCKER_CONTEXT")
    digest = hashlib.sha256(name.encode()).hexdigest()
    contexts = _docker_folder() / "contexts"
    try:
        endpoint = json.loads((contexts / "meta" / digest / "meta.json").read_bytes())
        endpoint = endpoint["Endpoints"]["docker"]
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(
            f"there is no docker context '{name}'", "`docker context ls` lists them"
        ) from error
    folder = contexts / "tls" / digest / "docker"
    tls = None
    if folder.is_dir():
        paths = [folder / f"{name}.pem" for name in ("ca", "cert", "key")]
        ca, cert, key = (str(path) if path.exists() else None for path in paths)
        pair = (cert, key) if cert and key else None
        tls = TLSConfig(pair, ca_cert=ca, verify=not endpoint.get("SkipTLSVerify"))
    return _checked(endpoint["Host"], f"the docker context '{name}'", name, tls)


def _describe(error: Exception) -> str:
    text = str(error)
    for pattern, meaning in (
        ("FileNotFoundError", "there is no such socket"),
        ("PermissionError", "permission denied"),
        ("refused", "nothing listens there"),
        ("timed out", f"no answer within {_CONNECT_SECONDS} s"),
    ):
        if pattern in text:
            return meaning
    return text
