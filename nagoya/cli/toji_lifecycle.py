"""What toji does with a system as a whole: made, started, waited for, scaled, stopped, removed."""

import re
from dataclasses import replace

import click

from nagoya.cli.common import Settings, command, on_system, seconds, timeout_option
from nagoya.system import listing, snapshots
from nagoya.system.system import System


@command
def init(settings: Settings) -> None:
    """Make and start what is declared; what runs already is left alone.

    It returns once everything is started, which is before everything is ready: see `toji wait`.

    \b
      toji init
      toji init --system second
    """
    on_system(settings, System.init)


@command
def start(settings: Settings) -> None:
    """Start a system that was stopped; its data is as it was.

    \b
      toji start
    """
    on_system(settings, System.start)


@command
def stop(settings: Settings) -> None:
    """Stop a system and keep its data. Builders end first, the database last.

    \b
      toji stop
    """
    on_system(settings, System.stop)


@click.option(
    "--stale", is_flag=True, help="Remove each that was made for a process which has ended."
)
@command
def remove(settings: Settings, stale: bool) -> None:
    """Remove a system with all its data: containers, volumes, network, profile.

    \b
      toji remove
      toji remove --system second
      toji remove --stale
    """
    if not stale:
        on_system(settings, System.remove)
        return
    for entry in listing.entries(settings.engine):
        if entry.stale:
            on_system(replace(settings, system=entry.name), System.remove)
            print(f"removed {entry.name}")


@click.argument("wanted", nargs=-1, required=True, metavar="NAME=N...")
@click.option(
    "--drain-timeout", metavar="SECONDS", type=seconds, default=600,
    show_default=True, help="How long one that goes may take to end its work.",
)  # fmt: skip
@command
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

    on_system(settings, verb)


@timeout_option
@command
def wait(settings: Settings, timeout: float) -> None:
    """Wait until every container is ready, by its own health check.

    Ends with status 8 and the reason, with the last log lines of who is at fault, if one ended or
    time ran out.

    \b
      toji wait
      toji wait --timeout 600
    """
    on_system(settings, lambda system: snapshots.wait_and_snapshot(system, timeout))
