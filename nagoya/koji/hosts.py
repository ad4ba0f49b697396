"""The builders that a hub knows, those on other machines among them."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nagoya.koji.hub import HubConnection
from nagoya.system.system import System, require_system

_CALL_SECONDS = 30


@dataclass(frozen=True)
class BuilderHost:
    """A builder. It has a `container` of the system, or is remote, or was removed; it checked in
    `seconds` ago, or never: None."""

    name: str
    container: bool
    enabled: bool
    arches: Sequence[str]
    channels: Sequence[str]
    seconds: float | None


def read_hosts(system: System) -> list[BuilderHost]:
    """Ask a system's hub. Raises LifecycleError; the errors of koji are those of `hub_errors`."""
    present = require_system(system.engine, system.name)
    session = HubConnection.of(system).session(None, seconds=_CALL_SECONDS)
    hosts, channels = session.listHosts(), session.listChannels()
    with session.multicall(strict=True) as calls:
        members = {each["name"]: calls.listHosts(channelID=each["id"]) for each in channels}
        updates = {each["name"]: calls.getLastHostUpdate(each["id"], ts=True) for each in hosts}
    return builder_hosts(
        hosts,
        {name: [host["name"] for host in call.result] for name, call in members.items()},
        {name: call.result for name, call in updates.items()},
        present,
        time.time(),
    )


def builder_hosts(
    hosts: Sequence[Mapping[str, Any]],
    members: Mapping[str, Collection[str]],
    updates: Mapping[str, float | None],
    containers: Collection[str],
    now: float,
) -> list[BuilderHost]:
    """The builders by name, from the hub's answers: `members` has the hosts of each channel,
    `updates` when each host checked in."""
    return [
        BuilderHost(
            name := host["name"],
            name in containers,
            host["enabled"],
            host["arches"].split(),
            sorted(channel for channel, names in members.items() if name in names),
            None if (last := updates[name]) is None else round(now - last, 1),
        )
        for host in sorted(hosts, key=lambda host: str(host["name"]))
    ]
