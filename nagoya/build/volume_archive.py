"""Pack the contents of volumes for an image that holds them at the same paths."""

import io
import json
import tarfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, cast

from nagoya.utils.tar import ChunkFile

EMBEDDED_LABEL = "nagoya.private.embedded"
"""On an image that holds secrets: their paths, as a JSON list."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class VolumeSelection:
    """The volumes to persist, the paths in them to leave out, and the secrets in the rest."""

    paths: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    embedded: tuple[str, ...] = ()

    def dockerfile(self, image: str) -> str:
        """A Dockerfile that adds the packed volumes to an image, and a label that names secrets."""
        lines = [f"FROM {image}", "ADD volumes.tar /"]
        if self.embedded:
            lines.append(f"LABEL {EMBEDDED_LABEL}='{json.dumps(self.embedded)}'")
        return "\n".join([*lines, ""])


def select_volumes(
    volumes: Iterable[str], secrets: Sequence[str], *, keep_secrets: bool
) -> VolumeSelection:
    """Select the volumes to persist; a volume inside another one is persisted with that one."""
    volumes = sorted(volumes)
    paths = [path for path in volumes if not any(_within(path, other) for other in volumes)]
    if keep_secrets:
        embedded = [s for s in secrets if any(_covers(p, s) or _covers(s, p) for p in paths)]
        return VolumeSelection(tuple(paths), embedded=tuple(embedded))
    selection = [path for path in paths if not any(_covers(secret, path) for secret in secrets)]
    left_out = [secret for secret in secrets if any(_covers(path, secret) for path in selection)]
    return VolumeSelection(tuple(selection), tuple(left_out))


def _within(path: str, folder: str) -> bool:
    return PurePosixPath(folder) in PurePosixPath(path).parents


def _covers(folder: str, path: str) -> bool:
    return PurePosixPath(path) == PurePosixPath(folder) or _within(path, folder)


def repack(
    chunks: Iterator[bytes], path: str, left_out: Collection[str], output: tarfile.TarFile
) -> None:
    """Add the engine's archive of the folder `path` to an archive for ADD in a Dockerfile.

    Replaces what the image has at that path. Raises tarfile.TarError for a truncated archive.
    """
    parent = PurePosixPath(path).parent
    # ADD merges a folder into a folder, but a file replaces a folder.
    output.addfile(tarfile.TarInfo(path.strip("/")))
    attributes: dict[str, dict[str, str]] = {}
    dropped: set[str] = set()
    with tarfile.open(fileobj=cast(IO[bytes], ChunkFile(chunks)), mode="r|") as packed:
        for member in packed:
            name = str(parent / member.name)
            target = str(parent / member.linkname) if member.islnk() else None
            # A hard link to a secret is a secret.
            if target in dropped or any(_covers(secret, name) for secret in left_out):
                dropped.add(name)
                continue
            own = {key: text for key, text in member.pax_headers.items() if "xattr" in key}
            if target:
                member.linkname = target.strip("/")
                # The engine sets the owner of each link, which drops the file's capabilities.
                own = attributes.get(target, {})
            attributes[name] = own
            member.name, member.pax_headers = name.strip("/"), own
            output.addfile(member, packed.extractfile(member) if member.isreg() else None)


def build_context(dockerfile: str, volumes: IO[bytes]) -> Iterator[bytes]:
    """A build context of a Dockerfile and volumes.tar, as a tar stream in chunks."""
    for name, file in (("Dockerfile", io.BytesIO(dockerfile.encode())), ("volumes.tar", volumes)):
        member = tarfile.TarInfo(name)
        member.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        yield member.tobuf(tarfile.PAX_FORMAT)
        while chunk := file.read(_CHUNK):
            yield chunk
        yield bytes(-member.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
