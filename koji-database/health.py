"""Ready means: PostgreSQL answers a query on Koji's tables. It does not while it recovers, and it
answers nobody else while it loads a dump."""

import os
import sys

import psycopg2
from restore import DUMP

from util import entry


def question() -> str:
    """What PostgreSQL answers; raises if it does not."""
    entry.drop_privileges("postgres")
    if os.access(DUMP, os.F_OK):
        raise ConnectionError("the data of a backup is being loaded")
    connection = psycopg2.connect(
        dbname="koji",
        user="postgres",
        host="/run/postgresql",
        connect_timeout=5,
        options="-c statement_timeout=5s",
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT max(id) FROM events")
            (event,) = cursor.fetchone() or (None,)
            return f"PostgreSQL answers, and Koji's last event is {event}"
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(entry.health(question))
