"""koji-builder's registration, against a hub that keeps one host in memory."""

from collections.abc import Callable
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from util.entry import Fatal

pytest.importorskip("koji")

CHANNELS = ["default", "createrepo", "maven"]


class Hub:
    """As much of a session as registration uses. It notes every call that changes something."""

    def __init__(self, host: dict[str, Any] | None = None, member: tuple[str, ...] = ()) -> None:
        self.host = host
        self.member = member
        # The numbers of the host's tasks at each question; the last list stays.
        self.tasks = [[11, 12]]
        self.done: list[tuple[Any, ...]] = []
        self.transactions = 0

    def listChannels(self, host: int | None = None) -> list[dict[str, str]]:
        return [{"name": name} for name in (CHANNELS if host is None else self.member)]

    def getHost(self, name: str, strict: bool = False) -> dict[str, Any] | None:
        return self.host

    def listTasks(self, opts: dict[str, Any]) -> list[dict[str, int]]:
        assert opts["host_id"] == 1
        now = self.tasks.pop(0) if len(self.tasks) > 1 else self.tasks[0]
        return [{"id": task} for task in now]

    @contextmanager
    def multicall(self, strict: bool) -> Any:
        assert strict
        self.transactions += 1
        yield self

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **opts: self.done.append((name, *args, *opts.items()))


@pytest.fixture
def registration(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/registration.py")


def builder(**changes: Any) -> dict[str, Any]:
    new = {"arches": ["x86_64"], "channels": ["default", "createrepo"]}
    return {"name": "b1", "arches": None, "channels": None, "capacity": None, "new": new, **changes}


KNOWN = {"id": 1, "enabled": True}


def test_a_new_host_and_its_channels_are_one_transaction(registration: ModuleType) -> None:
    hub = Hub()
    registration.join(hub, builder())
    assert hub.done == [("addHost", "b1", ["x86_64"]), ("addHostToChannel", "b1", "createrepo")]
    assert hub.transactions == 1


def test_a_new_host_is_what_the_environment_says(registration: ModuleType) -> None:
    hub = Hub()
    registration.join(hub, builder(arches=["i686"], channels=["maven"], capacity=3.0))
    assert hub.done == [
        ("addHost", "b1", ["i686"]),
        ("addHostToChannel", "b1", "maven"),
        # The hub puts every new host into it.
        ("removeHostFromChannel", "b1", "default"),
        ("editHost", "b1", ("capacity", 3.0)),
    ]


def test_a_known_host_is_left_as_it_is(registration: ModuleType) -> None:
    hub = Hub(KNOWN, member=("maven",))
    registration.join(hub, builder())
    assert hub.done == []


def test_a_known_host_is_enabled_and_corrected(registration: ModuleType) -> None:
    hub = Hub({"id": 1, "enabled": False}, member=("default", "maven"))
    registration.join(
        hub, builder(arches=["x86_64", "i686"], channels=["default", "createrepo"], capacity=1.0)
    )
    assert hub.done == [
        ("editHost", "b1", ("arches", "x86_64 i686")),
        ("editHost", "b1", ("capacity", 1.0)),
        ("addHostToChannel", "b1", "createrepo"),
        ("removeHostFromChannel", "b1", "maven"),
        ("enableHost", "b1"),
    ]


def test_an_unknown_channel_is_refused_before_anything_is_done(registration: ModuleType) -> None:
    hub = Hub()
    with pytest.raises(Fatal, match="no channel nowhere"):
        registration.join(hub, builder(channels=["default", "nowhere"]))
    assert hub.done == []


def test_drains_until_the_last_task_has_ended(registration: ModuleType) -> None:
    hub = Hub(KNOWN)
    hub.tasks = [[11, 12], [12], []]
    assert registration.drain(hub, "b1", 30) == "b1 has no task left"
    assert hub.tasks == [[]]
    assert hub.done == [("disableHost", "b1")]


def test_drains_no_longer_than_it_may(registration: ModuleType) -> None:
    hub = Hub(KNOWN)
    with pytest.raises(Fatal, match="after 0 s: it works on 11, 12") as refusal:
        registration.drain(hub, "b1", 0)
    assert "hands them back" in str(refusal.value.hint)
    # They are still its own.
    assert hub.done == [("disableHost", "b1")]


def test_leaves_and_hands_back(registration: ModuleType) -> None:
    hub = Hub(KNOWN)
    assert "handed back 2 tasks" in registration.leave(hub, "b1")
    assert hub.done == [("disableHost", "b1"), ("freeTask", 11), ("freeTask", 12)]
