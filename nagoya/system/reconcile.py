"""Plans that make a system what the declaration says: init, up, scale. Pure, as `plan` is."""

import re
from collections.abc import Collection, Iterable, Mapping

from nagoya.config.declaration import Declaration
from nagoya.engine.state import State
from nagoya.errors import LifecycleError
from nagoya.system.observed import (
    CONFIG_LABEL,
    ObservedSystem,
    conflicts,
    data_paths,
    differences,
    missing,
    volumes_of,
)
from nagoya.system.plan import DRAIN_LABEL, Draft, Plan

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


def init(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Create what is missing and start what is stopped; say what differs, and leave it alone."""
    check(declaration, observed)
    draft = _Reconciliation(declaration, observed)
    draft.bring_up(draft.members(), {})
    return draft.plan("start", [*_losses(declaration, observed), *_drift(declaration, observed)])


def up(declaration: Declaration, observed: ObservedSystem, recreate: Collection[str] = ()) -> Plan:
    """The same, but what differs is created again, on the ports and volumes that it had.

    A container that keeps data outside of volumes is left alone unless `recreate` names it; its
    data is copied then. Raises LifecycleError where that cannot be.
    """
    check(declaration, observed)
    draft = _Reconciliation(declaration, observed)
    causes, kept = draft.outdated(recreate)
    draft.bring_up(draft.members(), causes)
    notices = [
        f"{name} is left as it is ({phrases}): it holds data, which is copied if you say "
        f"`toji --system {observed.name} up --recreate {name}`"
        for name, phrases in kept.items()
    ]
    return draft.plan("start", [*_losses(declaration, observed), *notices])


def scale(declaration: Declaration, observed: ObservedSystem, name: str, count: int) -> Plan:
    """Make the copies of a declared container `count`; the last ones are drained and removed."""
    if name not in declaration.containers:
        raise LifecycleError(
            f"{declaration.path} declares no container '{name}'",
            f"it declares {', '.join(declaration.containers)}",
        )
    users = [user for user, one in declaration.containers.items() if name in one.needs]
    if users and count > 1:
        raise LifecycleError(
            f"'{name}' cannot run more than once: {', '.join(users)} would not find the copies",
            "scale a container that no other one needs, such as a builder",
        )
    if users and count == 0:
        raise LifecycleError(
            f"'{name}' cannot be removed: {', '.join(users)} needs it",
            f"`toji --system {observed.name} stop` stops the system and keeps its data",
        )
    check(declaration, observed)
    draft = _Reconciliation(declaration, observed)
    wanted = [name if number == 1 else f"{name}-{number}" for number in range(1, count + 1)]
    for state in reversed(draft.present()):
        if state.declared == name and state.name not in wanted:
            cause = f"{count} wanted"
            if state.running and DRAIN_LABEL in state.labels:
                draft.add("drain", state.name, cause, declared=name)
            draft.stop(state, cause)
            draft.add("remove", state.name, cause, declared=name)
    draft.bring_up(dict.fromkeys(wanted, name), {})
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


class _Reconciliation(Draft):
    """A draft that knows how containers are created and replaced."""

    def members(self) -> dict[str, str]:
        """All declared containers and their copies by host name, dependencies first."""
        declared = {name: name for name in self.declaration.containers}
        declared |= {
            state.name: state.declared
            for state in self.observed.containers.values()
            if state.declared in self.declaration.containers
        }
        return {name: declared[name] for name in self.ordered(declared)}

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
        found = differences(self.observed, self.declaration)
        causes: dict[str, str] = {}
        kept: dict[str, str] = {}
        for name, declared in members.items():
            if name not in present:
                continue
            phrases = found.get(name, ["--recreate"] if name in recreate else [])
            phrases += self._moved(present[name], causes)
            if phrases and self._data(present[name]) and name not in recreate:
                kept[name] = ", ".join(phrases)
            elif phrases:
                causes[name] = ", ".join(phrases)
                self._check_data(present[name], declared)
        return causes, kept

    def bring_up(self, members: Mapping[str, str], recreate: Mapping[str, str]) -> None:
        """Add what creates, replaces and starts containers; `members` is in order."""
        self._check_images(members, recreate)
        for name, declared in members.items():
            settings = self.declaration.containers[declared]
            needs = self.after(settings.needs)
            state = self.observed.containers.get(name)
            left = self.observed.replacements.get(name)
            self.call("pre_init", name, declared, needs)
            if left and state:
                cause = "left by an interrupted `toji up`"
                self.add("remove replacement", name, cause, needs, declared=declared)
            if left and not state:
                cause = "`toji up` was interrupted before it was renamed"
                self.add("keep replacement", name, cause, needs, declared=declared)
                self.start(left, needs)
            elif state is None:
                self._create(name, declared, needs)
            elif name in recreate:
                self._replace(state, recreate[name], needs)
            else:
                self.start(state, needs, volumes=self._volumes(state, declared))
            self.call("post_init", name, declared, needs)

    def _create(self, name: str, declared: str, needs: Iterable[str]) -> None:
        volumes = self._volumes(None, declared)
        kept = [volume for volume in volumes.values() if volume in self.observed.volumes]
        cause = f"missing; its data is in {', '.join(kept)}" if kept else "missing"
        before = [*needs, *self._surroundings(declared, volumes)]
        self.add("create", name, cause, before, declared=declared, volumes=volumes)
        self.add("start", name, "created", declared=declared, volumes=volumes)

    def _replace(self, state: State, cause: str, needs: Iterable[str]) -> None:
        name, declared, data = state.name, state.declared, self._data(state)
        volumes = self._volumes(state, declared)
        ports = {
            port.container: state.ports[port.container]
            for port in self.declaration.containers[declared].ports
            if port.host is None and port.container in state.ports
        }
        before = [*needs, *self._surroundings(declared, volumes)]
        self.add(
            "create replacement", name, cause, before, declared=declared,
            ports=ports, volumes=volumes,
        )  # fmt: skip
        users = [one for one in self.dependents(name) if data and one.running]
        for user in users:  # they would write what is copied
            self.stop(user, f"{name} is replaced")
        self.stop(state, "replaced", self.after(user.name for user in users))
        self.add("replace", name, cause, declared=declared, data=data)
        self.add("start", name, "replaced", declared=declared, volumes=volumes, data=data)

    def _surroundings(self, declared: str, volumes: Mapping[str, str]) -> list[str]:
        """What has to exist before a container is created: the network, its volumes."""
        made = []
        if not self.declaration.containers[declared].network_mode and not self.observed.network:
            made.append(self.add_object("create network", self.observed.name, "missing"))
        for volume in volumes.values():
            if volume not in self.observed.volumes and not _ANONYMOUS.fullmatch(volume):
                made.append(self.add_object("create volume", volume, f"declared for {declared}"))
        return made

    def _volumes(self, state: State | None, declared: str) -> dict[str, str]:
        """The volumes to mount by path: the declared ones, but anonymous ones stay with their
        container, for they hold its data."""
        settings = self.declaration.containers[declared]
        volumes = {one.path: f"{self.observed.name}-{one.name}" for one in settings.volumes}
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
        settings = self.declaration.containers[state.declared]
        own = {volume.path for volume in settings.volumes}
        return [
            f"{source.container} gets another volume at {path}"
            for source in settings.volumes_from
            if source.container in causes
            for path, volume in self._volumes(
                self.observed.containers[source.container], source.container
            ).items()
            if path not in own and state.volumes.get(path) != volume
        ]

    def _data(self, state: State) -> tuple[str, ...]:
        """The paths outside of volumes where a container keeps data.

        One made of an image that does not say so yet keeps it where the newer one does.
        """
        image = self.observed.images.get(self.declaration.containers[state.declared].image)
        return data_paths(state) or (image.data if image else ())

    def _check_data(self, state: State, declared: str) -> None:
        name = self.declaration.containers[declared].image
        image = self.observed.images.get(name)
        if image and image.data != self._data(state):
            raise LifecycleError(
                f"'{state.name}' keeps its data in {', '.join(self._data(state))}, and {name} in "
                f"{', '.join(image.data) or 'no place that it names'}; it cannot be copied",
                "export the data, for example with pg_dump, and import it into a new system",
            )

    def _check_images(self, members: Mapping[str, str], recreate: Collection[str]) -> None:
        used = {
            self.declaration.containers[declared].image
            for name, declared in members.items()
            if name in recreate
            or not (name in self.observed.containers or name in self.observed.replacements)
        }
        if missing := sorted(used - set(self.observed.images)):
            raise LifecycleError(
                f"no image called {', '.join(missing)}", f"moromi build {' '.join(missing)}"
            )


def _losses(declaration: Declaration, observed: ObservedSystem) -> list[str]:
    """A sentence for each container that is gone with the data that it held."""
    if not observed.exists:
        return []
    return [
        f"'{name}' is gone, and the data that it held with it; a new one starts empty. "
        "Was it `docker container prune`?"
        for name in missing(observed, declaration)
        if (image := observed.images.get(declaration.containers[name].image))
        and image.data
        and name not in observed.replacements
    ]


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
        f"not as {declaration.path} and its images are now:\n" + "\n".join(lines)
        + f"\n`{command}` recreates what differs, on its ports and data"
    ] if lines else []  # fmt: skip
