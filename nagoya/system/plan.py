"""Plans: operations on a system's containers, volumes and network, with their causes and needs.

Everything here is pure. The verbs that bring a system up are in `nagoya.system.reconcile`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nagoya.config.declaration import Declaration
from nagoya.config.model import Container, Event
from nagoya.engine.state import State
from nagoya.system.observed import ObservedSystem, data_paths
from nagoya.utils.graph import waves

DRAIN_LABEL = "nagoya.drain"
"""On an image: a command, as a JSON list, that ends once the container has no more work to do."""
PRE_COMMIT_LABEL = "nagoya.pre-commit"
"""On an image: a command, as a JSON list, that deletes what no image made of it should hold."""

Verb = (
    Event
    | Literal[
        "create network", "remove network", "create volume", "remove volume", "create", "remove",
        "create replacement", "remove replacement", "keep replacement", "replace",
        "set aside", "put back", "remove old",
        "start", "update", "wait for", "drain", "pre-commit", "stop",
    ]
)  # fmt: skip

INTERRUPTED_UP = "left by an interrupted `toji up`"
"""The cause of removing a container that was to replace another one."""
_STOPPED = ("created", "exited", "dead")


@dataclass(frozen=True)
class Operation:
    """One thing to do with one container, volume or network.

    `target` is a container's host name, or the engine's name of a volume or network. `needs` holds
    the ids of the operations that have to be done before. A container is created with the `ports`
    that are known (the host's by the container's) and the `volumes` (the engine's names by path);
    `data` holds the paths that are copied to a replacement.
    """

    verb: Verb
    target: str
    cause: str
    needs: tuple[str, ...] = ()
    declared: str | None = None
    ports: Mapping[int, int] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    data: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The verb and the target, which occur together only once in a plan."""
        return f"{self.verb} {self.target}"

    def __str__(self) -> str:
        return f"{self.id}: {self.cause}"


@dataclass(frozen=True)
class Plan:
    """Operations in an order in which they can be done, and notices for the user.

    `doing` is the verb for messages, as in "could not start".
    """

    doing: str
    operations: tuple[Operation, ...]
    notices: tuple[str, ...] = ()


class Draft:
    """The operations of a plan while it is made.

    `declared` maps the host name of each container, wanted or observed, to its name in moromi.yml.
    """

    def __init__(
        self, declaration: Declaration, observed: ObservedSystem, copies: Mapping[str, str] = {}
    ) -> None:
        self.declaration = declaration
        self.observed = observed
        states = (*observed.containers.values(), *observed.replacements.values(),
                  *observed.aside.values())  # fmt: skip
        self.declared = {name: name for name in declaration.containers}
        self.declared |= {state.name: state.declared for state in states}
        self.declared |= copies
        self._operations: dict[str, Operation] = {}
        self._last: dict[str, str] = {}

    def plan(self, doing: str, notices: Iterable[str] = ()) -> Plan:
        """The plan with all operations that were added."""
        return Plan(doing, tuple(self._operations.values()), tuple(notices))

    def add(
        self, verb: Verb, target: str, cause: str, needs: Iterable[str] = (), **details: Any
    ) -> str:
        """Add an operation; its id. On a container it is done after all earlier ones there."""
        # A network or volume may have the name of a container.
        declared = None if verb.endswith(("network", "volume")) else self.declared[target]
        before = self.after([target]) if declared else []
        wanted = tuple(dict.fromkeys([*before, *needs]))
        operation = Operation(verb, target, cause, wanted, declared, **details)
        self._operations.setdefault(operation.id, operation)
        if declared:
            self._last[target] = operation.id
        return operation.id

    def call(self, event: Event, name: str, needs: Iterable[str] = ()) -> None:
        """Add an event's callbacks, if there are any."""
        settings = self.settings(name)
        if settings and (functions := settings.callbacks.get(event)):
            self.add(event, name, ", ".join(functions), needs)

    def settings(self, name: str) -> Container | None:
        """How a container is declared; None if it no longer is."""
        return self.declaration.containers.get(self.declared[name])

    def needs(self, name: str) -> tuple[str, ...]:
        settings = self.settings(name)
        return settings.needs if settings else ()

    def after(self, targets: Iterable[str]) -> list[str]:
        """The ids of the last operations on some containers."""
        return [self._last[target] for target in targets if target in self._last]

    def dependents(self, name: str) -> list[State]:
        """The containers that need another one to be there."""
        states = self.observed.containers.values()
        return [state for state in states if name in self.needs(state.name)]

    def after_dependents(self, name: str) -> list[str]:
        return self.after(state.name for state in self.dependents(name))

    def ordered(self) -> list[str]:
        """All host names in an order in which the containers can be started."""
        place = {name: index for index, name in enumerate(self.declaration.containers)}
        last = len(place)
        names = sorted(self.declared, key=lambda name: (place.get(self.declared[name], last), name))
        return [name for wave in waves({name: self.needs(name) for name in names}) for name in wave]

    def present(self) -> list[State]:
        """The containers that exist, dependencies first."""
        states = self.observed.containers
        return [states[name] for name in self.ordered() if name in states]

    def start(self, state: State, needs: Iterable[str] = (), **details: Any) -> None:
        """Add what starts a container that exists, unless it runs or has completed for good."""
        settings = self.settings(state.name)
        if state.running and f"stop {state.name}" not in self._operations:
            if settings and state.restart != settings.restart:
                cause = f"restart: {settings.restart}, was {state.restart}"
                self.add("update", state.name, cause, needs)
            if settings and not settings.detach:
                self.add("wait for", state.name, "it runs to an end", needs)
        elif not (settings and settings.run_once and state.completed):
            if not self.observed.network and not (settings and settings.network_mode):
                needs = [*needs, self.add("create network", self.observed.name, "missing")]
            stopped = "paused" if state.status == "paused" else "not running"
            cause = f"ended with status {state.exit_code}" if state.exit_code else stopped
            self.add("start", state.name, cause, needs, **details)

    def stop(self, state: State, cause: str, needs: Iterable[str] = ()) -> None:
        """Add what stops a container, unless it is stopped already."""
        # A paused or restarting container can be stopped too.
        if state.status not in _STOPPED and f"stop {state.name}" not in self._operations:
            self.add("stop", state.name, cause, needs)

    def drain(self, state: State, cause: str) -> None:
        """Add what lets a container finish its work, if its image has a command for that."""
        if state.running and DRAIN_LABEL in state.labels:
            self.add("drain", state.name, cause)


def start(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Start everything that exists and is stopped."""
    draft = Draft(declaration, observed)
    for state in draft.present():
        draft.start(state, draft.after(draft.needs(state.name)))
    return draft.plan("start")


def stop(declaration: Declaration, observed: ObservedSystem, *, pre_commit: bool = False) -> Plan:
    """Stop everything that runs, dependents first.

    With `pre_commit` each container first deletes what no image made of it should hold.
    """
    draft = Draft(declaration, observed)
    for state in reversed(draft.present()):
        needs = draft.after_dependents(state.name)
        if pre_commit and state.running and PRE_COMMIT_LABEL in state.labels:
            draft.add("pre-commit", state.name, "an image is made of it", needs)
        draft.stop(state, "running", needs)
    holders = [state.name for state in draft.present() if data_paths(state.labels)]
    command = f"toji --system {observed.name} start"
    notice = (
        f"While '{observed.name}' is stopped, `docker container prune` would remove its containers"
        f"{', with the data of ' + ', '.join(holders) if holders else ''}. `{command}` starts it."
    )
    return draft.plan("stop", [notice])


def restart(declaration: Declaration, observed: ObservedSystem, names: Collection[str]) -> Plan:
    """Stop some containers, dependents first, and start them again."""
    draft = Draft(declaration, observed)
    chosen = [state for state in draft.present() if state.name in names]
    for state in reversed(chosen):
        draft.stop(state, "restart", draft.after_dependents(state.name))
    stopped = draft.after(state.name for state in chosen)
    for state in chosen:
        draft.start(state, [*stopped, *draft.after(draft.needs(state.name))])
    return draft.plan("restart")


def remove(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Remove everything that bears the system's label, dependents first.

    The callbacks of declared containers that are gone already are called all the same, so that a
    removal that was cut off is completed.
    """
    draft = Draft(declaration, observed)
    if not observed.exists:
        return draft.plan("remove")
    cause = f"part of {observed.name}"
    for name in reversed(draft.ordered()):
        if name in observed.containers:
            draft.add("remove", name, cause, draft.after_dependents(name))
        elif name not in observed.replacements:
            draft.call("pre_remove", name)
            draft.call("post_remove", name)
    for name in observed.replacements:
        draft.add("remove replacement", name, INTERRUPTED_UP)
    for name in observed.aside:
        draft.add("remove old", name, cause)
    removed = draft.after(draft.declared)
    states = [*observed.containers.values(), *observed.replacements.values(),
              *observed.aside.values()]  # fmt: skip
    mounted = {volume for state in states for volume in state.volumes.values()}
    for volume in sorted(observed.volumes | mounted):
        draft.add("remove volume", volume, cause, removed)
    if observed.network:
        draft.add("remove network", observed.name, cause, removed)
    return draft.plan("remove")
