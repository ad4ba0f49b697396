"""The commands of toji that move a system with its data: backup, restore, upgrade."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from nagoya.cli.common import Settings, command, duration_option, on_system
from nagoya.cli.output import is_private, writing
from nagoya.errors import LifecycleError, UsageError
from nagoya.koji.verify import verify_builds
from nagoya.system import backup as backups
from nagoya.system.archive import Reader, Show
from nagoya.system.restore import RESTORE_SECONDS
from nagoya.system.restore import restore as restore_system
from nagoya.system.system import System
from nagoya.system.upgrade import upgrade as upgrade_system

_STEP = 256 << 20
_file = click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))


@click.option(
    "--without-credentials", is_flag=True,
    help="Leave out keys and certificates; a system restored from the file makes its own.",
)  # fmt: skip
@_file
@command
def backup(settings: Settings, file: Path, without_credentials: bool) -> None:
    """Write all data of a running system to FILE; `-` is stdout.

    FILE is a tar archive that `toji restore` reads, here or on another machine. It holds the keys
    of the system, so that only its owner can read it. Snapshots are left out.

    \b
      toji backup koji.tar
      toji backup - | age -r RECIPIENT >koji.tar.age
    """

    on_system(settings, lambda system: _back_up(system, file, credentials=not without_credentials))


def _back_up(system: System, file: Path, *, credentials: bool = True) -> None:
    show = _progress(system, _name(file, "stdout"))
    with writing(file, "backup", "toji backup FILE", private=credentials) as stream:
        backups.back_up(system, stream, credentials=credentials, show=show)


@click.option("--replace", is_flag=True, help="Replace all data of a system that exists.")
@duration_option(RESTORE_SECONDS)
@_file
@command
def restore(settings: Settings, file: Path, replace: bool, timeout: float) -> None:
    """Create a system from the backup in FILE; `-` is stdin.

    The system gets the containers, users, builders and certificates that were saved, and this
    machine's ports. The images may be of a newer Koji and a newer PostgreSQL. An existing system
    is replaced only with --replace, once the whole file has been checked; if the restored system
    does not become ready, the old one is put back.

    \b
      toji --system second restore koji.tar
      toji restore --replace koji.tar
      age -d -i KEY koji.tar.age | toji restore -
    """

    def verb(system: System) -> None:
        name = _name(file, "stdin")
        with _reading(file) as stream:
            archive = Reader(stream, name, _progress(system, name))
            if archive.manifest.credentials and not is_private(stream):
                raise LifecycleError(
                    f"{name} holds keys, and others can read it",
                    f"chmod 600 {'FILE' if str(file) == '-' else file}",
                )
            restore_system(system, archive, replace=replace, seconds=timeout)

    on_system(settings, verb)


@click.option(
    "--without-verify", is_flag=True,
    help="Build nothing in the trial, as for builders that cannot build the demo.",
)  # fmt: skip
@click.option("--no-backup", is_flag=True, help="Write no backup. This or --backup is required.")
@click.option(
    "--backup", "backup_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write a backup to FILE first, as `toji backup` does.",
)  # fmt: skip
@duration_option(RESTORE_SECONDS)
@command
def upgrade(
    settings: Settings,
    backup_file: Path | None,
    no_backup: bool,
    without_verify: bool,
    timeout: float,
) -> None:
    """Move a running system to the current images, with all data.

    They may be of a newer Koji and a newer PostgreSQL. After the backup, clients cannot reach the
    hub any more. In a trial, the new containers run on a copy of the data, and build what
    `toji verify` builds; then the data is converted for good, and the new containers take over. If
    anything fails, the old containers are put back with their data. Snapshots are deleted.

    \b
      moromi build
      toji upgrade --backup koji.tar
    """
    if (backup_file is None) != no_backup:
        raise UsageError(
            "either --backup FILE or --no-backup is needed",
            "a successful upgrade deletes the old containers, and the backup is then the only way "
            "back to the old images",
        )

    def verb(system: System) -> None:
        if backup_file:
            _back_up(system, backup_file)
        upgrade_system(system, (lambda trial: None) if without_verify else verify_builds, timeout)

    on_system(settings, verb)


def _name(file: Path, stream: str) -> str:
    """What messages call a file."""
    return stream if str(file) == "-" else str(file)


def _progress(system: System, name: str) -> Show:
    """Show how much of an archive is done."""
    shown = 0

    def show(size: int) -> None:
        nonlocal shown
        if size - shown >= _STEP:
            shown = size
            system.progress.update(name, "working", f"{size / 1e6:.0f} MB")

    return show


@contextmanager
def _reading(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        if sys.stdin is None:
            raise UsageError("stdin is closed", "toji restore FILE")
        yield sys.stdin.buffer
    else:
        with file.open("rb") as stream:
            yield stream
