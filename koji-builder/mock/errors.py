"""mock's exit statuses. They are upstream's: kojid reads them to name the log with the reason."""

from enum import IntEnum


class Status(IntEnum):
    """The statuses that upstream's mock documents, as far as this driver uses them."""

    CONFIGURATION = 3
    USAGE = 5
    ARCHITECTURE = 6
    BUILD = 10  # kojid says "see build.log"; for any other but 1 it says "see root.log"
    TIMEOUT = 11
    CHROOT = 20
    PACKAGES = 30
    SRPM = 40
    LOCKED = 60
    NAMESPACE = 80


class MockError(Exception):
    """A failure to report in the task's logs: mock's exit status, a message, and what to do."""

    def __init__(self, status: Status, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.hint = hint

    def __str__(self) -> str:
        return f"{super().__str__()}\n  hint: {self.hint}" if self.hint else super().__str__()
