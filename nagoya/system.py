"""A system of containers on one engine: made, started, stopped and removed.

Everything that is made bears the system's label, and is found again by it alone. A system S holds
for each declared container C one that is named S-C, has the host name C, and answers to C on the
network S. What the engine holds is the only state there is: every verb starts from what it finds,
so each may be given twice, by two people at once, or after one that was cut off.
"""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps

from nagoya.declaration import Container, Declaration, Event, Port
from nagoya.engine import Engine, containers, images
from nagoya.engine.containers import CONTAINER_LABEL, SYSTEM_LABEL, Handle, State
from nagoya.errors import EngineError, LifecycleError
from nagoya.locking import locked
from nagoya.plan import Needs, reversed_needs
from nagoya.progress import Board
from nagoya.schedule import Outcome, carry_out

DEFAULT_NAME = "koji"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_PARALLEL = 8
_RUN_ONCE_SECONDS = 120
_PORT_TRIES = 5
_PORT_TAKEN = re.compile(r"port is already allocated|address already in use", re.IGNORECASE)


@dataclass(frozen=True)
class Member:
    """One container of a system, as a callback gets it.

    `name` is its host name; `declared` is the name it bears in moromi.yml. At the pre_init and
    pre_create events, and at post_remove, there is no container yet or any more.
    """

    engine: Engine
    system: str
    name: str
    declared: str
    board: Board

    @property
    def container_name(self) -> str:
        """The name by which the engine knows it."""
        return f"{self.system}-{self.name}"

    def handle(self) -> Handle:
        """The engine's container; EngineError where there is none."""
        return containers.get(self.engine, self.container_name)

    def state(self) -> State:
        """What the engine says of it now; EngineError where there is none."""
        return containers.state(self.handle(), reload=False)

    def read_file(self, path: str) -> bytes:
        """A file out of it, running or not."""
        return containers.read_file(self.handle(), path)

    def say(self, text: str) -> None:
        """Tell the user something, without spoiling the progress that is shown."""
        self.board.say(text)


def _one_at_a_time(verb: Callable[["System"], None]) -> Callable[["System"], None]:
    """Keep this user's other calls off a system while one is at work on it."""

    @wraps(verb)
    def alone(system: "System") -> None:
        def waiting() -> None:
            system.board.say(f"another toji is at work on '{system.name}'; waiting for it")

        with locked(f"system-{system.name}", waiting):
            verb(system)

    return alone


class System:
    """The verbs on a system; each raises LifecycleError that names every container that failed.

    Two calls at once, by one user, come one after the other.
    """

    def __init__(self, engine: Engine, declaration: Declaration, name: str, board: Board) -> None:
        check_name(name)
        self.engine = engine
        self.declaration = declaration
        self.name = name
        self.board = board

    @_one_at_a_time
    def init(self) -> None:
        """Make and start what is declared and not there; what runs is left alone."""
        self._check_images()
        containers.ensure_network(self.engine, self.name, {SYSTEM_LABEL: self.name})
        present = containers.of_system(self.engine, self.name)

        def bring_up(name: str) -> None:
            member = self._member(name)
            if name in present:
                self._start(member, present[name])
                return
            self._fire("pre_init", member)
            handle = self._create(member)
            self._start(member, handle)
            self._fire("post_init", member)

        self._each(self._needs(), bring_up, "made and started")

    @_one_at_a_time
    def start(self) -> None:
        """Start what was made; a run_once container that has done its work stays as it is."""
        present = found(self.engine, self.name)
        self._each(
            {name: needs for name, needs in self._needs(present).items() if name in present},
            lambda name: self._start(self._member(name), present[name]),
            "started",
        )

    @_one_at_a_time
    def stop(self) -> None:
        """Stop what runs, each by its image's own signal, those first that need others."""
        present = found(self.engine, self.name)

        def halt(name: str) -> None:
            member = self._member(name)
            if not containers.state(present[name]).running:
                self.board.update(name, "done", "was not running")
                return
            self._fire("pre_stop", member)
            self.board.update(name, "working", "stopping")
            containers.stop(present[name])
            self.board.update(name, "done", "stopped")
            self._fire("post_stop", member)

        self._each(reversed_needs(self._needs(present)), halt, "stopped", only=present)

    @_one_at_a_time
    def remove(self) -> None:
        """Remove whatever bears the system's label: containers, their volumes, the network."""
        present = containers.of_system(self.engine, self.name)

        def take_away(name: str) -> None:
            member = self._member(name)
            if name in present:
                self._fire("pre_remove", member)
                self.board.update(name, "working", "removing")
                containers.remove(present[name])
            self.board.update(name, "done", "removed")
            self._fire("post_remove", member)

        self._each(reversed_needs(self._needs(present)), take_away, "removed")
        containers.remove_networks(self.engine, self.name)

    def _needs(self, present: Sequence[str] | dict[str, Handle] = ()) -> Needs:
        """What needs what: all that is declared, and what is there beyond that."""
        needs = {name: declared.needs for name, declared in self.declaration.containers.items()}
        return needs | {name: () for name in present if name not in needs}

    def _member(self, name: str) -> Member:
        return Member(self.engine, self.name, name, name, self.board)

    def _each(
        self,
        needs: Needs,
        work: Callable[[str], None],
        done: str,
        only: dict[str, Handle] | None = None,
    ) -> None:
        if only is not None:
            needs = {name: others for name, others in needs.items() if name in only}

        def settled(outcome: Outcome) -> None:
            if outcome.state == "failed":
                self.board.update(outcome.name, "failed")
            elif outcome.state == "skipped":
                self.board.update(outcome.name, "skipped", f"for {outcome.because} failed")

        outcomes = carry_out(needs, work, workers=_PARALLEL, settled=settled)
        failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.error}
        if failed:
            causes = "\n".join(f"  {name}: {error}" for name, error in failed.items())
            raise LifecycleError(
                f"not everything of '{self.name}' was {done}:\n{causes}",
                f"mend the cause and give the command again, or take all away with "
                f"`toji --system {self.name} remove`",
            )

    def _check_images(self) -> None:
        used = {declared.image for declared in self.declaration.containers.values()}
        missing = sorted(name for name in used if not images.exists(self.engine, name))
        if missing:
            raise LifecycleError(
                f"no image called {', '.join(missing)}", f"moromi build {' '.join(missing)}"
            )

    def _create(self, member: Member) -> Handle:
        declared = self.declaration.containers[member.declared]
        self._fire("pre_create", member)
        self.board.update(member.name, "working", "creating")
        handle = containers.create(self.engine, self._specification(member, declared))
        self._fire("post_create", member)
        return handle

    def _specification(self, member: Member, declared: Container) -> containers.Specification:
        return containers.Specification(
            name=member.container_name,
            image=declared.image,
            hostname=member.name,
            network=self.name,
            labels={SYSTEM_LABEL: self.name, CONTAINER_LABEL: member.declared},
            command=declared.command,
            environment=declared.environment,
            ports={port.container: port.host or free_port() for port in declared.ports},
            volumes_from=[f"{self.name}-{v.container}:{v.mode}" for v in declared.volumes_from],
            cap_add=declared.cap_add,
            cap_drop=declared.cap_drop,
            security_opt=declared.security_opt,
            stop_timeout=declared.stop_timeout,
        )

    def _start(self, member: Member, handle: Handle) -> None:
        declared = self.declaration.containers.get(member.declared)
        state = containers.state(handle)
        if state.running or (declared and declared.run_once and state.completed):
            self.board.update(member.name, "done", "runs" if state.running else "ran before")
            return
        self._fire("pre_start", member)
        self.board.update(member.name, "working", "starting")
        handle = self._started(member, handle, declared.ports if declared else ())
        detached = declared is None or declared.detach
        if not detached:
            self._ended_well(handle)
        self.board.update(member.name, "done", "started" if detached else "ran to its end")
        self._fire("post_start", member)

    def _started(self, member: Member, handle: Handle, ports: Sequence[Port]) -> Handle:
        """Start a container; a free port that somebody took meanwhile is chosen again.

        Docker fixes the ports when a container is made, so a new choice is a new container; one
        that has run before is left as it is, for its data would go.
        """
        for _ in range(_PORT_TRIES):
            try:
                containers.start(handle)
                return handle
            except EngineError as error:
                fixed = all(port.host is not None for port in ports)
                if not _PORT_TAKEN.search(error.message) or fixed:
                    raise
                if containers.state(handle).ever_started:
                    raise
            containers.remove(handle)
            handle = self._create(member)
        raise LifecycleError("no free port could be had", "is this machine short of ports?")

    def _ended_well(self, handle: Handle) -> None:
        status = containers.ended(handle, _RUN_ONCE_SECONDS)
        if status:
            said = "".join(f"\n    {line}" for line in containers.last_lines(handle))
            raise LifecycleError(f"ended with status {status}{said}")

    def _fire(self, event: Event, member: Member) -> None:
        declared = self.declaration.containers.get(member.declared)
        for name in declared.callbacks.get(event, ()) if declared else ():
            self.declaration.callbacks[name](member)


def check_name(name: str) -> None:
    """Raise LifecycleError for a name that no system can have: it becomes part of host names."""
    if not _NAME.fullmatch(name):
        raise LifecycleError(
            f"'{name}' cannot name a system",
            "use lower-case letters, digits and inner dashes, 40 characters at most",
        )


def found(engine: Engine, name: str) -> dict[str, Handle]:
    """The containers of a system by host name; LifecycleError where there is none."""
    present = containers.of_system(engine, name)
    if not present:
        raise LifecycleError(
            f"there is no system called '{name}' on this engine", f"toji --system {name} init"
        )
    return present


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind((containers.HOST, 0))
        return int(probe.getsockname()[1])
