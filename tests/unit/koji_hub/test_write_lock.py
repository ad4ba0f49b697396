"""koji-hub's write lock: earlier calls are waited for, later ones wait."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ENTRY = """
import types

auth = types.SimpleNamespace(RetryWhitelist=[], Session=types.SimpleNamespace(createSession=None))
context = None
koji = types.SimpleNamespace(RetryError=OSError)

class ModXMLRPCRequestHandler:
    _wrap_handler = _dispatch = multiCall = None

def application(environ, start_response):
    start_response("200 OK", [])
    return [environ["SCRIPT_FILENAME"].encode()]
"""


@pytest.fixture
def write_lock(load_script: Callable[[str], ModuleType], tmp_path: Path) -> ModuleType:
    module = load_script("koji-hub/write_lock.py")
    module.create(tmp_path)
    return module


class Clock:
    """Stands in for the module `time`: it goes on only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        # Set by each pause: somebody has looked at the lock and waits.
        self.pause = threading.Event()

    def monotonic(self) -> float:
        return self.now

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        self.pause.set()
        time.sleep(seconds)


@pytest.fixture
def clock(write_lock: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(write_lock, "time", clock)
    return clock


class Caller(threading.Thread):
    """A call that stays inside until it is let go."""

    def __init__(self, write_lock: ModuleType, folder: Path) -> None:
        super().__init__(daemon=True)
        self.write_lock, self.folder = write_lock, folder
        self.inside, self.go = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with self.write_lock.shared(self.folder):
            self.inside.set()
            self.go.wait(10)


def test_many_calls_share_it(write_lock: ModuleType, tmp_path: Path) -> None:
    callers = [Caller(write_lock, tmp_path) for _ in range(3)]
    assert all(caller.inside.wait(10) for caller in callers)
    for caller in callers:
        caller.go.set()


def test_it_is_had_when_the_calls_inside_have_ended(write_lock: ModuleType, tmp_path: Path) -> None:
    caller = Caller(write_lock, tmp_path)
    assert caller.inside.wait(10)
    assert write_lock.exclusive(0.1, 60, tmp_path)
    # It was opened again, so the next call is not kept out.
    another = Caller(write_lock, tmp_path)
    assert another.inside.wait(10)
    for user in (caller, another):
        user.go.set()
        user.join()
    assert write_lock.exclusive(10, 60, tmp_path) is None


def test_a_held_lock_keeps_calls_until_it_is_released(
    write_lock: ModuleType, tmp_path: Path, clock: Clock
) -> None:
    assert write_lock.exclusive(1, 60, tmp_path) is None
    caller = Caller(write_lock, tmp_path)
    assert clock.pause.wait(10)
    assert not caller.inside.is_set()
    assert write_lock.release(tmp_path)
    assert caller.inside.wait(10)
    caller.go.set()


def test_it_is_free_after_its_deadline(
    write_lock: ModuleType, tmp_path: Path, clock: Clock
) -> None:
    """Whoever took it may be dead."""
    assert write_lock.exclusive(1, 60, tmp_path) is None
    caller = Caller(write_lock, tmp_path)
    assert clock.pause.wait(10)
    clock.now += 61
    assert caller.inside.wait(10)
    assert not write_lock.release(tmp_path)
    caller.go.set()


def test_two_cannot_hold_it(write_lock: ModuleType, tmp_path: Path) -> None:
    assert write_lock.exclusive(1, 60, tmp_path) is None
    why = write_lock.exclusive(0.1, 60, tmp_path)
    assert why == "another snapshot or reset holds the hub's write lock"
    assert write_lock.is_held(tmp_path)
    write_lock.release(tmp_path)
    assert write_lock.exclusive(1, 0.01, tmp_path) is None
    # What somebody left who is dead stands in nobody's way.
    assert write_lock.exclusive(1, 60, tmp_path) is None


def test_of_many_who_want_it_one_holds_it_at_a_time(write_lock: ModuleType, tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def writer(number: int) -> None:
        for _ in range(20):
            assert write_lock.exclusive(60, 60, tmp_path) is None
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)
            write_lock.release(tmp_path)

    writers = [threading.Thread(target=writer, args=[number]) for number in range(4)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join(60)
    assert len(most) == 80
    assert max(most) == 1


def test_it_is_held_as_long_as_somebody_renews(
    write_lock: ModuleType, tmp_path: Path, clock: Clock
) -> None:
    assert write_lock.exclusive(1, 60, tmp_path) is None
    clock.now += 50
    write_lock.renew(60, tmp_path)
    clock.now += 50
    caller = Caller(write_lock, tmp_path)
    assert clock.pause.wait(10)
    assert not caller.inside.is_set()
    assert write_lock.release(tmp_path)
    assert caller.inside.wait(10)
    caller.go.set()
    write_lock.renew(60, tmp_path)
    assert not write_lock.is_held(tmp_path)


def test_a_renewal_under_way_does_not_take_a_released_lock(
    write_lock: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert write_lock.exclusive(1, 60, tmp_path) is None
    looked, go = threading.Event(), threading.Event()
    write = write_lock._write_deadline

    def late(folder: Path, seconds: float) -> None:
        looked.set()
        assert go.wait(10)
        write(folder, seconds)

    monkeypatch.setattr(write_lock, "_write_deadline", late)
    renewal = threading.Thread(target=write_lock.renew, args=[60, tmp_path])
    renewal.start()
    assert looked.wait(10)
    release = threading.Thread(target=write_lock.release, args=[tmp_path])
    release.start()
    # It waits for the renewal; were it not to, this is the time in which it would be done.
    release.join(0.2)
    go.set()
    renewal.join(10)
    release.join(10)
    assert not write_lock.is_held(tmp_path)


def test_a_call_that_is_killed_keeps_nobody_out(
    write_lock: ModuleType, tmp_path: Path, checkout: Path
) -> None:
    script = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(checkout / "koji-hub")!r})
import write_lock
with write_lock.shared(Path({str(tmp_path)!r})):
    print("inside", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout
        assert caller.stdout.readline() == "inside\n"
        assert write_lock.exclusive(0.1, 60, tmp_path)
        caller.kill()
        assert write_lock.exclusive(10, 60, tmp_path) is None


def test_kojis_entry_is_called_as_if_by_itself(
    write_lock: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "entry.py"
    script.write_text(ENTRY)
    shared = write_lock.shared
    monkeypatch.setattr(write_lock, "shared", lambda: shared(tmp_path))
    statuses: list[str] = []
    environ = {"nagoya.hub": str(script), "SCRIPT_FILENAME": "/usr/lib/nagoya/write_lock.py"}
    answer = write_lock.application(environ, lambda status, headers: statuses.append(status))
    assert (statuses, list(answer)) == (["200 OK"], [str(script).encode()])


@pytest.mark.parametrize(
    ("session", "changes", "status"),
    [
        ({"QUERY_STRING": "session-id=1&callnum=2"}, True, "503 Service Unavailable"),
        ({"QUERY_STRING": "session-id=1&callnum=2"}, False, "200 OK"),
        ({"QUERY_STRING": "", "HTTP_KOJI_SESSION_ID": "1"}, True, "503 Service Unavailable"),
        ({"QUERY_STRING": "", "HTTP_KOJI_SESSION_ID": "1"}, False, "200 OK"),
        ({"QUERY_STRING": ""}, True, "200 OK"),
    ],
)
def test_a_call_that_waited_is_not_carried_out_in_another_state(
    write_lock: ModuleType,
    tmp_path: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    *,
    session: dict[str, str],
    changes: bool,
    status: str,
) -> None:
    script = tmp_path / "entry.py"
    script.write_text(ENTRY)
    shared = write_lock.shared
    monkeypatch.setattr(write_lock, "shared", lambda: shared(tmp_path))
    environ = {"nagoya.hub": str(script), **session}
    statuses: list[str] = []

    def call() -> None:
        write_lock.application(environ, lambda status, headers: statuses.append(status))

    write_lock.bump_generation(tmp_path)
    call()
    assert write_lock.exclusive(1, 60, tmp_path) is None
    waiting = threading.Thread(target=call)
    waiting.start()
    assert clock.pause.wait(10)
    if changes:
        write_lock.bump_generation(tmp_path)
    write_lock.release(tmp_path)
    waiting.join(10)
    call()
    assert statuses == ["200 OK", status, "200 OK"]
