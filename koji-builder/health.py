"""Ready means: the hub has heard from this host lately, lets it work, and it would take a task."""

import json
import sys
import time
from pathlib import Path

from util import entry
from util.hub import hub

# Written by entrypoint.py at every start.
BUILDER = Path("/run/koji-builder.json")
# kojid looks for work every second or so, but can be busy cleaning up; the hub itself gives a
# host up after five minutes.
LATELY = 60.0


def question(builder: Path) -> str:
    """What the hub says of this host; raises if that is not good."""
    known = json.loads(builder.read_text())
    name = known["name"]
    calls = hub(known["hub"], timeout=4)
    host = calls.getHost(name)
    if host is None:
        raise LookupError(f"{name} is not registered on the hub")
    seen = calls.getLastHostUpdate(host["id"], True)
    # The hub's record of a builder that was killed looks well for a while.
    if seen is None or seen < builder.stat().st_mtime:
        raise LookupError(f"{name} has not checked in since it was started")
    if not host["enabled"]:
        raise LookupError(f"{name} is disabled on the hub")
    if time.time() - seen > LATELY:
        raise LookupError(f"{name} checked in {time.time() - seen:.0f} s ago")
    # One that is at work may have enough of it.
    if not host["ready"] and not host["task_load"]:
        raise LookupError(f"{name} checks in but would take no task; its log tells why")
    return f"{name} checked in"


if __name__ == "__main__":
    sys.exit(entry.health(lambda: question(BUILDER)))
