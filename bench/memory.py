"""The memory and CPU that containers use; measured apart from the times, which it would affect."""

import time
from collections.abc import Iterator
from typing import Any

import docker

from bench.builds import UNFINISHED, task_state, upload_hello
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
    while task_state(session, task) in UNFINISHED:
        peak = max(peak, _memory(system, "kojibuilder"))
    yield Row("memory of kojibuilder, at most in a build", peak, "MB")


def cpu_seconds(system: BenchSystem, container: str) -> float:
    """What the processes of a container have used of the CPU since its start."""
    return float(_stats(system, container)["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


def _memory(system: BenchSystem, container: str) -> float:
    """What the processes of a container hold, less the page cache; MB."""
    memory = _stats(system, container)["memory_stats"]
    cache = memory["stats"].get("total_inactive_file") or memory["stats"].get("inactive_file", 0)
    return float(memory["usage"] - cache) / 1e6


def _stats(system: BenchSystem, container: str) -> Any:
    api = docker.from_env().api
    return api.stats(f"{system.name}-{container}", stream=False, one_shot=True)
