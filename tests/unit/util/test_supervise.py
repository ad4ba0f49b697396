"""util.supervise on real processes: a supervisor in a process of its own, and shells as daemons."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from util import processes

HEADER = """\
import signal, sys
from util import supervise
from util.supervise import Daemon, supervise as run
supervise._FIRST_PAUSE = 0.05
def shell(name, text, **more): return Daemon(name, ("sh", "-c", text), **more)
"""


@pytest.fixture
def start(tmp_path: Path, checkout: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Start a supervisor that runs `body`, an expression, and exits with its value."""

    def start(body: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", f"{HEADER}sys.exit({body})"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """The exit status of a supervisor, and its log."""
    _, log = process.communicate(timeout=20)
    return process.returncode, [line.removeprefix("nagoya: ") for line in log.splitlines()]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.01)


Start = Callable[[str], subprocess.Popen[str]]


@pytest.mark.parametrize(
    ("text", "status", "how"),
    [
        ("exit 0", 0, "status 0"),
        ("exit 7", 7, "status 7"),
        ("kill -KILL $$", 137, "SIGKILL"),
    ],
)
def test_ends_with_the_status_of_its_daemon(start: Start, text: str, status: int, how: str) -> None:
    assert ended(start(f"run(shell('main', {text!r}))")) == (status, [f"main ended ({how})"])


def test_a_daemon_that_cannot_be_run_is_named(start: Start) -> None:
    status, log = ended(start("run(Daemon('main', ('no-such-program',)))"))
    assert status == 127
    assert log[0] == "main: cannot run no-such-program: No such file or directory"


def test_a_sidecar_is_started_again_with_growing_pauses(start: Start, tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    # `main` ends when the sidecar has run four times.
    main = 'while [ "$(wc -l < runs)" -lt 4 ]; do sleep 0.02; done'
    body = f"run(shell('main', {main!r}), [shell('second', 'echo >> runs; exit 3')])"
    status, log = ended(start(body))
    assert status == 0
    assert log[:3] == [
        f"second ended (status 3); restarting it in {pause} s" for pause in (0.05, 0.1, 0.2)
    ]


def test_a_program_that_ends_is_run_again_at_intervals(start: Start, tmp_path: Path) -> None:
    """Only a failure is logged."""
    (tmp_path / "runs").touch()
    main = 'while [ "$(wc -l < runs)" -lt 3 ]; do sleep 0.02; done'
    second = 'echo >> runs; [ "$(wc -l < runs)" -ne 2 ]'
    body = f"run(shell('main', {main!r}), [shell('second', {second!r}, every=0.1, first=0.2)])"
    status, log = ended(start(body))
    assert status == 0
    notes = [line for line in log if "again" in line or "restarting" in line]
    assert notes == ["second ended (status 1); running it again in 0.1 s"]


def test_the_sidecars_end_with_the_daemon(start: Start, tmp_path: Path) -> None:
    second = "trap 'echo > signalled; exit' TERM; echo > up; while :; do sleep 0.02; done"
    main = "while [ ! -e up ]; do sleep 0.02; done"
    status, _ = ended(start(f"run(shell('main', {main!r}), [shell('second', {second!r})])"))
    assert status == 0
    assert (tmp_path / "signalled").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_is_stopped_in_order(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    """First `stopping`, then the sidecar, then `main` by the signal that it wants."""
    wait = "while :; do sleep 0.02; done"
    main = f"trap 'echo main >> order; exit 5' USR2; echo > main-up; {wait}"
    second = f"trap 'sleep 0.2; echo second >> order; exit' TERM; echo > second-up; {wait}"
    process = start(
        f"run(shell('main', {main!r}, stop=signal.SIGUSR2), [shell('second', {second!r})],"
        " lambda: (open('order', 'a').write('stopping\\n'), 5.0)[1])"
    )
    wait_for(tmp_path / "main-up")
    wait_for(tmp_path / "second-up")
    process.send_signal(number)
    status, log = ended(process)
    assert (tmp_path / "order").read_text().split() == ["stopping", "second", "main"]
    assert (status, log) == (5, ["second ended (status 0)", "main ended (status 5)"])


def test_who_does_not_stop_is_killed(start: Start, tmp_path: Path) -> None:
    main = "trap '' TERM; echo > up; while :; do sleep 0.02; done"
    process = start(f"run(shell('main', {main!r}), stopping=lambda: 0.2)")
    wait_for(tmp_path / "up")
    process.terminate()
    assert ended(process) == (
        137,
        ["killing main: not stopped after 0.2 s", "main ended (SIGKILL)"],
    )


def test_sigusr1_goes_on_to_the_daemon(start: Start, tmp_path: Path) -> None:
    main = "trap 'exit 9' USR1; echo > up; while :; do sleep 0.02; done"
    process = start(f"run(shell('main', {main!r}))")
    wait_for(tmp_path / "up")
    process.send_signal(signal.SIGUSR1)
    assert ended(process)[0] == 9


def test_a_daemon_has_a_session_and_signals_of_its_own(start: Start, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import os, signal\n"
        "own = os.getsid(0) == os.getpid()\n"
        "print(own, signal.pthread_sigmask(0, ()), file=open('out', 'w'))\n"
    )
    assert ended(start("run(Daemon('main', (sys.executable, 'own.py')))"))[0] == 0
    assert (tmp_path / "out").read_text() == "True set()\n"


def test_sighup_starts_the_sidecars_anew_and_ends_their_children(
    start: Start, tmp_path: Path
) -> None:
    """With no pause, however often; `main` does not notice."""
    main = 'while [ "$(wc -l < runs)" -lt 4 ]; do sleep 0.02; done'
    second = "sleep 60 2>/dev/null & echo $! >> runs; wait"
    (tmp_path / "runs").touch()
    process = start(f"run(shell('main', {main!r}), [shell('second', {second!r})])")
    for count in range(1, 4):
        deadline = time.monotonic() + 10
        while len((tmp_path / "runs").read_text().splitlines()) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
    status, log = ended(process)
    assert status == 0
    assert not [line for line in log if "is started again" in line]
    *killed, last = (int(pid) for pid in (tmp_path / "runs").read_text().split())
    assert not {process.pid for process in processes.processes()}.intersection(killed)
    os.kill(last, signal.SIGKILL)
