"""Imports of RPMs into a hub: several at once, and then one change of the tag."""

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

from nagoya.errors import LifecycleError
from nagoya.koji.builds import upload
from nagoya.koji.hub import HubConnection, hub_errors, koji_module
from nagoya.koji.import_plan import BuildPlan, ImportPlan, objection, plan_import
from nagoya.koji.imports import Import, Selection, some
from nagoya.koji.repository import Unreachable
from nagoya.utils.parallel import run_graph

_WORKERS = 4
_CALLS = 1000
"""In one request."""


@dataclass(frozen=True)
class Outcome:
    """What an import changed, and why the hub does not have some of the RPMs, a line each."""

    rpms: int
    tagged: int
    refused: tuple[str, ...]


def has_builds(session: Any, document: Import) -> bool:
    """Whether the tag has all builds that a document names, so that nothing is to be imported."""
    return bool(
        document.builds
        and session.getTag(document.tag)
        and set(document.builds) <= _tagged(session, document.tag)
    )


def import_rpms(
    hub: HubConnection,
    session: Any,
    document: Import,
    selection: Selection,
    on_progress: Callable[[str], None],
) -> Outcome:
    """Import RPMs, and tag the builds of which none was refused. What the hub has is left
    unchanged. `on_progress` gets `3/500 NAME`.

    Raises LifecycleError if the tag does not list a package, and if the hub or the repository can
    no longer be reached.
    """
    version = session.getKojiVersion()
    plan = _plan(session, selection, version)
    missing = _missing_packages(session, document, plan)
    imported = _Run(plan, version, on_progress).start(hub)
    complete = [build for build in plan.builds if build.nvr not in plan.incomplete]
    with session.multicall(strict=True, batch=_CALLS) as calls:
        for package in sorted(missing & {build.package for build in complete}):
            calls.packageListAdd(document.tag, package, document.owner)
    tagged = _tagged(session, document.tag)
    new = [build.nvr for build in complete if build.nvr not in tagged]
    if new:
        on_progress(f"tagging {len(new)} builds")
    with session.multicall(batch=_CALLS) as calls:
        results = {nvr: calls.tagBuildBypass(document.tag, nvr) for nvr in new}
    untagged = []
    for nvr, result in results.items():
        try:
            _ = result.result
        except Exception as error:
            untagged.append(f"{nvr} cannot be tagged: {_reason(error)}")
    refused = (*selection.unreadable, *plan.refused, *untagged)
    return Outcome(imported, len(new) - len(untagged), refused)


def _plan(session: Any, selection: Selection, version: str) -> ImportPlan:
    headers = [candidate.header for candidate in selection.candidates]
    # The hub fails at a name that is none.
    possible = [header for header in headers if not objection(header, version)]
    nvrs = dict.fromkeys(header.build_nvr for header in possible)
    names = {header.file_name: header for header in possible}
    fields = ("name", "version", "release", "arch")
    with session.multicall(strict=True, batch=_CALLS) as calls:
        on_hub = {nvr: calls.getBuild(nvr) for nvr in nvrs}
        rpms = {
            name: calls.getRPM({field: getattr(header, field) for field in fields})
            for name, header in names.items()
        }
    plan = plan_import(
        selection.candidates,
        {nvr: call.result for nvr, call in on_hub.items()},
        {name: call.result for name, call in rpms.items()},
        version,
    )
    plan.incomplete |= selection.incomplete
    return plan


def _missing_packages(session: Any, document: Import, plan: ImportPlan) -> set[str]:
    """The packages that the tag does not list, which hides their builds."""
    listed = session.listPackages(document.tag, inherited=True)
    blocked = {package["package_name"] for package in listed if package["blocked"]}
    wanted = {build.package for build in plan.builds if build.nvr not in plan.incomplete}
    if wanted & blocked:
        raise LifecycleError(
            f"the tag {document.tag} blocks packages of this import: {some(wanted & blocked)}",
            "nothing was imported; `koji unblock-pkg` unblocks them",
        )
    missing = wanted - {package["package_name"] for package in listed}
    if missing and not document.owner:
        raise LifecycleError(
            f"the tag {document.tag} does not list packages of this import: {some(missing)}",
            "nothing was imported; add `owner: USER` to the document, and they are listed with "
            "that owner, or list them in the tag's document",
        )
    return missing


@dataclass
class _Run:
    """Several builds' imports at once. A failure that is no refusal stops all of them."""

    plan: ImportPlan
    version: str
    on_progress: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)

    def start(self, hub: HubConnection) -> int:
        """Import what the plan says; the number of RPMs."""
        builds = {build.nvr: build for build in self.plan.builds if build.rpms}
        numbers, total = count(1), sum(len(build.rpms) for build in builds.values())
        sessions: SimpleQueue[Any] = SimpleQueue()
        for _ in range(min(_WORKERS, len(builds))):
            sessions.put(hub.session())
        imported = []

        def work(nvr: str) -> None:
            session = sessions.get()
            try:
                with hub_errors():
                    imported.append(self._build(session, builds[nvr], show))
            except BaseException:
                self.stop.set()
                raise
            finally:
                sessions.put(session)

        def show(label: str) -> None:
            self.on_progress(f"{next(numbers)}/{total} {label}")

        # The builds of a package wait for each other: the hub cannot create it twice at once.
        graph: dict[str, tuple[str, ...]] = {}
        last: dict[str, str] = {}
        for nvr, build in builds.items():
            graph[nvr] = (last[build.package],) if build.package in last else ()
            last[build.package] = nvr
        results = run_graph(graph, work, workers=_WORKERS, stop=self.stop)
        for result in results.values():
            if result.error:
                raise result.error
        return sum(imported)

    def _build(self, session: Any, build: BuildPlan, show: Callable[[str], None]) -> int:
        """Import the RPMs of a build; how many. A build that gets none is not left behind."""
        imported = 0
        with tempfile.TemporaryDirectory() as folder, _Creation(session, build) as creation:
            for candidate in build.rpms:
                if self.stop.is_set():
                    break
                show(candidate.label)
                try:
                    path, header = candidate.fetch(Path(folder))
                except Unreachable:
                    raise
                except LifecycleError as error:
                    self.plan.refused.append(error.message)
                    self.plan.incomplete.add(build.nvr)
                    continue
                if reason := objection(header, self.version):
                    self.plan.refuse(candidate, reason)
                    continue
                try:
                    uploaded = upload(session, path, header.file_name)
                    creation.import_rpm(uploaded.rpartition("/")[0], header.file_name)
                    imported += 1
                except Exception as error:
                    self.plan.refuse(candidate, f"was refused by the hub: {_reason(error)}")
                if path.is_relative_to(folder):
                    path.unlink()
        return imported


@dataclass
class _Creation:
    """Creates a build on the hub, if it has to, with the first RPM. A context, at whose end a build
    that got none is reset."""

    session: Any
    build: BuildPlan
    exists: bool = field(init=False)
    is_empty: bool = False

    def __post_init__(self) -> None:
        self.exists = self.build.state == "COMPLETE"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.is_empty:
            self.session.resetBuild(self.build.nvr)

    def import_rpm(self, folder: str, name: str) -> None:
        """Import an upload. Raises what the client raises."""
        creation = (*self.build.nvr.rsplit("-", 2), self.build.epoch)
        if self.exists:
            self.session.importRPM(folder, name)
        elif self.build.state:
            # It failed, or was cancelled, and an RPM must not get into it if it cannot be created.
            self.session.createEmptyBuild(*creation)
            self.exists = self.is_empty = True
            self.session.importRPM(folder, name)
        else:
            # In one transaction: an interruption leaves no empty build.
            with self.session.multicall() as calls:
                created, imported = calls.createEmptyBuild(*creation), calls.importRPM(folder, name)
            _ = created.result
            self.exists = self.is_empty = True
            _ = imported.result
        self.is_empty = False


def _reason(error: Exception) -> str:
    """Why the hub refused something. Another error, such as of the network, is raised."""
    koji = koji_module()
    lost = isinstance(error, (koji.AuthError, koji.ServerOffline))
    if lost or not isinstance(error, (koji.GenericError, koji.xmlrpcplus.Fault)):
        raise error
    return str(getattr(error, "faultString", error))


def _tagged(session: Any, tag: str) -> set[str]:
    return {build["nvr"] for build in session.listTagged(tag)}
