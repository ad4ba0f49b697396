"""Observed systems that no engine has ever seen."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from nagoya.config.declaration import Declaration
from nagoya.engine.state import State
from nagoya.system.observed import ObservedImage, ObservedSystem, record

Declare = Callable[..., Declaration]


def nothing(name: str = "some", **images: str) -> ObservedSystem:
    """A system of which there is nothing but its images."""
    ids = {"tiny": "sha256:1", "other": "sha256:2"} | images
    return ObservedSystem(name, {}, {image: ObservedImage(id) for image, id in ids.items()})


def running(declaration: Declaration, *only: str, **changed: dict[str, Any]) -> ObservedSystem:
    """The system as it is when everything declared runs, or has run once; or `only` some of it.

    `changed` replaces attributes of a container's state.
    """
    containers = {}
    for name, declared in declaration.containers.items():
        if only and name not in only:
            continue
        volumes = {volume.path: f"some-{volume.name}" for volume in declared.volumes}
        for source in declared.volumes_from:
            volumes |= (
                containers[source.container].volumes if source.container in containers else {}
            )
        state = State(
            name=name, declared=name, container=f"some-{name}",
            status="exited" if declared.run_once else "running", exit_code=0,
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            out_of_memory=False, health=None, restart=declared.restart,
            restarts=0, crash_loop=False,
            image=declared.image, image_id="sha256:1",
            address=None, host="127.0.0.1",
            ports={port.container: port.host or 40000 + port.container for port in declared.ports},
            addresses={port.container: port.address or "127.0.0.1" for port in declared.ports},
            volumes=volumes, labels=record(declaration, name), variables={},
        )  # fmt: skip
        containers[name] = replace(state, **changed.get(name, {}))
    volumes = {
        f"some-{volume.name}" for d in declaration.containers.values() for volume in d.volumes
    }
    return replace(nothing(), containers=containers, volumes=frozenset(volumes), network=True)
