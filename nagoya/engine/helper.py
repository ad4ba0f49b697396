"""Run a command beside a container that need not run itself."""

from collections.abc import Mapping, Sequence

from nagoya.engine import containers
from nagoya.engine.client import Handle
from nagoya.engine.state import SYSTEM_LABEL
from nagoya.engine.translation import translated


def run_helper(
    container: Handle,
    name: str,
    command: Sequence[str],
    labels: Mapping[str, str],
    *,
    seconds: float = 60,
    image: str | None = None,
) -> tuple[int, str]:
    """Run a command in a temporary container with the volumes and the image of another one, or
    with another `image`.

    Returns its exit status and its output. It has no network. Raises EngineTimeout.
    """
    with translated(f"running {name}"):
        created = container.engine.client.containers.create(
            image or container.docker.attrs["Image"],
            list(command),
            name=name,
            # Like all of a system, so that `toji remove` finds it if it is left behind.
            hostname=name.removeprefix(f"{labels[SYSTEM_LABEL]}-"),
            labels=dict(labels),
            network_mode="none",
            volumes_from=[str(container.docker.id)],
        )
        helper = Handle(container.engine, created)
        try:
            containers.start(helper)
            return containers.wait_exit(helper, seconds), "\n".join(containers.log(helper))
        finally:
            containers.remove(helper)
