"""Many packages: the seed that imports them, and the repositories that Koji makes of their tag,
beside createrepo_c alone on the same files."""

import io
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bench.builds import wait_until_closed
from bench.systems import BenchSystem
from bench.table import Row, side_by_side
from tests.rpm_files import Value, write_rpm

_SEEDED = 350
_MANY = 5000
_PAYLOAD = 200_000
"""Bytes in each RPM of the seed."""
_TAGS: dict[int, Value] = {
    1047: [f"bench-capability-{number}" for number in range(50)],
    1112: [8] * 50,
    1113: ["1-1"] * 50,
}
"""The header of each RPM: what it provides."""
_AIM = "<= 1.5 times createrepo_c"
_ADD = """
INSERT INTO rpminfo
    (build_id, name, version, release, arch, payloadhash, size, buildtime, external_repo_id)
SELECT :build, 'bench-' || number, '1', '1', 'noarch', md5(number::text), 1, 1000000000, 0
FROM generate_series(1, :many) AS number
"""


def repository_rows(system: BenchSystem, rounds: int) -> Iterator[Row]:
    """A seed of 350 RPMs; repositories of them, and of 5,000."""
    session = system.session()
    yield Row(f"seed of {_SEEDED} RPMs", _seed(system), "s", aim="<= 60 s")
    yield _repository(system, session, "bench-seeded", _SEEDED, rounds)
    _add_many(system, session)
    yield _repository(system, session, "bench-many", _MANY, rounds)


def _seed(system: BenchSystem) -> float:
    """Seconds of `toji seed`, which imports RPMs, each of a build of its own, and tags these."""
    documents = [
        {"type": "tag", "name": "bench-seeded", "arches": ["x86_64"]},
        {"type": "import", "tag": "bench-seeded", "owner": "kojiadmin", "rpms": ["*.rpm"]},
    ]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(_SEEDED):
            payload = os.urandom(_PAYLOAD)
            write_rpm(Path(folder), f"bench-seeded-{number}", tags=_TAGS, payload=payload)
        seed = Path(folder, "seed.yml")
        seed.write_text(yaml.safe_dump_all(documents))
        start = time.monotonic()
        system.toji("seed", str(seed))
        return time.monotonic() - start


def _add_many(system: BenchSystem, session: Any) -> None:
    """One build with all packages. Importing them would take longer than all that is measured, so
    they are put where an import does: RPMs into the top directory, rows into the database."""
    archive = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=archive, mode="w") as tar:
        for number in range(1, _MANY + 1):
            path = write_rpm(
                Path(folder), f"bench-{number}", source="bench-many-1-1.src.rpm", tags=_TAGS
            )
            tar.add(path, f"packages/bench-many/1/1/noarch/{path.name}")
            path.unlink()
    extract = ["tar", "-C", "/mnt/koji", "--no-same-owner", "-xf", "-"]
    system.execute("koji", *extract, user="www-data", stdin=archive.getvalue())
    build = session.createEmptyBuild("bench-many", "1", "1", None)
    psql = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "psql", "--set",
            "ON_ERROR_STOP=1", "--set", f"many={_MANY}", "--set", f"build={build}",
            "koji"]  # fmt: skip
    system.execute("kojidatabase", *psql, stdin=_ADD.encode())
    session.createTag("bench-many", arches="x86_64")
    session.packageListAdd("bench-many", "bench-many", owner="kojiadmin")
    session.tagBuildBypass("bench-many", "bench-many-1-1")
    assert len(session.listTaggedRPMS("bench-many")[0]) == _MANY


def _repository(system: BenchSystem, session: Any, parent: str, packages: int, rounds: int) -> Row:
    """The first repository of a tag, which reuses none, beside createrepo_c on its list of RPMs."""
    tags: list[str] = []

    def regenerate() -> tuple[float]:
        tags.append(f"{parent}-{len(tags)}")
        session.createTag(tags[-1], parent=parent, arches="x86_64")
        start = time.monotonic()
        wait_until_closed(session, session.newRepo(tags[-1]))
        return (time.monotonic() - start,)

    (koji,), (alone,) = side_by_side(rounds, regenerate, lambda: (_createrepo(system, tags[-1]),))
    what = f"regen-repo of {packages} packages"
    return Row(what, koji, "s", alone, "createrepo_c alone", _AIM)


def _createrepo(system: BenchSystem, tag: str) -> float:
    folder = f"/mnt/koji/repos/{tag}/latest/x86_64"
    command = f"createrepo_c -qd -o $(mktemp -d) -i {folder}/pkglist {folder}"
    start = time.monotonic()
    system.execute("kojibuilder", "sh", "-c", command)
    return time.monotonic() - start
