"""Restore a system from the archive of a backup."""

import json
import secrets
from pathlib import PurePosixPath

from nagoya.engine import containers, transfer
from nagoya.engine.helper import run_helper
from nagoya.engine.state import CONTAINER_LABEL, SYSTEM_LABEL
from nagoya.errors import LifecycleError
from nagoya.system.archive import Reader, packed
from nagoya.system.backup import BACKUP_LABEL
from nagoya.system.replacement import SWAP_LABEL, new_container, recover, replace_state, swap
from nagoya.system.snapshot_agent import SNAPSHOT_LABEL
from nagoya.system.system import System

RESTORE_SECONDS = 600.0
"""How long a restored system may take to become ready."""


def restore(
    system: System, archive: Reader, *, replace: bool = False, seconds: float = RESTORE_SECONDS
) -> None:
    """Create a system from an archive, or put the archive in its place with `replace`.

    Raises LifecycleError, and NotReady after `seconds`; an existing system is as it was then.
    """
    recover(system)
    with system.lock():
        if system.observe().exists and not replace:
            raise LifecycleError(
                f"there is a system called '{system.name}' already",
                "choose another name with --system, or say --replace to replace all its data",
            )
        wanted = archive.manifest.containers
        replace_state(system, wanted, lambda: _fill(system, archive), lambda: None, seconds)


def _fill(system: System, archive: Reader) -> None:
    """Put the parts into the new containers, and beside the content of the volumes."""
    for declared, versions in archive.manifest.versions.items():
        _check_versions(system, declared, versions)
    for part, members in archive.parts():
        settings = system.declaration.containers.get(part)
        if settings is None:
            raise LifecycleError(
                f"{system.declaration.path} declares no container '{part}', whose data the backup "
                "has",
                "name the moromi.yml of the saved system with -c",
            )
        system.progress.update(part, "working", "restoring")
        if settings.run_once:
            handle = containers.get(system.engine, f"{system.name}-{part}")
            if not containers.label(handle, SWAP_LABEL):
                raise LifecycleError(
                    f"{part} is of an image that cannot be restored",
                    f"`moromi build`, then `toji --system {system.name} up`",
                )
            swap(system, part, "prepare")
            (volume,) = containers.volume_paths(handle)
            folder, root = f"{volume}/.snapshots", "+incoming"
        else:
            handle = new_container(system, part)
            target = PurePosixPath(containers.label(handle, BACKUP_LABEL) or "/")
            folder, root = str(target.parent), target.name
        transfer.write_files(handle, folder, packed(members, root))
        system.progress.update(part, "done", "restored")


def _check_versions(system: System, declared: str, saved: dict[str, str]) -> None:
    """Raise LifecycleError if a backup needs a newer image."""
    handle = new_container(system, declared)
    status, output = run_helper(
        handle,
        f"{system.name}-describe-{secrets.token_hex(4)}",
        [*json.loads(containers.label(handle, SNAPSHOT_LABEL) or "[]"), "describe"],
        {SYSTEM_LABEL: system.name, CONTAINER_LABEL: "", **system.owner.labels},
    )
    if status:
        raise LifecycleError(f"the image of {declared} cannot restore backups: {output.strip()}")
    if newer := newer_versions(saved, json.loads(output.splitlines()[-1])):
        raise LifecycleError(
            f"the backup is newer than the images: {', '.join(newer)}",
            "build the images from a Koji and a Debian that are at least as new as the backup's",
        )


def newer_versions(saved: dict[str, str], present: dict[str, str]) -> list[str]:
    """A phrase for each version of a backup that is newer than the image's."""

    def number(text: str) -> list[int]:
        return [int(part) for part in text.split(".")]

    return [
        f"{name} {version}, and the image has {present.get(name, 'none')}"
        for name, version in saved.items()
        if name not in present or number(version) > number(present[name])
    ]
