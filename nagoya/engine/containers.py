"""Containers: thin verbs over Docker's, each with its failure in plain words."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal

import docker.errors
import requests

from nagoya.engine.client import Engine, Handle
from nagoya.engine.image_facts import health_command
from nagoya.engine.state import (
    CONTAINER_LABEL,
    SYSTEM_LABEL,
    State,
    parse_time,
    set_labels,
)
from nagoya.engine.translation import translated
from nagoya.errors import EngineTimeout, PortTaken

_PORT_TAKEN = re.compile(
    r":(\d+)\b(?:(?!:\d).)*(?:port is already allocated|address already in use)",
    re.IGNORECASE | re.DOTALL,
)
# What the runtime answers about a container that has exited before the engine has noticed it.
_EXITING = re.compile(r"stopped container|deleted process|task \S+ not found|not running")
_EXIT_SECONDS, _EXIT_PAUSE = 10.0, 0.05


def list_containers(engine: Engine, system: str) -> dict[str, Handle]:
    """The declared containers of a system by host name, whatever their state.

    Where a replacement exists beside a container, the container is returned.
    """
    # A replacement has the same host name and a longer name.
    listed = sorted(list_system(engine, system), key=lambda handle: -len(handle.name))
    return {
        handle.docker.attrs["Config"]["Hostname"]: handle
        for handle in listed
        if label(handle, CONTAINER_LABEL)
    }


def list_system(engine: Engine, system: str) -> list[Handle]:
    """Every container that bears a system's label, whatever its state; the oldest first."""
    return _list(engine, f"{SYSTEM_LABEL}={system}")


def list_all_containers(engine: Engine) -> dict[str, list[Handle]]:
    """Every system's containers, the oldest first, by the system's name."""
    systems: dict[str, list[Handle]] = {}
    for handle in _list(engine, SYSTEM_LABEL):
        if system := label(handle, SYSTEM_LABEL):
            systems.setdefault(system, []).append(handle)
    return systems


def _list(engine: Engine, label: str) -> list[Handle]:
    with translated(f"listing the containers with the label {label}"):
        listed = engine.client.containers.list(
            all=True, ignore_removed=True, filters={"label": label}
        )
    return sorted((Handle(engine, container) for container in listed), key=created)


def inspect(container: Handle) -> dict[str, Any]:
    """The engine's description of a container when the handle was made, secrets included."""
    return dict(container.docker.attrs)


def created(container: Handle) -> datetime:
    """When a container was created."""
    return parse_time(container.docker.attrs["Created"])


def get(engine: Engine, name: str) -> Handle:
    """A container by its name; EngineError where there is none."""
    with translated(f"inspecting {name}"):
        return Handle(engine, engine.client.containers.get(name))


def state(container: Handle, *, reload: bool = True) -> State:
    """A container's state; without `reload`, as it was when the handle was made."""
    if reload:
        with translated(f"inspecting {container.name}"):
            container.docker.reload()
    return State.parse(container.docker.attrs)


def start(container: Handle, restart: str = "no") -> None:
    """Start a container unless it runs; unpause one that is paused. Raises PortTaken.

    From now on the engine restarts it by this restart policy, such as on-failure:3.
    """
    set_restart_policy(container, restart)
    with translated(f"starting {container.name}"):
        try:
            if container.docker.status == "paused":
                container.docker.unpause()
            else:
                container.docker.start()
        except docker.errors.APIError as error:
            match = _PORT_TAKEN.search(str(error.explanation))
            if not match:
                raise
            own, port = state(container, reload=False), int(match[1])
            address = next(own.addresses[each] for each in own.ports if own.ports[each] == port)
            raise PortTaken(
                f"starting {container.name}: port {port} of {address} is taken"
                f"{_publisher(container.engine, port)}",
                "choose another host port, or leave it out for a free one",
            ) from error


def _publisher(engine: Engine, port: int) -> str:
    """` by NAME` for the container that publishes a port, or an empty string."""
    for other in engine.client.api.containers():
        if any(binding.get("PublicPort") == port for binding in other["Ports"]):
            return f" by {name_with_system(other)}"
    return ""


def name_with_system(listed: Mapping[str, Any]) -> str:
    """The name of a container in the engine's list, with its system's name."""
    name = listed["Names"][0].lstrip("/") if listed["Names"] else listed["Id"][:12]
    system = (listed["Labels"] or {}).get(SYSTEM_LABEL)
    return f"{name} (system '{system}')" if system else name


def set_restart_policy(container: Handle, restart: str) -> None:
    """Set the restart policy of a container, such as on-failure:3."""
    if state(container).restart == restart:
        return
    name, _, tries = restart.partition(":")
    policy: Any = {"Name": name, "MaximumRetryCount": int(tries or 0)}
    deadline = time.monotonic() + _EXIT_SECONDS
    with translated(f"setting the restart policy of {container.name}"):
        while True:
            try:
                container.docker.update(restart_policy=policy)
                return
            except docker.errors.APIError as error:
                # Podman before 5.1 has no such call.
                if error.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                    return
                if not _EXITING.search(str(error.explanation)) or time.monotonic() > deadline:
                    raise
            time.sleep(_EXIT_PAUSE)


def stop(container: Handle) -> None:
    """Stop a container with its image's signal, within its stop timeout, until it is started."""
    set_restart_policy(container, "no")
    with translated(f"stopping {container.name}"):
        container.docker.stop()


def rename(container: Handle, name: str) -> None:
    """Give a container another name."""
    with translated(f"renaming {container.name} to {name}"):
        container.docker.rename(name)


def remove(container: Handle) -> None:
    """Remove a container, running or not, with its anonymous volumes, unless it is gone.

    If somebody else removes it at the moment, wait until they have: until then its network and its
    volumes are in use.
    """
    with translated(f"removing {container.name}"), suppress(docker.errors.NotFound):
        try:
            container.docker.remove(v=True, force=True)
        except docker.errors.APIError as error:
            if "already in progress" not in str(error.explanation):
                raise
            container.docker.wait(condition="removed")


def wait_exit(container: Handle, seconds: float) -> int:
    """Wait until a container exits, and return its status. Raises EngineTimeout after `seconds`."""
    deadline = time.monotonic() + seconds
    with translated(f"waiting for the end of {container.name}"):
        try:
            return int(container.docker.wait(timeout=seconds)["StatusCode"])
        except (requests.Timeout, requests.ConnectionError) as error:
            if time.monotonic() < deadline:
                raise
            raise EngineTimeout(f"{container.name} did not end within {seconds:.0f} s") from error


def remove_named(engine: Engine, system: str, name: str) -> None:
    """Remove a container by its name if it exists and belongs to the system."""
    with translated(f"removing {name}"), suppress(docker.errors.NotFound):
        handle = Handle(engine, engine.client.containers.get(name))
        if label(handle, SYSTEM_LABEL) == system:
            remove(handle)


def label(container: Handle, name: str) -> str | None:
    """The value of a label of the container or of its image; None if it is missing or empty."""
    return labels(container).get(name)


def labels(container: Handle) -> Mapping[str, str]:
    """The labels of a container and of its image that have a value."""
    return set_labels(container.docker.attrs["Config"].get("Labels"))


def volume_paths(container: Handle) -> list[str]:
    """The paths of the volumes that the container's image declares."""
    volumes = container.docker.attrs["Config"].get("Volumes")
    if volumes is None:  # as Podman always has it
        image = container.docker.attrs["Image"]
        with translated(f"looking at the image of {container.name}"):
            described = container.engine.client.api.inspect_image(image)  # type: ignore[no-untyped-call]
            volumes = described["Config"].get("Volumes")
    return sorted(volumes or {})


def log(
    container: Handle, *, follow: bool = False, tail: int | Literal["all"] = "all"
) -> Iterator[str]:
    """The lines of a container's log, stdout and stderr; with `follow`, until the container exits.

    Raises EngineError, also where the engine exits before the container.
    """
    with translated(f"reading the log of {container.name}"):
        pending = b""
        for chunk in container.docker.logs(stream=True, follow=follow, tail=tail):
            *whole, pending = (pending + chunk).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
        if pending:
            yield pending.decode(errors="replace")
        if follow:
            # The SDK reports a broken connection as the end of the log.
            with suppress(docker.errors.NotFound):
                container.docker.reload()


def healthcheck_command(container: Handle) -> list[str] | None:
    """The command of the image's HEALTHCHECK, or None where it has none."""
    return health_command(container.docker.attrs["Config"])
