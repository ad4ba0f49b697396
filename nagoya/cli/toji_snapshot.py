"""What toji does with the states of a system: kept, gone back to, listed, dropped."""

import json

import click
from rich.table import Table

from nagoya.cli.common import (
    Settings,
    age,
    command,
    json_option,
    on_system,
    print_table,
    timeout_option,
)
from nagoya.system import snapshots


@click.argument("name")
@command
def snapshot(settings: Settings, name: str) -> None:
    """Keep the state of a system as NAME, to go back to it with `toji reset NAME`.

    The state is the database, the top directory and the hub's configuration. Calls of the hub wait
    meanwhile, so that nothing is half written in it. It goes with the system: `toji remove`
    removes both. The state after the first `toji wait` is kept without asking, as `pristine`.

    \b
      toji snapshot seeded
    """
    on_system(settings, lambda system: snapshots.save(system, name))


@click.argument("name", default=snapshots.PRISTINE)
@timeout_option
@command
def reset(settings: Settings, name: str, timeout: float) -> None:
    """Go back to the state after the first wait, or to a snapshot called NAME.

    What was done since is lost, and tasks that are at work end. URL, profile and credentials stay,
    and so do the sessions of all users whom the state knows; builders that it does not know are
    registered again. A task that was at work when the snapshot was made begins anew.

    \b
      toji reset
      toji reset seeded
    """
    on_system(settings, lambda system: snapshots.reset(system, name, timeout))


@json_option
@command
def snapshots_(settings: Settings, as_json: bool) -> None:
    """List the states that are kept of a system, the oldest first.

    \b
      toji snapshots
      toji snapshots --json
    """
    kept: list[snapshots.Snapshot] = []
    on_system(settings, lambda system: kept.extend(snapshots.kept(system)))
    if as_json:
        rows = [
            {
                "name": one.name,
                "created": one.created.isoformat(timespec="seconds"),
                "bytes": one.bytes,
            }
            for one in kept
        ]
        print(json.dumps(rows, indent=2))
        return
    table = Table("snapshot", "age", "size", box=None)
    for one in kept:
        table.add_row(one.name, age(one.created), f"{one.bytes / 1e6:.0f} MB")
    print_table(table)


@click.argument("name")
@command
def drop(settings: Settings, name: str) -> None:
    """Keep the state NAME no longer.

    \b
      toji drop seeded
    """
    on_system(settings, lambda system: snapshots.drop(system, name))
