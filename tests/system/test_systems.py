"""Systems that are stopped, started again, and live side by side."""

import json
from collections.abc import Callable
from pathlib import Path

import koji

from nagoya.koji.builds import wait_for_repo
from tests.image.tracked import wait_until
from tests.system.building import hub_of
from tests.system.conftest import Koji


def test_stop_and_start_keep_the_data(start: Callable[..., Koji]) -> None:
    site = start("kept")
    site.client("add-tag", "kept", "--arches=x86_64")
    session = site.session()
    session.createBuildTarget("kept", "kept", "kept")
    wait_for_repo(hub_of(site), "kept")
    # A builder that is stopped before its task is closed makes the repository again.
    unfinished = {"state": [koji.TASK_STATES[name] for name in ("FREE", "OPEN", "ASSIGNED")]}
    wait_until(lambda: not session.listTasks(unfinished), 60, "all tasks are closed")
    repo = session.getRepo("kept")
    before = site.description

    site.toji("stop")
    assert {container["state"] for container in site.status().values()} == {"exited"}
    assert [site.status()[name]["exit_code"] for name in ("kojidatabase", "koji")] == [0, 0]
    site.toji("start")
    site.toji("wait")

    assert site.description == before
    assert "kept" in site.client("list-tags").stdout.split()
    assert site.session().getRepo("kept") == repo
    site.toji("exec", "koji", "test", "-e", f"/mnt/koji/repos/kept/{repo['id']}/repo.json")
    site.toji("remove")


def test_two_systems_side_by_side(start: Callable[..., Koji], running: Koji) -> None:
    other = start("other")
    assert other.description["urls"]["hub"] != running.description["urls"]["hub"]
    other.client("add-tag", "only-there")
    assert "only-there" in other.client("list-tags").stdout.split()
    assert "only-there" not in running.client("list-tags").stdout.split()
    authorities = {Path(site.description["ca"]).read_bytes() for site in (other, running)}
    assert len(authorities) == 2

    other.toji("remove")
    assert running.client("hello").status == 0
    assert not (other.home / ".koji/nagoya" / other.system).exists()
    assert not list((other.home / ".koji/config.d").iterdir())


def test_the_plan_is_reported_as_json(running: Koji) -> None:
    plan = json.loads(running.run("moromi", "plan", "--json").stdout)
    assert plan["containers"][-1] == ["kojibuilder"]
