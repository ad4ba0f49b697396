"""koji-builder's plugin fast_poll, with a simulated clock, and with real processes."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FORKED = """\
import os, subprocess, sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("fast_poll", sys.argv[1])
fast_poll = module_from_spec(spec)
spec.loader.exec_module(fast_poll)
clock = fast_poll.PollTime()
if os.fork() == 0:
    child = subprocess.Popen(["true"])
    clock.sleep(60)
    os._exit(child.wait())
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


class Clock:
    """Replaces the module `time`, and what the kernel knows of children.

    `child` is "none", "runs" or "ended".
    """

    def __init__(self, child: str) -> None:
        self.now = 0.0
        self.child = child

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def select(self, *arguments: Any) -> tuple[list[int], list[int], list[int]]:
        self.now += arguments[-1]
        return [], [], []

    def waitid(self, *_: int) -> SimpleNamespace | None:
        if self.child == "none":
            raise ChildProcessError
        return SimpleNamespace(si_pid=7) if self.child == "ended" else None


Begin = Callable[..., tuple[Any, Clock]]


@pytest.fixture
def fast_poll(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/fast_poll.py")


@pytest.fixture
def begin(fast_poll: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """A PollTime or a CommandTime of kojid's main process or of a task, and its clock."""

    def begin(child: str, main: bool, kind: str = "PollTime") -> tuple[Any, Clock]:
        clock = Clock(child)
        tested = getattr(fast_poll, kind)()
        monkeypatch.setattr(fast_poll, "time", clock)
        monkeypatch.setattr(fast_poll, "select", clock)
        monkeypatch.setattr(fast_poll.os, "waitid", clock.waitid)
        if not main:
            monkeypatch.setattr(fast_poll.os, "getpid", lambda: -1)
        return tested, clock

    return begin


@pytest.mark.parametrize(
    ("child", "main", "slept"),
    [
        ("none", True, 60),
        ("none", False, 60),
        # Only a builder with tasks polls more often.
        ("runs", True, 15),
        ("runs", False, 60),
        ("ended", True, 0),
        ("ended", False, 0),
    ],
)
def test_sleeps_until_there_is_something_to_see(
    begin: Begin, child: str, main: bool, slept: float
) -> None:
    tested, clock = begin(child, main)
    tested.sleep(60)
    assert clock.now == pytest.approx(slept)


@pytest.mark.parametrize(
    ("child", "main", "seconds", "slept"),
    [
        ("runs", False, 1, 1),
        ("ended", False, 1, 0),
        # Koji has collected it.
        ("none", False, 1, 0),
        # A retry, and kojid's patience with what it kills.
        ("none", False, 10, 10),
        ("ended", True, 1, 1),
    ],
)
def test_a_program_that_has_ended_is_not_waited_for(
    begin: Begin, child: str, main: bool, seconds: int, slept: int
) -> None:
    tested, clock = begin(child, main, "CommandTime")
    tested.sleep(seconds)
    assert clock.now == pytest.approx(slept)


def test_a_child_that_nobody_collects_is_reported_once(begin: Begin) -> None:
    tested, clock = begin("ended", False)
    tested.sleep(60)
    tested.sleep(60)
    assert clock.now == pytest.approx(60)


def test_a_real_child_ends_a_real_sleep(checkout: Path) -> None:
    script = str(checkout / "koji-builder/fast_poll.py")
    subprocess.run([sys.executable, "-c", FORKED, script], check=True, timeout=30)


def test_all_else_is_the_module_time(fast_poll: ModuleType) -> None:
    clock = fast_poll.PollTime()
    assert (clock.time, clock.strftime, clock.tzname) == (time.time, time.strftime, time.tzname)
    with pytest.raises(AttributeError):
        clock.no_such_thing  # noqa: B018 - asking is the test


def modules(waitrepo_in: str) -> dict[str, Any]:
    """kojid's own module, koji.tasks and koji.daemon, one of which has WaitrepoTask."""
    parts: dict[str, Any] = {name: ModuleType(name) for name in ("kojid", "tasks", "daemon")}
    for module in parts.values():
        module.time = time
    parts["tasks"].BaseTaskHandler = type("BaseTaskHandler", (), {"wait": lambda self, task: task})
    parts[waitrepo_in].WaitrepoTask = type("WaitrepoTask", (), {"PAUSE": 60})
    return parts


@pytest.mark.parametrize("waitrepo_in", ["kojid", "tasks"])
def test_is_installed_wherever_koji_has_its_waits(
    fast_poll: ModuleType, waitrepo_in: str, caplog: pytest.LogCaptureFixture
) -> None:
    parts = modules(waitrepo_in)
    with caplog.at_level("INFO"):
        fast_poll.install(**parts)
    assert isinstance(parts["kojid"].time, fast_poll.PollTime)
    assert isinstance(parts["tasks"].time, fast_poll.TaskTime)
    assert isinstance(parts["daemon"].time, fast_poll.CommandTime)
    assert parts[waitrepo_in].WaitrepoTask.PAUSE == 2
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_a_task_that_waits_makes_kojid_look_for_its_subtasks(
    fast_poll: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = modules("tasks")
    fast_poll.install(**parts)
    kojid = parts["kojid"].time
    clock = Clock("runs")
    monkeypatch.setattr(fast_poll, "time", clock)
    monkeypatch.setattr(fast_poll.os, "waitid", clock.waitid)
    assert parts["tasks"].BaseTaskHandler().wait(7) == 7
    # The real one, whose descriptor is readable: no time passes.
    kojid.sleep(60)
    assert clock.now == 0
    monkeypatch.setattr(fast_poll, "select", clock)
    kojid.sleep(60)
    assert clock.now == pytest.approx(15)


def test_a_kojid_that_waits_otherwise_is_warned_about(
    fast_poll: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    parts = modules("kojid")
    del parts["kojid"].WaitrepoTask
    del parts["tasks"].time, parts["tasks"].BaseTaskHandler
    fast_poll.install(**parts)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert (
        "koji.tasks.time, BaseTaskHandler.wait, WaitrepoTask.PAUSE not found" in record.getMessage()
    )


WAITING = """\
import os, runpy, signal, sys, threading
plugin = runpy.run_path(sys.argv[1])
signal.signal(signal.SIGUSR2, lambda *_: None)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR2)).start()
plugin["TaskTime"]().sleep(86400)
"""


def test_kojids_signal_wakes_a_task_that_waits_for_a_day(checkout: Path) -> None:
    script = str(checkout / "koji-builder/fast_poll.py")
    subprocess.run([sys.executable, "-c", WAITING, script], check=True, timeout=60)


def test_koji_itself_has_what_is_replaced(fast_poll: ModuleType) -> None:
    """By the client's library, of another version than the images' Koji."""
    tasks, daemon = pytest.importorskip("koji.tasks"), pytest.importorskip("koji.daemon")
    assert tasks.time is daemon.time is time
    assert hasattr(tasks, "WaitrepoTask")
    assert hasattr(tasks.BaseTaskHandler, "wait")
