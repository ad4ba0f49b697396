"""Replace the state of a system by another one: all of it, or nothing.

New containers are created beside those that run, and volumes get the new content in a hidden folder
(see util/swap.py). The system stops only for the exchange. The old state is set aside, and deleted
once the new system is ready; if it does not become ready, the exchange is undone. If toji was
killed, `recover` does one or the other.
"""

import json
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from nagoya.engine import Handle, containers
from nagoya.engine.helper import run_helper
from nagoya.errors import LifecycleError
from nagoya.system import plan, reconcile, replace_plan
from nagoya.system.backup import has_secrets
from nagoya.system.observed import REPLACEMENT
from nagoya.system.plan import Plan
from nagoya.system.readiness import wait
from nagoya.system.system import System
from nagoya.utils.graph import waves
from nagoya.utils.lock import private_folder

SWAP_LABEL = "nagoya.swap"
"""On the image of a volume: the command of util/swap.py, as a JSON list."""
_HELPER_SECONDS = 24 * 3600.0


class TrialPassed(Exception):
    """Raised by a `check` whose only purpose was to see whether the new state is good."""


def replace_state(
    system: System,
    wanted: Mapping[str, str],
    fill: Callable[[], None],
    check: Callable[[], None],
    seconds: float,
    *,
    keep_ports: bool = True,
) -> None:
    """Exchange a system's containers for new ones, which `fill` has filled by then.

    `wanted` are host names of new containers with their declared names. `check` raises if the new
    state is not good. A system that does not exist is created. The caller holds the lock. Raises
    LifecycleError, and NotReady after `seconds`; the system is as it was then.
    """
    observed = system.observe()
    existed, volumes = observed.exists, replace_plan.volumes(system.declaration, observed, wanted)
    try:
        system.apply(volumes)
        for name in _swappable(system)[:1]:
            _swap(system, name, "prepare")  # from now on `recover` undoes this
        observed = system.observe()
        system.apply(
            replace_plan.stage(system.declaration, observed, wanted, keep_ports=keep_ports)
        )
        fill()
        _exchange(system, seconds)
        check()
    except BaseException as error:
        system.interrupted.clear()
        reason = "the trial has passed" if isinstance(error, TrialPassed) else "it failed"
        undo = "putting the old containers back" if existed else "removing the new containers"
        system.progress.log(f"{reason}; {undo}")
        _undo(system) if existed else _apply(system, plan.remove)
        raise
    _commit(system)
    _apply(system, reconcile.up)


def recover(system: System) -> bool:
    """Complete or undo an exchange that was interrupted; whether there was one, or another toji was
    at work, so that another file may declare the system now."""
    with system.lock() as waited:
        system.remove_helpers()
        shutil.rmtree(trial_home(system), ignore_errors=True)
        observed = system.observe()
        if not observed.aside and not observed.replacements:
            return waited
        pending = any("pending" in _swap(system, name, "state") for name in _swappable(system)[:1])
        if not observed.aside and not pending:
            return waited  # what an interrupted `up` has left
        if not pending and replace_plan.replaced(observed):
            system.progress.log("completing a restore or an upgrade that was interrupted")
            _commit(system)
        else:
            system.progress.log("undoing a restore or an upgrade that was interrupted")
            _undo(system)
        return True


def trial_home(system: System) -> Path:
    """The home of the trial's profile and credentials; gone with the trial."""
    return private_folder() / f"trial-{system.name}"


def new_container(system: System, declared: str) -> Handle:
    """The new container that will be the declared one."""
    return containers.get(system.engine, f"{system.name}-{declared}{REPLACEMENT}")


def swap(system: System, name: str, verb: str, *arguments: str) -> None:
    """Run a verb of util/swap.py on the volume that a container fills."""
    _swap(system, name, verb, *arguments)


def _exchange(system: System, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    _apply(system, replace_plan.exchange)
    for name in _swappable(system):
        _swap(system, name, "swap")
    present = containers.list_containers(system.engine, system.name)
    # One wave after the other: loading a database may take longer than the hub waits for it.
    for wave in waves(system.needs(present)):
        observed = system.observe()
        names = [name for name in wave if not observed.containers[name].completed]
        system.apply(plan.restart(system.declaration, observed, names))
        remaining = max(0.0, deadline - time.monotonic())
        wait(system, remaining, only=names, assume_dependencies_ready=True)


def _undo(system: System) -> None:
    """Put the old containers and the volumes' old content back, and start them."""
    _apply(system, replace_plan.remove_new)
    # Before the containers get their names back: the names tell `recover` that this is unfinished.
    for name in reversed(_swappable(system)):
        _swap(system, name, "revert")
    _apply(system, replace_plan.restore_old)
    back = reconcile.init(system.declaration, system.observe())
    system.apply(replace(back, notices=()))  # their images may be older ones


def _commit(system: System) -> None:
    # From the first of these on `recover` completes the exchange; before, it undoes it.
    for name in _swappable(system):
        _swap(system, name, "commit")
    _apply(system, replace_plan.remove_old)


def _apply(system: System, planner: Callable[..., Plan]) -> None:
    system.apply(planner(system.declaration, system.observe()))


def _swappable(system: System) -> list[str]:
    """The containers whose volumes can be exchanged; first one without secrets, whose content every
    exchange replaces."""
    present = containers.list_containers(system.engine, system.name)
    names = [name for name, handle in present.items() if containers.label(handle, SWAP_LABEL)]
    return sorted(names, key=lambda name: (has_secrets(containers.labels(present[name])), name))


def _swap(system: System, name: str, verb: str, *arguments: str) -> str:
    handle = containers.list_containers(system.engine, system.name)[name]
    command = json.loads(containers.label(handle, SWAP_LABEL) or "[]")
    (folder,) = containers.volume_paths(handle)
    status, output = run_helper(
        handle,
        f"{system.name}-swap-{secrets.token_hex(4)}",
        [*command, verb, folder, *arguments],
        system.owner.container_labels(system.name),
        seconds=_HELPER_SECONDS,
    )
    if status:
        raise LifecycleError(f"{name}: {output.strip()}")
    return output
