"""koji-top-volume/entrypoint.py on a temporary root, for the user who runs the tests."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-top-volume/entrypoint.py")


@pytest.fixture
def start(script: ModuleType, tmp_path: Path) -> Callable[[], None]:
    return lambda: script.prepare(tmp_path, os.getuid(), os.getgid())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_makes_kojis_directories(
    script: ModuleType, start: Callable[[], None], tmp_path: Path
) -> None:
    start()
    assert names(tmp_path / "mnt/koji") == sorted([".complete", *script.DIRECTORIES])


def test_started_again_it_changes_nothing(start: Callable[[], None], tmp_path: Path) -> None:
    start()
    (tmp_path / "mnt/koji/vol").rmdir()
    start()
    assert "vol" not in names(tmp_path / "mnt/koji")


def test_adds_what_a_top_directory_lacks(start: Callable[[], None], tmp_path: Path) -> None:
    package = tmp_path / "mnt/koji/packages/bash"
    package.mkdir(parents=True)
    package.parent.chmod(0o700)
    start()
    assert package.parent.stat().st_mode & 0o777 == 0o700
    assert "work" in names(tmp_path / "mnt/koji")


def test_a_start_that_was_killed_leaves_no_directory_without_its_owner(
    start: Callable[[], None], tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned: set[int] = set()

    def killed(path: Path, _uid: int, _gid: int) -> None:
        raise KeyboardInterrupt

    def chown(path: Path, _uid: int, _gid: int) -> None:
        owned.add(path.stat().st_ino)

    monkeypatch.setattr(os, "chown", killed)
    with pytest.raises(KeyboardInterrupt):
        start()
    monkeypatch.setattr(os, "chown", chown)
    start()
    top = tmp_path / "mnt/koji"
    assert {(top / name).stat().st_ino for name in script.DIRECTORIES} <= owned
    assert names(top) == sorted([".complete", *script.DIRECTORIES])


def test_health(
    start: Callable[[], None], load_script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    health = load_script("koji-top-volume/health.py")
    with pytest.raises(LookupError):
        health.question(tmp_path)
    start()
    assert "directories" in health.question(tmp_path)
