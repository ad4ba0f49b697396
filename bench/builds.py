"""How long builds take, what they cost, and how far more builders carry."""

import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.table import Row, side_by_side
from nagoya.config import loader
from nagoya.engine import connect
from nagoya.koji.hub import HubConnection
from nagoya.koji.tasks import wait_for_task
from nagoya.koji.verify import Sources, demo_sources, verify_builds
from nagoya.system.system import System
from nagoya.utils.progress import Progress

_BUILDS = 6
_SECONDS = 600


def rows(rounds: int) -> Iterator[Row]:
    """A build beside mock alone, one builder beside three, ten builders, and their memory."""
    with _system() as system:
        yield Row("memory of an idle builder", _memory(system, "kojibuilder"), "MB", aim="< 80 MB")
        verify_builds(system)
        session = HubConnection.of(system).session()
        sources = demo_sources(system, "hello")
        _mock_config(system)
        (build, peak), (mock,) = side_by_side(
            rounds,
            lambda: _one_build(system, session, sources),
            lambda: (_mock_alone(system, sources),),
        )
        yield Row("hello, from submit to closed", build, "s", mock, "mock --rebuild", "ratio <= 3")
        yield Row("memory of a builder that builds, at most", peak, "MB")
        one = _builds(session, sources)
        system.scale("kojibuilder", 3, _SECONDS)
        _checked_in(session, 3)
        three = _builds(session, sources)
        yield Row(f"{_BUILDS} builds on three builders", three, "s", one, "on one builder")
        system.scale("kojibuilder", 0, _SECONDS)
        begun = time.monotonic()
        system.scale("kojibuilder", 10, _SECONDS)
        _checked_in(session, 10)
        ten = time.monotonic() - begun
        yield Row("ten builders, from start to all checked in", ten, "s", aim="<= 15 s")


@contextmanager
def _system() -> Iterator[System]:
    """A system of the bench's own, in a home folder of its own."""
    home = os.environ["HOME"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder
        declared = loader.read(loader.locate(None))
        name = f"bench-{secrets.token_hex(3)}"
        system = System(connect(), declared, name, Progress(quiet=True))
        try:
            system.init()
            time.sleep(10)  # a builder is idle once it has looked for work a few times
            yield system
        finally:
            system.remove()
            os.environ["HOME"] = home


def _memory(system: System, builder: str) -> float:
    """What a container's processes hold, less the page cache; MB."""
    handle = connect().client.containers.get(f"{system.name}-{builder}")
    told: Any = handle.stats(stream=False)
    memory = told["memory_stats"]
    cache = memory["stats"].get("total_inactive_file") or memory["stats"].get("inactive_file", 0)
    return float(memory["usage"] - cache) / 1e6


def _one_build(system: System, session: Any, sources: Sources) -> tuple[float, float]:
    """Seconds from submit to closed, and the most memory that the builder held meanwhile."""
    source = _upload(session, sources)
    begun = time.monotonic()
    task = session.build(source, "demo", {"scratch": True})
    peak = 0.0
    while session.getTaskInfo(task)["state"] < 2:
        peak = max(peak, _memory(system, "kojibuilder"))
    took = time.monotonic() - begun
    assert wait_for_task(session, task, 0)["state"] == 2
    return took, peak


def _upload(session: Any, sources: Sources) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / sources.srpm_name
        path.write_bytes(sources.srpm)
        place = f"bench/{secrets.token_hex(8)}"
        session.uploadWrapper(str(path), place)
    return f"{place}/{sources.srpm_name}"


def _builds(session: Any, sources: Sources) -> float:
    begun = time.monotonic()
    tasks = [session.build(sources.git, "demo", {"scratch": True}) for _ in range(_BUILDS)]
    for task in tasks:
        assert wait_for_task(session, task, _SECONDS)["state"] == 2
    return time.monotonic() - begun


def _mock_config(system: System) -> None:
    """Give the builder the configuration that kojid would write, as koji's client knows it."""
    profile = HubConnection.of(system).profile.name
    config = subprocess.run(
        ["koji", "-p", profile, "mock-config", "--tag=demo-build", "--arch=x86_64",
         "--topurl=https://koji/kojifiles", "bench"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    into = ["docker", "exec", "-i", f"{system.name}-kojibuilder", "tee", "/etc/mock/koji/bench.cfg"]
    subprocess.run(into, check=True, input=config, text=True, stdout=subprocess.DEVNULL)


def _mock_alone(system: System, sources: Sources) -> float:
    command = ["docker", "exec", "--user", "kojibuilder", f"{system.name}-kojibuilder", "mock"]
    srpm = f"/usr/share/nagoya/demo/srpms/{sources.srpm_name}"
    begun = time.monotonic()
    subprocess.run([*command, "-r", "koji/bench", "--rebuild", srpm], check=True,
                   capture_output=True)  # fmt: skip
    return time.monotonic() - begun


def _checked_in(session: Any, count: int) -> None:
    while len(session.listHosts(ready=True, enabled=True)) < count:
        time.sleep(0.1)
