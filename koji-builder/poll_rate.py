"""A plugin for kojid: many idle builders cost the hub hardly more than 15 do (docs/scale.md).

It makes `sleeptime` longer where there are many builders: together they poll 15 times a second, but
each at least every 20 s. Up to 15 builders poll every second, 150 every 10 s. It counts the enabled
hosts at the first poll and then every five minutes.

Up to Koji 1.33 a poll asks for the load of all builders (`host.getLoadData`), for which the hub
makes a query for each. The plugin leaves that out while no task waits.

It is always on, whatever KOJI_BUILDER_PLUGINS says.
"""

import functools
import logging
import sys
import time
from typing import Any

import koji

_POLLS_PER_SECOND = 15
# Less than the hub's ReadyTimeout and AssignTimeout (entrypoint.py of koji-hub), from Koji 1.34 on.
_LONGEST_SLEEP = 20
_COUNT_SECONDS = 300
_WAITING = [koji.TASK_STATES[name] for name in ("FREE", "ASSIGNED")]


def sleep_seconds(builders: int, declared: float) -> float:
    """How long each of so many idle builders sleeps; no shorter than declared."""
    return max(declared, min(builders / _POLLS_PER_SECOND, _LONGEST_SLEEP))


def without_load(next_task: Any) -> Any:
    """TaskManager.getNextTask, without the load of all builders while no task waits."""

    @functools.wraps(next_task)
    def look_first(self: Any) -> Any:
        if self.session.listTasks(opts={"state": _WAITING}, queryOpts={"countOnly": True}):
            return next_task(self)
        self.ready = self.readyForTask()
        self.session.host.updateHost(self.task_load, self.ready)
        return False

    return look_first


def install(task_manager: Any) -> None:
    """Let TaskManager.getNextTask, which kojid calls at each poll, adapt `sleeptime`."""
    next_task = task_manager.getNextTask
    if "getLoadData" in next_task.__code__.co_names:
        next_task = without_load(next_task)
    logger = logging.getLogger("koji.poll_rate")
    declared: float | None = None
    counted = -float("inf")

    @functools.wraps(next_task)
    def adapting(self: Any) -> Any:
        nonlocal declared, counted
        options = self.options
        if declared is None:
            declared = options.sleeptime
        if time.monotonic() - counted >= _COUNT_SECONDS:
            # The hub ignores the query option `countOnly` here.
            builders = len(self.session.listHosts(enabled=True))
            counted = time.monotonic()
            options.sleeptime = sleep_seconds(builders, declared)
            logger.info("builders: %d; poll while idle: %.1f s", builders, options.sleeptime)
        return next_task(self)

    task_manager.getNextTask = adapting


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["__main__"].TaskManager)
