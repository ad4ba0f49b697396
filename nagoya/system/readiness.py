"""Wait until a system is ready, and say why if it is not.

A container is asked by its image's own HEALTHCHECK, run in it right away: the engine runs it too,
but only every so many seconds, and Podman without systemd never does.
"""

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from nagoya.config.declaration import Declaration
from nagoya.engine import Handle, containers
from nagoya.engine.exec import execute
from nagoya.engine.state import State
from nagoya.errors import EngineError, EngineTimeout, NotReady
from nagoya.system import reconcile
from nagoya.system.observed import missing
from nagoya.system.system import System, require_system
from nagoya.utils.parallel import raise_failures, run_graph

WAIT_SECONDS = 180.0
"""How long a system may take to become ready, unless the caller says otherwise."""
_PATIENCE = 2.0
"""Seconds for which a failing health check may retry before it reports (see util/entry.py)."""
_CHECK_SECONDS = 10.0
"""How long a health check may take beyond its patience, until the deadline."""
_LAST_CHECK_SECONDS = 5.0
"""How long the last check may take, even past the deadline."""
_PAUSE = 0.2
_LOG_LINES, _SHOWN_LINES = 200, 15
_PARALLEL = 16


@dataclass(frozen=True)
class Health:
    """Whether a container is ready, and why.

    `final` if that cannot change by waiting; `checked` is false while it waits for another one.
    """

    ready: bool
    detail: str
    final: bool = False
    checked: bool = True


def check(handle: Handle, declaration: Declaration, patience: float, seconds: float) -> Health:
    """Run a container's health check, which may retry for `patience` and take `seconds` in all.

    A container that is declared `detach: false` is ready once it has exited with status 0.
    """
    state = containers.state(handle)
    if _completed(declaration, state):
        return Health(True, "completed")
    if not state.running:
        final = state.crash_loop or state.status in ("exited", "dead", "paused")
        return Health(False, describe_state(state), final)
    command = containers.healthcheck_command(handle)
    if command is None:
        return Health(True, "running")
    try:
        status, output = execute(
            handle, command, seconds=seconds, environment={"HEALTH_PATIENCE": f"{patience:.1f}"}
        )
    except EngineTimeout:
        return Health(False, f"the health check did not end within {seconds:.0f} s")
    except EngineError as error:  # the container may have exited meanwhile
        return Health(False, f"the health check failed: {error.message}")
    lines = output.strip().splitlines() or ["ready" if status == 0 else "not ready"]
    return Health(status == 0, lines[-1])


def check_all(
    handles: Mapping[str, Handle],
    declaration: Declaration,
    patience: float,
    seconds: float,
    on_health: Callable[[str, Health], None] = lambda name, health: None,
) -> dict[str, Health]:
    """Check all containers at once; `on_health` is called with each answer as it comes."""
    answers = {}

    def task(name: str) -> None:
        answers[name] = check(handles[name], declaration, patience, seconds)
        on_health(name, answers[name])

    results = run_graph(dict.fromkeys(handles, ()), task, workers=_PARALLEL)
    raise_failures(results, EngineError, "could not check the health of containers")
    return answers


def wait(
    system: System,
    seconds: float,
    only: Collection[str] | None = None,
    *,
    assume_dependencies_ready: bool = False,
) -> None:
    """Wait until the containers of a system are ready, each after those it depends on.

    `only` names those to wait for. With `assume_dependencies_ready` all are checked at once first.
    Raises NotReady after `seconds` (a check that hangs may take a few more), or as soon as a
    container has stopped or is missing: with the health of each that is not ready, and the last log
    lines of those to blame.
    """
    present = require_system(system.engine, system.name)
    dependencies = system.needs(present)
    pending = {name: present[name] for name in dependencies if only is None or name in only}
    if only is None:
        _check_system(system)
    system.progress.add(*pending)
    deadline = time.monotonic() + seconds

    def show(name: str, health: Health) -> None:
        system.progress.update(name, "done" if health.ready else "working", health.detail)

    while True:
        health: dict[str, Health] = {}
        for name in () if assume_dependencies_ready else pending:
            if others := [other for other in dependencies[name] if other in pending]:
                health[name] = Health(False, f"waiting for {', '.join(others)}", checked=False)
                system.progress.update(name, "waiting", health[name].detail)
        assume_dependencies_ready = False
        remaining = max(0.0, deadline - time.monotonic())
        patience = min(_PATIENCE, remaining)
        limit = min(patience + _CHECK_SECONDS, max(remaining, _LAST_CHECK_SECONDS))
        free = {name: handle for name, handle in pending.items() if name not in health}
        health |= check_all(free, system.declaration, patience, limit, show)
        pending = {name: handle for name, handle in pending.items() if not health[name].ready}
        if not pending:
            return
        if stopped := [name for name in pending if health[name].final]:
            raise NotReady(
                _message(f"not running: {', '.join(stopped)}", pending, health, stopped),
                f"`toji --system {system.name} logs {stopped[0]}` shows all it printed; correct "
                f"the cause, in {system.declaration.path} if it is a setting, then "
                f"`toji --system {system.name} up`",
            )
        if time.monotonic() >= deadline:
            checked = [name for name in pending if health[name].checked]
            raise NotReady(
                _message(f"not ready after {seconds:.0f} s", pending, health, checked),
                f"wait longer with --timeout, or see `toji --system {system.name} logs`",
            )
        if not any(answer.ready for answer in health.values()):
            time.sleep(_PAUSE)


def _check_system(system: System) -> None:
    """Raise NotReady if a declared container is missing or all are stopped, and LifecycleError if
    they do not belong together."""
    observed = system.observe()
    reconcile.check(system.declaration, observed)
    toji = f"toji --system {system.name}"
    if absent := missing(observed, system.declaration):
        raise NotReady(
            f"'{system.name}' has no container for {', '.join(absent)}, as moromi.yml declares",
            f"`{toji} up` creates what is missing, even if it was scaled to 0",
        )
    states = observed.containers.values()
    servers = [state for state in states if not _completed(system.declaration, state)]
    # A stop ends a container well, or by SIGTERM or SIGKILL.
    if servers and all(
        state.status == "exited" and state.exit_code in (0, 143, 137) and not state.out_of_memory
        for state in servers
    ):
        raise NotReady(f"'{system.name}' is stopped", f"{toji} start")


def _completed(declaration: Declaration, state: State) -> bool:
    """Whether a container that is declared to end has done so, well."""
    settings = declaration.containers.get(state.declared)
    return state.completed and not (settings and settings.detach)


def _message(
    reason: str,
    pending: Mapping[str, Handle],
    health: Mapping[str, Health],
    culprits: Collection[str],
) -> str:
    lines = [reason]
    for name in sorted(pending, key=lambda name: name not in culprits):
        status = containers.state(pending[name]).status
        lines.append(f"  {name} ({status}): {health[name].detail}")
    for name in culprits:
        log = containers.log(pending[name], tail=_LOG_LINES)
        # A line that is repeated, but for numbers such as the time, is shown where it was last.
        distinct: dict[str, str] = {}
        for line in log:
            text = re.sub(r"\d+", "", line)
            distinct.pop(text, None)
            distinct[text] = line
        if distinct:
            lines.append(f"  last lines of {name}:")
        lines += [f"    {line}" for line in [*distinct.values()][-_SHOWN_LINES:]]
    return "\n".join(lines)


def describe_state(state: State) -> str:
    """The state of a container in a few words, such as `exited with status 3`."""
    if state.out_of_memory and not state.running:
        return "was killed: out of memory"
    if state.status not in ("exited", "restarting"):
        return state.status
    end = "was killed" if state.exit_code == 137 else f"exited with status {state.exit_code}"
    return f"{end}, and is started again" if state.status == "restarting" else end
