"""Ready means: the hub has heard from this host lately, has it enabled, and can assign it tasks."""

import sys
import time
from pathlib import Path
from typing import Any

import builder_file

from util import entry
from util.hub import failures, hub

# kojid polls every second or so, but may be busy cleaning up. The hub itself gives a host up after
# five minutes.
LATELY = 60.0


def judge(host: dict[str, Any], last_update: float | None, started: float, now: float) -> str:
    """Summarize the state of `host`, as getHost returns it. Raises LookupError if it is not ready.

    The three times are in seconds since the epoch.
    """
    name = host["name"]
    # The record of a builder that was killed looks fine for a while.
    if last_update is None or last_update < started:
        raise LookupError(f"{name} has not checked in since it was started")
    if not host["enabled"]:
        raise LookupError(f"{name} is disabled on the hub; `koji enable-host {name}` enables it")
    if now - last_update > LATELY:
        raise LookupError(f"{name} last checked in {now - last_update:.0f} s ago")
    # A builder that is busy is not ready for more tasks, but healthy.
    if not host["ready"] and not host["task_load"]:
        raise LookupError(f"{name} checks in but takes no task; its log has the reason")
    return f"{name} checked in"


def question() -> str:
    """Ask the hub about this host; raises if it is not ready."""
    builder = builder_file.read(Path("/"))
    calls: Any = hub(builder["hub"], timeout=4)
    with failures("the hub"):
        host = calls.getHost(builder["name"])
        last_update = calls.getLastHostUpdate(host["id"], True) if host else None
    if host is None:
        raise LookupError(f"{builder['name']} is not registered on the hub")
    started = (Path("/") / builder_file.PATH).stat().st_mtime
    return judge(host, last_update, started, now=time.time())


if __name__ == "__main__":
    sys.exit(entry.health(question))
