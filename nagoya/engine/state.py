"""The state of a container, read from the engine's description of it, and the labels of systems."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, Self

from nagoya.errors import EngineError

SYSTEM_LABEL = "nagoya.system"
"""On every container, network and volume of a system; its value is the system's name."""
CONTAINER_LABEL = "nagoya.container"
"""The name under which a container is declared in moromi.yml."""
HOST_LABEL = "nagoya.host"
"""The name or address at which clients reach the ports that a system publishes."""
LOOPBACK = "127.0.0.1"

_EXITED = {"stopped": "exited"}
"""Podman's word until it has cleaned up after a container."""
_SHORT_RUN = timedelta(seconds=10)
"""After a longer one Docker takes a container for healthy, and starts it again at once."""


@dataclass(frozen=True)
class State:
    """The state of a container at one moment.

    `name` is its host name, `declared` its name in moromi.yml. `status` is Docker's word (created,
    running, paused, restarting, exited, dead). `restart` is its restart policy in Docker's words;
    that has started it again `restarts` times, and twice in a `crash_loop`, in which it ends within
    seconds. `ports` maps ports of the container to those of the engine's machine, `addresses` to
    the addresses there; `host` is where the system's clients are. `volumes` maps the paths of
    mounted volumes to their names.
    `labels` include the image's, and so do `variables`, which may hold secrets.
    """

    name: str
    declared: str
    container: str
    status: str
    exit_code: int
    started_at: datetime | None
    out_of_memory: bool
    health: str | None
    image: str
    image_id: str
    address: str | None
    restart: str
    restarts: int
    crash_loop: bool
    host: str
    ports: Mapping[int, int]
    addresses: Mapping[int, str]
    volumes: Mapping[str, str]
    labels: Mapping[str, str]
    variables: Mapping[str, str] = field(repr=False)

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def ever_started(self) -> bool:
        return self.started_at is not None

    @property
    def completed(self) -> bool:
        """Whether it has run and exited with status 0."""
        return self.status == "exited" and self.ever_started and self.exit_code == 0

    def reached_at(self, port: int) -> str:
        """The host by which clients reach a published port, as URLs name it."""
        return reached_at(self.addresses[port], self.host)

    @classmethod
    def parse(cls, attributes: Mapping[str, Any]) -> Self:
        """Read a state from the engine's description of a container."""
        state = attributes["State"]
        networks = attributes["NetworkSettings"]["Networks"] or {}
        policy = attributes["HostConfig"].get("RestartPolicy") or {}
        tries = policy.get("MaximumRetryCount")
        bindings = {
            int(port.partition("/")[0]): binding[0]
            for port, binding in (attributes["HostConfig"].get("PortBindings") or {}).items()
            if binding
        }
        labels = set_labels(attributes["Config"]["Labels"])
        return cls(
            name=attributes["Config"]["Hostname"],
            declared=attributes["Config"]["Labels"].get(CONTAINER_LABEL, ""),
            container=attributes["Name"].lstrip("/"),
            status=_EXITED.get(state["Status"], state["Status"]),
            exit_code=state["ExitCode"],
            started_at=None
            if state["StartedAt"].startswith("0001-")
            else parse_time(state["StartedAt"]),
            out_of_memory=state.get("OOMKilled", False),
            health=(state.get("Health") or {}).get("Status"),
            image=image_name(attributes["Config"]["Image"]),
            image_id=attributes["Image"],
            address=next((net["IPAddress"] for net in networks.values() if net["IPAddress"]), None),
            restart=(policy.get("Name") or "no") + (f":{tries}" if tries else ""),
            restarts=attributes["RestartCount"],
            crash_loop=state["Status"] == "restarting"
            and attributes["RestartCount"] >= 2
            and parse_time(state["FinishedAt"]) - parse_time(state["StartedAt"]) < _SHORT_RUN,
            host=labels.get(HOST_LABEL, LOOPBACK),
            ports={port: int(binding["HostPort"]) for port, binding in bindings.items()},
            addresses={
                port: binding.get("HostIp") or "0.0.0.0" for port, binding in bindings.items()
            },
            volumes={
                mount["Destination"]: mount["Name"]
                for mount in attributes["Mounts"]
                if mount["Type"] == "volume"
            },
            labels=labels,
            variables=dict(
                entry.partition("=")[::2] for entry in attributes["Config"].get("Env") or []
            ),
        )


def reached_at(address: str, host: str) -> str:
    """The host, as URLs name it, by which clients reach a port that is published on an address.

    `host` is where they reach the engine's machine; if it is a name, all its addresses have it.
    """
    try:
        ip_address(host)
    except ValueError:
        return host
    published = ip_address(address)
    if published.version == 4:
        return host if published.is_unspecified else address
    return f"[{'::1' if published.is_unspecified else address}]"


def set_labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    """The labels that have a value: those of a committed image cannot be removed, only emptied."""
    return {name: value for name, value in (labels or {}).items() if value}


def image_name(name: str) -> str:
    """An image's name without what Podman adds to it: its registry, and the default tag."""
    return re.sub(r"^(localhost|docker\.io(/library)?)/", "", name).removesuffix(":latest")


def check_owner(kind: str, name: str, labels: Mapping[str, str] | None, system: str) -> None:
    """Raise EngineError for an object, such as a network, that does not belong to a system."""
    if (labels or {}).get(SYSTEM_LABEL) != system:
        raise EngineError(
            f"a {kind} named '{name}' already exists and does not belong to the system '{system}'",
            f"choose another --system, or rename or remove the {kind}",
        )


def parse_time(text: str) -> datetime:
    """Parse a time of the engine's, which has nanoseconds."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text))
