"""kojid, which is root, follows no link that root in a chroot has planted.

Each of these paths is one that kojid 1.30 or 1.35, or a plugin of Koji's, uses as root between two
calls of mock: builder/kojid (BuildRoot, BuildSRPMFromSCMTask, RebuildSRPM, BuildMavenTask),
koji/daemon.py (SCM) and plugins/builder/runroot.py.
"""

import pytest
from docker.models.containers import Container

from tests.image.koji_builder.buildroots import Buildroot, Maker
from tests.image.tracked import execute

# A buildroot as kojid has it, without a hub.
KOJID = """
import glob, importlib.machinery, importlib.util, os, shutil, sys, types
import koji, koji.tasks
loader = importlib.machinery.SourceFileLoader("kojid", "/usr/sbin/kojid")
kojid = importlib.util.module_from_spec(importlib.util.spec_from_loader("kojid", loader))
loader.exec_module(kojid)
broot = kojid.BuildRoot.__new__(kojid.BuildRoot)
broot.name = sys.argv[1]
broot.options = types.SimpleNamespace(mockdir="/var/lib/mock", chroot_tmpdir="/chroot_tmpdir")
broot.markExternalRPMs = broot.mapInternalRPMs = lambda packages: None
root, tmpdir = broot.rootdir(), broot.tmpdir()
"""
CHECKOUT = """
koji.ensuredir(tmpdir + "/scmroot")
os.system(f"cd {tmpdir}/scmroot && git init --quiet x && touch x/file")
koji.tasks.BaseTaskHandler.chownTree(None, tmpdir + "/scmroot", 1000, 1000)
"""
MOVE = """
for path in glob.glob(tmpdir + "/srpm_unpacked/SRPMS/*.src.rpm"):
    shutil.move(path, broot.resultdir())
"""
REBUILD = """
broot.id, broot.session, broot.mock = 0, types.SimpleNamespace(host=broot), lambda arguments: 0
broot.setBuildRootState = lambda *arguments: None
koji.ensuredir(tmpdir + "/srpm_unpacked/SPECS")
open(tmpdir + "/srpm_unpacked/SPECS/x.spec", "w").close()
broot.rebuild_srpm("x.src.rpm")
print("taken:", sorted(os.listdir(broot.resultdir())))
"""
LOGS = """
for path in glob.glob(root + "/var/log/dnf*.log"):
    print(open(path).read())
"""
OUTSIDE = (
    "rm -rf /srv/outside; rpmdb --initdb --dbpath /srv/outside; cd /srv/outside;"
    " rm -f .rpm.lock; echo SECRET | tee secret x.src.rpm"
)


@pytest.fixture(scope="module")
def planted(host: Container) -> Buildroot:
    """A buildroot with a package that planted the links, up to where kojid begins to use it."""
    return Maker(host)(install_group="planter").initialise()


def kojid(buildroot: Buildroot, action: str) -> str:
    """Do something with a buildroot as kojid does, and return what that prints, a traceback too.

    The builder's files that the links name have to stay as they are.
    """
    assert buildroot.root(OUTSIDE)
    listing = "find /srv/outside -printf '%p %U %s %T@\\n'"
    before = buildroot.root(listing)
    output = execute(buildroot.container, "python3", "-c", KOJID + action, buildroot.name)[1]
    assert buildroot.root(listing) == before
    return output


def test_what_a_package_left_in_kojids_place_is_gone(planted: Buildroot) -> None:
    output = kojid(planted, CHECKOUT)
    assert planted.root(f"ls {planted.path}/root/chroot_tmpdir/scmroot").split() == ["x"], output


@pytest.mark.parametrize(
    ("action", "command"),
    [
        pytest.param(CHECKOUT, "uname", id="chroot_tmpdir"),
        pytest.param(
            CHECKOUT,
            "cd /; rm chroot_tmpdir; mkdir chroot_tmpdir; ln -s /srv/outside chroot_tmpdir/scmroot",
            id="scmroot",
        ),
        pytest.param(
            MOVE,
            "cd /chroot_tmpdir; mkdir srpm_unpacked; ln -s /srv/outside srpm_unpacked/SRPMS",
            id="SRPMS",
        ),
        pytest.param(LOGS, "true", id="dnf.log"),
        pytest.param(
            "print(open(root + '/builddir/runroot.log').read())", "true", id="runroot.log"
        ),
        pytest.param("open(root + '/tmp/runroot_mounts', 'at').write('x')", "true", id="mounts"),
        pytest.param("koji.ensuredir(root + '/maven/build')", "true", id="maven"),
        pytest.param(
            "broot.getPackageList()",
            "cd /var/lib; mv rpm moved; ln -s /srv/outside rpm",
            id="rpm database",
        ),
    ],
)
def test_kojid_follows_no_link_of_a_chroot(planted: Buildroot, action: str, command: str) -> None:
    assert planted.mock("--chroot", command)[0] == 0
    assert "SECRET" not in kojid(planted, action)


def test_kojid_takes_no_pipe_out_of_a_chroot(make: Maker) -> None:
    """It would wait for somebody who writes to it."""
    buildroot = make().initialise()
    folder = "/chroot_tmpdir/srpm_unpacked/SRPMS"
    plant = f"mkdir -p {folder}; cd {folder}; mkfifo pipe.src.rpm; echo x > file.src.rpm"
    assert buildroot.mock("--chroot", plant)[0] == 0
    output = kojid(buildroot, REBUILD)
    assert "'file.src.rpm'" in output
    assert "pipe.src.rpm" not in output


def test_links_lead_where_they_should_inside(planted: Buildroot) -> None:
    planted.mock("--chroot", "mkdir -p /srv/outside && echo INSIDE > /srv/outside/secret")
    assert "INSIDE" in planted.mock("--chroot", "cat /builddir/runroot.log")[1]


def test_kojid_finds_the_rpm_database_where_fedora_has_it(make: Maker) -> None:
    buildroot = make().initialise()
    move = "mkdir -p usr/lib/sysimage; mv var/lib/rpm usr/lib/sysimage/"
    link = "ln -s ../../usr/lib/sysimage/rpm var/lib/rpm"
    assert buildroot.mock("--chroot", f"cd / && {move} && {link}")[0] == 0
    assert "demo-buildroot" in kojid(buildroot, "print(broot.getPackageList())")
