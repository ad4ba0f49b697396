"""Bounds what a user adds to the disks in a day, so that none of them can fill a disk for all.

Each account has a file: when its day began, in seconds since the epoch, and how much was taken
since. It is gone with the hub's container, and each hub has its own.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

FOLDER = Path("/run/koji-hub/allowances")
DAY = 86400


class Allowances:
    """The files."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    def take(self, account: str, amount: int, limit: int) -> bool:
        """Add `amount` to what an account has taken in its day, or return False: more than
        `limit` in all would be taken."""
        descriptor = os.open(self.folder / account, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            now = int(time.time())
            began, taken = now, 0
            with suppress(ValueError):
                began, taken = map(int, file.readline().split())
            if not 0 <= now - began < DAY:
                began, taken = now, 0
            if taken + amount > limit:
                return False
            file.seek(0)
            file.write(f"{began} {taken + amount}\n")
        return True
