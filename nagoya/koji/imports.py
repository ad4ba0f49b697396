"""Builds from elsewhere: RPMs of a seed that become builds in a tag."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nagoya.config.model import StrictModel
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


def import_rpms(
    system: System,
    session: Any,
    wanted: Import,
    folder: Path,
    on_progress: Callable[[str], None],
) -> bool:
    """Import RPMs and tag their builds; False if the tag has all of them already.

    `on_progress` gets `3/500 NAME`. Raises LifecycleError if a file is missing or is no whole RPM,
    and if the RPMs do not make all of the builds.
    """
    if set(wanted.builds) <= _tagged(session, wanted.tag):
        return False
    with _files(system, wanted, folder) as paths:
        headers = {path: rpm.read(path) for path in paths}
        nvrs = sorted({header.build_nvr for header in headers.values()})
        missing = set(wanted.builds) - set(nvrs)
        if missing:
            raise LifecycleError(
                f"the RPMs for the tag {wanted.tag} make no build {', '.join(sorted(missing))}",
                f"they make {', '.join(nvrs)}",
            )
        _create_builds(session, headers.values(), nvrs)
        known = _call_each(session, "getRPM", [_key(header) for header in headers.values()])
        new = [path for path, there in zip(headers, known, strict=True) if there is None]
        for number, path in enumerate(new, 1):
            on_progress(f"{number}/{len(new)} {path.name}")
            uploaded = builds.upload(session, path)
            session.importRPM(uploaded.rpartition("/")[0], path.name)
    tagged = _tagged(session, wanted.tag)
    with session.multicall(strict=True) as calls:
        for nvr in (nvr for nvr in nvrs if nvr not in tagged):
            calls.tagBuildBypass(wanted.tag, nvr)
    return True


def _create_builds(session: Any, headers: Any, nvrs: list[str]) -> None:
    there = _call_each(session, "getBuild", nvrs)
    epochs = {header.build_nvr: header.epoch for header in headers}
    with session.multicall(strict=True) as calls:
        for nvr, build in zip(nvrs, there, strict=True):
            if build is None:
                name, version, release = nvr.rsplit("-", 2)
                calls.createEmptyBuild(name, version, release, epochs[nvr])


def _call_each(session: Any, method: str, arguments: list[Any]) -> list[Any]:
    """One call for each argument, all in one request."""
    with session.multicall(strict=True) as calls:
        results = [getattr(calls, method)(argument) for argument in arguments]
    return [result.result for result in results]


def _key(header: rpm.Rpm) -> dict[str, str]:
    return {key: getattr(header, key) for key in ("name", "version", "release", "arch")}


def _tagged(session: Any, tag: str) -> set[str]:
    return {build["nvr"] for build in session.listTagged(tag)}


@contextmanager
def _files(system: System, wanted: Import, folder: Path) -> Iterator[list[Path]]:
    if wanted.container is None:
        matches = {pattern: sorted(folder.glob(pattern)) for pattern in wanted.rpms}
        if empty := [pattern for pattern, paths in matches.items() if not paths]:
            raise LifecycleError(f"{folder} has no file {', '.join(empty)}")
        yield list(dict.fromkeys(path for paths in matches.values() for path in paths))
        return
    handle = require_system(system.engine, system.name).get(wanted.container)
    if handle is None:
        raise LifecycleError(f"'{system.name}' has no container '{wanted.container}'")
    with tempfile.TemporaryDirectory() as copies:
        for path in wanted.rpms:
            (Path(copies) / Path(path).name).write_bytes(transfer.read_file(handle, path))
        yield sorted(Path(copies).iterdir())
