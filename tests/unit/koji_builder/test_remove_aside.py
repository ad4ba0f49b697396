"""koji-builder's plugin remove_aside, with a program in rm's place that takes its time."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

SLOW_RM = """#!/bin/sh
echo "$@" >> {calls}
until [ -e {go} ]; do sleep 0.01; done
exec /bin/rm "$@"
"""


@pytest.fixture
def plugin(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/remove_aside.py")


@pytest.fixture
def koji() -> tuple[SimpleNamespace, SimpleNamespace]:
    """Stand-ins for koji.daemon and koji.tasks; `calls` has what these were called with."""
    calls: list[str] = []

    def safe_rmtree(path: str, unmount: bool, strict: bool) -> int:
        calls.append(f"remove {path}")
        return 0

    tasks = SimpleNamespace(
        safe_rmtree=safe_rmtree, umount_all=lambda path: calls.append(f"umount {path}"), calls=calls
    )
    return SimpleNamespace(safe_rmtree=safe_rmtree), tasks


def test_a_removal_that_takes_long_is_not_waited_for(
    plugin: ModuleType, koji: tuple[SimpleNamespace, SimpleNamespace], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It is not started twice, and ends."""
    daemon, tasks = koji
    monkeypatch.setattr(plugin, "_SECONDS", 0.3)
    bin_, calls, go = tmp_path / "bin", tmp_path / "calls", tmp_path / "go"
    bin_.mkdir()
    (bin_ / "rm").write_text(SLOW_RM.format(calls=calls, go=go))
    (bin_ / "rm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
    root = tmp_path / "root"
    (root / "deep/er").mkdir(parents=True)
    plugin.install(daemon, tasks)
    started = time.monotonic()
    for _ in range(2):
        assert daemon.safe_rmtree(str(root), unmount=True, strict=False) == 1
    assert time.monotonic() - started < 5
    assert calls.read_text().splitlines() == [f"-rf --one-file-system -- {root}"]
    assert tasks.calls == [f"umount {root}"] * 2
    go.touch()
    deadline = time.monotonic() + 30
    while root.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_in_a_chroot_is_removed_at_once(
    plugin: ModuleType, koji: tuple[SimpleNamespace, SimpleNamespace], tmp_path: Path
) -> None:
    """kojid names it one by one. Links are not followed."""
    daemon, tasks = koji
    plugin.install(daemon, tasks)
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (root / "deep/er").mkdir(parents=True)
    (root / "file").touch()
    (root / "link").symlink_to(outside)
    names = [str(root / name) for name in ("deep", "file", "link")]
    assert [daemon.safe_rmtree(name, unmount=True, strict=False) for name in names] == [0, 1, 1]
    assert list(root.iterdir()) == []
    assert (outside / "file").exists()
    assert tasks.calls == [f"umount {root}"]


def test_removals_together_are_waited_for_a_second(
    plugin: ModuleType, koji: tuple[SimpleNamespace, SimpleNamespace], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A buildroot may have any number of names in its chroot, and there may be many buildroots."""
    daemon, tasks = koji
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name in ("rm", "find"):
        (bin_ / name).write_text("#!/bin/sh\nexec sleep 5\n")
        (bin_ / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
    paths = [tmp_path / f"{number}" for number in range(3)]
    paths += [tmp_path / f"3/root/{number}" for number in range(300)]
    for path in paths:
        path.mkdir(parents=True)
    plugin.install(daemon, tasks)
    started = time.monotonic()
    assert {daemon.safe_rmtree(str(path), unmount=True, strict=False) for path in paths} == {1}
    assert time.monotonic() - started < 4
    assert len(tasks.calls) == 4


def test_a_removal_that_is_quick_is_waited_for(
    plugin: ModuleType, koji: tuple[SimpleNamespace, SimpleNamespace], tmp_path: Path
) -> None:
    daemon, tasks = koji
    plugin.install(daemon, tasks)
    (tmp_path / "root/deep").mkdir(parents=True)
    assert daemon.safe_rmtree(str(tmp_path / "root"), unmount=True, strict=False) == 0
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("kind", ["file", "link", "missing"])
def test_what_is_no_folder_is_left_to_koji(
    plugin: ModuleType, koji: tuple[SimpleNamespace, SimpleNamespace], tmp_path: Path, kind: str
) -> None:
    daemon, tasks = koji
    plugin.install(daemon, tasks)
    path = tmp_path / kind
    if kind == "file":
        path.touch()
    elif kind == "link":
        path.symlink_to(tmp_path)
    assert daemon.safe_rmtree(str(path), unmount=True, strict=False) == 0
    assert tasks.calls == [f"remove {path}"]


def test_another_koji_is_left_alone(
    plugin: ModuleType, koji: tuple[SimpleNamespace, SimpleNamespace],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    plugin.install(*koji)
    plugin.install(SimpleNamespace(), koji[1])
    assert [record.message for record in caplog.records] == [
        "removing buildroots in another process",
        "koji.daemon has no safe_rmtree here: nothing to do",
    ]
