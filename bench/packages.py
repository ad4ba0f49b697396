"""Many packages: the seed that imports them, and their repository beside createrepo_c alone."""

import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bench.builds import wait_until_closed
from bench.systems import BenchSystem
from bench.table import Row, side_by_side
from tests.rpm_files import write_rpm

_PACKAGES, _MANY = 350, 5000
_SUBPACKAGES = 20
"""Of each of the builds that make up many packages; each of the others has one RPM."""
_BYTES = 50_000
_CREATEREPO = "createrepo_c -vd"
"""As kojid calls it."""


def package_rows(system: BenchSystem, rounds: int) -> Iterator[Row]:
    """The seed of 350 RPMs, each a build; and the repositories of these, and of 5,000 RPMs."""
    with tempfile.TemporaryDirectory() as folder:
        few = _seed(system, Path(folder), "few", _PACKAGES, 1)
    yield Row(f"toji seed of {_PACKAGES} RPMs", few, "s", aim="<= 60 s")
    yield from _repository_rows(system, rounds, "few", _PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        many = _seed(system, Path(folder), "many", _MANY, _SUBPACKAGES)
    yield Row(f"toji seed of {_MANY} RPMs", many, "s")
    yield from _repository_rows(system, rounds, "many", _MANY)


def _seed(system: BenchSystem, folder: Path, tag: str, count: int, subpackages: int) -> float:
    """Seconds for a seed with a tag and so many RPMs."""
    for number in range(count):
        source = f"{tag}-{number // subpackages}"
        # What cannot be compressed takes createrepo_c the time to read it.
        write_rpm(
            folder, f"{source}-{number}", source=f"{source}-1-1.src.rpm", payload=os.urandom(_BYTES)
        )
    documents: list[dict[str, Any]] = [
        {"type": "tag", "name": tag, "arches": ["x86_64"]},
        {"type": "import", "tag": tag, "owner": "kojiadmin", "rpms": ["*.rpm"]},
    ]
    path = folder / "seed.yml"
    path.write_text(yaml.safe_dump_all(documents))
    start = time.monotonic()
    system.toji("seed", str(path))
    return time.monotonic() - start


def _repository_rows(system: BenchSystem, rounds: int, tag: str, count: int) -> Iterator[Row]:
    """The first repository of a tag, and one that takes what an earlier one has of the packages."""
    session = system.session()
    builds = [build["nvr"] for build in session.listTagged(tag)]
    _repository(session, tag)
    for what, update in (("the first", False), ("another", True)):
        measured = [partial(_koji, session, builds, update), partial(_alone, system, tag, update)]
        (koji,), (alone,) = side_by_side(rounds, *measured)
        against = f"createrepo_c{' --update' if update else ''} alone"
        yield Row(f"{what} repository of {count} RPMs", koji, "s", alone, against, "ratio <= 1.5")


def _koji(session: Any, builds: list[str], update: bool) -> tuple[float]:
    """Seconds for a repository of a new tag with these builds, the first or the second one."""
    tag = f"bench-{time.monotonic_ns()}"
    session.createTag(tag, arches="x86_64")
    with session.multicall(strict=True) as calls:
        for package in {nvr.rsplit("-", 2)[0] for nvr in builds}:
            calls.packageListAdd(tag, package, "kojiadmin")
        for nvr in builds:
            calls.tagBuildBypass(tag, nvr)
    if update:
        _repository(session, tag)
    return (_repository(session, tag),)


def _repository(session: Any, tag: str) -> float:
    start = time.monotonic()
    wait_until_closed(session, session.newRepo(tag))
    return time.monotonic() - start


def _alone(system: BenchSystem, tag: str, update: bool) -> tuple[float]:
    """Seconds for createrepo_c in the builder, on the list of packages of the tag's repository."""
    repository = f"/mnt/koji/repos/{tag}/{system.session().getRepo(tag)['id']}/x86_64"
    reuse = f"--update --update-md-path={repository} --skip-stat" if update else ""
    command = f"{_CREATEREPO} {reuse} -o $(mktemp -d) -i {repository}/pkglist {repository}"
    start = time.monotonic()
    system.execute("kojibuilder", "sh", "-c", command)
    return (time.monotonic() - start,)
