"""Who made a system, where its maker's home is, and whether anybody still needs it.

The labels on a system's containers and network say so: as with everything else, what the engine
holds is all that there is to know. A system that a process made for itself alone (the fixture of
nagoya/testing/pytest_plugin.py does) is stale once that process has ended without removing it.
"""

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

OWNER_LABEL = "nagoya.owner"
"""USER@HOST: who made it, and on which machine."""
PROCESS_LABEL = "nagoya.process"
"""NAMESPACE:PID:START of the process that has the system to itself."""
HOME_LABEL = "nagoya.home"
"""The folder in whose .koji/ profile and credentials lie, where that is not the user's home."""

_UNKNOWN = "?"


@dataclass(frozen=True)
class Owner:
    """Whom a system belongs to; `process` and `home` are as their labels have them."""

    name: str
    process: str | None = None
    elsewhere: str | None = None

    @classmethod
    def user(cls, home: Path | None = None) -> Self:
        """Whoever runs this program; what is made outlives it."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user may be but a number
            user = str(os.getuid())
        elsewhere = None if home is None else str(home.resolve())
        return cls(f"{user}@{socket.gethostname()}", None, elsewhere)

    @classmethod
    def this_process(cls, home: Path) -> Self:
        """This very process; what is made should end with it."""
        pid = os.getpid()
        process = f"{_namespace()}:{pid}:{_start(pid)}"
        return cls(cls.user().name, process, str(home.resolve()))

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> Self | None:
        """What the labels of a container say; None where they say nothing."""
        name = labels.get(OWNER_LABEL)
        return cls(name, labels.get(PROCESS_LABEL), labels.get(HOME_LABEL)) if name else None

    @property
    def labels(self) -> dict[str, str]:
        """The labels that say all this."""
        said = {
            OWNER_LABEL: self.name,
            PROCESS_LABEL: self.process,
            HOME_LABEL: self.elsewhere,
        }
        return {label: value for label, value in said.items() if value is not None}

    @property
    def home(self) -> Path:
        """In whose .koji/ profile and credentials lie; another machine's folder is none of ours."""
        return Path(self.elsewhere) if self.elsewhere and self._is_here() else Path.home()

    @property
    def stale(self) -> bool:
        """Whether the process that had the system to itself has ended.

        Of a process of another machine, or of another container's, nothing is known from here.
        """
        if self.process is None or not self._is_here():
            return False
        namespace, pid, start = self.process.split(":")
        return namespace == _namespace() and _start(int(pid)) != start

    def _is_here(self) -> bool:
        return self.name.rpartition("@")[2] == socket.gethostname()


def _namespace() -> str:
    """The namespace in which process ids count: a container has one of its own."""
    try:
        return Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        return _UNKNOWN


def _start(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None where there is none (any more)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self").exists():
            return None
        # No Linux: all that can be told is whether there is a process of that number.
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return _UNKNOWN
    # The name, in brackets, may hold anything. The state is the next field; a zombie has ended.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]
