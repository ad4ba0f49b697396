"""Sources: fetched into a cache, checked, and unpacked into the build context as src/NAME/.

An archive is cached by its sha256, which is checked before every use: an intact one needs no
network, a damaged one is fetched again. Of a `path`, the files that changed are copied.
"""

import errno
import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from nagoya.build import download
from nagoya.build.context import FOLDER
from nagoya.config.model import Source
from nagoya.errors import CommandError, SourceError
from nagoya.utils.command import run
from nagoya.utils.lock import cache_folder, locked
from nagoya.utils.progress import Progress

_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError,
    # A zip archive with a password or of an unknown method; a hard link to nothing.
    RuntimeError, KeyError,
)  # fmt: skip


def outdated(directory: Path, name: str, source: Source) -> str | None:
    """Why `ensure` has something to do, or None if src/NAME/ is up to date. Raises SourceError if
    the files of a `path` cannot be listed."""
    target = directory / FOLDER / name
    stamp = _stamp(target)
    if not target.is_dir():
        return "not fetched yet"
    if source.optional:
        return "it is not declared any more" if any(target.iterdir()) else None
    if source.path is not None:
        if stamp.exists():
            return "it was an archive"
        return _changes(sum(map(len, _differences(directory / source.path, target))))
    if not stamp.exists() or stamp.read_text() != source.sha256:
        return "moromi.yml declares another sha256"
    return None


def _stamp(target: Path) -> Path:
    """The sha256 of what was unpacked; beside the folder, so that it becomes part of no image."""
    return target.with_name(f".{target.name}.sha256")


def ensure(directory: Path, name: str, source: Source, progress: Progress) -> None:
    """Make src/NAME/ in the build context `directory` what the source declares.

    The progress shows it as src/NAME. Raises SourceError, and then leaves an existing src/NAME/ as
    it was.
    """
    target = directory / FOLDER / name
    row = f"{FOLDER}/{name}"
    target_id = hashlib.sha256(str(target).encode()).hexdigest()[:16]
    on_line = partial(progress.output, row)
    waiting = partial(on_line, "waiting for another moromi")
    with _named_errors(name), locked(f"source-{target_id}", waiting):
        target.parent.mkdir(parents=True, exist_ok=True)
        stamp = _stamp(target)
        if source.optional:
            stamp.unlink(missing_ok=True)
            if target.exists():
                shutil.rmtree(target)
            target.mkdir()
            result = "not declared"
        elif source.path is not None:
            stamp.unlink(missing_ok=True)
            result = _copy(directory / source.path, target)
        elif not outdated(directory, name, source):
            result = "present"
        else:
            assert source.sha256
            progress.update(row, "working", "fetching")
            archive, result = _cached(source, source.sha256, on_line)
            stamp.unlink(missing_ok=True)
            _unpack(archive, target)
            stamp.write_text(source.sha256)
    progress.update(row, "done", result)


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Name the source in every error, and say what to do about those of the file system."""
    try:
        yield
    except SourceError as error:
        raise SourceError(f"source {name}: {error.message}", error.hint) from error.__cause__
    except OSError as error:
        hint = None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = f"free some space, or set XDG_CACHE_HOME to move {cache_folder()} elsewhere"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = f"check that you may write to {error.filename or cache_folder()}"
        raise SourceError(f"source {name}: {error}", hint) from error


def _cached(source: Source, sha256: str, on_line: Callable[[str], None]) -> tuple[Path, str]:
    """The archive, fetched unless the cache has it intact, and which of the two it was."""
    archive = cache_folder() / "sources" / sha256
    archive.parent.mkdir(parents=True, exist_ok=True)
    with locked(f"archive-{sha256[:16]}", lambda: on_line("waiting for another moromi")):
        if archive.exists() and download.file_sha256(archive) == sha256:
            return archive, "from the cache"
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".fetching-") as folder:
            file = Path(folder, "archive")
            if source.pypi:
                download.from_index(source.pypi, sha256, file, on_line)
            elif source.url:
                download.from_url(source.url, file, on_line)
                if (fetched := download.file_sha256(file)) != sha256:
                    raise SourceError(
                        f"{source.url} has changed\n"
                        f"  sha256 declared  {sha256}\n"
                        f"  sha256 fetched   {fetched}",
                        "if you trust the new file, write its sha256 into moromi.yml",
                    )
            file.replace(archive)
    return archive, "fetched"


def _unpack(archive: Path, target: Path) -> None:
    """Unpack a tar or zip archive to `target`, which is replaced as a whole or left as it was.

    A single top folder, as source distributions have, is dropped.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpacking-") as folder:
        new, old = Path(folder, "new"), Path(folder, "old")
        new.mkdir()
        try:
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as packed_zip:
                    packed_zip.extractall(new)
            else:
                with tarfile.open(archive) as packed_tar:
                    _extract(packed_tar, new)
        except _DAMAGE as error:
            raise SourceError(
                f"the archive cannot be unpacked: {error}", "it has to be a tar or zip archive"
            ) from None
        inside = list(new.iterdir())
        if not inside:
            raise SourceError("the archive is empty", "correct its URL and sha256 in moromi.yml")
        is_top = len(inside) == 1 and inside[0].is_dir() and not inside[0].is_symlink()
        top = inside[0] if is_top else new
        if target.exists():
            target.rename(old)
        top.rename(target)


def _extract(packed: tarfile.TarFile, folder: Path) -> None:
    """Unpack a tar archive, the same by every Python from 3.11 on.

    Debian 12's 3.11.2 lacks tarfile's `data` filter. So no path of a member, nor of what a link
    points to, may pass through a link: then what its names say is where it ends up. A link has one
    name, since a hard link to it would point elsewhere.
    """
    members = packed.getmembers()
    links = {PurePosixPath(member.name) for member in members if member.issym()}
    for member in members:
        path = PurePosixPath(member.name)
        link = path.parent / member.linkname if member.issym() else PurePosixPath(member.linkname)
        renamed = ".." in path.parts or (member.islnk() and (link in links or ".." in link.parts))
        leaves = _leaves(path, links) or (member.linkname and _leaves(link, links))
        if member.isdev() or renamed or leaves:
            raise tarfile.TarError(f"{member.name} could end up outside of its folder")
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        member.uid, member.gid, member.uname, member.gname = os.geteuid(), os.getegid(), "", ""
    options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    packed.extractall(folder, members, **options)


def _leaves(path: PurePosixPath, links: Collection[PurePosixPath]) -> bool:
    """Whether a path is absolute, climbs above its start, or passes through one of the links."""
    here = PurePosixPath()
    for part in path.parts:
        if here in links or path.is_absolute() or (part == ".." and here == PurePosixPath()):
            return True
        here = here.parent if part == ".." else here / part
    return False


def _copy(tree: Path, target: Path) -> str:
    """Make `target` a copy of the source tree, rewriting only files that differ."""
    superfluous, changed = _differences(tree, target)
    for path in superfluous:
        (target / path).unlink()
    for folder, _, _ in os.walk(target, topdown=False):
        if not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    for path in changed:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).unlink(missing_ok=True)
        shutil.copy2(tree / path, target / path, follow_symlinks=False)
    return _changes(len(superfluous) + len(changed)) or "unchanged"


def _changes(count: int) -> str | None:
    return f"{count} file{'s' * (count != 1)} changed" if count else None


def _differences(tree: Path, target: Path) -> tuple[list[Path], list[Path]]:
    """The files that only the copy has, and those that are missing or different in it."""
    if not tree.is_dir():
        raise SourceError(f"no such folder: {tree}", "correct `path` in moromi.yml")
    tracked = _tracked(tree)
    return (
        [path for path in _files(target) if path not in tracked],
        [path for path in tracked if not _same(tree / path, target / path)],
    )


def _tracked(tree: Path) -> set[Path]:
    """The files of a tree; in a git work tree those that git does not ignore."""
    if not (tree / ".git").exists():
        return set(_files(tree))
    try:
        listed = run(
            ["git", "-C", tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        )
    except CommandError as error:
        raise SourceError(f"git cannot list the files of {tree}: {error.message}") from None
    names = (Path(name) for name in listed.split("\0") if name)
    # Git also lists deleted files, and submodules, which are folders.
    return {path for path in names if (tree / path).is_symlink() or (tree / path).is_file()}


def _files(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        for name in [*files, *(name for name in folders if Path(folder, name).is_symlink())]:
            yield Path(folder, name).relative_to(tree)


def _same(source: Path, copy: Path) -> bool:
    """Whether a copy has the kind, mode, size and time of its source, or leads where that does."""
    old = source.lstat()
    try:
        new = copy.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stat.S_ISLNK(old.st_mode):
        return stat.S_ISLNK(new.st_mode) and source.readlink() == copy.readlink()
    return (old.st_size, old.st_mtime_ns, old.st_mode) == (
        new.st_size,
        new.st_mtime_ns,
        new.st_mode,
    )
