"""util/swap.py, and the database's copies of what is in the volume after it."""

import sys
from collections.abc import Sequence
from pathlib import Path

import entrypoint

from util import credentials, files, swap


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the verb in the arguments."""
    status = swap.main(argv)
    root = Path("/")
    if status == 0 and (root / credentials.FOLDER / files.MARKER).exists():
        entrypoint.copy_for_database(root)
    return status


if __name__ == "__main__":
    sys.exit(main())
