"""Register this builder on the hub, and take it off: `join`, `drain SECONDS`, `leave`.

It logs in as kojiadmin, with the key in the credentials volume. That grants the builder nothing
new: whoever can write there can issue any certificate.
"""

import sys
import xmlrpc.client
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import builder_file
import koji

from util import entry
from util.hub import UNREACHABLE, hub
from util.waiting import wait_until

CREDENTIALS = Path("/etc/pki/koji")


def login(url: str) -> koji.ClientSession:
    """A session of kojiadmin. Raises Fatal if the hub rejects the login."""
    options = {"timeout": 30, "max_retries": 3, "retry_interval": 1}
    session = koji.ClientSession(url, options)
    try:
        session.ssl_login(f"{CREDENTIALS}/kojiadmin.pem", None, f"{CREDENTIALS}/koji_ca_cert.crt")
    except koji.AuthError as error:
        raise entry.Fatal(
            f"the hub at {url} rejected kojiadmin's login: {error}",
            hint="mount the hub's credentials volume in this builder, and enable kojiadmin if it "
            "was disabled",
        ) from error
    return session


def join(session: koji.ClientSession, builder: dict[str, Any]) -> str:
    """Create or correct this host on the hub, and return what was done.

    This precedes kojid's first login: logging in an unknown user would make it an ordinary user,
    which can never become a host. A new host is added to its channels in the same transaction.
    """
    name = builder["name"]
    channels = builder["channels"]
    _add_missing_channels(session, channels or ())
    host = session.getHost(name)
    if host is None:
        channels = channels or builder["new"]["channels"]
        with session.multicall(strict=True) as calls:
            calls.addHost(name, builder["arches"] or builder["new"]["arches"])
            _set_channels(calls, name, {"default"}, set(channels))
            if builder["capacity"] is not None:
                calls.editHost(name, capacity=builder["capacity"])
        return f"registered {name} in {', '.join(channels)}"
    with session.multicall(strict=True) as calls:
        if builder["arches"] is not None:
            calls.editHost(name, arches=" ".join(builder["arches"]))
        if builder["capacity"] is not None:
            calls.editHost(name, capacity=builder["capacity"])
        if channels is not None:
            current = {channel["name"] for channel in session.listChannels(host["id"])}
            _set_channels(calls, name, current, set(channels))
        if not host["enabled"]:
            calls.enableHost(name)
    return f"{name} is registered"


def drain(session: koji.ClientSession, name: str, seconds: float) -> str:
    """Disable this host and wait until its tasks have ended.

    Raises Fatal if they have not within `seconds`; `leave` can still free them.
    """
    session.disableHost(name)
    wait_until(
        lambda: _require_idle(session, name),
        seconds,
        f"the tasks of {name} to end",
        retry=_StillBusy,
        hint="stopping the builder now frees its tasks for other builders",
    )
    return f"{name} has finished its tasks"


def leave(session: koji.ClientSession, name: str) -> str:
    """Disable this host, and free its tasks for other builders."""
    session.disableHost(name)
    tasks = _tasks(session, name)
    for task in tasks:
        session.freeTask(task["id"])
    return f"disabled {name} on the hub, and freed {len(tasks)} tasks"


class _StillBusy(Exception):
    pass


def _require_idle(session: koji.ClientSession, name: str) -> None:
    tasks = _tasks(session, name)
    if tasks:
        raise _StillBusy(f"it is working on {', '.join(str(task['id']) for task in tasks)}")


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names."""
    command, *arguments = sys.argv[1:] if argv is None else argv
    builder = builder_file.read(Path("/"))
    name, url = builder["name"], builder["hub"]
    if command == "join":
        wait_until(
            hub(url).getAPIVersion,
            builder["hub_timeout"],
            f"the hub at {url}",
            retry=UNREACHABLE,
            hint="start koji-hub on the same network under that name, or set KOJI_HUB_URL to "
            "another name, which its certificate must contain (KOJI_HUB_NAMES)",
        )
    session = login(url)
    try:
        match command:
            case "join":
                entry.log(join(session, builder))
            case "drain":
                entry.log(drain(session, name, float(arguments[0])))
            case "leave":
                entry.log(leave(session, name))
    except (koji.GenericError, xmlrpc.client.Fault) as error:
        raise entry.Fatal(f"the hub did not let {name} {command}: {error}") from error
    finally:
        session.logout()
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", main))
