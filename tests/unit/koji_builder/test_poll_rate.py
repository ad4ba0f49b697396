"""koji-builder's plugin poll_rate: how often each of many idle builders polls."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def poll_rate(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/poll_rate.py")


@pytest.mark.parametrize(
    ("builders", "declared", "seconds"),
    [(1, 1, 1), (15, 1, 1), (150, 1, 10), (5000, 1, 20), (150, 15, 15), (5000, 60, 60)],
)
def test_a_large_fleet_polls_less_often(
    poll_rate: ModuleType, builders: int, declared: float, seconds: float
) -> None:
    assert poll_rate.sleep_seconds(builders, declared) == seconds


def test_counts_the_builders_every_five_minutes(
    poll_rate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(poll_rate, "time", SimpleNamespace(monotonic=lambda: clock.now))
    fleet = iter([60, 500, 2])

    class TaskManager:
        options = SimpleNamespace(sleeptime=1)
        session = SimpleNamespace(listHosts=lambda **_: ["host"] * next(fleet))

        def getNextTask(self) -> str:
            return "taken"

    poll_rate.install(TaskManager)
    manager: Any = TaskManager()
    slept = []
    for clock.now in (0, 299, 301, 605):
        assert manager.getNextTask() == "taken"
        slept.append(manager.options.sleeptime)
    assert slept == [4, 4, 20, 1]


@pytest.mark.parametrize("waiting", [0, 3])
def test_asks_for_the_load_of_all_builders_only_if_a_task_waits(
    poll_rate: ModuleType, waiting: int
) -> None:
    """As Koji up to 1.33 does at each poll; the builder checks in with every poll."""
    calls: list[Any] = []

    class Host:
        def updateHost(self, load: float, ready: bool) -> None:
            calls.append((load, ready))

        def getLoadData(self) -> None:
            calls.append("load")

    class TaskManager:
        options = SimpleNamespace(sleeptime=1)
        task_load = 0.5
        session = SimpleNamespace(
            host=Host(), listHosts=lambda **_: [], listTasks=lambda opts, queryOpts: waiting
        )

        def readyForTask(self) -> bool:
            return True

        def getNextTask(self) -> bool:
            self.session.host.updateHost(self.task_load, self.readyForTask())
            self.session.host.getLoadData()
            return True

    poll_rate.install(TaskManager)
    assert TaskManager().getNextTask() == bool(waiting)
    assert calls == [(0.5, True), *["load"] * bool(waiting)]
