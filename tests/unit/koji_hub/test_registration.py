"""The registration of builders, against a hub that keeps one host in memory."""

from collections.abc import Callable
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from xmlrpc.client import Fault

import pytest

koji = pytest.importorskip("koji")

CHANNELS = ["default", "createrepo", "maven"]


class Hub:
    """The part of a session that registration uses. It records calls that change something."""

    def __init__(self, host: dict[str, Any] | None = None, member: tuple[str, ...] = ()) -> None:
        self.host = host
        self.member = member
        self.done: list[tuple[Any, ...]] = []
        self.channels = list(CHANNELS)
        # Whether another builder adds the same channel first.
        self.race = False
        self.transactions = 0

    def listChannels(self, host: int | None = None) -> list[dict[str, str]]:
        return [{"name": name} for name in (self.channels if host is None else self.member)]

    def addChannel(self, name: str, description: str) -> None:
        if name == "bad name":
            raise koji.GenericError("channel name bad name is not valid")
        self.channels.append(name)
        if self.race:
            raise Fault(1, "duplicate key value violates unique constraint")

    def getHost(self, name: str, strict: bool = False) -> dict[str, Any] | None:
        return self.host

    def listTasks(self, opts: dict[str, Any]) -> list[dict[str, int]]:
        assert opts["host_id"] == 1
        return [{"id": 11}, {"id": 12}]

    @contextmanager
    def multicall(self, strict: bool) -> Any:
        assert strict
        self.transactions += 1
        yield self

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **opts: self.done.append((name, *args, *opts.items()))


@pytest.fixture
def registration(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-hub/registration.py")


def builder(**changes: Any) -> dict[str, Any]:
    new = {"arches": ["x86_64"], "channels": ["default", "createrepo"]}
    return {"name": "b1", "arches": None, "channels": None, "capacity": None, "new": new, **changes}


KNOWN = {"id": 1, "enabled": True}


def test_a_new_host_and_its_channels_are_one_transaction(registration: ModuleType) -> None:
    hub = Hub()
    registration.join(hub, builder())
    assert hub.done == [("addHost", "b1", ["x86_64"]), ("addHostToChannel", "b1", "createrepo")]
    assert hub.transactions == 1


@pytest.mark.parametrize(
    ("written", "known", "note"),
    [
        (["x86_64", "i686"], ["x86_64", "i386"], "; Koji's name for i686 is i386"),
        (
            ["i686", "i586", "i386"],
            ["i386"],
            "; Koji's name for i686 is i386; Koji's name for i586",
        ),
        (["armv7hl", "aarch64"], ["armhfp", "aarch64"], "; Koji's name for armv7hl is armhfp"),
        (["x86_64", "x86_64_v2"], ["x86_64", "x86_64_v2"], ""),
    ],
)
def test_arches_have_the_names_that_tasks_have(
    registration: ModuleType, written: list[str], known: list[str], note: str
) -> None:
    new, old = Hub(), Hub(KNOWN, member=("default",))
    assert note in registration.join(new, builder(arches=written))
    assert new.done[0] == ("addHost", "b1", known)
    assert registration.join(old, builder(arches=written)).startswith(
        f"b1 is registered in the channels default{note}"
    )
    assert old.done == [("editHost", "b1", ("arches", " ".join(known)))]


def test_a_new_host_is_what_the_environment_says(registration: ModuleType) -> None:
    hub = Hub()
    registration.join(hub, builder(arches=["i686"], channels=["maven"], capacity=3.0))
    assert hub.done == [
        ("addHost", "b1", ["i386"]),
        ("addHostToChannel", "b1", "maven"),
        # The hub adds every new host to it.
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
        ("editHost", "b1", ("arches", "x86_64 i386")),
        ("editHost", "b1", ("capacity", 1.0)),
        ("addHostToChannel", "b1", "createrepo"),
        ("removeHostFromChannel", "b1", "maven"),
        ("enableHost", "b1"),
    ]


@pytest.mark.parametrize("race", [False, True])
def test_channels_that_the_hub_lacks_are_added(registration: ModuleType, race: bool) -> None:
    hub = Hub()
    hub.race = race
    registration.join(hub, builder(channels=["default", "runroot"]))
    assert hub.channels == [*CHANNELS, "runroot"]
    assert hub.done == [("addHost", "b1", ["x86_64"]), ("addHostToChannel", "b1", "runroot")]


def test_a_channel_that_the_hub_refuses_stops_before_anything_is_done(
    registration: ModuleType,
) -> None:
    hub = Hub()
    with pytest.raises(koji.GenericError, match="is not valid"):
        registration.join(hub, builder(channels=["default", "bad name"]))
    assert hub.done == []


def test_a_builder_has_a_limited_number_of_channels(registration: ModuleType) -> None:
    hub = Hub()
    with pytest.raises(koji.GenericError, match="50 channels at most"):
        registration.join(hub, builder(channels=[f"c{number}" for number in range(51)]))
    assert hub.channels == [*CHANNELS]


def test_is_disabled_and_keeps_its_tasks(registration: ModuleType) -> None:
    hub = Hub(KNOWN)
    assert registration.disable(hub, "b1") == [11, 12]
    assert hub.done == [("disableHost", "b1")]


def test_leaves_and_hands_back(registration: ModuleType) -> None:
    hub = Hub(KNOWN)
    assert "freed 2 tasks" in registration.leave(hub, "b1")
    assert hub.done == [("disableHost", "b1"), ("freeTask", 11), ("freeTask", 12)]


def test_a_host_is_taken_out_of_channels_that_it_cannot_serve(registration: ModuleType) -> None:
    hub = Hub(KNOWN, member=("default", "createrepo"))
    message = registration.join(hub, builder(unserved=["createrepo"]))
    assert message == "b1 is registered in the channels default"
    assert hub.done == [("removeHostFromChannel", "b1", "createrepo")]
