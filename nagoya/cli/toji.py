"""toji: runs systems of containers, as moromi.yml declares them."""

import json
import os
import queue
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.table import Table

from nagoya import __version__, inventory, readiness, users
from nagoya import report as reports
from nagoya import seed as seeds
from nagoya import verify as proof
from nagoya.cli.common import (
    Settings,
    config_option,
    json_option,
    quiet_option,
    resumable,
    run,
    system_option,
)
from nagoya.engine import containers
from nagoya.errors import LifecycleError
from nagoya.hub import Access, family, spoken, task_logs
from nagoya.system import System, found

WAIT_SECONDS = 180.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@system_option
@quiet_option
@click.version_option(__version__)
def cli() -> None:
    """Run Koji: a hub, its database, any number of builders.

    \b
      toji init                   make and start the system 'koji'
      toji wait                   until hub and builders do what they are for
      koji -p nagoya-koji hello   the profile that toji wrote
      toji remove                 take everything away again

    Systems live side by side, each with its own network, ports, profile and credentials:

    \b
      toji init --system second
    """


def _command(function: Callable[..., None]) -> click.Command:
    """A command of toji; the shared options may stand behind it too."""
    for option in (config_option, system_option, quiet_option):
        function = option(function)
    return cli.command(function.__name__.strip("_"))(click.pass_obj(function))


def _system(settings: Settings, verb: Callable[[System], None]) -> None:
    with settings.board() as board, resumable(settings.system), spoken():
        verb(System(settings.engine, settings.declaration, settings.system, board))


@_command
def init(settings: Settings) -> None:
    """Make and start what is declared; what runs already is left alone.

    It returns once everything is started, which is before everything is ready: see `toji wait`.

    \b
      toji init
      toji init --system second
    """
    _system(settings, System.init)


@_command
def start(settings: Settings) -> None:
    """Start a system that was stopped; its data is as it was.

    \b
      toji start
    """
    _system(settings, System.start)


@_command
def stop(settings: Settings) -> None:
    """Stop a system and keep its data. Builders end first, the database last.

    \b
      toji stop
    """
    _system(settings, System.stop)


@click.option(
    "--stale", is_flag=True, help="Remove each that was made for a process which has ended."
)
@_command
def remove(settings: Settings, stale: bool) -> None:
    """Remove a system with all its data: containers, volumes, network, profile.

    \b
      toji remove
      toji remove --system second
      toji remove --stale
    """
    if not stale:
        _system(settings, System.remove)
        return
    for entry in inventory.entries(settings.engine):
        if entry.stale:
            _system(replace(settings, system=entry.name), System.remove)
            print(f"removed {entry.name}")


@json_option
@_command
def list_(settings: Settings, as_json: bool) -> None:
    """List all systems on the engine, whoever made them.

    One whose maker was a process that has ended is marked as stale; `toji remove --stale` removes
    all of those.

    \b
      toji list
      toji list --json
    """
    entries = inventory.entries(settings.engine)
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
            _age(entry.seconds),
            ", ".join([*maker, *["which has ended: stale"] * entry.stale]),
        )
    _print(table)


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _print(table: Table) -> None:
    # A pipe has no width, and a program that reads it wants no line cut.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@click.argument("wanted", nargs=-1, required=True, metavar="NAME=N...")
@click.option(
    "--drain-timeout", metavar="SECONDS", type=click.FloatRange(min=0), default=600,
    show_default=True, help="How long one that goes may take to end its work.",
)  # fmt: skip
@_command
def scale(settings: Settings, wanted: tuple[str, ...], drain_timeout: float) -> None:
    """Have N containers of one that is declared.

    Builders that are too many get no new tasks, end those that they have, and go.

    \b
      toji scale kojibuilder=3
    """
    counts = {}
    for text in wanted:
        match = re.fullmatch(r"([a-z0-9-]+)=(\d{1,3})", text)
        if match is None:
            raise click.UsageError(f"'{text}' is not of the form NAME=N, as in kojibuilder=3")
        counts[match[1]] = int(match[2])

    def verb(system: System) -> None:
        for name, count in counts.items():
            system.scale(name, count, drain_timeout)

    _system(settings, verb)


@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(min=0), default=WAIT_SECONDS,
    show_default=True, help="When to give up.",
)  # fmt: skip
@_command
def wait(settings: Settings, timeout: float) -> None:
    """Wait until every container is ready, by its own health check.

    Ends with status 8 and the reason, with the last log lines of who is at fault, if one ended or
    time ran out.

    \b
      toji wait
      toji wait --timeout 600
    """
    _system(settings, lambda system: readiness.wait(system, timeout))


@json_option
@_command
def status(settings: Settings, as_json: bool) -> None:
    """Show the containers: state, health, address, published ports.

    \b
      toji status
      toji status --json
    """
    present = found(settings.engine, settings.system)
    states = [containers.state(handle, reload=False) for handle in present.values()]
    place = {name: index for index, name in enumerate(settings.declaration.containers)}
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
    _print(table)


@click.argument("names", nargs=-1, metavar="[CONTAINER]...")
@click.option("-f", "--follow", is_flag=True, help="Go on until the containers end.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("--task", type=int, metavar="ID", help="A Koji task's logs, and its descendants'.")
@_command
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
        with spoken():
            _task_logs(settings, task, tail)
        return
    present = found(settings.engine, settings.system)
    chosen = {name: _one(settings, name) for name in names} or present
    width = max(map(len, chosen)) if len(chosen) > 1 else 0
    for name, line in _lines(chosen, follow, "all" if tail is None else tail):
        print(f"{name:{width}} | {line}" if width else line, flush=follow)


def _lines(
    chosen: dict[str, containers.Handle], follow: bool, tail: int | Literal["all"]
) -> Iterator[tuple[str, str]]:
    """Each line with its container's name: one log after the other, or as they come."""
    if not follow:
        for name, handle in chosen.items():
            yield from ((name, line) for line in containers.log(handle, tail=tail))
        return
    heard: queue.Queue[tuple[str, str] | Exception | None] = queue.Queue(maxsize=1000)

    def listen(name: str, handle: containers.Handle) -> None:
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
    with settings.board() as board:
        system = System(settings.engine, settings.declaration, settings.system, board)
    session = Access.to(system.name, system.owner.home).session()
    for one in family(session, task):
        for name, content in task_logs(session, one["id"]):
            print(f"==> task {one['id']} {one['method']} {one['arch']}: {name} <==")
            lines = content.decode(errors="replace").splitlines()
            print("\n".join(lines if tail is None else lines[-tail:] if tail else []))


@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_command
def seed(settings: Settings, file: Path) -> None:
    """Fill the hub with what FILE declares: tags, targets, users, policies, builds.

    What is so already stays as it is. docs/seed.md says what may stand in the file.

    \b
      toji seed demo/seed.yml
    """
    wanted = seeds.read(file)
    _system(settings, lambda system: seeds.apply(system, wanted))


@_command
def verify(settings: Settings) -> None:
    """Prove that the system builds RPMs: seed it, build from a source RPM and from git, check.

    Each step is told with the seconds that it took.

    \b
      toji verify
    """
    built: list[proof.Built] = []
    _system(settings, lambda system: built.extend(proof.verify(system)))
    for one in built:
        print(f"{one.rpm.nvr}.{one.rpm.arch}  built by task {one.task}: {one.url}")


@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_command
def user(settings: Settings, names: tuple[str, ...]) -> None:
    """Let users log in: an account on the hub each, and a certificate beside kojiadmin's.

    Those who can already keep what they have. `koji grant-permission` says what they may do.

    \b
      toji user alice
    """

    def verb(system: System) -> None:
        for name in names:
            certificate = users.add(system, name)
            system.board.say(
                f"koji -p {Access.to(system.name, system.owner.home).profile} "
                f"--cert={certificate} hello"
            )

    _system(settings, verb)


@click.argument("path", required=False, type=click.Path(path_type=Path, dir_okay=False))
@_command
def report(settings: Settings, path: Path | None) -> None:
    """Collect everything that helps to understand a failure, in one archive.

    The containers' logs and settings, the hub's hosts and last tasks with their logs, versions;
    no key and no password. PATH is nagoya-report-SYSTEM-TIME.tar.gz unless given.

    \b
      toji report
      toji report failure.tar.gz
    """
    path = path or Path(f"nagoya-report-{settings.system}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    _system(settings, lambda system: reports.write(system, path))
    print(path)


@cli.command(name="exec", context_settings={"allow_interspersed_args": False})
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
    os.environ["DOCKER_HOST"] = settings.engine.address
    os.execvp("docker", ["docker", "exec", *flags, str(handle.name), *command])


def _one(settings: Settings, name: str) -> containers.Handle:
    present = found(settings.engine, settings.system)
    if name not in present:
        raise LifecycleError(
            f"the system '{settings.system}' has no container '{name}'",
            f"it has {', '.join(sorted(present))}",
        )
    return present[name]


def main() -> None:
    """The program `toji`."""
    run("toji", cli)
