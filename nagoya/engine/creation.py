"""How containers are created."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import docker.errors
from docker.types import LogConfig

from nagoya.engine import containers
from nagoya.engine.client import Engine, Handle
from nagoya.engine.state import SYSTEM_LABEL, check_owner
from nagoya.engine.translation import translated

_LOG_FILE = "json-file"
_LOG_LIMITS = {"max-size": "10m", "max-file": "5"}
"""Docker's log of a container has no limit by itself."""


@dataclass(frozen=True)
class Specification:
    """What a container is created from.

    `ports` maps a port of the container to an address of the engine's machine and a port of that;
    `volumes` a path in the container to a named volume. Without a `network` the container gets
    none.
    """

    name: str
    image: str
    hostname: str
    network: str | None
    labels: Mapping[str, str]
    stop_timeout: int
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    volumes_from: Sequence[str] = ()
    cap_add: Sequence[str] = ()
    cap_drop: Sequence[str] = ()
    security_opt: Sequence[str] = ()
    devices: Sequence[str] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    mem_limit: str | None = None
    pids_limit: int | None = None
    cpus: float | None = None
    entrypoint: Sequence[str] = ()
    working_dir: str | None = None
    volumes: Mapping[str, str] = field(default_factory=dict)


def create(engine: Engine, wanted: Specification) -> Handle:
    """Create a container without starting it, or return the system's existing one of that name.

    Raises EngineError where that name belongs to something else.
    """
    api = engine.client.api
    with translated(f"creating {wanted.name}"):
        try:
            api.create_container(
                wanted.image,
                list(wanted.command) or None,
                entrypoint=list(wanted.entrypoint) or None,
                working_dir=wanted.working_dir,
                name=wanted.name,
                hostname=wanted.hostname,
                labels=dict(wanted.labels),
                environment=dict(wanted.environment),
                ports=list(wanted.ports),
                stop_timeout=wanted.stop_timeout,
                networking_config=wanted.network
                and {
                    "EndpointsConfig": {
                        wanted.network: api.create_endpoint_config(aliases=[wanted.hostname])
                    }
                },
                host_config=api.create_host_config(
                    network_mode=wanted.network or "none",
                    port_bindings=dict(wanted.ports.items()),
                    # An empty volume gets what the image has at its path.
                    binds=[f"{volume}:{path}" for path, volume in wanted.volumes.items()],
                    volumes_from=list(wanted.volumes_from),
                    cap_add=list(wanted.cap_add),
                    cap_drop=list(wanted.cap_drop),
                    security_opt=list(wanted.security_opt),
                    devices=list(wanted.devices),
                    sysctls=dict(wanted.sysctls),
                    read_only=wanted.read_only,
                    mem_limit=wanted.mem_limit,
                    pids_limit=wanted.pids_limit,
                    nano_cpus=int(wanted.cpus * 1e9) if wanted.cpus else None,
                    log_config=_log_config(engine),
                ),
            )
        except docker.errors.APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
    handle = containers.get(engine, wanted.name)
    check_owner("container", wanted.name, containers.labels(handle), wanted.labels[SYSTEM_LABEL])
    return handle


def _log_config(engine: Engine) -> LogConfig | None:
    """The limits of a container's log. Other drivers than Docker's default have their own."""
    if engine.log_driver != _LOG_FILE:
        return None
    return LogConfig(type=_LOG_FILE, config=_LOG_LIMITS)
