"""A declaration as a stack for `docker stack deploy`. Pure.

All services are on one node, that of the data, since they share its volumes. Swarm starts them in
any order, and makes another container whenever one ends: what has to be kept is in volumes.
"""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from nagoya.config.declaration import Declaration
from nagoya.config.model import Container
from nagoya.engine.image_facts import ImageFacts
from nagoya.system.exports import (
    Mount,
    callbacks_of,
    copies,
    escape,
    host_ports,
    mounts,
    path_name,
    variables,
)
from nagoya.system.observed import CERTIFICATES_LABEL, data_paths

_VERSION = "3.9"
"""The first with a limit of processes. Docker 20.10 knows it."""
_HEALTH = {"interval": "5s", "retries": 1_000_000}
"""A service has a name in the network once it is healthy. Swarm would kill a container that no
longer is; elsewhere nothing does, since a busy machine is no reason to end a build."""
_UPDATE = {"order": "stop-first", "failure_action": "continue"}
"""Never two databases or hubs at once. The hub fails while the database is replaced: that is no
reason to stop."""
_ALL_ADDRESSES = ("0.0.0.0", "::")
_CONDITIONS = {"always": "any", "unless-stopped": "any", "no": "on-failure"}


def stack_file(
    declaration: Declaration, name: str, facts: Mapping[str, ImageFacts]
) -> dict[str, Any]:
    """The document for a stack of that name; `facts` are those of each image, by name."""
    ports = host_ports(declaration)
    services = {
        service: _service(declaration, service, name, facts, ports[service])
        for service in declaration.containers
    }
    volumes = [mount["source"] for each in services.values() for mount in each.get("volumes", [])]
    return {
        "version": _VERSION,
        "services": services,
        "volumes": {volume: {} for volume in dict.fromkeys(volumes)},
        # For a builder that `docker run` starts.
        "networks": {"default": {"driver": "overlay", "attachable": True}},
    }


def not_carried_over(declaration: Declaration) -> list[str]:
    """A sentence for each part of a declaration that a stack has no counterpart of."""
    return [
        f"{name}: {sentence}"
        for name, container in declaration.containers.items()
        for sentence in _without_counterpart(container)
    ]


def _without_counterpart(container: Container) -> Iterator[str]:
    if container.callbacks:
        yield f"Swarm calls no callbacks: {callbacks_of(container)}"
    for port in container.ports:
        if port.address not in _ALL_ADDRESSES:
            yield f"port {port} is published on all addresses of the node; Swarm cannot choose one"
    if container.network_mode:
        yield f"`network_mode: {container.network_mode}` is ignored; it is on the stack's network"
    for option in container.security_opt:
        yield f"the security option {option} is ignored"
    for device in container.devices:
        yield f"the device {device} is ignored; Swarm passes none to a container"
    if container.detach and container.restart == "no":
        yield "`restart: no` becomes `on-failure`, since Swarm starts services in any order"
    if container.run_once:
        yield "`run_once` is ignored; Swarm runs it again after a change of its image or settings"
    if "timeout" in container.model_fields_set:
        yield "`timeout` is ignored; Swarm waits without a limit"


def _service(
    declaration: Declaration,
    name: str,
    system: str,
    facts: Mapping[str, ImageFacts],
    ports: Mapping[int, str],
) -> dict[str, Any]:
    container = declaration.containers[name]
    image = facts[container.image]
    service: dict[str, Any] = {
        "image": container.image,
        # Copies on one node are builders of different names.
        "hostname": f"{name}-{{{{.Task.Slot}}}}" if copies(declaration, name, facts) else name,
        "command": [escape(word) for word in container.command],
        "environment": variables(container, ports),
        "ports": [
            # The mesh would hide the addresses of clients, of which the hub limits connections.
            {"target": port, "published": host, "mode": "host"}
            for port, host in ports.items()
        ],
        "volumes": _volumes(declaration, name, image),
        "cap_add": list(container.cap_add),
        "cap_drop": list(container.cap_drop),
        "sysctls": dict(container.sysctls),
        "read_only": container.read_only,
        "stop_grace_period": f"{container.stop_timeout}s",
        "healthcheck": _HEALTH if container.detach and image.health else None,
        "deploy": _deploy(container, system),
    }
    return {key: value for key, value in service.items() if value}


def _volumes(declaration: Declaration, name: str, image: ImageFacts) -> list[dict[str, Any]]:
    """What a container mounts, and a volume for each folder that it keeps something in.

    Only its own volumes are filled with what its image has at their paths: a container that mounts
    another's may be the first to come.
    """
    own = {volume.path for volume in declaration.containers[name].volumes}
    mounted = mounts(declaration, name)
    kept = [*data_paths(image.labels)]
    issued = image.labels.get(CERTIFICATES_LABEL)
    if issued and not any(PurePosixPath(issued).is_relative_to(mount.path) for mount in mounted):
        kept.append(issued)
    all_mounts = [*mounted, *(Mount(f"{name}-{path_name(path)}", path, False) for path in kept)]
    return [
        _filled(
            {
                "type": "volume",
                "source": mount.volume,
                "target": mount.path,
                "read_only": mount.read_only,
                "volume": {} if mount.path in (*own, *kept) else {"nocopy": True},
            }
        )
        for mount in all_mounts
    ]


def _deploy(container: Container, system: str) -> dict[str, Any]:
    policy, _, attempts = container.restart.partition(":")
    limits = {
        "cpus": str(container.cpus) if container.cpus else None,
        "memory": container.mem_limit,
        "pids": container.pids_limit,
    }
    return _filled(
        {
            # The others call the one container itself; a virtual address takes IP_VS in the kernel.
            "endpoint_mode": "dnsrr",
            "placement": {"constraints": [f"node.labels.{system} == data"]},
            "restart_policy": _filled(
                {
                    "condition": _CONDITIONS.get(policy, policy),
                    "max_attempts": int(attempts) if attempts else None,
                }
            ),
            "update_config": _UPDATE if container.detach else None,
            "resources": _filled({"limits": _filled(limits)}),
        }
    )


def _filled(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Without keys that have no value."""
    return {key: value for key, value in spec.items() if value}
