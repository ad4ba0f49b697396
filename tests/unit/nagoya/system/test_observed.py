"""How what runs differs from what is declared, without an engine."""

from dataclasses import replace

import pytest

from nagoya.system.observed import conflicts, differences, missing
from tests.unit.nagoya.system.systems import Declare, nothing, running

DATA = {"detach": False, "run_once": True, "volumes": ["files:/data"]}


def test_a_system_that_is_up_to_date_differs_in_nothing(declare: Declare) -> None:
    declared = declare(data=DATA, server={"volumes_from": ["data"], "ports": [80]})
    assert differences(running(declared), declared) == {}
    assert conflicts(running(declared), declared) == []
    assert missing(running(declared), declared) == []


@pytest.mark.parametrize(
    ("keys", "phrases"),
    [
        ({"environment": {"A": "2"}}, ["changed environment"]),
        ({"ports": [80, 443]}, ["changed ports"]),
        ({"command": ["true"], "cap_drop": ["ALL"]}, ["changed command", "changed cap_drop"]),
        ({"image": "other"}, ["image tiny, now other"]),
        # toji itself obeys these; no container has to be created again for them.
        ({"detach": False, "timeout": 5, "links": ["data"]}, []),
        ({"callbacks": {"post_start": ["os.getcwd"]}}, []),
    ],
)
def test_what_differs_is_named(
    declare: Declare, keys: dict[str, object], phrases: list[str]
) -> None:
    before = running(declare(data={}, server={}))
    changes = differences(before, declare(data={}, server=keys))
    assert changes == ({"server": phrases} if phrases else {})


def test_an_image_that_was_built_again_differs(declare: Declare) -> None:
    declared = declare(server={})
    observed = running(declared, server={"image_id": "sha256:0"})
    assert differences(observed, declared) == {"server": ["an older image tiny"]}
    # An image that is gone can replace nothing.
    assert differences(replace(observed, images={}), declared) == {}


def test_podman_s_name_of_an_image_is_no_difference(declare: Declare) -> None:
    declared = declare(server={})
    observed = running(declared, server={"image": "localhost/tiny:latest"})
    assert differences(observed, declared) == {}


def test_every_copy_of_a_scaled_container_is_compared(declare: Declare) -> None:
    observed = running(declare(worker={}))
    second = replace(observed.containers["worker"], name="worker-2", container="some-worker-2")
    observed = replace(observed, containers={**observed.containers, "worker-2": second})
    changes = differences(observed, declare(worker={"stop_timeout": 3}))
    assert changes == {name: ["changed stop_timeout"] for name in ("worker", "worker-2")}


def test_a_container_of_an_older_toji_differs(declare: Declare) -> None:
    declared = declare(server={})
    observed = running(declared, server={"labels": {}})
    assert "did not record its settings" in differences(observed, declared)["server"][0]


def test_an_environment_is_recorded_as_a_digest(declare: Declare) -> None:
    declared = declare(server={"environment": {"PASSWORD": "hunter2"}})
    labels = running(declared).containers["server"].labels
    assert "hunter2" not in str(labels)
    assert labels["nagoya.config-file"] == str(declared.path)


def test_a_container_on_other_volumes_than_its_source_is_a_conflict(declare: Declare) -> None:
    declared = declare(data=DATA, server={"volumes_from": ["data"]}, other={"links": ["server"]})
    observed = running(declared, server={"volumes": {"/data": "an-older-one"}})
    sentence = "server was started with another volume at /data than data has"
    assert conflicts(observed, declared) == [sentence]
    # The same once the source is gone, and would be created on its named volume.
    rest = {name: observed.containers[name] for name in ("server", "other")}
    assert conflicts(replace(observed, containers=rest), declared) == [sentence]


def test_a_container_that_is_not_there_is_missing(declare: Declare) -> None:
    declared = declare(data=DATA, server={"volumes_from": ["data"]})
    assert missing(running(declared, "server"), declared) == ["data"]
    assert not nothing().exists
