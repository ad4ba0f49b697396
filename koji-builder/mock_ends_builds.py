"""A plugin for kojid: of a task's processes it signals those of the builder, not those of a build.

To end a task, kojid signals each process below it, deepest first, and waits up to three seconds for
each. It finds them by reading the arguments of all processes as UTF-8 text. So a build whose
process has other arguments, or megabytes of them, or whose processes ignore signals, would stop
kojid's main loop. mock, when it is signalled, ends the processes of its build, which have a PID
namespace of their own. The plugin is always on, whatever KOJI_BUILDER_PLUGINS says.

It replaces `TaskManager._childPIDs` and `TaskManager._getStat`.
"""

import logging
import os
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

PROC = Path("/proc")
# Bytes of a command.
_LONGEST = 4096


class Processes:
    """The processes of the builder's container, in place of what kojid reads of /proc."""

    def __init__(self, proc: Path = PROC) -> None:
        self.proc = proc

    def get_stat(self, pid: int) -> list[Any] | None:
        """The fields of /proc/PID/stat, with the command in place of the name.

        None if there is no such process, or it has no command.
        """
        folder = self.proc / str(pid)
        try:
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].decode().split()
            with (folder / "cmdline").open("rb") as file:
                arguments = file.read(_LONGEST).replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return None
        command = "".join(letter if letter.isprintable() else "?" for letter in arguments).strip()
        numbers = [int(field) if field.lstrip("-").isdigit() else field for field in fields]
        return [pid, command, *numbers] if command else None

    def child_pids(self, pid: int) -> list[tuple[int, str]]:
        """The ID and the command of a process and its descendants, parents before children.

        Without those of another PID namespace.
        """
        own = self._status(os.getpid())
        children = defaultdict(list)
        for folder in self.proc.iterdir():
            status = folder.name.isdigit() and self._status(int(folder.name))
            if status and own and status[1] == own[1]:
                children[status[0]].append(int(folder.name))
        pids = [pid]
        for parent in pids:
            pids += children[parent]
        stats = ((number, self.get_stat(number)) for number in pids)
        return [(number, stat[1]) for number, stat in stats if stat]

    def _status(self, pid: int) -> tuple[int, int] | None:
        """The parent of a process, and in how many PID namespaces it is, as seen from here."""
        try:
            text = (self.proc / str(pid) / "status").read_text(errors="replace")
        except OSError:
            return None
        match = re.search(r"^PPid:\t(\d+)\n.*^NSpid:\t([\d\t]+)$", text, re.MULTILINE | re.DOTALL)
        return (int(match[1]), len(match[2].split())) if match else None


def install(manager: Any) -> None:
    """Change kojid's TaskManager, if it finds processes by those methods; log whether it does."""
    logger = logging.getLogger("koji.mock_ends_builds")
    if hasattr(manager, "_childPIDs") and hasattr(manager, "_getStat"):
        processes = Processes()
        manager._childPIDs = lambda _self, pid: processes.child_pids(pid)
        manager._getStat = lambda _self, pid: processes.get_stat(pid)
        logger.info("signals no process of a build, which mock ends")
    else:
        logger.warning("TaskManager has no _childPIDs and _getStat here: nothing to do")


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["__main__"].TaskManager)
