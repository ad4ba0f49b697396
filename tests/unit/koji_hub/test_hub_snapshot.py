"""koji-hub's part in a snapshot, on a temporary root: what is kept, and what comes back."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from util import processes
from util.entry import Fatal

POLICY = "etc/koji-hub/hub.conf.d/50-seed.conf"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("mnt/koji/packages/hello", "mnt/koji/work", "etc/koji-hub/hub.conf.d"):
        (tmp_path / folder).mkdir(parents=True)
    for site in ("koji-gc/koji-gc", "koji-sweep-db/koji-sweep-db", "kojira/kojira"):
        (tmp_path / f"etc/{site}.conf.d").mkdir(parents=True)
    for site in ("etc/apache2/conf.d", "etc/kojiweb/web.conf.d", "usr/local/lib/koji-hub-plugins"):
        (tmp_path / site).mkdir(parents=True)
    (tmp_path / "mnt/koji/packages/hello/rpm").write_text("one")
    (tmp_path / POLICY).write_text("one")
    return tmp_path


@pytest.fixture
def hub(
    load_script: Callable[[str], ModuleType], root: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The hub's part, where there is neither a supervisor nor a write lock."""
    module = load_script("koji-hub/snapshot.py")
    monkeypatch.setattr(module, "kojira", list[processes.Process])
    monkeypatch.setattr(module, "restart_kojira", lambda: None)
    monkeypatch.setattr(module.write_lock, "bump_generation", lambda: None)
    monkeypatch.setattr(module.write_lock, "release", lambda: True)
    (root / "run/koji-hub").mkdir(parents=True)
    module.site_files.record(root)
    return module.Hub(root)


def site_files(hub: Any) -> Any:
    return sys.modules[type(hub).__module__].site_files  # type: ignore[attr-defined]


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and ".snapshots" not in path.parts
    }


def test_what_was_kept_comes_back(hub: Any, root: Path) -> None:
    top = root / "mnt/koji"
    packages = top / "packages/hello"
    (packages / "link").symlink_to("rpm")
    os.link(packages / "rpm", packages / "twin")
    packages.chmod(0o2750)
    os.utime(packages / "rpm", (1, 1))
    before = files(top)
    hub.save("one")
    assert hub.snapshots()["one"]["bytes"] > 0

    # In place, where a snapshot made of links would change too.
    (packages / "rpm").write_text("damaged")
    (top / "work/left").write_text("behind")
    (top / "new").mkdir()
    hub.prepare("one")
    assert files(top) != before
    assert hub.switch() == {"restart": False}
    hub.release()

    assert files(top) == before
    assert sorted(path.name for path in top.iterdir()) == [".snapshots", "packages", "work"]
    assert sorted(path.name for path in (top / ".snapshots").iterdir()) == ["one"]
    status = (packages / "rpm").stat()
    assert (status.st_mtime, status.st_nlink) == (1, 2)
    assert packages.stat().st_mode & 0o7777 == 0o2750
    assert (packages / "link").readlink() == Path("rpm")


def test_a_snapshot_can_come_back_twice(hub: Any, root: Path) -> None:
    hub.save("one")
    for _ in range(2):
        (root / "mnt/koji/packages/hello/rpm").write_text("two")
        hub.prepare("one")
        hub.switch()
        hub.release()
        assert (root / "mnt/koji/packages/hello/rpm").read_text() == "one"


def test_the_sites_configuration_is_part_of_it_and_wants_a_restart(hub: Any, root: Path) -> None:
    hub.save("one")
    (root / POLICY).write_text("two")
    (root / "etc/koji-hub/hub.conf.d/60-more.conf").write_text("more")
    hub.prepare("one")
    assert hub.switch() == {"restart": True}
    assert files(root / "etc/koji-hub") == {"hub.conf.d/50-seed.conf": "one"}


def test_a_snapshot_of_an_earlier_image_lacks_folders(hub: Any, root: Path) -> None:
    hub.save("one")
    shutil.rmtree(root / "mnt/koji/.snapshots/one/site/etc/koji-gc")
    (root / "etc/koji-gc/koji-gc.conf.d/later.conf").write_text("later")
    hub.prepare("one")
    assert hub.switch() == {"restart": True}
    assert files(root / "etc/koji-gc") == {}


def test_a_hub_that_was_started_with_another_configuration_wants_a_restart(
    hub: Any, root: Path
) -> None:
    """An earlier reset put the files back, and ended before it could restart the hub."""
    hub.save("one")
    (root / POLICY).write_text("broken")
    site_files(hub).record(root)
    for _ in range(2):
        hub.prepare("one")
        assert hub.switch() == {"restart": True}
        assert (root / POLICY).read_text() == "one"
    site_files(hub).record(root)
    hub.prepare("one")
    assert hub.switch() == {"restart": False}


def test_a_hub_conf_that_was_edited_wants_a_restart(hub: Any, root: Path) -> None:
    hub.save("one")
    (root / "etc/koji-hub/hub.conf").write_text("edited")
    hub.prepare("one")
    assert hub.switch() == {"restart": True}


def test_a_folder_that_is_as_it_was_is_not_written_to(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be mounted read-only."""
    hub.save("one")
    hub.prepare("one")
    module = sys.modules[type(hub).__module__]
    monkeypatch.setattr(module, "_fill", lambda *_: pytest.fail("it was written to"))
    hub.switch()


def test_nobody_but_root_reads_what_is_kept(hub: Any, root: Path) -> None:
    hub.save("one")
    assert (root / "mnt/koji/.snapshots").stat().st_mode & 0o777 == 0o700


def test_what_is_not_kept_cannot_be_prepared(hub: Any) -> None:
    assert hub.snapshots() == {}
    with pytest.raises(Fatal, match="there is no snapshot one"):
        hub.prepare("one")
    hub.save("one")
    hub.drop("one")
    assert hub.snapshots() == {}
    hub.drop("one")


def test_what_was_not_finished_is_not_kept(hub: Any, root: Path) -> None:
    folder = root / "mnt/koji/.snapshots"
    (folder / "half/top").mkdir(parents=True)
    (folder / "+unfinished/top").mkdir(parents=True)
    assert hub.snapshots() == {}
    hub.save("half")
    assert set(hub.snapshots()) == {"half"}


def test_a_copy_that_fails_leaves_nothing(
    hub: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "cp").write_text("#!/bin/sh\necho 'cp: No space left on device' >&2\nexit 1\n")
    (binaries / "cp").chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    with pytest.raises(Fatal, match=r"copying to .* failed: cp: No space left on device"):
        hub.save("one")
    assert hub.snapshots() == {}
    assert list((root / "mnt/koji/.snapshots").iterdir()) == []


def test_a_switch_with_nothing_prepared_changes_nothing(hub: Any, root: Path) -> None:
    before = files(root / "mnt/koji")
    with pytest.raises(Fatal, match="no snapshot is prepared"):
        hub.switch()
    assert files(root / "mnt/koji") == before


def test_a_switch_that_fails_half_way_is_undone(
    hub: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.save("one")
    (root / "mnt/koji/packages/hello/rpm").write_text("two")
    before = files(root / "mnt/koji")
    hub.prepare("one")
    rename = Path.rename

    def failing(source: Path, target: Path) -> Path:
        if source.parent.name == "top" and source.name == "work":
            raise OSError("it cannot be moved")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="cannot be moved"):
        hub.switch()
    monkeypatch.undo()
    assert files(root / "mnt/koji") == before


def test_a_mount_of_its_own_is_refused_before_anything_is_done(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path.name == "packages")
    with pytest.raises(Fatal, match="packages is a file system of its own"):
        hub.save("one")


def test_whoever_let_the_writes_go_too_early_is_reported(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.release() == {"lost": False}
    module = sys.modules[type(hub).__module__]
    monkeypatch.setattr(module.write_lock, "release", lambda: False)  # type: ignore[attr-defined]
    assert hub.release() == {"lost": True}


def test_a_backup_links_files_but_for_those_that_koji_writes_to(hub: Any, root: Path) -> None:
    top, backup = root / "mnt/koji", root / "mnt/koji/.snapshots/+backup"
    (top / "work/log").write_text("one")
    for _ in range(2):
        hub.cut()
    assert (backup / "top/packages/hello/rpm").samefile(top / "packages/hello/rpm")
    (top / "work/log").write_text("two")
    assert (backup / "top/work/log").read_text() == "one"
    assert (backup / "site" / POLICY).read_text() == "one"
    assert hub.dump() == {
        "/mnt/koji": "/mnt/koji/.snapshots/+backup/top",
        "/": "/mnt/koji/.snapshots/+backup/site",
    }
    hub.discard()
    assert not backup.exists()


def test_a_restored_system_is_recognized(hub: Any, root: Path) -> None:
    about = root / "mnt/koji/.snapshots/+restored/about.json"
    about.parent.mkdir(parents=True)
    about.write_text('{"created": 0, "bytes": 0}')
    assert list(hub.snapshots()) == ["+restored"]
