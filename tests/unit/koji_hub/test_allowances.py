"""What users may add to koji-hub's disks in a day, on files of this machine."""

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def allowances(load_script: Callable[[str], ModuleType], tmp_path: Path) -> Any:
    return load_script("koji-hub/allowances.py").Allowances(tmp_path)


def test_an_account_has_what_it_may_take(allowances: Any) -> None:
    assert [allowances.take("a", 40, 100) for _ in range(3)] == [True, True, False]
    assert allowances.take("a", 20, 100)
    assert not allowances.take("a", 1, 100)
    assert allowances.take("b", 100, 100)


@pytest.mark.parametrize(("passed", "taken"), [(86399, False), (86400, True), (-1, True)])
def test_each_day_has_its_own(
    allowances: Any, monkeypatch: pytest.MonkeyPatch, passed: int, taken: bool
) -> None:
    now = int(time.time())
    monkeypatch.setattr(time, "time", lambda: now)
    assert allowances.take("a", 100, 100)
    monkeypatch.setattr(time, "time", lambda: now + passed)
    assert allowances.take("a", 1, 100) is taken


@pytest.mark.parametrize("content", ["", "\n", "12", "a b", "1 2 3"])
def test_half_a_file_is_an_empty_one(allowances: Any, tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_text(content)
    assert allowances.take("a", 100, 100)
    assert not allowances.take("a", 1, 100)
