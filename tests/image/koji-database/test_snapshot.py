"""koji-database's part in a snapshot, asked as toji asks it."""

import json
import re
import subprocess
from typing import Any

import pytest
from docker.models.containers import Container

from nagoya.engine import connect
from tests.image.tracked import Containers, execute, wait_ready, wait_until

SCRIPT = ("python3", "/usr/lib/nagoya/snapshot.py")


@pytest.fixture(scope="module")
def database(module_containers: Containers, kojicreds: Container) -> Container:
    """A database with a snapshot `first`, in which alice and bob have become users."""
    container = module_containers.start("koji-database", volumes_from=[f"{kojicreds.name}:ro"])
    wait_ready(container)
    for name in ("alice", "bob"):
        sql(container, f"INSERT INTO users (name, status, usertype) VALUES ('{name}', 0, 0)")
    ask(container, "save", "first")
    return container


def ask(container: Container, *words: str) -> Any:
    status, output = execute(container, *SCRIPT, *words)
    assert status == 0, output
    return json.loads(output.splitlines()[-1])


def sql(container: Container, statement: str, database: str = "koji") -> list[str]:
    command = ("runuser", "-u", "postgres", "--", "psql", "-qAtc", statement, database)
    status, output = execute(container, *command)
    assert status == 0, output
    return output.splitlines()


def users(container: Container) -> list[str]:
    return sql(container, "SELECT name FROM users WHERE id > 2 ORDER BY id")


def go_back(container: Container, name: str = "first") -> None:
    for words in (("prepare", name), ("switch",), ("release",)):
        ask(container, *words)


def test_the_state_goes_back_as_often_as_one_likes(database: Container) -> None:
    count = "SELECT count(*) FROM events"
    events = sql(database, count)
    for _ in range(2):
        sql(database, "UPDATE users SET name = 'carol' WHERE name = 'bob'")
        sql(database, "DROP TABLE events CASCADE")
        go_back(database)
        assert users(database) == ["alice", "bob"]
        assert sql(database, count) == events
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert sql(database, owners) == ["koji"]
    assert sql(database, "SELECT datname FROM pg_database WHERE datname ~ '@' ORDER BY 1") == [
        "koji@first"
    ]


def log_in(container: Container, name: str, key: str, **more: str) -> None:
    """Give a user a session, as Koji's hub would write it down."""
    values = {"key": f"'{key}'", "hostip": "'-'", "callnum": "7", **more}
    sql(
        container,
        f"INSERT INTO sessions (user_id, {', '.join(values)})"
        f" SELECT id, {', '.join(values.values())} FROM users WHERE name = '{name}'",
    )


SESSIONS = (
    "SELECT sessions.id, name, key, callnum, exclusive, expired"
    " FROM sessions JOIN users ON users.id = user_id ORDER BY key"
)


def test_who_is_logged_in_stays_so_if_the_state_knows_the_user(database: Container) -> None:
    sql(database, "INSERT INTO users (name, status, usertype) VALUES ('dora', 0, 0)")
    log_in(database, "alice", "hers", exclusive="TRUE")
    log_in(database, "bob", "his")
    log_in(database, "bob", "his former", expired="TRUE")
    before = sql(database, SESSIONS)
    master = "(SELECT id FROM sessions WHERE key = 'his')"
    log_in(database, "bob", "of a task", master=master)
    log_in(database, "dora", "of nobody")
    go_back(database)
    assert sql(database, SESSIONS) == before
    # The next session has a number that none has had.
    numbers = [int(line.split("|")[0]) for line in before]
    assert int(sql(database, "SELECT nextval('sessions_id_seq')")[0]) == max(numbers) + 3
    sql(database, "DELETE FROM sessions")


def test_a_user_is_known_by_name_and_not_by_number(database: Container) -> None:
    for former, name in (("bob", "mallory"), ("alice", "bob")):
        sql(database, f"UPDATE users SET name = '{name}' WHERE name = '{former}'")
    log_in(database, "mallory", "not his")
    log_in(database, "bob", "his")
    go_back(database)
    lines = sql(database, SESSIONS)
    assert [line.split("|")[1:3] for line in lines] == [["bob", "his"]]
    sql(database, "DELETE FROM sessions")


def test_a_host_without_a_session_is_not_ready_and_its_work_is_for_others(
    database: Container,
) -> None:
    sql(
        database,
        "INSERT INTO host (user_id, name, ready) SELECT id, name, TRUE FROM users WHERE id > 2;"
        "INSERT INTO task (owner, channel_id, arch, method, state, host_id)"
        " SELECT 1, 1, 'noarch', name || state, state, id FROM host"
        " CROSS JOIN generate_series(0, 5) AS state",
    )
    columns = sql(
        database, "SELECT column_name FROM information_schema.columns WHERE table_name = 'sessions'"
    )
    # Where a session can be closed, one that has expired only is renewed.
    closes = "closed" in columns
    log_in(database, "alice", "of kojid", expired=str(closes))
    ended = {"closed": "TRUE"} if closes else {}
    log_in(database, "bob", "of kojid that has ended", expired="TRUE", **ended)
    ask(database, "save", "hosts")
    go_back(database, "hosts")
    assert sql(database, "SELECT name, ready FROM host ORDER BY name") == ["alice|t", "bob|f"]
    select = "SELECT method, state, host_id IS NULL FROM task WHERE method ~ '{}' ORDER BY method"
    assert sql(database, select.format("alice")) == [f"alice{n}|{n}|f" for n in range(6)]
    freed = [f"bob{n}|{0 if n in (1, 4) else n}|{'t' if n in (1, 4) else 'f'}" for n in range(6)]
    assert sql(database, select.format("bob")) == freed


def test_a_host_of_another_number_has_to_log_in_again(database: Container) -> None:
    """kojid asks for its number once, when it starts."""
    sql(database, "UPDATE task SET host_id = NULL; DELETE FROM host")
    sql(
        database,
        "INSERT INTO host (user_id, name, ready) SELECT id, name, TRUE FROM users WHERE id > 2",
    )
    log_in(database, "alice", "of kojid, lately")
    go_back(database, "hosts")
    assert sql(database, SESSIONS) == []
    assert sql(database, "SELECT DISTINCT ready FROM host") == ["f"]
    ask(database, "drop", "hosts")
    go_back(database)


def test_a_person_who_is_connected_does_not_stand_in_the_way(database: Container) -> None:
    psql = ["runuser", "-u", "postgres", "--", "psql", "koji", "-c", "SELECT pg_sleep(600)"]
    command = ["docker", "-H", connect().address, "exec", str(database.name), *psql]
    for work in (lambda: ask(database, "save", "busy"), lambda: go_back(database, "busy")):
        with subprocess.Popen(command, stderr=subprocess.PIPE) as person:
            query = "SELECT 1 FROM pg_stat_activity WHERE datname = 'koji' AND query ~ 'sleep.600'"
            wait_until(lambda query=query: sql(database, query, "postgres"), 30, "it sleeps")
            work()
            assert person.wait(30) != 0
    ask(database, "drop", "busy")


def test_what_was_cut_off_is_not_kept_and_stands_in_nobodys_way(database: Container) -> None:
    for name in ("koji@half", "koji@+new", "koji@+old"):
        sql(database, f'CREATE DATABASE "{name}"', "postgres")
    assert set(ask(database, "list")) == {"first"}
    status, output = execute(database, *SCRIPT, "prepare", "half")
    assert (status, output) == (1, "koji-database: there is no snapshot half in the database\n")
    go_back(database)
    ask(database, "save", "half")
    assert set(ask(database, "list")) == {"first", "half"}
    ask(database, "drop", "half")


def test_a_switch_that_cannot_be_leaves_the_state(database: Container) -> None:
    """Without what `prepare` brings."""
    status, output = execute(database, *SCRIPT, "switch")
    assert status == 1
    assert output.startswith("koji-database: PostgreSQL: ")
    assert "Traceback" not in output
    assert users(database) == ["alice", "bob"]


def test_a_snapshot_is_listed_with_its_size_and_time(database: Container) -> None:
    (entry,) = ask(database, "list").values()
    size = int(sql(database, "SELECT pg_database_size('koji@first')")[0])
    assert entry["bytes"] == size
    assert entry["created"] > 1.7e9


def test_it_names_the_versions_that_a_backup_needs(database: Container) -> None:
    versions = ask(database, "describe")
    assert sorted(versions) == ["postgresql", "schema"]
    assert all(re.fullmatch(r"\d+(\.\d+)*", version) for version in versions.values())
