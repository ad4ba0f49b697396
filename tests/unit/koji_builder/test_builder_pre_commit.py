"""koji-builder's pre_commit.py on a temporary root."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/pre_commit.py")


def test_folders_are_emptied_and_stay(script: ModuleType, tmp_path: Path) -> None:
    for folder in script.work.FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "var/lib/mock/demo-build-1-1/root").mkdir(parents=True)
    (tmp_path / "var/lib/mock/link").symlink_to(tmp_path / "kept")
    (tmp_path / "etc/mock/koji/demo-build-1-1.cfg").touch()
    script.remove_leftovers(tmp_path)
    for folder in script.work.FOLDERS:
        assert list((tmp_path / folder).iterdir()) == []
    assert (tmp_path / "kept/file").exists()


def test_mounts_beneath_the_folders_are_taken_off_whatever_their_names(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Innermost first."""
    root = tmp_path / "var/lib/mock"
    points = ["/", "/var/lib/mock", f"{root}/a", f"{root}/a/with blank", f"{root}/a/Übung"]
    mounts = [script.work.mount_points()[0].__class__(path, ("rw",), "ext4") for path in points]
    unmounted: list[str] = []
    monkeypatch.setattr(script.work, "mount_points", lambda: mounts)
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: unmounted.append(argv[-1]))
    script.work.clear(tmp_path)
    assert unmounted == points[:1:-1]


def test_no_folder_is_too_deep(script: ModuleType, tmp_path: Path) -> None:
    """Deeper than this process may open files."""
    folder = tmp_path / "var/lib/mock"
    folder.mkdir(parents=True)
    make = "import os\nfor _ in range(5000): os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", make], cwd=folder, check=True)
    script.remove_leftovers(tmp_path)
    assert list(folder.iterdir()) == []


def test_a_message_is_short(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc/mock/koji/one").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    rm = tmp_path / "rm"
    rm.write_text(f"#!/bin/sh\necho 'rm: {'d/' * 20_000}: Device busy' >&2; exit 1")
    rm.chmod(0o755)
    with pytest.raises(OSError, match=r"koji/one: rm: .*: Device busy$") as failure:
        script.work.clear(tmp_path)
    assert len(str(failure.value)) < 500
