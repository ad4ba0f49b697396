"""What a database does whose disk is full, and once it has space again."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import psycopg2
import pytest
from docker.models.containers import Container

from tests.image.tracked import Containers, address, execute, wait_until

IMAGE = "koji-database"
CLUSTER = "/var/lib/postgresql/koji"
COPY = f"cp -a {CLUSTER}/. /small && touch /tmp/copied && sleep infinity"


@pytest.fixture
def volume(engine: docker.DockerClient) -> Iterator[str]:
    """A volume with hardly more room than a new cluster takes."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=300m"}
    created = engine.volumes.create(driver="local", driver_opts=options)
    yield str(created.name)
    created.remove(force=True)


@pytest.fixture
def holder(volume: str, containers: Containers) -> Container:
    """Keeps the volume mounted at /small, with a copy of the image's cluster in it."""
    container = containers.start(IMAGE, "sh", "-c", COPY, volumes=[f"{volume}:/small"])
    wait_until(lambda: execute(container, "ls", "/tmp/copied")[0] == 0, 60, "the cluster is copied")
    return container


def ask(container: Container, credentials: Path, query: str) -> int:
    """Run a statement as the hub, and commit it; the number of its rows."""
    host, port = address(container, 5432)
    pem = str(credentials / "kojihub.pem")
    connection = psycopg2.connect(
        f"host=localhost hostaddr={host} port={port} dbname=koji user=koji connect_timeout=5"
        f" sslmode=verify-full sslrootcert={credentials / 'koji_ca_cert.crt'}"
        f" sslcert={pem} sslkey={pem}"
    )
    with closing(connection), connection, connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.rowcount)


def test_a_full_disk_heals_once_it_has_space(
    volume: str, holder: Container, containers: Containers, kojicreds: Container, credentials: Path
) -> None:
    """What was committed is there; PostgreSQL ends if it cannot write its log, and starts again."""
    path = execute(holder, "readlink", "-f", CLUSTER)[1].strip()
    database = containers.start(
        IMAGE,
        volumes=[f"{volume}:{path}"],
        volumes_from=[f"{kojicreds.name}:ro"],
        ports={"5432/tcp": ("127.0.0.1", None)},
        restart_policy={"Name": "always"},
    )

    def answers(query: str) -> bool:
        try:
            return ask(database, credentials, query) == 1
        except (psycopg2.Error, LookupError, ValueError):  # no port while it restarts
            return False

    wait_until(lambda: answers("SELECT 1"), 60, "the database answers")
    ask(database, credentials, "CREATE TABLE kept AS SELECT 1")
    assert execute(holder, "dd", "if=/dev/zero", "of=/small/filler", "bs=1M")[0] != 0
    large = (
        "CREATE TABLE large AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 300000) n"
    )
    with pytest.raises(psycopg2.Error) as failure:
        ask(database, credentials, large)
    message = str(failure.value) + database.logs().decode()
    assert "No space left on device" in message
    execute(holder, "rm", "/small/filler")
    wait_until(lambda: answers("SELECT * FROM kept"), 120, "the database answers again")
    ask(database, credentials, "CREATE TABLE later AS SELECT 1")
