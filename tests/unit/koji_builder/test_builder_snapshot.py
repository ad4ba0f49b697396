"""koji-builder's part in a snapshot: its work goes, and the hub has to know it."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def snapshot(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/snapshot.py")


def test_the_folders_of_work_are_emptied(snapshot: ModuleType, tmp_path: Path) -> None:
    root = tmp_path / "var/lib/mock/demo-build-1-1/root"
    root.mkdir(parents=True)
    (root / "file").touch()
    (tmp_path / "var/lib/mock/link").symlink_to(tmp_path)
    (tmp_path / "etc/mock/koji").mkdir(parents=True)
    (tmp_path / "etc/mock/koji/demo-build-1-1.cfg").touch()
    (tmp_path / "etc/mock/driver").touch()
    snapshot.clear(tmp_path)
    assert list((tmp_path / "var/lib/mock").iterdir()) == []
    assert list((tmp_path / "etc/mock/koji").iterdir()) == []
    assert (tmp_path / "etc/mock/driver").exists()


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
