"""A plugin of kojid's: it looks up from its sleep when there is something to see.

kojid sleeps a second between two looks at a mock that runs, and its `sleeptime` between two looks
for work. A build is some ten such steps, so that a small one mostly sleeps. With this plugin a
sleep ends as soon as a child has, which is what kojid waits for; and while a builder has tasks, it
looks for the next of them, which mostly are their children, four times a second. An idle builder
asks the hub no more often than it is told to.

The same for `waitrepo`, which looks for a new repository once a minute.

Listed in kojid.conf as `plugins = prompt`, and left out by KOJI_BUILDER_PLUGINS. Nothing else of
kojid changes: it is its own module's `time` that is replaced, as that of Koji 1.30 to 1.35 needs.
"""

import os
import sys
import time
from types import ModuleType

_LOOK = 0.05
_BUSY_PAUSE = 0.25
_WAITREPO_PAUSE = 2


class PromptTime:
    """The module `time`, but for `sleep`."""

    def __init__(self) -> None:
        self._main_process = os.getpid()
        # Children that have ended and were told of; one that kojid never collects is told of once.
        self._told: set[int] = set()

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, or until a child has ended; less in a kojid that has tasks."""
        if os.getpid() == self._main_process and _has_children():
            seconds = min(seconds, _BUSY_PAUSE)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                time.sleep(left)
                return
            if ended is not None and ended.si_pid not in self._told:
                self._told = {ended.si_pid}
                return
            time.sleep(min(left, _LOOK))


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def install(kojid: ModuleType) -> None:
    """Give kojid's own module the other clock."""
    kojid.time = PromptTime()  # type: ignore[attr-defined]
    kojid.WaitrepoTask.PAUSE = _WAITREPO_PAUSE


if hasattr(sys.modules["__main__"], "WaitrepoTask"):
    install(sys.modules["__main__"])
