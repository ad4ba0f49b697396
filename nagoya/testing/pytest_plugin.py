"""Fixtures with a throwaway Koji, and a report on it for each test that fails.

pytest loads this in every run, so it imports nothing of Nagoya before a fixture is used.
docs/testing.md describes the fixtures.
"""

import os
import re
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nagoya.testing.instance import Koji

_FIXTURES = ("running_koji", "fresh_koji")
_INSTANCES = pytest.StashKey[list[Any]]()
"""In a session's stash: the Kojis that these fixtures started."""
_START = pytest.StashKey[float]()
"""In an item's stash: when its setup began, in seconds since the epoch."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and the same for the ini file."""
    group = parser.getgroup("nagoya", "a throwaway Koji")
    group.addoption(
        "--koji-config", metavar="FILE",
        help="The moromi.yml that declares the Koji; `nagoya-demo` has builds in it.",
    )  # fmt: skip
    group.addoption(
        "--koji-image", metavar="CONTAINER=IMAGE", action="append", default=[],
        help="Replace the image of a container; may be repeated.",
    )  # fmt: skip
    group.addoption("--koji-prefix", metavar="NAME", help="The first part of the Koji's name.")
    group.addoption(
        "--koji-keep",
        action="store_true",
        help="Keep the Koji running if a test that uses it fails.",
    )
    parser.addini("koji_config", "The moromi.yml that declares the Koji, or nagoya-demo.")
    parser.addini("koji_images", "Lines of CONTAINER=IMAGE, as for --koji-image.", "linelist")
    parser.addini("koji_prefix", "The first part of the Koji's name.", default="pytest")


@pytest.fixture(scope="session")
def running_koji(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Koji"]:
    """A running Koji that all tests of the session share (with pytest-xdist: of the worker)."""
    with _running(request.config, tmp_path_factory) as koji:
        yield koji


@pytest.fixture
def pristine_koji(running_koji: "Koji") -> "Koji":
    """The Koji that the tests of this session share, reset to the state after its start."""
    running_koji.reset()
    return running_koji


@pytest.fixture
def fresh_koji(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Koji"]:
    """A new Koji for this test alone."""
    with _running(request.config, tmp_path_factory) as koji:
        yield koji


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note the time, to tell a test's own failed tasks from older ones."""
    item.stash[_START] = time.time()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """If a test that uses a Koji fails, write a report, and show why tasks failed meanwhile."""
    report = yield
    if report.failed:
        # A fixture of the same name may be another plugin's.
        instances = item.config.stash.get(_INSTANCES, [])
        values: dict[str, Any] = getattr(item, "funcargs", {})
        for koji in (values[name] for name in _FIXTURES if values.get(name) in instances):
            report.sections.append((f"Koji {koji.name}", "\n".join(_failure(item, koji))))
    return report


def _failure(item: pytest.Item, koji: "Koji") -> Iterator[str]:
    try:
        yield from koji.failed_tasks(item.stash[_START])
        name = re.sub(r"[^\w.-]+", "-", f"{koji.name}-{item.name}")[:200].strip("-")
        yield f"report: {koji.report(name)}"
    except Exception as error:  # the test's own failure is the one to show
        yield f"the report is incomplete: {error}"
    if item.config.getoption("--koji-keep"):
        yield koji.keep()


@contextmanager
def _running(config: pytest.Config, folders: pytest.TempPathFactory) -> Iterator["Koji"]:
    from nagoya.testing import launch  # noqa: PLC0415 - see above

    worker = os.environ.get("PYTEST_XDIST_WORKER")
    prefix = config.getoption("--koji-prefix") or config.getini("koji_prefix")
    with launch.running_koji(
        _declaration(config),
        images=_images([*config.getini("koji_images"), *config.getoption("--koji-image")]),
        prefix=f"{prefix}-{worker}" if worker else prefix,
        folder=folders.mktemp("koji"),
        keep_on_failure=config.getoption("--koji-keep"),
        on_message=lambda text: _print(config, text),
    ) as koji:
        config.stash.setdefault(_INSTANCES, []).append(koji)
        yield koji


def _declaration(config: pytest.Config) -> Path | None:
    """The configured moromi.yml; paths are relative to the current folder or to the ini file."""
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


def _print(config: pytest.Config, text: str) -> None:
    """Print a line at once, past the capture; a worker of pytest-xdist prints nothing."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        with capture.global_and_fixture_disabled():
            print(f"\nnagoya: {text}", flush=True)
