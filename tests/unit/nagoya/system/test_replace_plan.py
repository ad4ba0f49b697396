"""The plans that exchange a system's containers, without an engine."""

from dataclasses import replace

import pytest

from nagoya.config.declaration import Declaration
from nagoya.errors import LifecycleError
from nagoya.system import plan, replace_plan
from nagoya.system.observed import ObservedSystem
from nagoya.system.plan import Plan
from tests.unit.nagoya.system.systems import Declare, nothing, running

DATA = {"detach": False, "run_once": True, "volumes": ["files:/data"], "network_mode": "none"}


@pytest.fixture
def declared(declare: Declare) -> Declaration:
    return declare(worker={"links": ["db"]}, db={"volumes_from": ["data:ro"]}, data=DATA)


def ids(wanted: Plan) -> list[str]:
    """The operations; each needs only those before it."""
    done: set[str] = set()
    for operation in wanted.operations:
        assert set(operation.needs) <= done, operation
        done.add(operation.id)
    return [operation.id for operation in wanted.operations]


def exchanged(declared: Declaration) -> ObservedSystem:
    """All is exchanged, and the new containers run."""
    now = running(declared)
    return replace(now, aside={name: now.containers[name] for name in ("db", "worker")})


def test_new_containers_wait_beside_those_that_run(declared: Declaration) -> None:
    wanted = {"db": "db", "worker": "worker", "worker-2": "worker", "data": "data"}
    assert ids(replace_plan.stage(declared, running(declared), wanted)) == [
        "create replacement db",
        "create replacement worker",
        "create replacement worker-2",
    ]


def test_a_trial_has_ports_of_its_own(declare: Declare) -> None:
    declared = declare(hub={"ports": [443]})
    now = running(declared, hub={"ports": {443: 4711}})
    for keep, ports in ((True, {443: 4711}), (False, {})):
        (created,) = replace_plan.stage(declared, now, {}, keep_ports=keep).operations
        assert (created.id, created.ports) == ("create replacement hub", ports)


def test_a_new_system_gets_its_volumes_first(declared: Declaration) -> None:
    assert ids(replace_plan.volumes(declared, nothing(), {})) == [
        "create volume some-files",
        "create data",
        "start data",
    ]
    filled = replace(running(declared, "data"), network=False)
    assert ids(replace_plan.stage(declared, filled, {})) == [
        "create network some",
        "create replacement db",
        "create replacement worker",
    ]


def test_what_fills_volumes_gets_those_that_are_new(declare: Declare) -> None:
    """As in an upgrade to a Nagoya that declares another one."""
    now = running(declare(data=DATA))
    declared = declare(data={**DATA, "volumes": ["files:/data", "more:/more"]})
    assert ids(replace_plan.volumes(declared, now, {})) == [
        "create volume some-more",
        "create replacement data",
        "replace data",
        "start data",
    ]


def test_what_is_not_declared_is_refused(declared: Declaration) -> None:
    with pytest.raises(LifecycleError, match="declares no container 'other'"):
        replace_plan.volumes(declared, nothing(), {"other-2": "other"})


def test_all_is_set_aside_before_anything_has_a_new_name(declared: Declaration) -> None:
    now = running(declared)
    staged = replace(now, replacements={name: now.containers[name] for name in ("db", "worker")})
    assert ids(replace_plan.exchange(declared, staged)) == [
        "stop worker",
        "stop db",
        "set aside db",
        "set aside worker",
        "keep replacement db",
        "keep replacement worker",
    ]


def test_the_old_containers_come_back(declared: Declaration) -> None:
    now = exchanged(declared)
    assert ids(replace_plan.remove_new(declared, now)) == ["remove worker", "remove db"]
    rest = replace(now, containers={"data": now.containers["data"]})
    assert ids(replace_plan.restore_old(declared, rest)) == ["put back db", "put back worker"]


def test_what_was_not_set_aside_yet_is_not_removed(declared: Declaration) -> None:
    now = exchanged(declared)
    cut_off = replace(
        now,
        containers={name: now.containers[name] for name in ("data", "worker")},
        aside={"db": now.aside["db"]},
    )
    assert ids(replace_plan.remove_new(declared, cut_off)) == []
    assert ids(replace_plan.restore_old(declared, cut_off)) == ["put back db"]


def test_what_has_no_successor_goes_first(declared: Declaration) -> None:
    """Whatever is left when toji is killed, the exchange is seen to be over."""
    now = exchanged(declared)
    copy = replace(now.aside["worker"], name="a-copy")
    scaled = replace(now, aside={**now.aside, "a-copy": copy})
    order = [operation.target for operation in replace_plan.remove_old(declared, scaled).operations]
    for done in range(len(order)):
        rest = {name: scaled.aside[name] for name in order[done:]}
        assert replace_plan.replaced(replace(scaled, aside=rest))


def test_the_old_containers_go(declared: Declaration) -> None:
    now = exchanged(declared)
    assert ids(replace_plan.remove_old(declared, now)) == ["remove old db", "remove old worker"]
    removed = ids(plan.remove(declared, now))
    assert {"remove old db", "remove old worker", "remove db"} <= set(removed)
