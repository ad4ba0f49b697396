"""The state of a container, read from the engine's description of it, and the labels of systems."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    in a `crash_loop` it has been started again twice, to end within seconds. `ports` maps ports of
    the container to those of `host`, `volumes` the paths of mounted volumes to their names.
    `labels` include the image's.
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
    crash_loop: bool
    host: str
    ports: Mapping[int, int]
    volumes: Mapping[str, str]
    labels: Mapping[str, str]

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

    @classmethod
    def parse(cls, attributes: Mapping[str, Any]) -> Self:
        """Read a state from the engine's description of a container."""
        state = attributes["State"]
        networks = attributes["NetworkSettings"]["Networks"] or {}
        policy = attributes["HostConfig"].get("RestartPolicy") or {}
        tries = policy.get("MaximumRetryCount")
        bindings = attributes["HostConfig"].get("PortBindings") or {}
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
            image=attributes["Config"]["Image"],
            image_id=attributes["Image"],
            address=next((net["IPAddress"] for net in networks.values() if net["IPAddress"]), None),
            restart=(policy.get("Name") or "no") + (f":{tries}" if tries else ""),
            crash_loop=state["Status"] == "restarting"
            and attributes["RestartCount"] >= 2
            and parse_time(state["FinishedAt"]) - parse_time(state["StartedAt"]) < _SHORT_RUN,
            host=labels.get(HOST_LABEL, LOOPBACK),
            ports={
                int(port.partition("/")[0]): int(binding[0]["HostPort"])
                for port, binding in bindings.items()
                if binding
            },
            volumes={
                mount["Destination"]: mount["Name"]
                for mount in attributes["Mounts"]
                if mount["Type"] == "volume"
            },
            labels=labels,
        )


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
