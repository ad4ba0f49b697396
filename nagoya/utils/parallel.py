"""Doing named things in parallel, each after what it needs."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Literal

from nagoya.errors import NagoyaError
from nagoya.utils.graph import Needs, waves

_GRACE = 3.0
"""Seconds that running work gets to notice a Ctrl-C before it is abandoned."""


@dataclass(frozen=True)
class Result:
    """How one name ended. `blocked_by` is the name whose failure made this one be skipped."""

    name: str
    state: Literal["done", "failed", "skipped"]
    seconds: float = 0.0
    error: BaseException | None = None
    blocked_by: str | None = None


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came; `running` names what had begun and had not ended, in order of beginning."""

    def __init__(self, outcomes: dict[str, Result], running: list[str]) -> None:
        super().__init__("interrupted")
        self.outcomes = outcomes
        self.running = running


def run_graph(
    needs: Needs,
    do: Callable[[str], object],
    *,
    workers: int,
    stop: threading.Event | None = None,
    on_done: Callable[[Result], None] = lambda outcome: None,
) -> dict[str, Result]:
    """Call `do(name)` for every name of `needs`, at most `workers` at once, each after its needs.

    A name whose need failed is skipped; whatever does not depend on it is still done. `on_done`
    hears of each as it ends, in the caller's thread. On Ctrl-C nothing more begins, `stop` is set
    for `do` to look at, and Interrupted is raised once all has ended or after three seconds;
    threads are daemons, so what ignores `stop` dies with the process. An error that is no
    NagoyaError is a fault of ours: it is raised once the rest is finished. Raises plan.Cycle.
    """
    waves(needs)  # for its Cycle, which names the circle the way it is read
    sorter = TopologicalSorter(
        {name: [other for other in others if other in needs] for name, others in needs.items()}
    )
    sorter.prepare()
    place = {name: index for index, name in enumerate(needs)}
    ready: list[str] = []
    running: dict[str, float] = {}
    ended: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()
    outcomes: dict[str, Result] = {}

    def settle(outcome: Result) -> None:
        outcomes[outcome.name] = outcome
        on_done(outcome)
        sorter.done(outcome.name)

    def collect(seconds: float | None = None) -> None:
        name, error = ended.get(timeout=seconds)
        took = time.monotonic() - running.pop(name)
        settle(Result(name, "failed" if error else "done", took, error))

    try:
        while sorter.is_active():
            ready = sorted([*ready, *sorter.get_ready()], key=place.__getitem__)
            while ready and len(running) < workers:
                name = ready.pop(0)
                culprit = _culprit(name, needs, outcomes)
                if culprit is not None:
                    settle(Result(name, "skipped", blocked_by=culprit))
                    continue
                running[name] = time.monotonic()
                threading.Thread(
                    target=lambda name=name: ended.put((name, _error_of(do, name))),
                    name=name,
                    daemon=True,
                ).start()
            if running:
                collect()
    except KeyboardInterrupt:
        if stop is not None:
            stop.set()
        deadline = time.monotonic() + _GRACE
        try:
            while running and (left := deadline - time.monotonic()) > 0:
                collect(left)
        except (queue.Empty, KeyboardInterrupt):
            pass
        raise Interrupted(outcomes, list(running)) from None

    for outcome in outcomes.values():
        if outcome.error is not None and not isinstance(outcome.error, NagoyaError):
            raise outcome.error
    return {name: outcomes[name] for name in needs}


def _culprit(name: str, needs: Needs, outcomes: dict[str, Result]) -> str | None:
    """The failed name for whose sake this one cannot be done, be it a need or a need's need."""
    for other in needs[name]:
        match outcomes.get(other):
            case Result(state="failed"):
                return other
            case Result(state="skipped", blocked_by=blocked_by):
                return blocked_by
    return None


def _error_of(do: Callable[[str], object], name: str) -> BaseException | None:
    try:
        do(name)
    except BaseException as error:  # a thread that ends unheard would be waited for, for ever
        return error
    return None
