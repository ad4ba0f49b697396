"""The logs in a buildroot's `result/`, which kojid uploads while they grow.

root.log has the output of dnf and rpm, build.log that of rpmbuild, state.log the time of each step,
hw_info.log the machine. Each is opened once, as the unprivileged user, and only appended to, since
kojid reads them from the start in every call.
"""

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from errors import MockError, Status

NAMES = ("root", "build", "state", "hw_info", "installed_pkgs")
LONGEST = 1 << 30  # bytes of output in a log; those of large distributions have some hundred MB
# Errors of a full disk, and how many seconds a log waits for space.
DISK_FULL, DISK_FULL_SECONDS = (errno.ENOSPC, errno.EDQUOT), 20.0
LONGEST_ERROR = 4096  # characters; a message may name files of a build


class Logs:
    """The logs of one call, open for appending in `directory`, a descriptor of `result/`."""

    def __init__(self, directory: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        self._files = {
            name: os.open(f"{name}.log", flags, 0o664, dir_fd=directory) for name in NAMES
        }

    def write(self, name: str, data: bytes, seconds: float = DISK_FULL_SECONDS) -> None:
        """Append to the log called `name`, one of NAMES.

        Where the disk is full, wait for the end of the build that has filled it. OSError after
        `seconds`.
        """
        deadline = time.monotonic() + seconds
        while data:
            try:
                data = data[os.write(self._files[name], data) :]
            except OSError as error:
                if error.errno not in DISK_FULL or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def root(self, data: bytes) -> None:
        """Append the output of dnf or rpm to root.log. MockError if that is longer than LONGEST."""
        self._add("root", data)

    def build(self, data: bytes) -> None:
        """Append the output of rpmbuild to build.log. MockError if that is longer than LONGEST."""
        self._add("build", data)

    def _add(self, name: str, data: bytes) -> None:
        if os.fstat(self._files[name]).st_size + len(data) > LONGEST:
            raise MockError(
                Status.BUILD, f"the build was ended: {name}.log would be longer than 1 GiB"
            )
        self.write(name, data)

    def command(self, data: bytes) -> None:
        """Append the output of a command in the chroot to root.log, and print it."""
        self.root(data)
        os.write(1, data)

    def shorten(self) -> None:
        """Keep the first MiB of each."""
        for file in self._files.values():
            if os.fstat(file).st_size > 1 << 20:
                os.ftruncate(file, 1 << 20)

    def note(self, text: str) -> None:
        """Append a line of mock's own to root.log."""
        self.root(f"mock: {text}\n".encode(errors="backslashreplace"))

    def error(self, text: str) -> None:
        """Report a failure in every log that kojid may refer to, and on stderr."""
        text = text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}…"
        # A build may give its files names that are not UTF-8, or that control a terminal.
        text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
        print(f"ERROR: {text}", file=sys.stderr, flush=True)
        for name in ("root", "build"):
            with suppress(OSError):  # the disk may be full
                self.write(name, f"ERROR: {text}\n".encode(), seconds=0)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Log the start and the end of a step to state.log, and print both."""
        self._state(f"Start: {name}")
        try:
            yield
        finally:
            self._state(f"Finish: {name}")

    def _state(self, text: str) -> None:
        now = datetime.now().isoformat(sep=" ", timespec="milliseconds")
        self.write("state", f"{now} - {text}\n".encode(errors="backslashreplace"))
        print(text, flush=True)
