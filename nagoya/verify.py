"""The proof that a system works: from its seed to an RPM, downloaded and checked."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nagoya import rpmfile, seed
from nagoya.engine import containers
from nagoya.errors import LifecycleError, NotReady
from nagoya.hub import Access, family, finished, library
from nagoya.readiness import wait
from nagoya.system import System, found

SEED = Path(__file__).resolve().parent.parent / "demo" / "seed.yml"
TARGET, BUILD_TAG = "demo", "demo-build"
BUILDROOT = "demo-buildroot-12-1"
PACKAGE = "hello"

_SOURCES = ["python3", "/usr/lib/nagoya/demo/sources.py"]
_MADE = "/var/tmp/nagoya-demo"
_SERVED = "/mnt/koji/demo"
_READY_SECONDS, _REPO_SECONDS, _BUILD_SECONDS = 180, 300, 600


@dataclass(frozen=True)
class Built:
    """A build that was verified: the task that made it, and the RPM that came of it."""

    task: int
    rpm: rpmfile.Rpm
    url: str


def verify(system: System) -> list[Built]:
    """Prove a system; each step is told with the time it took. Raises NagoyaError at the first
    that does not hold."""
    step = _steps(system)
    with step("ready"):
        wait(system, _READY_SECONDS)
    access = Access.to(system.name)
    with step("log in"):
        session = access.session()
    with step("seed"):
        seed.apply(system, seed.read(SEED))
    with step("sources"):
        sources = make_sources(system, PACKAGE)
    with step("repository"):
        wait_for_repository(session, BUILD_TAG, BUILDROOT)
    built = []
    with tempfile.TemporaryDirectory() as folder:
        with step("build from a source RPM"):
            source = _upload(session, sources, Path(folder))
            built.append(_built(access, session, source, Path(folder)))
        with step("build from git"):
            built.append(_built(access, session, sources.git, Path(folder)))
    return built


@dataclass(frozen=True)
class Sources:
    """A demo package's sources: its source RPM, and the git URL as builders fetch it."""

    srpm_name: str
    srpm: bytes
    git: str


def make_sources(system: System, package: str) -> Sources:
    """Have a builder make a demo package's sources, and the hub serve its repository."""
    there = found(system.engine, system.name)
    builder = next(
        (one for one in there.values() if containers.label(one, "nagoya.image") == "koji-builder"),
        None,
    )
    if builder is None:
        raise LifecycleError("the system has no builder", "toji scale kojibuilder=1")
    status, said = containers.execute(builder, [*_SOURCES, _MADE, package])
    if status:
        raise LifecycleError(f"the sources of {package} could not be made:\n{said}")
    made = json.loads(said)[package]
    hub = there[seed.HUB]
    containers.execute(hub, ["mkdir", "-p", _SERVED])
    containers.write_files(hub, _SERVED, containers.read_folder(builder, f"{_MADE}/git"))
    return Sources(
        Path(made["srpm"]).name,
        containers.read_file(builder, f"{_MADE}/{made['srpm']}"),
        f"git+https://koji/kojifiles/demo/{made['git']}#{made['commit']}",
    )


def wait_for_repository(session: Any, tag: str, build: str) -> None:
    """Wait until a tag has a repository that holds a build; kojira makes it by itself."""
    koji = library()
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


def _steps(system: System) -> Callable[[str], Any]:
    begun = time.monotonic()

    @contextmanager
    def step(name: str) -> Iterator[None]:
        since = time.monotonic()
        yield
        now = time.monotonic()
        system.board.say(f"{name:24} {now - since:6.1f} s  (at {now - begun:.1f} s)")

    return step


def _upload(session: Any, sources: Sources, folder: Path) -> str:
    path = folder / sources.srpm_name
    path.write_bytes(sources.srpm)
    place = f"nagoya-verify/{time.time_ns()}"
    session.uploadWrapper(str(path), place)
    return f"{place}/{sources.srpm_name}"


def _built(access: Access, session: Any, source: str, folder: Path) -> Built:
    """Build it, as a scratch build where it was built before, and check the RPM."""
    koji = library()
    nvr = f"{PACKAGE}-1.0-1"
    before = session.getBuild(nvr)
    scratch = before is not None and before["state"] == koji.BUILD_STATES["COMPLETE"]
    task = session.build(source, TARGET, {"scratch": scratch})
    ended = finished(session, task, _BUILD_SECONDS)
    if ended["state"] != koji.TASK_STATES["CLOSED"]:
        raise LifecycleError(
            f"the build of {source} (task {task}) is {koji.TASK_STATES[ended['state']]}",
            f"toji logs --task {task}",
        )
    (arch,) = (one["id"] for one in family(session, task) if one["method"] == "buildArch")
    (name,) = (
        name
        for name in session.listTaskOutput(arch)
        if name.endswith(".rpm") and not name.endswith(".src.rpm")
    )
    path = folder / name
    if scratch:
        path.write_bytes(session.downloadTaskOutput(arch, name))
    else:
        place = koji.PathInfo(access.urls["files"])
        info = session.getBuild(nvr)
        path.write_bytes(
            access.download(f"{place.build(info)}/{koji.parse_NVRA(name)['arch']}/{name}")
        )
    rpm = rpmfile.read(path)
    if (rpm.nvr, rpm.signed) != (nvr, False):
        raise LifecycleError(f"{name} says that it is {rpm}, not {nvr}, unsigned")
    return Built(task, rpm, f"{access.urls['web']}/taskinfo?taskID={task}")
