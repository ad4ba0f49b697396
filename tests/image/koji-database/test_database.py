"""koji-database by itself: who gets in, how it ends, and what it keeps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import psycopg2
import pytest
from docker.models.containers import Container
from psycopg2.extensions import connection as Connection

from tests.image.tracked import (
    Containers,
    address,
    execute,
    health,
    outcome,
    read_tree,
    wait_ready,
    wait_until,
)
from util import certificates

IMAGE = "koji-database"


@pytest.fixture(scope="module")
def database(module_containers: Containers, kojicreds: Container) -> Container:
    """A database that no test stops."""
    return started(module_containers, kojicreds)


@pytest.fixture
def mortal_database(containers: Containers, kojicreds: Container) -> Container:
    """A database that a test may stop."""
    return started(containers, kojicreds)


def started(containers: Containers, kojicreds: Container, *options: str) -> Container:
    container = containers.start(
        IMAGE,
        *options,
        volumes_from=[f"{kojicreds.name}:ro"],
        ports={"5432/tcp": ("127.0.0.1", None)},
    )
    wait_ready(container)
    return container


def connect(container: Container, credentials: Path, name: str, **changes: Any) -> Connection:
    """Connect as the hub does, with the certificate of `name`."""
    host, port = address(container, 5432)
    parameters = {
        "host": "localhost",
        "hostaddr": host,
        "port": port,
        "dbname": "koji",
        "user": "koji",
        "sslmode": "verify-full",
        "sslrootcert": str(credentials / "koji_ca_cert.crt"),
        "sslcert": str(credentials / f"certs/{name}.crt"),
        "sslkey": str(credentials / f"private/{name}.key"),
        "connect_timeout": 10,
    }
    connection: Connection = psycopg2.connect(**{**parameters, **changes})
    return connection


def file_of(kojicreds: Container, name: str) -> bytes:
    return read_tree(kojicreds, f"/etc/pki/koji/{name}")[""][1]


@pytest.fixture
def hub(database: Container, credentials: Path) -> Iterator[Connection]:
    """The hub's connection."""
    connection = connect(database, credentials, "kojihub")
    yield connection
    connection.close()


def ask(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def test_the_hub_gets_in_over_tls_and_owns_the_schema(hub: Connection) -> None:
    assert ask(
        hub, "SELECT current_user, ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    ) == [("koji", True, "TLSv1.3")]
    strangers = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert ask(hub, f"{strangers} AND relowner <> 'koji'::regrole") == []
    hub.rollback()


def test_has_kojis_first_users(hub: Connection) -> None:
    assert ask(
        hub,
        "SELECT users.name, status, usertype, permissions.name FROM users"
        " JOIN user_perms ON user_id = users.id AND active"
        " JOIN permissions ON permissions.id = perm_id ORDER BY users.id",
    ) == [("kojiadmin", 0, 0, "admin"), ("kojira", 0, 0, "repo")]
    assert ask(hub, "SELECT name FROM users WHERE password IS NOT NULL") == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("jit", "off"),
    ],
)
def test_settings(hub: Connection, setting: str, value: str) -> None:
    assert ask(hub, f"SHOW {setting}") == [(value,)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"sslcert": "/nowhere", "sslkey": "/nowhere"}, "certificate", id="no certificate"
        ),
        pytest.param({"sslmode": "disable"}, "no encryption", id="no TLS"),
        pytest.param({"user": "postgres"}, "no pg_hba.conf entry", id="the superuser"),
        pytest.param({"dbname": "postgres"}, "no pg_hba.conf entry", id="another database"),
        pytest.param({"host": "elsewhere"}, "does not match host name", id="another name"),
    ],
)
def test_refuses_the_hub_when(
    database: Container, credentials: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(psycopg2.OperationalError, match=message):
        connect(database, credentials, "kojihub", **changes)


def test_credentials_are_read_again_while_it_runs(containers: Containers, tmp_path: Path) -> None:
    """A revoked certificate of the hub is refused, a new one accepted; connections stay."""
    creds = containers.start("koji-credentials-volume")
    assert outcome(creds)[0] == 0
    container = started(containers, creds)

    def save(name: str) -> dict[str, str]:
        """Save the hub's certificate and key; how to connect with them."""
        (tmp_path / name).write_bytes(file_of(creds, "kojihub.pem"))
        (tmp_path / name).chmod(0o600)
        return {"sslcert": str(tmp_path / name), "sslkey": str(tmp_path / name)}

    def is_refused() -> bool:
        try:
            connect(container, tmp_path, "kojihub", **old).close()
        except psycopg2.OperationalError as error:
            return "certificate revoked" in str(error)
        return False

    (tmp_path / "koji_ca_cert.crt").write_bytes(file_of(creds, "koji_ca_cert.crt"))
    old = save("old.pem")
    open_connection = connect(container, tmp_path, "kojihub", **old)
    for name in ("kojihub", "kojidatabase"):
        command = ("koji-credentials-volume", "revoke", name)
        assert containers.finish(*command, volumes_from=[creds.name]) == (0, f"{name}\n")
    copy = "/dev/shm/koji-database/server.crt"
    before = execute(container, "cat", copy)
    reload = ("python3", "/usr/lib/nagoya/reload_credentials.py")
    assert execute(container, *reload) == (0, "")
    wait_until(is_refused, 30, "the old one is refused")
    connect(container, tmp_path, "kojihub", **save("new.pem")).close()
    assert execute(container, "cat", copy) != before
    assert ask(open_connection, "SELECT 1") == [(1,)]
    open_connection.close()


@pytest.mark.parametrize("name", ["kojiadmin", "kojira", "kojiweb"])
def test_refuses_the_other_clients(database: Container, credentials: Path, name: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match="certificate authentication failed"):
        connect(database, credentials, name)


def test_refuses_another_authority(database: Container, credentials: Path, tmp_path: Path) -> None:
    certificates.Authority.create(tmp_path).issue("kojihub", client=True)
    authority = str(credentials / "koji_ca_cert.crt")
    with pytest.raises(psycopg2.OperationalError, match=r"unknown ca|closed|eof"):
        connect(database, tmp_path, "kojihub", sslrootcert=authority)


def test_the_engine_finds_it_healthy(database: Container) -> None:
    def status() -> bool:
        database.reload()
        return bool(database.attrs["State"]["Health"]["Status"] == "healthy")

    wait_until(status, 40, "healthy")


def test_postgres_is_pid_1_and_not_root(database: Container) -> None:
    _, command = execute(database, "cat", "/proc/1/cmdline")
    assert command.split("\0")[0].endswith("/bin/postgres")
    assert execute(database, "stat", "-c", "%U", "/proc/1") == (0, "postgres\n")


def test_shows_no_secret(database: Container, credentials: Path) -> None:
    database.reload()
    secret = (credentials / "private/kojidatabase.key").read_text().splitlines()[1]
    assert secret not in str(database.attrs)
    assert "KEY" not in str(database.attrs["Config"]["Env"])
    for record in ("cmdline", "environ"):
        assert secret not in execute(database, "sh", "-c", f"cat /proc/[0-9]*/{record}")[1]


def test_its_key_is_in_memory_alone(database: Container, credentials: Path) -> None:
    """So that a commit of the container leaves it out."""
    secret = (credentials / "private/kojidatabase.key").read_text().splitlines()[1]
    places = ("/dev/shm", "/etc/postgresql", "/run", "/usr/lib/nagoya", "/var")
    # Key and certificate come from one file.
    copies = [f"/dev/shm/koji-database/server.{end}" for end in ("crt", "key")]
    status, output = execute(database, "grep", "-rl", secret, *places)
    assert (status, sorted(output.split())) == (0, copies)
    assert execute(database, "stat", "-c", "%a %U", *copies) == (0, "400 postgres\n" * 2)


def test_takes_options_of_postgresql(
    containers: Containers, kojicreds: Container, credentials: Path
) -> None:
    container = started(containers, kojicreds, "-c", "max_connections=17")
    connection = connect(container, credentials, "kojihub")
    assert ask(connection, "SHOW max_connections") == [("17",)]
    connection.close()


def test_says_what_it_needs_when_there_are_no_credentials(containers: Containers) -> None:
    status, output = containers.finish(IMAGE)
    assert status == 1
    assert output == (
        "koji-database: there are no credentials at /etc/pki/koji\n"
        "  hint: run koji-credentials-volume first, and then this image with "
        "`--volumes-from kojicreds:ro`\n"
    )


@pytest.fixture
def own_volume(engine: docker.DockerClient) -> Iterator[str]:
    """A volume for the database's credentials alone."""
    volume = engine.volumes.create()
    yield str(volume.name)
    volume.remove(force=True)


def test_a_database_sees_no_key_but_its_own(own_volume: str, containers: Containers) -> None:
    """It may start before the credentials are made, and gets what is renewed."""
    database = containers.start(IMAGE, volumes=[f"{own_volume}:/etc/pki/koji"])
    shared = [f"{own_volume}:/etc/pki/koji-database"]
    creds = containers.start("koji-credentials-volume", volumes=shared)
    assert outcome(creds)[0] == 0
    wait_ready(database)
    command = ["grep", "-rlIE", "--devices=skip", "--exclude-dir=proc", "--exclude-dir=sys"]
    paths = execute(database, *command, "^-----BEGIN ([A-Z]+ )?PRIVATE KEY", "/")[1].split()
    copies = [f"/dev/shm/koji-database/server.{end}" for end in ("crt", "key")]
    assert sorted(paths) == [*copies, "/etc/pki/koji/kojidatabase.pem"]
    pem = file_of(creds, "kojidatabase.pem")
    assert execute(database, "cat", paths[0])[1] == pem.decode()
    renew = ("renew", "kojidatabase")
    assert containers.finish("koji-credentials-volume", *renew, volumes_from=[creds.name])[0] == 0
    reload = ("python3", "/usr/lib/nagoya/reload_credentials.py")
    assert execute(database, *reload)[0] == 0
    assert execute(database, "cat", copies[0])[1] == file_of(creds, "kojidatabase.pem").decode()
    assert file_of(creds, "kojidatabase.pem") != pem


def test_stops_cleanly_with_clients_connected_and_keeps_the_data(
    mortal_database: Container, credentials: Path
) -> None:
    writer, idler = (connect(mortal_database, credentials, "kojihub") for _ in range(2))
    ask(writer, "INSERT INTO tag (name) VALUES ('kept')")
    writer.commit()
    ask(writer, "INSERT INTO tag (name) VALUES ('lost')")
    ask(idler, "SELECT pg_backend_pid()")

    mortal_database.stop(timeout=2)
    mortal_database.reload()
    assert mortal_database.attrs["State"]["ExitCode"] == 0
    assert "database system is shut down" in mortal_database.logs().decode()
    writer.close()
    idler.close()

    mortal_database.start()
    wait_ready(mortal_database)
    again = connect(mortal_database, credentials, "kojihub")
    assert ask(again, "SELECT name FROM tag") == [("kept",)]
    again.close()


def test_recovers_from_a_kill_and_is_not_ready_before(
    mortal_database: Container, credentials: Path
) -> None:
    writer = connect(mortal_database, credentials, "kojihub")
    # Enough to write that the recovery can be watched.
    ask(writer, "CREATE TABLE bulk AS SELECT generate_series(1, 1000000) AS number")
    ask(writer, "INSERT INTO tag (name) VALUES ('kept')")
    writer.commit()
    mortal_database.kill("SIGKILL")
    assert outcome(mortal_database)[0] == 137
    writer.close()

    mortal_database.start()
    ready, line = health(mortal_database)
    lines = [line]
    while not ready:
        ready, line = health(mortal_database)
        lines.append(line)
        assert len(lines) < 500, lines
    # The first "ready" is the moment from which the hub gets in and finds everything.
    again = connect(mortal_database, credentials, "kojihub")
    assert ask(again, "SELECT name FROM tag") == [("kept",)]
    assert ask(again, "SELECT count(*) FROM bulk") == [(1000000,)]
    again.close()
    assert len(lines) > 1
    assert all(line.startswith("not ready: ") for line in lines[:-1])


def test_it_is_not_ready_while_a_dump_is_loaded(containers: Containers) -> None:
    """The server answers then, on its socket alone, but its database comes and goes."""
    idle = containers.start(IMAGE, "sleep", "600")
    start = (
        "/usr/lib/postgresql/bin/pg_ctl --pgdata=/var/lib/postgresql/koji --wait start"
        " --log=/dev/null --options=\"-c listen_addresses='' -c ssl=off\""
    )
    execute(idle, "install", "-d", "-o", "postgres", "/run/postgresql")
    execute(idle, "runuser", "-u", "postgres", "--", "sh", "-c", start)
    assert health(idle)[0]
    folder = "/var/lib/postgresql/restore"
    execute(idle, "install", "-d", "-o", "postgres", "-m", "700", folder)
    execute(idle, "install", "-o", "postgres", "/dev/null", f"{folder}/koji.dump")
    assert health(idle) == (False, "not ready: the data of a backup is being loaded")
