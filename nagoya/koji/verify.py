"""The proof that a system works: from its seed to RPMs, downloaded and checked."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nagoya.config.extends import shipped
from nagoya.engine import Handle, containers, transfer
from nagoya.engine.exec import execute
from nagoya.errors import LifecycleError
from nagoya.koji import rpm
from nagoya.koji.builds import build, wait_for_repo
from nagoya.koji.hub import HubConnection, koji_module
from nagoya.koji.profile import Profile
from nagoya.koji.seed import apply_seed, read_seed
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
"""The folder from which the hub serves the git repositories."""
_READY_SECONDS, _COPY_SECONDS = 180, 60


@dataclass(frozen=True)
class Built:
    """A verified build: its task, kojiweb's page of that, and the RPM that was checked."""

    task: int
    rpm: rpm.Rpm
    url: str


@dataclass(frozen=True)
class Sources:
    """A demo package's sources: its source RPM, and the git URL from which builders fetch it."""

    srpm_name: str
    srpm: bytes
    git: str

    def write(self, folder: Path) -> Path:
        """Write the source RPM into a folder; its path."""
        path = folder / self.srpm_name
        path.write_bytes(self.srpm)
        return path


def verify_builds(system: System) -> list[Built]:
    """Prove that a system builds: from a source RPM, and from git.

    Shows each step with the seconds that it took. Raises NagoyaError at the first that fails.
    """
    step = partial(_step, system.progress)
    with step("ready"):
        wait_and_snapshot(system, _READY_SECONDS)
    with step("log in"):
        hub = HubConnection.of(system)
        session = hub.session()
    with step("seed"):
        apply_seed(system, read_seed(shipped().parent / "demo" / "seed.yml"))
    with step("sources"):
        sources = demo_sources(system, PACKAGE)
    with step("repository"):
        wait_for_repo(hub, BUILD_TAG, [BUILDROOT])
    built = []
    with tempfile.TemporaryDirectory() as folder:
        with step("build from a source RPM") as show:
            source = sources.write(Path(folder))
            built.append(_build(hub, session, source, show))
        with step("build from git") as show:
            built.append(_build(hub, session, sources.git, show))
    return built


def demo_sources(system: System, package: str) -> Sources:
    """A demo package's sources, from the builder's image. The git repositories are copied to the
    hub, which serves them. Raises LifecycleError if the builder's image has no demo."""
    present = require_system(system.engine, system.name)
    labels = {containers.label(handle, DEMO_LABEL): handle for handle in present.values()}
    folder, builder = next((item for item in labels.items() if item[0]), (None, None))
    if folder is None or builder is None:
        raise LifecycleError(
            f"no container of '{system.name}' contains the demo's packages",
            f"build its images again; the builder's image has the label {DEMO_LABEL}",
        )
    listed = json.loads(transfer.read_file(builder, f"{folder}/sources.json"))[package]
    hub = Profile.load(system).hub
    _serve(present[hub], builder, f"{folder}/git")
    return Sources(
        Path(listed["srpm"]).name,
        transfer.read_file(builder, f"{folder}/{listed['srpm']}"),
        f"git+https://{hub}/demo/{listed['git']}#{listed['commit']}",
    )


def _serve(hub: Handle, builder: Handle, folder: str) -> None:
    """Copy the git repositories to the hub unless it has them."""
    command = ["sh", "-c", f"test -e {_SERVED}/complete && echo yes || mkdir -p {_SERVED}"]
    status, output = execute(hub, command, seconds=_COPY_SECONDS)
    if status:
        raise LifecycleError(f"the hub cannot make {_SERVED}: {output.strip()}")
    if not output.strip():
        transfer.write_files(hub, _SERVED, b"".join(transfer.read_chunks(builder, folder)))
        execute(hub, ["touch", f"{_SERVED}/complete"], seconds=_COPY_SECONDS)


def _build(
    hub: HubConnection, session: Any, source: str | Path, show: Callable[[str], None]
) -> Built:
    """Build the package, as a scratch build if the hub has it already, and check the RPM."""
    package = session.getPackageID(PACKAGE)
    complete = koji_module().BUILD_STATES["COMPLETE"]
    scratch = bool(package and session.listBuilds(packageID=package, state=complete))
    result = build(hub, TARGET, source, scratch=scratch, on_progress=show)
    (name,) = (name for name in result.rpms if not name.endswith(".src.rpm"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(hub.download(result.rpms[name]))
        header = rpm.read(path)
    if (f"{header.nvr}.{header.arch}.rpm", header.name, header.signed) != (name, PACKAGE, False):
        raise LifecycleError(f"{name} does not match its header: {header}")
    return Built(result.task, header, result.url)


@contextmanager
def _step(progress: Progress, name: str) -> Iterator[Callable[[str], None]]:
    """Show a step as working, with what its function gets, and then the time it took."""
    started = time.monotonic()
    progress.update(name, "working")
    try:
        yield lambda detail: progress.update(name, "working", detail)
    except BaseException:
        progress.update(name, "failed")
        raise
    progress.update(name, "done", f"{time.monotonic() - started:.1f} s")
