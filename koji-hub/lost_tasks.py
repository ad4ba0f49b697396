"""Frees the tasks of builders that are gone, so that other builders take them.

Koji's hub does this itself from 1.34 on, by the same rule: a task is freed if it is open on a host
that has not called for HostTimeout seconds. Here that includes hosts that are disabled. What an
administrator has assigned to a host stays there until the host starts it.

The time is measured here, while the hub answers: a hub that was away itself has heard of no builder
for as long, and the clocks of the hub and the database may be wrong.
"""

import configparser
import time
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

import koji

from util import entry
from util.hub import UNREACHABLE

CONFIGURATION = Path("etc/koji-hub/hub.conf")
# Seconds between two looks.
PAUSE = 10.0


def host_timeout(root: Path) -> float:
    """The hub's option HostTimeout, which entrypoint.py sets."""
    configuration = configparser.RawConfigParser()
    configuration.read(root / CONFIGURATION)
    return configuration.getfloat("hub", "HostTimeout")


class LostTasks:
    """Watches the hosts that have open tasks."""

    def __init__(
        self,
        hub: xmlrpc.client.ServerProxy,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub = hub
        self._timeout = timeout
        self._clock = clock
        self._next_look = clock() + PAUSE
        self._failed = False
        # For each host: what the hub says of its last call, and when we heard that first.
        self._silent: dict[int, tuple[Any, float]] = {}

    def free(self, login: Callable[[], koji.ClientSession]) -> None:
        """Free what is lost, with a session from `login`. To be called often; it seldom looks."""
        if self._clock() < self._next_look:
            return
        self._next_look = self._clock() + PAUSE
        try:
            if tasks := self.find():
                session = login()
                for task in tasks:
                    self._free(session, task)
                session.logout()
        except (*UNREACHABLE, koji.GenericError) as error:
            self._silent.clear()
            if not self._failed:
                entry.log(
                    f"no look for tasks of builders that are gone until the hub answers: {error}"
                )
            self._failed = True
        else:
            self._failed = False

    def _free(self, session: koji.ClientSession, task: dict[str, Any]) -> None:
        what = f"task {task['id']} ({task['method']})"
        try:
            session.freeTask(task["id"])
        except koji.GenericError as error:  # it may have ended meanwhile
            entry.log(f"{what} stays with its builder, which is gone: {error}")
        else:
            entry.log(f"freed {what}: its builder has not called for {self._timeout:g} s")

    def find(self) -> list[dict[str, Any]]:
        """The open tasks of hosts that are gone. Raises what a call of the hub raises."""
        tasks: Any = self._hub.listTasks({"state": [koji.TASK_STATES["OPEN"]]})
        silent = {}
        for host in {task["host_id"] for task in tasks} - {None}:
            update = self._hub.getLastHostUpdate(host, True)
            before, since = self._silent.get(host, (None, self._clock()))
            silent[host] = update, since if update == before else self._clock()
        self._silent = silent
        now = self._clock()
        hosts = {host for host, (_, since) in silent.items() if now - since >= self._timeout}
        return [task for task in tasks if task["host_id"] in hosts]
