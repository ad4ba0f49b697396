"""koji-builder's plugin skip_chroot_logs, with stand-ins for what it changes in kojid."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest


@pytest.fixture
def plugin(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/skip_chroot_logs.py")


class Logs:
    def __init__(self, broot: object, patterns: list[str], with_ts: bool = False) -> None:
        self.patterns, self.with_ts = patterns, with_ts


def test_mocks_logs_are_watched_and_none_in_the_chroot(plugin: ModuleType) -> None:
    kojid = SimpleNamespace(BuildRootLogs=Logs)
    plugin.install(kojid)
    broot = SimpleNamespace(rootdir=lambda: "/b/root")
    patterns = ["/b/result/*.log", "/b/root/var/log/dnf*.log", "/b/rooted.log"]
    logs = kojid.BuildRootLogs(broot, patterns, with_ts=True)
    assert logs.patterns == ["/b/result/*.log", "/b/rooted.log"]
    assert logs.with_ts


def test_an_older_kojid_stays_as_it_is(
    plugin: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    plugin.install(SimpleNamespace())
    assert "nothing to do" in caplog.text
