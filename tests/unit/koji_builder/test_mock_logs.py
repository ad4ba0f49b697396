"""koji-builder's plugin mock_logs, with stand-ins for what it changes in kojid."""

import io
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import BinaryIO

import pytest


@pytest.fixture
def plugin(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/mock_logs.py")


class Logs:
    def __init__(self, broot: object, patterns: list[str], with_ts: bool = False) -> None:
        self.patterns, self.with_ts = patterns, with_ts


class BuildRoot:
    def __init__(self) -> None:
        self.logs: set[str] = set()

    def incremental_log(self, name: str, file: BinaryIO) -> int:
        self.logs.add(name)
        return len(file.read())


def test_mocks_logs_are_watched_and_none_in_the_chroot(plugin: ModuleType) -> None:
    kojid = SimpleNamespace(BuildRootLogs=Logs, BuildRoot=BuildRoot)
    plugin.install(kojid)
    broot = SimpleNamespace(rootdir=lambda: "/b/root")
    patterns = ["/b/result/*.log", "/b/root/var/log/dnf*.log", "/b/rooted.log"]
    logs = kojid.BuildRootLogs(broot, patterns, with_ts=True)
    assert logs.patterns == ["/b/result/*.log", "/b/rooted.log"]
    assert logs.with_ts


def test_a_log_is_named_once_it_has_content(plugin: ModuleType) -> None:
    class Changed(BuildRoot):
        pass

    plugin.install(SimpleNamespace(BuildRootLogs=Logs, BuildRoot=Changed))
    broot = Changed()
    assert broot.incremental_log("build.log", io.BytesIO()) == 0
    assert broot.incremental_log("root.log", io.BytesIO(b"text")) == 4
    assert broot.logs == {"root.log"}


def test_an_older_kojid_stays_as_it_is(
    plugin: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    plugin.install(SimpleNamespace())
    assert "nothing to do" in caplog.text
