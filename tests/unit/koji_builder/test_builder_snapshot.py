"""koji-builder's part in a snapshot, as far as it is about the hub, which has to know it."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def snapshot(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/snapshot.py")


@pytest.mark.parametrize(
    ("host", "restart"),
    [
        ({"name": "builder", "enabled": True}, False),
        ({"name": "builder", "enabled": False}, True),
        (None, True),
    ],
)
def test_a_host_that_the_hub_does_not_know_starts_anew(
    snapshot: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: dict[str, Any] | None,
    restart: bool,
) -> None:
    class Hub:
        def getHost(self, name: str) -> dict[str, Any] | None:
            assert name == "builder"
            return host

    (tmp_path / "run").mkdir()
    (tmp_path / "run/koji-builder.json").write_text(json.dumps({"hub": "url", "name": "builder"}))
    monkeypatch.setattr(snapshot, "hub", lambda url: Hub())
    assert snapshot.release(tmp_path) == {"restart": restart}
