"""One at a time, whatever happens to the folders."""

import multiprocessing
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from nagoya.utils import lock
from nagoya.utils.lock import locked, locked_for_all


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


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder like /run/lock, which every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o1777)
        monkeypatch.setattr(lock, "_SHARED", Path(name))
        yield Path(name)


def _hold(folder: Path, user: int, held: Event, release: Event) -> None:
    lock._SHARED = folder
    os.setgid(user)
    os.setuid(user)
    os.umask(0o077)
    with locked_for_all("one", lambda: None):
        held.set()
        release.wait(60)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("first", ["root", "nobody"])
def test_two_users_share_a_lock(shared: Path, first: str) -> None:
    """Whoever has made its file, another user's process holds it."""
    if first == "root":
        with locked_for_all("one", lambda: None):
            pass
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(shared, 65534, held, release))
    other.start()
    assert held.wait(60)
    with locked_for_all("one", release.set):
        assert release.is_set()
    other.join(60)
    (file,) = shared.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert file.stat().st_uid == (0 if first == "root" else 65534)


def test_a_link_in_its_place_is_refused(shared: Path, tmp_path: Path) -> None:
    (shared / "nagoya-one").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"), locked_for_all("one", lambda: None):
        pass
    assert not (tmp_path / "elsewhere").exists()
