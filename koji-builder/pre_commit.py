"""Drain this builder, and remove what an image committed from it should not contain."""

import shutil
import subprocess
import sys
from pathlib import Path

import work

from util import credentials, entry

DRAIN = [sys.executable, "/usr/lib/nagoya/registration.py", "drain", "600"]


def remove_leftovers(root: Path) -> None:
    """Remove the files of tasks and the builder's key."""
    work.clear(root)
    shutil.rmtree(root / credentials.FOLDER, ignore_errors=True)


def main() -> int:
    """Drain, then clean up; the status of draining."""
    status = subprocess.run(DRAIN, check=False).returncode
    if status == 0:
        remove_leftovers(Path("/"))
    return status


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", main))
