"""pytest's fixtures for a Koji of one's own, and the report on it where a test fails.

pytest imports this in every run, of whatever tests: so it imports nothing itself, but in a fixture
that somebody asks for. docs/testing.md tells how to use it.
"""

import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nagoya.testing.instance import Koji

_FIXTURES = ("running_koji", "fresh_koji")
_GIVEN = pytest.StashKey[list[Any]]()
"""The Kojis that our fixtures have given to tests."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, each of them in the ini file too."""
    group = parser.getgroup("nagoya", "a Koji to test against")
    group.addoption(
        "--koji-config", metavar="FILE",
        help="The moromi.yml that declares it; nagoya-demo names one that holds the demo.",
    )  # fmt: skip
    group.addoption(
        "--koji-image", metavar="CONTAINER=IMAGE", action="append", default=[],
        help="Another image for one of its containers; may be given several times.",
    )  # fmt: skip
    group.addoption("--koji-prefix", metavar="NAME", help="What its name begins with.")
    group.addoption(
        "--koji-keep", action="store_true", help="Do not remove it if a test that uses it fails."
    )
    parser.addini("koji_config", "The moromi.yml that declares the Koji, or nagoya-demo.")
    parser.addini("koji_images", "Lines of CONTAINER=IMAGE, as for --koji-image.", "linelist")
    parser.addini("koji_prefix", "What the Koji's name begins with.", default="pytest")


@pytest.fixture(scope="session")
def running_koji(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Koji"]:
    """A running Koji that the tests of this session share (with pytest-xdist: of this worker)."""
    with _running(request.config, tmp_path_factory) as koji:
        yield koji


@pytest.fixture
def pristine_koji(running_koji: "Koji") -> "Koji":
    """The Koji that the tests of this session share, in the state that it began with: whatever was
    done to it before is gone."""
    running_koji.reset()
    return running_koji


@pytest.fixture
def fresh_koji(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Koji"]:
    """A running Koji that nobody has used before, for this test alone."""
    with _running(request.config, tmp_path_factory) as koji:
        yield koji


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a test fails that used a Koji, write the report on that one and say where it is."""
    report = yield
    if report.failed:
        # A fixture of that name may be somebody's own.
        given = item.config.stash.get(_GIVEN, [])
        used: dict[str, Any] = getattr(item, "funcargs", {})
        for koji in (used[name] for name in _FIXTURES if name in used and used[name] in given):
            report.sections.append((f"Koji {koji.name}", "\n".join(_told(item, koji))))
    return report


def _told(item: pytest.Item, koji: "Koji") -> Iterator[str]:
    try:
        name = re.sub(r"[^\w.-]+", "-", f"{koji.name}-{item.name}")[:200].strip("-")
        yield f"report: {koji.report(name)}"
    except Exception as error:  # the test's own failure is what has to be told
        yield f"no report could be written: {error}"
    if item.config.getoption("--koji-keep"):
        yield koji.keep()


@contextmanager
def _running(config: pytest.Config, folders: pytest.TempPathFactory) -> Iterator["Koji"]:
    from nagoya.testing import instance  # noqa: PLC0415 - see above

    worker = os.environ.get("PYTEST_XDIST_WORKER")
    prefix = config.getoption("--koji-prefix") or config.getini("koji_prefix")
    with instance.running_koji(
        _declaration(config),
        images=_images([*config.getini("koji_images"), *config.getoption("--koji-image")]),
        prefix=f"{prefix}-{worker}" if worker else prefix,
        folder=folders.mktemp("koji"),
        keep_on_failure=config.getoption("--koji-keep"),
        tell=lambda text: _tell(config, text),
    ) as koji:
        config.stash.setdefault(_GIVEN, []).append(koji)
        yield koji


def _declaration(config: pytest.Config) -> Path | None:
    """The moromi.yml that is named; a path leads from the folder of whoever names it."""
    from nagoya.config import extends  # noqa: PLC0415 - see above

    named, folder = config.getoption("--koji-config"), config.invocation_params.dir
    if not named:
        named = config.getini("koji_config")
        folder = config.inipath.parent if config.inipath else config.rootpath
    return extends.resolve(named, folder) if named else None


def _images(lines: list[str]) -> dict[str, str]:
    pairs = [line.partition("=") for line in lines]
    for container, equals, image in pairs:
        if not (container and equals and image):
            raise pytest.UsageError(
                f"{container}{equals}{image} is not of the form CONTAINER=IMAGE"
            )
    return {container.strip(): image.strip() for container, _, image in pairs}


def _tell(config: pytest.Config, text: str) -> None:
    """Say something now, whatever is captured; a worker of xdist has nobody to say it to."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        with capture.global_and_fixture_disabled():
            print(f"\nnagoya: {text}", flush=True)
