"""A builder's part in a snapshot: it saves nothing, and a reset of the hub ends its tasks.

kojid keeps running, with its session: it notices that its tasks are gone, as it does when the hub
cancels one. The files of tasks are removed, since the numbers of tasks and buildroots repeat.
"""

import signal
import sys
from pathlib import Path
from typing import Any

import builder_file
import work

from util import processes, snapshot
from util.hub import UNREACHABLE, hub
from util.waiting import wait_until

KOJID = "/usr/sbin/kojid"
HUB_TIMEOUT = 60.0


def switch(root: Path) -> None:
    """End all tasks, and remove their files."""
    end_tasks()
    work.clear(root)


def release(root: Path) -> snapshot.Note:
    """Ask for a restart of this container if the restored hub does not know it, or its session."""
    builder = builder_file.read(root)
    known = wait_until(
        lambda: is_known(hub(builder["hub"]), builder["name"]),
        HUB_TIMEOUT,
        f"the hub at {builder['hub']}",
        retry=UNREACHABLE,
    )
    return {"restart": not known}


def is_known(calls: Any, name: str) -> bool:
    """Whether the hub has this host and a session of its kojid."""
    host = calls.getHost(name)
    return host is not None and calls.getLastHostUpdate(host["id"], True) is not None


def end_tasks() -> None:
    """Kill what kojid has started, and orphans. A `toji exec` shell is no descendant of PID 1."""
    while True:
        running = processes.processes()
        started = processes.descendants(1, running)
        # The supervisor starts kojid in a session of its own, which its children share.
        kojid = {p.pid for p in started if p.pid == p.session and KOJID in p.command}
        tasks = [p.pid for p in started if p.pid not in kojid]
        if not tasks:
            return
        processes.send(signal.SIGKILL, tasks)
        processes.wait_gone(tasks)


if __name__ == "__main__":
    VERBS: snapshot.Verbs = {
        "switch": lambda: switch(Path("/")),
        "release": lambda: release(Path("/")),
    }
    # release waits for the hub, which may itself wait for a later change and its release here.
    sys.exit(snapshot.run("koji-builder", VERBS, at_any_time=["release"]))
