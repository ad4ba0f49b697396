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
from tests.image.koji_builder.test_mock_distributions import repackage
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


def test_settings_of_a_tag_that_mock_cannot_follow(seeded: Koji, tmp_path: Path) -> None:
    session = seeded.session()
    extra = {"mock.package_manager": "dnf5", "mock.bootstrap_image": "fedora:43"}
    session.createTag("other-mock", parent="demo-build", arches="x86_64", extra=extra)
    session.createBuildTarget("other-mock", "other-mock", "demo")
    seeded.client("regen-repo", "--wait", "other-mock")
    source = uploaded(session, sources(seeded, "hello"), tmp_path)
    task = session.build(source, "other-mock", {"scratch": True})
    assert state(session, task) == "FAILED"
    failed = child(session, task, "rebuildSRPM") or child(session, task, "buildArch")
    assert failed
    log = session.downloadTaskOutput(failed["id"], "root.log").decode()
    assert "mock does not support mock.package_manager=dnf5, mock.bootstrap_image, which" in log
    with pytest.raises(koji.BuildrootError, match=r"see root\.log"):
        session.getTaskResult(failed["id"])


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["i686", "x86_64_v2"])
def test_packages_for_other_processors_are_built(
    start: Callable[..., Koji], declaration: Declaration, checkout: Path, tmp_path: Path, arch: str
) -> None:
    name = koji.canonArch(arch)

    def set_arches(raw: dict[str, Any]) -> None:
        raw["containers"]["kojibuilder"]["environment"]["KOJI_BUILDER_ARCHES"] = f"x86_64 {arch}"

    site = start("other", config=declaration_with(declaration, checkout, tmp_path, set_arches))
    session = site.session()
    assert session.getHost("kojibuilder")["arches"] == f"x86_64 {name}"
    renamed = f"Koji's name for {arch} is {name}" in site.toji("logs", "kojibuilder").stdout
    assert renamed == (name != arch)

    text = spec("native", "%build\nuname -m").replace("BuildArch: noarch\n", "")
    command = f"""touch /tmp/comps.xml
    {repackage(arch).replace("--groupfile /tmp/comps.xml", "")}
    cat > /tmp/native.spec <<'END'\n{text}\nEND
    rpmbuild -bs --quiet --define '_srcrpmdir /tmp' --define '_topdir /tmp/top' /tmp/native.spec"""
    builder, hub = f"{site.system}-kojibuilder", f"{site.system}-koji"
    site.run("docker", "exec", builder, "bash", "-ec", command)
    site.run("docker", "exec", hub, "mkdir", "-p", "/mnt/koji/external")
    folder = f"/srv/distribution/repos/t/1/{name}"
    copy = f"docker cp {builder}:{folder} - | docker cp - {hub}:/mnt/koji/external"
    site.run("bash", "-ec", copy)
    site.run("docker", "cp", f"{builder}:/tmp/native-1-1.src.rpm", str(tmp_path))

    session.createTag("native", arches=arch)
    session.createBuildTarget("native", "native", "native")
    for group in ("build", "srpm-build"):
        session.groupListAdd("native", group)
        session.groupPackageListAdd("native", group, "demo-buildroot")
    session.createExternalRepo("native", "https://koji/kojifiles/external/$arch/")
    session.addExternalRepoToTag("native", "native", 10)
    site.client("regen-repo", "--wait", "native")
    source = session.build(upload(session, tmp_path / "native-1-1.src.rpm"), "native",
                           {"scratch": True})  # fmt: skip
    assert state(session, source) == "CLOSED", site.toji(
        "logs", "--task", str(source), check=False
    ).stdout
    built = child(session, source, "buildArch")
    assert built
    assert built["arch"] == name
    assert f"native-1-1.{arch}.rpm" in session.listTaskOutput(built["id"])
    (buildroot,) = session.listBuildroots(taskID=built["id"])
    installed = session.listRPMs(componentBuildrootID=buildroot["id"])
    assert [(rpm["name"], rpm["arch"]) for rpm in installed] == [("demo-buildroot", arch)]
