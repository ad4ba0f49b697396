"""Where the ports that an engine publishes can be reached from here.

On this machine that is 127.0.0.1. A process in a container reaches them on the container's gateway
if the engine's socket is mounted in it, or on the host of DOCKER_HOST, such as `docker` in GitLab.
"""

import os
import random
import re
import socket
from pathlib import Path
from typing import Any

import docker.errors

from nagoya.engine.client import Engine
from nagoya.engine.state import LOOPBACK
from nagoya.engine.translation import translated
from nagoya.errors import EngineError

OVERRIDE = "TESTCONTAINERS_HOST_OVERRIDE"
"""The variable that names the host; testcontainers has the same one."""

_MARKERS = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Docker and Podman put these into every container."""
_MOUNTS = Path("/proc/self/mountinfo")
_OWN_ID = re.compile(r"/([0-9a-f]{64})/(?:userdata/)?hostname /etc/hostname ")
_PORTS = (20000, 32000)
"""Linux takes none of these for outgoing connections."""


def published_host(engine: Engine) -> str:
    """The name or address at which this process reaches the engine's published ports.

    Raises EngineError if the engine is on another machine and nothing says that others may reach
    the ports there.
    """
    if override := os.environ.get(OVERRIDE):
        return override
    if remote := engine.remote_host:
        if any(marker.exists() for marker in _MARKERS):
            return remote
        raise EngineError(
            f"the engine is on {remote}, and publishes ports on {LOOPBACK} there, where this "
            "machine cannot reach them",
            f"run toji on {remote}; or set {OVERRIDE}={remote}, and ports are published on that "
            "address, for everybody who can reach it. Images can be built from here",
        )
    own = _OWN_ID.search(_MOUNTS.read_text()) if _MOUNTS.exists() else None
    return (own and _gateway(engine, own[1])) or LOOPBACK


def _gateway(engine: Engine, container: str) -> str | None:
    """The engine's machine as one of its containers reaches it; None for another engine's
    container, and for one with the machine's own network."""
    with translated("inspecting this process's own container"):
        try:
            attributes: dict[str, Any] = engine.client.api.inspect_container(container)
        except docker.errors.NotFound:
            return None
    mode = attributes["HostConfig"]["NetworkMode"]
    if mode.startswith("container:"):
        return _gateway(engine, mode.partition(":")[2])
    networks = attributes["NetworkSettings"]["Networks"] or {}
    return next((each["Gateway"] for each in networks.values() if each["Gateway"]), None)


def address_of(host: str) -> str:
    """The IPv4 address of a host, on which its ports are published. Raises EngineError."""
    try:
        return socket.gethostbyname(host)
    except (OSError, UnicodeError) as error:
        raise EngineError(
            f"the host of published ports, '{host}', has no IPv4 address: {error}",
            f"correct {OVERRIDE}, or DOCKER_HOST if that is not set",
        ) from error


def free_port(address: str) -> int:
    """A port of an address that nothing listens on at this moment.

    Of an address that this machine lacks it is any port, which may be in use.
    """
    with _socket(address) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return random.randrange(*_PORTS)
        return int(probe.getsockname()[1])


def bind_error(address: str, port: int) -> int | None:
    """The number of the error, such as EADDRINUSE, with which this machine would refuse a port of
    an address."""
    with _socket(address) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno
    return None


def _socket(address: str) -> socket.socket:
    if ":" not in address:
        return socket.socket()
    probe = socket.socket(socket.AF_INET6)
    # As the engine does: IPv4 is another binding.
    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return probe
