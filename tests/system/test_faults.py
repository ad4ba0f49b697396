"""What dies is started again by the engine, what is stopped is not, and builds outlive both."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nagoya.engine import connect
from nagoya.engine.containers import get, inspect
from nagoya.koji.tasks import failure_text
from nagoya.koji.verify import BUILD_TAG
from tests.image.tracked import wait_until
from tests.system.building import child, sources, state, uploaded
from tests.system.conftest import Koji
from tests.system.test_builds import sleeping

SERVERS = ("kojidatabase", "koji", "kojibuilder")


@pytest.fixture(scope="module")
def faulty(start: Callable[..., Koji]) -> Koji:
    return start("faults")


@pytest.fixture(scope="module")
def building(start: Callable[..., Koji], checkout: Path) -> Koji:
    """A seeded Koji with two builders, in which the package `slow` takes 15 seconds."""
    site = start("heals")
    site.toji("seed", str(checkout / "demo/seed.yml"))
    site.session().editTag2(BUILD_TAG, extra={"rpm.macro.seconds": "15"})
    # A build takes the tag as it was when its repository was made.
    site.client("regen-repo", "--wait", BUILD_TAG)
    site.toji("scale", "kojibuilder=2")
    site.toji("wait")
    return site


@pytest.fixture
def slow(building: Koji, tmp_path: Path) -> tuple[int, str]:
    """The task of a scratch build of `slow`, and the builder that is at work on it."""
    session = building.session()
    source = uploaded(session, sources(building, "slow"), tmp_path)
    task = session.build(source, "demo", {"scratch": True})
    builders = ("kojibuilder", "kojibuilder-2")
    name = wait_until(
        lambda: next((name for name in builders if sleeping(building, name)), None),
        180,
        "a builder is at work",
    )
    return task, str(name)


def inspected(site: Koji, name: str) -> dict[str, Any]:
    return inspect(get(connect(), f"{site.system}-{name}"))


def kill(site: Koji, name: str) -> None:
    """Kill the first process of a container behind the engine's back."""
    os.kill(inspected(site, name)["State"]["Pid"], signal.SIGKILL)


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


@contextmanager
def cut_off(site: Koji, name: str) -> Iterator[None]:
    """A container without its network, whose connections go silent and are not closed."""
    container = f"{site.system}-{name}"
    (network,) = inspected(site, name)["NetworkSettings"]["Networks"]
    site.run("docker", "network", "disconnect", network, container)
    yield
    site.run("docker", "network", "connect", "--alias", name, network, container)


@pytest.mark.slow
def test_a_builder_that_is_cut_off_notices_and_goes_on(
    building: Koji, slow: tuple[int, str]
) -> None:
    task, name = slow
    container = connect().client.containers.get(f"{building.system}-{name}")
    with cut_off(building, name):
        # kojid itself, and the task that it has forked, which then has the result to report.
        wait_until(
            lambda: len(set(failed_calls(container.logs().decode()))) >= 2, 120, "calls that failed"
        )
    assert state(building.session(), task) == "CLOSED"
    building.toji("wait")


def failed_calls(log: str) -> list[str]:
    """The processes of kojid whose calls to the hub have failed; koji logs each attempt."""
    return re.findall(r"\{(\d+)\} koji:\d+ Try #\d+ for call", log)


def test_what_a_builder_that_is_gone_had_to_do_is_done_by_another(
    building: Koji, slow: tuple[int, str]
) -> None:
    task, builder = slow
    container = f"{building.system}-{builder}"
    building.run("docker", "update", "--restart", "no", container)
    building.run("docker", "kill", container)
    session = building.session()
    assert state(session, task, 600) == "CLOSED"
    subtask = child(session, task, "buildArch")
    assert subtask
    assert subtask["host_id"] != session.getHost(builder)["id"]
    building.run("docker", "update", "--restart", "always", container)
    building.run("docker", "start", container)
    building.toji("wait")


@pytest.mark.slow
def test_a_hub_that_dies_while_a_buildroot_is_installed_fails_no_build(
    building: Koji, tmp_path: Path
) -> None:
    session = building.session()
    source = uploaded(session, sources(building, "slow"), tmp_path)
    task = session.build(source, "demo", {"scratch": True})
    builders = [
        connect().client.containers.get(f"{building.system}-{name}")
        for name in ("kojibuilder", "kojibuilder-2")
    ]

    def installing() -> bool:
        processes = [
            words
            for builder in builders
            for _, words in builder.top(ps_args="-eo pid,args")["Processes"]
        ]
        return any("nagoya/mock" in words and "--init" in words for words in processes)

    wait_until(installing, 60, "a buildroot is installed")
    kill(building, "koji")
    building.toji("wait")
    session = building.session()
    assert state(session, task) == "CLOSED", failure_text(session, task)
