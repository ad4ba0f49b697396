"""koji-builder's plugin kill_checkouts_first, with a file in place of the kernel's."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest


@pytest.fixture
def plugin(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/kill_checkouts_first.py")


def test_a_checkout_has_the_score_of_a_build(plugin: ModuleType, tmp_path: Path) -> None:
    score = tmp_path / "oom_score_adj"
    score.write_text("0\n")

    def checkout(folder: str, *, fails: bool) -> str:
        if fails:
            raise ValueError(score.read_text())
        return folder + score.read_text()

    wrapped = plugin.at_score_of_builds(checkout, score)
    assert wrapped("folder", fails=False) == "folder1000"
    assert score.read_text() == "0\n"
    with pytest.raises(ValueError, match="1000"):
        wrapped("folder", fails=True)
    assert score.read_text() == "0\n"


def test_another_kojid_stays_as_it_is(plugin: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    plugin.install(SimpleNamespace())
    assert "nothing to do" in caplog.text
