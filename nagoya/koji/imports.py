"""Builds from elsewhere: RPMs of a seed that become builds in a tag."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nagoya.config.values import StrictModel
from nagoya.engine import transfer
from nagoya.errors import LifecycleError
from nagoya.koji import builds, rpm
from nagoya.system.system import System, require_system


class Import(StrictModel):
    """A seed's document: RPMs that become builds in a tag.

    `rpms` are files: on this machine, relative to the seed's folder, with wildcards; or, by their
    full paths, in a `container` of the system. `builds` are the NVRs of the builds that result; if
    the tag has all of them already, nothing is imported.
    """

    type: Literal["import"]
    tag: str
    builds: tuple[str, ...] = Field(min_length=1)
    rpms: tuple[str, ...] = Field(min_length=1)
    container: str | None = None


@contextmanager
def read_rpms(
    system: System, session: Any, document: Import, folder: Path
) -> Iterator[dict[Path, rpm.Rpm]]:
    """Read a document's RPMs, which exist as long as the context; none if the tag has all builds.

    Raises LifecycleError if a file is missing or is not a complete RPM, and if the RPMs do not make
    all of the builds.
    """
    if session.getTag(document.tag) and set(document.builds) <= _tagged(session, document.tag):
        yield {}
        return
    with _files(system, document, folder) as paths:
        headers = {path: rpm.read(path) for path in paths}
        nvrs = sorted({header.build_nvr for header in headers.values()})
        if missing := sorted(set(document.builds) - set(nvrs)):
            raise LifecycleError(
                f"the RPMs for the tag {document.tag} make no build {', '.join(missing)}",
                f"they make {', '.join(nvrs)}",
            )
        yield headers


def import_rpms(
    session: Any, tag: str, headers: Mapping[Path, rpm.Rpm], on_progress: Callable[[str], None]
) -> None:
    """Import RPMs and tag their builds. `on_progress` gets `3/500 NAME`."""
    epochs = {header.build_nvr: header.epoch for header in headers.values()}
    nvrs = sorted(epochs)
    builds_on_hub = _call_each(session, "getBuild", nvrs)
    with session.multicall(strict=True) as calls:
        for nvr, build in zip(nvrs, builds_on_hub, strict=True):
            if build is None:
                calls.createEmptyBuild(*nvr.rsplit("-", 2), epochs[nvr])
    fields = ("name", "version", "release", "arch")
    keys = [{field: getattr(header, field) for field in fields} for header in headers.values()]
    rpms_on_hub = _call_each(session, "getRPM", keys)
    new = [path for path, record in zip(headers, rpms_on_hub, strict=True) if record is None]
    for number, path in enumerate(new, 1):
        on_progress(f"{number}/{len(new)} {path.name}")
        uploaded = builds.upload(session, path)
        session.importRPM(uploaded.rpartition("/")[0], path.name)
    tagged = _tagged(session, tag)
    with session.multicall(strict=True) as calls:
        for nvr in (nvr for nvr in nvrs if nvr not in tagged):
            calls.tagBuildBypass(tag, nvr)


def _call_each(session: Any, method: str, arguments: list[Any]) -> list[Any]:
    """One call for each argument, all in one request."""
    with session.multicall(strict=True) as calls:
        results = [getattr(calls, method)(argument) for argument in arguments]
    return [result.result for result in results]


def _tagged(session: Any, tag: str) -> set[str]:
    return {build["nvr"] for build in session.listTagged(tag)}


@contextmanager
def _files(system: System, document: Import, folder: Path) -> Iterator[list[Path]]:
    if document.container is None:
        matches = {pattern: sorted(folder.glob(pattern)) for pattern in document.rpms}
        if empty := [pattern for pattern, paths in matches.items() if not paths]:
            raise LifecycleError(f"{folder} has no file {', '.join(empty)}")
        yield list(dict.fromkeys(path for paths in matches.values() for path in paths))
        return
    handle = require_system(system.engine, system.name).get(document.container)
    if handle is None:
        raise LifecycleError(f"'{system.name}' has no container '{document.container}'")
    with tempfile.TemporaryDirectory() as copies:
        for path in document.rpms:
            (Path(copies) / Path(path).name).write_bytes(transfer.read_file(handle, path))
        yield sorted(Path(copies).iterdir())
