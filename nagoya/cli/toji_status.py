"""The commands of toji that show how systems are: list, status, wait."""

import json
import sys
import time
from contextlib import nullcontext
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nagoya.cli.common import (
    Settings,
    age,
    command,
    json_option,
    on_system,
    print_table,
    quiet_system,
    timeout_option,
)
from nagoya.errors import NagoyaError
from nagoya.koji.activity import Activity, client_details, read_activity
from nagoya.koji.hub import hub_errors
from nagoya.system import snapshots
from nagoya.system.listing import list_systems
from nagoya.system.readiness import describe_state
from nagoya.system.status import SystemStatus, read_status
from nagoya.system.system import System

_JSON_VERSION = 1
_WATCH_SECONDS = 2.0


@json_option
@command
def list_(settings: Settings, as_json: bool) -> None:
    """List all systems on the engine, whoever made them.

    A system is stale if it was made for a process that has ended; `toji remove --stale` removes all
    of those.

    \b
      toji list
      toji list --json
    """
    systems = list_systems(settings.engine)
    if as_json:
        rows = []
        for system in systems:
            details = client_details(system.name, system.owner.home) if system.owner else {}
            rows.append(
                {
                    "system": system.name,
                    "state": system.state,
                    "containers": {name: state.status for name, state in system.states.items()},
                    "created": system.created.isoformat(timespec="seconds"),
                    "owner": system.owner and system.owner.name,
                    "pid": system.owner and system.owner.pid,
                    "stale": system.stale,
                    "profile": details.get("profile"),
                    "urls": details.get("urls"),
                }
            )
        print(json.dumps({"version": _JSON_VERSION, "systems": rows}, indent=2))
        return
    table = Table("system", "containers", "state", "age", "made by", box=None)
    for system in systems:
        owner = [system.owner.name if system.owner else ""]
        if system.owner and system.owner.pid:
            owner.append(f"process {system.owner.pid}")
        if system.stale:
            owner.append("which has ended: stale")
        table.add_row(
            system.name,
            str(len(system.states)),
            system.state,
            age(system.created),
            ", ".join(owner),
        )
    print_table(table)


@json_option
@click.option(
    "-w", "--watch", is_flag=True,
    help="Update every 2 s, and show the hub's hosts and tasks, until Ctrl-C.",
)  # fmt: skip
@command
def status(settings: Settings, as_json: bool, watch: bool) -> None:
    """Show the containers of a system, whether each is ready now, its image and its ports.

    Below that: kojiweb's URL, the client's profile, the file that declares the system, and what
    differs from it.

    \b
      toji status
      toji status --watch
      toji status --json
    """
    system = quiet_system(settings)
    if watch:
        _watch(system, as_json)
    elif as_json:
        print(json.dumps(_as_json(system), indent=2))
    else:
        print_table(_render(system, read_status(system)))


def _watch(system: System, as_json: bool) -> None:
    terminal = sys.stdout.isatty() and not as_json
    try:
        with Live(screen=True, auto_refresh=False) if terminal else nullcontext() as live:
            while True:
                if as_json:
                    print(json.dumps(_as_json(system, activity=True)), flush=True)
                else:
                    status = _render(system, read_status(system))
                    shown = Group(status, Text(), _render_activity(system))
                    live.update(shown, refresh=True) if live else print_table(shown)
                time.sleep(_WATCH_SECONDS)
    except KeyboardInterrupt:
        return


def _as_json(system: System, *, activity: bool = False) -> dict[str, Any]:
    details = client_details(system.name, system.owner.home)
    value = {
        "version": _JSON_VERSION,
        **read_status(system).as_json(),
        "profile": details.get("profile"),
        "urls": details.get("urls"),
    }
    if activity:
        read = _activity(system)
        value["activity"] = read.as_json() if isinstance(read, Activity) else {"error": read}
    return value


def _render(system: System, read: SystemStatus) -> RenderableType:
    table = Table(box=None)
    for heading in ("container", "state", "health", "image", "address"):
        table.add_column(heading, overflow="fold")
    lines = []
    for each in read.containers:
        state = each.state
        table.add_row(
            state.name,
            "completed" if each.health.ready and not state.running else describe_state(state),
            each.health.detail if state.running else "",
            state.image + (f" ({age(each.image_created)})" if each.image_created else ""),
            state.address or "",
        )
        if each.published:
            # Beside the table, where a narrow terminal would cut it.
            lines.append(f"{state.name}: {' '.join(each.published)}")
    details = client_details(system.name, system.owner.home)
    if details:
        lines.append(f"kojiweb: {details['urls']['web']}")
        lines.append(f"koji client: koji -p {details['profile']} hello")
    lines += [f"declared by: {read.file}", *read.problems]
    return Group(table, Text(), *(Text(line, overflow="fold") for line in lines))


def _activity(system: System) -> Activity | str:
    """What the hub does, or why it cannot be asked."""
    try:
        with hub_errors():
            return read_activity(system)
    except NagoyaError as error:
        return error.message


def _render_activity(system: System) -> RenderableType:
    activity = _activity(system)
    if isinstance(activity, str):
        return Text(activity)
    hosts = Table("host", "enabled", "ready", "load", box=None)
    for host in activity.hosts:
        hosts.add_row(
            host.name,
            "yes" if host.enabled else "no",
            "yes" if host.ready else "no",
            f"{host.load:.1f} of {host.capacity:.1f}",
        )
    tasks = Table("task", "method", "arch", "state", "host", "owner", "age", box=None)
    for task in activity.tasks:
        tasks.add_row(
            str(task.id),
            task.method,
            task.arch,
            task.state,
            task.host or "",
            task.owner,
            f"{task.seconds:.0f} s",
        )
    return Group(hosts, Text(), tasks if activity.tasks else Text("no task runs or waits"))


@json_option
@timeout_option
@command
def wait(settings: Settings, as_json: bool, timeout: float) -> None:
    """Wait until every container is ready, by its own health check.

    Exits with status 8 after the timeout, or as soon as a container has exited, with the reason and
    the last log lines of the container to blame.

    \b
      toji wait
      toji wait --timeout 600
    """
    wait_until_ready(settings, timeout, as_json)


def wait_until_ready(settings: Settings, seconds: float, as_json: bool = False) -> None:
    """Wait for a system, and print in one line (or as JSON) what is ready and where."""
    started = time.monotonic()
    result: dict[str, Any] = {"version": _JSON_VERSION, "system": settings.system}
    try:
        on_system(settings, lambda system: snapshots.wait_and_snapshot(system, seconds))
    except NagoyaError as error:
        if as_json:
            print(json.dumps({**result, "ready": False, "error": error.message}, indent=2))
        raise
    taken, details = time.monotonic() - started, _details(settings)
    if as_json:
        result |= {"ready": True, "seconds": round(taken, 1)}
        result |= {key: details.get(key) for key in ("profile", "urls")}
        print(json.dumps(result, indent=2))
    elif not settings.quiet:
        line = [f"ready after {taken:.0f} s"]
        if details:
            line += [f"kojiweb {details['urls']['web']}", f"koji -p {details['profile']} hello"]
        print("; ".join(line))


def _details(settings: Settings) -> dict[str, Any]:
    system = quiet_system(settings)
    return client_details(system.name, system.owner.home)
