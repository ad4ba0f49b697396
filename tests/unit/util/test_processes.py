"""util.processes on real ones."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from util import processes
from util.entry import Fatal

Answer = TypeVar("Answer")


def wait_until(question: Callable[[], Answer], seconds: float, what: str) -> Answer:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)
    return answer


@pytest.fixture
def family() -> Iterator["subprocess.Popen[bytes]"]:
    """A shell with a child of its own that sleeps, in a session of their own."""
    command = ["sh", "-c", "sleep 987 & wait"]
    with subprocess.Popen(command, start_new_session=True) as shell:
        wait_until(lambda: children(shell.pid), 10, "the shell has a child")
        yield shell
        os.killpg(shell.pid, signal.SIGKILL)


def children(pid: int) -> list[processes.Process]:
    return processes.descendants(pid, processes.processes())


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_who_is_whose_child(family: "subprocess.Popen[bytes]") -> None:
    shell = next(process for process in processes.processes() if process.pid == family.pid)
    assert shell.parent == os.getpid()
    assert shell.command == "sh -c sleep 987 & wait"
    (child,) = children(family.pid)
    assert child.command == "sleep 987"
    assert (child.parent, child.session) == (family.pid, family.pid)
    everyone = processes.descendants(os.getpid(), processes.processes())
    assert everyone.index(shell) < everyone.index(child)


def test_the_frozen_stand_still_for_a_while(family: "subprocess.Popen[bytes]") -> None:
    pids = [family.pid, children(family.pid)[0].pid]
    with processes.frozen(pids):
        wait_until(lambda: [state(pid) for pid in pids] == ["T", "T"], 10, "they stand still")
    wait_until(lambda: [state(pid) for pid in pids] == ["S", "S"], 10, "they go on")


def test_who_is_waited_for_has_ended(
    family: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    child = children(family.pid)[0].pid
    monkeypatch.setattr(processes, "_PATIENCE", 0.1)
    with pytest.raises(Fatal, match=f"still running after 0.1 s: PIDs {child}"):
        processes.wait_gone([child])
    processes.send(signal.SIGKILL, [child, 2**22 + 1])
    processes.wait_gone([child])
    # Its parent has not looked after it yet, or has; that it is no process any more is the same.
    assert child not in {process.pid for process in processes.processes()}


def test_a_process_that_vanishes_is_none(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "version").touch()
    assert processes.processes(tmp_path) == []


def test_a_name_may_hold_anything(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 2"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "987"]) as odd:
        matches = wait_until(
            lambda: [process for process in processes.processes()
                     if process.command == f"{program} 987"],
            10, "it is there",
        )  # fmt: skip
        odd.kill()
    assert [(process.pid, process.parent) for process in matches] == [(odd.pid, os.getpid())]
