"""What the command lines share: options, tables, JSON, and how a verb is called on a system."""

import json
import logging
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console, RenderableType
from rich.table import Table

from nagoya.cli.completion import complete_system
from nagoya.config import loader
from nagoya.config.declaration import Declaration
from nagoya.config.extends import OURS
from nagoya.engine import Engine, connect, containers
from nagoya.errors import INTERRUPTED, DeclarationError, LifecycleError
from nagoya.koji.hub import hub_errors
from nagoya.koji.report import redact
from nagoya.system.observed import config_file
from nagoya.system.system import System
from nagoya.utils.parallel import Interrupted
from nagoya.utils.progress import Progress

T = TypeVar("T")


@dataclass
class Settings:
    """The shared options, and what they select, opened when first needed."""

    config: Path | None = None
    system: str = field(default_factory=lambda: os.environ.get("NAGOYA_SYSTEM") or "koji")
    quiet: bool = False
    verbose: bool = False

    @cached_property
    def declaration(self) -> Declaration:
        return loader.read(loader.locate(self.config))

    @cached_property
    def system_declaration(self) -> Declaration:
        """The file that -c names, else the one that the system was created from, if it exists."""
        present = containers.list_system(self.engine, self.system)
        recorded = None if self.config else config_file(present)
        if recorded is None:
            return self.declaration
        if not recorded.is_file():
            raise DeclarationError(
                str(recorded),
                [f"no such file; the system '{self.system}' was created from it"],
                "name another file with -c; `-c nagoya` names Nagoya's own",
            )
        if recorded != loader.locate(None).resolve() and not self.quiet:
            print(f"using {recorded}, which '{self.system}' was created from", file=sys.stderr)
        return loader.read(recorded)

    @cached_property
    def engine(self) -> Engine:
        return connect()

    def progress(self) -> Progress:
        return Progress(quiet=self.quiet, verbose=self.verbose)


def _shared(name: str, *flags: str, **attributes: Any) -> Callable[[Any], Any]:
    """An option that is accepted before and after the name of a command."""

    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        settings = context.ensure_object(Settings)
        if value not in (None, False):
            setattr(settings, name, value)
        if settings.quiet and settings.verbose:
            raise click.UsageError("use either -q or -v")

    return click.option(*flags, expose_value=False, callback=keep, **attributes)


def _seconds(value: str) -> float:
    try:
        duration = float(value)
    except ValueError:
        duration = -1
    if not 0 <= duration < math.inf:
        raise click.BadParameter(f"'{value}' is not a number of seconds")
    return duration


class _DebugLog(logging.Handler):
    """Prints records on stderr, above the progress display, without secrets."""

    def emit(self, record: logging.LogRecord) -> None:
        print(redact(self.format(record).encode()).decode(), file=sys.stderr)


def _enable_debug_log(_: click.Context, __: click.Parameter, value: bool) -> None:
    logger = logging.getLogger("nagoya")
    if value and not logger.handlers:
        handler = _DebugLog()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)


def duration_option(
    default: float, flag: str = "--timeout", help: str = "How long to wait before giving up."
) -> Callable[[Any], Any]:
    return click.option(
        flag, metavar="SECONDS", type=_seconds, default=default, show_default=True, help=help
    )


def config_option(default: str) -> Callable[[Any], Any]:
    return _shared(
        "config", "-c", "--config", metavar="FILE", type=click.Path(path_type=Path),
        help=f"The moromi.yml to use: a path, or {', '.join(OURS)}.  [default: {default}]",
    )  # fmt: skip


quiet_option = _shared("quiet", "-q", "--quiet", is_flag=True, help="Show no progress.")
verbose_option = _shared(
    "verbose", "-v", "--verbose", is_flag=True, help="Show the output of builds and programs."
)
debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_enable_debug_log,
    help="Log each command and engine call to stderr, and show tracebacks.",
)  # fmt: skip
system_option = _shared(
    "system", "--system", metavar="NAME", shell_complete=complete_system,
    help="The system to act on.  [default: $NAGOYA_SYSTEM, else koji]",
)  # fmt: skip
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Print what would be done, with the reasons, and do nothing."
)


def _arguments(
    _: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, equals, _value in pairs:
        if not name or not equals:
            raise click.BadParameter(f"'{name}' is not of the form NAME=VALUE", param=parameter)
    return {name: value for name, _, value in pairs}


names_argument = click.argument("names", nargs=-1, metavar="[IMAGE]...")
arguments_option = click.option(
    "--build-arg", "arguments", metavar="NAME=VALUE", multiple=True, callback=_arguments,
    help="Set an ARG of the Dockerfiles.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class Program(click.Group):
    """A command line; its commands, and those of its groups, take its own options too."""

    def add_command(self, command: click.Command, name: str | None = None) -> None:
        super().add_command(command, name)
        shared = [option for option in self.params if not option.is_eager]
        for each in command.commands.values() if isinstance(command, click.Group) else [command]:
            each.params += shared


def command(function: Callable[..., None]) -> click.Command:
    return click.command(function.__name__.strip("_"))(click.pass_obj(function))


def on_system(
    settings: Settings,
    verb: Callable[[System], T],
    *,
    dry_run: bool = False,
    declaration: Declaration | None = None,
) -> T:
    """Call a verb on the selected system, and show its progress; its result."""
    declaration = declaration or settings.system_declaration
    progress = settings.progress()
    system = System(settings.engine, declaration, settings.system, progress, dry_run=dry_run)
    try:
        with progress, hub_errors():
            return verb(system)
    except Interrupted as interrupted:
        message, hint = "interrupted", "run the same command again"
        if interrupted.running:
            message += f"; unfinished: {', '.join(interrupted.running)}"
        if system.is_new:
            hint += f"; `toji remove --system {settings.system}` deletes the system with its data"
        raise LifecycleError(message, hint, exit_code=INTERRUPTED) from None


def quiet_system(settings: Settings) -> System:
    """The selected system, to look at it."""
    declaration = settings.system_declaration
    return System(settings.engine, declaration, settings.system, Progress(quiet=True))


def print_json(*, indent: int | None = 2, **values: Any) -> None:
    """Print values for programs, with the version of their form."""

    def plain(value: Any) -> str:
        is_time = isinstance(value, datetime)
        return value.isoformat(timespec="seconds") if is_time else str(value)

    print(json.dumps({"version": 1, **values}, indent=indent, default=plain), flush=True)


def new_table(*headings: str) -> Table:
    """A table that folds what a narrow terminal has no room for, but not the names in its first
    column."""
    table = Table(box=None)
    for index, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=index == 0)
    return table


def print_table(table: RenderableType) -> None:
    """Print a table on stdout; no line is cut where a program reads it from a pipe."""
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def age(since: datetime) -> str:
    """How long ago a moment is, in the largest unit that fits at least twice."""
    seconds = (datetime.now(UTC) - since).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
