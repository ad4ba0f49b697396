"""Named volumes, and the copying of a path from one container to another."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath

import docker.errors

from nagoya.engine.client import Engine, Handle
from nagoya.engine.containers import SYSTEM_LABEL
from nagoya.engine.translation import translated
from nagoya.errors import EngineError


def list_volumes(engine: Engine, system: str) -> frozenset[str]:
    """The names of a system's labelled volumes."""
    with translated(f"listing the volumes of {system}"):
        found = engine.client.volumes.list(filters={"label": f"{SYSTEM_LABEL}={system}"})
    return frozenset(str(volume.name) for volume in found)


def create_volume(engine: Engine, system: str, name: str, labels: Mapping[str, str]) -> None:
    """Create a system's volume unless it exists. EngineError where it is not the system's."""
    with translated(f"creating the volume {name}"):
        # The engine returns an existing volume of that name as it is.
        volume = engine.client.volumes.create(name, labels={SYSTEM_LABEL: system, **labels})
    if (volume.attrs["Labels"] or {}).get(SYSTEM_LABEL) != system:
        raise EngineError(
            f"a volume named '{name}' already exists and does not belong to the system '{system}'",
            "choose another --system, or rename or remove the volume",
        )


def remove_volume(engine: Engine, name: str) -> None:
    """Remove a volume; one that is gone already is no error."""
    with translated(f"removing the volume {name}"):
        try:
            engine.client.volumes.get(name).remove()
        except docker.errors.NotFound:
            return


def copy_path(source: Handle, target: Handle, path: str) -> None:
    """Replace a path in a container by what another one has there, with owners and modes.

    Neither has to run. Memory does not grow with the size of the data.
    """
    name = PurePosixPath(path).name
    folder = str(PurePosixPath(path).parent)
    with translated(f"copying {path} from {source.name} to {target.name}"):
        # The engine merges a folder into a folder, but a file takes a whole folder's place.
        emptied = io.BytesIO()
        with tarfile.open(fileobj=emptied, mode="w") as archive:
            archive.addfile(tarfile.TarInfo(name))
        chunks, _ = source.docker.get_archive(path)
        target.docker.put_archive(folder, emptied.getvalue())
        if not target.docker.put_archive(folder, chunks):
            raise EngineError(f"{path} was not copied to {target.name}")
