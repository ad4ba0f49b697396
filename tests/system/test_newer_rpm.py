"""Builds on a distribution whose rpm is newer than the builder's: rpm 6 and dnf of Debian's sid."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nagoya.config.declaration import Declaration
from nagoya.engine import connect
from nagoya.koji.builds import upload, wait_for_repo
from tests.image.koji_builder.buildroots import spec
from tests.image.koji_builder.comparison import OF_THE_MOMENT, differences, read_headers
from tests.system import building, distributions
from tests.system.conftest import Koji
from tests.system.distributions import DistributionKoji

pytestmark = pytest.mark.long

TARGETS: Mapping[str, Mapping[str, object]] = {
    "plain": distributions.RPM_4,
    "bootstrap": {"mock.use_bootstrap": 1, **distributions.RPM_4},
    "format-6": {"mock.use_bootstrap": 1},
}
"""Targets, and the extras of their build tags."""
# The digests of its files are SHA3-256, which rpm knows from 6.0 on.
DIGESTS = (
    spec(
        "digests",
        """%global _binary_filedigest_algorithm 12
%install
mkdir -p %{buildroot}/usr/share/digests
echo content > %{buildroot}/usr/share/digests/file""",
    )
    + "/usr/share/digests\n"
)
USER = spec("user", "%prep\ncat /usr/share/digests/file", BuildRequires="digests")


@pytest.fixture(scope="module")
def site(start: Callable[..., Koji], declaration: Declaration) -> DistributionKoji:
    """A Koji with that distribution, and a target for each way to build on it."""
    site = distributions.start(start, declaration, "newer", {}, ["hostname"])
    for name in ("digests", "sixth", "user"):
        site.session.packageListAdd("distribution", name, "kojiadmin")
    for name, extra in TARGETS.items():
        distributions.add_target(site.session, name, extra=extra)
    return site


def installed(site: DistributionKoji, task: int) -> dict[str, dict[str, Any]]:
    """What was in the buildroot of a build, as the hub has it, by name."""
    arch = building.child(site.session, task, "buildArch")
    assert arch
    (buildroot, *_) = site.session.listBuildroots(taskID=arch["id"])
    rpms = site.session.listRPMs(componentBuildrootID=buildroot["id"])
    return {rpm["name"]: rpm for rpm in rpms}


def test_its_rpm_builds_what_comes_without_a_bootstrap(site: DistributionKoji) -> None:
    plain = site.submit("hostname", "srpm", "plain", scratch=True)
    site.submit("hostname", "srpm", "bootstrap")
    build = site.finish("hostname")
    folder = "/mnt/koji/packages/{name}/{version}/{release}".format(**build)
    builder = connect().client.containers.get(f"{site.koji.system}-kojibuilder")
    headers = read_headers(builder, f"{folder}/[!d]*/*.rpm")
    rpm = installed(site, site.tasks["hostname"])["rpm"]["version"]
    assert rpm.startswith("6.")
    assert {header["RPMVERSION"] for header in headers.values()} == {repr(rpm)}
    assert building.state(site.session, plain, distributions.SECONDS) == "CLOSED"
    expected = read_headers(builder, f"/mnt/koji/scratch/kojiadmin/task_{plain}/*.rpm")
    assert differences(headers, expected) <= OF_THE_MOMENT | {"SOURCEPKGID"}


def test_a_package_that_the_builders_rpm_cannot_install(
    site: DistributionKoji, tmp_path: Path
) -> None:
    session, hub = site.session, building.hub_of(site.koji)
    session.editBuildTarget("bootstrap", "bootstrap", "bootstrap", "distribution")
    digests = upload(session, building.make_srpm(site.koji, DIGESTS, tmp_path))
    task = session.build(digests, "bootstrap")
    assert building.state(session, task, distributions.SECONDS) == "CLOSED"
    (build,) = session.listBuilds(taskID=task)
    user = upload(session, building.make_srpm(site.koji, USER, tmp_path))
    tasks = {}
    for target in ("plain", "bootstrap"):
        repo = wait_for_repo(hub, target, [build["nvr"]])
        tasks[target] = session.build(user, target, {"scratch": True, "repo_id": repo["id"]})
    states = {
        target: building.state(session, task, distributions.SECONDS)
        for target, task in tasks.items()
    }
    assert states == {"plain": "FAILED", "bootstrap": "CLOSED"}
    arch = building.child(session, tasks["plain"], "buildArch")
    assert arch
    log = session.downloadTaskOutput(arch["id"], "root.log").decode()
    assert "Digest mismatch" in log
    assert "digests" in installed(site, tasks["bootstrap"])


def test_a_hub_before_1_36_takes_no_package_in_its_own_format(
    site: DistributionKoji, tmp_path: Path
) -> None:
    srpm = building.make_srpm(site.koji, spec("sixth", ""), tmp_path)
    task = site.session.build(upload(site.session, srpm), "format-6")
    assert building.state(site.session, task, distributions.SECONDS) == "FAILED"
    fault = site.session.getTaskResult(task, raise_fault=False)["faultString"]
    assert "has no MD5 digest" in fault
