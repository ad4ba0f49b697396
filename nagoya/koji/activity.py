"""What a Koji is doing now: its hosts, and the tasks that run or wait."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nagoya.koji.hub import HubConnection, koji_module
from nagoya.koji.profile import Profile
from nagoya.system.system import System

_TASKS = 50
_CALL_SECONDS = 10


@dataclass(frozen=True)
class Host:
    """A builder; `load` is the weight of its tasks, `capacity` how much of it the host takes."""

    name: str
    enabled: bool
    ready: bool
    load: float
    capacity: float


@dataclass(frozen=True)
class Task:
    """A task that has not ended; `host` is None while it waits for one, `seconds` its age."""

    id: int
    method: str
    arch: str
    state: str
    host: str | None
    owner: str
    seconds: float


@dataclass(frozen=True)
class Activity:
    """The hosts of a hub, and its 50 oldest tasks that have not ended."""

    hosts: tuple[Host, ...]
    tasks: tuple[Task, ...]


def read_activity(system: System) -> Activity:
    """Ask a system's hub. Raises LifecycleError; the errors of koji are those of `hub_errors`."""
    koji = koji_module()
    session = HubConnection.of(system).session(None, seconds=_CALL_SECONDS)
    states = {koji.TASK_STATES[name]: name.lower() for name in ("FREE", "OPEN", "ASSIGNED")}
    hosts = session.listHosts()
    tasks = session.listTasks(
        opts={"state": list(states)}, queryOpts={"order": "id", "limit": _TASKS}
    )
    names = {host["id"]: host["name"] for host in hosts}
    fields = ("name", "enabled", "ready", "task_load", "capacity")
    return Activity(
        tuple(Host(*(host[field] for field in fields)) for host in hosts),
        tuple(
            Task(
                task["id"],
                task["method"],
                task["arch"],
                states[task["state"]],
                names.get(task["host_id"]),
                task["owner_name"],
                round(time.time() - task["create_ts"], 1),
            )
            for task in tasks
        ),
    )


def client_details(system: str, home: Path) -> dict[str, Any]:
    """What toji wrote into koji.json for a system's clients: `profile`, `urls` and more; empty if
    it wrote nothing."""
    try:
        return dict(json.loads((Profile(system, home).folder / "koji.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}
