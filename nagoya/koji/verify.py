"""The proof that a system works: from its seed to an RPM, downloaded and checked."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nagoya.config.extends import shipped
from nagoya.engine import containers
from nagoya.errors import LifecycleError, NotReady
from nagoya.koji import rpm, seed
from nagoya.koji.hub import HubConnection, koji_module, task_tree, wait_for_task
from nagoya.system.snapshots import wait_and_snapshot
from nagoya.system.system import System, require_system
from nagoya.utils.progress import Progress

TARGET, BUILD_TAG = "demo", "demo-build"
BUILDROOT = "demo-buildroot-12-1"
PACKAGE = "hello"

DEMO_LABEL = "nagoya.demo"
"""On the builder's image: the folder in it with the demo's RPMs, source RPMs and git repositories,
and sources.json."""
_SERVED = "/mnt/koji/demo"
"""Where the hub serves the git repositories from."""
_READY_SECONDS, _REPO_SECONDS, _BUILD_SECONDS = 180, 300, 600


@dataclass(frozen=True)
class Built:
    """A build that was verified: the task that made it, and the RPM that came of it."""

    task: int
    rpm: rpm.Rpm
    url: str


def verify_builds(system: System) -> list[Built]:
    """Prove a system; each step is told with the time it took. Raises NagoyaError at the first
    that does not hold."""
    step = _steps(system.progress)
    with step("ready"):
        wait_and_snapshot(system, _READY_SECONDS)
    access = HubConnection.to(system.name, system.owner.home)
    with step("log in"):
        session = access.session()
    with step("seed"):
        seed.apply_seed(system, seed.read_seed(shipped().parent / "demo" / "seed.yml"))
    with step("sources"):
        sources = demo_sources(system, PACKAGE)
    with step("repository"):
        wait_for_repository(session, BUILD_TAG, BUILDROOT)
    built = []
    with tempfile.TemporaryDirectory() as folder:
        with step("build from a source RPM") as tell:
            source = _upload(session, sources, Path(folder))
            built.append(_built(access, session, source, Path(folder), tell))
        with step("build from git") as tell:
            built.append(_built(access, session, sources.git, Path(folder), tell))
    return built


@dataclass(frozen=True)
class Sources:
    """A demo package's sources: its source RPM, and the git URL as builders fetch it."""

    srpm_name: str
    srpm: bytes
    git: str


def demo_sources(system: System, package: str) -> Sources:
    """A demo package's sources out of the builder's image; the hub is made to serve them by git."""
    there = require_system(system.engine, system.name)
    # By a label of the Dockerfile's, which an image has whoever built it or stands on it.
    folders = [(containers.label(one, DEMO_LABEL), one) for one in there.values()]
    folder, builder = next(((label, one) for label, one in folders if label), (None, None))
    if builder is None:
        raise LifecycleError("the system has no builder", "toji scale kojibuilder=1")
    made = json.loads(containers.read_file(builder, f"{folder}/sources.json"))[package]
    hub = there[seed.HUB]
    if containers.execute(hub, ["test", "-d", f"{_SERVED}/git"], seconds=60)[0]:
        containers.execute(hub, ["mkdir", "-p", _SERVED], seconds=60)
        containers.write_files(hub, _SERVED, containers.read_folder(builder, f"{folder}/git"))
    return Sources(
        Path(made["srpm"]).name,
        containers.read_file(builder, f"{folder}/{made['srpm']}"),
        f"git+https://koji/kojifiles/demo/{made['git']}#{made['commit']}",
    )


def wait_for_repository(session: Any, tag: str, build: str) -> None:
    """Wait until a tag has a repository that holds a build; kojira makes it by itself."""
    koji = koji_module()
    deadline = time.monotonic() + _REPO_SECONDS
    wanted = koji.parse_NVR(build)
    while time.monotonic() < deadline:
        repo = session.getRepo(tag)
        if repo and koji.util.checkForBuilds(session, tag, [wanted], repo["create_event"]):
            return
        time.sleep(0.5)
    raise NotReady(
        f"no repository of {tag} held {build} after {_REPO_SECONDS} s",
        "kojira makes it: `toji logs koji`; a builder in the channel createrepo does the work",
    )


def _steps(progress: Progress) -> Callable[[str], Any]:
    """What tells of each step as it goes on, and in the end the seconds that it took."""

    @contextmanager
    def step(name: str) -> Iterator[Callable[[str], None]]:
        begun = time.monotonic()
        progress.update(name, "working")
        try:
            yield lambda detail: progress.update(name, "working", detail)
        except BaseException:
            progress.update(name, "failed")
            raise
        progress.update(name, "done", f"{time.monotonic() - begun:.1f} s")

    return step


def _upload(session: Any, sources: Sources, folder: Path) -> str:
    path = folder / sources.srpm_name
    path.write_bytes(sources.srpm)
    place = f"nagoya-verify/{time.time_ns()}"
    session.uploadWrapper(str(path), place)
    return f"{place}/{sources.srpm_name}"


def _built(
    access: HubConnection, session: Any, source: str, folder: Path, tell: Callable[[str], None]
) -> Built:
    """Build it, as a scratch build where it was built before, and check the RPM."""
    koji = koji_module()
    complete = koji.BUILD_STATES["COMPLETE"]
    package = session.getPackageID(PACKAGE)
    scratch = bool(package and session.listBuilds(packageID=package, state=complete))
    task = session.build(source, TARGET, {"scratch": scratch})
    ended = wait_for_task(session, task, _BUILD_SECONDS, tell)
    if ended["state"] != koji.TASK_STATES["CLOSED"]:
        raise LifecycleError(
            f"the build of {source} (task {task}) is {koji.TASK_STATES[ended['state']]}",
            f"toji logs --task {task}",
        )
    (arch,) = (one["id"] for one in task_tree(session, task) if one["method"] == "buildArch")
    (name,) = (
        name
        for name in session.listTaskOutput(arch)
        if name.endswith(".rpm") and not name.endswith(".src.rpm")
    )
    path = folder / name
    if scratch:
        path.write_bytes(session.downloadTaskOutput(arch, name))
    else:
        (build,) = session.listBuilds(taskID=task)
        served = koji.PathInfo(access.urls["files"])
        path.write_bytes(
            access.download(f"{served.build(build)}/{served.rpm(koji.parse_NVRA(name))}")
        )
    header = rpm.read(path)
    if (f"{header.nvr}.{header.arch}.rpm", header.name, header.signed) != (name, PACKAGE, False):
        raise LifecycleError(f"{name} says of itself that it is {header}")
    return Built(task, header, f"{access.urls['web']}/taskinfo?taskID={task}")
