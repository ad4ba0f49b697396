"""Restore a system from the archive of a backup."""

import json
import secrets
from pathlib import PurePosixPath

from nagoya.engine import Handle, containers, transfer
from nagoya.engine.helper import run_helper
from nagoya.errors import LifecycleError
from nagoya.system.archive import Reader
from nagoya.system.backup import BACKUP_LABEL
from nagoya.system.replacement import new_container, recover, replace_state, swap
from nagoya.system.snapshot_agent import SNAPSHOT_LABEL
from nagoya.system.system import System
from nagoya.utils.tar import Members, packed

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
        observed = system.observe()
        if observed.exists and not replace:
            raise LifecycleError(
                f"the system '{system.name}' already exists",
                "choose another name with --system, or replace all its data with --replace",
            )
        for name, declared in system.declaration.containers.items():
            image = observed.images.get(declared.image)
            if image and image.data and name not in archive.manifest.parts:
                raise LifecycleError(
                    f"the backup has no data of {name}, so the system would be empty",
                    "it was made while that container was missing; restore an earlier backup",
                )
        wanted = archive.manifest.containers
        replace_state(system, wanted, lambda: _fill(system, archive), lambda: None, seconds)


def _fill(system: System, archive: Reader) -> None:
    for declared, versions in archive.manifest.versions.items():
        check_versions(system, declared, versions)
    for part, members in archive.parts():
        put_part(system, part, members)


def put_part(system: System, declared: str, members: Members) -> None:
    """Put a part into the new container, or beside the content of the volume."""
    settings = system.declaration.containers.get(declared)
    if settings is None:
        raise LifecycleError(
            f"{system.declaration.path} declares no container '{declared}', which has a part in "
            "the backup",
            "name the moromi.yml of the saved system with -c",
        )
    system.progress.update(declared, "working", "restoring")
    if settings.run_once:
        swap(system, declared, "prepare")
        handle = containers.get(system.engine, f"{system.name}-{declared}")
        (volume,) = containers.volume_paths(handle)
        folder, root = f"{volume}/.snapshots", "+incoming"
    else:
        handle = new_container(system, declared)
        target = PurePosixPath(containers.label(handle, BACKUP_LABEL) or "/")
        folder, root = str(target.parent), target.name
    transfer.write_files(handle, folder, packed(members, root))
    system.progress.update(declared, "done", "restored")


def check_versions(system: System, declared: str, saved: dict[str, str]) -> None:
    """Raise LifecycleError if data of these versions needs a newer image."""
    if newer := newer_versions(saved, image_versions(system, new_container(system, declared))):
        raise LifecycleError(
            f"the data is newer than the images: {', '.join(newer)}",
            "build the images from a Koji and a Debian that are at least as new",
        )


def image_versions(system: System, container: Handle, image: str | None = None) -> dict[str, str]:
    """The versions that a container's image declares, or another `image` for the same container.

    Raises LifecycleError if it declares none.
    """
    command = json.loads(containers.label(container, SNAPSHOT_LABEL) or "[]")
    status, output = run_helper(
        container,
        f"{system.name}-describe-{secrets.token_hex(4)}",
        [*command, "describe"],
        system.owner.container_labels(system.name),
        image=image,
    )
    if status:
        raise LifecycleError(
            f"the image of {container.name} takes no part in backups: {output.strip()}",
            "it is of an older Nagoya: `moromi build`",
        )
    return dict(json.loads(output.splitlines()[-1]))


def newer_versions(saved: dict[str, str], present: dict[str, str]) -> list[str]:
    """A phrase for each version of a backup that is newer than the image's."""

    def number(text: str) -> list[int]:
        return [int(part) for part in text.split(".")]

    return [
        f"{name} {version}, and the image has {present.get(name, 'none')}"
        for name, version in saved.items()
        if name not in present or number(version) > number(present[name])
    ]
