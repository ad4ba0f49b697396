"""A plugin for kojid: many idle builders cost the hub hardly more than 15 do (docs/scale.md).

It makes `sleeptime` longer where there are many builders: together they poll 15 times a second, but
each at least every 20 s. Up to 15 builders poll every second, 150 every 10 s. It counts the enabled
hosts at the first poll and then every five minutes.

The last call of a poll looks at all builders: up to Koji 1.33 it asks for their load, later it
makes the hub give tasks to them. While there is no task for anybody, the plugin leaves it out;
but once a minute for the later ones, whose hub notices by it that a builder is gone.

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
_LOOK_SECONDS = 60
# From 1.34 on, the call also frees the open tasks of builders that are gone.
_UNFINISHED = [koji.TASK_STATES[name] for name in ("FREE", "ASSIGNED", "OPEN")]


def sleep_seconds(builders: int, declared: float) -> float:
    """How long each of so many idle builders sleeps; no shorter than declared."""
    return max(declared, min(builders / _POLLS_PER_SECOND, _LONGEST_SLEEP))


def next_if_any(task_manager: Any) -> Any:
    """TaskManager.getNextTask, which only checks in with the hub while there is no task."""
    next_task = task_manager.getNextTask
    hub_assigns = "getLoadData" not in next_task.__code__.co_names
    looked = -float("inf")

    @functools.wraps(next_task)
    def look_first(self: Any) -> Any:
        nonlocal looked
        due = hub_assigns and time.monotonic() - looked >= _LOOK_SECONDS
        if due or self.session.listTasks({"state": _UNFINISHED}, {"countOnly": True}):
            looked = time.monotonic()
            return next_task(self)
        self.ready = self.readyForTask()
        # From 1.33 on, a builder tells what it can do, too.
        data = {"data": self._get_host_data()} if hasattr(self, "_get_host_data") else {}
        self.session.host.updateHost(self.task_load, self.ready, **data)
        return False

    return look_first


def install(task_manager: Any) -> None:
    """Let TaskManager.getNextTask, which kojid calls at each poll, adapt `sleeptime`."""
    next_task = next_if_any(task_manager)
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
