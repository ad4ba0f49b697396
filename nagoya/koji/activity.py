"""What a Koji is doing now: its hosts, and the tasks that run or wait."""

import json
import time
from collections.abc import Mapping, Sequence
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
    """A task that has not ended; `host` is None while it waits for one, `seconds` its age.
    `obstacle` says why no host can take a free one."""

    id: int
    method: str
    arch: str
    state: str
    host: str | None
    owner: str
    seconds: float
    obstacle: str | None = None


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
    free = [task for task in tasks if states[task["state"]] == "free"]
    channels = sorted({task["channel_id"] for task in free if task["channel_id"]})
    with session.multicall(strict=True) as calls:
        enabled = {each: calls.listHosts(channelID=each, enabled=True) for each in channels}
        described = {each: calls.getChannel(each) for each in channels}
    obstacles = {
        task["id"]: obstacle(
            task["arch"], described[channel].result["name"], enabled[channel].result
        )
        for task in free
        if (channel := task["channel_id"])
    }
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
                obstacles.get(task["id"]),
            )
            for task in tasks
        ),
    )


def obstacle(arch: str, channel: str, hosts: Sequence[Mapping[str, Any]]) -> str | None:
    """Why no host can take a task of an arch and a channel, whose enabled hosts these are."""
    if not hosts:
        return f"no enabled builder has the channel {channel}"
    if arch == "noarch" or any(arch in host["arches"].split() for host in hosts):
        return None
    return f"no enabled builder of the channel {channel} has the arch {arch}"


def client_details(system: str, home: Path) -> dict[str, Any]:
    """What toji wrote into koji.json for a system's clients: `profile`, `urls` and more; empty if
    it wrote nothing."""
    try:
        return dict(json.loads((Profile(system, home).folder / "koji.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}
