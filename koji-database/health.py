"""Ready means: PostgreSQL answers a query on Koji's tables. It does not while it recovers, and it
answers nobody else while it converts a backup's data."""

import sys

import psycopg2

from util import entry


def question() -> str:
    """What PostgreSQL answers; raises if it does not."""
    entry.drop_privileges("postgres")
    connection = psycopg2.connect(
        dbname="koji",
        user="postgres",
        host="/run/postgresql",
        connect_timeout=5,
        options="-c statement_timeout=5s",
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('listen_addresses'), max(id) FROM events")
            (addresses, event) = cursor.fetchone() or (None, None)
            if not addresses:
                raise ConnectionError("PostgreSQL takes no connections yet: the data is converted")
            return f"PostgreSQL answers, and Koji's last event is {event}"
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(entry.health(question))
