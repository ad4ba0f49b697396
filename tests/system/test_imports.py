"""Imports of a seed into a real hub: RPMs of any age, those that Koji cannot have, repositories."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import koji
import pytest
import requests
import yaml

from nagoya.koji.builds import upload
from tests.rpm_files import OF_EL6, OF_RPM_6, write_rpm
from tests.system import building
from tests.system.conftest import Koji, Run

MAKE = r"""
set -e
rm -rf /tmp/mirror && mkdir -p /tmp/mirror && cd /tmp/mirror
for name in gnu-hello gnu-time; do
cat >$name.spec <<END
Name: $name
Version: 1
Release: 1
Summary: A package of another distribution
License: MIT
BuildArch: noarch
%description
%summary.
%package libs
Summary: A part of it
%description libs
%summary.
%files
%files libs
END
rpmbuild -bb --quiet --define '_topdir /tmp/mirror/top' $name.spec
done
mkdir os && cp top/RPMS/noarch/*.rpm os
createrepo_c --quiet --general-compress-type=zstd --compress-type=zstd os
"""


def seed(site: Koji, folder: Path, tag: str, *, check: bool = True, **document: Any) -> Run:
    """Apply a seed with a tag and an import to it."""
    path = folder / "seed.yml"
    documents: list[dict[str, Any]] = [
        {"type": "tag", "name": tag, "arches": ["x86_64"]},
        {"type": "import", "tag": tag, "owner": "kojiadmin", **document},
    ]
    path.write_text(yaml.safe_dump_all(documents))
    return site.toji("seed", str(path), check=check)


def tagged(session: koji.ClientSession, tag: str) -> list[str]:
    """The latest builds of a tag."""
    return sorted(build["nvr"] for build in session.listTagged(tag, latest=True))


def test_rpms_of_any_age_become_builds_and_a_repository(seeded: Koji, tmp_path: Path) -> None:
    write_rpm(tmp_path, "aged", version="9", digests=OF_EL6, epoch=3, tags={1005: [b"caf\xe9"]})
    write_rpm(tmp_path, "aged-libs", version="9", digests=OF_EL6, source="aged-9-1.src.rpm")
    write_rpm(tmp_path, "aged", version="9", digests=OF_EL6, epoch=3, arch="src")
    write_rpm(tmp_path, "aged", version="10", epoch=3, file_name="download.rpm")
    assert (
        "4 RPMs imported, 2 builds tagged" in seed(seeded, tmp_path, "aged", rpms=["*.rpm"]).stderr
    )
    session = seeded.session()
    # 9 sorts behind 10, but it is older.
    assert tagged(session, "aged") == ["aged-10-1"]
    build = session.getBuild("aged-9-1")
    assert build["epoch"] == 3
    assert {rpm["arch"] for rpm in session.listRPMs(build["id"])} == {"src", "noarch"}
    assert building.state(session, session.newRepo("aged")) == "CLOSED"

    (libs,) = (rpm for rpm in session.listRPMs(build["id"]) if rpm["name"] == "aged-libs")
    for rpm in session.listRPMs(build["id"]):
        page = f"{seeded.description['urls']['web']}/rpminfo?rpmID={rpm['id']}"
        assert requests.get(page, verify=seeded.description["ca"], timeout=60).status_code == 200
    again = seed(seeded, tmp_path, "aged", rpms=["*.rpm"]).stderr
    assert "RPMs imported" not in again
    assert session.getRPM(libs["id"])["payloadhash"] == libs["payloadhash"]


def test_two_equal_seeds_at_once(seeded: Koji, tmp_path: Path) -> None:
    write_rpm(tmp_path, "twice")
    path = tmp_path / "seed.yml"
    documents = [
        {"type": "user", "name": "twice"},
        {"type": "tag", "name": "twice", "arches": ["x86_64"]},
        {"type": "import", "tag": "twice", "owner": "twice", "rpms": ["*.rpm"]},
    ]
    path.write_text(yaml.safe_dump_all(documents))
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: seeded.toji("seed", str(path)), range(2)))
    output = "".join(run.stderr for run in runs)
    assert output.count("1 RPMs imported, 1 builds tagged") == 1
    assert tagged(seeded.session(), "twice") == ["twice-1-1"]


def test_refusals_stop_neither_the_rest_nor_leave_empty_builds(
    seeded: Koji, tmp_path: Path
) -> None:
    write_rpm(tmp_path, "whole")
    write_rpm(tmp_path, "part", version="2")
    damaged = write_rpm(tmp_path, "part-libs", version="2", source="part-2-1.src.rpm")
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1])
    bad = [
        write_rpm(tmp_path, "six", digests=OF_RPM_6),
        write_rpm(tmp_path, "closed", arch="nosrc"),
        write_rpm(tmp_path, "beep", tags={1082: [b"\x07"], 1081: ["a"], 1080: [1]}),
        tmp_path / "page.rpm",
    ]
    bad[-1].write_text("<html>not found</html>")
    if building.hub_of(seeded).session().getKojiVersion() >= "1.36":
        bad.pop(0).unlink()
    run = seed(seeded, tmp_path, "mixed", rpms=["*.rpm"], check=False)
    assert run.status == 7
    assert run.stderr.count(" is on the hub") == 0
    for path in (*bad, damaged):
        assert f"  {path.name} " in run.stderr
    session = seeded.session()
    assert tagged(session, "mixed") == ["whole-1-1"]
    assert session.getRPM("part-2-1.noarch")
    assert [session.getBuild(f"{name}-1-1") for name in ("six", "closed", "beep")] == [None] * 3

    damaged.write_bytes(content)
    for path in bad:
        path.unlink()
    again = seed(seeded, tmp_path, "mixed", rpms=["*.rpm"]).stderr
    assert "1 RPMs imported, 1 builds tagged" in again
    assert tagged(session, "mixed") == ["part-2-1", "whole-1-1"]
    # The hub has an RPM of this name with other contents.
    write_rpm(tmp_path, "whole", payload=b"other")
    run = seed(seeded, tmp_path, "mixed", rpms=["whole*"], check=False)
    assert run.status == 7
    assert "whole-1-1.noarch.rpm is on the hub with other contents" in run.stderr


def test_the_hub_itself_cannot_have_what_is_refused(seeded: Koji, tmp_path: Path) -> None:
    session = seeded.session()

    def import_it(path: Path) -> None:
        session.createEmptyBuild(*path.name.removesuffix(".noarch.rpm").rsplit("-", 2), None)
        session.importRPM(upload(session, path).rpartition("/")[0], path.name)

    if session.getKojiVersion() < "1.36":
        with pytest.raises(koji.GenericError, match=r"^newest-1-1\.noarch\.rpm has no MD5 digest"):
            import_it(write_rpm(tmp_path, "newest", digests=OF_RPM_6))
    tags: dict[int, Any] = {1082: [b"\x07"], 1081: ["a"], 1080: [1]}
    import_it(write_rpm(tmp_path, "alarm", tags=tags))
    session.createTag("alarm", arches="x86_64")
    session.packageListAdd("alarm", "alarm", "kojiadmin")
    session.tagBuildBypass("alarm", "alarm-1-1")
    assert building.state(session, session.newRepo("alarm")) == "FAILED"


def test_a_repository_is_imported_piece_by_piece(seeded: Koji, tmp_path: Path) -> None:
    seeded.toji("exec", "kojibuilder", "bash", "-c", MAKE)
    builder, hub = f"{seeded.system}-kojibuilder", f"{seeded.system}-koji"
    seeded.run("docker", "cp", f"{builder}:/tmp/mirror/os", str(tmp_path))
    seeded.run("docker", "cp", str(tmp_path / "os"), f"{hub}:/mnt/koji/mirror")
    session = seeded.session()
    files = seeded.description["urls"]["files"]
    source = {"repo": f"{files}/mirror", "ca": seeded.description["ca"]}
    run = seed(seeded, tmp_path, "mirror", **source, packages=["gnu-tim"], check=False)
    assert "has no RPMs of these source packages:" in run.stderr
    assert "'gnu-tim'; did you mean 'gnu-time'?" in run.stderr
    seed(seeded, tmp_path, "mirror", **source, packages=["gnu-t*"])
    assert tagged(session, "mirror") == ["gnu-time-1-1"]
    assert session.getRPM("gnu-time-libs-1-1.noarch")

    # What the hub has is not downloaded again; what is not as listed is refused.
    for command in ("rm gnu-time-1-1.noarch.rpm", "truncate -s -1 gnu-hello-libs-1-1.noarch.rpm"):
        seeded.toji("exec", "koji", "sh", "-c", f"cd /mnt/koji/mirror && {command}")
    run = seed(seeded, tmp_path, "mirror", **source, check=False)
    assert run.status == 7
    assert "gnu-hello-libs-1-1.noarch.rpm is not the file that the repository lists" in run.stderr
    assert tagged(session, "mirror") == ["gnu-time-1-1"]
    path = tmp_path / "os/gnu-hello-libs-1-1.noarch.rpm"
    seeded.run("docker", "cp", str(path), f"{hub}:/mnt/koji/mirror/")
    assert "1 RPMs imported, 1 builds tagged" in seed(seeded, tmp_path, "mirror", **source).stderr
    assert tagged(session, "mirror") == ["gnu-hello-1-1", "gnu-time-1-1"]
