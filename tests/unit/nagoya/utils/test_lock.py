"""One at a time, whatever happens to the folders."""

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from nagoya.utils.lock import locked


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
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


def test_its_folder_may_be_emptied_meanwhile(tmp_path: Path) -> None:
    with locked("one", lambda: None):
        shutil.rmtree(tmp_path / "nagoya")
    with pytest.raises(KeyError), locked("one", lambda: None):
        raise KeyError


def test_without_a_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with locked("one", lambda: None):
        assert (tmp_path / f"nagoya-{os.getuid()}" / "one").exists()


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "nagoya").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError), locked("one", lambda: None):
        pass
