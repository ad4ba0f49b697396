"""What dies is started again by the engine; what is stopped is not."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from nagoya.engine import connect
from nagoya.engine.containers import get, inspect
from tests.system.conftest import Koji

SERVERS = ("kojidatabase", "koji", "kojibuilder")


@pytest.fixture(scope="module")
def faulty(start: Callable[..., Koji]) -> Koji:
    return start("faults")


def inspected(one: Koji, name: str) -> dict[str, Any]:
    return inspect(get(connect(), f"{one.system}-{name}"))


def kill(one: Koji, name: str) -> None:
    """Kill the first process of a container behind the engine's back."""
    os.kill(inspected(one, name)["State"]["Pid"], signal.SIGKILL)


@pytest.mark.parametrize("name", SERVERS)
def test_what_dies_is_started_again(faulty: Koji, name: str) -> None:
    before = inspected(faulty, name)
    kill(faulty, name)
    faulty.toji("wait")
    after = inspected(faulty, name)
    assert after["Id"] == before["Id"]
    assert after["RestartCount"] == before["RestartCount"] + 1
    assert faulty.session().getLoggedInUser()["name"] == "kojiadmin"


def test_what_is_stopped_is_not_started_with_the_engine(faulty: Koji) -> None:
    def policies() -> set[str]:
        return {inspected(faulty, name)["HostConfig"]["RestartPolicy"]["Name"] for name in SERVERS}

    assert policies() == {"always"}
    faulty.toji("stop")
    assert policies() == {"no"}
    faulty.toji("start")
    assert policies() == {"always"}
    faulty.toji("wait")


def test_what_dies_at_every_start_ends_a_wait(faulty: Koji) -> None:
    wrong = "/etc/koji-hub/hub.conf.d/99-wrong.conf"
    faulty.toji("exec", "koji", "sh", "-c", f"echo '[hub' >{wrong}")
    kill(faulty, "koji")
    ended = faulty.toji("wait", "--timeout", "120", check=False)
    assert ended.status == 8
    assert "not running: koji" in ended.stderr
    assert "99-wrong.conf" in ended.stderr
