"""Creates the cluster, Koji's database and its first two users, while the image is built."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection

from util import entry, files, schema

# Links that the Dockerfile makes.
BINARIES = Path("/usr/lib/postgresql/bin")
CLUSTER = Path("/var/lib/postgresql/koji")
SOCKETS = Path("/run/postgresql")

SETTINGS = """\
# Written by setup.py of koji-database, and read after all of postgresql.conf.
listen_addresses = '*'
unix_socket_directories = '/run/postgresql'

# The copies that entrypoint.py makes at every start.
ssl = on
ssl_min_protocol_version = 'TLSv1.2'
ssl_cert_file = '/dev/shm/koji-database/server.crt'
ssl_key_file = '/dev/shm/koji-database/server.key'
ssl_ca_file = '/dev/shm/koji-database/ca.crt'

# The engine keeps the log. It stamps lines itself, but not when it shows them.
log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%m [%p] %q%u '

# The hub locks rows while it works on them. A hub that has vanished must not hold its locks for the
# two hours that TCP takes to notice.
tcp_keepalives_idle = 30
tcp_keepalives_interval = 10
tcp_keepalives_count = 3
# Nor must a query of its go on, which could take days.
client_connection_check_interval = '10s'

# Parallel queries share memory through /dev/shm, of which a container has 64 MB, and fail when
# it is used up; Koji's queries are too short for either.
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 0
jit = off

# The segments are small (initdb --wal-segsize), the distance between checkpoints is not.
min_wal_size = '32MB'
max_wal_size = '1GB'
"""

ACCESS = """\
# Written by setup.py of koji-database. What is not listed is refused.
# From within, for setup, health and maintenance, the system's user postgres.
local    all   postgres       peer
# From outside: only the hub, by its certificate; there is no password that could leak.
hostssl  koji  koji      all  cert  clientcert=verify-full  map=koji
"""

# By the common name in the certificate.
ROLES = """\
# Written by setup.py of koji-database: who may act as whom, by the name in the certificate.
koji  kojihub  koji
"""


def make_cluster(cluster: Path) -> None:
    """Make an empty cluster, owned by the account that runs this.

    C.UTF-8 sorts by code point, so that another C library cannot invalidate the indexes. Small WAL
    segments keep the image small, and what a start copies.
    """
    subprocess.run(
        [
            BINARIES / "initdb",
            f"--pgdata={cluster}",
            "--username=postgres",
            "--auth=peer",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--data-checksums",
            "--wal-segsize=4",
            "--no-instructions",
            "--no-sync",
        ],
        check=True,
    )


def configure(cluster: Path) -> None:
    """Write the settings that differ from initdb's."""
    main = cluster / "postgresql.conf"
    files.write(main, main.read_text() + "\ninclude = 'koji.conf'\n", mode=0o600)
    files.write(cluster / "koji.conf", SETTINGS, mode=0o600)
    files.write(cluster / "pg_hba.conf", ACCESS, mode=0o600)
    files.write(cluster / "pg_ident.conf", ROLES, mode=0o600)


@contextmanager
def temporary_server(cluster: Path) -> Iterator[None]:
    """Run the server on its socket alone, so that nobody can connect early, and stop it cleanly.

    It runs without fsync, since the engine writes the layer afterwards anyway, and without recycled
    WAL segments, which would only make the image larger.
    """
    options = "-c listen_addresses='' -c ssl=off -c fsync=off -c wal_recycle=off"
    control = [str(BINARIES / "pg_ctl"), f"--pgdata={cluster}", "--wait"]
    subprocess.run([*control, "start", f"--options={options}"], check=True)
    try:
        yield
    finally:
        subprocess.run([*control, "stop", "--mode=fast"], check=True)


@contextmanager
def connected(database: str) -> Iterator[Connection]:
    """A session of the role postgres that commits each statement. PostgreSQL's errors, such as a
    full disk, are raised as Fatal."""
    try:
        connection = psycopg2.connect(dbname=database, user="postgres", host=str(SOCKETS))
        with closing(connection):
            connection.autocommit = True
            yield connection
    except psycopg2.Error as error:
        raise entry.Fatal(f"PostgreSQL: {' '.join(str(error).split())}") from error


def make_database(connection: Connection) -> None:
    """Make the role koji and the database koji that it owns."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE koji LOGIN")
        cursor.execute("CREATE DATABASE koji OWNER koji")


def fill_database(connection: Connection) -> None:
    """Make Koji's tables and first users, all as the role koji, which then owns everything."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION AUTHORIZATION koji")
        schema.create(cursor)
        cursor.execute("RESET SESSION AUTHORIZATION")
        cursor.execute("VACUUM (FREEZE, ANALYZE)")


def main() -> int:
    """Create cluster, database and users, as the user that the server will run as."""
    entry.drop_privileges("postgres")
    make_cluster(CLUSTER)
    configure(CLUSTER)
    with temporary_server(CLUSTER):
        with connected("postgres") as connection:
            make_database(connection)
        with connected("koji") as connection:
            fill_database(connection)
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-database", main))
