"""Builds and repositories, for programs that test against a Koji.

hub = HubConnection.of(system)
result = build(hub, "demo", Path("hello-1.0-1.src.rpm"))
wait_for_repo(hub, "demo-build", [result.nvr])
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nagoya.errors import LifecycleError, NotReady
from nagoya.koji.hub import HubConnection, hub_errors, koji_module
from nagoya.koji.tasks import failure_text, task_tree, wait_for_task

_PAUSE = 0.5


class TaskFailed(LifecycleError):
    """A task was cancelled, or failed: then the message ends with its logs' last lines."""

    def __init__(self, task: int, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.task = task


@dataclass(frozen=True)
class Build:
    """A build that succeeded.

    `url` is the task's page in kojiweb; `rpms` maps each RPM's file name, the source RPM's too, to
    the URL that serves it. A scratch build has an `nvr` like any other, but no build of that name
    is on the hub.
    """

    task: int
    nvr: str
    scratch: bool
    url: str
    rpms: Mapping[str, str]


def build(
    hub: HubConnection,
    target: str,
    source: str | Path,
    *,
    scratch: bool = False,
    seconds: float = 600,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Build:
    """Build a source RPM on this machine (a Path) or in an SCM (a URL, as builders reach it), and
    wait for its end. Raises TaskFailed, and NotReady after `seconds`."""
    koji, session = koji_module(), hub.session()
    with hub_errors():
        if isinstance(source, Path):
            source = upload(session, source)
        task = session.build(source, target, {"scratch": scratch})
        state = koji.TASK_STATES[wait_for_task(session, task, seconds, on_progress)["state"]]
        if state != "CLOSED":
            reason = f":\n{failure_text(session, task)}" if state == "FAILED" else ""
            raise TaskFailed(
                task,
                f"the build of {source} (task {task}) is {state}{reason}",
                f"toji logs --task {task}",
            )
        return _result(hub, session, task, scratch=scratch)


def wait_for_repo(
    hub: HubConnection, tag: str, builds: Sequence[str] = (), *, seconds: float = 300
) -> dict[str, Any]:
    """Wait until a tag's repository holds some builds, given by NVR, or for none all that the tag
    has now. Hubs from Koji 1.35 on are asked for it; before, kojira makes it by itself. Returns
    `getRepo`'s record. Raises NotReady."""
    session, checked = hub.session(), None
    deadline = time.monotonic() + seconds
    with hub_errors():
        wanted = set(builds) or _tagged(session, tag, latest=True)
        on_request = "repo.request" in session.system.listMethods()
        while True:
            if on_request:
                # Where the repository exists or is being made, this has no effect.
                session.repo.request(tag, min_event="last")
            repo: dict[str, Any] | None = session.getRepo(tag)
            if repo and repo["id"] != checked:
                if wanted <= _tagged(session, tag, event=repo["create_event"]):
                    return repo
                checked = repo["id"]
            if time.monotonic() > deadline:
                names = ", ".join(builds) or "all of its builds"
                raise NotReady(
                    f"no repository of {tag} contained {names} within {seconds:.0f} s",
                    "see kojira's messages in `toji logs koji`, and check that a builder of the "
                    "channel createrepo is ready",
                )
            time.sleep(_PAUSE)


def upload(session: Any, path: Path, name: str | None = None) -> str:
    """Upload a file to a new folder, maybe by another name; its path on the hub, as a build task
    takes it."""
    folder, name = f"nagoya/{secrets.token_hex(8)}", name or path.name
    session.uploadWrapper(str(path), folder, name)
    return f"{folder}/{name}"


def _tagged(session: Any, tag: str, **options: Any) -> set[str]:
    return {build["nvr"] for build in session.listTagged(tag, inherit=True, **options)}


def _result(hub: HubConnection, session: Any, task: int, *, scratch: bool) -> Build:
    koji = koji_module()
    served = koji.PathInfo(hub.profile.urls["files"])
    rpms = {
        name: f"{served.task(info['id'])}/{name}"
        for info in task_tree(session, task)
        if info["method"] == "buildArch"
        for name in session.listTaskOutput(info["id"])
        if name.endswith(".rpm")
    }
    source = koji.parse_NVRA(next(name for name in rpms if name.endswith(".src.rpm")))
    nvr = f"{source['name']}-{source['version']}-{source['release']}"
    if not scratch:
        folder = served.build(session.getBuild(nvr))
        rpms = {name: f"{folder}/{served.rpm(koji.parse_NVRA(name))}" for name in rpms}
    return Build(task, nvr, scratch, f"{hub.profile.urls['web']}/taskinfo?taskID={task}", rpms)
