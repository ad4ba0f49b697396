"""What a container's volumes hold, as the layer of an image.

GNU tar reads them, in a container beside it: the engine's own copy call tells of no extended
attribute. Nothing of this machine is mounted, so SELinux has nothing to refuse.
"""

import io
import posixpath
import tarfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import IO, Any

import docker.errors

from nagoya.engine.client import Handle
from nagoya.engine.containers import SYSTEM_LABEL, remove, wait_exit
from nagoya.engine.translation import translated
from nagoya.errors import EngineError

_PACKED = "/nagoya-volumes.tar"
_SECONDS = 3600
_ALL_BUT_EMPTY = ".wh..wh..opq"
"""In a layer's folder: it holds nothing of what the layers below have there."""


def own(container: Handle) -> list[str]:
    """The paths of a container's own volumes, less those that lie in another one."""
    paths = sorted(container.docker.attrs["Config"].get("Volumes") or {})
    return [path for path in paths if not any(within(path, other) for other in paths)]


def within(path: str, folder: str) -> bool:
    """Whether a path lies below a folder."""
    return PurePosixPath(folder) in PurePosixPath(path).parents


def pack(
    container: Handle,
    name: str,
    paths: Collection[str],
    *,
    left_out: Collection[str],
    labels: Mapping[str, str],
    output: IO[bytes],
) -> None:
    """Write the contents of a container's volumes at `paths`, but for what is `left_out`.

    Each is there with its parents, and hides what an image has at its place. A container called
    `name` reads them, made as that one was, with those labels; it is removed whatever happens.
    Raises EngineError where its image has no GNU tar.
    """
    program, *arguments = _tar(paths, left_out)
    with translated(f"reading the volumes of {container.name}"):
        helper = container.engine.client.containers.create(
            container.docker.attrs["Image"],
            arguments,
            entrypoint=[program],
            name=name,
            hostname=name.removeprefix(f"{labels[SYSTEM_LABEL]}-"),
            user="0:0",
            labels=dict(labels),
            network_mode="none",
            volumes_from=[f"{container.docker.id}:ro"],
            cap_add=["SYS_ADMIN"],  # which the kernel asks of who reads attributes called trusted.*
        )
        beside = Handle(container.engine, helper)
        try:
            _run(beside, container)
            chunks, _ = helper.get_archive(_PACKED)
            with (
                io.BufferedReader(_Stream(chunks)) as stream,
                tarfile.open(fileobj=stream, mode="r|") as outer,
                tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as made,
            ):
                packed = outer.next()
                assert packed
                with tarfile.open(fileobj=outer.extractfile(packed), mode="r|") as inner:
                    copy(inner, made, paths)
        finally:
            remove(beside)


def _run(beside: Handle, container: Handle) -> None:
    said = ""
    try:
        beside.docker.start()
        if wait_exit(beside, _SECONDS):
            said = bytes(beside.docker.logs()).decode(errors="replace").strip() or "tar failed"
    except docker.errors.APIError as error:
        if "executable file not found" not in str(error.explanation):
            raise
        said = "there is no tar"
    if said:
        raise EngineError(
            f"the volumes of {container.name} cannot be read: {said}",
            f"GNU tar does it; it has to be in {container.docker.attrs['Config']['Image']}",
        )


def _tar(paths: Collection[str], left_out: Collection[str]) -> list[str]:
    parents = {str(one): None for path in paths for one in [*PurePosixPath(path).parents][-2::-1]}
    return [
        "tar",
        "--create",
        f"--file={_PACKED}",
        "--format=posix",
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
        # The one is given by each machine's own policy, the other by the engine's file system.
        "--xattrs-exclude=security.selinux",
        "--xattrs-exclude=trusted.overlay.*",
        "--anchored",
        "--no-wildcards",
        *(f"--exclude={path.lstrip('/')}" for path in left_out),
        "--directory=/",
        "--no-recursion",
        *(path.lstrip("/") for path in parents),
        "--recursion",
        *(path.lstrip("/") for path in paths),
    ]


def copy(packed: tarfile.TarFile, made: tarfile.TarFile, paths: Collection[str]) -> None:
    """Copy an archive of folders at `paths` into one that hides what an image has there.

    Another name of a file is told with the file's attributes: the engine gives it its owner anew,
    and the kernel takes a file's capabilities away with that.
    """
    attributes: dict[str, dict[str, str]] = {}
    folders = {path.strip("/") for path in paths}
    for member in packed:
        mine = {key: text for key, text in member.pax_headers.items() if key.startswith("SCHILY.")}
        if member.islnk():
            member.pax_headers = {**member.pax_headers, **attributes.get(member.linkname, {})}
        elif mine:
            attributes[member.name] = mine
        made.addfile(member, packed.extractfile(member) if member.isreg() else None)
        if member.name in folders:
            made.addfile(tarfile.TarInfo(posixpath.join(member.name, _ALL_BUT_EMPTY)))


class _Stream(io.RawIOBase):
    """Chunks as a file, to be read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        self._left = self._left or next(self._chunks, b"")
        taken, self._left = self._left[: len(view)], self._left[len(view) :]
        view[: len(taken)] = taken
        return len(taken)
