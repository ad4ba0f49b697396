"""Keeping a system's state, and going back to it, while the system runs.

What the state is, and how it is kept, the images know: each says by its label how its containers
are asked (util/snapshot.py tells the verbs). Here is only the order of it. URLs, ports, profile
and credentials are no part of the state, and stay. The first `wait` keeps the state as `pristine`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nagoya.engine import containers
from nagoya.engine.containers import Handle
from nagoya.errors import LifecycleError, NagoyaError
from nagoya.readiness import wait
from nagoya.schedule import carry_out
from nagoya.system import System, found

SNAPSHOT_LABEL = "nagoya.snapshot"
"""On an image: the command, as a JSON list, that its containers are asked with."""
VERBS_LABEL = "nagoya.snapshot.verbs"
"""On the same image: the words that they are to be asked, with blanks between."""
PRISTINE = "pristine"
"""What the state after the first wait is kept as."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_PARALLEL = 8


@dataclass(frozen=True)
class Snapshot:
    """A state that is kept: since when, and the room that it takes in all containers together."""

    name: str
    created: datetime
    bytes: int


def ready(system: System, seconds: float) -> None:
    """Wait until a system is ready, as `readiness.wait` does; the first time, keep its state."""
    wait(system, seconds)
    with system.alone():
        keepers = _keepers(system)
        if keepers and PRISTINE not in _kept(system, keepers):
            try:
                _save(system, keepers, PRISTINE)
            except LifecycleError as error:
                system.board.say(f"`toji reset` will find nothing to go back to: {error.message}")


def kept(system: System) -> list[Snapshot]:
    """What is kept of a system, the oldest first. Raises LifecycleError."""
    return sorted(_kept(system, _awake(system)).values(), key=lambda one: one.created)


def save(system: System, name: str) -> None:
    """Keep the state of a running system. Raises LifecycleError, and has kept nothing then."""
    _check(name)
    with system.alone():
        keepers = _awake(system)
        if name in _kept(system, keepers):
            raise LifecycleError(
                f"'{system.name}' has a snapshot called '{name}' already",
                f"`toji drop {name}` first, or choose another name",
            )
        _save(system, keepers, name)


def drop(system: System, name: str) -> None:
    """Keep a state no longer. Raises LifecycleError where there is none of that name."""
    _check(name)
    with system.alone():
        keepers = _awake(system)
        _known(system, keepers, name)
        _ask(system, keepers, "drop", name, doing="dropping")


def reset(system: System, name: str, seconds: float) -> None:
    """Go back to what was kept, and wait until the system is ready again.

    What is stopped is started. Raises LifecycleError, and NotReady after so many `seconds`.
    """
    with system.alone():
        if any(_asleep(system)):
            system.start()
            wait(system, seconds)
        keepers = _awake(system)
        try:
            _prepare(system, keepers, name)
            _ask(system, keepers, "hold", doing="holding")
            switched = _ask(system, keepers, "switch", doing="going back")
        finally:
            released = _ask(system, keepers, "release", doing="going on")
        answers = [*switched.items(), *released.items()]
        system.restart({one for one, answer in answers if answer.get("restart")})
        wait(system, seconds, presumed=True)


def _prepare(system: System, keepers: Mapping[str, Handle], name: str) -> None:
    try:
        _ask(system, keepers, "prepare", name, doing="preparing")
    except LifecycleError:
        _known(system, keepers, name)
        raise


def _save(system: System, keepers: Mapping[str, Handle], name: str) -> None:
    try:
        _ask(system, keepers, "hold", doing="holding")
        _ask(system, keepers, "save", name, doing=f"keeping '{name}'")
    except BaseException:
        _ask(system, keepers, "drop", name, doing="giving up")
        raise
    finally:
        # The others have nothing to let go of: that comes of a switch.
        holders = {name: one for name, one in keepers.items() if "hold" in _verbs(one)}
        _ask(system, holders, "release", doing="going on")
    for one in keepers:
        system.board.update(one, "done", f"kept '{name}'")


def _keepers(system: System) -> dict[str, Handle]:
    """The containers that have a part in it."""
    return {
        name: handle
        for name, handle in found(system.engine, system.name).items()
        if containers.label(handle, SNAPSHOT_LABEL)
    }


def _asleep(system: System) -> list[str]:
    """Those that have a part in it, and do not run."""
    keepers = sorted(_keepers(system).items())
    return [name for name, one in keepers if not containers.state(one).running]


def _awake(system: System) -> dict[str, Handle]:
    """All that have a part in it; LifecycleError unless all run, and there is one."""
    keepers, asleep = _keepers(system), _asleep(system)
    if not keepers:
        raise LifecycleError(
            f"no container of '{system.name}' says how to keep its state",
            "the images of this Nagoya say it: `toji remove`, `moromi build`, `toji init`",
        )
    if asleep:
        raise LifecycleError(
            f"not running: {', '.join(asleep)}", f"toji --system {system.name} start"
        )
    return keepers


def _kept(system: System, keepers: Mapping[str, Handle]) -> dict[str, Snapshot]:
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


def _known(system: System, keepers: Mapping[str, Handle], name: str) -> None:
    there = _kept(system, keepers)
    if name not in there:
        raise LifecycleError(
            f"'{system.name}' has no snapshot called '{name}'",
            f"it has {', '.join(there)}" if there else "the first `toji wait` makes one",
        )


def _ask(
    system: System, keepers: Mapping[str, Handle], verb: str, *words: str, doing: str
) -> dict[str, dict[str, Any]]:
    """Ask all that have a part in it at once; what each answers. Raises LifecycleError with all
    that went wrong."""
    asked = {name: handle for name, handle in keepers.items() if verb in _verbs(handle)}
    answers = {}

    def ask(name: str) -> None:
        system.board.update(name, "working", doing)
        answers[name] = _answer(asked[name], verb, *words)

    outcomes = carry_out(dict.fromkeys(asked, ()), ask, workers=_PARALLEL)
    failed = {name: one.error for name, one in outcomes.items() if one.error}
    if failed:
        causes = "\n".join(f"  {name}: {error}" for name, error in failed.items())
        hints = (error.hint for error in failed.values() if isinstance(error, NagoyaError))
        raise LifecycleError(f"{doing} failed:\n{causes}", next(filter(None, hints), None))
    return answers


def _verbs(handle: Handle) -> list[str]:
    return (containers.label(handle, VERBS_LABEL) or "").split()


def _answer(handle: Handle, *words: str) -> Any:
    command = json.loads(containers.label(handle, SNAPSHOT_LABEL) or "[]")
    status, said = containers.execute(handle, [*command, *words])
    message, _, hint = said.strip().partition("\n  hint: ")
    if status:
        raise LifecycleError(message, hint or None)
    return json.loads(said.splitlines()[-1])


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise LifecycleError(
            f"'{name}' cannot name a snapshot",
            "use lower-case letters, digits and inner dashes, 40 characters at most",
        )
    if name == PRISTINE:
        raise LifecycleError(
            f"'{PRISTINE}' is the state after the first `toji wait`, and stays",
            "choose another name",
        )
