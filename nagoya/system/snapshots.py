"""Save the state of a running system, and restore it.

What the state is, and how to save it, only the images' snapshot programs know (see
util/snapshot.py); here they are called in the right order. URLs, ports, profile and credentials are
no part of the state. The first `wait` saves the state as `pristine`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from nagoya.config.extends import option
from nagoya.engine import containers, images
from nagoya.engine.state import CONTAINER_LABEL
from nagoya.errors import LifecycleError, NotReady
from nagoya.system import plan
from nagoya.system.observed import check_whole
from nagoya.system.readiness import wait
from nagoya.system.snapshot_agent import VERBS_LABEL, SnapshotAgent, snapshot_agents
from nagoya.system.snapshot_operation import CLEANUP_SECONDS, Snapshot, SnapshotOperation
from nagoya.system.system import System, check_name, require_system

PRISTINE = "pristine"
"""The name of the snapshot that the first wait makes."""

RESTORED = "+restored"
"""The entry that keeps the first wait from saving `pristine` in a restored system."""
RESET_SECONDS = 180.0
"""How long a reset may take, until the system is ready again."""
CREATE_SECONDS = 600.0
"""How long it may take to make a snapshot."""
_PRISTINE_SECONDS = 120.0
"""The least time that the snapshot of the first wait may take."""
_START_SECONDS = 60.0
"""How long a reset waits for containers that it has started, before it continues without them."""


def wait_and_snapshot(system: System, seconds: float) -> None:
    """Wait until a system is ready, as `readiness.wait` does; save its state the first time.

    A snapshot that fails is logged, and the next call tries again.
    """
    deadline = time.monotonic() + max(seconds, _PRISTINE_SECONDS)
    wait(system, seconds)
    try:
        with snapshot_agents(require_system(system.engine, system.name)) as agents:
            operation = SnapshotOperation(system, agents, deadline)
            # Only the first wait has to wait for other commands on this system.
            complete, old = operation.inventory()
            if not agents or PRISTINE in complete:
                return
            if PRISTINE in old and RESTORED not in old:
                system.progress.log(
                    f"the snapshot '{PRISTINE}' was not made: an earlier one is incomplete, "
                    "perhaps because a container was lost. "
                    f"`toji --system {system.name} restore --replace FILE` restores a backup"
                )
            if old:
                return
            with system.lock() as waited:
                if not (waited and PRISTINE in operation.snapshots()):
                    operation.save(PRISTINE)
    except LifecycleError as error:
        system.progress.log(
            f"the snapshot '{PRISTINE}' was not made, so `toji reset` will not work: "
            f"{error.message}\n  the next `toji wait` tries again, with the state at that time"
        )


def list_snapshots(system: System, seconds: float = CLEANUP_SECONDS) -> list[Snapshot]:
    """The snapshots of a system, the oldest first. Raises LifecycleError."""
    check_whole(system.observe())
    with operation_on(system, time.monotonic() + seconds) as operation:
        return sorted(operation.snapshots().values(), key=lambda snapshot: snapshot.created)


def create_snapshot(system: System, name: str, seconds: float = CREATE_SECONDS) -> None:
    """Save the state of a running system. Raises LifecycleError, and leaves no snapshot then."""
    _check_name(name)
    with system.lock(), operation_on(system, time.monotonic() + seconds) as operation:
        if name in operation.snapshots():
            raise LifecycleError(
                f"'{system.name}' already has a snapshot called '{name}'",
                f"choose another name, or `toji --system {system.name} snapshot delete {name}`",
            )
        operation.save(name)


def delete_snapshot(system: System, name: str) -> None:
    """Delete a snapshot. Raises LifecycleError if there is none of that name."""
    _check_name(name)
    with system.lock(), operation_on(system, time.monotonic() + CLEANUP_SECONDS) as operation:
        operation.require(name)
        operation.ask("drop", name)
        operation.finish("drop", "deleted")


def restore_snapshot(system: System, name: str = PRISTINE, seconds: float = RESET_SECONDS) -> None:
    """Return to a snapshot, and wait until the system is ready again.

    Starts what is stopped. Raises LifecycleError, and NotReady after `seconds`.
    """
    deadline = time.monotonic() + seconds
    with system.lock():
        _start_stopped(system, deadline)
        with operation_on(system, deadline) as operation:
            operation.require(name)
            restarted = operation.restore(name)
            with_state = operation.agents_with("list")
            operation.finish("release", "restored")
        # The other containers do not depend on the state. A builder that was disabled in it is
        # disabled.
        try:
            wait(
                system,
                max(0.0, deadline - time.monotonic()),
                only={*with_state, *restarted},
                assume_dependencies_ready=True,
            )
        except NotReady as error:
            raise NotReady(
                f"'{name}' was restored, but the wait failed: {error.message}",
                f"`toji --system {system.name} wait` waits longer",
            ) from error


@contextmanager
def operation_on(system: System, deadline: float) -> Iterator[SnapshotOperation]:
    """An operation on a system whose agents all run; LifecycleError otherwise."""
    check_parts(system, _holds_state)
    with snapshot_agents(require_system(system.engine, system.name)) as agents:
        if not agents:
            raise LifecycleError(
                f"no container of '{system.name}' can save its state",
                f"its images have no snapshot program: `moromi {option(system.declaration.path)} "
                f"build` makes newer ones, and `toji --system {system.name} up --recreate "
                "kojidatabase` moves the system to them and keeps its data",
            )
        stopped = _stopped(agents)
        if stopped:
            raise LifecycleError(
                f"not running: {', '.join(stopped)}", f"toji --system {system.name} up"
            )
        yield SnapshotOperation(system, agents, deadline)


def check_parts(system: System, is_needed: Callable[[Mapping[str, str]], bool]) -> None:
    """Raise LifecycleError if the system has lost a container that is needed, by the labels of its
    image."""
    present = require_system(system.engine, system.name).values()
    there = {containers.label(handle, CONTAINER_LABEL) for handle in present}
    for name, declared in system.declaration.containers.items():
        image = None if name in there else images.find(system.engine, declared.image)
        if image and is_needed(image["Config"].get("Labels") or {}):
            raise LifecycleError(
                f"'{system.name}' has lost its container {name}, and what was in it",
                f"`toji --system {system.name} up` creates an empty one; `toji --system "
                f"{system.name} restore --replace FILE` returns to a backup",
            )


def _holds_state(labels: Mapping[str, str]) -> bool:
    return "list" in labels.get(VERBS_LABEL, "").split()


def _start_stopped(system: System, deadline: float) -> None:
    """Start the containers that are stopped: the snapshots are inside.

    A hub that does not become ready is no obstacle: it may be what the reset is to repair.
    """
    check_parts(system, _holds_state)
    with snapshot_agents(require_system(system.engine, system.name)) as agents:
        if not _stopped(agents):
            return
        system.apply(plan.start(system.declaration, system.observe()))
        try:
            wait(system, min((deadline - time.monotonic()) / 2, _START_SECONDS))
        except NotReady as error:
            if stopped := _stopped(agents):
                raise NotReady(
                    f"only a running system can be reset, and '{system.name}' does not start: "
                    f"{', '.join(stopped)}: {error.message}",
                    error.hint,
                ) from error
            system.progress.log(f"{error.message}\nresetting it anyway")


def _stopped(agents: Mapping[str, SnapshotAgent]) -> list[str]:
    """Those whose containers do not run, each with its state."""
    states = {name: agent.state() for name, agent in agents.items()}
    return [f"{name} ({state.status})" for name, state in states.items() if not state.running]


def _check_name(name: str) -> None:
    check_name(name, "a snapshot")
    if name == PRISTINE:
        raise LifecycleError(
            f"'{PRISTINE}' is the snapshot of the first `toji wait`, and cannot be changed",
            "choose another name",
        )
