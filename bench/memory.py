"""What containers hold in memory; apart from the times, since asking for it costs some of them."""

import time
from collections.abc import Iterator

import docker

from bench.builds import upload_hello
from bench.systems import BenchSystem
from bench.table import Row


def idle_rows(system: BenchSystem) -> Iterator[Row]:
    """Every container of a system that has nothing to do."""
    time.sleep(10)  # a builder is idle once it has looked for work a few times
    for container in ("kojidatabase", "koji", "kojibuilder"):
        aim = "< 80 MB" if container == "kojibuilder" else ""
        yield Row(f"memory of {container}, idle", _memory(system, container), "MB", aim=aim)


def building_rows(system: BenchSystem) -> Iterator[Row]:
    """The most that a builder holds while it builds hello; the system has the demo's target."""
    session = system.session()
    task = session.build(upload_hello(system, session), "demo", {"scratch": True})
    peak = 0.0
    while session.getTaskInfo(task)["state"] < 2:
        peak = max(peak, _memory(system, "kojibuilder"))
    yield Row("memory of kojibuilder, at most in a build", peak, "MB")


def _memory(system: BenchSystem, container: str) -> float:
    """What the processes of a container hold, less the page cache; MB."""
    api = docker.from_env().api
    memory = api.stats(f"{system.name}-{container}", stream=False, one_shot=True)["memory_stats"]
    cache = memory["stats"].get("total_inactive_file") or memory["stats"].get("inactive_file", 0)
    return float(memory["usage"] - cache) / 1e6
