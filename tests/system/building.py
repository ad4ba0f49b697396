"""Builds of the demo's packages, submitted and waited for as a client would."""

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import koji

from nagoya.config import loader
from nagoya.engine import connect
from nagoya.errors import NagoyaError
from nagoya.koji import habitude
from nagoya.koji.builds import upload, wait_for_repo
from nagoya.koji.hub import HubConnection
from nagoya.koji.importer import import_rpms
from nagoya.koji.imports import find_rpms
from nagoya.koji.profile import Profile
from nagoya.koji.seed import read_seed
from nagoya.koji.tasks import wait_for_task
from nagoya.koji.verify import Sources, demo_sources
from nagoya.system.system import System
from nagoya.utils.progress import Progress
from tests.image.koji_builder.buildroots import put
from tests.image.tracked import execute
from tests.system.conftest import Koji

SECONDS = 240
"""When a build of the demo's is given up, however busy the machine."""
LOSS_SECONDS = 400
"""When a step is given up that loses a builder, whose tasks another gets after 120 s."""


def system_of(site: Koji) -> System:
    """The same system as the host's library sees it."""
    declared = loader.read(loader.locate(site.config))
    return System(connect(), declared, site.system, Progress(quiet=True))


def hub_of(site: Koji) -> HubConnection:
    """The same hub as the host's library reaches it."""
    return HubConnection.of(system_of(site))


def hub_with_keys(folder: Path, address: str) -> HubConnection:
    """The hub at HOST:PORT of a Koji that toji does not keep; the folder has the authority's
    certificate and kojiadmin's key, as a profile names them."""
    urls = {
        name: f"https://{address}/{path}"
        for name, path in {"hub": "kojihub", "web": "koji", "files": "kojifiles"}.items()
    }
    profile = Profile("koji", folder, "koji", urls)
    profile.folder.mkdir(parents=True, exist_ok=True)
    for name in (profile.ca.name, "kojiadmin.pem"):
        (profile.folder / name).write_bytes((folder / name).read_bytes())
    return HubConnection(profile)


def sources(site: Koji, package: str) -> Sources:
    """A demo package's sources; the hub serves its git repository from now on."""
    return demo_sources(system_of(site), package)


def seed_demo(hub: HubConnection, checkout: Path, demo: Path) -> Path:
    """Seed a Koji that toji does not keep with the demo, from a copy of its folder in an image; the
    source RPM of hello."""
    seed = read_seed(checkout / "demo/seed.yml")
    habitude.apply(hub, seed.habitude)
    no_system = cast(System, None)  # no document names a container of it
    for document in seed.imports.values():
        names = tuple(Path(name).name for name in document.rpms)
        copied = document.model_copy(update={"container": None, "rpms": names})
        with find_rpms(no_system, copied, demo / "rpms", print) as selection:
            import_rpms(hub, hub.session(), copied, selection, print)
        wait_for_repo(hub, document.tag, document.builds)
    (source,) = demo.rglob("hello-1*.src.rpm")
    return source


def uploaded(session: koji.ClientSession, package: Sources, folder: Path) -> str:
    """Upload a source RPM; what a build task takes as its source."""
    return upload(session, package.write(folder))


def make_srpm(site: Koji, text: str, folder: Path) -> Path:
    """Make a source RPM in the builder's container, outside of a chroot."""
    name = text.split("Name:")[1].split(maxsplit=1)[0]
    builder = connect().client.containers.get(f"{site.system}-kojibuilder")
    put(builder, f"/tmp/{name}.spec", text)
    make = f"rpmbuild -bs --quiet --define '_srcrpmdir /tmp/{name}' /tmp/{name}.spec"
    status, output = execute(builder, "sh", "-c", f"{make} && base64 /tmp/{name}/*.src.rpm")
    assert status == 0, output
    path = folder / f"{name}-1-1.src.rpm"
    path.write_bytes(base64.b64decode(output))
    return path


def state(session: koji.ClientSession, task: int, seconds: float = SECONDS) -> str:
    """How a task ended: CLOSED, FAILED or CANCELED."""
    return str(koji.TASK_STATES[wait_for_task(session, task, seconds)["state"]])


def child(session: koji.ClientSession, task: int, method: str) -> dict[str, Any] | None:
    """A task's child of that method, once there is one."""
    return next(
        (subtask for subtask in session.getTaskChildren(task) if subtask["method"] == method),
        None,
    )


def host_of(session: koji.ClientSession, task: int) -> str:
    """The name of the host that has the RPM's part of a build; empty if none has."""
    part = child(session, task, "buildArch")
    host = part and session.getTaskInfo(part["id"])["host_id"]
    return str(session.getHost(host)["name"]) if host else ""


def keep_asking(question: Callable[[], object]) -> None:
    """Ask until the answer is true, although what answers may be away meanwhile."""
    deadline = time.monotonic() + LOSS_SECONDS
    while True:
        try:
            if question():
                return
        except (NagoyaError, koji.GenericError, OSError) as error:
            print(error)
        assert time.monotonic() < deadline
        time.sleep(1)
