"""Run the tasks of a dependency graph in parallel."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from nagoya.errors import NagoyaError
from nagoya.utils.graph import Graph, sorter

_logger = logging.getLogger(__name__)
_GRACE = 3.0
"""Seconds that running tasks have to notice a Ctrl-C before they are abandoned."""


@dataclass(frozen=True)
class Result:
    """How a task ended; `blocked_by` is the failed task because of which it was skipped."""

    name: str
    state: Literal["done", "failed", "skipped"]
    error: BaseException | None = None
    blocked_by: str | None = None


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed; `running` names the tasks that had not ended, in order of their start."""

    def __init__(self, results: dict[str, Result], running: list[str]) -> None:
        super().__init__("interrupted")
        self.results = results
        self.running = running


def run_graph(
    graph: Graph,
    task: Callable[[str], object],
    *,
    workers: int,
    stop: threading.Event | None = None,
    on_done: Callable[[Result], None] = lambda result: None,
) -> dict[str, Result]:
    """Call `task(name)` for every name of a graph, after its dependencies, `workers` at a time.

    Whatever depends on a failed task is skipped; the rest is still done, and `raise_failures`
    reports it. `on_done` is called for each task as it ends, in the caller's thread. On Ctrl-C no
    task is started any more, `stop` is set for the running ones to look at, and Interrupted is
    raised once they ended or three seconds have passed; threads are daemons, so a task that ignores
    `stop` dies with the process. An error that is no NagoyaError is a bug: it is raised once the
    rest is finished. Raises graph.Cycle.
    """
    order = sorter(graph)
    place = {name: index for index, name in enumerate(graph)}
    ready: list[str] = []
    running: dict[str, None] = {}
    ended: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()
    results: dict[str, Result] = {}

    def finish(result: Result) -> None:
        results[result.name] = result
        on_done(result)
        order.done(result.name)

    def collect(seconds: float | None = None) -> None:
        name, error = ended.get(timeout=seconds)
        del running[name]
        finish(Result(name, "failed" if error else "done", error))

    try:
        while order.is_active():
            ready = sorted([*ready, *order.get_ready()], key=place.__getitem__)
            while ready and len(running) < workers:
                name = ready.pop(0)
                blocker = _blocker(name, graph, results)
                if blocker is not None:
                    finish(Result(name, "skipped", blocked_by=blocker))
                    continue
                running[name] = None
                threading.Thread(
                    target=lambda name=name: ended.put((name, _error_of(task, name))),
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
            while running and (remaining := deadline - time.monotonic()) > 0:
                collect(remaining)
        except (queue.Empty, KeyboardInterrupt):
            pass
        raise Interrupted(results, list(running)) from None

    for result in results.values():
        if result.error is not None and not isinstance(result.error, NagoyaError):
            raise result.error
    return {name: results[name] for name in graph}


def raise_failures(
    results: Mapping[str, Result],
    error: type[NagoyaError],
    message: str,
    hint: str | None = None,
) -> None:
    """Raise an error that lists what failed, why, and what was skipped; nothing if all is done.

    Its hint is the first one that a failed task's own error has, else `hint`.
    """
    lines, own = [], None
    for name, result in results.items():
        if isinstance(result.error, NagoyaError):
            lines.append(f"  {name}: {result.error.message}")
            own = own or result.error.hint
        elif result.state == "skipped":
            lines.append(f"  {name}: skipped because {result.blocked_by} failed")
    if lines:
        raise error("\n".join([f"{message}:", *lines]), own or hint)


def raise_one_or_all(results: Mapping[str, Result], error: type[NagoyaError], message: str) -> None:
    """Raise the only error if all else that is not done was skipped for it, else list them all."""
    failed = [result.error for result in results.values() if result.error]
    if len(failed) == 1:
        raise failed[0]
    raise_failures(results, error, message)


def _blocker(name: str, graph: Graph, results: dict[str, Result]) -> str | None:
    """The failed task that keeps this one from running, directly or through other tasks."""
    for other in graph[name]:
        match results.get(other):
            case Result(state="failed"):
                return other
            case Result(state="skipped", blocked_by=blocked_by):
                return blocked_by
    return None


def _error_of(task: Callable[[str], object], name: str) -> BaseException | None:
    try:
        task(name)
    except BaseException as error:  # else nobody would learn that the thread has ended
        _logger.debug("%s failed", name, exc_info=True)
        return error
    return None
