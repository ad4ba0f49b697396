"""What the tests of the images share: the engine, containers that are always removed, and the
credentials of one instance. The images have been built before (`make test` does)."""

from collections.abc import Generator, Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from nagoya.config.declaration import Declaration
from nagoya.engine import connect
from tests.image.running import Hub, Koji, koji_network
from tests.image.tracked import Containers, outcome, read_tree


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The engine that moromi and toji would use."""
    client = connect().client
    yield client
    client.close()


@pytest.fixture
def containers(engine: docker.DockerClient, declaration: Declaration) -> Iterator[Containers]:
    """Containers for one test."""
    tracked = Containers(engine, declaration.tag)
    yield tracked
    tracked.remove_all()


@pytest.fixture(scope="module")
def module_containers(
    engine: docker.DockerClient, declaration: Declaration
) -> Iterator[Containers]:
    """Containers for all tests of a module."""
    tracked = Containers(engine, declaration.tag)
    yield tracked
    tracked.remove_all()


@pytest.fixture(scope="session")
def session_containers(
    engine: docker.DockerClient, declaration: Declaration
) -> Iterator[Containers]:
    """Containers for the whole run."""
    tracked = Containers(engine, declaration.tag)
    yield tracked
    tracked.remove_all()


@pytest.fixture(scope="session")
def kojicreds(session_containers: Containers) -> Container:
    """A credentials container that has done its work; for `volumes_from`, by its name."""
    container = session_containers.start("koji-credentials-volume")
    assert outcome(container)[0] == 0, container.logs().decode()
    return container


@pytest.fixture(scope="session")
def credentials(kojicreds: Container, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of `kojicreds` on this machine, with their modes."""
    folder = tmp_path_factory.mktemp("credentials")
    for name, (member, content) in read_tree(kojicreds, "/etc/pki/koji").items():
        if member.isdir():
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        else:
            (folder / name).write_bytes(content)
            (folder / name).chmod(member.mode)
    return folder


@pytest.fixture(scope="session")
def kojitop(session_containers: Containers) -> Container:
    """A container with Koji's top directory; for `volumes_from`, by its name."""
    container = session_containers.start("koji-top-volume")
    assert outcome(container)[0] == 0, container.logs().decode()
    return container


@pytest.fixture
def mortal_koji(
    engine: docker.DockerClient,
    containers: Containers,
    kojicreds: Container,
    kojitop: Container,
    credentials: Path,
) -> Iterator[Koji]:
    """A network for one test, which starts on it what it wants and may stop it."""
    with koji_network(engine, containers, kojicreds, kojitop, credentials) as network:
        yield network


@pytest.fixture(scope="module")
def running_koji(
    engine: docker.DockerClient,
    module_containers: Containers,
    kojicreds: Container,
    kojitop: Container,
    credentials: Path,
) -> Iterator[Koji]:
    """A network for all tests of a module."""
    with koji_network(engine, module_containers, kojicreds, kojitop, credentials) as network:
        yield network


@pytest.fixture(scope="module")
def hub(running_koji: Koji) -> Hub:
    """A hub with its database, for all tests of a module; none stops it."""
    return running_koji.hub_that_is_up()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the containers' logs with a test that failed, before they are removed."""
    report = yield
    if report.failed:
        for tracked in item.funcargs.values():
            if isinstance(tracked, Containers):
                for name, log in tracked.logs():
                    report.sections.append((f"log of {name}", log))
    return report
