"""Tar archives as streams, of which neither memory nor disk holds more than a chunk."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath
from typing import IO, cast

from nagoya.errors import EngineError

_CHUNK = 1 << 20
_LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_MAX_HEADERS = 8
Members = Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]
"""Members of an archive, each with its content, to be read in this order."""


class StrictMember(tarfile.TarInfo):
    """A member whose headers take little memory and time, whatever they claim."""

    def _proc_member(self, archive: "StrictTar") -> tarfile.TarInfo:
        extended = self.type in (tarfile.XHDTYPE, *_LONG)
        archive.headers = archive.headers + 1 if extended else 0
        if extended and (self.size > _CHUNK or archive.headers > _MAX_HEADERS):
            raise tarfile.ReadError("the headers of a member are too large")
        if self.type in (tarfile.GNUTYPE_SPARSE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
            raise tarfile.ReadError(f"a member has the type {self.type!r}")
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]

    def _no_sparse(self, *_: object) -> None:
        raise tarfile.ReadError("a file is sparse")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _no_sparse


class StrictTar(tarfile.TarFile):
    """An archive by anybody. tarfile keeps extended headers in memory, and a chain of them on the
    stack; a sparse file of a few bytes may unpack to any size."""

    tarinfo = StrictMember
    headers = 0
    """How many extended headers there were since the last member."""


class ChunkFile:
    """A file whose content is an iterator of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = bytearray()
        self._tail = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._rest += chunk
            self._tail = (self._tail + chunk[-tarfile.BLOCKSIZE :])[-tarfile.BLOCKSIZE :]
        data = bytes(self._rest[:size])
        del self._rest[:size]
        return data

    def finish(self) -> None:
        """Read the rest. Raises tarfile.ReadError unless it ends as an archive does: tarfile takes
        one that is cut off between two members for whole."""
        while self.read(_CHUNK):
            pass
        if self._tail != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its end is missing")


@contextmanager
def opened(chunks: Iterator[bytes]) -> Iterator[tarfile.TarFile]:
    """An archive of the engine's, to be read to its end. Raises EngineError if it is not whole."""
    file = ChunkFile(chunks)
    try:
        with tarfile.open(fileobj=cast(IO[bytes], file), mode="r|", bufsize=_CHUNK) as archive:
            yield archive
        file.finish()
    except tarfile.TarError as error:
        raise EngineError(f"the engine's archive was cut off: {error}") from error


def unpacked(chunks: Iterator[bytes]) -> Members:
    """The members of an archive of the engine's."""
    with opened(chunks) as archive:
        for member in members(archive):
            content = archive.extractfile(member) if member.isreg() else None
            yield member, iter(partial(content.read, _CHUNK), b"") if content else iter(())


def packed(members: Members, root: str) -> Iterator[bytes]:
    """Members as a tar archive in chunks, for the engine; their first folder is called `root`, or
    left out if that is empty."""
    for member, content in members:
        rename(member, root)
        if member.name:
            yield member.tobuf(tarfile.PAX_FORMAT)
        yield from content
        yield bytes(-member.size % tarfile.BLOCKSIZE if member.isreg() else 0)
    yield bytes(2 * tarfile.BLOCKSIZE)


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of an archive, which keeps none of them in memory."""
    while member := archive.next():
        forget(archive)
        yield member


def forget(archive: tarfile.TarFile) -> None:
    """Free the memory of the members so far, which tarfile keeps for random access."""
    archive.members = []  # type: ignore[attr-defined]


def rename(member: tarfile.TarInfo, root: str) -> None:
    """Give the first folder of a member's name another name."""
    for attribute in ("name", "linkname") if member.islnk() else ("name",):
        rest = PurePosixPath(getattr(member, attribute)).parts[1:]
        setattr(member, attribute, str(PurePosixPath(root, *rest)) if root or rest else "")
    # The extended headers of a name that was long would win.
    headers = ("path", "linkpath") if member.islnk() else ("path",)
    member.pax_headers = {k: v for k, v in member.pax_headers.items() if k not in headers}
