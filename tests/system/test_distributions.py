"""What release engineers of distributions do, with a real kojid: other arches, the layout of their
repositories, waiting for a repository."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import koji
import pytest

from nagoya.config.declaration import Declaration
from nagoya.koji.builds import upload
from tests.image.koji_builder.buildroots import spec
from tests.image.koji_builder.test_mock_distributions import MAKE_I686
from tests.system.building import child, sources, state, uploaded
from tests.system.conftest import Koji, declaration_with

# SPECS/ and SOURCES/, as CentOS and its rebuilds have them.
LAYOUT = """
rm -rf /tmp/layout && mkdir -p /tmp/layout/work/SPECS /tmp/layout/work/SOURCES
cd /tmp/layout/work
echo said > SOURCES/text
printf 'sources:\\n' > Makefile
cat > SPECS/layout.spec <<'END'
{spec}
END
git init --quiet --initial-branch=main && git add --all
git -c user.name=x -c user.email=x@example.com commit --quiet --message x
git clone --quiet --bare . ../layout.git && git -C ../layout.git update-server-info
"""


def test_the_layout_of_centos(seeded: Koji) -> None:
    text = spec("layout", "%prep\n%build\ngrep said %{SOURCE0}", Source0="text")
    builder, hub = f"{seeded.system}-kojibuilder", f"{seeded.system}-koji"
    seeded.run("docker", "exec", builder, "bash", "-ec", LAYOUT.replace("{spec}", text))
    sources(seeded, "hello")  # the folder for repositories is there from now on
    copy = f"docker cp {builder}:/tmp/layout/layout.git - | docker cp - {hub}:/mnt/koji/demo/git"
    seeded.run("bash", "-ec", copy)
    session = seeded.session()
    task = session.build("git+https://koji/demo/git/layout.git#main", "demo", {"scratch": True})
    assert state(session, task) == "CLOSED"


@pytest.mark.parametrize("changes", [False, True])
def test_waiting_for_a_repository_ends(seeded: Koji, tmp_path: Path, changes: bool) -> None:
    """Whether the repository is current or has to be made."""
    session = seeded.session()
    event = 0
    if changes:
        session.packageListAdd("demo-build", "waited-for", "kojiadmin")
        event = session.getLastEvent()["id"]
    source = uploaded(session, sources(seeded, "hello"), tmp_path)
    task = session.build(source, "demo", {"scratch": True, "wait_repo": True})
    assert state(session, task) == "CLOSED"
    assert session.getRepo("demo-build")["create_event"] >= event


def test_a_setting_of_a_tag_that_mock_cannot_follow(seeded: Koji, tmp_path: Path) -> None:
    session = seeded.session()
    session.createTag("other-mock", parent="demo-build", arches="x86_64",
                      extra={"mock.package_manager": "dnf5"})  # fmt: skip
    session.createBuildTarget("other-mock", "other-mock", "demo")
    seeded.client("regen-repo", "--wait", "other-mock")
    source = uploaded(session, sources(seeded, "hello"), tmp_path)
    task = session.build(source, "other-mock", {"scratch": True})
    assert state(session, task) == "FAILED"
    failed = child(session, task, "rebuildSRPM") or child(session, task, "buildArch")
    assert failed
    log = session.downloadTaskOutput(failed["id"], "root.log").decode()
    assert "mock does not support mock.package_manager=dnf5" in log
    with pytest.raises(koji.BuildrootError, match=r"see root\.log"):
        session.getTaskResult(failed["id"])


@pytest.mark.slow
def test_packages_for_i686_are_built(
    start: Callable[..., Koji], declaration: Declaration, checkout: Path, tmp_path: Path
) -> None:
    def set_arches(raw: dict[str, Any]) -> None:
        raw["containers"]["kojibuilder"]["environment"]["KOJI_BUILDER_ARCHES"] = "x86_64 i686"

    site = start("i686", config=declaration_with(declaration, checkout, tmp_path, set_arches))
    session = site.session()
    assert session.getHost("kojibuilder")["arches"] == "x86_64 i386"
    assert "Koji's name for i686 is i386" in site.toji("logs", "kojibuilder").stdout

    narrow = spec("narrow", "%build\nuname -m").replace("BuildArch: noarch\n", "")
    folder = "/srv/distribution/repos/t/1/i386"
    make = f"""touch /tmp/comps.xml
    {MAKE_I686.replace("--groupfile /tmp/comps.xml", "")}
    cat > /tmp/narrow.spec <<'END'\n{narrow}\nEND
    rpmbuild -bs --quiet --define '_srcrpmdir /tmp' --define '_topdir /tmp/top' /tmp/narrow.spec"""
    builder, hub = f"{site.system}-kojibuilder", f"{site.system}-koji"
    site.run("docker", "exec", builder, "bash", "-ec", make)
    site.run("docker", "exec", hub, "mkdir", "-p", "/mnt/koji/external")
    copy = f"docker cp {builder}:{folder} - | docker cp - {hub}:/mnt/koji/external"
    site.run("bash", "-ec", copy)
    site.run("docker", "cp", f"{builder}:/tmp/narrow-1-1.src.rpm", str(tmp_path))

    session.createTag("narrow", arches="i686")
    session.createBuildTarget("narrow", "narrow", "narrow")
    for group in ("build", "srpm-build"):
        session.groupListAdd("narrow", group)
        session.groupPackageListAdd("narrow", group, "demo-buildroot")
    session.createExternalRepo("narrow", "https://koji/kojifiles/external/$arch/")
    session.addExternalRepoToTag("narrow", "narrow", 10)
    site.client("regen-repo", "--wait", "narrow")
    source = session.build(upload(session, tmp_path / "narrow-1-1.src.rpm"), "narrow",
                           {"scratch": True})  # fmt: skip
    assert state(session, source) == "CLOSED"
    built = child(session, source, "buildArch")
    assert built
    assert built["arch"] == "i386"
    assert "narrow-1-1.i686.rpm" in session.listTaskOutput(built["id"])
    (buildroot,) = session.listBuildroots(taskID=built["id"])
    installed = session.listRPMs(componentBuildrootID=buildroot["id"])
    assert [(rpm["name"], rpm["arch"]) for rpm in installed] == [("demo-buildroot", "i686")]
