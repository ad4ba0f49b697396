"""koji-hub's gate: who is inside is waited for, who comes later waits."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ENTRY = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [environ["SCRIPT_FILENAME"].encode()]
"""


@pytest.fixture
def gate(load_script: Callable[[str], ModuleType], tmp_path: Path) -> ModuleType:
    module = load_script("koji-hub/gate.py")
    module.make(tmp_path)
    return module


class Caller(threading.Thread):
    """A call that stays inside until it is let go."""

    def __init__(self, gate: ModuleType, folder: Path) -> None:
        super().__init__(daemon=True)
        self.gate, self.folder = gate, folder
        self.inside, self.go = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with self.gate.passage(self.folder):
            self.inside.set()
            self.go.wait(10)


def test_an_open_gate_lets_many_in_at_once(gate: ModuleType, tmp_path: Path) -> None:
    callers = [Caller(gate, tmp_path) for _ in range(3)]
    assert all(caller.inside.wait(10) for caller in callers)
    for caller in callers:
        caller.go.set()


def test_who_closes_it_waits_for_those_inside(gate: ModuleType, tmp_path: Path) -> None:
    caller = Caller(gate, tmp_path)
    assert caller.inside.wait(10)
    assert gate.close(0.1, 60, tmp_path)
    # It was opened again: whoever comes is not kept out.
    another = Caller(gate, tmp_path)
    assert another.inside.wait(10)
    for one in (caller, another):
        one.go.set()
        one.join()
    assert gate.close(10, 60, tmp_path) is None


def test_a_closed_gate_keeps_calls_until_it_is_opened(gate: ModuleType, tmp_path: Path) -> None:
    assert gate.close(1, 60, tmp_path) is None
    caller = Caller(gate, tmp_path)
    assert not caller.inside.wait(0.2)
    gate.open_again(tmp_path)
    assert caller.inside.wait(10)
    caller.go.set()


def test_it_opens_by_itself_in_time(gate: ModuleType, tmp_path: Path) -> None:
    """Whoever closed it may be dead."""
    assert gate.close(1, 0.3, tmp_path) is None
    caller = Caller(gate, tmp_path)
    assert caller.inside.wait(10)
    caller.go.set()


def test_two_cannot_close_it(gate: ModuleType, tmp_path: Path) -> None:
    assert gate.close(1, 60, tmp_path) is None
    assert gate.close(0.1, 60, tmp_path) == "somebody else keeps or changes the state"
    assert gate.is_closed(tmp_path)
    gate.open_again(tmp_path)
    assert gate.close(1, 0.01, tmp_path) is None
    # What somebody left who is dead stands in nobody's way.
    assert gate.close(1, 60, tmp_path) is None


def test_of_many_who_want_to_close_it_one_does_at_a_time(gate: ModuleType, tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def closer(number: int) -> None:
        for _ in range(20):
            assert gate.close(60, 60, tmp_path) is None
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)
            gate.open_again(tmp_path)

    closers = [threading.Thread(target=closer, args=[number]) for number in range(4)]
    for one in closers:
        one.start()
    for one in closers:
        one.join(60)
    assert len(most) == 80
    assert max(most) == 1


def test_it_stays_closed_as_long_as_somebody_renews(gate: ModuleType, tmp_path: Path) -> None:
    assert gate.close(1, 0.5, tmp_path) is None
    gate.renew(60, tmp_path)
    caller = Caller(gate, tmp_path)
    assert not caller.inside.wait(0.8)
    gate.open_again(tmp_path)
    assert caller.inside.wait(10)
    caller.go.set()
    gate.renew(60, tmp_path)
    assert not gate.is_closed(tmp_path)


def test_a_call_that_is_killed_keeps_nobody_out(
    gate: ModuleType, tmp_path: Path, checkout: Path
) -> None:
    script = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(checkout / "koji-hub")!r})
import gate
with gate.passage(Path({str(tmp_path)!r})):
    print("inside", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout
        assert caller.stdout.readline() == "inside\n"
        assert gate.close(0.1, 60, tmp_path)
        caller.kill()
        assert gate.close(10, 60, tmp_path) is None


def test_kojis_entry_is_called_as_if_by_itself(
    gate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "entry.py"
    script.write_text(ENTRY)
    passage = gate.passage
    monkeypatch.setattr(gate, "passage", lambda: passage(tmp_path))
    statuses: list[str] = []
    environ = {"nagoya.hub": str(script), "SCRIPT_FILENAME": "/usr/lib/nagoya/gate.py"}
    answer = gate.application(environ, lambda status, headers: statuses.append(status))
    assert (statuses, list(answer)) == (["200 OK"], [str(script).encode()])


@pytest.mark.parametrize(
    ("query", "changes", "status"),
    [
        ("session-id=1&callnum=2", True, "503 Service Unavailable"),
        ("session-id=1&callnum=2", False, "200 OK"),
        ("", True, "200 OK"),
    ],
)
def test_a_call_that_waited_is_not_carried_out_in_another_state(
    gate: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    query: str,
    changes: bool,
    status: str,
) -> None:
    script = tmp_path / "entry.py"
    script.write_text(ENTRY)
    passage = gate.passage
    monkeypatch.setattr(gate, "passage", lambda: passage(tmp_path))
    environ = {"nagoya.hub": str(script), "QUERY_STRING": query}
    statuses: list[str] = []

    def call() -> None:
        gate.application(environ, lambda status, headers: statuses.append(status))

    gate.change(tmp_path)
    call()
    assert gate.close(1, 60, tmp_path) is None
    waiting = threading.Thread(target=call)
    waiting.start()
    waiting.join(0.2)
    if changes:
        gate.change(tmp_path)
    gate.open_again(tmp_path)
    waiting.join(10)
    call()
    assert statuses == ["200 OK", status, "200 OK"]
