"""The commands of toji that show how systems are: list, status, wait."""

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import asdict
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from nagoya.cli.common import (
    Settings,
    age,
    command,
    duration_option,
    json_option,
    new_table,
    on_system,
    print_json,
    print_table,
    quiet_system,
)
from nagoya.config.values import bracketed
from nagoya.errors import NagoyaError
from nagoya.koji import certificates, exposure
from nagoya.koji.activity import client_details, read_activity
from nagoya.koji.hub import hub_errors
from nagoya.system import snapshots
from nagoya.system.listing import list_systems
from nagoya.system.owner import Owner
from nagoya.system.readiness import WAIT_SECONDS
from nagoya.system.status import SystemStatus, read_status
from nagoya.system.system import System, require_system

_WATCH_SECONDS = 2.0


@json_option
@command
def list_(settings: Settings, as_json: bool) -> None:
    """List all systems on the engine, of all users.

    A system is stale if it was made for a process that has ended; `toji remove --stale` removes all
    of those.

    \b
      toji list
      toji list --json
    """
    systems = list_systems(settings.engine)
    if as_json:
        rows = [
            {
                "system": system.name,
                "state": system.state,
                "containers": {name: state.status for name, state in system.states.items()},
                "created": system.created,
                "owner": system.owner and system.owner.name,
                "pid": system.owner and system.owner.pid,
                "stale": system.stale,
                **_client(system.name, system.owner),
            }
            for system in systems
        ]
        print_json(systems=rows)
        return
    table = new_table("system", "containers", "state", "age", "made by")
    for system in systems:
        owner = system.owner.name if system.owner else ""
        if system.owner and system.owner.pid:
            owner += f", process {system.owner.pid}"
        if system.stale:
            owner += ", which has ended: stale"
        count = str(len(system.states))
        table.add_row(system.name, count, system.state, age(system.created), owner)
    print_table(table)


@json_option
@click.option(
    "-w", "--watch", is_flag=True,
    help="Update every 2 s, and show the hub's hosts and tasks, until Ctrl-C.",
)  # fmt: skip
@command
def status(settings: Settings, as_json: bool, watch: bool) -> None:
    """Show the containers of a system.

    Shows whether each is ready now, its image and its ports. Below that: kojiweb's URL, the
    client's profile, the file that declares the system, and what differs from it.

    \b
      toji status
      toji status --watch
      toji status --json
    """
    system = quiet_system(settings)
    on_screen = watch and sys.stdout.isatty() and not as_json
    try:
        with Live(screen=True, auto_refresh=False) if on_screen else nullcontext() as live:
            while True:
                read, client = read_status(system), _client(system.name, system.owner)
                warnings = _certificate_warnings(system)
                activity = _activity(system) if watch else None
                if as_json:
                    values = {**asdict(read), **client, "warnings": warnings}
                    if activity:
                        values["activity"] = activity
                    print_json(indent=None if watch else 2, **values)
                else:
                    shown = Group(*_render(read, client, warnings), *_render_activity(activity))
                    live.update(shown, refresh=True) if live else print_table(shown)
                if not watch:
                    return
                time.sleep(_WATCH_SECONDS)
    except KeyboardInterrupt:
        if not watch:
            raise


def _client(name: str, owner: Owner | None) -> dict[str, Any]:
    """The profile and the URLs that toji wrote for a system's clients; None where it wrote none."""
    details = client_details(name, owner.home) if owner else {}
    return {key: details.get(key) for key in ("profile", "urls")}


def _activity(system: System) -> dict[str, Any]:
    """What the hub does, or why it cannot be asked."""
    try:
        with hub_errors():
            return asdict(read_activity(system))
    except NagoyaError as error:
        return {"error": error.message}


def _certificate_warnings(system: System) -> list[str]:
    return certificates.warnings(
        certificates.read_certificates(require_system(system.engine, system.name))
    )


def _render(
    read: SystemStatus, client: dict[str, Any], warnings: list[str]
) -> Iterator[RenderableType]:
    table = new_table("container", "state", "health", "image", "address")
    for each in read.containers:
        table.add_row(
            each.name,
            each.description,
            each.health if each.exit_code is None else "",
            each.image + (f" ({age(each.image_created)})" if each.image_created else ""),
            each.address or "",
        )
    yield table
    lines = [""]
    for each in read.containers:  # below the table, where a narrow terminal would cut them
        if each.ports:
            ports = (
                f"{bracketed(each.addresses[port])}:{host}->{port}"
                for port, host in each.ports.items()
            )
            lines.append(f"{each.name}: {' '.join(ports)}")
    if client["profile"]:
        lines.append(f"kojiweb: {client['urls']['web']}")
        lines.append(f"koji client: koji -p {client['profile']} hello")
    lines.append(f"declared by: {read.file}")
    lines += [f"missing: {name}" for name in read.missing]
    lines += [f"{name} differs: {', '.join(d)}" for name, d in read.differences.items()]
    yield from (Text(line, overflow="fold") for line in [*lines, *read.conflicts, *warnings])


def _render_activity(activity: dict[str, Any] | None) -> Iterator[RenderableType]:
    if activity is None:
        return
    yield Text()
    if "error" in activity:
        yield Text(activity["error"])
        return
    hosts = new_table("host", "enabled", "ready", "load")
    for host in activity["hosts"]:
        enabled, ready = ("yes" if host[key] else "no" for key in ("enabled", "ready"))
        hosts.add_row(host["name"], enabled, ready, f"{host['load']:.1f} of {host['capacity']:.1f}")
    columns = ("id", "method", "arch", "state", "host", "owner")
    tasks = new_table("task", *columns[1:], "age")
    for task in activity["tasks"]:
        tasks.add_row(*(str(task[key] or "") for key in columns), f"{task['seconds']:.0f} s")
    yield from (hosts, Text(), tasks if activity["tasks"] else Text("no task runs or waits"))
    for task in activity["tasks"]:
        if task["obstacle"]:
            yield Text(f"task {task['id']} waits: {task['obstacle']}", overflow="fold")


@json_option
@duration_option(WAIT_SECONDS)
@command
def wait(settings: Settings, as_json: bool, timeout: float) -> None:
    """Wait until every container is ready by its health check.

    Exits with status 8 after the timeout, or as soon as a container has exited that the engine does
    not restart, or that keeps exiting, with the reason and the last log lines of that container.

    \b
      toji wait
      toji wait --timeout 600
    """
    wait_until_ready(settings, timeout, as_json)


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        print(f"toji: {warning}", file=sys.stderr)


def wait_until_ready(settings: Settings, seconds: float, as_json: bool = False) -> None:
    """Wait for a system, and print in one line (or as JSON) what is ready and where."""
    started = time.monotonic()
    try:
        on_system(settings, lambda system: snapshots.wait_and_snapshot(system, seconds))
    except NagoyaError as error:
        if as_json:
            print_json(system=settings.system, ready=False, error=error.message)
        with suppress(NagoyaError):
            _warn(_certificate_warnings(quiet_system(settings)))
        raise
    taken, system = time.monotonic() - started, quiet_system(settings)
    client = _client(system.name, system.owner)
    warnings = _certificate_warnings(system)
    with suppress(NagoyaError), hub_errors():
        warnings += exposure.warnings(system)
    _warn(warnings)
    if as_json:
        print_json(
            system=system.name, ready=True, seconds=round(taken, 1), **client, warnings=warnings
        )
    elif not settings.quiet:
        line = [f"ready after {taken:.0f} s"]
        if client["profile"]:
            line += [f"kojiweb {client['urls']['web']}", f"koji -p {client['profile']} hello"]
        print("; ".join(line))
