"""The exchange of a volume's content, cut off at every step."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from util import swap


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with content, a snapshot, and other content that is prepared."""
    (tmp_path / "packages/old").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work/log").write_text("one")
    (tmp_path / ".snapshots/mine").mkdir(parents=True)
    assert swap.main(["prepare", str(tmp_path)]) == 0
    (tmp_path / ".snapshots/+incoming/packages/new").mkdir(parents=True)
    return tmp_path


def content(folder: Path) -> list[str]:
    return sorted(
        str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() or not [*p.iterdir()]
    )


OLD = [".snapshots/mine", "packages/old", "work/log"]


def test_a_swap_and_its_commit(volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("state", "swap", "swap", "state", "commit", "commit", "state"):
        assert swap.main([verb, str(volume)]) == 0
    assert content(volume) == [".snapshots/+restored/about.json", "packages/new"]
    assert capsys.readouterr().out.split() == ["pending", "pending", "settled"]


def test_what_a_backup_has_of_the_hidden_folder_is_left_out(volume: Path) -> None:
    (volume / ".snapshots/+incoming/.snapshots/+restored").mkdir(parents=True)
    assert swap.main(["swap", str(volume)]) == 0
    assert swap.main(["commit", str(volume)]) == 0
    assert content(volume) == [".snapshots/+restored/about.json", "packages/new"]


def test_a_swap_is_reverted(volume: Path) -> None:
    swap.main(["swap", str(volume)])
    assert "packages/new" in content(volume)
    for _ in range(2):
        assert swap.main(["revert", str(volume)]) == 0
        assert content(volume) == OLD


class Killed(BaseException):
    pass


def killed_after(renames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename
    budget = iter(range(renames))

    def limited(path: Path, target: Any) -> Path:
        if next(budget, None) is None:
            raise Killed
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", limited)


@pytest.mark.parametrize("first", range(5))
@pytest.mark.parametrize("second", range(6))
def test_wherever_it_is_killed_it_can_be_reverted(
    volume: Path, first: int, second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for renames, verb in ((first, "swap"), (second, "revert")):
        with monkeypatch.context() as patch:
            killed_after(renames, patch)
            with suppress(Killed):
                swap.main([verb, str(volume)])
    assert swap.main(["revert", str(volume)]) == 0
    assert content(volume) == OLD


def test_a_folder_is_adopted(volume: Path) -> None:
    (volume / ".snapshots/+backup/top/packages/linked").mkdir(parents=True)
    assert swap.main(["adopt", str(volume), str(volume / ".snapshots/+backup/top")]) == 0
    swap.main(["swap", str(volume)])
    assert [path.name for path in (volume / "packages").iterdir()] == ["linked"]


def test_nothing_is_prepared_over_an_open_swap(
    volume: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swap.main(["swap", str(volume)])
    assert swap.main(["prepare", str(volume)]) == 1
    assert "an earlier swap replaced" in capsys.readouterr().err
