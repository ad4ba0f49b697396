"""The database's side of snapshots. Each snapshot is a database in the same cluster, created with
Koji's database as its template.

A user who is logged in when a snapshot is restored stays logged in, if the snapshot has that user.

For a backup, `cut` opens a transaction that sees the database as it is at that moment, and `dump`
writes that state to a file.
"""

import io
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier
from setup import BINARIES

from util import entry, schema, snapshot

KOJI = "koji"
PREFIX = "koji@"
# No snapshot can be named so.
NEW, OLD = f"{PREFIX}+new", f"{PREFIX}+old"
# Each attempt waits for 5 s in PostgreSQL itself for other sessions to end.
TRIES = 3
# Where a dump is made, and where restore.py looks for one.
DUMPED, RESTORED = Path("/var/lib/postgresql/backup"), Path("/var/lib/postgresql/restore")
# States of tasks, as koji.TASK_STATES has them.
FREE, OPEN, ASSIGNED = 0, 1, 4


def snapshots() -> snapshot.Snapshots:
    """The databases called koji@NAME. Each one's comment, written last, is the time it was made."""
    with connected() as cursor:
        cursor.execute(
            "SELECT datname, shobj_description(oid, 'pg_database'), pg_database_size(oid)"
            " FROM pg_database WHERE starts_with(datname, %s)",
            [PREFIX],
        )
        return {
            name.removeprefix(PREFIX): {"created": float(created), "bytes": size}
            for name, created, size in cursor.fetchall()
            if created is not None
        }


def save(name: str) -> None:
    """Copy Koji's database."""
    with connected() as cursor:
        drop_database(cursor, PREFIX + name)
        copy(cursor, KOJI, PREFIX + name)
        copy_name = Identifier(PREFIX + name)
        cursor.execute(SQL("COMMENT ON DATABASE {} IS %s").format(copy_name), [str(time.time())])


def prepare(name: str) -> None:
    """Copy the snapshot to the database NEW."""
    if name not in snapshots():
        raise entry.Fatal(f"there is no snapshot {name} in the database")
    with connected() as cursor:
        drop_database(cursor, NEW)
        copy(cursor, PREFIX + name, NEW)


def switch() -> None:
    """Put NEW in the place of Koji's database; on failure, that stays as it was."""
    with connected() as cursor:
        with closing(connect(KOJI)) as now, closing(connect(NEW)) as then:
            carry_sessions(now, then)
        drop_database(cursor, OLD)
        retry_while_in_use(lambda: swap(cursor))


def release() -> None:
    """Remove what a switch leaves behind."""
    with connected() as cursor:
        for name in (NEW, OLD):
            drop_database(cursor, name)


def drop(name: str) -> None:
    """Delete a snapshot."""
    with connected() as cursor:
        drop_database(cursor, PREFIX + name)


class Dump:
    """A dump of the state at the time of `cut`, whatever changes later; without sessions, whose
    keys are as good as certificates."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._snapshot = ""

    def cut(self) -> None:
        self.discard()
        self._connection = connect(KOJI)
        self._connection.set_session(isolation_level="REPEATABLE READ", autocommit=False)
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            (self._snapshot,) = cursor.fetchone() or ("",)

    def dump(self) -> snapshot.Paths:
        DUMPED.mkdir(mode=0o700)
        command = [
            str(BINARIES / "pg_dump"),
            "--username=postgres",
            "--host=/run/postgresql",
            "--format=custom",
            "--exclude-table-data=sessions",
            f"--snapshot={self._snapshot}",
            f"--file={DUMPED / 'koji.dump'}",
            KOJI,
        ]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        if ended.returncode:
            raise entry.Fatal(f"the database was not dumped: {' '.join(ended.stderr.split())}")
        return {str(RESTORED): str(DUMPED)}

    def discard(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if DUMPED.exists():
            shutil.rmtree(DUMPED)


def describe() -> snapshot.Paths:
    """The oldest versions of an image in which a dump made here can be restored."""
    newest = schema.text(max(schema.upgrades()))
    return {"schema": newest, "postgresql": BINARIES.resolve().parent.name}


def connect(database: str) -> Connection:
    """A session of the role postgres, on the cluster's own socket, that commits each statement."""
    connection = psycopg2.connect(dbname=database, user="postgres", host="/run/postgresql")
    connection.autocommit = True
    return connection


@contextmanager
def connected() -> Iterator[Cursor]:
    """A cursor in another database than Koji's, so that Koji's can be copied and renamed.
    PostgreSQL's errors are raised as Fatal."""
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
    """Remove a database if it exists."""
    cursor.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


def end_sessions(cursor: Cursor, database: str) -> None:
    """End all sessions; the hub connects again by itself with its next call."""
    cursor.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database]
    )


def retry_while_in_use(work: Callable[[], None]) -> None:
    """Run `work`, which fails while anybody is connected to the database; repeat it if so (a health
    check)."""
    for _ in range(TRIES - 1):
        with suppress(errors.ObjectInUse):
            work()
            return
    work()


def copy(cursor: Cursor, source: str, target: str) -> None:
    """Create a database with another as its template."""
    # The default copies by way of the WAL, and a full disk would then end the whole server.
    statement = SQL("CREATE DATABASE {} TEMPLATE {} OWNER koji STRATEGY FILE_COPY").format(
        Identifier(target), Identifier(source)
    )

    def once() -> None:
        end_sessions(cursor, source)
        cursor.execute(statement)

    retry_while_in_use(once)


def swap(cursor: Cursor) -> None:
    """Put the new database in Koji's place: both names change, or neither."""
    end_sessions(cursor, KOJI)
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
    """Copy the sessions of the users whose names both databases have from `now` to `then`.

    A host keeps its session only if its number is the same in both, since kojid asks for that
    number once. Example: kojiadmin is user 1 in both, and stays logged in; kojibuilder is host 2
    now and unknown in the snapshot, and has to register again. Hosts without a session are set to
    not ready, and their open tasks are freed for others.
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
        # Subsessions, which belong to tasks, are left out: in the other state the numbers of tasks
        # differ.
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
        # From Koji 1.32 on an expired session is renewed, and `closed` says that it has ended.
        ended = "closed" if Identifier("closed") in columns else "expired"
        idle = f"user_id NOT IN (SELECT user_id FROM sessions WHERE NOT {ended})"
        there.execute(f"UPDATE host SET ready = FALSE WHERE {idle}")
        there.execute(
            "UPDATE task SET state = %s, host_id = NULL WHERE state IN %s AND host_id IN"
            f" (SELECT id FROM host WHERE {idle})",
            [FREE, (OPEN, ASSIGNED)],
        )


_dump = Dump()
VERBS: snapshot.Verbs = {
    "list": snapshots,
    "save": save,
    "prepare": prepare,
    "switch": switch,
    "release": release,
    "drop": drop,
    "cut": _dump.cut,
    "dump": _dump.dump,
    "discard": _dump.discard,
    "describe": describe,
}


if __name__ == "__main__":
    sys.exit(snapshot.run("koji-database", VERBS, user="postgres"))
