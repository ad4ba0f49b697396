"""How mock ends: upstream's exit statuses, out of which kojid makes "see build.log" or another."""

from enum import IntEnum


class Status(IntEnum):
    """The statuses that upstream mock documents, as far as this driver has a use for them."""

    CONFIGURATION = 3
    USAGE = 5
    ARCHITECTURE = 6
    BUILD = 10  # kojid: "see build.log"; for every one but this and 1 it says "see root.log"
    TIMEOUT = 11
    CHROOT = 20
    PACKAGES = 30
    SRPM = 40
    LOCKED = 60
    NAMESPACE = 80


class Failed(Exception):
    """What went wrong, in words for whoever reads the task's logs; `hint` says what to do."""

    def __init__(self, status: Status, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.hint = hint

    def __str__(self) -> str:
        return f"{super().__str__()}\n  hint: {self.hint}" if self.hint else super().__str__()
