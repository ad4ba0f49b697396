"""`python -m bench.fleet [-c MOROMI_YML] BUILDERS...`: what idle fleets of so many builders cost.

The builders poll the hub as kojid does, 1.30's or that of later versions, and build nothing. The
time between two polls is what koji-builder/poll_rate.py makes of their number.
"""

import argparse
import random
import runpy
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import koji

from bench.memory import cpu_seconds
from bench.systems import BenchSystem, ready_system
from bench.table import Row, show

_POLL_RATE = Path(__file__).parents[1] / "koji-builder" / "poll_rate.py"
_SECONDS = _LOOK_SECONDS = 60
_BUILDROOT_STATES = tuple(koji.BR_STATES[name] for name in ("INIT", "WAITING", "BUILDING"))
_UNFINISHED = [koji.TASK_STATES[name] for name in ("FREE", "ASSIGNED", "OPEN")]
_METHODS = [f"method{number}" for number in range(70)]
"""In place of the names of kojid's handlers, which it sends to the hub from 1.33 on."""


class _Builder(threading.Thread):
    """A host of the hub that never has a task."""

    def __init__(self, session: Any, seconds: float, ended: threading.Event) -> None:
        super().__init__()
        self.session = session
        self.host = session.host.getID()
        self.assigned = "host.getTasks" in session.system.listMethods()
        self.data = {"data": {"methods": _METHODS, "maxjobs": 10}} if self.assigned else {}
        self.asks_at = time.monotonic() + random.uniform(0, _LOOK_SECONDS)
        self.seconds = seconds
        self.ended = ended
        self.polls = 0

    def run(self) -> None:
        self.ended.wait(random.uniform(0, self.seconds))
        while not self.ended.is_set():
            self.poll()
            self.polls += 1
            self.ended.wait(self.seconds)

    def poll(self) -> None:
        """The calls of kojid's main loop, in its order, with our plugin poll_rate."""
        self.session.listBuildroots(hostID=self.host, state=_BUILDROOT_STATES)
        self.session.host.getHostTasks()
        self.session.host.getHost()
        self.session.listTasks(opts={"state": _UNFINISHED}, queryOpts={"countOnly": True})
        self.session.host.updateHost(0.0, True, **self.data)
        if self.assigned and time.monotonic() >= self.asks_at:
            self.session.host.getTasks()
            self.asks_at += _LOOK_SECONDS


def fleet_poll_rows(system: BenchSystem, sizes: Sequence[int]) -> Iterator[Row]:
    """The processors that hub and database use while so many builders are idle."""
    sleep_seconds = runpy.run_path(str(_POLL_RATE))["sleep_seconds"]
    sessions: list[Any] = []
    alone = _used(system)
    for size in sizes:
        sessions += _join(system, range(len(sessions), size))
        seconds = sleep_seconds(size, 1)
        with _polling(sessions, seconds) as builders:
            used = _used(system)
        polls = sum(builder.polls for builder in builders)
        what = f"{size} idle builders, each polls every {seconds:.1f} s: hub and database"
        yield Row(what, 100 * used / _SECONDS, "% of a processor", aim="< 50 for 300")
        yield Row(f"{size} idle builders: one poll", 1000 * (used - alone) / polls, "ms of CPU")


@contextmanager
def _polling(sessions: Sequence[Any], seconds: float) -> Iterator[list[_Builder]]:
    ended = threading.Event()
    builders = [_Builder(session, seconds, ended) for session in sessions]
    for builder in builders:
        builder.start()
    try:
        yield builders
    finally:
        ended.set()
        for builder in builders:
            builder.join()


def _join(system: BenchSystem, numbers: range) -> list[Any]:
    """Make hosts on the hub, each with a certificate of its own; their sessions."""
    names = [f"idle-{number}" for number in numbers]
    system.toji("credentials", "issue", *names)
    admin, connection = system.session(), system.connection
    sessions = []
    for name in names:
        admin.addHost(name, ["x86_64"])
        session = koji.ClientSession(connection["urls"]["hub"], opts={"serverca": connection["ca"]})
        certificate = Path(connection["certificate"]).with_name(f"{name}.pem")
        session.ssl_login(cert=str(certificate), serverca=connection["ca"])
        session.exclusiveSession()
        sessions.append(session)
    return sessions


def _used(system: BenchSystem) -> float:
    """The seconds of processor time that the hub and the database use in the next _SECONDS."""

    def total() -> float:
        return cpu_seconds(system, "koji") + cpu_seconds(system, "kojidatabase")

    before = total()
    time.sleep(_SECONDS)
    return total() - before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.fleet")
    parser.add_argument("-c", dest="config", default="nagoya")
    parser.add_argument("sizes", nargs="+", type=int, metavar="BUILDERS")
    options = parser.parse_args()
    rows = []
    with ready_system("-c", options.config) as system:
        for row in fleet_poll_rows(system, sorted(options.sizes)):
            print("  ".join(cell for cell in row.cells() if cell), file=sys.stderr, flush=True)
            rows.append(row)
    show(rows, options.config)


if __name__ == "__main__":
    main()
