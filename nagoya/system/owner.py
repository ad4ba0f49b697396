"""Who made a system, where that user's home is, and whether the system is still in use.

The labels of a system's containers and network record it. A system that a process made for itself
alone (as the fixture of nagoya/testing/pytest_plugin.py does) is stale once that process has ended
without removing it.
"""

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nagoya.engine.state import CONTAINER_LABEL, SYSTEM_LABEL

OWNER_LABEL = "nagoya.owner"
"""USER@HOST: who made it, and on which machine."""
PROCESS_LABEL = "nagoya.process"
"""BOOT:NAMESPACE:PID:START of the process that the system was made for."""
HOME_LABEL = "nagoya.home"
"""The folder whose .koji/ holds profile and credentials, if that is not the user's home."""

_UNKNOWN = "?"


@dataclass(frozen=True)
class Owner:
    """The owner of a system; `process` and `home_override` are the values of their labels."""

    name: str
    process: str | None = None
    home_override: str | None = None

    @classmethod
    def user(cls) -> Self:
        """The user who runs this program; the system outlives it."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user may be a mere number
            user = str(os.getuid())
        return cls(f"{user}@{socket.gethostname()}")

    @classmethod
    def this_process(cls, home: Path) -> Self:
        """This process; the system should not outlive it."""
        pid = os.getpid()
        process = ":".join([_boot(), _namespace(), str(pid), str(_start_time(pid))])
        return cls(cls.user().name, process, str(home.resolve()))

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> Self | None:
        """The owner that a container's labels record, or None."""
        name = labels.get(OWNER_LABEL)
        return cls(name, labels.get(PROCESS_LABEL), labels.get(HOME_LABEL)) if name else None

    @property
    def labels(self) -> dict[str, str]:
        """The labels that record this owner."""
        values = {
            OWNER_LABEL: self.name,
            PROCESS_LABEL: self.process,
            HOME_LABEL: self.home_override,
        }
        return {label: value for label, value in values.items() if value is not None}

    def container_labels(self, system: str, declared: str = "") -> dict[str, str]:
        """The labels of every container of a system; a helper is not `declared` in moromi.yml."""
        return {SYSTEM_LABEL: system, CONTAINER_LABEL: declared, **self.labels}

    @property
    def home(self) -> Path:
        """The folder whose .koji/ holds profile and credentials; never one of another machine."""
        here = self.name.rpartition("@")[2] == socket.gethostname()
        return Path(self.home_override) if self.home_override and here else Path.home()

    @property
    def pid(self) -> int | None:
        """The number of the process that the system was made for, in its own namespace."""
        return int(self.process.split(":")[2]) if self.process else None

    @property
    def stale(self) -> bool:
        """Whether the process that the system was made for has ended.

        False for a process of another machine, boot or container, which cannot be seen from here.
        """
        if self.process is None:
            return False
        boot, namespace, pid, start = self.process.split(":")
        return (boot, namespace) == (_boot(), _namespace()) and _start_time(int(pid)) != start


def _boot() -> str:
    """What tells this machine, since it was started, from all others; host names do not."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _namespace() -> str:
    """The namespace in which process ids count: a container has one of its own."""
    try:
        return Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        return _UNKNOWN


def _start_time(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; None if it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self").exists():
            return None
        # Without /proc, as on macOS, only the number can be looked up.
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return _UNKNOWN
    # The name, in brackets, may hold anything. The state is the next field; a zombie has ended.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]
