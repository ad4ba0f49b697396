"""What a restore refuses before it changes anything."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from nagoya.errors import LifecycleError
from nagoya.system import restore
from nagoya.system.observed import ObservedImage
from tests.unit.nagoya.system.systems import Declare, nothing


def test_a_backup_without_the_data_of_a_container_is_refused(
    declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored: list[Any] = []
    monkeypatch.setattr(restore, "recover", lambda system: None)
    monkeypatch.setattr(restore, "replace_state", lambda *arguments: restored.append(arguments))
    images = {"tiny": ObservedImage("sha256:1", ("/data",)), "other": ObservedImage("sha256:2")}
    system: Any = SimpleNamespace(
        name="some",
        declaration=declare(database={}, hub={"image": "other"}),
        lock=nullcontext,
        observe=lambda: replace(nothing(), images=images),
    )
    archive: Any = SimpleNamespace(manifest=SimpleNamespace(parts=["hub"], containers={}))
    with pytest.raises(LifecycleError, match="the backup has no data of database"):
        restore.restore(system, archive)
    assert not restored
    archive.manifest.parts = ["database"]
    restore.restore(system, archive)
    assert restored
