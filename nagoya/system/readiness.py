"""Waiting until a system does what it is for, and saying why where it does not.

The question asked is the image's own HEALTHCHECK, run in the container at once and again: the
engine asks it too, but in intervals of many seconds, and Podman without systemd never does.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass

from nagoya.config.declaration import Declaration
from nagoya.engine import Handle, containers
from nagoya.engine.containers import State
from nagoya.errors import EngineTimeout, NotReady
from nagoya.system.system import System, require_system
from nagoya.utils.parallel import run_graph

_PATIENCE = 2.0
"""Seconds that an answer may take which is no; then what it says is shown."""
_PAUSE = 0.2
_LEAST_SECONDS = 1.0
_CHECK_SECONDS = 60.0
"""How long a health check may take, if the wait lasts that long."""
_LOG_LINES = 15
_PARALLEL = 8


@dataclass(frozen=True)
class Answer:
    """Whether a container is ready, and what it says of itself.

    `final` if that will not change; `asked` is false of one that waits for another's answer.
    """

    ready: bool
    text: str
    final: bool = False
    asked: bool = True


def ask(handle: Handle, declaration: Declaration, patience: float, seconds: float) -> Answer:
    """Ask one container; one that is declared `detach: false` is ready once it ended well.

    An image that knows of patience says no only after so many seconds (see util/entry.py). A health
    check that has not ended after `seconds` is killed.
    """
    state = containers.state(handle)
    settings = declaration.containers.get(state.declared)
    if state.completed and not (settings and settings.detach):
        return Answer(True, "done")
    if not state.running:
        return Answer(False, _ending(state), final=state.status in ("exited", "dead"))
    test = containers.health_test(handle)
    if test is None:
        return Answer(True, "running")
    try:
        status, output = containers.execute(
            handle, test, seconds=seconds, environment={"HEALTH_PATIENCE": f"{patience:.1f}"}
        )
    except EngineTimeout:
        return Answer(False, f"the health check did not end within {seconds:.0f} s")
    lines = output.strip().splitlines()
    return Answer(status == 0, lines[-1] if lines else f"health check ended with {status}")


def wait(
    system: System,
    seconds: float,
    only: Collection[str] | None = None,
    *,
    presumed: bool = False,
) -> None:
    """Wait until every container of a system is ready, or `only` some; first those others need.

    Where they are `presumed` to be, all are asked at once. Raises NotReady at the deadline, or as
    soon as a container has ended badly: with the state and the last answer of each that is not
    ready, and its last log lines unless it only waits for another.
    """
    present = require_system(system.engine, system.name)
    open_ = {name: handle for name, handle in present.items() if only is None or name in only}
    needs = system.needs(open_)
    deadline = time.monotonic() + seconds
    while True:
        begun = time.monotonic()
        waiting_for = {
            name: [] if presumed else [other for other in needs.get(name, ()) if other in open_]
            for name in open_
        }
        presumed = False
        asked = {name: handle for name, handle in open_.items() if not waiting_for[name]}
        answers = {
            name: Answer(False, f"needs {', '.join(others)} first", asked=False)
            for name, others in waiting_for.items()
        } | _asked(asked, system, max(0.0, deadline - begun))
        open_ = {name: handle for name, handle in open_.items() if not answers[name].ready}
        if not open_:
            return
        if any(answer.final for answer in answers.values()):
            raise NotReady(_why("a container has ended", open_, answers))
        if time.monotonic() >= deadline:
            raise NotReady(
                _why(f"not ready after {seconds:.0f} s", open_, answers),
                f"give it longer with --timeout, or look at `toji --system {system.name} logs`",
            )
        if not any(answer.ready for answer in answers.values()):
            time.sleep(_PAUSE)


def _asked(asked: dict[str, Handle], system: System, seconds: float) -> dict[str, Answer]:
    """What each answers, all asked at once; the progress shows it."""
    answers = {}

    def one(name: str) -> None:
        patience = min(_PATIENCE, seconds)
        limit = max(_LEAST_SECONDS, min(_CHECK_SECONDS, seconds))
        answer = answers[name] = ask(asked[name], system.declaration, patience, limit)
        system.progress.update(name, "done" if answer.ready else "working", answer.text)

    outcomes = run_graph(dict.fromkeys(asked, ()), one, workers=_PARALLEL)
    for outcome in outcomes.values():
        if outcome.error:
            raise outcome.error
    return answers


def _why(ended: str, open_: dict[str, Handle], answers: dict[str, Answer]) -> str:
    parts = [ended]
    for name, handle in open_.items():
        state = containers.state(handle)
        health = f", {state.health}" if state.health else ""
        parts.append(f"  {name} ({state.status}{health}): {answers[name].text}")
        if answers[name].asked:
            parts.extend(f"    {line}" for line in containers.last_lines(handle, _LOG_LINES))
    return "\n".join(parts)


def _ending(state: State) -> str:
    if state.out_of_memory:
        return "killed: out of memory"
    if state.status == "exited":
        return f"ended with status {state.exit_code}"
    return state.status
