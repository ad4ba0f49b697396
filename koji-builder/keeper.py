"""Runs kojid, and takes the host out of the hub's rota before it ends.

It is PID 1 for as long as the builder runs, and imports little. Stopping takes half a second at
rest, and 9 s at most, for an engine kills after 10: the hub is asked to give this host no more
tasks (2 s at most); kojid ends its tasks and hands them back (5 s at most, or 1 s if the hub did
not answer, since it would only wait for it); and what a kojid that had to be killed left open is
handed back in its place (2 s at most).
"""

import sys
from collections.abc import Callable

from util import entry
from util.supervise import Daemon, supervise

REGISTRATION = "/usr/lib/nagoya/registration.py"
# --force-lock: a kojid that was killed leaves its session behind, locked, and it was ours.
KOJID = Daemon(
    "kojid", ("/usr/sbin/kojid", "--fg", "--force-lock", "--config=/etc/kojid/kojid.conf")
)
ASKING = 2.0
GRACE, GRACE_ALONE = 5.0, 1.0
KILLED = 128 + 9


def ask(what: str, seconds: float) -> bool:
    """Have registration.py do `what`, in `seconds` at most; whether it did."""
    import subprocess  # noqa: PLC0415 - needed once, at the end

    command = [sys.executable, REGISTRATION, what]
    try:
        return subprocess.run(command, check=False, timeout=seconds).returncode == 0
    except subprocess.TimeoutExpired:
        entry.say(f"the hub did not answer within {seconds:g} s")
        return False


def keep(daemon: Daemon, ask: Callable[[str, float], bool]) -> int:
    """Run `daemon` to its end, and return its status."""
    left = None

    def stopping() -> float:
        nonlocal left
        left = ask("leave", ASKING)
        return GRACE if left else GRACE_ALONE

    status = supervise(daemon, stopping=stopping)
    if left and status == KILLED:
        ask("hand-back", ASKING)
    return status


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", lambda: keep(KOJID, ask)))
