"""Tasks that begin again, since their builder died at the end; and too many of one user."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import koji
import pytest

from tests.image.running import Hub
from tests.image.tracked import execute
from tests.rpm_files import write_rpm
from util.certificates import Authority

NAME = "repeater"


@dataclass
class Builder:
    """What a builder does on the hub, without the builds themselves."""

    admin: Any
    session: Any

    def begin(self, method: str, **options: Any) -> int:
        """A task that this builder works on."""
        task: int = self.admin.makeTask(method, [], **options)
        self.begin_again(task)
        return task

    def begin_again(self, task: int) -> None:
        """The builder died, the hub freed its task, and here it is again."""
        if self.admin.getTaskInfo(task)["state"] == koji.TASK_STATES["OPEN"]:
            self.admin.freeTask(task)
        self.admin.assignTask(task, NAME, force=True)
        assert self.session.host.openTask(task)

    def build(self, task: int, name: str) -> int:
        """The number of the build that a task makes."""
        build = {"name": name, "version": "1", "release": "1", "epoch": None, "task_id": task}
        number: int = self.session.host.initBuild(build)
        return number


@pytest.fixture
def builder(hub: Hub) -> Builder:
    admin = hub.login()
    if not admin.getHost(NAME):
        admin.addHost(NAME, ["noarch", "x86_64"])
        admin.createTag(NAME, arches="x86_64")
    Authority.load(hub.credentials).issue(NAME, client=True)
    session = hub.login(NAME)
    session.exclusiveSession(force=True)
    return Builder(admin, session)


@pytest.fixture
def upload(builder: Builder, tmp_path: Path) -> Callable[[str], tuple[str, str]]:
    """Uploads a source RPM and its RPM; their paths, as tasks name them."""

    def put(name: str) -> tuple[str, str]:
        paths = [write_rpm(tmp_path, name, arch=arch) for arch in ("src", "noarch")]
        for path in paths:
            builder.admin.rawUpload(path.read_bytes(), 0, name, path.name)
        source, binary = (f"{name}/{path.name}" for path in paths)
        return source, binary

    return put


def test_a_complete_build_is_tagged(
    builder: Builder, upload: Callable[[str], tuple[str, str]]
) -> None:
    source, binary = upload("complete")
    host = builder.session.host
    builder.admin.packageListAdd(NAME, "complete", "kojiadmin")
    task = builder.begin("build")
    number = builder.build(task, "complete")
    host.completeBuild(task, number, source, [binary])
    before = builder.admin.getBuild(number)
    assert before["state"] == koji.BUILD_STATES["COMPLETE"]

    builder.begin_again(task)
    assert builder.build(task, "complete") == number
    host.completeBuild(task, number, source, [binary])
    with pytest.raises(koji.GenericError, match="cannot update build"):
        host.failBuild(task, number)
    assert builder.admin.getBuild(number) == before
    assert len(builder.admin.listRPMs(number)) == 2

    tagging = host.subtask("tagBuild", [], task, label="tag")
    for _ in range(2):
        builder.begin_again(tagging)
        host.tagBuild(tagging, NAME, number)
    assert [build["id"] for build in builder.admin.listTagged(NAME)] == [number]


def test_another_task_is_refused_what_is_there(
    builder: Builder, upload: Callable[[str], tuple[str, str]]
) -> None:
    source, binary = upload("there")
    builder.admin.packageListAdd(NAME, "there", "kojiadmin")
    task = builder.begin("build")
    number = builder.build(task, "there")
    builder.session.host.completeBuild(task, number, source, [binary])
    builder.admin.tagBuildBypass(NAME, number)
    other = builder.begin("build")
    with pytest.raises(koji.GenericError, match="Build already exists"):
        builder.build(other, "there")
    with pytest.raises(koji.GenericError, match="is not of task"):
        builder.session.host.completeBuild(other, number, source, [binary])
    tagging = builder.begin("tagBuild")
    with pytest.raises(koji.TagError, match="already tagged"):
        builder.session.host.tagBuild(tagging, NAME, number)


def test_the_files_of_a_scratch_build_stay(
    hub: Hub, builder: Builder, upload: Callable[[str], tuple[str, str]]
) -> None:
    source, binary = upload("scratch")
    task = builder.begin("build")
    for _ in range(2):
        builder.begin_again(task)
        builder.session.host.moveBuildToScratch(task, source, [binary])
    for path in (source, binary):
        moved = f"/mnt/koji/scratch/kojiadmin/task_{task}/{Path(path).name}"
        assert execute(hub.container, "test", "-f", moved, "-a", "!", "-L", moved) == (0, "")
        assert execute(hub.container, "test", "-s", f"/mnt/koji/work/{path}") == (0, "")


def test_the_many_subtasks_of_a_chain_wait_for_the_few_of_others(builder: Builder) -> None:
    """One task of a user can have a thousand builds."""
    chain = builder.begin("chainbuild")
    priorities = []
    for _ in range(25):
        subtask = builder.session.host.subtask("build", [], chain)
        priorities.append(builder.admin.getTaskInfo(subtask)["priority"])
    usual = builder.admin.getTaskInfo(chain)["priority"]
    assert priorities == [*[usual - 1] * 10, *[usual] * 10, *[usual + 1] * 5]
    builder.admin.cancelTaskFull(chain)


def test_the_many_tasks_of_a_user_wait_for_the_few_of_others(hub: Hub) -> None:
    admin = hub.login()
    admin.createTag("crowd")
    admin.createBuildTarget("crowd", "crowd", "crowd")
    priorities = []
    for name, count in (("many", 25), ("few", 1)):
        admin.createUser(name)
        Authority.load(hub.credentials).issue(name, client=True)
        session = hub.login(name)
        tasks = [session.build("nothing.src.rpm", "crowd") for _ in range(count)]
        priorities.append([session.getTaskInfo(task)["priority"] for task in tasks])
        for task in tasks:
            session.cancelTask(task)
        again = session.build("nothing.src.rpm", "crowd", {}, 5)
        assert session.getTaskInfo(again)["priority"] == koji.PRIO_DEFAULT + 5
        session.cancelTask(again)
    usual = koji.PRIO_DEFAULT
    assert priorities == [[*[usual] * 10, *[usual + 1] * 10, *[usual + 2] * 5], [usual]]
