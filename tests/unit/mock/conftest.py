"""The modules of koji-builder's mock, which import each other by their plain names."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def driver(checkout: Path) -> Callable[[str], ModuleType]:
    """Import a module of mock, as in `driver("mounts")`."""
    folder = str(checkout / "koji-builder/mock")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module
