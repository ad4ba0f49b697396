"""Becomes kojira, once there is a hub for it to log in to.

Until Apache is up it costs next to nothing; kojira itself would fail, and be started again, and
compete with Apache for the processor all the while.
"""

import sys
from pathlib import Path

from util import entry
from util.hub import UNREACHABLE, hub
from util.waiting import wait_until

CONFIGURATION = Path("/etc/kojira/kojira.conf")
HUB = "https://localhost/kojihub"
PATIENCE = 300.0

# --fg: as a child of the supervisor, with its log on stderr. --force-lock: a kojira that was
# killed leaves its session behind, locked; it was ours, as only one hub has its certificate.
COMMAND = ("/usr/sbin/kojira", "--fg", "--force-lock", f"--config={CONFIGURATION}")


def main() -> int:
    """Wait, and exec."""
    wait_until(hub(HUB).getAPIVersion, PATIENCE, f"the hub at {HUB}", retry=UNREACHABLE)
    entry.exec_command(COMMAND)


if __name__ == "__main__":
    sys.exit(entry.run("koji-hub: kojira", main))
