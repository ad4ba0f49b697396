"""Takes away what an image that is made of this builder should not have: what tasks have left, and
the log. The tasks that it has are ended first."""

import subprocess
import sys
from pathlib import Path

import work

from util import entry

DRAIN = [sys.executable, "/usr/lib/nagoya/registration.py", "drain", "600"]
LOG = Path("var/log/kojid.log")


def remove_leftovers(root: Path) -> None:
    """Empty the folders of work, and the log."""
    work.clear(root)
    (root / LOG).write_text("")


def main() -> int:
    """Do both."""
    status = subprocess.run(DRAIN, check=False).returncode
    if status == 0:
        remove_leftovers(Path("/"))
    return status


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", main))
