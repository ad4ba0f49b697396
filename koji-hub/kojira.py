"""Waits for the hub, then executes kojira.

Started at once, kojira would fail and be restarted until Apache is up, and compete with it for the
processor all the while. Waiting costs next to nothing.
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
# killed leaves its exclusive session behind, and no other kojira uses this certificate.
COMMAND = ("/usr/sbin/kojira", "--fg", "--force-lock", f"--config={CONFIGURATION}")


def main() -> int:
    """Wait for the hub, then execute kojira."""
    wait_until(hub(HUB).getAPIVersion, PATIENCE, f"the hub at {HUB}", retry=UNREACHABLE)
    entry.exec_command(COMMAND)


if __name__ == "__main__":
    sys.exit(entry.run("koji-hub: kojira", main))
