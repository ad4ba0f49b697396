"""Ready means: the hub has heard from this host lately, lets it work, and it would take a task."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from util import entry
from util.hub import hub

# Written by entrypoint.py at every start.
BUILDER = Path("/run/koji-builder.json")
# kojid looks for work every second or so, but can be busy cleaning up; the hub itself gives a
# host up after five minutes.
LATELY = 60.0


def judge(host: dict[str, Any], seen: float | None, started: float, now: float) -> str:
    """What there is to say of `host` (as getHost tells it), heard from last at `seen`.

    The three times are seconds since the epoch. Raises LookupError if it is not good.
    """
    name = host["name"]
    # The hub's record of a builder that was killed looks well for a while.
    if seen is None or seen < started:
        raise LookupError(f"{name} has not checked in since it was started")
    if not host["enabled"]:
        raise LookupError(f"{name} is disabled on the hub")
    if now - seen > LATELY:
        raise LookupError(f"{name} checked in {now - seen:.0f} s ago")
    # One that is at work may have enough of it.
    if not host["ready"] and not host["task_load"]:
        raise LookupError(f"{name} checks in but would take no task; its log tells why")
    return f"{name} checked in"


def question() -> str:
    """What the hub says of this host; raises if that is not good."""
    builder = json.loads(BUILDER.read_text())
    calls: Any = hub(builder["hub"], timeout=4)
    host = calls.getHost(builder["name"])
    if host is None:
        raise LookupError(f"{builder['name']} is not registered on the hub")
    seen = calls.getLastHostUpdate(host["id"], True)
    return judge(host, seen, started=BUILDER.stat().st_mtime, now=time.time())


if __name__ == "__main__":
    sys.exit(entry.health(question))
