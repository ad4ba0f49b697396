"""Copying files into containers, out of them, and from one to another; none has to run."""

import io
import re
import tarfile
from collections.abc import Iterator
from itertools import chain
from pathlib import PurePosixPath

import docker.errors

from nagoya.engine.client import Handle
from nagoya.engine.exec import ExecSession
from nagoya.engine.translation import translated
from nagoya.errors import EngineError
from nagoya.utils.tar import packed, unpacked

_UNCHANGED = re.compile(r"(tar: .*: (file changed as we read it|socket ignored)\n?)+")
"""What tar complains of when a file gets or loses another hard link."""


def write_files(container: Handle, folder: str, archive: bytes | Iterator[bytes]) -> None:
    """Unpack a tar archive, maybe in chunks, in a folder of a container."""
    with translated(f"copying to {folder} in {container.name}"):
        container.docker.put_archive(folder, archive)


def read_chunks(container: Handle, path: str) -> Iterator[bytes]:
    """A file or folder of a container as a tar archive, whose first member is named like it."""
    with translated(f"copying {path} out of {container.name}"):
        yield from _get_archive(container, path)


def read_chunks_unlocked(container: Handle, path: str, seconds: float) -> Iterator[bytes]:
    """The same out of a running container that has tar; EngineTimeout after `seconds`.

    Until the engine's own archive is read to its end, Docker locks the container: it neither
    inspects it, nor checks its health, nor stops it. The contents of the files must not change
    meanwhile; their other hard links may.
    """
    where = PurePosixPath(path)
    command = ["tar", "--create", "--format=posix", "--numeric-owner"]
    command += [f"--directory={where.parent}", "--", where.name]
    with ExecSession(
        container, command, seconds=seconds, environment={"LC_ALL": "C"}, stdin=False
    ) as session:
        yield from session.stream(_UNCHANGED)


def read_file(container: Handle, path: str) -> bytes:
    """The content of a file in a container."""
    for content in _contents(b"".join(read_chunks(container, path)), container, path).values():
        return content
    raise EngineError(f"{path} in {container.name} is not a file")


def read_folder(container: Handle, path: str) -> dict[str, bytes]:
    """The contents of the files below a folder of a container, by their paths in it; nothing if
    there is no such folder."""
    with translated(f"copying {path} out of {container.name}"):
        try:
            chunks = _get_archive(container, path)
        except docker.errors.NotFound:
            return {}
        data = b"".join(chunks)
    contents = _contents(data, container, path)
    return {name.partition("/")[2]: content for name, content in contents.items()}


def _get_archive(container: Handle, path: str) -> Iterator[bytes]:
    """The engine's archive of a path, whose first member is named like it."""
    chunks, _ = container.docker.get_archive(path)
    head = next(chunks, b"")
    chunks = chain([head], chunks)
    name = PurePosixPath(path).name
    # Podman names a volume "/", and what is in it "/NAME", where the container does not run. Every
    # engine does that with the root folder.
    return packed(unpacked(chunks), name) if name and head[:1] == b"/" else chunks


def _contents(data: bytes, container: Handle, path: str) -> dict[str, bytes]:
    """The contents of the regular files in the engine's answer, a tar archive, by their names."""
    contents = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                if member.isfile() and (file := archive.extractfile(member)):
                    contents[member.name] = file.read()
    except tarfile.TarError as error:
        raise EngineError(
            f"copying {path} out of {container.name}: the engine's answer was cut off ({error})"
        ) from error
    return contents


def copy_path(source: Handle, target: Handle, path: str, *, missing_ok: bool = False) -> None:
    """Replace a path in a container by the same path of another one, with owners and modes.

    With `missing_ok`, nothing is done if the source has no such path. Memory use does not depend on
    the size of the data.
    """
    name = PurePosixPath(path).name
    folder = str(PurePosixPath(path).parent)
    with translated(f"copying {path} from {source.name} to {target.name}"):
        # The engine merges a folder into a folder, but an empty file replaces a folder.
        empty_file = tarfile.TarInfo(name).tobuf()
        try:
            chunks = _get_archive(source, path)
        except docker.errors.NotFound:
            if missing_ok:
                return
            raise
        target.docker.put_archive(folder, empty_file + bytes(2 * tarfile.BLOCKSIZE))
        if not target.docker.put_archive(folder, chunks):
            raise EngineError(f"{path} was not copied to {target.name}")
