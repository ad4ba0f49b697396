"""Plans: operations on a system's containers, volumes and network, with their causes and needs.

Everything here is pure. The verbs that take a system up are in `nagoya.system.reconcile`.
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
        "start", "wait for", "drain", "pre-commit", "stop",
    ]
)  # fmt: skip

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
    """The operations of a plan while it is made."""

    def __init__(self, declaration: Declaration, observed: ObservedSystem) -> None:
        self.declaration = declaration
        self.observed = observed
        self._operations: dict[str, Operation] = {}
        self._last: dict[str, str] = {}

    def plan(self, doing: str, notices: Iterable[str] = ()) -> Plan:
        """The plan with all operations that were added."""
        return Plan(doing, tuple(self._operations.values()), tuple(notices))

    def add(
        self,
        verb: Verb,
        target: str,
        cause: str,
        needs: Iterable[str] = (),
        *,
        declared: str | None = None,
        **details: Any,
    ) -> str:
        """Add an operation, to be done after all earlier ones on the same target; its id."""
        before = [self._last[target]] if target in self._last else []
        wanted = tuple(dict.fromkeys([*before, *needs]))
        operation = Operation(verb, target, cause, wanted, declared, **details)
        self._operations.setdefault(operation.id, operation)
        self._last[target] = operation.id
        return operation.id

    def add_object(self, verb: Verb, target: str, cause: str, needs: Iterable[str] = ()) -> str:
        """Add an operation on a volume or a network; its id."""
        operation = Operation(verb, target, cause, tuple(needs))
        self._operations.setdefault(operation.id, operation)
        return operation.id

    def call(self, event: Event, name: str, declared: str, needs: Iterable[str] = ()) -> None:
        """Add an event's callbacks, where there are any."""
        settings = self.settings(declared)
        if settings and (functions := settings.callbacks.get(event)):
            self.add(event, name, ", ".join(functions), needs, declared=declared)

    def after(self, targets: Iterable[str]) -> list[str]:
        """The ids of the last operations on some targets."""
        return [self._last[target] for target in targets if target in self._last]

    def has(self, verb: Verb, target: str) -> bool:
        """Whether an operation was added."""
        return f"{verb} {target}" in self._operations

    def settings(self, declared: str) -> Container | None:
        """How a container is declared; None where it is not any more."""
        return self.declaration.containers.get(declared)

    def present(self, names: Collection[str] | None = None) -> list[State]:
        """The containers that exist, or those of them with such names, dependencies first."""
        states = self.observed.containers
        ordered = self.ordered({state.name: state.declared for state in states.values()})
        return [states[name] for name in ordered if names is None or name in names]

    def ordered(self, declared: Mapping[str, str]) -> list[str]:
        """Host names in an order in which they can be started; `declared` is their names there."""
        place = {name: index for index, name in enumerate(self.declaration.containers)}
        names = sorted(declared, key=lambda name: (place.get(declared[name], len(place)), name))
        graph = {name: self.needs(declared[name]) for name in names}
        return [name for wave in waves(graph) for name in wave]

    def dependents(self, name: str) -> list[State]:
        """The containers that need another one to be there."""
        return [
            state
            for state in self.observed.containers.values()
            if name in self.needs(state.declared)
        ]

    def start(self, state: State, needs: Iterable[str] = (), **details: Any) -> None:
        """Add what starts a container that exists, unless it runs or has completed for good."""
        settings = self.settings(state.declared)
        name, declared = state.name, state.declared
        if state.running and not self.has("stop", name):
            if settings and not settings.detach:
                self.add("wait for", name, "it runs to an end", needs, declared=declared)
        elif not (settings and settings.run_once and state.completed):
            if not self.observed.network and not (settings and settings.network_mode):
                needs = [*needs, self.add_object("create network", self.observed.name, "missing")]
            cause = f"ended with status {state.exit_code}" if state.exit_code else "not running"
            self.add("start", name, cause, needs, declared=declared, **details)

    def stop(self, state: State, cause: str, needs: Iterable[str] = ()) -> None:
        """Add what stops a container, unless it is stopped already."""
        # A paused or restarting container can be stopped too.
        if state.status not in _STOPPED and not self.has("stop", state.name):
            self.add("stop", state.name, cause, needs, declared=state.declared)

    def needs(self, declared: str) -> tuple[str, ...]:
        settings = self.settings(declared)
        return settings.needs if settings else ()


def start(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Start everything that exists and is stopped."""
    draft = Draft(declaration, observed)
    for state in draft.present():
        draft.start(state, draft.after(draft.needs(state.declared)))
    return draft.plan("start")


def stop(declaration: Declaration, observed: ObservedSystem, *, pre_commit: bool = False) -> Plan:
    """Stop everything that runs, dependents first.

    With `pre_commit` each container first deletes what no image made of it should hold.
    """
    draft = Draft(declaration, observed)
    for state in reversed(draft.present()):
        needs = draft.after(other.name for other in draft.dependents(state.name))
        if pre_commit and state.running and PRE_COMMIT_LABEL in state.labels:
            cause = "an image is made of it"
            draft.add("pre-commit", state.name, cause, needs, declared=state.declared)
        draft.stop(state, "running", needs)
    holders = [state.name for state in draft.present() if data_paths(state)]
    command = f"toji --system {observed.name} start"
    notice = (
        f"While '{observed.name}' is stopped, `docker container prune` would remove its containers"
        f"{', with the data of ' + ', '.join(holders) if holders else ''}. `{command}` goes on."
    )
    return draft.plan("stop", [notice])


def restart(declaration: Declaration, observed: ObservedSystem, names: Collection[str]) -> Plan:
    """Stop some containers, dependents first, and start them again."""
    draft = Draft(declaration, observed)
    chosen = draft.present(names)
    for state in reversed(chosen):
        needs = draft.after(other.name for other in draft.dependents(state.name))
        draft.stop(state, "restart", needs)
    stopped = draft.after(state.name for state in chosen)
    for state in chosen:
        needs = [*stopped, *draft.after(draft.needs(state.declared))]
        draft.start(state, needs)
    return draft.plan("restart")


def remove(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Remove everything that bears the system's label, dependents first.

    The callbacks of declared containers that are gone already are called all the same, so that a
    removal that was cut off is completed.
    """
    draft = Draft(declaration, observed)
    if not observed.exists:
        return draft.plan("remove")
    declared = {name: name for name in declaration.containers}
    declared |= {state.name: state.declared for state in observed.containers.values()}
    for name in reversed(draft.ordered(declared)):
        if name in observed.containers:
            needs = draft.after(other.name for other in draft.dependents(name))
            cause = f"part of {observed.name}"
            draft.add("remove", name, cause, needs, declared=declared[name])
        else:
            draft.call("pre_remove", name, name)
            draft.call("post_remove", name, name)
    for state in observed.replacements.values():
        cause = "left by an interrupted `toji up`"
        draft.add("remove replacement", state.name, cause, declared=state.declared)
    removed = draft.after([*declared, *observed.replacements])
    states = [*observed.containers.values(), *observed.replacements.values()]
    mounted = {volume for state in states for volume in state.volumes.values()}
    for volume in sorted(observed.volumes | mounted):
        draft.add("remove volume", volume, f"part of {observed.name}", removed)
    if observed.network:
        draft.add_object("remove network", observed.name, f"part of {observed.name}", removed)
    return draft.plan("remove")
