"""The database's part in a snapshot: each is a database of its own in the cluster, made with
Koji's as its template.

Who is logged in when an older state comes back stays logged in, if it knows that user.
"""

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier

from util import entry, snapshot

KOJI = "koji"
PREFIX = "koji@"
# No snapshot can be named so.
NEW, OLD = f"{PREFIX}+new", f"{PREFIX}+old"
# PostgreSQL itself waits for 5 s that the others leave.
TRIES = 3
# States of tasks, as koji.TASK_STATES has them.
FREE, OPEN, ASSIGNED = 0, 1, 4


def kept() -> snapshot.Kept:
    """The databases called koji@NAME; the comment of each, made last, is when that was."""
    with connected() as cursor:
        cursor.execute(
            "SELECT datname, shobj_description(oid, 'pg_database'), pg_database_size(oid)"
            " FROM pg_database WHERE starts_with(datname, %s)",
            [PREFIX],
        )
        return {
            name.removeprefix(PREFIX): {"created": float(made), "bytes": size}
            for name, made, size in cursor.fetchall()
            if made is not None
        }


def save(name: str) -> None:
    """Copy Koji's database."""
    with connected() as cursor:
        drop_database(cursor, PREFIX + name)
        copy(cursor, KOJI, PREFIX + name)
        made = Identifier(PREFIX + name)
        cursor.execute(SQL("COMMENT ON DATABASE {} IS %s").format(made), [str(time.time())])


def prepare(name: str) -> None:
    """Make a copy of the copy."""
    if name not in kept():
        raise entry.Fatal(f"there is no snapshot {name} in the database")
    with connected() as cursor:
        drop_database(cursor, NEW)
        copy(cursor, PREFIX + name, NEW)


def switch() -> None:
    """Put it in the place of Koji's; on failure, that is what it was."""
    with connected() as cursor:
        with closing(connect(KOJI)) as now, closing(connect(NEW)) as then:
            carry_sessions(now, then)
        drop_database(cursor, OLD)
        undisturbed(lambda: swap(cursor))


def release() -> None:
    """Remove what a switch has left."""
    with connected() as cursor:
        for name in (NEW, OLD):
            drop_database(cursor, name)


def drop(name: str) -> None:
    """Remove a copy."""
    with connected() as cursor:
        drop_database(cursor, PREFIX + name)


def connect(database: str) -> Connection:
    """A session of the role postgres, on the cluster's own socket, that commits each statement."""
    connection = psycopg2.connect(dbname=database, user="postgres", host="/run/postgresql")
    connection.autocommit = True
    return connection


@contextmanager
def connected() -> Iterator[Cursor]:
    """A cursor beside Koji's database, which can be copied and renamed so. What the server says
    goes on as a refusal."""
    try:
        with closing(connect("postgres")) as connection, connection.cursor() as cursor:
            yield cursor
    except errors.DiskFull as error:
        raise entry.Fatal(
            f"the database's disk is full: {error.diag.message_primary}",
            hint="a snapshot takes as much room as the database; `toji snapshot delete` frees it",
        ) from error
    except psycopg2.Error as error:
        raise entry.Fatal(f"PostgreSQL: {' '.join(str(error).split())}") from error


def drop_database(cursor: Cursor, name: str) -> None:
    """Remove a database, if there is one of that name."""
    cursor.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


def send_away(cursor: Cursor, database: str) -> None:
    """End whoever is connected; the hub comes back by itself with its next call."""
    cursor.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database]
    )


def undisturbed(work: Callable[[], None]) -> None:
    """Do what nobody may be connected for, again where somebody came in between: a health check,
    a person's psql."""
    for _ in range(TRIES - 1):
        with suppress(errors.ObjectInUse):
            work()
            return
    work()


def copy(cursor: Cursor, source: str, target: str) -> None:
    """Make a database of another one."""
    # By way of the WAL, as is the default, a full disk would be the whole server's end.
    made = SQL("CREATE DATABASE {} TEMPLATE {} OWNER koji STRATEGY FILE_COPY").format(
        Identifier(target), Identifier(source)
    )

    def once() -> None:
        send_away(cursor, source)
        cursor.execute(made)

    undisturbed(once)


def swap(cursor: Cursor) -> None:
    """Put the new database in Koji's place: both names change, or neither."""
    send_away(cursor, KOJI)
    rename = SQL("ALTER DATABASE {} RENAME TO {}")
    cursor.execute("BEGIN")
    try:
        cursor.execute(rename.format(Identifier(KOJI), Identifier(OLD)))
        cursor.execute(rename.format(Identifier(NEW), Identifier(KOJI)))
        cursor.execute("COMMIT")
    except BaseException:
        cursor.execute("ROLLBACK")
        raise


def carry_sessions(now: Connection, then: Connection) -> None:
    """Let those keep their sessions whom both states know by name; a host only where it has the
    same number too, for kojid asks once for that.

    Hosts that have none are not ready, and what they had to do is free for others.
    """
    users, sessions = io.BytesIO(), io.BytesIO()
    with now.cursor() as here, then.cursor() as there:
        there.copy_expert(
            "COPY (SELECT users.id, users.name, host.id FROM users"
            " LEFT JOIN host ON user_id = users.id) TO STDOUT",
            users,
        )
        users.seek(0)
        here.execute("CREATE TEMPORARY TABLE known (user_id INTEGER, name TEXT, host INTEGER)")
        here.copy_expert("COPY known FROM STDIN", users)
        here.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'sessions' AND column_name <> 'user_id'"
        )
        columns = [Identifier(name) for (name,) in here.fetchall()]
        # What tasks have of sessions is left out: in the other state its number is another task's.
        select = SQL(
            "COPY (SELECT known.user_id, {} FROM sessions JOIN users ON users.id = sessions.user_id"
            " JOIN known ON known.name = users.name LEFT JOIN host ON host.user_id = users.id"
            " WHERE sessions.master IS NULL AND host.id IS NOT DISTINCT FROM known.host) TO STDOUT"
        ).format(SQL(", ").join(SQL("sessions.{}").format(column) for column in columns))
        here.copy_expert(select, sessions)
        sessions.seek(0)
        here.execute("SELECT last_value FROM sessions_id_seq")
        (last,) = here.fetchone() or (1,)
        there.execute("DELETE FROM sessions")
        into = SQL("COPY sessions (user_id, {}) FROM STDIN").format(SQL(", ").join(columns))
        there.copy_expert(into, sessions)
        there.execute("SELECT setval('sessions_id_seq', %s)", [last])
        idle = "user_id NOT IN (SELECT user_id FROM sessions WHERE NOT expired)"
        there.execute(f"UPDATE host SET ready = FALSE WHERE {idle}")
        there.execute(
            "UPDATE task SET state = %s, host_id = NULL WHERE state IN %s AND host_id IN"
            f" (SELECT id FROM host WHERE {idle})",
            [FREE, (OPEN, ASSIGNED)],
        )


VERBS: snapshot.Verbs = {
    "list": kept,
    "save": save,
    "prepare": prepare,
    "switch": switch,
    "release": release,
    "drop": drop,
}


if __name__ == "__main__":
    sys.exit(snapshot.run("koji-database", VERBS, user="postgres"))
