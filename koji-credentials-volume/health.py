"""Ready means: all certificates were made."""

import sys
from pathlib import Path

from util import entry, files


def question(root: Path) -> str:
    """What is ready below `root`; raises if it is not."""
    folder = root / "etc/pki/koji"
    if not files.done(folder):
        raise LookupError(f"{folder} is empty")
    return f"certificates in {folder}"


if __name__ == "__main__":
    sys.exit(entry.health(lambda: question(Path("/"))))
