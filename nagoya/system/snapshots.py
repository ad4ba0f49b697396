"""Keeping a system's state, and going back to it, while the system runs.

What the state is, and how it is kept, the images know: each says by its label how its containers
are asked (util/snapshot.py tells the verbs). Here is only the order of it. URLs, ports, profile
and credentials are no part of the state, and stay. The first `wait` keeps the state as `pristine`.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

from nagoya.errors import LifecycleError, NagoyaError, NotReady
from nagoya.system import plan
from nagoya.system.readiness import wait
from nagoya.system.snapshot_agent import SnapshotAgent, snapshot_agents
from nagoya.system.system import System, check_name, require_system
from nagoya.utils.parallel import run_graph

PRISTINE = "pristine"
"""What the state after the first wait is kept as."""

_PARALLEL = 8
_RENEW_SECONDS = 15.0
"""Those that hold writes let them go after a minute in which they hear nothing."""


@dataclass(frozen=True)
class Snapshot:
    """A state that is kept: since when, and the room that it takes in all containers together."""

    name: str
    created: datetime
    bytes: int


def wait_and_snapshot(system: System, seconds: float) -> None:
    """Wait until a system is ready, as `readiness.wait` does; the first time, keep its state.

    Where that cannot be it is said, and the next call tries again, with the state as it is then.
    """
    wait(system, seconds)
    try:
        with snapshot_agents(require_system(system.engine, system.name)) as keepers:
            # Nobody waits for another's work on the system but for the first time.
            if not keepers or _is_kept(system, keepers, PRISTINE):
                return
            with system.lock() as waited:
                if not (waited and _is_kept(system, keepers, PRISTINE)):
                    _save(system, keepers, PRISTINE)
    except LifecycleError as error:
        system.progress.log(
            f"the state could not be kept, and `toji reset` will find nothing to go back to: "
            f"{error.message}\n  the next `toji wait` tries again, with the state as it is then"
        )


def kept(system: System) -> list[Snapshot]:
    """What is kept of a system, the oldest first. Raises LifecycleError."""
    with _awake(system) as keepers:
        return sorted(_kept(system, keepers).values(), key=lambda one: one.created)


def save(system: System, name: str) -> None:
    """Keep the state of a running system. Raises LifecycleError, and has kept nothing then."""
    _check(name)
    with system.lock(), _awake(system) as keepers:
        if name in _kept(system, keepers):
            raise LifecycleError(
                f"'{system.name}' has a snapshot called '{name}' already",
                f"`toji drop {name}` first, or choose another name",
            )
        _save(system, keepers, name)


def drop(system: System, name: str) -> None:
    """Keep a state no longer. Raises LifecycleError where there is none of that name."""
    _check(name)
    with system.lock(), _awake(system) as keepers:
        _known(system, keepers, name)
        _ask(system, keepers, "drop", name, doing="dropping")


def reset(system: System, name: str, seconds: float = 180) -> None:
    """Go back to what was kept, and wait until the system is ready again.

    What is stopped is started. Raises LifecycleError, and NotReady after so many `seconds`.
    """
    with system.lock():
        _start(system, seconds)
        released: dict[str, dict[str, Any]] = {}
        with _awake(system) as keepers:
            with _held(system, keepers, released, everybody=True):
                try:
                    _ask(system, keepers, "prepare", name, doing="preparing")
                except LifecycleError:
                    _known(system, keepers, name)
                    raise
                switched = _switch(system, keepers)
            with_state = {one for one, keeper in keepers.items() if "list" in keeper.verbs}
        answers = [*switched.items(), *released.items()]
        restarted = {one for one, answer in answers if answer.get("restart")}
        if restarted:
            system.restart(restarted)
        # The others go on as they were; a builder that somebody disabled is no more ready now.
        wait(system, seconds, only=with_state | restarted, presumed=True)


def _switch(system: System, keepers: Mapping[str, SnapshotAgent]) -> dict[str, dict[str, Any]]:
    try:
        return _ask(system, keepers, "switch", doing="going back")
    except LifecycleError as error:
        raise LifecycleError(
            error.message, "parts have gone back and others not: give the command again"
        ) from error


def _start(system: System, seconds: float) -> None:
    """Start what is stopped, for its state is within it."""
    with snapshot_agents(require_system(system.engine, system.name)) as keepers:
        asleep = _asleep(keepers)
    if asleep:
        try:
            system.apply(plan.start(system.declaration, system.observe()))
            wait(system, seconds)
        except (LifecycleError, NotReady) as error:
            raise type(error)(
                f"a state comes back into a system that runs, and this one does not start:\n"
                f"{error.message}",
                error.hint,
            ) from error


def _save(system: System, keepers: Mapping[str, SnapshotAgent], name: str) -> None:
    try:
        with _held(system, keepers, {}, everybody=False):
            _ask(system, keepers, "save", name, doing=f"keeping '{name}'")
    except BaseException:
        _ask(system, keepers, "drop", name, doing="giving up")
        raise
    for one in keepers:
        system.progress.update(one, "done", f"kept '{name}'")


@contextmanager
def _held(
    system: System,
    keepers: Mapping[str, SnapshotAgent],
    released: dict[str, dict[str, Any]],
    *,
    everybody: bool,
) -> Iterator[None]:
    """Let no write begin for a while, as long as it takes; `released` gets what is answered when
    they may again, by `everybody` or by those alone who hold them.

    Raises LifecycleError where writes went on before that, as they do when nobody is heard of.
    """
    held: dict[str, SnapshotAgent] = {}
    holders = {name: one for name, one in sorted(keepers.items()) if "hold" in one.verbs}
    over = Event()
    try:
        # One by one: whoever is refused by one must let the others go, and nobody else's.
        for name, keeper in holders.items():
            _ask(system, {name: keeper}, "hold", doing="holding")
            held[name] = keeper
        Thread(target=_renew, args=(held, over), daemon=True).start()
        yield
    finally:
        over.set()
        let_go = keepers if everybody and len(held) == len(holders) else held
        released.update(_ask(system, let_go, "release", doing="going on"))
    lost = [name for name, answer in released.items() if answer.get("lost")]
    if lost:
        raise LifecycleError(
            f"it took so long that {', '.join(lost)} went on before it was done",
            "give the command again; was this process, or the machine, asleep?",
        )


def _renew(held: Mapping[str, SnapshotAgent], over: Event) -> None:
    """Beside what they are asked meanwhile, which may take long."""
    with ExitStack() as stack:
        beside = [stack.enter_context(SnapshotAgent(one.handle)) for one in held.values()]
        while not over.wait(_RENEW_SECONDS):
            try:
                for keeper in beside:
                    keeper.ask("renew")
            except NagoyaError:
                return  # the release tells what came of it


def _asleep(keepers: Mapping[str, SnapshotAgent]) -> list[str]:
    """Those that do not run, each with its state."""
    states = {name: one.state() for name, one in sorted(keepers.items())}
    return [f"{name} ({state.status})" for name, state in states.items() if not state.running]


@contextmanager
def _awake(system: System) -> Iterator[dict[str, SnapshotAgent]]:
    """All that have a part in it; LifecycleError unless all run, and there is one."""
    with snapshot_agents(require_system(system.engine, system.name)) as keepers:
        asleep = _asleep(keepers)
        if not keepers:
            raise LifecycleError(
                f"no container of '{system.name}' says how to keep its state",
                "the images of this Nagoya say it: `toji remove`, `moromi build`, `toji init`",
            )
        if asleep:
            raise LifecycleError(
                f"not running: {', '.join(asleep)}", f"toji --system {system.name} start"
            )
        yield keepers


def _kept(system: System, keepers: Mapping[str, SnapshotAgent]) -> dict[str, Snapshot]:
    """What is kept, whole: in every container that has a state at all."""
    lists = list(_ask(system, keepers, "list", doing="looking").values())
    return {
        name: Snapshot(
            name,
            datetime.fromtimestamp(min(one[name]["created"] for one in lists), UTC),
            sum(int(one[name]["bytes"]) for one in lists),
        )
        for name in (lists[0] if lists else ())
        if all(name in one for one in lists)
    }


def _is_kept(system: System, keepers: Mapping[str, SnapshotAgent], name: str) -> bool:
    """Whether it is in all; the first that lacks it is enough for a no."""
    with_state = [
        {one: keeper} for one, keeper in sorted(keepers.items()) if "list" in keeper.verbs
    ]
    return bool(with_state) and all(name in _kept(system, one) for one in with_state)


def _known(system: System, keepers: Mapping[str, SnapshotAgent], name: str) -> None:
    there = _kept(system, keepers)
    if name not in there:
        raise LifecycleError(
            f"'{system.name}' has no snapshot called '{name}'",
            f"it has {', '.join(there)}" if there else "the first `toji wait` makes one",
        )


def _ask(
    system: System, keepers: Mapping[str, SnapshotAgent], verb: str, *words: str, doing: str
) -> dict[str, dict[str, Any]]:
    """Ask all that have a part in it at once; what each answers. Raises LifecycleError with all
    that went wrong."""
    asked = {name: one for name, one in keepers.items() if verb in one.verbs}
    answers = {}

    def ask(name: str) -> None:
        system.progress.update(name, "working", doing)
        try:
            answers[name] = asked[name].ask(verb, *words)
        except NagoyaError:
            # A daemon that lost its session may have ended with its container.
            if verb != "release" or asked[name].state().running:
                raise
            answers[name] = {"restart": True}

    outcomes = run_graph(dict.fromkeys(asked, ()), ask, workers=_PARALLEL)
    failed = {name: one.error for name, one in outcomes.items() if one.error}
    if failed:
        causes = "\n".join(f"  {name}: {error}" for name, error in failed.items())
        hints = (error.hint for error in failed.values() if isinstance(error, NagoyaError))
        raise LifecycleError(f"{doing} failed:\n{causes}", next(filter(None, hints), None))
    return answers


def _check(name: str) -> None:
    check_name(name, "a snapshot")
    if name == PRISTINE:
        raise LifecycleError(
            f"'{PRISTINE}' is the state after the first `toji wait`, and stays",
            "choose another name",
        )
