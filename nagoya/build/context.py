"""The build context: only the files that a Dockerfile copies, packed reproducibly.

Two contexts differ if the engine's own cache would tell them apart: by paths, contents and the
executable bit.
"""

import hashlib
import io
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from docker.utils.build import PatternMatcher

from nagoya.build.dockerfile import CopySource, Dockerfile
from nagoya.errors import DeclarationError

FOLDER = "src"
"""The folder of the sources in a build context; git ignores it."""

# 2020-01-01, since zip archives and make(1) have trouble with files of 1970.
_MTIME = 1577836800
_CHUNK = 1 << 20


class Context:
    """The files under `root` that one Dockerfile copies, without those that .dockerignore names.

    `source_dirs` has for each source the folder in which it is src/NAME, if that is not `root`.
    `onbuild` is what parents' ONBUILD instructions copy. Raises DeclarationError if a file that the
    Dockerfile copies does not exist.
    """

    def __init__(
        self,
        root: Path,
        dockerfile: Dockerfile,
        source_dirs: Mapping[str, Path] | None = None,
        onbuild: Sequence[CopySource] = (),
    ) -> None:
        self.root = root
        self.source_dirs = source_dirs or {}
        self.dockerfile = dockerfile.path.relative_to(root).as_posix()
        ignored = _ignored(root)
        selected = {self.dockerfile}
        missing = []
        for copied in (*dockerfile.copied, *onbuild):
            paths = {
                path
                for folder in {root, *self.source_dirs.values()}
                for start in ([folder] if copied.path == "." else folder.glob(copied.path))
                for path in _walk(folder, start, ignored)
                if self._file(path) == folder / path
            }
            if not paths and copied in dockerfile.copied:
                missing.append(copied)
            selected |= paths
        if missing:
            raise DeclarationError(
                str(dockerfile.path),
                [
                    f"line {copied.line}: no such file or folder: {copied.path}"
                    for copied in missing
                ],
                self._hint(missing),
            )
        self.paths = sorted(selected)

    def _hint(self, missing: Sequence[CopySource]) -> str:
        """What to do about paths that are not there."""
        remedy = "`moromi fetch` makes src/"
        for copied in missing:
            first, *rest = copied.path.split("/")
            if first == FOLDER and rest[1:] and self._file(f"{FOLDER}/{rest[0]}").is_dir():
                remedy = f"point sources.{rest[0]} in moromi.yml to a source tree of {rest[0]}"
        return f"{remedy}; check .dockerignore too"

    def digests(self) -> dict[str, str]:
        """A sha256 over path, kind, executable bit and content of the files below each path, which
        is cut after two parts: `koji-hub/setup.py`, `src/koji`."""
        groups: dict[str, hashlib._Hash] = {}
        for path in self.paths:
            member = self._member(path)
            content = self._file(path).read_bytes() if member.isreg() else b""
            group = groups.setdefault("/".join(path.split("/")[:2]), hashlib.sha256())
            group.update(repr((path, member.type, member.mode, member.linkname)).encode())
            group.update(hashlib.sha256(content).digest())
        return {path: group.hexdigest() for path, group in groups.items()}

    def tar(self) -> Iterator[bytes]:
        """The files as a tar stream, in chunks, for the engine's build call."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in self.paths:
                member = self._member(path)
                if member.isreg():
                    with self._file(path).open("rb") as file:
                        archive.addfile(member, file)
                else:
                    archive.addfile(member)
                if buffer.tell() >= _CHUNK:
                    yield buffer.getvalue()
                    buffer.seek(0)
                    buffer.truncate()
        yield buffer.getvalue()

    def _file(self, path: str) -> Path:
        first, _, rest = path.partition("/")
        source = rest.partition("/")[0] if first == FOLDER else ""
        return self.source_dirs.get(source, self.root) / path

    def _member(self, path: str) -> tarfile.TarInfo:
        file = self._file(path)
        info = file.lstat()
        member = tarfile.TarInfo(path)
        member.mtime = _MTIME
        plain = stat.S_ISREG(info.st_mode) and not info.st_mode & stat.S_IXUSR
        member.mode = 0o644 if plain else 0o755
        if stat.S_ISLNK(info.st_mode):
            member.type, member.linkname = tarfile.SYMTYPE, str(file.readlink())
        elif stat.S_ISDIR(info.st_mode):
            member.type = tarfile.DIRTYPE
        else:
            member.size = info.st_size
        return member


def _ignored(root: Path) -> PatternMatcher:
    try:
        lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    return PatternMatcher([line for line in lines if line.strip() and not line.startswith("#")])


def _walk(root: Path, start: Path, ignored: PatternMatcher) -> Iterator[str]:
    """Every file, link and folder below `start` that is not ignored, itself included."""
    path = start.relative_to(root).as_posix()
    skipped = path != "." and ignored.matches(path)  # type: ignore[arg-type]
    if path != "." and not skipped:
        yield path
    # Parts of an ignored folder may be included again, as by `!koji-*`.
    descend = not skipped or any(
        pattern.exclusion and pattern.cleaned_pattern.startswith(path)
        for pattern in ignored.patterns
    )
    if descend and start.is_dir() and not start.is_symlink():
        for entry in start.iterdir():
            yield from _walk(root, entry, ignored)
