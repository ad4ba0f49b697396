"""What is imported, what is refused, and in which order builds are tagged."""

from pathlib import Path
from typing import Any

import koji
import pytest

from nagoya.koji import rpm
from nagoya.koji.import_plan import ImportPlan, objection, plan_import
from nagoya.koji.imports import Candidate
from nagoya.koji.repository import ListedRpm, RemoteFile
from tests.rpm_files import OF_RPM_6, write_rpm

COMPLETE = {"id": 1, "state": koji.BUILD_STATES["COMPLETE"], "epoch": None}


def candidate(folder: Path, name: str = "hello", *, label: str = "", **options: Any) -> Candidate:
    path = write_rpm(folder, name, **options)
    header = rpm.read(path)
    return Candidate(header, label or path.name, lambda _: (path, header))


def plan(
    *candidates: Candidate,
    builds: dict[str, Any] | None = None,
    rpms: dict[str, Any] | None = None,
) -> ImportPlan:
    nvrs = dict.fromkeys(package.header.build_nvr for package in candidates)
    names = dict.fromkeys(package.header.file_name for package in candidates)
    return plan_import(candidates, nvrs | (builds or {}), names | (rpms or {}), "1.30.0")


def record(package: Candidate, **changes: Any) -> dict[str, Any]:
    """An RPM as the hub has it."""
    header: Any = package.header
    known = {"build_id": 1, "external_repo_id": 0, "buildtime": header.build_time}
    return {package.header.file_name: known | {"payloadhash": header.contents} | changes}


def test_a_build_gets_its_source_rpm_first_and_its_epoch(tmp_path: Path) -> None:
    outcome = plan(
        candidate(tmp_path, "hello-libs", source="hello-1-1.src.rpm", epoch=7),
        candidate(tmp_path, epoch=2),
        candidate(tmp_path, arch="src", epoch=2),
    )
    (build,) = outcome.builds
    assert (build.nvr, build.package, build.epoch, build.state) == ("hello-1-1", "hello", 2, None)
    assert [package.header.arch for package in build.rpms] == ["src", "noarch", "noarch"]


def test_the_newest_build_is_the_last(tmp_path: Path) -> None:
    versions = [("10", None), ("9", None), ("1", 2), ("9.1~rc1", None)]
    outcome = plan(*(candidate(tmp_path, version=v, epoch=e) for v, e in versions))
    assert [build.nvr for build in outcome.builds] == [
        "hello-9-1", "hello-9.1~rc1-1", "hello-10-1", "hello-1-1",
    ]  # fmt: skip


def test_what_the_hub_has_is_left_out(tmp_path: Path) -> None:
    package, other = candidate(tmp_path), candidate(tmp_path, "hi", source="hello-1-1.src.rpm")
    (build,) = plan(package, other, builds={"hello-1-1": COMPLETE}, rpms=record(package)).builds
    assert (build.state, build.rpms) == ("COMPLETE", (other,))
    # An external repository's RPM is only known by name.
    (build,) = plan(package, rpms=record(package, external_repo_id=3, build_id=None)).builds
    assert build.rpms == (package,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payloadhash": "0"}, "is on the hub with other contents"),
        ({"build_id": 2}, "is on the hub as part of another build"),
    ],
)
def test_what_the_hub_has_otherwise(tmp_path: Path, changes: Any, reason: str) -> None:
    package = candidate(tmp_path)
    outcome = plan(package, builds={"hello-1-1": COMPLETE}, rpms=record(package, **changes))
    assert outcome.refused == [f"hello-1-1.noarch.rpm {reason}"]
    assert outcome.incomplete == {"hello-1-1"}


@pytest.mark.parametrize(("build_time", "refused"), [(5, 0), (6, 1)])
def test_a_listed_rpm_is_known_by_its_time(build_time: int, refused: int, tmp_path: Path) -> None:
    file = RemoteFile(None, 0, "sha256", "")  # type: ignore[arg-type]
    listed = ListedRpm("hello", "1", "1", None, "noarch", "hello-1-1.src.rpm", build_time, file)
    package = Candidate(listed, "hello", lambda folder: (folder, None))  # type: ignore[arg-type, return-value]
    outcome = plan(package, builds={"hello-1-1": COMPLETE}, rpms=record(package, buildtime=5))
    assert len(outcome.refused) == refused


def test_two_rpms_of_one_name(tmp_path: Path) -> None:
    package = candidate(tmp_path, label="a/hello.rpm")
    assert plan(package, candidate(tmp_path, label="b/hello.rpm")).builds[0].rpms == (package,)
    outcome = plan(package, candidate(tmp_path, label="b/hello.rpm", payload=b"x"))
    assert outcome.builds == []
    assert outcome.refused == [
        f"{label} is not the only hello-1-1.noarch.rpm here, and their contents differ"
        for label in ("a/hello.rpm", "b/hello.rpm")
    ]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_build_that_came_to_nothing_is_made_again(tmp_path: Path, state: str) -> None:
    known = COMPLETE | {"state": koji.BUILD_STATES[state]}
    (build,) = plan(candidate(tmp_path), builds={"hello-1-1": known}).builds
    assert (build.state, len(build.rpms)) == (state, 1)


def test_a_deleted_build_has_to_be_forgotten_first(tmp_path: Path) -> None:
    package = candidate(tmp_path)
    known = COMPLETE | {"state": koji.BUILD_STATES["DELETED"]}
    outcome = plan(package, builds={"hello-1-1": known}, rpms=record(package))
    assert "`koji call resetBuild hello-1-1`" in outcome.refused[0]


def test_a_build_that_a_builder_works_on_is_left_to_it(tmp_path: Path) -> None:
    known = COMPLETE | {"state": koji.BUILD_STATES["BUILDING"]}
    outcome = plan(candidate(tmp_path), builds={"hello-1-1": known})
    assert "belongs to hello-1-1, which is being built on the hub" in outcome.refused[0]
    assert outcome.builds[0].rpms == ()


def test_a_build_that_the_hub_has_with_another_epoch(tmp_path: Path) -> None:
    known = {"hello-1-1": COMPLETE | {"epoch": 1}}
    package = candidate(tmp_path, epoch=2)
    outcome = plan(package, builds=known)
    assert outcome.refused == [
        "hello-1-1.noarch.rpm belongs to a build with the epoch 2, "
        "but the hub has hello-1-1 with the epoch 1"
    ]
    assert outcome.builds[0].rpms == ()
    # If nothing is missing, nothing is wrong now.
    assert plan(package, builds=known, rpms=record(package)).refused == []
    # A subpackage may have an epoch of its own.
    other = candidate(tmp_path, "hi", source="hello-1-1.src.rpm", epoch=2)
    assert plan(other, builds=known).refused == []


@pytest.mark.parametrize(
    ("options", "version", "reason"),
    [
        ({"arch": "nosrc"}, "1.30.0", "is a nosrc RPM"),
        ({"epoch": 1 << 31}, "1.30.0", "has the epoch 2147483648, which no hub can keep"),
        ({"source": "(none)"}, "1.30.0", "no NAME-VERSION-RELEASE: '(none)'"),
        ({"tags": {1000: "../hello"}}, "1.30.0", "names in its header that no file can have"),
        ({"source": "hello-1-1\x1b[2J.src.rpm"}, "1.30.0", "that no file can have"),
        ({"tags": {1082: [b"\x01"]}}, "1.30.0", "control characters in its changelog"),
        ({"digests": OF_RPM_6}, "1.35.3", "rpm 6 format, without an MD5 digest, which Koji 1.35.3"),
        ({"digests": OF_RPM_6}, "1.36.0", None),
        ({"digests": OF_RPM_6}, "2.0", None),
        ({}, "1.30.0", None),
    ],
)
def test_what_no_hub_of_that_version_takes(
    tmp_path: Path, options: dict[str, Any], version: str, reason: str | None
) -> None:
    answer = objection(rpm.read(write_rpm(tmp_path, **options)), version)
    assert (reason in answer) if reason and answer else answer == reason
