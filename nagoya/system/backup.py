"""Write the state of a running system to an archive.

Labels of the images say where their state belongs, and their snapshot programs (see
util/snapshot.py) keep it unchanged until it is written.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO

from nagoya import __version__
from nagoya.engine import Handle, containers, transfer
from nagoya.engine.state import CONTAINER_LABEL
from nagoya.errors import LifecycleError
from nagoya.system.archive import Manifest, Show, Writer
from nagoya.system.snapshot_operation import CLEANUP_SECONDS, SnapshotOperation
from nagoya.system.snapshots import check_parts, operation_on
from nagoya.system.system import System, require_system

BACKUP_LABEL = "nagoya.backup"
"""On an image: the path in its containers that is a part of a backup."""
PRIVATE_LABEL = "nagoya.private"
"""On an image: the paths in its volumes that hold secrets, as a JSON list."""
_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Part:
    """A folder in a container, which belongs to a declared one."""

    declared: str
    source: Handle
    path: str

    def chunks(self) -> Iterator[bytes]:
        """A tar archive of the folder, which may be read slowly."""
        if containers.state(self.source).running:
            return transfer.read_chunks_unlocked(self.source, self.path, _SECONDS)
        return transfer.read_chunks(self.source, self.path)


def back_up(
    system: System, stream: IO[bytes], *, credentials: bool = True, show: Show = lambda size: None
) -> None:
    """Write a running system's state to a stream. Raises LifecycleError, and OSError."""
    with system.lock(), operation_on(system, time.monotonic() + _SECONDS) as operation:
        check_parts(system, lambda labels: BACKUP_LABEL in labels)
        if not operation.agents_with("cut"):
            raise LifecycleError(
                f"the images of '{system.name}' cannot make backups",
                f"they are too old: `moromi build`, then `toji --system {system.name} up`",
            )
        try:
            with operation.writes_locked(operation.agents_with("hold")):
                operation.ask("cut")
            _write(system, operation, stream, credentials, show)
        finally:
            operation.ask("discard", seconds=CLEANUP_SECONDS)


def prepare_parts(
    system: System, operation: SnapshotOperation, *, credentials: bool = True
) -> list[Part]:
    """Complete what `cut` began; the parts of a system, to be read until `discard`."""
    present = require_system(system.engine, system.name)
    prepared = {
        target: (name, source)
        for name, answer in operation.ask("dump").items()
        for target, source in answer.items()
    }
    labels = {name: containers.labels(handle) for name, handle in present.items()}
    return [
        Part(labels[name][CONTAINER_LABEL], present[source], path)
        for name, (source, path) in select_parts(labels, prepared, credentials=credentials).items()
    ]


def _write(
    system: System,
    operation: SnapshotOperation,
    stream: IO[bytes],
    credentials: bool,
    show: Show,
) -> None:
    parts = prepare_parts(system, operation, credentials=credentials)
    declared = {name: state.declared for name, state in system.observe().containers.items()}
    manifest = Manifest(
        system=system.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        nagoya=__version__,
        containers=declared,
        versions={declared[name]: version for name, version in operation.ask("describe").items()},
        parts=[part.declared for part in parts],
        credentials=credentials,
    )
    archive = Writer(stream, manifest, show)
    for part in parts:
        archive.add(part.declared, part.chunks())
    archive.finish()


def select_parts(
    labels: Mapping[str, Mapping[str, str]],
    prepared: Mapping[str, tuple[str, str]],
    *,
    credentials: bool,
) -> dict[str, tuple[str, str]]:
    """Where the part of each container is: a container and a path in it.

    `labels` are those of the containers. `prepared` maps a label's path to the place where a
    snapshot program has put its content; any other path is read as it is.
    """
    return {
        name: prepared.get(own[BACKUP_LABEL], (name, own[BACKUP_LABEL]))
        for name, own in sorted(labels.items())
        if BACKUP_LABEL in own and (credentials or not has_secrets(own))
    }


def has_secrets(labels: Mapping[str, str]) -> bool:
    """Whether the volume of a container with these labels holds keys."""
    return bool(json.loads(labels.get(PRIVATE_LABEL, "[]")))
