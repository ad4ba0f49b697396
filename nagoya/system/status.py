"""How a system is at this moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nagoya.engine import containers, images
from nagoya.engine.state import State, parse_time
from nagoya.errors import EngineError
from nagoya.system.observed import conflicts, differences, missing
from nagoya.system.readiness import Health, check_all
from nagoya.system.system import System, require_system

_CHECK_SECONDS = 5.0


@dataclass(frozen=True)
class ContainerStatus:
    """A container: its state, and the answer of its health check a moment ago.

    `image_created` is None if the image is gone.
    """

    state: State
    health: Health
    created: datetime
    image_created: datetime | None

    @property
    def published(self) -> list[str]:
        """Each port, as in 127.0.0.1:50809->443."""
        ports = self.state.ports.items()
        return [f"{containers.HOST}:{host}->{port}" for port, host in ports]

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        state = self.state
        return {
            "name": state.name,
            "container": state.container,
            "created": _text(self.created),
            "image": state.image,
            "image_id": state.image_id,
            "image_created": self.image_created
            and self.image_created.isoformat(timespec="seconds"),
            "state": state.status,
            "ready": self.health.ready,
            "health": self.health.detail,
            "exit_code": None if state.running else state.exit_code,
            "address": state.address,
            "ports": {str(port): host for port, host in state.ports.items()},
        }


@dataclass(frozen=True)
class SystemStatus:
    """A system: its containers in the order of moromi.yml, and what is wrong with it.

    `file` is the moromi.yml that declared it; `differences` has what a container was created with
    other than what is declared now. `conflicts` are sentences; see observed.py.
    """

    name: str
    file: Path
    containers: tuple[ContainerStatus, ...]
    missing: tuple[str, ...]
    differences: Mapping[str, Sequence[str]]
    conflicts: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether all that is declared is there, and ready."""
        return not (self.missing or self.conflicts) and all(
            each.health.ready for each in self.containers
        )

    @property
    def problems(self) -> list[str]:
        """A line for each thing that is not as declared."""
        return [
            *(f"missing: {name}" for name in self.missing),
            *(f"{name} was created with: {', '.join(d)}" for name, d in self.differences.items()),
            *self.conflicts,
        ]

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "system": self.name,
            "ready": self.ready,
            "file": str(self.file),
            "containers": [each.as_json() for each in self.containers],
            "missing": list(self.missing),
            "differences": {name: list(each) for name, each in self.differences.items()},
            "conflicts": list(self.conflicts),
        }


def read_status(system: System) -> SystemStatus:
    """Look at a system, and run all health checks, for 5 seconds at most. Raises LifecycleError if
    there is none of that name."""
    present = require_system(system.engine, system.name)
    present = {name: present[name] for name in system.needs(present)}
    health = check_all(present, system.declaration, 0.0, _CHECK_SECONDS)
    observed = system.observe()
    return SystemStatus(
        system.name,
        observed.config_file or system.declaration.path,
        tuple(
            ContainerStatus(
                state,
                health[name],
                containers.created(handle),
                _image_created(system, state.image_id),
            )
            for name, handle in present.items()
            if (state := observed.containers.get(name))
        ),
        tuple(missing(observed, system.declaration)),
        differences(observed, system.declaration),
        tuple(conflicts(observed, system.declaration)),
    )


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def _image_created(system: System, image: str) -> datetime | None:
    try:
        return parse_time(images.inspect(system.engine, image)["Created"])
    except EngineError:
        return None
