"""The commands of toji that look into a system: logs, exec, report."""

import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import click

from nagoya.cli.common import Settings, command, on_system, quiet_system
from nagoya.cli.completion import complete_container
from nagoya.config import extends, loader
from nagoya.engine import Handle, containers
from nagoya.engine.exec import execute
from nagoya.errors import DeclarationError, EngineError, LifecycleError
from nagoya.koji.hub import HubConnection, hub_errors
from nagoya.koji.report import write_report
from nagoya.koji.tasks import task_logs, task_tree
from nagoya.system.system import require_system

_LOOKUP_SECONDS = 5.0
NOT_FOUND = 127
"""Exit status of a command that is not found, as of a shell."""


@click.argument("names", nargs=-1, metavar="[CONTAINER]...", shell_complete=complete_container)
@click.option("-f", "--follow", is_flag=True, help="Keep printing until the containers exit.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Show the last N lines only.")
@click.option(
    "--task",
    type=click.IntRange(1, 2**31 - 1),
    metavar="ID",
    help="Show the logs of a Koji task and its descendants.",
)
@command
def logs(
    settings: Settings, names: tuple[str, ...], follow: bool, tail: int | None, task: int | None
) -> None:
    """Show what containers printed, all or those named.

    \b
      toji logs
      toji logs koji --follow
      toji logs --task 12
    """
    if task is not None:
        if names or follow:
            raise click.UsageError("--task takes neither a CONTAINER nor --follow")
        with hub_errors():
            _task_logs(settings, task, tail)
        return
    chosen = {name: _container(settings, name) for name in names} or require_system(
        settings.engine, settings.system
    )
    last: int | Literal["all"] = "all" if tail is None else tail
    width = max(map(len, chosen)) if len(chosen) > 1 else 0
    for name, line in _follow(chosen, last) if follow else _lines(chosen, last):
        print(f"{name:{width}} | {line}" if width else line, flush=follow)


def _lines(chosen: dict[str, Handle], tail: int | Literal["all"]) -> Iterator[tuple[str, str]]:
    """Each line with its container's name, container by container."""
    for name, handle in chosen.items():
        yield from ((name, line) for line in containers.log(handle, tail=tail))


def _follow(chosen: dict[str, Handle], tail: int | Literal["all"]) -> Iterator[tuple[str, str]]:
    """Each line with its container's name, as they come, until all containers have exited."""
    output: queue.Queue[tuple[str, str] | Exception | None] = queue.Queue(maxsize=1000)

    def listen(name: str, handle: Handle) -> None:
        try:
            for line in containers.log(handle, follow=True, tail=tail):
                output.put((name, line))
            output.put(None)
        except Exception as error:
            output.put(error)

    for item in chosen.items():
        threading.Thread(target=listen, args=item, daemon=True).start()
    listening = len(chosen)
    while listening:
        match output.get():
            case None:
                listening -= 1
            case Exception() as error:
                raise error
            case line:
                yield line


def _task_logs(settings: Settings, task: int, tail: int | None) -> None:
    session = HubConnection.of(quiet_system(settings)).session()
    for each in task_tree(session, task):
        for name, content in task_logs(session, each["id"]):
            print(f"==> task {each['id']} {each['method']} {each['arch']}: {name} <==")
            lines = content.decode(errors="replace").splitlines()
            print("\n".join(lines if tail is None else lines[-tail:] if tail else []))


@click.argument("path", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Overwrite PATH.")
@command
def report(settings: Settings, path: Path | None, force: bool) -> None:
    """Collect what helps to understand a failure in one archive.

    It contains the containers' logs and settings, the hub's hosts and last tasks with their logs,
    and versions, but no key and no password. PATH is nagoya-report-SYSTEM-TIME.tar.gz by default.

    \b
      toji report
      toji report failure.tar.gz
    """
    path = path or Path(f"nagoya-report-{settings.system}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    invalid = None
    try:
        declaration = settings.system_declaration
    except DeclarationError as error:
        if settings.config:
            raise
        # A report is written when something is broken.
        print(f"warning: the report lacks the declaration. {error.message}", file=sys.stderr)
        declaration, invalid = loader.read(extends.shipped()), error
    on_system(
        settings,
        lambda system: write_report(system, path, overwrite=force, invalid=invalid),
        declaration=declaration,
    )
    print(path)


@click.command(name="exec", context_settings={"allow_interspersed_args": False})
@click.option("-i", "--interactive", is_flag=True, expose_value=False, hidden=True)
@click.option("-t", "--tty", is_flag=True, expose_value=False, hidden=True)
@click.argument("name", metavar="CONTAINER", shell_complete=complete_container)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def exec_(settings: Settings, name: str, command: tuple[str, ...]) -> None:
    """Run a command in a container, with this terminal.

    A terminal is used if there is one, so -i and -t are accepted and change nothing. The exit
    status is the command's, or 127 if the container does not have it.

    \b
      toji exec koji bash
      toji exec kojidatabase runuser -u postgres psql koji
    """
    if shutil.which("docker") is None:
        raise LifecycleError(
            "`toji exec` runs the docker client, which is not installed",
            "apt-get install docker.io, or docker-cli on Debian 13",
        )
    arguments = command[1:] if command[0] == "--" else command
    if not arguments:
        raise click.UsageError("there is no command after the --")
    handle = _container(settings, name)
    _check_running(settings, handle)
    # Docker's own message about an unknown command is about a runtime.
    lookup = ["sh", "-c", 'command -v "$0" >/dev/null || exit 44', arguments[0]]
    with suppress(EngineError):  # docker will say what is wrong
        if execute(handle, lookup, seconds=_LOOKUP_SECONDS)[0] == 44:
            raise LifecycleError(f"'{name}' has no command '{arguments[0]}'", exit_code=NOT_FOUND)
    flags = ["-it"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
    docker = settings.engine.docker_command
    os.execvp(docker[0], [*docker, "exec", *flags, handle.name, *arguments])


def _check_running(settings: Settings, handle: Handle) -> None:
    state = containers.state(handle, reload=False)
    declared = settings.system_declaration.containers.get(state.declared)
    if state.completed and declared and declared.run_once:
        raise LifecycleError(
            f"'{state.name}' has done its work and exited, so no command can run in it",
            f"to look at its volumes: docker run --rm -it --volumes-from {state.container} "
            f"--entrypoint sh {state.image}",
        )
    if not state.running:
        raise LifecycleError(
            f"'{state.name}' is not running ({state.status})",
            f"toji --system {settings.system} start",
        )


def _container(settings: Settings, name: str) -> Handle:
    present = require_system(settings.engine, settings.system)
    if name not in present:
        raise LifecycleError(
            f"the system '{settings.system}' has no container '{name}'",
            f"it has {', '.join(sorted(present))}",
        )
    return present[name]
