"""Ready means: all of Koji's directories were made."""

import sys
from pathlib import Path

from util import entry, files


def question(root: Path) -> str:
    """What is ready below `root`; raises if it is not."""
    top = root / "mnt/koji"
    if not (top / files.MARKER).exists():
        raise LookupError(f"{top} has no directories of Koji's")
    return f"Koji's directories in {top}"


if __name__ == "__main__":
    sys.exit(entry.health(lambda: question(Path("/"))))
