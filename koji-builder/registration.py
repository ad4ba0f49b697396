"""Speaks to the hub about this builder, as kojiadmin: `join`, `drain SECONDS`, `leave`.

It uses the kojiadmin of the credentials volume. That gives a builder no right it did not have:
whoever may write there can issue any certificate.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import koji

from util import entry
from util.hub import UNREACHABLE, hub
from util.waiting import wait_until

BUILDER = Path("/run/koji-builder.json")
CREDENTIALS = Path("/etc/pki/koji")


def login(url: str) -> koji.ClientSession:
    """A session of kojiadmin's. Raises Fatal if the hub will have none of it."""
    options = {"timeout": 30, "max_retries": 3, "retry_interval": 1}
    session = koji.ClientSession(url, options)
    try:
        session.ssl_login(f"{CREDENTIALS}/kojiadmin.pem", None, f"{CREDENTIALS}/koji_ca_cert.crt")
    except koji.AuthError as error:
        raise entry.Fatal(
            f"the hub at {url} lets kojiadmin not in: {error}",
            hint="the hub and this builder need the same credentials, and kojiadmin his account",
        ) from error
    return session


def join(session: koji.ClientSession, builder: dict[str, Any]) -> str:
    """Make the hub's record of this host what it should be, and return what was done.

    This comes before kojid logs in for the first time: who logs in unknown can never become a
    host. A new host and its channels are one transaction.
    """
    name = builder["name"]
    wanted = builder["channels"]
    unknown = set(wanted or ()) - {channel["name"] for channel in session.listChannels()}
    if unknown:
        raise entry.Fatal(
            f"the hub has no channel {', '.join(sorted(unknown))} (KOJI_BUILDER_CHANNELS)",
            hint="add it first: `koji add-channel NAME`",
        )
    host = session.getHost(name)
    if host is None:
        wanted = wanted or builder["new"]["channels"]
        with session.multicall(strict=True) as calls:
            calls.addHost(name, builder["arches"] or builder["new"]["arches"])
            _channels(calls, name, {"default"}, set(wanted))
            if builder["capacity"] is not None:
                calls.editHost(name, capacity=builder["capacity"])
        return f"registered {name} in {', '.join(wanted)}"
    with session.multicall(strict=True) as calls:
        if builder["arches"] is not None:
            calls.editHost(name, arches=" ".join(builder["arches"]))
        if builder["capacity"] is not None:
            calls.editHost(name, capacity=builder["capacity"])
        if wanted is not None:
            member = {channel["name"] for channel in session.listChannels(host["id"])}
            _channels(calls, name, member, set(wanted))
        if not host["enabled"]:
            calls.enableHost(name)
    return f"{name} is registered"


def drain(session: koji.ClientSession, name: str, seconds: float) -> str:
    """Take this host out of the rota and wait until it has ended its tasks.

    Raises Fatal if it has not within `seconds`; then it is up to `leave`.
    """
    session.disableHost(name)
    wait_until(
        lambda: _none_left(session, name),
        seconds,
        f"the tasks of {name} to end",
        retry=_StillBusy,
        hint="stopping the builder now hands them back to the hub",
    )
    return f"{name} has no task left"


class _StillBusy(Exception):
    pass


def _none_left(session: koji.ClientSession, name: str) -> None:
    tasks = _tasks(session, name)
    if tasks:
        raise _StillBusy(f"it works on {', '.join(str(task['id']) for task in tasks)}")


def _tasks(session: koji.ClientSession, name: str) -> list[dict[str, Any]]:
    host = session.getHost(name, strict=True)
    states = [koji.TASK_STATES["OPEN"], koji.TASK_STATES["ASSIGNED"]]
    tasks: list[dict[str, Any]] = session.listTasks(opts={"host_id": host["id"], "state": states})
    return tasks


def leave(session: koji.ClientSession, name: str) -> str:
    """Take this host out of the rota, and give its tasks back to the hub for others to take."""
    session.disableHost(name)
    tasks = _tasks(session, name)
    for task in tasks:
        session.freeTask(task["id"])
    return f"disabled {name} on the hub, and handed back {len(tasks)} tasks"


def _channels(calls: Any, name: str, member: set[str], wanted: set[str]) -> None:
    for channel in sorted(wanted - member):
        calls.addHostToChannel(name, channel)
    for channel in sorted(member - wanted):
        calls.removeHostFromChannel(name, channel)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the first argument says."""
    what, *arguments = sys.argv[1:] if argv is None else argv
    builder = json.loads(BUILDER.read_text())
    url = builder["hub"]
    if what == "join":
        wait_until(
            hub(url).getAPIVersion,
            builder["patience"],
            f"the hub at {url}",
            retry=UNREACHABLE,
            hint="start koji-hub on the same network under that name, or set KOJI_HUB_URL to the "
            "name it has, which has to be in its certificate too (KOJI_HUB_NAMES)",
        )
    session = login(url)
    try:
        match what:
            case "join":
                entry.log(join(session, builder))
            case "drain":
                entry.log(drain(session, builder["name"], float(arguments[0])))
            case "leave":
                entry.log(leave(session, builder["name"]))
    except koji.GenericError as error:
        raise entry.Fatal(f"the hub refused to {what} {builder['name']}: {error}") from error
    finally:
        session.logout()
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", main))
