"""A plugin for kojid: its sleeps end as soon as there is something to do.

kojid sleeps a second between two checks of a running mock, and `sleeptime` between two polls of the
hub. A small build is some ten such steps, and spends most of its time asleep. With this plugin a
sleep ends when a child process does, which is what kojid waits for. While a builder has tasks, it
polls for more four times as often, since these are mostly subtasks, and at once when a task starts
to wait for its subtasks. An idle builder polls no more often than `sleeptime` says. `waitrepo`,
which looks for a new repository once a minute, looks every two seconds. kojid also sleeps a second
after git and createrepo have ended; the plugin shortens that too.

It also wakes a task that waits for its subtasks with a time limit, as `restartHosts` does. Koji
1.30 sleeps through the signal for that (Koji issue 3442), up to a day long, and takes no other task
meanwhile.

On by default; KOJI_BUILDER_PLUGINS without `fast_poll` turns it off. It replaces the module `time`
in kojid, koji.tasks and koji.daemon, `BaseTaskHandler.wait` and `WaitrepoTask.PAUSE`. Koji has them
from 1.30 to 1.36 at least; the log says if one is missing.
"""

import functools
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

_LOOK = 0.05
# While it has tasks, this part of `sleeptime`.
_BUSY = 0.25
_WAITREPO_PAUSE = 2


class PollTime:
    """The module `time` for kojid itself, with a shorter `sleep`."""

    def __init__(self) -> None:
        self._main_process = os.getpid()
        # The last child whose end interrupted a sleep: kojid may never reap it.
        self._reported: int | None = None
        # Tasks, which kojid forks, inherit it.
        self._wake_up = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, until a child exits or `wake_up`; shorter in a kojid with tasks."""
        if os.getpid() == self._main_process and _has_children():
            seconds *= _BUSY
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                exited = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                time.sleep(remaining)
                return
            if exited is not None and exited.si_pid != self._reported:
                self._reported = exited.si_pid
                return
            if self._woken(min(remaining, _LOOK)):
                return

    def wake_up(self) -> None:
        """End a sleep of kojid's main process, from any process that it forked."""
        os.eventfd_write(self._wake_up, 1)

    def _woken(self, seconds: float) -> bool:
        if os.getpid() != self._main_process:
            time.sleep(seconds)
            return False
        woken = select.select([self._wake_up], [], [], seconds)[0]
        if woken:
            os.eventfd_read(self._wake_up)
        return bool(woken)


class CommandTime(PollTime):
    """The module `time` for koji.daemon, which runs git and createrepo for the tasks."""

    def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`; in a task for a second at most until a program ends, if one runs."""
        if os.getpid() == self._main_process or seconds > 1:
            time.sleep(seconds)
        elif _has_children():
            super().sleep(seconds)


class TaskTime:
    """The module `time` for koji.tasks, with a `sleep` that SIGUSR2 ends."""

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, or until kojid reports that a subtask has ended.

        kojid repeats the signal until the task has seen it, so none is lost for long.
        """
        signal.sigtimedwait({signal.SIGUSR2}, seconds)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _waking(wait: Callable[..., Any], wake_up: Callable[[], None]) -> Callable[..., Any]:
    """`wait`, a task's, that first makes kojid look for the subtasks."""

    @functools.wraps(wait)
    def waking(*arguments: Any, **options: Any) -> Any:
        wake_up()
        return wait(*arguments, **options)

    return waking


def install(kojid: ModuleType, tasks: ModuleType, daemon: ModuleType) -> None:
    """Change kojid's own module, koji.tasks and koji.daemon; log what could not be changed."""
    missing = []
    poll = PollTime()
    for module, name, clock in (
        (kojid, "kojid", poll),
        (tasks, "koji.tasks", TaskTime()),
        (daemon, "koji.daemon", CommandTime()),
    ):
        if getattr(module, "time", None) is time:
            module.time = clock  # type: ignore[attr-defined]
        else:
            missing.append(f"{name}.time")
    handler = getattr(tasks, "BaseTaskHandler", None)
    if handler is not None and hasattr(handler, "wait"):
        handler.wait = _waking(handler.wait, poll.wake_up)
    else:
        missing.append("BaseTaskHandler.wait")
    # In kojid up to 1.30, in koji.tasks since.
    waitrepo = getattr(kojid, "WaitrepoTask", None) or getattr(tasks, "WaitrepoTask", None)
    if waitrepo is not None and hasattr(waitrepo, "PAUSE"):
        waitrepo.PAUSE = _WAITREPO_PAUSE
    else:
        missing.append("WaitrepoTask.PAUSE")
    logger = logging.getLogger("koji.fast_poll")
    if missing:
        logger.warning("some sleeps of kojid stay long: %s not found", ", ".join(missing))
    else:
        logger.info("shortened the sleeps of kojid, of its tasks, and of waitrepo")


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["__main__"], sys.modules["koji.tasks"], sys.modules["koji.daemon"])
