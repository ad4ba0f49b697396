"""How a system is at this moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nagoya.engine import containers, images
from nagoya.engine.state import parse_time
from nagoya.errors import EngineError
from nagoya.system.observed import conflicts, differences, missing
from nagoya.system.readiness import check_all, describe_state
from nagoya.system.system import System, require_system

_CHECK_SECONDS = 5.0


@dataclass(frozen=True)
class ContainerStatus:
    """A container, and the answer of its health check a moment ago.

    `container` is the engine's name of it, `state` Docker's word, `description` a few words.
    `image_created` is None if the image is gone, `exit_code` while it runs. `ports` maps a port of
    the container to that of the engine's machine, and `addresses` to the address there.
    """

    name: str
    container: str
    created: datetime
    image: str
    image_id: str
    image_created: datetime | None
    state: str
    description: str
    ready: bool
    health: str
    exit_code: int | None
    address: str | None
    host: str
    ports: Mapping[int, int]
    addresses: Mapping[int, str]


@dataclass(frozen=True)
class SystemStatus:
    """A system: its containers in the order of moromi.yml, and what is wrong with it.

    `file` is the moromi.yml that declared it; `differences` has what a container was created with
    other than what is declared now. `conflicts` are sentences; see observed.py. It is `ready` if
    all that is declared is there, and ready.
    """

    system: str
    ready: bool
    file: Path
    containers: Sequence[ContainerStatus]
    missing: Sequence[str]
    differences: Mapping[str, Sequence[str]]
    conflicts: Sequence[str]


def read_status(system: System) -> SystemStatus:
    """Look at a system, and run all health checks, for 5 seconds at most. Raises LifecycleError if
    there is none of that name."""
    present = require_system(system.engine, system.name)
    present = {name: present[name] for name in system.needs(present)}
    health = check_all(present, system.declaration, 0.0, _CHECK_SECONDS)
    observed = system.observe()
    rows = [
        ContainerStatus(
            name=name,
            container=state.container,
            created=containers.created(present[name]),
            image=state.image,
            image_id=state.image_id,
            image_created=_image_created(system, state.image_id),
            state=state.status,
            description=describe_state(state) if state.running or not ready else "completed",
            ready=ready,
            health=health[name].detail,
            exit_code=None if state.running else state.exit_code,
            address=state.address,
            host=state.host,
            ports=state.ports,
            addresses=state.addresses,
        )
        for name in present
        if (state := observed.containers.get(name) or observed.replacements.get(name))
        for ready in [health[name].ready]
    ]
    absent = [name for name in missing(observed, system.declaration) if name not in present]
    sentences = conflicts(observed, system.declaration)
    if observed.aside:
        sentences.append(
            "a restore or an upgrade is under way, whose trial has ports of its own; if it was "
            f"interrupted, `toji --system {system.name} up` completes or undoes it"
        )
    return SystemStatus(
        system=system.name,
        ready=not absent and not sentences and all(row.ready for row in rows),
        file=observed.config_file or system.declaration.path,
        containers=rows,
        missing=absent,
        differences=differences(observed, system.declaration),
        conflicts=sentences,
    )


def _image_created(system: System, image: str) -> datetime | None:
    try:
        return parse_time(images.inspect(system.engine, image)["Created"])
    except EngineError:
        return None
