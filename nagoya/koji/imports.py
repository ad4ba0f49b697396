"""RPMs from elsewhere that a seed names: files, or a repository's."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from glob import glob
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from nagoya.config.values import StrictModel, form
from nagoya.engine import transfer
from nagoya.errors import LifecycleError, did_you_mean
from nagoya.koji import rpm
from nagoya.koji.repository import ListedRpm, Repository
from nagoya.system.system import System, require_system


class Import(StrictModel):
    """A seed's document: RPMs that become builds in a tag.

    `rpms` are files: on this machine, relative to the seed's folder, with wildcards; or, by their
    full paths, in a `container` of the system. `repo` is the URL of a dnf repository; `packages`
    are wildcards for the source packages to take from it, none for all; `ca` is a file with the
    authorities to trust in place of the machine's. `owner` will own the packages that the tag does
    not list yet. `builds` are the NVRs of the builds that result; if the tag has all of them
    already, nothing is imported.
    """

    type: Literal["import"]
    tag: str
    builds: tuple[str, ...] = ()
    rpms: tuple[str, ...] = ()
    container: str | None = None
    repo: Annotated[str, form(r"https://[^/\s]+(/\S*)?", "an https URL")] | None = None
    packages: tuple[str, ...] = ()
    ca: str | None = None
    owner: str | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if bool(self.rpms) == bool(self.repo):
            raise ValueError("needs either 'rpms' or 'repo'")
        if self.container and not self.rpms:
            raise ValueError("'container' belongs to 'rpms'")
        if (self.packages or self.ca) and not self.repo:
            raise ValueError("'packages' and 'ca' belong to 'repo'")
        return self


@dataclass(frozen=True)
class Candidate:
    """An RPM to import.

    `label` is its name in messages. `fetch` returns its file and header; it may download it to the
    folder that it gets, and raises LifecycleError.
    """

    header: rpm.Rpm | ListedRpm
    label: str
    fetch: Callable[[Path], tuple[Path, rpm.Rpm]]


@dataclass(frozen=True)
class Selection:
    """The RPMs of a document, and why others cannot be read, a line each. `incomplete` are the
    builds that these seem to belong to."""

    candidates: Sequence[Candidate]
    unreadable: Sequence[str] = ()
    incomplete: frozenset[str] = frozenset()


@contextmanager
def find_rpms(
    system: System, document: Import, folder: Path, on_progress: Callable[[str], None]
) -> Iterator[Selection]:
    """Find a document's RPMs, which exist as long as the context.

    Raises LifecycleError if a file is missing, if the repository cannot be read or lacks a package,
    and if the RPMs do not make all of the builds.
    """
    with ExitStack() as stack:
        if document.repo:
            ca = folder / document.ca if document.ca else None
            repository = stack.enter_context(Repository(document.repo, ca))
            on_progress(f"reading {document.repo}")
            with _patience(urlsplit(document.repo).hostname or "", on_progress):
                selection = Selection(_listed(repository, document))
        else:
            paths = stack.enter_context(_files(system, document, folder))
            selection = _read(paths, on_progress)
        nvrs = {candidate.header.build_nvr for candidate in selection.candidates}
        missing = sorted(set(document.builds) - nvrs)
        # What cannot be read may belong to any build.
        if missing and not selection.unreadable:
            raise LifecycleError(
                f"none of the RPMs for the tag {document.tag} belongs to the expected build "
                f"{' or '.join(missing)}",
                f"the RPMs belong to {some(nvrs)}",
            )
        yield selection


def some(names: set[str]) -> str:
    """A few of some names."""
    shown = ", ".join(sorted(names)[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown


@contextmanager
def _patience(host: str, on_progress: Callable[[str], None]) -> Iterator[None]:
    """Tell after 2, 4, 8 and so on seconds that a host has not sent all yet."""
    ended = threading.Event()

    def tell() -> None:
        seconds = 2
        while not ended.wait(seconds // 2 if seconds > 2 else seconds):
            on_progress(f"waiting for {host}, {seconds} s")
            seconds *= 2

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _listed(repository: Repository, document: Import) -> list[Candidate]:
    with tempfile.TemporaryDirectory() as folder:
        listed = repository.rpms(Path(folder))
    sources: dict[str, list[ListedRpm]] = {}
    for listed_rpm in listed:
        sources.setdefault(listed_rpm.build_nvr.rsplit("-", 2)[0], []).append(listed_rpm)
    chosen: dict[str, list[ListedRpm]] = {}
    if not sources:
        raise LifecycleError(
            f"{document.repo} lists no RPMs",
            "distributions have a repository for each arch; name the folder of one",
        )
    unknown = []
    for pattern in document.packages or ("*",):
        names = [name for name in sources if fnmatchcase(name, pattern)]
        if not names:
            unknown.append(f"  '{pattern}'{did_you_mean(pattern, sources)}")
        chosen |= {name: sources[name] for name in names}
    if unknown:
        raise LifecycleError(
            "\n".join([f"{document.repo} has no RPMs of these source packages:", *unknown])
        )
    return [
        Candidate(listed_rpm, listed_rpm.file_name, partial(_download, repository, listed_rpm))
        for rpms in chosen.values()
        for listed_rpm in rpms
    ]


def _download(repository: Repository, listed: ListedRpm, folder: Path) -> tuple[Path, rpm.Rpm]:
    path = repository.download(listed, folder)
    header = rpm.read(path)
    if (header.file_name, header.build_nvr) != (listed.file_name, listed.build_nvr):
        raise LifecycleError(
            f"{listed.file_name} is not what the repository lists: its header names "
            f"{header.file_name} of {header.build_nvr}"
        )
    return path, header


def _read(paths: Mapping[str, Path], on_progress: Callable[[str], None]) -> Selection:
    candidates, unreadable, incomplete, names = [], [], set(), []
    on_progress(f"reading {len(paths)} RPMs")
    for label, path in paths.items():
        try:
            header = rpm.read(path)
        except rpm.Damaged as error:
            unreadable.append(_labelled(error, label, path))
            incomplete.add(error.header.build_nvr)
        except LifecycleError as error:
            unreadable.append(_labelled(error, label, path))
            names.append(path.name)
        else:
            candidates.append(
                Candidate(header, label, lambda _, file=(path, header): file)  # type: ignore[misc]
            )
    # Those without a header have a name at least, and most builds a release of their own.
    incomplete |= {
        candidate.header.build_nvr
        for candidate in candidates
        if any(f"-{candidate.header.version}-{candidate.header.release}." in name for name in names)
    }
    return Selection(candidates, unreadable, frozenset(incomplete))


def _labelled(error: LifecycleError, label: str, path: Path) -> str:
    """What is wrong with a file, by its name in messages."""
    return label + error.message.removeprefix(path.name)


def _matches(pattern: str, folder: Path) -> list[Path]:
    # Unlike Path.glob it takes absolute paths, and any pattern.
    names = glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
    return sorted(folder / name for name in names)


@contextmanager
def _files(system: System, document: Import, folder: Path) -> Iterator[dict[str, Path]]:
    """The files, by their names in messages."""
    if document.container is None:
        matches = {pattern: _matches(pattern, folder) for pattern in document.rpms}
        if empty := [pattern for pattern, paths in matches.items() if not paths]:
            raise LifecycleError(f"no file in {folder} matches {', '.join(empty)}")
        yield {
            str(path.relative_to(folder) if path.is_relative_to(folder) else path): path
            for paths in matches.values()
            for path in paths
        }
        return
    handle = require_system(system.engine, system.name).get(document.container)
    if handle is None:
        raise LifecycleError(f"'{system.name}' has no container '{document.container}'")
    with tempfile.TemporaryDirectory() as copies:
        # Two folders may have files of one name.
        copied = {
            path: Path(copies) / str(number) / Path(path).name
            for number, path in enumerate(document.rpms)
        }
        for path, copy in copied.items():
            copy.parent.mkdir()
            copy.write_bytes(transfer.read_file(handle, path))
        yield copied
