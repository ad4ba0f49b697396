"""Packages built on a distribution made of Debian's, from source RPMs and from git; rpmbuild alone
makes the same RPMs."""

import re
from collections.abc import Callable, Mapping

import pytest

from nagoya.config.declaration import Declaration
from nagoya.koji.builds import wait_for_repo
from tests.debian_distribution import tables
from tests.system import building, distributions
from tests.system.conftest import Koji
from tests.system.distributions import DistributionKoji

SHORT = {
    "perl-Text-Template": "srpm",
    "popt": "srpm",
    "python-six": "git",
}
"""Each package of `make test`, and what it is built from."""

LONG = {
    "cjson": "srpm",
    "cmark": "git",
    "dbus-python": "srpm",
    "dnsmasq": "git",
    "fribidi": "git",
    "go-md2man": "srpm",
    "hello": "srpm",
    "inih": "srpm",
    "jansson": "git",
    "jbigkit": "srpm",
    "libyaml": "git",
    "logrotate": "srpm",
    "lz4": "git",
    "man-pages": "srpm",
    "nanomsg": "srpm",
    "perl-Clone": "git",
    "perl-HTTP-Daemon": "srpm",
    "psmisc": "git",
    "python-colorama": "srpm",
    "python-iniconfig": "srpm",
    "python-markupsafe": "git",
    "python-packaging": "git",
    "tini": "srpm",
    "tinyxml2": "git",
    "zlib": "srpm",
}
BOTH = "lz4"
"""A package of LONG that is built for x86_64 and i686, too; it has a noarch subpackage."""


@pytest.fixture(scope="module")
def short(
    start: Callable[..., Koji], declaration: Declaration, request: pytest.FixtureRequest
) -> DistributionKoji:
    """A Koji with the short form, to which the packages of SHORT were submitted."""
    return distributions.start(start, declaration, "short", selected(request, SHORT), SHORT)


@pytest.fixture(scope="module")
def long(
    start: Callable[..., Koji], declaration: Declaration, request: pytest.FixtureRequest
) -> DistributionKoji:
    """A Koji with the whole distribution, to which the packages of LONG were submitted."""
    return distributions.start(
        start, declaration, "long", selected(request, LONG), [*LONG, "hostname"]
    )


def selected(request: pytest.FixtureRequest, packages: Mapping[str, str]) -> dict[str, str]:
    """Those of the packages whose tests run: `-k NAME` builds no other."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    names = {call.params.get("name") for call in calls if call}
    return {name: source for name, source in packages.items() if name in names}


@pytest.mark.parametrize("name", SHORT)
def test_koji_builds_what_rpmbuild_builds(short: DistributionKoji, name: str) -> None:
    assert_as_rpmbuild_does(short, name)


@pytest.mark.long
@pytest.mark.parametrize("name", LONG)
def test_koji_builds_what_rpmbuild_builds_of_more(long: DistributionKoji, name: str) -> None:
    assert_as_rpmbuild_does(long, name)


def assert_as_rpmbuild_does(site: DistributionKoji, name: str) -> None:
    """The same RPMs, with the same files, modes, digests, scriptlets and relations."""
    build = site.finish(name)
    built = site.built(build)
    assert built
    assert built == site.rebuilt_plainly(build)


@pytest.mark.parametrize("name", ["popt"])
def test_debug_information_is_packed_by_itself(short: DistributionKoji, name: str) -> None:
    build = short.finish(name)
    built = short.built(build)
    names = {name.rsplit("-", 2)[0] for name in built}
    assert names == {"popt", "popt-devel", "popt-debuginfo", "popt-debugsource"}
    text = built[f"popt-debuginfo-1.19-{build['release']}.x86_64.rpm"]
    assert "/usr/lib/debug/.build-id/" in text


@pytest.mark.long
def test_a_tag_turns_a_bcond_on(long: DistributionKoji) -> None:
    """hello's `nls` is off by default."""
    session = long.session
    extra = {"rpm.macro._with_nls": "--with-nls"}
    distributions.add_target(session, "with-nls", extra=extra)
    task = long.submit("hello", "srpm", "with-nls", scratch=True)
    assert building.state(session, task, distributions.SECONDS) == "CLOSED"
    build = building.child(session, task, "buildArch")
    log = session.downloadTaskOutput(build["id"], "build.log").decode() if build else ""
    assert re.search(r"^\+ \./configure .*--enable-nls", log, re.MULTILINE)


@pytest.mark.long
def test_one_build_for_two_arches(start: Callable[..., Koji], declaration: Declaration) -> None:
    """The noarch subpackage comes of both, so Koji compares it."""
    site = distributions.start(start, declaration, "short", {}, [BOTH])
    distributions.serve(site.koji, declaration, "short", "i386")
    session = site.session
    session.editHost("kojibuilder", arches="x86_64 i386")
    distributions.add_target(session, "both", "x86_64 i686")
    site.submit(BOTH, "git", "both")
    build = site.finish(BOTH)
    built = site.built(build)
    assert {name.rsplit(".", 2)[1] for name in built} == {"x86_64", "i686", "noarch"}
    assert built == site.rebuilt_plainly(build) | site.rebuilt_plainly(build, "i686")


@pytest.mark.long
def test_a_part_of_the_distribution_rebuilds_itself(long: DistributionKoji) -> None:
    """Its own packages and one of Debian's, built by it, are in the next buildroot."""
    session = long.session
    names = ["filesystem", "hostname", "nagoya-release", "rpm-macros", "setup"]
    tasks = {name: long.submit(name, "srpm", "distribution-rebuild") for name in names}
    nvrs = [long.finish(name)["nvr"] for name in tasks]
    repo = wait_for_repo(building.hub_of(long.koji), distributions.BUILD_TAG, nvrs)
    task = long.submit("hello", "git", scratch=True, repo_id=repo["id"])
    assert building.state(session, task, distributions.SECONDS) == "CLOSED"
    arch = building.child(session, task, "buildArch")
    (buildroot, *_) = session.listBuildroots(taskID=arch["id"] if arch else 0)
    installed = session.listRPMs(componentBuildrootID=buildroot["id"])
    rebuilt = {rpm["name"] for rpm in installed if not rpm["external_repo_id"]}
    assert rebuilt == {*tables.OWN_PACKAGES, "hostname"}
