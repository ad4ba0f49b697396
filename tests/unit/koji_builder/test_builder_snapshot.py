"""koji-builder's part in a snapshot: whether the hub still knows the host."""

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
    ("host", "last_update", "restart"),
    [
        ({"id": 1, "enabled": True}, 1.5, False),
        ({"id": 1, "enabled": False}, 1.5, False),
        ({"id": 1, "enabled": True}, None, True),
        (None, None, True),
    ],
)
def test_a_host_without_a_session_starts_anew(
    snapshot: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    host: dict[str, Any] | None,
    last_update: float | None,
    restart: bool,
) -> None:
    """A host that was disabled stays disabled."""

    class Hub:
        def getHost(self, name: str) -> dict[str, Any] | None:
            assert name == "builder"
            return host

        def getLastHostUpdate(self, number: int, ts: bool) -> float | None:
            assert (number, ts) == (1, True)
            return last_update

    (tmp_path / "run").mkdir()
    (tmp_path / "run/koji-builder.json").write_text(json.dumps({"hub": "url", "name": "builder"}))
    monkeypatch.setattr(snapshot, "hub", lambda url: Hub())
    assert snapshot.release(tmp_path) == {"restart": restart}
