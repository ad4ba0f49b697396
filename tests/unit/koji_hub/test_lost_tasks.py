"""koji-hub's lost_tasks, with a hub that says what a test wants."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

koji = pytest.importorskip("koji")

ALIVE, GONE = 1, 2


class Hub:
    """A hub with one open task on each of two hosts, and its administrator's session."""

    def __init__(self) -> None:
        self.now = 0.0
        self.away = False
        self.calls = {ALIVE: 0.0, GONE: -1000.0}
        self.freed: list[int] = []

    def clock(self) -> float:
        return self.now

    def listTasks(self, opts: dict[str, Any]) -> list[dict[str, Any]]:
        if self.away:
            raise ConnectionRefusedError
        assert opts == {"state": [1]}
        tasks = [{"id": 10 * host, "method": "build", "host_id": host} for host in self.calls]
        return [task for task in tasks if task["id"] not in self.freed]

    def getLastHostUpdate(self, host: int, ts: bool) -> float:
        assert ts
        return self.calls[host]

    def freeTask(self, task: int) -> None:
        if task in self.freed:
            raise koji.GenericError("is closed")
        self.freed.append(task)

    def logout(self) -> None:
        pass


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def run(hub: Hub, load_script: Callable[[str], ModuleType]) -> Callable[[int], None]:
    """Let a number of seconds pass, in which the host that is alive calls."""
    tasks = load_script("koji-hub/lost_tasks.py").LostTasks(hub, 120, clock=hub.clock)

    def run(seconds: int) -> None:
        for _ in range(seconds):
            hub.now += 1
            if not hub.away:
                hub.calls[ALIVE] = hub.now
            tasks.free(lambda: hub)

    return run


def test_tasks_of_a_silent_host_are_freed_after_a_time(
    hub: Hub, run: Callable[[int], None]
) -> None:
    run(120)
    assert not hub.freed
    run(20)
    assert hub.freed == [10 * GONE]
    run(500)
    assert hub.freed == [10 * GONE]


def test_a_host_that_has_called_is_not_silent(hub: Hub, run: Callable[[int], None]) -> None:
    for _ in range(5):
        run(100)
        hub.calls[GONE] = hub.now
    assert not hub.freed


def test_a_hub_that_was_away_gives_its_hosts_time(hub: Hub, run: Callable[[int], None]) -> None:
    run(100)
    hub.away = True
    run(300)
    hub.away = False
    run(100)
    assert not hub.freed
    run(40)
    assert hub.freed == [10 * GONE]


def test_a_task_that_has_ended_keeps_no_other_from_being_freed(
    hub: Hub, run: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(115)
    hub.calls = {3: 0.0, GONE: -1000.0}
    monkeypatch.setattr(hub, "listTasks", lambda _: [
        {"id": task, "method": "build", "host_id": GONE} for task in (7, 8)
    ])  # fmt: skip
    hub.freed.append(7)
    run(20)
    assert hub.freed == [7, 8]


def test_the_time_is_the_hubs_own(load_script: Callable[[str], ModuleType], tmp_path: Any) -> None:
    path = tmp_path / "etc/koji-hub/hub.conf"
    path.parent.mkdir(parents=True)
    path.write_text("[hub]\nHostTimeout = 300\n")
    assert load_script("koji-hub/lost_tasks.py").host_timeout(tmp_path) == 300
