"""docs/koji-versions.md: what newer versions can do, with the Koji under test."""

from pathlib import Path

import pytest
import requests

from nagoya.engine import connect
from nagoya.koji.builds import upload
from tests.image.koji_builder.buildroots import spec
from tests.image.tracked import execute
from tests.system.building import make_srpm, sources, state
from tests.system.conftest import Koji

SERVED = "/mnt/koji/demo/git/hello.git"
# A commit that no branch has.
PULL = f"""
git clone --quiet {SERVED} /tmp/pull && cd /tmp/pull
git -c user.name=x -c user.email=x@example.com commit --quiet --allow-empty --message pull
git rev-parse HEAD
"""


@pytest.fixture(scope="module")
def version(seeded: Koji) -> tuple[int, ...]:
    """The hub's version, such as (1, 35)."""
    return tuple(map(int, seeded.session().getKojiVersion().split(".")[:2]))


@pytest.fixture(scope="module")
def hello(seeded: Koji) -> str:
    """The URL of hello's repository, which has a branch `devel` and a pull request too; behind `#`
    is the request's commit."""
    url = sources(seeded, "hello").git
    hub, builder = (
        connect().client.containers.get(f"{seeded.system}-{name}")
        for name in ("koji", "kojibuilder")
    )
    status, commit = execute(builder, "bash", "-ec", PULL)
    assert status == 0, commit
    hub.put_archive(SERVED, b"".join(builder.get_archive("/tmp/pull/.git/objects")[0]))
    main = url.partition("#")[2]
    refs = f"{main}\\trefs/heads/devel\\n{commit.strip()}\\trefs/pull/1/head\\n"
    assert execute(hub, "sh", "-c", f"printf '{refs}' >>{SERVED}/info/refs") == (0, "")
    return f"{url.partition('#')[0]}#{commit.strip()}"


def test_a_branch_is_built_by_its_name(seeded: Koji, hello: str, version: tuple[int, ...]) -> None:
    session = seeded.session()
    url = hello.partition("#")[0]
    fragments = {"devel": version >= (1, 31), "origin/devel": True}
    tasks = {name: session.build(f"{url}#{name}", "demo", {"scratch": True}) for name in fragments}
    built = {name: state(session, task) == "CLOSED" for name, task in tasks.items()}
    assert built == fragments


def test_a_pull_requests_commit_is_built(
    seeded: Koji, hello: str, version: tuple[int, ...]
) -> None:
    session = seeded.session()
    task = session.build(hello, "demo", {"scratch": True})
    assert (state(session, task) == "CLOSED") == (version >= (1, 31))


def test_a_draft_build_is_marked(seeded: Koji, version: tuple[int, ...], tmp_path: Path) -> None:
    """An older hub ignores the option."""
    session = seeded.session()
    tag = session.getBuildTarget("demo")["dest_tag_name"]
    session.packageListAdd(tag, "drafted", "kojiadmin")
    srpm = make_srpm(seeded, spec("drafted", ""), tmp_path)
    task = session.build(upload(session, srpm), "demo", {"draft": True})
    assert state(session, task) == "CLOSED"
    (build,) = session.listBuilds(taskID=task)
    assert bool(session.getBuild(build["build_id"]).get("draft")) == (version >= (1, 34))


def test_the_page_of_a_task_whose_tag_is_gone(seeded: Koji) -> None:
    session = seeded.session()
    session.createTag("gone", arches="x86_64")
    task = session.newRepo("gone")
    assert state(session, task) == "CLOSED"
    session.deleteTag("gone")
    web = seeded.description["urls"]["web"]
    for number in (task, *(child["id"] for child in session.getTaskChildren(task))):
        page = requests.get(
            f"{web}/taskinfo?taskID={number}", verify=seeded.description["ca"], timeout=30
        )
        assert page.status_code == 200
