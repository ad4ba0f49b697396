"""Plans that make a system what the declaration says: init, up, scale. Pure, as `plan` is."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from nagoya.config.declaration import Declaration
from nagoya.config.extends import option
from nagoya.config.model import Container
from nagoya.engine.state import State
from nagoya.errors import LifecycleError
from nagoya.system.observed import (
    CONFIG_LABEL,
    ObservedSystem,
    conflicts,
    data_paths,
    declared_volumes,
    differences,
    losses,
    lost,
    volumes_of,
)
from nagoya.system.plan import INTERRUPTED_UP, Draft, Plan

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


def init(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Create what is missing and start what is stopped; say what differs, and leave it alone."""
    check(declaration, observed)
    draft = Reconciliation(declaration, observed)
    draft.bring_up(draft.members(), {})
    return draft.plan("start", [*losses(declaration, observed), *_drift(declaration, observed)])


def up(declaration: Declaration, observed: ObservedSystem, recreate: Collection[str] = ()) -> Plan:
    """The same, but what differs is created again, on the ports and volumes that it had.

    A container that keeps data outside of volumes is left alone unless `recreate` names it; its
    data is copied then. Raises LifecycleError where that cannot be.
    """
    check(declaration, observed)
    draft = Reconciliation(declaration, observed)
    causes, holders = draft.outdated(recreate)
    for name in reversed(causes):  # as long as the hub answers
        draft.drain(observed.containers[name], causes[name])
    draft.bring_up(draft.members(), causes)
    notices = [
        f"{name} was not recreated ({phrases}), because it holds data; `toji --system "
        f"{observed.name} up --recreate {name}` recreates it with a copy of the data"
        for name, phrases in holders.items()
    ]
    wanted = draft.plan("start", [*losses(declaration, observed), *notices])
    recorded = observed.config_file
    if recorded not in (None, declaration.path) and not any(
        operation.verb in ("create", "create replacement") for operation in wanted.operations
    ):
        notice = (
            f"nothing was recreated, so '{observed.name}' still records {recorded} as its file: "
            f"use -c each time, or `--recreate` a container"
        )
        return replace(wanted, notices=(*wanted.notices, notice))
    return wanted


def scale(declaration: Declaration, observed: ObservedSystem, name: str, count: int) -> Plan:
    """Make the copies of a declared container `count`; the last ones are drained and removed."""
    if name not in declaration.containers:
        raise LifecycleError(
            f"{declaration.path} declares no container '{name}'",
            f"it declares {', '.join(declaration.containers)}",
        )
    users = [user for user, other in declaration.containers.items() if name in other.needs]
    if users and count > 1:
        raise LifecycleError(
            f"'{name}' cannot run more than once: {', '.join(users)} would not find the copies",
            "scale a container that no other one needs, such as a builder",
        )
    wanted = [name if number == 1 else f"{name}-{number}" for number in range(1, count + 1)]
    draft = Reconciliation(declaration, observed, dict.fromkeys(wanted, name))
    surplus = [s for s in draft.present() if s.declared == name and s.name not in wanted]
    holders = [state.name for state in surplus if data_paths(state.labels)]
    if holders or (users and count == 0):
        reason = f"other containers need it: {', '.join(users)}" if users else "it keeps data"
        raise LifecycleError(
            f"'{name}' cannot be removed, since {reason}",
            f"`toji --system {observed.name} stop` stops the system and keeps its data",
        )
    check(declaration, observed)
    for state in reversed(surplus):
        draft.drain(state, cause := f"{count} wanted")
        draft.stop(state, cause)
        draft.add("remove", state.name, cause)
    draft.bring_up(wanted, {})
    return draft.plan("scale", _drift(declaration, observed))


def check(declaration: Declaration, observed: ObservedSystem) -> None:
    """Raise LifecycleError where containers hold volumes that do not belong together."""
    if sentences := conflicts(observed, declaration):
        reasons = "".join(f"\n  {sentence}" for sentence in sentences)
        raise LifecycleError(
            f"the parts of '{observed.name}' do not belong together:{reasons}",
            f"`toji --system {observed.name} remove`, then `up`, makes it again from nothing; "
            "save what you need with `docker cp` first",
        )


class Reconciliation(Draft):
    """A draft that knows how containers are created and replaced."""

    def members(self) -> list[str]:
        """All declared containers and their copies, dependencies first."""
        return [name for name in self.ordered() if self.settings(name)]

    def wanted(self, name: str) -> Container:
        return self.declaration.containers[self.declared[name]]

    def outdated(self, recreate: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The containers to create again, each with the cause; and those left alone as they hold
        data."""
        members, present = self.members(), self.observed.containers
        for name in recreate:
            if name not in members or name not in present:
                raise LifecycleError(
                    f"'{self.observed.name}' has no container '{name}'",
                    f"it has {', '.join(n for n in members if n in present)}",
                )
        changed = differences(self.observed, self.declaration)
        causes: dict[str, str] = {}
        holders: dict[str, str] = {}
        for name in members:
            if name not in present:
                continue
            phrases = changed.get(name, ["--recreate"] if name in recreate else [])
            phrases += self._moved(present[name], causes)
            if phrases and self._data(present[name]) and name not in recreate:
                holders[name] = ", ".join(phrases)
            elif phrases:
                causes[name] = ", ".join(phrases)
                self._check_data(present[name])
        return causes, holders

    def bring_up(self, members: Collection[str], recreate: Mapping[str, str]) -> None:
        """Add what creates, replaces and starts containers; `members` is in order."""
        self.check_images(
            name
            for name in members
            if name in recreate
            or not (name in self.observed.containers or name in self.observed.replacements)
        )
        for name in members:
            needs = self.after(self.needs(name))
            state = self.observed.containers.get(name)
            replacement = self.observed.replacements.get(name)
            self.call("pre_init", name, needs)
            if replacement and state:
                self.add("remove replacement", name, INTERRUPTED_UP, needs)
            if replacement and not state:
                cause = "`toji up` was interrupted before it was renamed"
                self.add("keep replacement", name, cause, needs)
                self.start(replacement, needs)
            elif state is None:
                self._create(name, needs)
            elif name in recreate:
                self._replace(state, recreate[name], needs)
            else:
                self.start(state, needs, volumes=self._volumes(name, state))
            self.call("post_init", name, needs)

    def _create(self, name: str, needs: Iterable[str]) -> None:
        volumes = self._volumes(name)
        remains = [volume for volume in volumes.values() if volume in self.observed.volumes]
        cause = f"missing; its data is in {', '.join(remains)}" if remains else "missing"
        before = [*needs, *self._prerequisites(name, volumes)]
        if name in lost(self.declaration, self.observed):
            # They have sessions and numbers that the new one does not know.
            for user in reversed(self._users(name)):
                self.stop(user, f"{name} was lost", self.after_dependents(user.name))
        self.add("create", name, cause, before, volumes=volumes)
        self.add("start", name, "created", volumes=volumes)

    def _users(self, name: str) -> list[State]:
        """The container itself, and all that need it, directly or not."""
        names = {name}
        for state in self.present():
            if names.intersection(self.needs(state.name)):
                names.add(state.name)
        return [state for state in self.present() if state.name in names]

    def create_beside(self, name: str, cause: str, needs: Iterable[str] = ()) -> dict[str, str]:
        """Add what creates a container beside the one whose ports and volumes it gets, if there is
        one; its volumes."""
        state = self.observed.containers.get(name)
        volumes = self._volumes(name, state)
        known = state.ports if state else {}
        ports = {
            port.container: known[port.container]
            for port in self.wanted(name).ports
            if port.host is None and port.container in known
        }
        before = [*needs, *self._prerequisites(name, volumes)]
        self.add("create replacement", name, cause, before, ports=ports, volumes=volumes)
        return volumes

    def _replace(self, state: State, cause: str, needs: Iterable[str]) -> None:
        name, data = state.name, self._data(state)
        volumes = self.create_beside(name, cause, needs)
        if data:  # its users would write what is copied
            for user in self.dependents(name):
                if user.running:
                    self.stop(user, f"{name} is replaced")
        self.stop(state, "replaced", self.after_dependents(name))
        self.add("replace", name, cause, data=data)
        self.add("start", name, "replaced", volumes=volumes, data=data)

    def _prerequisites(self, name: str, volumes: Mapping[str, str]) -> list[str]:
        """What has to exist before a container is created: the network, its volumes."""
        ids = []
        if not self.wanted(name).network_mode and not self.observed.network:
            ids.append(self.add("create network", self.observed.name, "missing"))
        for volume in volumes.values():
            if volume not in self.observed.volumes and not _ANONYMOUS.fullmatch(volume):
                ids.append(self.add("create volume", volume, f"declared for {self.declared[name]}"))
        return ids

    def _volumes(self, name: str, state: State | None = None) -> dict[str, str]:
        """The volumes to mount by path: the declared ones, but anonymous ones stay with their
        container, for they hold its data."""
        settings = self.wanted(name)
        volumes = declared_volumes(self.observed, settings)
        inherited = {
            path
            for source in settings.volumes_from
            for path in volumes_of(source.container, self.observed, self.declaration)
        }
        for path, volume in state.volumes.items() if state else ():
            if path not in inherited and _ANONYMOUS.fullmatch(volume):
                volumes[path] = volume
        return volumes

    def _moved(self, state: State, causes: Mapping[str, str]) -> list[str]:
        """A phrase for each volume that a source which is replaced will not hold any more."""
        settings = self.wanted(state.name)
        own = {volume.path for volume in settings.volumes}
        return [
            f"{source.container} gets another volume at {path}"
            for source in settings.volumes_from
            if source.container in causes
            for path, volume in self._volumes(
                source.container, self.observed.containers[source.container]
            ).items()
            if path not in own and state.volumes.get(path) != volume
        ]

    def _data(self, state: State) -> tuple[str, ...]:
        """The paths outside of volumes where a container keeps data.

        One made of an image that does not say so yet keeps it where the newer one does.
        """
        image = self.observed.images.get(self.wanted(state.name).image)
        return data_paths(state.labels) or (image.data if image else ())

    def _check_data(self, state: State) -> None:
        name = self.wanted(state.name).image
        image = self.observed.images.get(name)
        if image and image.data != self._data(state):
            expected = f"expects it in {', '.join(image.data)}" if image.data else "names no place"
            raise LifecycleError(
                f"'{state.name}' keeps its data in {', '.join(self._data(state))}, but the image "
                f"{name} {expected}, so toji cannot copy it",
                f"`toji --system {self.observed.name} upgrade --backup FILE` converts it",
            )

    def check_images(self, names: Iterable[str]) -> None:
        """Raise LifecycleError if an image is missing that these containers are created from."""
        used = {self.wanted(name).image for name in names}
        if missing := sorted(used - set(self.observed.images)):
            raise LifecycleError(
                f"no image called {', '.join(missing)}",
                f"moromi {option(self.declaration.path)} build {' '.join(missing)}",
            )


def _drift(declaration: Declaration, observed: ObservedSystem) -> list[str]:
    """One notice of all that differs from the declaration."""
    lines = [
        f"  {name}: {', '.join(phrases)}"
        for name, phrases in differences(observed, declaration).items()
    ]
    lines += [
        f"  {name}: no longer declared"
        for name, state in observed.containers.items()
        if CONFIG_LABEL in state.labels and state.declared not in declaration.containers
    ]
    command = f"toji --system {observed.name} up"
    return [
        f"these differ from {declaration.path} or its images:\n" + "\n".join(lines)
        + f"\n`{command}` recreates what differs, on its ports and data"
    ] if lines else []  # fmt: skip
