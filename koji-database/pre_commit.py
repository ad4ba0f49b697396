"""Deletes the sessions before this database is committed to an image: a session's key is as good as
its user's certificate."""

import sys
from contextlib import closing

from snapshot import connect

from util import entry


def main() -> int:
    """Delete the sessions, as PostgreSQL's own user."""
    entry.drop_privileges("postgres")
    with closing(connect("koji")) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM sessions")
        entry.log(f"deleted {cursor.rowcount} sessions")
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-database", main))
