"""A declaration as a file for `docker compose`: the same containers, without toji. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from nagoya.config.declaration import Declaration
from nagoya.config.model import Container
from nagoya.config.values import bracketed
from nagoya.engine.state import LOOPBACK
from nagoya.system.exports import callbacks_of, escape, host_ports, variables

_HEALTH_INTERVAL = "5s"
"""The images' own is 30 s, since toji asks them itself. `docker compose up --wait` only waits."""
_SAME_KEYS = (
    "cap_add", "cap_drop", "security_opt", "devices", "sysctls", "read_only", "restart",
    "mem_limit", "pids_limit", "cpus", "network_mode",
)  # fmt: skip
"""Keys of moromi.yml that Compose has with the same name and meaning."""


def compose_file(declaration: Declaration, name: str) -> dict[str, Any]:
    """The document for a project of that name; its images have to exist.

    A free port of moromi.yml gets a number, which a variable such as KOJI_PORT_443 changes.
    """
    ports = host_ports(declaration)
    volumes = [each.name for c in declaration.containers.values() for each in c.volumes]
    return {
        "name": name,
        "services": {
            service: _service(declaration, service, ports[service])
            for service in declaration.containers
        },
        "volumes": {volume: {} for volume in dict.fromkeys(volumes)},
    }


def not_carried_over(declaration: Declaration) -> list[str]:
    """A sentence for each part of a declaration that Compose has no counterpart of."""
    sentences = []
    for name, container in declaration.containers.items():
        if container.callbacks:
            sentences.append(f"{name}: Compose calls no callbacks: {callbacks_of(container)}")
        if container.run_once:
            sentences.append(f"{name}: `run_once` is ignored; each `docker compose up` runs it")
        if "timeout" in container.model_fields_set:
            sentences.append(f"{name}: `timeout` is ignored; Compose waits without a limit")
    return sentences


def _service(declaration: Declaration, name: str, ports: Mapping[int, str]) -> dict[str, Any]:
    container = declaration.containers[name]
    addresses = {port.container: port.address or LOOPBACK for port in container.ports}
    service: dict[str, Any] = {
        "image": container.image,
        "hostname": name,
        "command": [escape(word) for word in container.command],
        "environment": variables(container, ports),
        "ports": [f"{bracketed(addresses[port])}:{host}:{port}" for port, host in ports.items()],
        "volumes": [f"{volume.name}:{volume.path}" for volume in container.volumes],
        "volumes_from": [f"{each.container}:{each.mode}" for each in container.volumes_from],
        "depends_on": dict(_conditions(declaration, container)),
        "stop_grace_period": f"{container.stop_timeout}s",
        "healthcheck": {"interval": _HEALTH_INTERVAL} if container.detach else None,
    }
    for key in _SAME_KEYS:
        value = getattr(container, key)
        service[key] = list(value) if isinstance(value, tuple) else value
    return {key: value for key, value in service.items() if value}


def _conditions(declaration: Declaration, container: Container) -> Iterator[tuple[str, Any]]:
    """What has to happen to others first: as toji does it."""
    for needed in container.needs:
        ends = not declaration.containers[needed].detach
        condition = "service_completed_successfully" if ends else "service_started"
        yield needed, {"condition": condition}
