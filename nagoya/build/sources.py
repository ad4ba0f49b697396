"""Sources: brought into a cache, checked, and unpacked into the build context as src/NAME/.

An archive is kept under its sha256 and never trusted without it, so a good one is used without any
network, and a bad one is fetched again. A `path` is no archive: what changed there is copied.
"""

import errno
import hashlib
import os
import shutil
import stat
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from nagoya.build.context import FOLDER
from nagoya.config.model import Source
from nagoya.errors import CommandError, SourceError
from nagoya.utils.command import run, run_streaming
from nagoya.utils.lock import cache_folder, locked
from nagoya.utils.progress import Progress

_CHUNK = 1 << 18
_SILENCE_SECONDS = 30
_OFFLINE = "is there a network? A file that was fetched before is used without any"


def outdated(directory: Path, name: str, source: Source) -> str | None:
    """Why `ensure` has something to do, or None if src/NAME/ is up to date."""
    if source.path is not None:
        return f"{source.path} is a work tree: changed files are copied"
    target = directory / FOLDER / name
    stamp = _stamp(target)
    if not target.is_dir():
        return "not fetched yet"
    if not stamp.exists() or stamp.read_text() != source.sha256:
        return "moromi.yml declares another sha256"
    return None


def _stamp(target: Path) -> Path:
    """The sha256 of what was unpacked; beside the folder, so that it becomes part of no image."""
    return target.with_name(f".{target.name}.sha256")


def ensure(directory: Path, name: str, source: Source, progress: Progress) -> None:
    """See to it that src/NAME/ in the build context `directory` is what is declared.

    The progress has it as src/NAME. Raises SourceError, and leaves a src/NAME/ that was there as it
    was.
    """
    target = directory / FOLDER / name
    row = f"{FOLDER}/{name}"
    whose = hashlib.sha256(str(target).encode()).hexdigest()[:16]

    def heard(line: str) -> None:
        progress.output(row, line)

    with (
        _disk_errors(name),
        locked(f"source-{whose}", lambda: heard("another moromi is at it; waiting")),
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        stamp = _stamp(target)
        if source.path is not None:
            stamp.unlink(missing_ok=True)
            done = _copy(directory / source.path, target)
        elif outdated(directory, name, source) is None:
            done = "present"
        else:
            assert source.sha256
            progress.update(row, "working", "fetching")
            archive, done = _cached(name, source, heard)
            stamp.unlink(missing_ok=True)
            _unpack(archive, target)
            stamp.write_text(source.sha256)
    progress.update(row, "done", done)


@contextmanager
def _disk_errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = f"make room, or let XDG_CACHE_HOME name a folder in place of {cache_folder()}"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = f"may you write to {error.filename or cache_folder()}?"
        raise SourceError(f"source {name}: {error}", hint) from error


def _cached(name: str, source: Source, heard: Callable[[str], None]) -> tuple[Path, str]:
    """The archive in the cache, fetched if it is not there or not as it should be."""
    assert source.sha256
    archive = cache_folder() / "sources" / source.sha256
    archive.parent.mkdir(parents=True, exist_ok=True)
    with locked(f"archive-{source.sha256[:16]}", lambda: heard("another moromi fetches it")):
        if archive.exists() and _sha256(archive) == source.sha256:
            return archive, "from the cache"
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".fetching-") as folder:
            fetched = (_from_url if source.url else _from_pypi)(name, source, Path(folder), heard)
            found = _sha256(fetched)
            if found != source.sha256:
                raise SourceError(
                    f"source {name}: {source.url or source.pypi} is not what it was\n"
                    f"  sha256 declared  {source.sha256}\n"
                    f"  sha256 fetched   {found}",
                    "if you trust the new file, write its sha256 into moromi.yml",
                )
            fetched.replace(archive)
    return archive, "fetched"


def _from_pypi(name: str, source: Source, folder: Path, heard: Callable[[str], None]) -> Path:
    """Have pip fetch the release, from where this machine is set up to fetch.

    Among a release's files pip takes the one whose checksum is asked for: that tells the source
    distribution from the wheel. (For the former it runs the metadata step, and so needs to reach
    setuptools too.)
    """
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{source.pypi} --hash=sha256:{source.sha256}\n")
    download = folder / "download"
    heard("asking pip")
    try:
        run_streaming(
            [
                *(sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"),
                *("--no-cache-dir", "--progress-bar", "off", "--disable-pip-version-check"),
                *("--dest", download, "--requirement", wanted),
            ],
            heard,
        )
    except CommandError as error:
        told = error.message
        if "DO NOT MATCH THE HASHES" in told:
            raise SourceError(
                f"source {name}: no file of {source.pypi} has the declared sha256 {source.sha256}"
                f"\n{told}",
                "if you trust a file that is there, write its sha256 into moromi.yml",
            ) from None
        hint = "install pip for this Python" if "No module named pip" in told else _OFFLINE
        raise SourceError(f"source {name}: {source.pypi} was not fetched\n{told}", hint) from None
    return next(download.iterdir())


def _from_url(name: str, source: Source, folder: Path, heard: Callable[[str], None]) -> Path:
    assert source.url
    fetched = folder / "download"
    had = 0
    try:
        with (
            urllib.request.urlopen(source.url, timeout=_SILENCE_SECONDS) as answer,
            fetched.open("wb") as file,
        ):
            length = answer.headers["Content-Length"]
            of = f" of {int(length) / 1e6:.1f}" if length else ""
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                had += len(chunk)
                heard(f"{had / 1e6:.1f}{of} MB")
    except urllib.error.HTTPError as error:
        error.close()
        raise SourceError(
            f"source {name}: {source.url} answers {error.code} {error.reason}",
            "is the address in moromi.yml right?",
        ) from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        why = getattr(error, "reason", None) or error
        raise SourceError(f"source {name}: {source.url}: {why}", _OFFLINE) from None
    if length and had < int(length):
        raise SourceError(
            f"source {name}: {source.url} ended after {had} of {length} bytes", "try again"
        )
    return fetched


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(archive: Path, target: Path) -> None:
    """Unpack a tar or a zip so that `target` is whole or is what it was.

    The one folder that holds everything in a source distribution is left out.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpacking-") as folder:
        new, old = Path(folder, "new"), Path(folder, "old")
        try:
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as packed_zip:
                    packed_zip.extractall(new)
            else:
                with tarfile.open(archive) as packed_tar:
                    _extract(packed_tar, new)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
            raise SourceError(
                f"source {target.name}: cannot be unpacked: {error}",
                "it should be a tar or a zip archive",
            ) from None
        inside = list(new.iterdir())
        top = inside[0] if len(inside) == 1 and inside[0].is_dir() else new
        if target.exists():
            target.rename(old)
        top.rename(target)


def _extract(packed: tarfile.TarFile, folder: Path) -> None:
    for member in packed:
        path = PurePosixPath(member.name)
        link = path.parent / member.linkname if member.issym() else PurePosixPath(member.linkname)
        if _leads_out(path) or (member.linkname and _leads_out(link)) or member.isdev():
            raise tarfile.TarError(f"{member.name} would end up outside of its folder")
    # What comes with Python since 3.11.4 (Debian 12 has 3.11.2) looks more closely still.
    options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    packed.extractall(folder, **options)


def _leads_out(path: PurePosixPath) -> bool:
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return path.is_absolute()


def _copy(tree: Path, target: Path) -> str:
    """Make `target` what the source tree is, and touch only what differs."""
    if not tree.is_dir():
        raise SourceError(f"source {target.name}: there is no folder {tree}")
    wanted = _tracked(tree)
    superfluous = [path for path in _files(target) if path not in wanted]
    for path in superfluous:
        (target / path).unlink()
    for folder, _, _ in os.walk(target, topdown=False):
        if not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    changed = [path for path in wanted if not _same(tree / path, target / path)]
    for path in changed:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).unlink(missing_ok=True)
        shutil.copy2(tree / path, target / path, follow_symlinks=False)
    count = len(superfluous) + len(changed)
    return f"{count} files changed" if count else "unchanged"


def _tracked(tree: Path) -> set[Path]:
    """Files of a tree: of a git work tree those that git tracks or would, else all."""
    if not (tree / ".git").exists():
        return set(_files(tree))
    try:
        listed = run(
            ["git", "-C", tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        )
    except CommandError as error:
        raise SourceError(f"{tree} is a git work tree, but: {error.message}") from None
    named = (Path(name) for name in listed.split("\0") if name)
    # Git names files that are gone, and submodules, which are folders.
    return {path for path in named if (tree / path).is_symlink() or (tree / path).is_file()}


def _files(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        for name in [*files, *(name for name in folders if Path(folder, name).is_symlink())]:
            yield Path(folder, name).relative_to(tree)


def _same(one: Path, other: Path) -> bool:
    if not other.is_symlink() and not other.exists():
        return False
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    first, second = one.stat(), other.stat()
    return stat.S_ISREG(second.st_mode) and (
        (first.st_size, first.st_mtime_ns, first.st_mode)
        == (second.st_size, second.st_mtime_ns, second.st_mode)
    )
