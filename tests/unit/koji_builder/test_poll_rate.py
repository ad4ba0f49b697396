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
        session = SimpleNamespace(
            listHosts=lambda **_: ["host"] * next(fleet), listTasks=lambda *_: 1
        )

        def getNextTask(self) -> str:
            return "taken"

    poll_rate.install(TaskManager)
    manager: Any = TaskManager()
    slept = []
    for clock.now in (0, 299, 301, 605):
        assert manager.getNextTask() == "taken"
        slept.append(manager.options.sleeptime)
    assert slept == [4, 4, 20, 1]


@pytest.mark.parametrize("tasks", [0, 3])
@pytest.mark.parametrize("data", [None, {"maxjobs": 10}], ids=["up to 1.32", "later"])
def test_asks_for_tasks_if_there_are_any_and_later_kojis_once_a_minute(
    poll_rate: ModuleType, monkeypatch: pytest.MonkeyPatch, tasks: int,
    data: dict[str, int] | None,
) -> None:  # fmt: skip
    """The builder checks in with every poll."""
    calls: list[Any] = []
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(poll_rate, "time", SimpleNamespace(monotonic=lambda: clock.now))

    class TaskManager:
        options = SimpleNamespace(sleeptime=1)
        task_load = 0.5
        session = SimpleNamespace(
            host=SimpleNamespace(
                updateHost=lambda *words, **named: calls.append((words, named)),
                getLoadData=lambda: None,
            ),
            listHosts=lambda **_: [],
            listTasks=lambda opts, query_options: tasks,
        )

        def readyForTask(self) -> bool:
            return True

        def getNextTask(self) -> None:
            calls.append("asked")
            if not data:
                self.session.host.getLoadData()

    if data:

        def get_next_task(self: Any) -> None:
            calls.append("asked")

        TaskManager.getNextTask = get_next_task  # type: ignore[method-assign]
        TaskManager._get_host_data = lambda self: data  # type: ignore[attr-defined]
    poll_rate.install(TaskManager)
    for clock.now in (0, 20, 40, 60):
        TaskManager().getNextTask()
    checked_in = ((0.5, True), {"data": data} if data else {})
    once_a_minute = "asked" if tasks or data else checked_in
    otherwise = "asked" if tasks else checked_in
    assert calls == [once_a_minute, otherwise, otherwise, once_a_minute]
