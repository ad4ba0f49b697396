"""Runs kojid, and takes the host out of the hub's rota before it ends.

It is PID 1 for as long as the builder runs, and imports little. Stopping takes about 2 s at rest,
and 9 s at most, for an engine kills after 10: the hub is asked to give this host no more tasks and
to take those back that it has, for others to begin anew (3 s at most); then kojid ends (5 s at
most, or 1 s if the hub did not answer, since it would only wait for it).

The tasks go back first: a kojid that is asked to end interrupts the innermost programs of its
tasks, and a task whose program was interrupted reports to the hub that the build has failed.
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
ASKING = 3.0
GRACE, GRACE_ALONE = 5.0, 1.0


def ask(what: str, seconds: float) -> bool:
    """Have registration.py do `what`, in `seconds` at most; whether it did."""
    import subprocess  # noqa: PLC0415 - needed once, at the end

    command = [sys.executable, REGISTRATION, what]
    try:
        return subprocess.run(command, check=False, timeout=seconds).returncode == 0
    except subprocess.TimeoutExpired:
        entry.log(f"the hub did not answer within {seconds:g} s")
        return False


def keep(daemon: Daemon, ask: Callable[[str, float], bool]) -> int:
    """Run `daemon` to its end, and return its status."""
    return supervise(daemon, stopping=lambda: GRACE if ask("leave", ASKING) else GRACE_ALONE)


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", lambda: keep(KOJID, ask)))
