"""External repositories: a tag's repository gets their packages however they are compressed, or the
task fails; and every package manager can read the result, since it is compressed with gzip."""

import gzip
from pathlib import Path

import pytest

from tests.system import building
from tests.system.conftest import Koji

MAKE = r"""
set -e
rm -rf /tmp/external && mkdir -p /tmp/external/x86_64 && cd /tmp/external
cat >external.spec <<END
Name: external-$1
Version: 1
Release: 1
Summary: Somebody else's package
License: MIT
BuildArch: noarch
%description
%summary.
%files
END
rpmbuild -bb --quiet --define '_topdir /tmp/external' external.spec
cp RPMS/noarch/*.rpm x86_64
createrepo_c --quiet --general-compress-type=$1 --compress-type=$1 x86_64
"""


def repository_of_tag(
    seeded: Koji, folder: Path, tag: str, mode: str, *, damaged: bool = False
) -> tuple[str, int | None]:
    """Merge an external repository with zstd metadata into a new tag's repository: how the task
    that makes it ended, and its repository."""
    seeded.toji("exec", "kojibuilder", "bash", "-c", MAKE, "make", "zstd")
    builder, hub = f"{seeded.system}-kojibuilder", f"{seeded.system}-koji"
    seeded.run("docker", "cp", f"{builder}:/tmp/external", str(folder))
    data = folder / "external/x86_64/repodata"
    assert not list(data.glob("*.gz"))
    if damaged:
        (primary,) = data.glob("*primary*")
        primary.write_bytes(primary.read_bytes()[:40])
    seeded.run("docker", "cp", str(folder / "external"), f"{hub}:/mnt/koji/external-{tag}")
    session = seeded.session()
    session.createTag(tag, arches="x86_64")
    url = f"https://koji/kojifiles/external-{tag}/$arch/"
    session.createExternalRepo(f"external-{tag}", url)
    session.addExternalRepoToTag(tag, f"external-{tag}", 10, merge_mode=mode)
    task = session.newRepo(tag)
    if (state := building.state(session, task)) != "CLOSED":
        return state, None
    # Not the tag's repository: up to Koji 1.30 kojira expires that of a tag without a target soon.
    number, _event = session.getTaskResult(task)
    return state, number


@pytest.mark.parametrize("mode", ["koji", "simple", "bare"])
def test_zstd_is_read_and_gzip_written(seeded: Koji, tmp_path: Path, mode: str) -> None:
    tag = f"external-{mode}"
    state, repo = repository_of_tag(seeded, tmp_path, tag, mode)
    assert state == "CLOSED"
    files = f"/mnt/koji/repos/{tag}/{repo}/x86_64/repodata"
    seeded.run("docker", "cp", f"{seeded.system}-koji:{files}", str(tmp_path))
    (primary,) = (tmp_path / "repodata").glob("*primary.xml.gz")
    assert b"<name>external-zstd</name>" in gzip.decompress(primary.read_bytes())


def test_damaged_metadata_fails_the_task(seeded: Koji, tmp_path: Path) -> None:
    state, _ = repository_of_tag(seeded, tmp_path, "external-damaged", "koji", damaged=True)
    assert state == "FAILED"
    assert seeded.session().getRepo("external-damaged") is None
