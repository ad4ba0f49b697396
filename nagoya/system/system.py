"""A system of containers on one engine: made, started, scaled, stopped and removed.

Everything that is made bears the system's label, and is found again by it alone. A system S holds
for each declared container C one that is named S-C, has the host name C, and answers to C on the
network S; where C was scaled, also S-C-2, S-C-3 and so on. What the engine holds is the only state
there is: every verb starts from what it finds, so each may be given twice, by two people at once,
or after one that was cut off.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, wraps
from threading import Event, get_ident
from typing import Concatenate, ParamSpec

from nagoya.config.declaration import Declaration
from nagoya.engine import Engine, Handle, containers, images
from nagoya.errors import LifecycleError, UsageError
from nagoya.system.container import SystemContainer
from nagoya.system.owner import Owner
from nagoya.utils.graph import Graph, reverse
from nagoya.utils.lock import locked
from nagoya.utils.parallel import run_graph
from nagoya.utils.progress import Progress

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_PARALLEL = 8
_P = ParamSpec("_P")


def _one_at_a_time(
    verb: Callable[Concatenate["System", _P], None],
) -> Callable[Concatenate["System", _P], None]:
    @wraps(verb)
    def alone(system: "System", /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        with system.alone():
            verb(system, *args, **kwargs)

    return alone


class System:
    """The verbs on a system; each raises LifecycleError that names every container that failed.

    Two calls at once, by one user, come one after the other.
    """

    def __init__(
        self,
        engine: Engine,
        declaration: Declaration,
        name: str,
        progress: Progress,
        owner: Owner | None = None,
    ) -> None:
        check_name(name)
        self._given_owner = owner
        self.engine = engine
        self.declaration = declaration
        self.name = name
        self.progress = progress
        self._holder: int | None = None

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Keep this user's other calls off the system while this one is at work on it; whether one
        had to be waited for."""
        waited = Event()

        def waiting() -> None:
            waited.set()
            self.progress.log(f"another toji is at work on '{self.name}'; waiting for it")

        if self._holder == get_ident():
            yield False
            return
        with locked(f"system-{self.name}", waiting):
            self._holder = get_ident()
            try:
                yield waited.is_set()
            finally:
                self._holder = None

    @cached_property
    def owner(self) -> Owner:
        """Whom it belongs to: its maker, whoever is at work on it now."""
        if self._given_owner is not None:
            return self._given_owner
        present = containers.list_containers(self.engine, self.name).values()
        owners = (Owner.of(containers.labels(handle)) for handle in present)
        return next((owner for owner in owners if owner), Owner.user())

    @_one_at_a_time
    def init(self) -> None:
        """Make and start what is declared and not there; what runs is left alone."""
        self._check_images()
        containers.ensure_network(self.engine, self.name, self.owner.labels)
        present = containers.list_containers(self.engine, self.name)
        members = self._declared() | self._members(present)
        self._each(members, lambda one: one.init(one.name in present), "made and started")

    @_one_at_a_time
    def start(self) -> None:
        """Start what was made; a run_once container that has done its work stays as it is."""
        self._each(
            self._members(require_system(self.engine, self.name)), SystemContainer.start, "started"
        )

    @_one_at_a_time
    def stop(self, *, tidy: bool = False) -> None:
        """Stop what runs, each by its image's own signal, those first that need others.

        With `tidy` each is made ready before for an image to be made of it.
        """

        def stop(member: SystemContainer) -> None:
            if tidy:
                member.tidy()
            member.stop()

        members = self._members(require_system(self.engine, self.name))
        self._each(members, stop, "stopped", backwards=True)

    @_one_at_a_time
    def restart(self, names: Collection[str]) -> None:
        """Stop some containers, and start them again."""
        present = self._members(require_system(self.engine, self.name))
        members = {name: one for name, one in present.items() if name in names}
        self._each(members, SystemContainer.stop, "stopped", backwards=True)
        self._each(members, SystemContainer.start, "started")

    @_one_at_a_time
    def remove(self) -> None:
        """Remove whatever bears the system's label: containers, their volumes, the network."""
        present = containers.list_containers(self.engine, self.name)
        members = self._declared() | self._members(present)
        self._each(members, SystemContainer.remove, "removed", backwards=True)
        containers.remove_networks(self.engine, self.name)

    @_one_at_a_time
    def scale(self, name: str, count: int, drain_seconds: float) -> None:
        """See to it that there are `count` containers of one that is declared.

        The first bears the declared name, the others NAME-2 and on. Those that are too many are
        drained, each for `drain_seconds` at most, then stopped and removed; the last go first.
        """
        if name not in self.declaration.containers:
            raise LifecycleError(
                f"moromi.yml declares no container '{name}'",
                f"it declares {', '.join(self.declaration.containers)}",
            )
        users = [who for who, one in self.declaration.containers.items() if name in one.needs]
        if users and count > 1:
            raise LifecycleError(
                f"'{name}' cannot be more than one: {', '.join(users)} would not find the others",
                "scale what nothing else needs, such as a builder",
            )
        present = self._members(require_system(self.engine, self.name))
        wanted = [self._member(one, name) for one in _instances(name, count)]
        names = {member.name for member in wanted}
        surplus = [
            member
            for member in present.values()
            if member.declared == name and member.name not in names
        ]

        def take_away(member: SystemContainer) -> None:
            member.drain(drain_seconds)
            member.stop()
            member.remove()

        self._each({member.name: member for member in surplus}, take_away, "taken away")
        self._each(
            {member.name: member for member in wanted},
            lambda one: one.init(one.name in present),
            "made and started",
        )

    def needs(self, names: Iterable[str]) -> Graph:
        """What needs what among containers by their host names."""
        members = self._members(containers.list_containers(self.engine, self.name))
        return self._needs({name: member for name, member in members.items() if name in set(names)})

    def _member(self, name: str, declared: str) -> SystemContainer:
        return SystemContainer(
            self.engine, self.declaration, self.progress, self.name, self.owner, name, declared
        )

    def _declared(self) -> dict[str, SystemContainer]:
        return {name: self._member(name, name) for name in self.declaration.containers}

    def _members(self, present: dict[str, Handle]) -> dict[str, SystemContainer]:
        """Those that are on the engine, in the order of moromi.yml and then of their names."""
        place = {name: index for index, name in enumerate(self.declaration.containers)}
        members = [
            self._member(name, containers.state(handle, reload=False).declared)
            for name, handle in present.items()
        ]
        members.sort(key=lambda one: (place.get(one.declared, len(place)), one.name))
        return {member.name: member for member in members}

    @staticmethod
    def _needs(members: dict[str, SystemContainer]) -> Graph:
        return {
            name: member.settings.needs if member.settings else ()
            for name, member in members.items()
        }

    def _each(
        self,
        members: dict[str, SystemContainer],
        work: Callable[[SystemContainer], object],
        done: str,
        *,
        backwards: bool = False,
    ) -> None:
        """Do one thing with every member, each after those it needs, or before them."""
        needs = self._needs(members)
        outcomes = run_graph(
            reverse(needs) if backwards else needs,
            lambda name: work(members[name]),
            workers=_PARALLEL,
            on_done=self.progress.finish,
        )
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


def _instances(name: str, count: int) -> list[str]:
    return [name if number == 1 else f"{name}-{number}" for number in range(1, count + 1)]


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
        raise LifecycleError(
            f"there is no system called '{name}' on this engine", f"toji --system {name} init"
        )
    return present
