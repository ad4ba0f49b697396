"""A builder's part in a snapshot: it keeps nothing, and where the hub goes back, its work goes.

kojid itself stays, with its session: it finds out what became of its tasks as it does when the hub
cancels one. What tasks have left behind has to go, since numbers of tasks and buildroots come
again.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import work

from util import processes, snapshot
from util.hub import UNREACHABLE, hub
from util.waiting import wait_until

# Written by entrypoint.py at every start.
BUILDER = Path("run/koji-builder.json")
KOJID = "/usr/sbin/kojid"
PATIENCE = 60.0


def switch(root: Path) -> None:
    """End all work, and take away what it left."""
    end_tasks()
    work.clear(root)


def release(root: Path) -> snapshot.Note:
    """Whether kojid has to register again and log in, as it does at a start: the state may be older
    than this builder."""
    builder = json.loads((root / BUILDER).read_text())
    known = wait_until(
        lambda: is_known(hub(builder["hub"]), builder["name"]),
        PATIENCE,
        f"the hub at {builder['hub']}",
        retry=UNREACHABLE,
    )
    return {"restart": not known}


def is_known(calls: Any, name: str) -> bool:
    """Whether the hub has this host, and a session of its own."""
    host = calls.getHost(name)
    return host is not None and calls.getLastHostUpdate(host["id"], True) is not None


def end_tasks() -> None:
    """Kill whatever kojid has started, and what lost its parent; a shell of `toji exec` is none
    of PID 1's."""
    while True:
        running = processes.processes()
        started = processes.descendants(1, running)
        # The supervisor gives it a session of its own, and its children stay in that.
        kojid = {one.pid for one in started if one.pid == one.session and KOJID in one.command}
        tasks = [one.pid for one in started if one.pid not in kojid]
        if not tasks:
            return
        processes.send(signal.SIGKILL, tasks)
        processes.wait_gone(tasks)


if __name__ == "__main__":
    VERBS: snapshot.Verbs = {
        "switch": lambda: switch(Path("/")),
        "release": lambda: release(Path("/")),
    }
    # A release waits for the hub, which may wait for the next who changes the state, and for us.
    sys.exit(snapshot.run("koji-builder", VERBS, at_any_time=["release"]))
