"""A hub whose top directory is small."""

from collections.abc import Iterator

import docker
import pytest

from tests.image.running import Hub, Koji
from tests.image.tracked import Containers, wait_ready


@pytest.fixture
def small_top(engine: docker.DockerClient, containers: Containers) -> Iterator[str]:
    """A volume of 100 MB with a top directory."""
    volume = engine.volumes.create(
        driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=100m,nr_inodes=2000"}
    )
    mount = [f"{volume.name}:/mnt/koji"]
    # A tmpfs is empty once nobody has it mounted.
    containers.start("koji-top-volume", "sleep", "infinity", volumes=mount)
    status, log = containers.finish("koji-top-volume", volumes=mount)
    assert status == 0, log
    yield volume.name
    containers.remove_all()
    volume.remove()


@pytest.fixture
def hub_on_small_top(small_top: str, mortal_koji: Koji) -> Hub:
    mortal_koji.start_database()
    container = mortal_koji.start_hub(
        volumes_from=[f"{mortal_koji.kojicreds.name}:ro"],
        volumes=[*mortal_koji.builders, f"{small_top}:/mnt/koji"],
    )
    wait_ready(container)
    return Hub(container, mortal_koji.credentials)
