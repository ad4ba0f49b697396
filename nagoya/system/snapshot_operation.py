"""The steps of one call on the snapshot agents of a system, all with one deadline."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

from nagoya.engine import Handle
from nagoya.errors import EngineTimeout, LifecycleError, NagoyaError, NotReady
from nagoya.system import plan
from nagoya.system.readiness import wait
from nagoya.system.snapshot_agent import SnapshotAgent
from nagoya.system.system import System
from nagoya.utils.graph import waves
from nagoya.utils.parallel import raise_failures, run_graph

_PARALLEL = 16
CLEANUP_SECONDS = 90.0
"""How long a container may take to unlock writes, or to delete what a failed call has left."""
_RENEW_SECONDS = 15.0
"""A write lock expires after a minute unless it is renewed."""
_EXIT_SECONDS = 5.0
"""How long the engine may take to learn that a container has ended, after its programs have."""

_VERBS = {
    "list": ("listing snapshots", "could not list the snapshots"),
    "hold": ("locking writes", "could not lock writes"),
    "save": ("saving the state", "could not save the state"),
    "prepare": ("copying the snapshot", "could not copy the snapshot"),
    "switch": ("switching to the snapshot", "could not switch to the snapshot"),
    "release": ("unlocking writes", "could not unlock writes"),
    "drop": ("deleting the snapshot", "could not delete the snapshot"),
    "cut": ("keeping the state for the backup", "could not keep the state for the backup"),
    "dump": ("preparing the backup", "could not prepare the backup"),
    "discard": ("cleaning up", "could not clean up after the backup"),
    "describe": ("describing itself", "could not describe the system"),
}
"""What the progress says while a verb is under way, and an error when it fails."""


@dataclass(frozen=True)
class Snapshot:
    """A saved state: when it was saved, and its size in all containers together."""

    name: str
    created: datetime
    bytes: int


@dataclass
class SnapshotOperation:
    """One call on all snapshot agents of a system; the deadline, in monotonic seconds, is for the
    whole."""

    system: System
    agents: Mapping[str, SnapshotAgent]
    deadline: float

    def remaining(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def agents_with(self, verb: str) -> list[str]:
        """The containers whose snapshot program supports a verb."""
        return [name for name, agent in self.agents.items() if verb in agent.verbs]

    def ask(
        self,
        verb: str,
        *arguments: str,
        only: Collection[str] | None = None,
        seconds: float | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Ask all agents at once, or `only` some; the answer of each that supports the verb.

        They have `seconds`, by default up to the deadline. Raises LifecycleError.
        """
        progress, failure = _VERBS[verb]
        names = [name for name in self.agents_with(verb) if only is None or name in only]
        answers = {}
        limit = self.remaining() if seconds is None else seconds

        def task(name: str) -> None:
            if verb != "list":
                self.system.progress.update(name, "working", progress)
            agent = self.agents[name]
            try:
                answers[name] = agent.ask(verb, *arguments, seconds=limit)
            except NagoyaError:
                # A program that lost its session may have ended with its container.
                if verb != "release" or not agent.exits(_EXIT_SECONDS):
                    raise
                answers[name] = {"restart": True}

        results = run_graph(dict.fromkeys(names, ()), task, workers=_PARALLEL)
        late = any(isinstance(result.error, EngineTimeout) for result in results.values())
        hint = "--timeout SECONDS allows it longer" if late and seconds is None else None
        raise_failures(results, LifecycleError, failure, hint)
        return answers

    def snapshots(self) -> dict[str, Snapshot]:
        """The snapshots that are complete: in every container with a state."""
        return self.inventory()[0]

    def inventory(self) -> tuple[dict[str, Snapshot], set[str]]:
        """The snapshots that are complete, and the names of those that a container with a write
        lock has, and others do not."""
        answers = self.ask("list")
        lists = list(answers.values())
        complete = {
            name: Snapshot(
                name,
                datetime.fromtimestamp(min(entries[name]["created"] for entries in lists), UTC),
                sum(int(entries[name]["bytes"]) for entries in lists),
            )
            for name in (lists[0] if lists else ())
            if all(name in entries for entries in lists)
        }
        locked = [answers.get(name, {}) for name in self.agents_with("hold")]
        return complete, {name for entries in locked for name in entries}.difference(complete)

    def require(self, name: str) -> None:
        """Raise LifecycleError unless there is a snapshot of that name."""
        present = self.snapshots()
        if name not in present:
            raise LifecycleError(
                f"'{self.system.name}' has no snapshot called '{name}'",
                f"it has {', '.join(present)}"
                if present
                else "`toji snapshot create NAME` makes one",
            )

    def save(self, name: str) -> None:
        """Save the state; if that fails, delete what was saved, and nothing else."""
        with self.writes_locked(self.agents_with("hold")):
            try:
                self.ask("save", name)
            except BaseException:
                with suppress(NagoyaError):
                    self.ask("drop", name, seconds=CLEANUP_SECONDS)
                raise
        self.finish("save", f"saved '{name}'")

    def restore(self, name: str) -> set[str]:
        """Put a snapshot in the place of the state; the containers that were restarted."""
        with self.writes_locked(self.agents) as restart:
            self.ask("prepare", name)
            try:
                answers = self.ask("switch")
            except LifecycleError as error:
                raise LifecycleError(
                    error.message,
                    "some containers were switched and others were not; run the command again",
                ) from error
            restart |= {other for other, answer in answers.items() if answer.get("restart")}
        return restart

    def finish(self, verb: str, detail: str) -> None:
        """Show that the containers that support a verb are done."""
        for name in self.agents_with(verb):
            self.system.progress.update(name, "done", detail)

    @contextmanager
    def writes_locked(self, release: Collection[str]) -> Iterator[set[str]]:
        """Keep writes from beginning; then release those containers, and restart those that ask
        for it or that are added to the set.

        Raises LifecycleError if a lock expired meanwhile.
        """
        holders, locked = self.agents_with("hold"), []
        restart: set[str] = set()
        try:
            # One by one: if one refuses, only those before it are to be unlocked.
            for name in holders:
                self.ask("hold", only=[name])
                locked.append(name)
            with renewed([self.agents[name].handle for name in locked]):
                yield restart
        except BaseException:
            names = release if locked == holders else locked
            try:
                self.ask("release", only=names, seconds=CLEANUP_SECONDS)
            except NagoyaError as error:
                self.system.progress.log(error.message)
            raise
        self._release(release, restart)

    def _release(self, names: Collection[str], restart: set[str]) -> None:
        """Release each container after those it depends on, which are restarted and ready by then:
        a builder cannot continue until its hub answers."""
        expired = []
        order = waves({name: on for name, on in self.system.needs(names).items() if name in names})
        for number, wave in enumerate(order, start=1):
            answers = self.ask("release", only=wave, seconds=CLEANUP_SECONDS)
            expired += [name for name, answer in answers.items() if answer.get("lost")]
            restart |= {name for name, answer in answers.items() if answer.get("restart")}
            system, due = self.system, restart.intersection(wave)
            if due:
                system.apply(plan.restart(system.declaration, system.observe(), due))
                if number < len(order):
                    self._wait_restarted(due)
        if expired:
            raise LifecycleError(
                f"the write lock on {', '.join(expired)} expired before the snapshot was complete",
                "toji or the machine was probably suspended; run the command again",
            )

    def _wait_restarted(self, names: Collection[str]) -> None:
        try:
            wait(self.system, self.remaining(), only=names, assume_dependencies_ready=True)
        except NotReady as error:
            raise NotReady(
                f"the snapshot was restored, but {', '.join(names)} did not become ready after the "
                f"restart: {error.message}",
                f"toji --system {self.system.name} stop; toji --system {self.system.name} start",
            ) from error


@contextmanager
def renewed(holders: Collection[Handle]) -> Iterator[None]:
    """Renew write locks within a `with` block, by separate programs: the others may be busy.

    Renewals end with the block: a lock that is renewed after its release would stay for a minute.
    """
    done = Event()
    with ExitStack() as stack:
        agents = [stack.enter_context(closing(SnapshotAgent(handle))) for handle in holders]

        def renew() -> None:
            # A renewal that fails shows when the lock is released.
            with suppress(NagoyaError):
                while not done.wait(_RENEW_SECONDS):
                    for agent in agents:
                        agent.ask("renew", seconds=_RENEW_SECONDS)

        thread = Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
