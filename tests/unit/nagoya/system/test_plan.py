"""What each verb will do, without an engine."""

from dataclasses import replace
from pathlib import Path

import pytest

from nagoya.config.declaration import Declaration
from nagoya.errors import LifecycleError
from nagoya.system import plan, reconcile
from nagoya.system.observed import DATA_LABEL, ObservedImage
from nagoya.system.plan import Plan
from tests.unit.nagoya.system.systems import Declare, nothing, running

DATA = {"detach": False, "run_once": True, "volumes": ["files:/data"], "network_mode": "none"}


@pytest.fixture
def declared(declare: Declare) -> Declaration:
    return declare(
        client={"links": ["server"]},
        server={"volumes_from": ["data:ro"], "links": ["db"], "ports": [80, "8443:443"]},
        db={},
        data=DATA,
    )


def lines(wanted: Plan) -> list[str]:
    """The operations in words; each needs only those before it, as carrying out demands."""
    done: set[str] = set()
    for operation in wanted.operations:
        assert set(operation.needs) <= done, operation
        done.add(operation.id)
    return [str(operation) for operation in wanted.operations]


def needs(wanted: Plan, id: str) -> tuple[str, ...]:
    return next(operation.needs for operation in wanted.operations if operation.id == id)


def test_a_system_is_created_in_order(declared: Declaration) -> None:
    wanted = reconcile.init(declared, nothing())
    assert lines(wanted) == [
        "create network some: missing",
        "create db: missing",
        "start db: created",
        "create volume some-files: declared for data",
        "create data: missing",
        "start data: created",
        "create server: missing",
        "start server: created",
        "create client: missing",
        "start client: created",
    ]
    assert set(needs(wanted, "create server")) == {
        "create network some", "start db", "start data",
    }  # fmt: skip
    assert needs(wanted, "create data") == ("create volume some-files",)
    assert wanted.notices == ()


def test_a_running_system_needs_nothing(declared: Declaration) -> None:
    for verb in (reconcile.init, reconcile.up, plan.start):
        assert lines(verb(declared, running(declared))) == []


def test_a_container_that_was_pruned_comes_back_on_its_volume(declared: Declaration) -> None:
    observed = running(declared)
    rest = {name: state for name, state in observed.containers.items() if name != "data"}
    assert lines(reconcile.init(declared, replace(observed, containers=rest))) == [
        "create data: missing; its data is in some-files",
        "start data: created",
    ]


def test_a_lost_database_is_reported(declared: Declaration) -> None:
    images = {**nothing().images, "tiny": ObservedImage("sha256:1", ("/db",))}
    lost = "the container 'db' is gone, and its data with it"

    def notices(*names: str) -> str:
        observed = running(declared)
        containers = {name: observed.containers[name] for name in names}
        changed = replace(observed, containers=containers, images=images)
        return "".join(reconcile.init(declared, changed).notices)

    assert lost in notices("data", "server")
    # As `docker container prune` leaves a stopped system: its volumes.
    assert lost in notices()
    # As an interrupted `toji up` leaves it: the database was never there.
    assert lost not in notices("data")
    assert reconcile.init(declared, replace(nothing(), images=images)).notices == ()


def test_users_of_a_lost_database_are_started_again(declared: Declaration) -> None:
    observed = running(declared)
    rest = {name: state for name, state in observed.containers.items() if name != "db"}
    images = {**nothing().images, "tiny": ObservedImage("sha256:1", ("/db",))}
    changed = replace(observed, containers=rest, images=images)
    assert [operation.id for operation in reconcile.up(declared, changed).operations] == [
        "stop client", "stop server", "create db", "start db", "start server", "start client",
    ]  # fmt: skip


def test_init_says_what_differs_and_leaves_it(declare: Declare, declared: Declaration) -> None:
    changed = declare(**{name: {"stop_timeout": 3} for name in ("server", "client")})
    wanted = reconcile.init(changed, running(declared, "server", "client"))
    assert lines(wanted) == []
    assert (
        "  server: changed ports, changed volumes_from, changed stop_timeout\n" in wanted.notices[0]
    )
    assert "`toji --system some up` recreates what differs" in wanted.notices[0]


def test_up_recreates_only_what_differs_on_its_ports(declared: Declaration) -> None:
    observed = running(declared, server={"image_id": "sha256:0", "ports": {80: 4711, 443: 8443}})
    wanted = reconcile.up(declared, observed)
    assert lines(wanted) == [
        "create replacement server: an older image tiny",
        "stop server: replaced",
        "replace server: an older image tiny",
        "start server: replaced",
    ]
    assert wanted.operations[0].ports == {80: 4711}


def test_up_with_another_file_that_changes_nothing_says_which_one_is_recorded(
    declared: Declaration,
) -> None:
    other = replace(running(declared), config_file=Path("/elsewhere/moromi.yml"))
    (notice,) = reconcile.up(declared, other).notices
    assert "'some' still records /elsewhere/moromi.yml as its file" in notice
    assert not reconcile.up(declared, other, recreate=["client"]).notices
    assert not reconcile.up(declared, replace(other, config_file=declared.path)).notices


def test_anonymous_volumes_stay_with_their_container(declare: Declare) -> None:
    before = declare(data={**DATA, "volumes": []}, server={"volumes_from": ["data"]})
    anonymous = {"volumes": {"/data": "a" * 64}}
    observed = running(
        before, data=anonymous, server={"volumes": {"/data": "a" * 64, "/x": "b" * 64}}
    )
    after = declare(data=DATA, server={"volumes_from": ["data"], "stop_timeout": 3})
    created = {
        operation.target: operation.volumes
        for operation in reconcile.up(after, observed).operations
        if operation.verb == "create replacement"
    }
    assert created == {"data": {"/data": "a" * 64}, "server": {"/x": "b" * 64}}


def test_who_stands_on_another_volume_is_recreated_too(declare: Declare) -> None:
    before = declare(data=DATA, server={"volumes_from": ["data"]}, other={"links": ["server"]})
    after = declare(
        data={**DATA, "volumes": ["fresh:/data"]}, server={"volumes_from": ["data"]},
        other={"links": ["server"]},
    )  # fmt: skip
    text = lines(reconcile.up(after, running(before)))
    assert "replace server: data gets another volume at /data" in text
    assert not [line for line in text if "other" in line.split(":")[0]]


def with_data(declared: Declaration, path: str = "/db") -> object:
    """The system in which `db` keeps data in itself, and runs an older image."""
    observed = running(declared, db={"image_id": "sha256:0", "labels": {}})
    labels = {**observed.containers["server"].labels, "nagoya.data": f'["{path}"]'}
    labels["nagoya.config"] = "{}"
    db = replace(observed.containers["db"], labels=labels)
    images = {**observed.images, "tiny": ObservedImage("sha256:1", ("/db",))}
    return replace(observed, containers={**observed.containers, "db": db}, images=images)


def test_what_holds_data_is_recreated_only_by_name(declare: Declare) -> None:
    declared = declare(db={"image": "tiny"}, server={"image": "other", "links": ["db"]})
    observed = with_data(declared)
    server = replace(observed.containers["server"], image_id="sha256:2")
    observed = replace(observed, containers={**observed.containers, "server": server})
    wanted = reconcile.up(declared, observed)
    assert lines(wanted) == []
    assert "`toji --system some up --recreate db`" in wanted.notices[0]
    wanted = reconcile.up(declared, observed, ["db"])
    assert [operation.id for operation in wanted.operations] == [
        "create replacement db", "stop server", "stop db", "replace db", "start db", "start server",
    ]  # fmt: skip
    assert wanted.operations[3].data == ("/db",)
    # The users write nothing while it is copied, and come back after it.
    assert "stop server" in needs(wanted, "stop db")
    assert "start db" in needs(wanted, "start server")


def test_data_that_cannot_be_copied_is_refused(declare: Declare) -> None:
    declared = declare(db={})
    observed = running(declared)
    observed = replace(
        observed,
        containers={
            "db": replace(
                observed.containers["db"],
                image_id="sha256:0",
                labels={**observed.containers["db"].labels, "nagoya.data": '["/old"]'},
            )
        },
    )
    with pytest.raises(LifecycleError, match=r"keeps its data in /old.*toji cannot copy it"):
        reconcile.up(declared, observed, ["db"])


def test_an_image_that_does_not_name_its_data_yet_is_protected_too(declare: Declare) -> None:
    declared = declare(db={})
    observed = running(declared, db={"image_id": "sha256:0"})
    images = {"tiny": ObservedImage("sha256:1", ("/db",))}
    assert lines(reconcile.up(declared, replace(observed, images=images))) == []


def test_a_name_that_is_no_container_cannot_be_recreated(declared: Declaration) -> None:
    with pytest.raises(LifecycleError, match="has no container 'typo'"):
        reconcile.up(declared, running(declared), ["typo"])


def test_an_interrupted_replacement_is_completed_or_removed(declare: Declare) -> None:
    declared = declare(db={})
    observed = running(declared)
    replacement = replace(observed.containers["db"], container="some-db.new", status="created")
    overlap = replace(observed, replacements={"db": replacement})
    assert lines(reconcile.init(declared, overlap)) == [
        "remove replacement db: left by an interrupted `toji up`"
    ]
    wanted = reconcile.init(declared, replace(overlap, containers={}))
    assert [operation.id for operation in wanted.operations] == ["keep replacement db", "start db"]


def test_parts_that_do_not_belong_together_are_refused(declared: Declaration) -> None:
    observed = running(declared, server={"volumes": {"/data": "another"}})
    for verb in (reconcile.init, reconcile.up):
        with pytest.raises(LifecycleError, match="server was started with another volume"):
            verb(declared, observed)


def test_stop_and_start_go_in_opposite_orders(declared: Declaration) -> None:
    observed = running(declared)
    wanted = plan.stop(declared, observed)
    assert needs(wanted, "stop db") == ("stop server",)
    assert needs(wanted, "stop server") == ("stop client",)
    assert "stop data" not in [operation.id for operation in wanted.operations]
    assert "`docker container prune` would remove" in wanted.notices[0]
    stopped = {
        name: replace(state, status="exited", exit_code=137)
        for name, state in observed.containers.items()
        if name != "data"
    }
    stopped["data"] = observed.containers["data"]
    assert lines(plan.start(declared, replace(observed, containers=stopped))) == [
        "start db: ended with status 137",
        "start server: ended with status 137",
        "start client: ended with status 137",
    ]


def test_a_pruned_network_is_created_before_what_is_on_it(declared: Declaration) -> None:
    observed = running(declared, "db", "data", db={"status": "exited"}, data={"exit_code": 1})
    wanted = plan.start(declared, replace(observed, network=False))
    assert needs(wanted, "start db") == ("create network some",)
    assert needs(wanted, "start data") == ()


def test_a_restart_waits_for_the_end_of_all(declared: Declaration) -> None:
    wanted = plan.restart(declared, running(declared), ["server", "db"])
    assert lines(wanted) == [
        "stop server: restart", "stop db: restart",
        "start db: not running", "start server: not running",
    ]  # fmt: skip
    assert set(needs(wanted, "start db")) == {"stop db", "stop server"}


def test_removal_takes_volumes_and_network_last(declare: Declare) -> None:
    calls = {"callbacks": {"post_remove": ["os.getcwd"]}}
    declared = declare(data=DATA, server={"volumes_from": ["data"]}, gone=calls)
    wanted = plan.remove(declared, running(declared, "data", "server"))
    assert lines(wanted) == [
        "remove server: part of some",
        "post_remove gone: os.getcwd",
        "remove data: part of some",
        "remove volume some-files: part of some",
        "remove network some: part of some",
    ]
    assert set(needs(wanted, "remove volume some-files")) >= {"remove server", "remove data"}
    assert plan.remove(declared, nothing()).operations == ()


def test_a_system_named_as_its_container(declare: Declare) -> None:
    """As Nagoya's own is: the network has the name of the hub."""
    declared = declare(some={}, other={"links": ["some"]})
    lines(reconcile.init(declared, nothing()))
    wanted = plan.remove(declared, running(declared))
    assert [operation.id for operation in wanted.operations] == [
        "remove other", "remove some", "remove network some",
    ]  # fmt: skip


def test_a_container_that_runs_to_an_end_is_waited_for(declare: Declare) -> None:
    declared = declare(job={"detach": False})
    observed = running(declared)
    assert lines(plan.start(declared, observed)) == ["wait for job: it runs to an end"]


def test_scaling_down_drains_before_it_stops(declare: Declare) -> None:
    declared = declare(worker={})
    observed = running(declared)
    labels = {**observed.containers["worker"].labels, "nagoya.drain": "[]"}
    copies = {
        name: replace(observed.containers["worker"], name=name, labels=labels)
        for name in ("worker", "worker-2", "worker-3")
    }
    wanted = reconcile.scale(declared, replace(observed, containers=copies), "worker", 2)
    assert lines(wanted) == [
        "drain worker-3: 2 wanted", "stop worker-3: 2 wanted", "remove worker-3: 2 wanted",
    ]  # fmt: skip
    more = reconcile.scale(declared, observed, "worker", 2)
    assert [operation.id for operation in more.operations] == ["create worker-2", "start worker-2"]


def test_a_recreated_container_finishes_its_work_as_long_as_its_hub_runs(declare: Declare) -> None:
    declared = declare(worker={"links": ["hub"]}, hub={})
    observed = running(declared, worker={"image_id": "sha256:0"}, hub={"image_id": "sha256:0"})
    labels = {**observed.containers["worker"].labels, "nagoya.drain": "[]"}
    worker = replace(observed.containers["worker"], labels=labels)
    observed = replace(observed, containers={**observed.containers, "worker": worker})
    wanted = reconcile.up(declared, observed)
    assert lines(wanted)[0] == "drain worker: an older image tiny"
    assert "drain worker" in needs(wanted, "stop hub")
    stopped = {**observed.containers, "worker": replace(worker, status="exited")}
    assert "drain" not in " ".join(
        lines(reconcile.up(declared, replace(observed, containers=stopped)))
    )


@pytest.mark.parametrize("count", [0, 2])
def test_what_others_need_is_there_once(declared: Declaration, count: int) -> None:
    with pytest.raises(LifecycleError, match="'db' cannot"):
        reconcile.scale(declared, running(declared), "db", count)


def test_what_keeps_data_is_not_scaled_away(declare: Declare) -> None:
    """Not even where nobody needs it."""
    declared = declare(alone={}, other={})
    observed = running(declared)
    labels = observed.containers["alone"].labels | {DATA_LABEL: '["/data"]'}
    alone = replace(observed.containers["alone"], labels=labels)
    observed = replace(observed, containers={**observed.containers, "alone": alone})
    with pytest.raises(LifecycleError, match="'alone' cannot be removed, since it keeps data"):
        reconcile.scale(declared, observed, "alone", 0)
    assert lines(reconcile.scale(declared, observed, "other", 0))[-1].startswith("remove other")
