"""What the two command lines share: their options, and how a wrong call ends."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from nagoya.config import loader
from nagoya.config.declaration import Declaration
from nagoya.engine import Engine, connect
from nagoya.errors import INTERRUPTED, LifecycleError, reported
from nagoya.koji.hub import hub_errors
from nagoya.system.system import System
from nagoya.utils.parallel import Interrupted
from nagoya.utils.progress import Progress

USAGE = 64
"""Exit status of a call that is wrong in itself, as in sysexits.h; 2 is a fault of ours."""


@dataclass
class Settings:
    """The shared options, and what follows from them once somebody asks."""

    config: Path | None = None
    system: str = field(default_factory=lambda: os.environ.get("NAGOYA_SYSTEM") or "koji")
    quiet: bool = False
    verbose: bool = False

    @cached_property
    def declaration(self) -> Declaration:
        return loader.read(loader.locate(self.config))

    @cached_property
    def engine(self) -> Engine:
        return connect()

    def progress(self) -> Progress:
        return Progress(quiet=self.quiet, verbose=self.verbose)


def shared(name: str, *flags: str, **attributes: Any) -> Callable[[Any], Any]:
    """An option that may stand before or after the name of a command."""

    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        settings = context.ensure_object(Settings)
        if value not in (None, False):
            setattr(settings, name, value)

    return click.option(*flags, expose_value=False, callback=keep, **attributes)


config_option = shared(
    "config", "-c", "--config", metavar="FILE", type=click.Path(path_type=Path),
    help="The declaration to use, a file or nagoya-demo.  "
    "[default: moromi.yml here, else the project's own]",
)  # fmt: skip
quiet_option = shared("quiet", "-q", "--quiet", is_flag=True, help="Show no progress.")
verbose_option = shared(
    "verbose", "-v", "--verbose", is_flag=True, help="Show what the work itself prints."
)
system_option = shared(
    "system", "--system", metavar="NAME",
    help="Which of the systems that live side by side.  [default: $NAGOYA_SYSTEM, else koji]",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
timeout_option = click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(min=0), default=180.0,
    show_default=True, help="When to give up.",
)  # fmt: skip


def command(function: Callable[..., None]) -> click.Command:
    """A command of toji's, named as its function; the shared options may stand behind it too."""
    for option in (config_option, system_option, quiet_option):
        function = option(function)
    return click.command(function.__name__.strip("_"))(click.pass_obj(function))


def on_system(settings: Settings, verb: Callable[[System], None]) -> None:
    """Do something with the system that the options name, and show the progress."""
    with settings.progress() as progress, resumable(settings.system), hub_errors():
        verb(System(settings.engine, settings.declaration, settings.system, progress))


def age(since: datetime) -> str:
    """How long ago a moment is, in the largest unit that is there at least twice."""
    seconds = (datetime.now(UTC) - since).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def print_table(table: Table) -> None:
    """Print a table on stdout; a program that reads it from a pipe wants no line cut."""
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@contextmanager
def resumable(system: str) -> Iterator[None]:
    """Turn a Ctrl-C in the middle of a system's work into what to do about what is half there."""
    try:
        yield
    except Interrupted as interrupted:
        raise LifecycleError(
            f"interrupted; what was under way: {', '.join(interrupted.running) or 'nothing'}",
            f"go on with the same command, or `toji remove --system {system}`",
            exit_code=INTERRUPTED,
        ) from None


def run(program: str, group: click.Group) -> None:
    """Run a command line to its end; errors become a message and an exit status."""
    with reported(program):
        try:
            status = group.main(prog_name=program, standalone_mode=False)
        except click.ClickException as error:
            error.show()
            sys.exit(USAGE)
        except click.Abort:
            raise KeyboardInterrupt from None
        sys.exit(status if isinstance(status, int) else 0)
