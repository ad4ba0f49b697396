"""koji-hub's folders of builds and tasks, which nothing leads out of."""

from typing import Any

import koji
import pytest

from tests.image.running import Hub
from tests.image.tracked import execute
from util.certificates import Authority


def test_a_build_stays_in_its_folder(hub: Hub) -> None:
    """Koji would remove all of /mnt/koji when this build is made again after it has failed."""
    session = hub.login()
    for version, release in (("..", ".."), ("1", "../../hello/1/1"), ("1", "")):
        with pytest.raises(koji.GenericError, match="of a build is part of a path"):
            session.createEmptyBuild("climber", version, release, 0)
    assert session.listBuilds(pattern="climber-*") == []


@pytest.mark.parametrize(
    ("folder", "name"), [("etc", "passwd"), ("dev/shm/koji-hub", "kojiweb.pem")]
)
def test_a_tasks_output_is_below_its_folder(hub: Hub, folder: str, name: str) -> None:
    """Koji would answer with any file that it can read."""
    session = hub.session()
    number = f"%.0s../../../../../../{folder}"
    for call, arguments in (("downloadTaskOutput", [number, name]), ("listTaskOutput", [number])):
        with pytest.raises(koji.GenericError, match="is not the number of a task"):
            session.callMethod(call, *arguments)


def test_a_package_does_not_lead_a_build_out_of_its_folder(hub: Hub) -> None:
    """Koji removes a build that has failed before it is made again, and prefers the package's
    number to its name."""
    session = hub.login()
    session.createTag("packages")
    name = "../repos/packages"
    session.packageListAdd("packages", name, "kojiadmin")
    session.grantCGAccess("kojiadmin", "climbing", True)
    build = {"name": "hello", "pkg_id": session.getPackageID(name), "version": "1", "release": "1"}
    with pytest.raises(koji.GenericError, match="name of a build is part of a path"):
        session.CGInitBuild("climbing", build)


@pytest.fixture
def builder(hub: Hub) -> Any:
    """A session of a builder that somebody else has taken over."""
    session = hub.login()
    if not session.getHost("climber"):
        session.addHost("climber", ["noarch"])
    Authority.load(hub.credentials).issue("climber", client=True)
    session = hub.login("climber")
    session.exclusiveSession(force=True)
    return session


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ({"x86_64": ["../../../dev/shm/koji-hub", ["kojiweb.pem"]]}, "leads out of a folder"),
        ({"x86_64/toplink/packages": ["uploads", ["file"]]}, "leads out of a folder"),
        ({"x86_64": ["uploads", [".user"]]}, "is not a file that was uploaded"),
        ({"x86_64": [".", ["uploads"]]}, "is not a file that was uploaded"),
    ],
)
def test_a_builder_moves_what_it_has_uploaded(
    hub: Hub, builder: Any, results: dict[str, Any], reason: str
) -> None:
    """Koji would move a key to a repository, from where anybody could download it, and the mark
    that keeps others from writing to a user's folder."""
    session = hub.login()
    session.rawUpload(b"x", 0, "uploads", "file", overwrite=True)
    if not session.getTag("moved"):
        session.createTag("moved", arches="x86_64")
    repository, _ = builder.host.repoInit("moved")
    with pytest.raises(koji.GenericError, match=reason):
        builder.host.repoDone(repository, results)
    for path in ("/dev/shm/koji-hub/kojiweb.pem", "/mnt/koji/work/uploads/.user"):
        assert execute(hub.container, "test", "-f", path) == (0, "")


def test_a_builder_makes_folders_in_its_task_s_own(hub: Hub, builder: Any) -> None:
    session = hub.login()
    task = session.makeTask("sleep", [1], arch="noarch")
    session.assignTask(task, "climber", True)
    assert builder.host.openTask(task)
    with pytest.raises(koji.GenericError, match="leads out of a folder"):
        builder.host.moveBuildToScratch(task, "uploads/file", [], {"../../../packages/x": []})
    assert execute(hub.container, "test", "-e", "/mnt/koji/packages/x")[0] == 1
