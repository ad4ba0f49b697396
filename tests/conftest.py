"""What every tier shares: where the checkout is, and how a script of an image is loaded."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from xdist.remote import Producer

from nagoya.config import extends, loader
from nagoya.config.declaration import Declaration
from tests.distribution import Distribution, rank

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The repository's root."""
    return CHECKOUT


@pytest.fixture(scope="session")
def declaration(request: pytest.FixtureRequest) -> Declaration:
    return under_test(request.config)


def under_test(config: pytest.Config) -> Declaration:
    """The moromi.yml of the Koji under test: that of --koji-config, or the project's own."""
    return loader.read(extends.resolve(config.getoption("--koji-config") or "nagoya", CHECKOUT))


@pytest.fixture(scope="session")
def load_script() -> Callable[[str], ModuleType]:
    """Load a script of an image, as `load_script("koji-hub/entrypoint.py")`.

    The folders of the images are no packages (their names hold a dash), and two of them may
    hold scripts of one name; so each gets a module name made of its path.
    """

    def load(relative: str) -> ModuleType:
        name = relative.removesuffix(".py").replace("-", "_").replace("/", "_")
        spec = importlib.util.spec_from_file_location(name, CHECKOUT / relative)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        # As where it runs, it finds its neighbours by their names.
        sys.path.insert(0, str((CHECKOUT / relative).parent))
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.pop(0)
        return module

    return load


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is about upstream's mock is for images that have it: `make test-mock`. koji-ansible is
    not on PyPI: `make test-ansible` names its source tree."""
    match collection_path.name:
        case "test_upstreams_mock.py":
            return under_test(config).sources["mock"].optional
        case "test_koji_ansible.py":
            return "KOJI_ANSIBLE" not in os.environ
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Distribution:
    """With `-n`, whatever `--dist` says."""
    config.option.loadscopereorder = False
    return Distribution(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker of pytest-xdist's, the order in which tests are dealt out."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))
