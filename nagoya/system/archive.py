"""The file of a backup: a plain tar archive that any tar reads and sha256sum checks.

    manifest.json      what it is, first
    CONTAINER/…        the part of each container, as files
    SHA256SUMS         of each file above, last; in a comment that of all members' metadata

Both directions stream: memory and disk use do not depend on the size of the parts.
"""

import hashlib
import io
import json
import math
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import IO, Annotated, Any, cast

from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError

from nagoya.config.validation import describe_errors
from nagoya.config.values import ContainerName
from nagoya.errors import LifecycleError
from nagoya.utils.tar import Members, StrictTar, forget, members, opened, rename

FORMAT = 1
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"

_CHUNK = 1 << 20
_METADATA = "# metadata: "
_UNREADABLE = (tarfile.TarError, ValueError, OverflowError)
"""What tarfile and json raise."""
_WRONG_FILE = (
    "name a file that `toji backup` wrote; pipe an encrypted or compressed one through the program "
    "that decodes it into `toji restore -`"
)
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){0,9}$")]
Show = Callable[[int], None]
"""Gets the number of bytes so far."""


@dataclass(frozen=True)
class Manifest:
    """What an archive holds.

    `containers` maps host names to declared ones, `versions` maps declared ones to the versions
    of their images; `parts` are declared names. `created` is in ISO format.
    """

    system: str
    created: str
    nagoya: str
    containers: Annotated[dict[ContainerName, ContainerName], Field(max_length=5000)]
    versions: dict[str, dict[str, Version]]
    parts: list[str]
    credentials: bool


class _Digests:
    """The sums of an archive's files, and the digest of all its members' metadata."""

    def __init__(self) -> None:
        self.lines = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 - lives as long
        self._metadata = hashlib.sha256()

    def add(self, member: tarfile.TarInfo, name: str) -> "hashlib._Hash":
        """Add a member's metadata; the digest to update with its content."""
        mode = member.mode & 0o7777  # the engine's have the file type too
        values = (member.type, member.linkname, mode, member.uid, member.gid, member.size)
        self._metadata.update(repr((name, *values, int(member.mtime))).encode())
        return hashlib.sha256()

    def done(self, name: str, content: "hashlib._Hash") -> None:
        # sha256sum's own way to write a name with a line break.
        escape = "\\" if {"\\", "\n"} & set(name) else ""
        name = name.replace("\\", "\\\\").replace("\n", "\\n")
        line = f"{escape}{content.hexdigest()}  {name}\n"
        self.lines.write(line.encode(errors="surrogateescape"))

    def finish(self) -> IO[bytes]:
        """The file of sums, from its start."""
        self.lines.write(f"{_METADATA}{self._metadata.hexdigest()}\n".encode())
        self.lines.seek(0)
        return self.lines


class Writer:
    """Writes an archive to a binary stream."""

    def __init__(self, stream: IO[bytes], manifest: Manifest, show: Show = lambda size: None):
        output = cast(IO[bytes], _Output(stream, show))
        self._archive = tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._digests = _Digests()
        content = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=2).encode() + b"\n"
        member = tarfile.TarInfo(MANIFEST)
        member.size, member.mode, member.mtime = len(content), 0o600, time.time()
        self._add(member, io.BytesIO(content))

    def add(self, part: str, chunks: Iterator[bytes]) -> None:
        """Add a folder as the part of a container; `chunks` are the engine's archive of it."""
        with opened(chunks) as source:
            for member in members(source):
                rename(member, part)
                self._add(member, source.extractfile(member) if member.isreg() else None)

    def finish(self) -> None:
        """Add the sums, and end the archive."""
        sums = self._digests.finish()
        member = tarfile.TarInfo(SUMS)
        member.size, member.mode, member.mtime = sums.seek(0, io.SEEK_END), 0o600, time.time()
        sums.seek(0)
        self._archive.addfile(member, sums)
        self._archive.close()

    def _add(self, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        digest = self._digests.add(member, member.name)
        self._archive.addfile(member, cast(IO[bytes], _Tee(content, digest)) if content else None)
        forget(self._archive)
        if content:
            self._digests.done(member.name, digest)


class Reader:
    """Reads an archive from a binary stream. `name` is for messages."""

    def __init__(self, stream: IO[bytes], name: str, show: Show = lambda size: None) -> None:
        self._name, self._show = name, show
        self._digests = _Digests()
        try:
            self._archive = StrictTar.open(fileobj=stream, mode="r|", bufsize=_CHUNK)
            first = self._archive.next()
            if first is None or first.name != MANIFEST or first.size > _CHUNK:
                raise LifecycleError(f"{name} is not a backup made by `toji backup`", _WRONG_FILE)
            content = self._read(first)
            raw = json.loads(b"".join(content))
        except (*_UNREADABLE, RecursionError) as error:
            raise LifecycleError(
                f"{name} is not a backup made by `toji backup`: {error}", _WRONG_FILE
            ) from None
        self.manifest = self._parse(raw)

    def _parse(self, raw: Any) -> Manifest:
        if not isinstance(raw, dict) or not isinstance(raw.get("format"), int):
            raise LifecycleError(f"{self._name} is not a backup made by `toji backup`", _WRONG_FILE)
        if raw.pop("format") > FORMAT:
            raise LifecycleError(
                f"{self._name} was written by a newer Nagoya ({raw.get('nagoya')})",
                "restore it with that one, or a newer one",
            )
        try:
            return TypeAdapter(Manifest).validate_python(raw)
        except ValidationError as error:
            problems = describe_errors(error, BaseModel)
            raise LifecycleError(
                f"{self._name}: {MANIFEST} is not valid: {'; '.join(problems)}", _WRONG_FILE
            ) from None

    def parts(self) -> Iterator[tuple[str, Members]]:
        """The containers' parts, to be read in this order.

        Raises LifecycleError at the end unless the archive is complete and unchanged: until then
        nothing that came out of it can be trusted.
        """
        for part, group in groupby(self._members(), lambda member: member.name.partition("/")[0]):
            if part == SUMS:
                self._check(next(group))
                return
            yield part, ((member, self._read(member)) for member in group)
        raise self._damaged("its end is missing")

    def _members(self) -> Iterator[tarfile.TarInfo]:
        try:
            for member in members(self._archive):
                names = [member.name, member.linkname if member.islnk() else ""]
                if any(name.startswith("/") or ".." in PurePosixPath(name).parts for name in names):
                    raise self._damaged(f"{member.name} would be written outside of its folder")
                if not math.isfinite(member.mtime):
                    raise self._damaged(f"{member.name} has no valid time")
                yield member
        except _UNREADABLE as error:
            raise self._damaged(str(error)) from None

    def _read(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """A member's content, which is added to the digests as it is read."""
        # At once, since the caller may rename the member before it reads.
        name, digest = member.name, self._digests.add(member, member.name)
        return self._content(member, name, digest) if member.isreg() else iter(())

    def _content(
        self, member: tarfile.TarInfo, name: str, digest: "hashlib._Hash"
    ) -> Iterator[bytes]:
        content = self._archive.extractfile(member)
        assert content
        try:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
                self._show(self._archive.offset)
                yield chunk
        except tarfile.TarError as error:
            raise self._damaged(str(error)) from None
        self._digests.done(name, digest)

    def _check(self, member: tarfile.TarInfo) -> None:
        recorded = self._archive.extractfile(member) if member.isreg() else None
        if not recorded:
            raise self._damaged(f"{SUMS} is no file")
        try:
            for line in self._digests.finish():
                if line != recorded.readline(len(line)):
                    name = line.partition(b"  ")[2].decode(errors="replace").strip()
                    raise self._damaged(f"{name or 'a member'} differs from what was saved")
            if recorded.read(1):
                raise self._damaged("files are missing")
        except tarfile.TarError as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, reason: str) -> LifecycleError:
        return LifecycleError(
            f"{self._name} is damaged: {reason}", "nothing was changed; restore another backup"
        )


class _Output:
    """A stream that counts, and so need not be a file.

    The mode `w|` of tarfile is for streams, but complains on stderr after an error.
    """

    def __init__(self, stream: IO[bytes], show: Show) -> None:
        self._stream, self._show, self._size = stream, show, 0

    def tell(self) -> int:
        return self._size

    def write(self, data: bytes) -> int:
        self._stream.write(data)
        self._size += len(data)
        self._show(self._size)
        return len(data)


class _Tee:
    """A file whose content goes through a digest as it is read."""

    def __init__(self, file: IO[bytes], digest: "hashlib._Hash") -> None:
        self._file, self._digest = file, digest

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data
