"""Run kojid, renew its certificate, and disable the host on the hub before kojid ends.

This is PID 1 as long as the builder runs, so it imports little. A stop takes about 2 s at rest and
9 s at most, since the engine kills after 10. First registration.py disables the host and frees its
tasks for other builders (3 s at most); then kojid ends (5 s at most, or 1 s if the hub did not
answer, since kojid would only wait for it too).

The tasks are freed first because a kojid that stops interrupts the programs of its tasks, and a
task whose program was interrupted reports a failed build.
"""

import sys
from collections.abc import Callable

from util import entry
from util.supervise import Daemon, supervise

REGISTRATION = "/usr/lib/nagoya/registration.py"
# --force-lock: a kojid that was killed leaves a locked session behind.
KOJID = Daemon(
    "kojid", ("/usr/sbin/kojid", "--fg", "--force-lock", "--config=/etc/kojid/kojid.conf")
)
# Daily, from long before the certificate ends.
RENEWAL = Daemon("renewal", (sys.executable, REGISTRATION, "renew"), every=86400.0, first=86400.0)
LEAVE_TIMEOUT = 3.0
GRACE, GRACE_WITHOUT_HUB = 5.0, 1.0


def leave() -> bool:
    """Have registration.py take the host off the hub; return whether it did in time."""
    import subprocess  # noqa: PLC0415 - needed once, at the end

    command = [sys.executable, REGISTRATION, "leave"]
    try:
        return subprocess.run(command, check=False, timeout=LEAVE_TIMEOUT).returncode == 0
    except subprocess.TimeoutExpired:
        entry.log(f"the hub did not answer within {LEAVE_TIMEOUT:g} s")
        return False


def main(
    daemon: Daemon = KOJID, leave: Callable[[], bool] = leave, renewal: Daemon = RENEWAL
) -> int:
    """Run `daemon` until it ends or is stopped, and return its status."""
    return supervise(daemon, [renewal], lambda: GRACE if leave() else GRACE_WITHOUT_HUB)


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", main))
