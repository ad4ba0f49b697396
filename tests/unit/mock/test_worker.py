"""The first process of a call and its worker, without namespaces."""

import subprocess
import sys
from pathlib import Path

import pytest

HEADER = """\
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
import kernel, worker
def nothing(*_):
    pass
kernel.unshare = kernel.setns = kernel.prctl = nothing
"""


def run(checkout: Path, script: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", HEADER + script, str(checkout / "koji-builder/mock")]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_before_the_fork_stops_the_worker(checkout: Path, number: str) -> None:
    script = f"""\
def signaled(*_):
    if os.getpid() == first:
        os.kill(first, signal.{number})
first = os.getpid()
kernel.prctl = signaled
print(worker.supervise(lambda: time.sleep(600)) == 128 + signal.{number})
"""
    ended = run(checkout, script)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("True\n", "", 0)


def test_further_signals_change_nothing(checkout: Path) -> None:
    """The worker is gone, and nothing is printed."""
    script = """\
def work():
    os.write(writer, str(os.getpid()).encode())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        os.kill(first, number)
    time.sleep(600)
reader, writer = os.pipe()
first = os.getpid()
kill = os.kill
def kill_after_another(pid, number):
    if os.getpid() == first:
        kill(first, signal.SIGINT)
    kill(pid, number)
os.kill = kill_after_another
signal.signal(signal.SIGINT, signal.SIG_IGN)  # for those that arrive after supervise
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(worker.supervise(work) > 128)
print(os.path.exists("/proc/" + os.read(reader, 9).decode()))
"""
    ended = run(checkout, script)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("True\nFalse\n", "", 0)


def test_a_signal_to_the_worker_ends_it_silently(checkout: Path) -> None:
    script = """\
print(worker.supervise(lambda: os.kill(os.getpid(), signal.SIGTERM)) == 128 + signal.SIGTERM)
"""
    ended = run(checkout, script)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("True\n", "", 0)


def test_the_status_of_the_work_is_mocks(checkout: Path) -> None:
    script = """\
before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
print(worker.supervise(lambda: 30), signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before)
"""
    assert run(checkout, script).stdout == "30 True\n"


def test_a_watch_ends_the_worker(checkout: Path) -> None:
    script = """\
from errors import MockError, Status
def watch():
    raise MockError(Status.BUILD, "too much")
try:
    worker.supervise(lambda: time.sleep(600), watch)
except MockError as error:
    print(error)
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("nothing is left")
"""
    ended = run(checkout, script)
    assert (ended.stdout, ended.stderr) == ("too much\nnothing is left\n", "")


def test_a_program_that_prints_without_end_is_still_looked_at(checkout: Path) -> None:
    """Not only when it pauses."""
    script = """\
reader, writer = os.pipe()
os.set_blocking(reader, False)
os.write(writer, b"x" * 1000)
def sink(data):
    os.write(writer, data)
print(worker._drain(reader, sink))
"""
    assert run(checkout, script).stdout == "True\n"
