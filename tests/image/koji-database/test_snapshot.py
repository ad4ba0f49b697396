"""koji-database's part in a snapshot, asked as toji asks it."""

import json
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
    status, said = execute(container, *SCRIPT, *words)
    assert status == 0, said
    return json.loads(said.splitlines()[-1])


def sql(container: Container, statement: str, database: str = "koji") -> list[str]:
    command = ("runuser", "-u", "postgres", "--", "psql", "-qAtc", statement, database)
    status, said = execute(container, *command)
    assert status == 0, said
    return said.splitlines()


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


def test_who_is_logged_in_stays_so_if_the_state_knows_the_user(database: Container) -> None:
    sql(database, "INSERT INTO users (name, status, usertype) VALUES ('dora', 0, 0)")
    insert = "INSERT INTO sessions (user_id, key, hostip, callnum, expired, exclusive, master)"
    for name, key, expired, exclusive, master in (
        ("alice", "hers", "FALSE", "TRUE", "NULL"),
        ("bob", "his", "FALSE", "NULL", "NULL"),
        ("bob", "of a task", "FALSE", "NULL", "(SELECT id FROM sessions WHERE key = 'his')"),
        ("bob", "former", "TRUE", "NULL", "NULL"),
        ("dora", "unknown", "FALSE", "NULL", "NULL"),
    ):
        sql(
            database,
            f"{insert} SELECT id, '{key}', '-', 7, {expired}, {exclusive}, {master}"
            f" FROM users WHERE name = '{name}'",
        )
    select = "SELECT id, key, callnum, exclusive FROM sessions ORDER BY key"
    before = [line for line in sql(database, select) if "hers" in line or "his" in line]
    go_back(database)
    assert sql(database, select) == before
    # The next session has a number that none has had.
    newest = max(int(line.split("|")[0]) for line in before) + 3
    assert sql(database, "SELECT nextval('sessions_id_seq')") == [str(newest + 1)]
    sql(database, "DELETE FROM sessions")


def test_a_user_of_the_same_number_is_not_the_same_user(database: Container) -> None:
    sql(database, "UPDATE users SET name = 'mallory' WHERE name = 'bob'")
    sql(
        database,
        "INSERT INTO sessions (user_id, key, hostip)"
        " SELECT id, 'hers', '-' FROM users WHERE name = 'mallory'",
    )
    go_back(database)
    assert sql(database, "SELECT * FROM sessions") == []


def test_a_host_without_a_session_is_not_ready(database: Container) -> None:
    sql(
        database,
        "INSERT INTO host (user_id, name, ready) SELECT id, name, TRUE FROM users WHERE id > 2;"
        "INSERT INTO sessions (user_id, key, hostip) SELECT id, 'kojid''s', '-' FROM users"
        " WHERE name = 'alice'",
    )
    ask(database, "save", "hosts")
    go_back(database, "hosts")
    select = "SELECT name, ready FROM host ORDER BY name"
    assert sql(database, select) == ["alice|t", "bob|f"]
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
    status, said = execute(database, *SCRIPT, "prepare", "half")
    assert (status, said) == (1, "koji-database: there is no snapshot half in the database\n")
    go_back(database)
    ask(database, "save", "half")
    assert set(ask(database, "list")) == {"first", "half"}
    ask(database, "drop", "half")


def test_a_switch_that_cannot_be_leaves_the_state(database: Container) -> None:
    """Without what `prepare` brings."""
    status, said = execute(database, *SCRIPT, "switch")
    assert status == 1
    assert said.startswith("koji-database: PostgreSQL: ")
    assert "Traceback" not in said
    assert users(database) == ["alice", "bob"]


def test_what_is_told_of_a_snapshot(database: Container) -> None:
    (told,) = ask(database, "list").values()
    size = int(sql(database, "SELECT pg_database_size('koji@first')")[0])
    assert told["bytes"] == size
    assert told["created"] > 1.7e9
