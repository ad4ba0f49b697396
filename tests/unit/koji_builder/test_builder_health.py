"""koji-builder's health, as judged by the hub's record."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

HOST = {"name": "b1", "enabled": True, "ready": True, "task_load": 0.0}


@pytest.fixture
def health(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/health.py")


@pytest.mark.parametrize("changes", [{}, {"ready": False, "task_load": 1.5}])
def test_good(health: ModuleType, changes: dict[str, Any]) -> None:
    assert (
        health.judge({**HOST, **changes}, last_update=110, started=100, now=120) == "b1 checked in"
    )


@pytest.mark.parametrize(
    ("changes", "last_update", "why"),
    [
        ({}, None, "has not checked in since it was started"),
        ({}, 99, "has not checked in since it was started"),
        ({"enabled": False}, 110, "is disabled on the hub"),
        ({}, 110, "last checked in 90 s ago"),
        ({"ready": False}, 190, "takes no task"),
    ],
)
def test_not_good(
    health: ModuleType, changes: dict[str, Any], last_update: float | None, why: str
) -> None:
    with pytest.raises(LookupError, match=f"b1 .*{why}"):
        health.judge({**HOST, **changes}, last_update=last_update, started=100, now=200)
