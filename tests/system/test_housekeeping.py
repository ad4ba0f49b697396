"""koji-gc and koji-sweep-db in a system in which time has passed."""

from collections.abc import Callable
from pathlib import Path

import koji
import pytest

from tests.system.building import child, sources, state
from tests.system.conftest import Koji

UNTAGGED, TAGGED = "demo-gcc-12-1", "demo-buildroot-12-1"


@pytest.fixture(scope="module")
def old(start: Callable[..., Koji], checkout: Path) -> Koji:
    """A seeded Koji."""
    site = start("old")
    site.toji("seed", str(checkout / "demo/seed.yml"))
    return site


def sql(site: Koji, statement: str) -> str:
    command = ["runuser", "-u", "postgres", "--", "psql", "koji", "-Atc", statement]
    return site.toji("exec", "kojidatabase", *command).stdout.strip()


def clean(site: Koji) -> None:
    site.toji("exec", "koji", "python3", "/usr/lib/nagoya/housekeeping.py")


def test_a_build_that_has_had_no_tag_for_long_goes(old: Koji) -> None:
    session = old.session()
    session.untagBuild("demo-build", UNTAGGED)

    def days_later(days: int) -> set[str]:
        """The builds in the trash can after a run so much later."""
        sql(old, f"UPDATE events SET time = time - interval '{days} days'")
        clean(old)
        return {build["nvr"] for build in session.listTagged("trashcan")}

    assert days_later(0) == set()
    assert days_later(6) == {UNTAGGED}
    assert days_later(7) == {UNTAGGED}
    assert session.getBuild(UNTAGGED)["state"] == koji.BUILD_STATES["COMPLETE"]
    assert days_later(28) == set()
    assert session.getBuild(UNTAGGED)["state"] == koji.BUILD_STATES["DELETED"]
    assert [build["nvr"] for build in session.listTagged("demo-build")] == [TAGGED]
    rpms = old.toji("exec", "koji", "find", "/mnt/koji/packages", "-name", "*.rpm").stdout.split()
    assert [Path(name).name for name in rpms] == [f"{TAGGED}.x86_64.rpm"]


def test_a_session_that_nobody_uses_goes(old: Koji) -> None:
    stays, goes = (old.session() for _ in range(2))
    number = goes.sinfo["session-id"]
    sql(old, f"UPDATE sessions SET update_time = now() - interval '2 days' WHERE id = {number}")
    assert sql(old, f"SELECT count(*) FROM sessions WHERE id = {number}") == "1"
    clean(old)
    assert sql(old, f"SELECT count(*) FROM sessions WHERE id = {number}") == "0"
    assert stays.getLoggedInUser()["name"] == "kojiadmin"
    old.toji("wait")


def test_a_site_lets_scratch_builds_go(old: Koji, tmp_path: Path) -> None:
    """With the file of docs/reliability.md: their tasks after a year, then their buildroots."""
    session = old.session()
    old.client("regen-repo", "--wait", "demo-build")
    build = session.build(sources(old, "greeting").git, "demo", {"scratch": True})
    assert state(session, build) == "CLOSED"
    (buildroot,) = session.listBuildroots(taskID=child(session, build, "buildArch")["id"])
    options = "scratch-builds = true\nscratch-builds-age = 365\nbuildroots = true\nforce = true\n"
    path = tmp_path / "site.conf"
    path.write_text(f"[sweep-db]\n{options}")
    old.run("docker", "cp", str(path),
            f"{old.system}-koji:/etc/koji-sweep-db/koji-sweep-db.conf.d/site.conf")  # fmt: skip
    old.toji("restart", "koji")
    clean(old)
    assert session.getTaskInfo(build) is not None
    year = "completion_time = completion_time - interval '366 days'"
    sql(old, f"UPDATE task SET {year} WHERE id = {build}")
    clean(old)
    assert session.getTaskInfo(build) is None
    assert session.getBuildroot(buildroot["id"], strict=False) is None
