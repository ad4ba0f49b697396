"""A builder's part in a snapshot: it keeps nothing, and where the hub goes back, its work goes.

kojid itself stays, with its session: it finds out what became of its tasks as it does when the hub
cancels one. What tasks have left behind has to go, since numbers of tasks and buildroots come
again.
"""

import json
import signal
import sys
from pathlib import Path

import work

from util import processes, snapshot
from util.hub import UNREACHABLE, hub
from util.waiting import wait_until

# Written by entrypoint.py at every start.
BUILDER = Path("run/koji-builder.json")
KOJID = "/usr/sbin/kojid"
PATIENCE = 10.0


def switch(root: Path) -> None:
    """End all work, and take away what it left."""
    end_tasks()
    work.clear(root)


def release(root: Path) -> snapshot.Restart:
    """See to it that the hub knows the host: the state may be older than this builder, which then
    registers as it does at every start."""
    builder = json.loads((root / BUILDER).read_text())
    host = wait_until(
        lambda: hub(builder["hub"]).getHost(builder["name"]),
        PATIENCE,
        f"the hub at {builder['hub']}",
        retry=UNREACHABLE,
    )
    return {"restart": not (isinstance(host, dict) and host["enabled"])}


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
    sys.exit(snapshot.run("koji-builder", VERBS))
