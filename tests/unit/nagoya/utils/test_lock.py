"""One at a time, and nothing left of it."""

import multiprocessing
from pathlib import Path

import pytest

from nagoya.utils.lock import cache_folder, locked


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def _count(path: Path, times: int) -> None:
    for _ in range(times):
        with locked("one", lambda: None):
            path.write_text(str(int(path.read_text()) + 1))


def test_nobody_comes_between(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(path, 200)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert path.read_text() == "600"


def test_nothing_is_left(tmp_path: Path) -> None:
    with locked("one", lambda: None):
        pass
    with pytest.raises(KeyError), locked("one", lambda: None):
        raise KeyError
    assert list((cache_folder() / "locks").iterdir()) == []
