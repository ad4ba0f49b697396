"""How many processes and how much memory for files one build may have, so that others go on.

The engine's limits, such as pids_limit, are for a builder as a whole.
"""

import math
import os
import time
from contextlib import suppress
from pathlib import Path

from errors import MockError, Status

INTERVAL = 0.25  # seconds between two looks
# Processes and threads of one build: half of the builder's limit, and no more than this, or than
# its memory is enough for.
MOST_PROCESSES = 8192
PROCESS_SIZE = 1 << 19  # bytes
# Where builds together have taken so much of the builder's limit, those with the most are ended:
# after so many seconds, the sooner the more of them a build has.
CROWD, CROWD_SECONDS = 0.85, 4.0
CGROUPS = Path("/sys/fs/cgroup")


def engine_limit(controller: str, *names: str) -> int | None:
    """The limit of a control group's controller, from the first of the files that has a number.

    In version 2 of control groups a container's files are in CGROUPS, in version 1 in a folder for
    each controller.
    """
    for path in (folder / name for folder in (CGROUPS, CGROUPS / controller) for name in names):
        with suppress(OSError, ValueError):
            return int(path.read_text())
    return None


def memory() -> int:
    """The bytes of memory that the builder may use."""
    machines = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(engine_limit("memory", "memory.max", "memory.limit_in_bytes") or machines, machines)


def tmpfs_size() -> int:
    """The bytes of memory that a build may use for files in one place.

    No process owns that memory, so the kernel would kill other processes for it.
    """
    return memory() // 4


def tmpfs_options() -> str:
    """Options for a tmpfs that a build writes to. An empty file takes memory, too."""
    return f"mode=1777,size={tmpfs_size()},nr_inodes={max(tmpfs_size() >> 14, 1024)}"


class ProcessLimit:
    """The limit of this process's PID namespace, which is one build's."""

    def __init__(self) -> None:
        self._all = engine_limit("pids", "pids.max") or 2 * MOST_PROCESSES
        self._most = min(self._all // 2, MOST_PROCESSES, memory() // PROCESS_SIZE)
        self._crowded_since = math.inf
        # Where the kernel refuses the worker a /proc of its own, other builds' processes are there.
        self._sees_own = Path("/proc/self").readlink() == Path("1")
        self._next = 0.0

    def check(self) -> None:
        """Raise MockError if there are too many; look only if the last look was a while ago."""
        if not self._sees_own or time.monotonic() < self._next:
            return
        threads = count_threads(self._most)
        if threads > self._most:
            raise self._error(threads, f"one build may have {self._most}")
        if self._is_crowded(threads):
            raise self._error(threads, f"all builds together had most of {self._all}")
        self._next = time.monotonic() + INTERVAL

    def _is_crowded(self, threads: int) -> bool:
        """Whether this build has to make room for the others."""
        # In version 1 too, this counts the container alone.
        used = engine_limit("pids", "pids.current") or 0
        if used < CROWD * self._all:
            self._crowded_since = math.inf
            return False
        now = time.monotonic()
        self._crowded_since = min(self._crowded_since, now)
        patience = CROWD_SECONDS * (1 - threads / self._most)
        return threads > self._all // 16 and now - self._crowded_since > patience

    def _error(self, threads: int, reason: str) -> MockError:
        return MockError(
            Status.BUILD,
            f"the build was ended: it had {threads} processes and threads, and {reason}",
            "let it start fewer at once, or raise the builder's pids_limit in moromi.yml: one"
            f" build may have half of that, up to {MOST_PROCESSES}, and one for each"
            f" {PROCESS_SIZE >> 10} KiB of mem_limit",
        )


def count_threads(most: int) -> int:
    """The processes in /proc, with all their threads unless they are more than `most` without."""
    processes = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - fast
    if len(processes) > most:
        return len(processes)
    threads = 0
    for name in processes:
        with suppress(OSError):  # it has just ended
            threads += Path("/proc", name, "task").stat().st_nlink - 2
    return threads
