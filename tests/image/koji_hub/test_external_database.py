"""A hub on a PostgreSQL of the site's own: what it makes there, and what it says if it cannot."""

import re
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from tests.image.postgresql import NAME, PASSWORD, ROLE, PostgreSQL, put
from tests.image.running import Hub, Koji
from tests.image.tracked import Containers, execute, outcome, wait_ready
from util.schema import USERS

URL = f"postgresql://koji@{NAME}/koji?sslrootcert=/etc/db/ca.crt"
PERSON = f"postgresql://{ROLE}@{NAME}/builds?sslrootcert=/etc/db/ca.crt"


@pytest.fixture(scope="module")
def postgresql(
    running_koji: Koji,
    module_containers: Containers,
    credentials: Path,
    tmp_path_factory: pytest.TempPathFactory,
    engine: docker.DockerClient,
) -> Iterator[PostgreSQL]:
    """One that knows the hub's authority, reached as db.example.com and as other.example.com."""
    folder = tmp_path_factory.mktemp("site") / "authority"
    clients = (credentials / "koji_ca_cert.crt").read_bytes()
    server = PostgreSQL(module_containers, folder, clients, "koji-database")
    running_koji.network.connect(server.container, aliases=[NAME, "other.example.com"])
    for name in ("koji", "builds", "others", "rights"):
        server.sql(f"CREATE DATABASE {name}")
    server.sql(f"ALTER DATABASE koji OWNER TO koji; ALTER DATABASE builds OWNER TO {ROLE}")
    server.sql("CREATE TABLE theirs (id INTEGER)", "others")
    yield server
    running_koji.network.disconnect(server.container)


def begin(koji: Koji, postgresql: PostgreSQL, url: str, password: str | None = None) -> Container:
    """Start a hub that has the authority of the server, and the password."""
    environment = {"KOJI_DATABASE_URL": url, "KOJI_WAIT_SECONDS": "1"}
    if password is not None:
        environment["KOJI_DATABASE_PASSWORD_FILE"] = "/etc/db.password"
    hub = koji.containers.create(
        "koji-hub",
        "nokojira",
        environment=environment,
        network=koji.network.name,
        volumes_from=[f"{koji.kojicreds.name}:ro", f"{koji.kojitop.name}:rw"],
        volumes=koji.builders,
        ports={"443/tcp": ("127.0.0.1", None)},
    )
    put(hub, "/etc", "db/ca.crt", postgresql.authority)
    put(hub, "/etc", "db.password", f"{password}\n".encode())
    hub.start()
    return hub


def test_the_hub_makes_its_tables_once(
    running_koji: Koji, postgresql: PostgreSQL, credentials: Path
) -> None:
    hubs = [begin(running_koji, postgresql, URL) for _ in range(2)]
    for hub in hubs:
        wait_ready(hub)
    logs = [hub.logs().decode() for hub in hubs]
    assert sum("made Koji's tables" in log for log in logs) == 1
    session = Hub(hubs[0], credentials).login()
    assert session.getLoggedInUser()["name"] == "kojiadmin"
    assert postgresql.ask("SELECT string_agg(name, ' ') FROM users", "koji") == " ".join(USERS)
    query = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
    assert postgresql.ask(f"{query} WHERE usename = 'koji'") == "t"
    for hub in hubs:
        hub.stop()


def test_a_password_is_nowhere_but_in_its_file(running_koji: Koji, postgresql: PostgreSQL) -> None:
    hub = begin(running_koji, postgresql, PERSON, PASSWORD)
    wait_ready(hub)
    _, files = execute(hub, "grep", "-rlF", PASSWORD, "/etc", "/run", "/proc/1/environ")
    assert files.split() == ["/etc/db.password"]
    assert PASSWORD not in hub.logs().decode()
    hub.stop()


REFUSALS = {
    "password": (PERSON, "wrong", 'password authentication failed for user "alice"', "_FILE names"),
    "host": (URL.replace(NAME, "nowhere.example.com"), None, "could not translate host", "address"),
    "authority": (
        URL.replace("/etc/db/ca.crt", "/etc/pki/koji/koji_ca_cert.crt"),
        None,
        "certificate verify failed",
        "sslrootcert has to be the authority",
    ),
    "name": (URL.replace(NAME, "other.example.com"), None, "does not match host name", "by a name"),
    "database": (URL.replace("/koji?", "/nowhere?"), None, '"nowhere" does not exist', "createdb"),
    "tables": (
        PERSON.replace("builds", "others"),
        PASSWORD,
        "has tables, and none of Koji's",
        "own",
    ),
    "rights": (
        PERSON.replace("builds", "rights"),
        PASSWORD,
        "permission denied for schema public",
        "ALTER DATABASE",
    ),
}


def test_what_is_wrong_is_one_line_with_a_hint(running_koji: Koji, postgresql: PostgreSQL) -> None:
    hubs = {
        case: begin(running_koji, postgresql, url, password)
        for case, (url, password, *_) in REFUSALS.items()
    }
    for case, hub in hubs.items():
        status, log = outcome(hub)
        *_, line, hint = log.splitlines()
        _, _, reason, remedy = REFUSALS[case]
        assert (status, reason in line, remedy in hint) == (1, True, True), (case, log)
        assert "Traceback" not in log


def change_of(postgresql: PostgreSQL, path: str) -> tuple[str, str]:
    """A statement that renames what a script of Koji's creates, and the name of that."""
    _, script = execute(postgresql.container, "cat", path)
    if created := re.search(r"CREATE TABLE (\w+)", script):
        return "ALTER TABLE {} RENAME TO {}", created[1]
    if added := re.search(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", script):
        return f"ALTER TABLE {added[1]} RENAME COLUMN {{}} TO {{}}", added[2]
    (row, *_) = re.findall(r"INSERT INTO (\w+) \((\w+).*?VALUES \('(\w+)'", script)
    table, column, name = row
    return f"UPDATE {table} SET {column} = '{{1}}' WHERE {column} = '{{0}}'", name


def test_tables_of_another_version_are_refused(running_koji: Koji, postgresql: PostgreSQL) -> None:
    def refusal() -> str:
        return outcome(begin(running_koji, postgresql, PERSON, PASSWORD))[1]

    postgresql.sql("COMMENT ON SCHEMA public IS 'schema of Koji 9.99'", "builds")
    assert "has the schema of Koji 9.99, and this image that of Koji 1." in refusal()
    # As a Koji of the site's own was, which was never converted.
    postgresql.sql("COMMENT ON SCHEMA public IS NULL", "builds")
    folder = "/usr/lib/nagoya/schema"
    newest = execute(postgresql.container, "ls", "-v", folder)[1].split()[-1]
    rename, name = change_of(postgresql, f"{folder}/{newest}")
    postgresql.sql(rename.format(name, "gone"), "builds")
    log = refusal()
    assert "run those of Koji's scripts that were not run on it: " in log
    assert f"{newest}; they are in {folder}" in log
    postgresql.sql(rename.format("gone", name), "builds")
    postgresql.sql("ALTER TABLE users OWNER TO postgres", "builds")
    postgresql.sql(f"GRANT SELECT ON users TO {ROLE}", "builds")
    assert f"the role {ROLE} may not read and write the tables users" in refusal()
