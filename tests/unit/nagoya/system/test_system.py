"""What the verbs of a system do where a plan cannot be carried out."""

from dataclasses import replace
from typing import Any, cast

import pytest

from nagoya.engine import Engine
from nagoya.errors import EngineError, LifecycleError
from nagoya.system.observed import ObservedSystem
from nagoya.system.system import System
from nagoya.utils.progress import Progress
from tests.unit.nagoya.system.systems import Declare, nothing, running

POOLS = EngineError("all predefined address pools have been fully subnetted", "make room")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> list[str]:
    """What was done, by the operation's id; a network cannot be created."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    log: list[str] = []

    def carry_out(self: System, wanted: Any, drain_seconds: float) -> None:
        if wanted.verb == "create network":
            raise POOLS
        log.append(wanted.id)

    monkeypatch.setattr(System, "_carry_out", carry_out)
    return log


def observing(monkeypatch: pytest.MonkeyPatch, *answers: ObservedSystem) -> None:
    remaining = list(answers)
    monkeypatch.setattr(System, "observe", lambda self: remaining.pop(0))


def system(declare: Declare) -> System:
    declared = declare(
        data={"detach": False, "network_mode": "none", "volumes": ["files:/files"]},
        server={"volumes_from": ["data"]},
    )
    return System(cast(Engine, None), declared, "some", Progress(quiet=True))


def test_nothing_is_left_of_a_new_system_without_a_network(
    declare: Declare, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = system(declare)
    remains = replace(running(instance.declaration, "data"), network=False)
    observing(monkeypatch, nothing(), remains)
    with pytest.raises(LifecycleError, match="fully subnetted") as caught:
        instance.init()
    assert caught.value.hint == "make room"
    assert {"create data", "remove data", "remove volume some-files"} <= set(done)


def test_an_existing_system_stays_where_its_network_cannot_be_created(
    declare: Declare, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `docker network prune`."""
    instance = system(declare)
    remains = replace(running(instance.declaration, "data"), network=False)
    observing(monkeypatch, remains, remains)
    with pytest.raises(LifecycleError, match="fully subnetted"):
        instance.init()
    assert not [id for id in done if id.startswith("remove")]
