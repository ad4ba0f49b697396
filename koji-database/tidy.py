"""Takes away what an image that is made of this database should not have: the sessions, each of
whose keys is as good as its user's certificate."""

import sys

import psycopg2

from util import entry


def main() -> int:
    """Do it, as PostgreSQL's own user."""
    entry.become("postgres")
    connection = psycopg2.connect(dbname="koji", user="postgres", host="/run/postgresql")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM sessions")
            entry.say(f"{cursor.rowcount} sessions are gone")
    finally:
        connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-database", main))
