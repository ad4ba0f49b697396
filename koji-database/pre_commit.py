"""Takes away what an image that is made of this database should not have: the sessions, each of
whose keys is as good as its user's certificate."""

import sys
from contextlib import closing

from snapshot import connect

from util import entry


def main() -> int:
    """Do it, as PostgreSQL's own user."""
    entry.drop_privileges("postgres")
    with closing(connect("koji")) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM sessions")
        entry.log(f"{cursor.rowcount} sessions are gone")
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-database", main))
