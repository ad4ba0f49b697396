"""The logs in a buildroot's `result/`, which kojid uploads while they grow.

root.log says what was installed and what failed, build.log is rpmbuild's, state.log tells when each
step began and ended, hw_info.log what machine it was. Each is opened once, by the unprivileged
user, and only appended to: kojid reads all of it again in every call.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

NAMES = ("root", "build", "state", "hw_info", "installed_pkgs")


class Logs:
    """The logs of one call, open for appending; `directory` is the open result directory."""

    def __init__(self, directory: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        self._files = {
            name: os.open(f"{name}.log", flags, 0o664, dir_fd=directory) for name in NAMES
        }

    def write(self, name: str, data: bytes) -> None:
        """Append to one log."""
        while data:
            data = data[os.write(self._files[name], data) :]

    def root(self, data: bytes) -> None:
        """Append to root.log: what dnf and rpm print."""
        self.write("root", data)

    def build(self, data: bytes) -> None:
        """Append to build.log: what rpmbuild prints."""
        self.write("build", data)

    def command(self, data: bytes) -> None:
        """Append to root.log and print: what a command in the chroot prints."""
        self.root(data)
        os.write(1, data)

    def note(self, text: str) -> None:
        """A line of our own in root.log."""
        self.root(f"mock: {text}\n".encode())

    def error(self, text: str) -> None:
        """Say what failed where people are sent to: root.log, build.log and mock_output.log."""
        print(f"ERROR: {text}", file=sys.stderr, flush=True)
        for name in ("root", "build"):
            self.write(name, f"ERROR: {text}\n".encode())

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Tell in state.log, and in mock_output.log, that a step begins and ends."""
        self._state(f"Start: {name}")
        try:
            yield
        finally:
            self._state(f"Finish: {name}")

    def _state(self, text: str) -> None:
        now = datetime.now().isoformat(sep=" ", timespec="milliseconds")
        self.write("state", f"{now} - {text}\n".encode())
        print(text, flush=True)
