"""Several builders: they share the work, and none of it is lost when one goes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nagoya.config.declaration import Declaration
from nagoya.koji.verify import BUILD_TAG
from tests.image.tracked import wait_until
from tests.system.building import child, sources, state, uploaded
from tests.system.conftest import Koji, declaration_with
from tests.system.test_builds import sleeping


@pytest.fixture(scope="module")
def fleet(start: Callable[..., Koji], checkout: Path) -> Koji:
    """A seeded Koji with three builders, in which the package `slow` takes 15 seconds."""
    site = start("fleet")
    site.toji("seed", str(checkout / "demo/seed.yml"))
    site.session().editTag2(BUILD_TAG, extra={"rpm.macro.seconds": "15"})
    # A build has the macros that the tag had when its repository was made.
    site.client("regen-repo", "--wait", BUILD_TAG)
    site.toji("scale", "kojibuilder=3")
    site.toji("wait")
    return site


@pytest.fixture
def slow(fleet: Koji, tmp_path: Path) -> Callable[[], tuple[int, str]]:
    """Begin a scratch build of `slow`; the task, and the builder that is at work on it."""

    def begin() -> tuple[int, str]:
        session = fleet.session()
        source = uploaded(session, sources(fleet, "slow"), tmp_path)
        task = session.build(source, "demo", {"scratch": True})
        builders = [name for name in fleet.status() if name.startswith("kojibuilder")]
        at_work = wait_until(
            lambda: next((name for name in builders if sleeping(fleet, name)), None),
            180,
            "a builder is at work",
        )
        return task, str(at_work)

    return begin


@pytest.mark.slow
def test_three_builders_share_six_builds(fleet: Koji) -> None:
    session = fleet.session()
    source = sources(fleet, "hello").git
    tasks = [session.build(source, "demo", {"scratch": True}) for _ in range(6)]
    assert [state(session, task, 600) for task in tasks] == ["CLOSED"] * 6
    hosts = {child(session, task, "buildArch")["host_id"] for task in tasks}
    assert len(hosts) == 3, "somebody idled"


@pytest.mark.slow
def test_a_build_survives_the_death_of_its_builder(
    fleet: Koji, slow: Callable[[], tuple[int, str]]
) -> None:
    session = fleet.session()
    task, name = slow()
    container = f"{fleet.system}-{name}"
    fleet.run("docker", "kill", "--signal=KILL", container)
    fleet.run("docker", "start", container)
    assert state(session, task, 600) == "CLOSED"
    fleet.toji("wait")


@pytest.mark.slow
def test_a_builder_that_is_stopped_hands_its_task_back(
    fleet: Koji, slow: Callable[[], tuple[int, str]]
) -> None:
    session = fleet.session()
    task, name = slow()
    fleet.run("docker", "stop", f"{fleet.system}-{name}")
    assert not session.getHost(name)["enabled"]
    assert state(session, task, 600) == "CLOSED"
    assert child(session, task, "buildArch")["host_id"] != session.getHost(name)["id"]
    fleet.run("docker", "start", f"{fleet.system}-{name}")
    fleet.toji("wait")


@pytest.mark.slow
def test_a_builder_that_is_scaled_away_ends_its_work_first(
    fleet: Koji, slow: Callable[[], tuple[int, str]]
) -> None:
    session = fleet.session()
    for name in ("kojibuilder", "kojibuilder-2"):
        session.disableHost(name)
    task, name = slow()
    assert name == "kojibuilder-3"
    for other in ("kojibuilder", "kojibuilder-2"):
        session.enableHost(other)
    fleet.toji("scale", "kojibuilder=2")
    assert "kojibuilder-3" not in fleet.status()
    assert state(session, task, 600) == "CLOSED"
    subtask = child(session, task, "buildArch")
    assert subtask["host_id"] == session.getHost(name)["id"]
    assert not session.getHost(name)["enabled"]
    fleet.toji("scale", "kojibuilder=3")
    fleet.toji("wait")
    assert session.getHost(name)["enabled"]


def test_builders_have_the_capabilities_that_are_declared_and_no_more(fleet: Koji) -> None:
    container = f"{fleet.system}-kojibuilder"
    output = fleet.run(
        "docker", "inspect", "--format",
        "{{.HostConfig.Privileged}} {{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}}", container,
    ).stdout  # fmt: skip
    assert output.startswith("false [ALL] [")
    assert "SYS_ADMIN" in output
    assert "SYS_TIME" not in output
    status = fleet.toji("exec", "kojibuilder", "cat", "/proc/1/status").stdout
    bounding = int(next(line for line in status.splitlines() if "CapBnd" in line).split()[1], 16)
    # capability(7): CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SYS_CHROOT SYS_ADMIN
    # MKNOD SETFCAP
    assert bounding == sum(1 << bit for bit in (0, 1, 3, 4, 5, 6, 7, 18, 21, 27, 31))


@pytest.mark.slow
def test_a_hub_of_another_name_builds(
    start: Callable[..., Koji], declaration: Declaration, checkout: Path, tmp_path: Path
) -> None:
    def rename(raw: dict[str, Any]) -> None:
        containers = raw["containers"]
        containers["thehub"] = containers.pop("koji")
        containers["thehub"]["environment"]["KOJI_HUB_NAMES"] = "thehub"
        containers["kojibuilder"]["links"] = ["thehub"]
        containers["kojibuilder"]["environment"] = {
            "KOJI_HUB_URL": "https://thehub/kojihub",
            "KOJI_FILES_URL": "https://thehub/kojifiles",
            "KOJI_BUILDER_ALLOWED_SCMS": "thehub:/demo/git/*:no:make,sources",
        }

    config = declaration_with(declaration, checkout, tmp_path, rename)
    renamed = start("renamed", config=config)
    renamed.toji("verify")
    # Its links to the checkout's images go with the test's folder.
    renamed.toji("remove")
