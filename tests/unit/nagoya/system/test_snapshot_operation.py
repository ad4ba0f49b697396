"""The order in which snapshot agents are asked; the agents are fakes that note each verb."""

import time
from collections.abc import Collection, Mapping
from threading import Event
from typing import Any, cast

import pytest

from nagoya.errors import EngineError, LifecycleError, NotReady
from nagoya.system import snapshot_operation
from nagoya.system.snapshot_agent import SnapshotAgent
from nagoya.system.snapshot_operation import SnapshotOperation
from nagoya.system.system import System
from nagoya.utils.progress import Progress

ALL = "list hold renew save prepare switch release drop"


class Agent:
    """Notes what it is asked, and answers by `answers`; an exception there is raised."""

    def __init__(self, name: str, log: list[str], verbs: str, **answers: Any) -> None:
        self.name = name
        self.handle = self
        self.verbs = verbs.split()
        self.log = log
        self.answers = answers
        self.ends = False

    def close(self) -> None:
        pass

    def exits(self, seconds: float) -> bool:
        """Its container exits, but a moment after its program."""
        self.log.append(f"{self.name} is watched")
        return seconds > 0 and self.ends

    def ask(self, *words: str, seconds: float) -> Mapping[str, Any]:
        answer = self.answers.get(words[0], {})
        if callable(answer):
            answer = answer()
        self.log.append(f"{self.name} {words[0]}")
        if isinstance(answer, Exception):
            raise answer
        return cast(Mapping[str, Any], answer)


class FakeSystem:
    """Notes restarts; `builder` needs `hub`."""

    name = "koji"

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.progress = Progress(quiet=True)

    def needs(self, names: Collection[str]) -> dict[str, list[str]]:
        return {"hub": [], "builder": ["hub"]}

    declaration = None

    def observe(self) -> None:
        return None

    def apply(self, restart: Collection[str]) -> None:
        self.log.extend(f"{name} restart" for name in restart)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    log: list[str] = []

    def wait(system: object, seconds: float, only: Collection[str], **_: object) -> None:
        log.extend(f"{name} ready" for name in only)

    monkeypatch.setattr(snapshot_operation, "wait", wait)
    monkeypatch.setattr(snapshot_operation.plan, "restart", lambda _, __, names: names)
    monkeypatch.setattr(snapshot_operation, "SnapshotAgent", lambda agent: agent)
    return log


def operation(log: list[str], builder: Agent | None = None, **hub: Any) -> SnapshotOperation:
    agents = {"hub": Agent("hub", log, ALL, **hub)}
    agents["builder"] = builder or Agent("builder", log, "switch release")
    return SnapshotOperation(
        cast(System, FakeSystem(log)),
        cast(Mapping[str, SnapshotAgent], agents),
        time.monotonic() + 10,
    )


def test_a_snapshot_is_made_while_writes_are_locked(log: list[str]) -> None:
    operation(log).save("later")
    assert log == ["hub hold", "hub save", "hub release"]


def test_what_could_not_be_locked_is_not_deleted(log: list[str]) -> None:
    """Another user may be at work on a snapshot of that name."""
    with pytest.raises(LifecycleError, match="could not lock writes:\n  hub: busy"):
        operation(log, hold=LifecycleError("busy")).save("later")
    assert log == ["hub hold"]


def test_what_was_saved_by_half_is_deleted(log: list[str]) -> None:
    with pytest.raises(LifecycleError, match="no room"):
        operation(log, save=LifecycleError("no room")).save("later")
    assert log == ["hub hold", "hub save", "hub drop", "hub release"]


def test_a_restored_hub_is_restarted_before_its_builders_need_it(log: list[str]) -> None:
    assert operation(log, switch={"restart": True}).restore("later") == {"hub"}
    assert [line for line in log if "switch" not in line] == [
        "hub hold", "hub prepare", "hub release", "hub restart", "hub ready", "builder release",
    ]  # fmt: skip


def test_a_hub_that_does_not_come_back_is_reported_with_the_reason(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: object, **__: object) -> None:
        raise NotReady("unknown test 'xx'")

    monkeypatch.setattr(snapshot_operation, "wait", wait)
    with pytest.raises(NotReady) as caught:
        operation(log, switch={"restart": True}).restore("later")
    assert caught.value.message.startswith(
        "the snapshot was restored, but hub did not become ready"
    )
    assert "unknown test 'xx'" in caught.value.message
    assert caught.value.hint == "toji --system koji stop; toji --system koji start"


def test_a_builder_that_asks_for_it_is_restarted(log: list[str]) -> None:
    builder = Agent("builder", log, "switch release", release={"restart": True})
    assert operation(log, builder).restore("later") == {"builder"}
    assert log[-2:] == ["builder release", "builder restart"]


def test_a_builder_that_ends_while_it_is_released_is_restarted(log: list[str]) -> None:
    """Its kojid lost its session in the restored state."""
    builder = Agent("builder", log, "switch release", release=EngineError("it has ended"))
    with pytest.raises(LifecycleError, match="could not unlock writes:\n  builder: it has ended"):
        operation(log, builder).restore("later")
    builder.ends = True
    assert operation(log, builder).restore("later") == {"builder"}
    assert log[-3:] == ["builder release", "builder is watched", "builder restart"]


def test_an_expired_lock_is_an_error(log: list[str]) -> None:
    with pytest.raises(LifecycleError, match="the write lock on hub expired before"):
        operation(log, release={"lost": True}).save("later")


def test_no_renewal_comes_after_the_release(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would lock writes again for a minute."""
    monkeypatch.setattr(snapshot_operation, "_RENEW_SECONDS", 0.01)
    renewing, saved = Event(), Event()

    def renew() -> dict[str, Any]:
        renewing.set()
        saved.wait(10)
        time.sleep(0.1)
        return {}

    def save() -> dict[str, Any]:
        renewing.wait(10)
        saved.set()
        return {}

    operation(log, save=save, renew=renew).save("later")
    assert log[-1] == "hub release"
    assert "hub renew" in log
