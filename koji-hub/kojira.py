"""Waits for the hub, then executes kojira.

Started at once, kojira would fail and be restarted until Apache is up, and compete with it for the
processor all the while. Waiting costs next to nothing.
"""

import configparser
import sys
from pathlib import Path

from util import certificates, credentials, entry
from util.hub import UNREACHABLE, hub
from util.waiting import wait_until

CONFIGURATION = Path("/etc/kojira/kojira.conf")
PATIENCE = 300.0

# --fg: with its log on stderr. --force-lock: a kojira that was
# killed leaves its exclusive session behind, and no other kojira uses this certificate.
COMMAND = ("/usr/sbin/kojira", "--fg", "--force-lock", f"--config={CONFIGURATION}")


def main() -> int:
    """Wait for the hub, then execute kojira."""
    if error := certificates.date_error(Path("/") / credentials.FOLDER, ["kojira"]):
        raise error
    configuration = configparser.ConfigParser(interpolation=None)
    configuration.read(CONFIGURATION)
    url = configuration["kojira"]["server"]
    wait_until(hub(url).getAPIVersion, PATIENCE, f"the hub at {url}", retry=UNREACHABLE)
    entry.exec_command(COMMAND)


if __name__ == "__main__":
    sys.exit(entry.run("koji-hub: kojira", main))
