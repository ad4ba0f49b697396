"""A system of containers on one engine: Compose calls it a project.

Everything that toji creates bears the system's label and is found by it alone. For each declared
container C a system S has one named S-C, with the host name C, which answers to C on the network S;
a scaled one also has S-C-2, S-C-3 and so on. The engine holds all state: every verb observes it,
plans, and carries the plan out, so a verb may be repeated, or follow one that was cut off.
"""

import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from threading import Event

from nagoya.config.declaration import Declaration
from nagoya.config.model import EVENTS
from nagoya.engine import Engine, Handle, containers, resources
from nagoya.engine.published import published_host
from nagoya.engine.state import CONTAINER_LABEL, HOST_LABEL, LOOPBACK
from nagoya.errors import LifecycleError, UsageError, did_you_mean
from nagoya.system import plan, reconcile
from nagoya.system.container import SystemContainer, ended
from nagoya.system.observed import ObservedSystem, check_whole, observe
from nagoya.system.owner import Owner
from nagoya.system.plan import Operation, Plan
from nagoya.utils.graph import Graph
from nagoya.utils.lock import locked_for_all
from nagoya.utils.parallel import Result, raise_failures, run_graph
from nagoya.utils.progress import Progress

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_PARALLEL = 8
_EARLY_EXIT_SECONDS = 1.5
DRAIN_SECONDS = 600.0
"""How long a container that is removed or recreated may take to finish its work."""
_PAUSE = 0.2
Planner = Callable[[Declaration, ObservedSystem], Plan]


@dataclass(eq=False)
class System:
    """The verbs on a system. Each returns the operations that were done.

    With `dry_run` they are printed, and nothing is done. `creator` is the owner of a system that
    does not exist yet, by default this user. Once `interrupted` is set, as on Ctrl-C, nothing more
    is created or started. `is_new` is true once a verb has begun to create the system. Raises
    LifecycleError that names every container that failed. Calls of one user take turns.
    """

    engine: Engine
    declaration: Declaration
    name: str
    progress: Progress
    creator: Owner | None = None
    dry_run: bool = False
    interrupted: Event = field(default_factory=Event, init=False)
    is_new: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        check_name(self.name)

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Lock the system against other calls, of any user of this machine. Yields whether it had
        to wait for one."""
        waited = Event()

        def waiting() -> None:
            waited.set()
            self.progress.log(f"another toji is at work on '{self.name}'; waiting for it")

        with locked_for_all(f"system-{self.name}", waiting):
            yield waited.is_set()

    @cached_property
    def owner(self) -> Owner:
        """Who created the system; another user may work on it now."""
        if self.creator is not None:
            return self.creator
        present = containers.list_system(self.engine, self.name)
        owners = (Owner.from_labels(containers.labels(handle)) for handle in present)
        return next((owner for owner in owners if owner), Owner.user())

    @cached_property
    def host(self) -> str:
        """The name or address at which clients reach its ports: that of its creation, since its
        certificates are for that."""
        present = containers.list_system(self.engine, self.name)
        hosts = [containers.label(handle, HOST_LABEL) for handle in present]
        return next(filter(None, hosts), LOOPBACK) if hosts else published_host(self.engine)

    def observe(self) -> ObservedSystem:
        """What the engine holds of the system now."""
        return observe(self.engine, self.name, self.declaration)

    def init(self) -> tuple[Operation, ...]:
        """Create what is missing and start it; what differs from the declaration is reported."""
        return self._do(reconcile.init)

    def up(self, recreate: Collection[str] = ()) -> tuple[Operation, ...]:
        """Create what is missing, recreate what differs, start everything.

        A container that holds data is recreated only if `recreate` names it; its data is copied.
        """
        return self._do(partial(reconcile.up, recreate=recreate))

    def start(self) -> tuple[Operation, ...]:
        """Start what exists; a completed `run_once` container stays as it is."""
        require_system(self.engine, self.name)
        return self._do(plan.start)

    def stop(self, *, pre_commit: bool = False) -> tuple[Operation, ...]:
        """Stop what runs, dependents first.

        With `pre_commit` each container first deletes what no image made of it should hold.
        """
        require_system(self.engine, self.name)
        return self._do(partial(plan.stop, pre_commit=pre_commit))

    def restart(self, names: Collection[str] = ()) -> tuple[Operation, ...]:
        """Stop containers, all or those with these host names, and start them again."""
        present = require_system(self.engine, self.name)
        if unknown := sorted(set(names) - set(present)):
            raise LifecycleError(
                f"'{self.name}' has no container '{unknown[0]}'{did_you_mean(unknown[0], present)}",
                f"it has {', '.join(present)}",
            )
        return self._do(partial(plan.restart, names=names or list(present)))

    def remove(self) -> tuple[Operation, ...]:
        """Remove everything that bears the system's label: containers, volumes, the network."""
        self.remove_helpers(running=True)
        done = self._do(plan.remove)
        if not done:
            self.progress.log(f"{_no_system(self.engine, self.name)}; nothing was removed")
        return done

    def remove_helpers(self, *, running: bool = False) -> None:
        """Remove the containers that an interrupted toji left behind, which had one short task."""
        for handle in containers.list_system(self.engine, self.name):
            is_helper = not containers.label(handle, CONTAINER_LABEL)
            busy = containers.state(handle, reload=False).running and not running
            if is_helper and not busy and not self.dry_run:
                containers.remove(handle)

    def scale(
        self, name: str, count: int, drain_seconds: float = DRAIN_SECONDS
    ) -> tuple[Operation, ...]:
        """Make the copies of a declared container `count`: NAME, NAME-2 and so on.

        Those that are too many get `drain_seconds` each to finish their work.
        """
        require_system(self.engine, self.name)
        return self._do(partial(reconcile.scale, name=name, count=count), drain_seconds)

    def check_started(self, done: Collection[Operation]) -> None:
        """Raise LifecycleError if a container ended right after it was started.

        A wrong setting ends a container within a second or so; a wait would report it too.
        """
        started = {operation.target for operation in done if operation.verb == "start"}
        deadline = time.monotonic() + (_EARLY_EXIT_SECONDS if started and not self.dry_run else 0)
        before: dict[str, int] = {}
        while time.monotonic() < deadline:
            failed = []
            for name, handle in containers.list_containers(self.engine, self.name).items():
                state = containers.state(handle, reload=False)
                settings = self.declaration.containers.get(state.declared)
                stays = state.running and state.restarts == before.setdefault(name, state.restarts)
                if name in started and settings and settings.detach and not stays:
                    failed.append(f"  {name}: {ended(state, handle)}")
            if failed:
                raise LifecycleError(
                    f"not everything of '{self.name}' runs:\n" + "\n".join(failed),
                    f"correct it in {self.declaration.path}, then `toji --system {self.name} up`",
                )
            time.sleep(_PAUSE)

    def needs(self, names: Collection[str]) -> Graph:
        """Which of the containers with these host names need which."""
        present = containers.list_containers(self.engine, self.name)
        states = [containers.state(handle, reload=False) for handle in present.values()]
        declared = {state.name: self.declaration.containers.get(state.declared) for state in states}
        return {name: c.needs if c else () for name, c in declared.items() if name in names}

    def apply(self, wanted: Plan, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Carry out a plan; the caller holds the lock."""
        operations = {operation.id: operation for operation in wanted.operations}
        removal = f", or remove the system with `toji --system {self.name} remove`"
        outcomes = run_graph(
            {id: operation.needs for id, operation in operations.items()},
            lambda id: self._carry_out(operations[id], drain_seconds),
            workers=_PARALLEL,
            stop=self.interrupted,
            on_done=lambda outcome: self._show(outcome, operations),
        )
        raise_failures(
            {operations[id].target: result for id, result in outcomes.items() if result.error},
            LifecycleError,
            f"could not {wanted.doing} '{self.name}'",
            f"correct the cause and run the command again{removal if self.is_new else ''}",
        )
        for notice in wanted.notices:
            self.progress.log(notice)

    def _do(self, planner: Planner, drain_seconds: float = DRAIN_SECONDS) -> tuple[Operation, ...]:
        with self.lock():
            observed = self.observe()
            if planner is not plan.remove:
                check_whole(observed)
            wanted = planner(self.declaration, observed)
            if self.dry_run:
                for line in (*wanted.operations, *wanted.notices):
                    print(line)
                return wanted.operations
            self.is_new = not observed.exists
            changed = {operation.target for operation in wanted.operations}
            for name, state in observed.containers.items():
                if name not in changed:
                    text = "completed" if state.completed else state.status
                    self.progress.update(name, "done", text)
            try:
                self.apply(wanted, drain_seconds)
            except LifecycleError:
                self._remove_new(observed, wanted)
                raise
            return wanted.operations

    def _remove_new(self, before: ObservedSystem, wanted: Plan) -> None:
        """Remove a new system whose network could not be created: nothing in it can run."""
        verbs, now = {operation.verb for operation in wanted.operations}, self.observe()
        if "create network" in verbs and not before.exists and not now.network:
            self.apply(plan.remove(self.declaration, now))

    def _carry_out(self, wanted: Operation, drain_seconds: float) -> None:
        engine, target, labels = self.engine, wanted.target, self.owner.labels
        container = SystemContainer(
            engine, self.declaration, self.progress, self.name, self.owner,
            target, wanted.declared or "", lambda: self.host, self.interrupted,
        )  # fmt: skip
        new = container.replacement
        actions: dict[str, Callable[[], None]] = {
            "create network": lambda: resources.create_network(engine, self.name, labels),
            "remove network": lambda: resources.remove_networks(engine, self.name),
            "create volume": lambda: resources.create_volume(engine, self.name, target, labels),
            "remove volume": lambda: resources.remove_volume(engine, target),
            "create": lambda: container.create(wanted.ports, wanted.volumes),
            "create replacement": lambda: new.create(wanted.ports, wanted.volumes),
            "replace": lambda: container.take_place(wanted.data),
            "keep replacement": container.keep_replacement,
            "remove replacement": new.remove,
            "set aside": container.set_aside,
            "put back": container.put_back,
            "remove old": container.aside.remove,
            "start": lambda: container.start(wanted.volumes, wanted.data),
            "wait for": container.wait_for_end,
            "update": container.update,
            "stop": container.stop,
            "drain": lambda: container.drain(drain_seconds),
            "pre-commit": container.pre_commit,
            "remove": container.remove,
            **{event: partial(container.fire, event) for event in EVENTS},
        }
        actions[wanted.verb]()

    def _show(self, outcome: Result, operations: dict[str, Operation]) -> None:
        """Show how an operation on a container failed, or for whose failure it was skipped."""
        operation = operations[outcome.name]
        blocker = operations[outcome.blocked_by].target if outcome.blocked_by else None
        # Only containers are on display, not volumes and networks.
        on_display = operation.declared is not None and blocker != operation.target
        if outcome.state != "done" and on_display:
            self.progress.finish(replace(outcome, name=operation.target, blocked_by=blocker))


def check_name(name: str, what: str = "a system") -> None:
    """Raise UsageError for a name that no system can have: it becomes part of host names."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot name {what}",
            "use lower-case letters, digits and inner dashes, 40 characters at most",
        )


def require_system(engine: Engine, name: str) -> dict[str, Handle]:
    """The containers of a system by host name; LifecycleError where there is none."""
    check_name(name)
    present = containers.list_containers(engine, name)
    if not present:
        raise LifecycleError(_no_system(engine, name), f"toji --system {name} up")
    return present


def _no_system(engine: Engine, name: str) -> str:
    others = sorted(containers.list_all_containers(engine))
    there = f"there are: {', '.join(others)}" if others else "it has no systems"
    return f"there is no system called '{name}' on this engine; {there}"
