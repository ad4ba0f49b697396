"""Doing things in parallel: order, failure, and the end by Ctrl-C."""

import _thread
import threading
import time
from collections.abc import Callable

import pytest

from nagoya.errors import BuildError, NagoyaError
from nagoya.utils.graph import Cycle
from nagoya.utils.parallel import Interrupted, Result, raise_failures, run_graph

NEEDS = {"a": [], "b": ["a"], "c": ["a"], "d": ["b"], "e": ["c", "elsewhere"]}


def failing(*names: str) -> Callable[[str], None]:
    def do(name: str) -> None:
        if name in names:
            raise NagoyaError(f"{name} broke")

    return do


def test_everything_is_done_after_its_needs() -> None:
    done: list[str] = []
    outcomes = run_graph(NEEDS, done.append, workers=3)
    assert list(outcomes) == list(NEEDS)
    assert all(outcome.state == "done" for outcome in outcomes.values())
    for name, needs in NEEDS.items():
        assert all(done.index(other) < done.index(name) for other in needs if other in done)


def test_what_needs_nothing_of_each_other_runs_at_once() -> None:
    barrier = threading.Barrier(2, timeout=10)
    run_graph({"a": [], "b": []}, lambda name: barrier.wait() and None, workers=2)


def test_no_more_than_so_many_at_once() -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    def do(name: str) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    run_graph({str(number): [] for number in range(12)}, do, workers=3)
    assert most[0] == 3


def test_children_of_a_failure_are_skipped_and_the_rest_is_finished() -> None:
    heard: list[Result] = []
    outcomes = run_graph({**NEEDS, "f": ["d"]}, failing("b"), workers=2, on_done=heard.append)
    assert {name: outcome.state for name, outcome in outcomes.items()} == {
        "a": "done", "b": "failed", "c": "done", "d": "skipped", "e": "done", "f": "skipped",
    }  # fmt: skip
    assert str(outcomes["b"].error) == "b broke"
    assert outcomes["d"].blocked_by == outcomes["f"].blocked_by == "b"
    assert sorted(outcome.name for outcome in heard) == ["a", "b", "c", "d", "e", "f"]


def test_a_fault_of_ours_is_raised_once_the_rest_is_finished() -> None:
    done: list[str] = []

    def do(name: str) -> None:
        if name == "b":
            raise ZeroDivisionError
        done.append(name)

    with pytest.raises(ZeroDivisionError):
        run_graph(NEEDS, do, workers=1)
    assert done == ["a", "c", "e"]


def test_a_thread_that_wants_to_exit_is_not_waited_for_for_ever() -> None:
    def do(name: str) -> None:
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        run_graph({"a": []}, do, workers=1)


def test_a_circle_is_refused_before_anything_is_done() -> None:
    with pytest.raises(Cycle):
        run_graph({"a": [], "b": ["c"], "c": ["b"]}, pytest.fail, workers=1)


def test_ctrl_c_stops_what_listens_and_begins_nothing_more() -> None:
    stop = threading.Event()
    done: list[str] = []

    def do(name: str) -> None:
        done.append(name)
        if name == "a":
            _thread.interrupt_main()
        assert stop.wait(10)

    with pytest.raises(Interrupted) as caught:
        run_graph({"a": [], "b": [], "c": []}, do, workers=2, stop=stop)
    assert "c" not in done
    assert caught.value.running == []
    assert isinstance(caught.value, KeyboardInterrupt)


def test_ctrl_c_tells_what_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nagoya.utils.parallel._GRACE", 0.1)
    release = threading.Event()

    def do(name: str) -> None:
        _thread.interrupt_main()
        release.wait(10)

    with pytest.raises(Interrupted) as caught:
        run_graph({"deaf": [], "later": ["deaf"]}, do, workers=2)
    release.set()
    assert caught.value.running == ["deaf"]


def test_failures_are_listed_with_the_first_hint() -> None:
    results = {
        "a": Result("a", "done"),
        "b": Result("b", "failed", error=NagoyaError("broke")),
        "c": Result("c", "failed", error=NagoyaError("burnt", "buy another")),
        "d": Result("d", "skipped", blocked_by="b"),
    }
    with pytest.raises(BuildError) as caught:
        raise_failures(results, BuildError, "not everything was built", "try again")
    assert caught.value.message == (
        "not everything was built:\n  b: broke\n  c: burnt\n  d: skipped because b failed"
    )
    assert caught.value.hint == "buy another"
    with pytest.raises(BuildError) as caught:
        raise_failures({"b": results["b"]}, BuildError, "not everything was built", "try again")
    assert caught.value.hint == "try again"
    raise_failures({"a": results["a"]}, BuildError, "never raised")
