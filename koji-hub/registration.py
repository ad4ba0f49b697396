"""Changes a builder's host on the hub, with a session of kojiadmin."""

import xmlrpc.client
from collections.abc import Collection
from typing import Any

import koji

from util import entry

MOST_CHANNELS = 50
"""Of one builder; a new one takes the hub a call, and stays for good."""


def join(session: koji.ClientSession, builder: dict[str, Any]) -> str:
    """Create or correct a builder's host, and return what was done.

    This precedes kojid's first login: logging in an unknown user would make it an ordinary user,
    which can never become a host. A new host is added to its channels in the same transaction.
    """
    name = builder["name"]
    arches, other_names = _koji_names(builder["arches"])
    channels = builder["channels"]
    unserved = set(builder.get("unserved", ()))
    if len(channels or ()) > MOST_CHANNELS:
        raise koji.GenericError(f"a builder has {MOST_CHANNELS} channels at most")
    _add_missing_channels(session, channels or ())
    host = session.getHost(name)
    if host is None:
        channels = channels or builder["new"]["channels"]
        with session.multicall(strict=True) as calls:
            calls.addHost(name, arches or _koji_names(builder["new"]["arches"])[0])
            _set_channels(calls, name, {"default"}, set(channels))
            if builder["capacity"] is not None:
                calls.editHost(name, capacity=builder["capacity"])
        return f"registered {name} in the channels {', '.join(channels)}{other_names}"
    with session.multicall(strict=True) as calls:
        if arches:
            calls.editHost(name, arches=" ".join(arches))
        if builder["capacity"] is not None:
            calls.editHost(name, capacity=builder["capacity"])
        current = {channel["name"] for channel in session.listChannels(host["id"])}
        wanted = current - unserved if channels is None else set(channels)
        _set_channels(calls, name, current, wanted)
        if not host["enabled"]:
            calls.enableHost(name)
    return f"{name} is registered in the channels {', '.join(sorted(wanted))}{other_names}"


def disable(session: koji.ClientSession, name: str) -> list[int]:
    """Disable a host, so that it gets no task; the tasks that it has."""
    session.disableHost(name)
    return [task["id"] for task in _tasks(session, name)]


def leave(session: koji.ClientSession, name: str) -> str:
    """Disable a host, and free its tasks for other builders."""
    session.disableHost(name)
    tasks = _tasks(session, name)
    for task in tasks:
        session.freeTask(task["id"])
    return f"disabled {name} on the hub, and freed {len(tasks)} tasks"


def _koji_names(arches: Collection[str] | None) -> tuple[list[str], str]:
    """Arches as tasks have them, which Koji compares literally: i386 for i686, for example. Also
    what to say about those with another name."""
    names = {arch: koji.canonArch(arch) for arch in arches or ()}
    notes = [f"; Koji's name for {arch} is {name}" for arch, name in names.items() if arch != name]
    return list(dict.fromkeys(names.values())), "".join(notes)


def _tasks(session: koji.ClientSession, name: str) -> list[dict[str, Any]]:
    host = session.getHost(name, strict=True)
    states = [koji.TASK_STATES["OPEN"], koji.TASK_STATES["ASSIGNED"]]
    tasks: list[dict[str, Any]] = session.listTasks(opts={"host_id": host["id"], "state": states})
    return tasks


def _add_missing_channels(session: koji.ClientSession, channels: Collection[str]) -> None:
    def known() -> set[str]:
        return {channel["name"] for channel in session.listChannels()}

    for channel in sorted(set(channels) - known()):
        try:
            session.addChannel(channel, description="added for KOJI_BUILDER_CHANNELS")
            entry.log(f"added the channel {channel}")
        except (koji.GenericError, xmlrpc.client.Fault):
            # Another builder that starts at the same moment may have added it.
            if channel not in known():
                raise


def _set_channels(calls: Any, name: str, current: set[str], wanted: set[str]) -> None:
    for channel in sorted(wanted - current):
        calls.addHostToChannel(name, channel)
    for channel in sorted(current - wanted):
        calls.removeHostFromChannel(name, channel)
