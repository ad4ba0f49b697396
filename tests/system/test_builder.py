"""Builders that check in, make repositories, and go."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import koji
import pytest
import requests
import yaml

from nagoya.config.declaration import Declaration
from tests.image.tracked import wait_until
from tests.system.conftest import Koji, declaration_with


def finished(session: koji.ClientSession, task: int, seconds: float = 120) -> dict[str, Any]:
    """A task's description once it has ended, however."""
    over = {koji.TASK_STATES[state] for state in ("CLOSED", "CANCELED", "FAILED")}
    wait_until(lambda: session.getTaskInfo(task)["state"] in over, seconds, f"task {task}")
    return dict(session.getTaskInfo(task))


def test_the_builder_is_enabled_and_ready(running: Koji) -> None:
    session = running.session()
    (host,) = session.listHosts()
    assert (host["name"], host["enabled"], host["ready"]) == ("kojibuilder", True, True)
    assert "createrepo" in {channel["name"] for channel in session.listChannels(host["id"])}
    line = running.client("list-hosts", "--quiet").stdout.split()
    assert line[:3] == ["kojibuilder", "Y", "Y"]


def test_the_builder_is_a_host_and_no_user(running: Koji) -> None:
    user = running.session().getUser("kojibuilder")
    assert user["usertype"] == koji.USERTYPES["HOST"]


def test_a_repository_is_made_that_a_client_can_download(running: Koji) -> None:
    session = running.session()
    session.createTag("with-repo", arches="x86_64")
    session.groupListAdd("with-repo", "c<c++/>", display_name="C & C++", description='"&amp;"')
    session.groupPackageListAdd("with-repo", "c<c++/>", "gcc&g++")
    # kojira lets the repositories of a tag expire that no target builds from.
    session.createBuildTarget("with-repo", "with-repo", "with-repo")
    running.client("regen-repo", "--wait", "with-repo")
    repo = session.getRepo("with-repo")
    assert session.getTaskInfo(repo["task_id"])["state"] == koji.TASK_STATES["CLOSED"]
    description = running.description
    url = f"{description['urls']['files']}/repos/with-repo/{repo['id']}"
    texts = []
    for name in ("x86_64/repodata/repomd.xml", "groups/comps.xml"):
        answer = requests.get(f"{url}/{name}", verify=description["ca"], timeout=30)
        assert answer.status_code == 200
        texts.append(answer.text)
    assert "<repomd" in texts[0]
    group = ElementTree.fromstring(texts[1]).find("group")
    assert group is not None
    assert [group.findtext(name) for name in ("id", "name", "description")] == [
        "c<c++/>", "C & C++", '"&amp;"',
    ]  # fmt: skip
    assert group.findtext("packagelist/packagereq") == "gcc&g++"


def test_kojira_notices_a_changed_tag_by_itself(running: Koji) -> None:
    """Every tag of a target up to Koji 1.34; where a repository can be requested, only the tags
    that say so."""
    session = running.session()
    on_request = "repo.request" in session.system.listMethods()
    session.createTag("watched", arches="x86_64", extra={"repo.auto": True} if on_request else {})
    session.createTag("watched-by", arches="x86_64")
    session.createBuildTarget("watched", "watched", "watched-by")
    first = wait_until(lambda: session.getRepo("watched"), 120, "the first repository")
    session.groupListAdd("watched", "build")
    wait_until(
        lambda: session.getRepo("watched")["id"] != first["id"], 120, "kojira's next repository"
    )


@pytest.mark.slow
def test_ten_builders_started_at_once_are_all_ready(
    start: Callable[..., Koji], declaration: Declaration, checkout: Path, tmp_path: Path
) -> None:
    def ten(raw: dict[str, Any]) -> None:
        builder = raw["containers"].pop("kojibuilder")
        raw["containers"] |= {f"builder{number}": builder for number in range(10)}

    many = start("ten", config=declaration_with(declaration, checkout, tmp_path, ten))
    session = many.session()
    hosts = wait_until(
        lambda: (
            [host for host in session.listHosts(ready=True) if host["enabled"]][9:]
            and session.listHosts()
        ),
        60,
        "ten builders",
    )
    assert sorted(host["name"] for host in hosts) == [f"builder{number}" for number in range(10)]
    for host in hosts:
        channels = {channel["name"] for channel in session.listChannels(host["id"])}
        assert {"default", "createrepo"} <= channels
    many.toji("remove")


def test_builders_stop_come_back_and_survive(start: Callable[..., Koji]) -> None:
    site = start("stops")
    session = site.session()
    builder = site.status()["kojibuilder"]["container"]

    site.run("docker", "stop", builder)
    assert not session.getHost("kojibuilder")["enabled"]
    line = site.client("list-hosts", "--quiet").stdout.split()
    assert line[:2] == ["kojibuilder", "N"]

    site.run("docker", "start", builder)
    site.toji("wait")
    assert session.getHost("kojibuilder")["enabled"]

    site.run("docker", "kill", "--signal=KILL", builder)
    site.run("docker", "start", builder)
    site.toji("wait")
    session.createTag("after-kill", arches="x86_64")
    task = session.newRepo("after-kill")
    assert finished(session, task)["state"] == koji.TASK_STATES["CLOSED"]


@pytest.mark.slow
def test_restarted_hosts_take_tasks_again(start: Callable[..., Koji]) -> None:
    """The task restartHosts runs on one of the builders that it restarts."""
    site = start("restarts")
    session = site.session()
    closed = koji.TASK_STATES["CLOSED"]
    for builders in (1, 2):
        site.toji("scale", f"kojibuilder={builders}")
        site.toji("wait")
        restart = session.restartHosts()
        assert finished(session, restart)["state"] == closed
        children = session.getTaskChildren(restart)
        assert [child["state"] for child in children] == [closed] * 2 * builders
        session.createTag(f"restarted-{builders}", arches="x86_64")
        repository = session.newRepo(f"restarted-{builders}")
        assert finished(session, repository)["state"] == closed


def test_what_the_project_declares_is_what_is_tested(checkout: Path) -> None:
    declared = yaml.safe_load((checkout / "moromi.yml").read_text())["containers"]
    assert list(declared) == ["kojicreds", "kojitop", "kojidatabase", "koji", "kojibuilder"]
