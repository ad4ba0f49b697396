"""The processes of a container, read from /proc: parents, children, sessions."""

import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .entry import Fatal

_PAUSE = 0.02
_PATIENCE = 5.0
_LONGEST = 4096


@dataclass(frozen=True)
class Process:
    """A process, as proc(5) has it; its `command` is the arguments, with blanks between.

    The arguments may be anything, megabytes too, of which `command` is the first kilobytes.
    """

    pid: int
    parent: int
    session: int
    command: str


def processes(proc: Path = Path("/proc")) -> list[Process]:
    """All processes but zombies."""
    running = []
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The name, in brackets, may hold anything.
            state, parent, _group, session, *_ = (
                (folder / "stat").read_bytes().rpartition(b")")[2].decode().split()
            )
            with (folder / "cmdline").open("rb") as file:
                arguments = file.read(_LONGEST)
        except OSError:
            continue
        command = arguments.replace(b"\0", b" ").decode(errors="replace").strip()
        if state not in "ZX":
            running.append(Process(int(folder.name), int(parent), int(session), command))
    return running


def descendants(of: int, among: Iterable[Process]) -> list[Process]:
    """All descendants of a process, parents before their children."""
    children: dict[int, list[Process]] = {}
    for process in among:
        children.setdefault(process.parent, []).append(process)
    descendants, open_ = [], [of]
    while open_:
        born = children.get(open_.pop(), [])
        descendants += born
        open_ += [process.pid for process in born]
    return descendants


def send(number: int, pids: Iterable[int]) -> None:
    """Send a signal to each process that still exists."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_gone(pids: Collection[int]) -> None:
    """Wait until none of them is running. Raises Fatal if one is after 5 s."""
    deadline = time.monotonic() + _PATIENCE
    while rest := set(pids).intersection(process.pid for process in processes()):
        if time.monotonic() > deadline:
            raise Fatal(
                f"still running after {_PATIENCE:g} s: PIDs {', '.join(map(str, sorted(rest)))}"
            )
        time.sleep(_PAUSE)


@contextmanager
def frozen(pids: Collection[int]) -> Iterator[None]:
    """Stop processes (SIGSTOP) within a `with` block."""
    send(signal.SIGSTOP, pids)
    try:
        yield
    finally:
        send(signal.SIGCONT, pids)
