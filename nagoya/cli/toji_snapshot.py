"""The commands of toji that save and restore the state of a system."""

from dataclasses import asdict

import click

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
)
from nagoya.cli.completion import complete_snapshot
from nagoya.system import snapshots
from nagoya.system.snapshot_operation import Snapshot

_name_argument = click.argument("name", shell_complete=complete_snapshot)


@click.group()
def snapshot() -> None:
    """Save the state of a system, and restore it.

    The state is the database, the top directory and the hub's configuration. `toji remove` deletes
    a system's snapshots with it. The snapshot `pristine` is made when a
    system is ready for the first time.

    \b
      toji snapshot create seeded
      toji snapshot list
      toji snapshot restore seeded
      toji snapshot delete seeded
    """


@click.argument("name")
@duration_option(snapshots.CREATE_SECONDS)
@command
def create(settings: Settings, name: str, timeout: float) -> None:
    """Save the state as NAME while the system runs.

    Calls to the hub wait meanwhile, so that nothing in the snapshot is half written.

    \b
      toji snapshot create seeded
    """
    on_system(settings, lambda system: snapshots.create_snapshot(system, name, timeout))


@_name_argument
@duration_option(snapshots.RESET_SECONDS)
@command
def restore(settings: Settings, name: str, timeout: float) -> None:
    """Return to the snapshot NAME, as `toji reset NAME` does.

    \b
      toji snapshot restore seeded
    """
    on_system(settings, lambda system: snapshots.restore_snapshot(system, name, timeout))


@json_option
@command
def list_(settings: Settings, as_json: bool) -> None:
    """List the snapshots, the oldest first.

    \b
      toji snapshot list
      toji snapshot list --json
    """
    present: list[Snapshot] = []
    on_system(settings, lambda system: present.extend(snapshots.list_snapshots(system)))
    if as_json:
        print_json(system=settings.system, snapshots=list(map(asdict, present)))
        return
    table = new_table("snapshot", "age", "size")
    for each in present:
        table.add_row(each.name, age(each.created), f"{each.bytes / 1e6:.0f} MB")
    print_table(table)


@_name_argument
@command
def delete(settings: Settings, name: str) -> None:
    """Delete the snapshot NAME.

    \b
      toji snapshot delete seeded
    """
    on_system(settings, lambda system: snapshots.delete_snapshot(system, name))


for _command in (create, restore, list_, delete):
    snapshot.add_command(_command)


@click.argument("name", default=snapshots.PRISTINE, shell_complete=complete_snapshot)
@duration_option(snapshots.RESET_SECONDS)
@command
def reset(settings: Settings, name: str, timeout: float) -> None:
    """Return to the snapshot NAME, or to the first ready state.

    Discards every later change and kills running tasks; a task that was running when the snapshot
    was made starts again. URL, profile and credentials stay valid, and so do the sessions of all
    users in the snapshot. Builders unknown to the snapshot register again.

    \b
      toji reset
      toji reset seeded
    """
    on_system(settings, lambda system: snapshots.restore_snapshot(system, name, timeout))
