"""Builds through a whole Koji whose builder has upstream's mock beside ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from nagoya.config.declaration import Declaration
from nagoya.engine import connect
from tests.image.koji_builder.buildroots import pack_dnf
from tests.image.koji_builder.comparison import OF_THE_MOMENT, differences, read_headers
from tests.system import distributions
from tests.system.building import child, sources, state, uploaded
from tests.system.conftest import Koji, declaration_with
from tests.system.distributions import DistributionKoji
from tests.system.test_distribution import LONG, SHORT, selected


@pytest.fixture(scope="module")
def site(start: Callable[..., Koji], tmp_path_factory: pytest.TempPathFactory) -> Koji:
    """A Koji that has built hello, and whose repository has a dnf for bootstrap chroots."""
    site = start("mock")
    site.toji("verify")
    builder = connect().client.containers.get(f"{site.system}-kojibuilder")
    rpms = {"type": "import", "tag": "demo-build", "container": "kojibuilder"}
    seed = tmp_path_factory.mktemp("seed") / "dnf.yml"
    seed.write_text(yaml.safe_dump({**rpms, "rpms": [pack_dnf(builder)]}))
    site.session().packageListAdd("demo-build", "demo-dnf", owner="kojiadmin")
    site.toji("seed", str(seed))
    return site


def log_of(site: Koji, task: int, name: str) -> str:
    """A log of a scratch build, which has to end well."""
    session = site.session()
    ended = state(session, task, distributions.SECONDS)
    build = child(session, task, "buildArch")
    assert build
    text = str(session.downloadTaskOutput(build["id"], name).decode())
    assert ended == "CLOSED", text
    return text


@pytest.mark.parametrize(
    ("extra", "log", "line"),
    [
        # Upstream's. There is neither a bootstrap nor a dnf5, so it takes the builder's dnf.
        (
            {"mock.package_manager": "dnf5", "mock.use_bootstrap": 0},
            "mock_output.log", "Using 'dnf4' instead of 'dnf5'",
        ),
        (
            {"mock.package_manager": "dnf", "mock.use_bootstrap": 1},
            "root.log", "mock: dnf install python3-dnf",
        ),
    ],
)  # fmt: skip
def test_a_tag_gets_the_mock_that_it_asks_for(
    site: Koji, tmp_path: Path, extra: dict[str, object], log: str, line: str
) -> None:
    session = site.session()
    session.editTag2("demo-build", extra=extra)
    site.client("regen-repo", "--wait", "demo-build")
    srpm = uploaded(session, sources(site, "hello-c"), tmp_path)
    task = session.build(srpm, "demo", {"scratch": True})
    assert line in log_of(site, task, log)


def test_it_builds_everything_where_the_builder_says_so(
    start: Callable[..., Koji], declaration: Declaration, checkout: Path, tmp_path: Path
) -> None:
    def name_upstreams(raw: dict[str, Any]) -> None:
        environment = raw["containers"]["kojibuilder"]["environment"]
        environment["KOJI_BUILDER_MOCK"] = "/usr/libexec/mock/mock"

    config = declaration_with(declaration, checkout, tmp_path, name_upstreams)
    site = start("forced", config=config)
    site.toji("seed", str(checkout / "demo/seed.yml"))
    session = site.session()
    session.editTag2("demo-build", extra={"mock.use_bootstrap": 0})
    site.client("regen-repo", "--wait", "demo-build")
    srpm = uploaded(session, sources(site, "hello-c"), tmp_path)
    task = session.build(srpm, "demo", {"scratch": True})
    assert "mock.py version" in log_of(site, task, "mock_output.log")


@dataclass
class Both:
    """A Koji on the distribution of Debian's packages, to which each package was submitted twice.

    `upstreams` are the scratch builds for upstream's mock, by package.
    """

    site: DistributionKoji
    upstreams: dict[str, int] = field(default_factory=dict)

    @classmethod
    def start(
        cls, begin: Callable[..., Koji], declaration: Declaration, form: str,
        sources: Mapping[str, str],
    ) -> Self:  # fmt: skip
        site = distributions.start(begin, declaration, form, {}, sources)
        distributions.add_target(site.session, "upstreams", extra=distributions.UPSTREAMS)
        both = cls(site)
        for name, source in sources.items():
            both.upstreams[name] = site.submit(name, source, "upstreams", scratch=True)
            site.submit(name, source)
        return both


@pytest.fixture(scope="module")
def short(
    start: Callable[..., Koji], declaration: Declaration, request: pytest.FixtureRequest
) -> Both:
    return Both.start(start, declaration, "short", selected(request, SHORT))


@pytest.fixture(scope="module")
def long(
    start: Callable[..., Koji], declaration: Declaration, request: pytest.FixtureRequest
) -> Both:
    return Both.start(start, declaration, "long", selected(request, LONG))


@pytest.mark.parametrize("name", SHORT)
def test_both_build_the_same_of_real_packages(short: Both, name: str) -> None:
    assert_the_same(short, name)


@pytest.mark.long
@pytest.mark.parametrize("name", LONG)
def test_both_build_the_same_of_more(long: Both, name: str) -> None:
    assert_the_same(long, name)


@pytest.mark.long
def test_a_bootstrap_with_dnf5_and_a_newer_rpm(
    start: Callable[..., Koji], declaration: Declaration
) -> None:
    """dnf5 of Debian's sid, with rpm 6, installs what its dnf 4 does for ours."""
    site = distributions.start(start, declaration, "newer", {}, ["hostname"])
    builder = connect().client.containers.get(f"{site.koji.system}-kojibuilder")
    bootstrap = {"mock.use_bootstrap": 1, **distributions.RPM_4}
    distributions.add_target(site.session, "dnf", extra=bootstrap)
    distributions.add_target(
        site.session, "dnf5", extra={"mock.package_manager": "dnf5", **bootstrap}
    )

    def build(target: str, line: str) -> dict[str, dict[str, str]]:
        task = site.submit("hostname", "srpm", target, scratch=True)
        assert line in log_of(site.koji, task, "mock_output.log")
        return read_headers(builder, f"/mnt/koji/scratch/kojiadmin/task_{task}/*.rpm")

    expected = build("dnf", "Start: dnf groupinstall")
    assert all(header["RPMVERSION"].startswith("'6.") for header in expected.values())
    dnf5 = build("dnf5", "Package manager dnf5 detected and used (direct choice)")
    assert differences(dnf5, expected) <= OF_THE_MOMENT | {"SOURCEPKGID"}


def assert_the_same(both: Both, name: str) -> None:
    """The same headers, with the payload's list of files and their digests."""
    builder = connect().client.containers.get(f"{both.site.koji.system}-kojibuilder")
    task = both.upstreams[name]
    build = both.site.finish(name)
    folder = "/mnt/koji/packages/{name}/{version}/{release}".format(**build)
    headers = read_headers(builder, f"{folder}/[!d]*/*.rpm")
    log = log_of(both.site.koji, task, "mock_output.log")
    assert "Using 'dnf4' instead of 'dnf5'" in log
    upstreams = read_headers(builder, f"/mnt/koji/scratch/kojiadmin/task_{task}/*.rpm")
    assert differences(headers, upstreams) <= OF_THE_MOMENT | {"SOURCEPKGID"}
    named = names_source(headers)
    assert names_source(upstreams) == named
    assert all(named.values())


def names_source(headers: Mapping[str, Mapping[str, str]]) -> dict[str, bool]:
    """Which packages name a source RPM by its digest, and whether it is the one beside them.

    Those with generated build requirements do: rpmbuild makes the source RPM with them.
    """
    (digest,) = (each["SIGMD5"] for name, each in headers.items() if name.endswith(".src.rpm"))
    return {
        name: each["SOURCEPKGID"] == digest
        for name, each in headers.items()
        if "SOURCEPKGID" in each
    }
