"""A plugin for kojid: up to 500 idle builders poll the hub no more often than 25 do.

Each poll costs the hub and the database processor time, 24 ms with 10 builders and 85 ms with 300:
see docs/scale.md. The plugin makes `sleeptime` longer where there are many: together they poll 25
times a second, but each at least every 20 s. Up to 25 builders poll every second, 300 every 12 s.
It is always on, whatever KOJI_BUILDER_PLUGINS says.

It counts the enabled hosts at the first poll and then every five minutes.
"""

import functools
import logging
import sys
import time
from typing import Any

_POLLS_PER_SECOND = 25
# Less than the hub's ReadyTimeout and AssignTimeout (entrypoint.py of koji-hub), from Koji 1.34 on.
_LONGEST_SLEEP = 20
_COUNT_SECONDS = 300


def sleep_seconds(builders: int, declared: float) -> float:
    """How long each of so many idle builders sleeps; no shorter than declared."""
    return max(declared, min(builders / _POLLS_PER_SECOND, _LONGEST_SLEEP))


def install(task_manager: Any) -> None:
    """Let TaskManager.getNextTask, which kojid calls at each poll, adapt `sleeptime`."""
    next_task = task_manager.getNextTask
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
