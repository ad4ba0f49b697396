"""The systems on an engine, whoever made them and from whatever moromi.yml."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from nagoya.engine import Engine, containers, resources
from nagoya.engine.state import State, parse_time
from nagoya.system.owner import Owner


@dataclass(frozen=True)
class SystemInfo:
    """A system as the engine shows it: the states of its containers by name, its age, its owner.

    `states` is empty if toji was interrupted early; `owner` is None for a system that an older toji
    made.
    """

    name: str
    states: Mapping[str, State]
    created: datetime
    owner: Owner | None

    @property
    def stale(self) -> bool:
        """Whether the process that it was made for has ended without removing it."""
        return self.owner is not None and self.owner.stale

    @property
    def state(self) -> str:
        """In a word or two: running, stopped, or which containers are not."""
        if not any(state.running for state in self.states.values()):
            return "stopped" if self.states else "empty"
        failed = [
            f"{name} {state.status}" + (f" ({state.exit_code})" if state.exit_code else "")
            for name, state in self.states.items()
            if not (state.running or state.completed)
        ]
        return f"running, but {', '.join(failed)}" if failed else "running"


def list_systems(engine: Engine) -> list[SystemInfo]:
    """Every system on the engine, the oldest first."""
    listed = containers.list_all_containers(engine)
    networks = resources.list_networks(engine)
    systems = []
    for name in listed.keys() | networks.keys():
        handles, network = listed.get(name, []), networks.get(name, {})
        states = [containers.state(handle, reload=False) for handle in handles]
        labels = [containers.labels(handle) for handle in handles] + [network.get("Labels") or {}]
        created = [containers.created(handle) for handle in handles]
        if network:
            created.append(parse_time(network["Created"]))
        systems.append(
            SystemInfo(
                name,
                {state.name: state for state in sorted(states, key=lambda state: state.name)},
                min(created),
                next((owner for owner in map(Owner.from_labels, labels) if owner), None),
            )
        )
    return sorted(systems, key=lambda system: system.created)
