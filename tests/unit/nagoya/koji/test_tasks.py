"""Tasks, on a hub that is made up."""

from typing import Any

import pytest

from nagoya.errors import LifecycleError, NotReady
from nagoya.koji.tasks import failure_text, task_file, task_tree, wait_for_task

FREE, OPEN, CLOSED, FAILED = 0, 1, 2, 5


class Hub:
    """A hub with tasks by their ids: (state, parent). One that is not there may be one that a
    reset took away."""

    def __init__(self, tasks: dict[int, tuple[int, int | None]]) -> None:
        self.tasks = tasks

    def getTaskInfo(self, task: int, **options: Any) -> dict[str, Any] | None:
        if task not in self.tasks:
            return None
        state, parent = self.tasks[task]
        return {
            "id": task,
            "state": state,
            "parent": parent,
            "method": f"method{task}",
            "arch": "noarch",
        }

    def getTaskDescendents(self, task: int) -> dict[str, list[Any]]:
        return {"1": [self.getTaskInfo(number) for number in self.tasks if number != task]}

    def getTaskResult(self, task: int, *, raise_fault: bool) -> dict[str, str]:
        assert not raise_fault
        return {"faultString": f"error {task}; see build.log for more information"}

    def listTaskOutput(self, task: int) -> list[str]:
        return ["root.log", "build.log", "some.rpm"]

    def downloadTaskOutput(self, task: int, name: str, offset: int, size: int) -> bytes:
        lines = (b"%d %s %d\n" % (task, name.encode(), line) for line in range(100))
        return b"".join(lines)[offset : offset + size]


def test_a_task_that_a_reset_took_away_is_an_error_of_its_own() -> None:
    with pytest.raises(LifecycleError, match="there is no task 9999") as raised:
        wait_for_task(Hub({}), 9999, 1)
    assert "reset" in str(raised.value.hint)


def test_a_task_that_never_was() -> None:
    with pytest.raises(LifecycleError, match="there is no task 9999"):
        list(task_tree(Hub({1: (CLOSED, None)}), 9999))


def test_a_task_that_does_not_end() -> None:
    with pytest.raises(NotReady, match=r"task 1 .* is still OPEN"):
        wait_for_task(Hub({1: (OPEN, None), 2: (OPEN, 1)}), 1, 0)


def test_a_failure_is_reported_by_the_task_at_the_bottom_and_the_log_that_it_names() -> None:
    hub = Hub({1: (FAILED, None), 2: (CLOSED, 1), 3: (FAILED, 1)})
    assert failure_text(hub, 1, lines=2).splitlines() == [
        "task 3 (method3 noarch): error 3; see build.log for more information",
        "==> build.log <==",
        "3 build.log 98",
        "3 build.log 99",
    ]


@pytest.mark.parametrize("part", [1, 7, 10, 10**6])
def test_a_file_comes_in_parts(monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr("nagoya.koji.tasks._PART", part)
    assert task_file(Hub({}), 1, "root.log").splitlines()[99] == b"1 root.log 99"
