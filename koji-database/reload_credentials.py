"""Has PostgreSQL use the credentials as they are now: renewed, replaced, revoked.

Connections stay.
"""

import os
import signal
import sys
from pathlib import Path

import entrypoint

from util import entry


def main() -> int:
    """Copy them, and let PostgreSQL read the copies."""
    entrypoint.copy_credentials(Path("/"), entrypoint.USER)
    os.kill(1, signal.SIGHUP)
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-database", main))
