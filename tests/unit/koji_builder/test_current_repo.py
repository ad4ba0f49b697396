"""koji-builder's plugin current_repo, with a task whose hub is in memory."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def current_repo(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/current_repo.py")


class Hub:
    """A session, and its `host`. Tag 1 inherits from 2; `changes` are events that concern them."""

    def __init__(self, last: int, changes: list[int], repos: list[int]) -> None:
        self.last = last
        self.changes = changes
        # Those that there are, one after the other: the events at which they were made.
        self.repos = repos
        self.host = self
        self.waited: list[Any] = []

    def getLastEvent(self) -> dict[str, int]:
        return {"id": self.last}

    def getRepo(self, tag: str) -> dict[str, float] | None:
        if not self.repos:
            return None
        return {"create_event": self.repos[0], "create_ts": self.repos[0] + 0.5}

    def getTag(self, tag: str, strict: bool) -> dict[str, int]:
        return {"id": 1}

    def getFullInheritance(self, tag: str) -> list[dict[str, int]]:
        return [{"parent_id": 2}, {"parent_id": 2}]

    def tagChangedSinceEvent(self, event: int, tags: list[int]) -> bool:
        assert tags == [1, 2]
        return any(change > event for change in self.changes)

    def subtask(self, method: str, arglist: list[Any], parent: int) -> int:
        self.waited.append((method, *arglist, parent))
        return 8

    def wait(self, task: int) -> None:
        """kojira has made another one."""
        assert task == 8
        self.repos = self.repos[1:] or [self.last + 1]


def got(current_repo: ModuleType, hub: Hub, **options: Any) -> tuple[Any, list[Any]]:
    """The event of the repository that a build gets, and the subtasks that it waited for."""
    handler = type("Handler", (), {"getRepo": lambda self, tag, builds, wait: "original"})
    current_repo.install(SimpleNamespace(), handler)
    task = handler()
    task.session, task.wait, task.id = hub, hub.wait, 7  # type: ignore[attr-defined]
    repo = task.getRepo("tag", **options)  # type: ignore[attr-defined]
    return (repo if repo == "original" else repo["create_event"]), hub.waited


@pytest.mark.parametrize(
    ("changes", "repos", "expected", "waited"),
    [
        # Nothing has changed since.
        ([4], [5], 5, []),
        # A change; kojira makes a repository.
        ([6], [5, 21], 21, [5.5]),
        # kojira had begun before the build did, and after the change.
        ([6], [5, 7], 7, [5.5]),
        # kojira had begun before the change.
        ([6, 9], [5, 7, 21], 21, [5.5, 7.5]),
        # The tag changes all the time: what came after the build began does not matter.
        ([6, 22, 23], [5, 21], 21, [5.5]),
        ([6], [], 21, [None]),
    ],
)
def test_a_build_gets_a_repository_that_was_current_when_it_began(
    current_repo: ModuleType,
    changes: list[int],
    repos: list[int],
    expected: int,
    waited: list[float | None],
) -> None:
    event, subtasks = got(current_repo, Hub(20, changes, repos), wait=True)
    assert event == expected
    assert subtasks == [("waitrepo", "tag", newer_than, None, 7) for newer_than in waited]


@pytest.mark.parametrize(
    "options", [{}, {"builds": ["a-1-1"]}, {"builds": ["a-1-1"], "wait": True}]
)
def test_other_builds_are_left_to_koji(current_repo: ModuleType, options: dict[str, Any]) -> None:
    assert got(current_repo, Hub(20, [6], [5]), **options) == ("original", [])


def test_a_koji_with_requests_stays_as_it_is(current_repo: ModuleType) -> None:
    handler = type("Handler", (), {"getRepo": lambda self: "original"})
    current_repo.install(SimpleNamespace(RepoWatcher=1), handler)
    assert handler().getRepo() == "original"  # type: ignore[attr-defined]
