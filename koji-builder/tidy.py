"""Takes away what an image that is made of this builder should not have: buildroots, tasks' files,
the log. The tasks that it has are ended first."""

import shutil
import subprocess
import sys
from pathlib import Path

from util import entry

DRAIN = [sys.executable, "/usr/lib/nagoya/registration.py", "drain", "600"]
FOLDERS = ("etc/mock/koji", "var/cache/mock", "var/lib/mock", "var/tmp/koji")
LOG = Path("var/log/kojid.log")


def tidy(root: Path) -> None:
    """Empty the folders, which stay, and the log."""
    for folder in FOLDERS:
        for path in (root / folder).glob("*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    (root / LOG).write_text("")


def main() -> int:
    """Do both."""
    status = subprocess.run(DRAIN, check=False).returncode
    if status == 0:
        tidy(Path("/"))
    return status


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", main))
