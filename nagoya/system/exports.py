"""What the exports of a declaration have in common. Pure."""

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple

from nagoya.config.declaration import Declaration
from nagoya.config.model import Container, Endpoint
from nagoya.engine.image_facts import ImageFacts
from nagoya.engine.state import LOOPBACK, reached_at
from nagoya.system.observed import data_paths


class Mount(NamedTuple):
    """A volume at a path of a container."""

    volume: str
    path: str
    read_only: bool


def mounts(declaration: Declaration, name: str) -> tuple[Mount, ...]:
    """What a container mounts: the volumes of others first, its own in the place of theirs."""
    container = declaration.containers[name]
    by_path: dict[str, Mount] = {}
    for source in container.volumes_from:
        for mount in mounts(declaration, source.container):
            read_only = mount.read_only or source.mode == "ro"
            by_path[mount.path] = mount._replace(read_only=read_only)
    for volume in container.volumes:
        by_path[volume.path] = Mount(volume.name, volume.path, read_only=False)
    return tuple(by_path.values())


def path_name(path: str) -> str:
    """A path as a part of a name."""
    return path.strip("/").replace("/", "-").replace(".", "-").lower()


def copies(declaration: Declaration, name: str, facts: Mapping[str, ImageFacts]) -> bool:
    """Whether a container can run several times: no other finds it by name, and it has no data.

    `facts` are those of each image of a container, by name.
    """
    container = declaration.containers[name]
    needed = any(name in other.needs for other in declaration.containers.values())
    data = data_paths(facts[container.image].labels)
    return container.detach and not (needed or data or container.ports)


def callbacks_of(container: Container) -> str:
    """Its callbacks with their events, in words."""
    return ", ".join(
        f"{function} at {event}"
        for event, functions in container.callbacks.items()
        for function in functions
    )


def host_ports(declaration: Declaration) -> dict[str, dict[int, str]]:
    """For each container its ports, with the host's as Compose reads it: a variable, and a number.

    Where moromi.yml leaves the port free, this chooses one.
    """
    used = {port.host for c in declaration.containers.values() for port in c.ports if port.host}
    ports: dict[str, dict[int, str]] = {}
    for name, container in declaration.containers.items():
        ports[name] = {}
        for port in container.ports:
            free = chain(range(8000 + port.container, 65536, 1000), range(8000, 65536))
            host = port.host or next(number for number in free if number not in used)
            used.add(host)
            variable = f"{name}_PORT_{port.container}".upper().replace("-", "_")
            ports[name][port.container] = f"${{{variable}:-{host}}}"
    return ports


def variables(container: Container, ports: Mapping[int, str]) -> dict[str, str]:
    """A container's environment as Compose reads it, with the host's `ports`."""
    escaped = {key: escape(value) for key, value in container.environment.items()}
    published = {
        port.container: Endpoint(
            reached_at(port.address or LOOPBACK, LOOPBACK), ports[port.container]
        )
        for port in container.ports
    }
    changed = container.model_copy(update={"environment": escaped})
    return changed.variables(LOOPBACK, published)


def escape(text: str) -> str:
    """A text in which Compose shall replace nothing."""
    return text.replace("$", "$$")
