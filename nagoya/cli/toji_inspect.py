"""What toji shows of systems: which there are, their states, what they print and have inside."""

import json
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import click
from rich.table import Table

from nagoya.cli.common import (
    Settings,
    age,
    command,
    config_option,
    json_option,
    on_system,
    print_table,
    system_option,
)
from nagoya.engine import Handle, containers
from nagoya.errors import LifecycleError
from nagoya.koji.hub import HubConnection, hub_errors
from nagoya.koji.report import write_report
from nagoya.koji.tasks import task_logs, task_tree
from nagoya.system import listing
from nagoya.system.system import System, require_system


@json_option
@command
def list_(settings: Settings, as_json: bool) -> None:
    """List all systems on the engine, whoever made them.

    One whose maker was a process that has ended is marked as stale; `toji remove --stale` removes
    all of those.

    \b
      toji list
      toji list --json
    """
    entries = listing.entries(settings.engine)
    if as_json:
        rows = [
            {
                "system": entry.name,
                "containers": {name: state.status for name, state in entry.states.items()},
                "state": entry.state,
                "created": entry.created.isoformat(timespec="seconds"),
                "owner": entry.owner and entry.owner.name,
                "process": entry.owner and entry.owner.process,
                "stale": entry.stale,
            }
            for entry in entries
        ]
        print(json.dumps(rows, indent=2))
        return
    table = Table("system", "containers", "state", "age", "made by", box=None)
    for entry in entries:
        maker = [entry.owner.name if entry.owner else ""]
        if entry.owner and entry.owner.process:
            maker.append(f"process {entry.owner.process.split(':')[1]}")
        table.add_row(
            entry.name,
            str(len(entry.states)),
            entry.state,
            age(entry.created),
            ", ".join([*maker, *["which has ended: stale"] * entry.stale]),
        )
    print_table(table)


@json_option
@command
def status(settings: Settings, as_json: bool) -> None:
    """Show the containers: state, health, address, published ports.

    \b
      toji status
      toji status --json
    """
    present = require_system(settings.engine, settings.system)
    states = [containers.state(handle, reload=False) for handle in present.values()]
    place = {name: index for index, name in enumerate(settings.system_declaration.containers)}
    states.sort(key=lambda state: (place.get(state.declared, len(place)), state.name))
    if as_json:
        rows = [
            {
                "name": state.name,
                "container": state.container,
                "image": state.image,
                "state": state.status,
                "health": state.health if state.running else None,
                "exit_code": None if state.running else state.exit_code,
                "address": state.address,
                "ports": {str(port): host for port, host in state.ports.items()},
            }
            for state in states
        ]
        print(json.dumps({"system": settings.system, "containers": rows}, indent=2))
        return
    table = Table("container", "state", "health", "address", "published", box=None)
    for state in states:
        ended = f" ({state.exit_code})" if state.status == "exited" else ""
        table.add_row(
            state.name,
            state.status + ended,
            (state.health or "") if state.running else "",
            state.address or "",
            " ".join(f"{containers.HOST}:{host}->{port}" for port, host in state.ports.items()),
        )
    print_table(table)


@click.argument("names", nargs=-1, metavar="[CONTAINER]...")
@click.option("-f", "--follow", is_flag=True, help="Go on until the containers end.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("--task", type=int, metavar="ID", help="A Koji task's logs, and its descendants'.")
@command
def logs(
    settings: Settings, names: tuple[str, ...], follow: bool, tail: int | None, task: int | None
) -> None:
    """Show what the containers printed; of all where none is named.

    \b
      toji logs
      toji logs koji --follow
      toji logs --task 12
    """
    if task is not None:
        with hub_errors():
            _task_logs(settings, task, tail)
        return
    present = require_system(settings.engine, settings.system)
    chosen = {name: _one(settings, name) for name in names} or present
    width = max(map(len, chosen)) if len(chosen) > 1 else 0
    for name, line in _lines(chosen, follow, "all" if tail is None else tail):
        print(f"{name:{width}} | {line}" if width else line, flush=follow)


def _lines(
    chosen: dict[str, Handle], follow: bool, tail: int | Literal["all"]
) -> Iterator[tuple[str, str]]:
    """Each line with its container's name: one log after the other, or as they come."""
    if not follow:
        for name, handle in chosen.items():
            yield from ((name, line) for line in containers.log(handle, tail=tail))
        return
    heard: queue.Queue[tuple[str, str] | Exception | None] = queue.Queue(maxsize=1000)

    def listen(name: str, handle: Handle) -> None:
        try:
            for line in containers.log(handle, follow=True, tail=tail):
                heard.put((name, line))
            heard.put(None)
        except Exception as error:
            heard.put(error)

    for item in chosen.items():
        threading.Thread(target=listen, args=item, daemon=True).start()
    listening = len(chosen)
    while listening:
        match heard.get():
            case None:
                listening -= 1
            case Exception() as error:
                raise error
            case line:
                yield line


def _task_logs(settings: Settings, task: int, tail: int | None) -> None:
    with settings.progress() as progress:
        system = System(settings.engine, settings.system_declaration, settings.system, progress)
    session = HubConnection.of(system).session()
    for one in task_tree(session, task):
        for name, content in task_logs(session, one["id"]):
            print(f"==> task {one['id']} {one['method']} {one['arch']}: {name} <==")
            lines = content.decode(errors="replace").splitlines()
            print("\n".join(lines if tail is None else lines[-tail:] if tail else []))


@click.argument("path", required=False, type=click.Path(path_type=Path, dir_okay=False))
@command
def report(settings: Settings, path: Path | None) -> None:
    """Collect everything that helps to understand a failure, in one archive.

    The containers' logs and settings, the hub's hosts and last tasks with their logs, versions;
    no key and no password. PATH is nagoya-report-SYSTEM-TIME.tar.gz unless given.

    \b
      toji report
      toji report failure.tar.gz
    """
    path = path or Path(f"nagoya-report-{settings.system}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    on_system(settings, lambda system: write_report(system, path))
    print(path)


@click.command(name="exec", context_settings={"allow_interspersed_args": False})
@config_option
@system_option
@click.argument("name", metavar="CONTAINER")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def exec_(settings: Settings, name: str, command: tuple[str, ...]) -> None:
    """Run a command in a container, with this terminal.

    \b
      toji exec koji bash
      toji exec kojidatabase runuser -u postgres psql koji
    """
    if shutil.which("docker") is None:
        raise LifecycleError(
            "the docker client is not installed, which lends a command this terminal",
            "apt-get install docker.io",
        )
    command = command[command[0] == "--" :]
    if not command:
        raise click.UsageError("there is no command behind the --")
    handle = _one(settings, name)
    state = containers.state(handle, reload=False)
    if not state.running:
        raise LifecycleError(
            f"'{name}' is not running ({state.status})", f"toji --system {settings.system} start"
        )
    flags = ["-it"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
    docker = settings.engine.docker_command
    os.execvp(docker[0], [*docker, "exec", *flags, handle.name, *command])


def _one(settings: Settings, name: str) -> Handle:
    present = require_system(settings.engine, settings.system)
    if name not in present:
        raise LifecycleError(
            f"the system '{settings.system}' has no container '{name}'",
            f"it has {', '.join(sorted(present))}",
        )
    return present[name]
