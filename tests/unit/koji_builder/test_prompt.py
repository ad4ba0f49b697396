"""koji-builder's plugin prompt: with a clock that nobody waits for, and once with a real child."""

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
spec = spec_from_file_location("prompt", sys.argv[1])
prompt = module_from_spec(spec)
spec.loader.exec_module(prompt)
clock = prompt.PromptTime()
if os.fork() == 0:
    child = subprocess.Popen(["true"])
    clock.sleep(60)
    os._exit(child.wait())
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


class Clock:
    """Stands in for the module `time`, and for what the kernel says of children.

    `child` is "none", "runs" or "ended".
    """

    def __init__(self, child: str) -> None:
        self.now = 0.0
        self.child = child

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def waitid(self, *_: int) -> SimpleNamespace | None:
        if self.child == "none":
            raise ChildProcessError
        return SimpleNamespace(si_pid=7) if self.child == "ended" else None


@pytest.fixture
def prompt(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/prompt.py")


@pytest.fixture
def begin(
    prompt: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, bool], tuple[Any, Clock]]:
    """A PromptTime of kojid's main process or of a task's, and the clock below it."""

    def begin(child: str, main: bool) -> tuple[Any, Clock]:
        clock = Clock(child)
        tested = prompt.PromptTime()
        monkeypatch.setattr(prompt, "time", clock)
        monkeypatch.setattr(prompt.os, "waitid", clock.waitid)
        if not main:
            monkeypatch.setattr(prompt.os, "getpid", lambda: -1)
        return tested, clock

    return begin


Begin = Callable[[str, bool], tuple[Any, Clock]]


@pytest.mark.parametrize(
    ("child", "main", "slept"),
    [
        ("none", True, 60),
        ("none", False, 60),
        # An idle builder is not busy, and one at work looks for what its tasks wait for.
        ("runs", True, 0.25),
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


def test_a_child_that_nobody_collects_is_told_of_once(begin: Begin) -> None:
    tested, clock = begin("ended", False)
    tested.sleep(60)
    tested.sleep(60)
    assert clock.now == pytest.approx(60)


def test_a_real_child_ends_a_real_sleep(checkout: Path) -> None:
    script = str(checkout / "koji-builder/prompt.py")
    subprocess.run([sys.executable, "-c", FORKED, script], check=True, timeout=30)


def test_all_else_is_the_module_time(prompt: ModuleType) -> None:
    clock = prompt.PromptTime()
    assert (clock.time, clock.strftime, clock.tzname) == (time.time, time.strftime, time.tzname)
    with pytest.raises(AttributeError):
        clock.no_such_thing  # noqa: B018 - asking is the test


def test_kojids_own_module_gets_the_other_clock(prompt: ModuleType) -> None:
    kojid: Any = ModuleType("kojid")
    kojid.time = time
    kojid.WaitrepoTask = type("WaitrepoTask", (), {"PAUSE": 60})
    prompt.install(kojid)
    assert isinstance(kojid.time, prompt.PromptTime)
    assert kojid.WaitrepoTask.PAUSE == 2
