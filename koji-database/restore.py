"""Loads a dump of Koji's database that was put into the container, before the database is served.

The dump may be of an older Koji: the scripts of the Koji in this image convert it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setup import BINARIES, CLUSTER, connected, temporary_server
from snapshot import ASSIGNED, FREE, KOJI, OPEN, RESTORED, drop_database

from util import entry, schema

DUMP = RESTORED / "koji.dump"


def load(dump: Path) -> None:
    """Replace Koji's database by the dump, and convert it; sessions end, open tasks start again."""
    with connected("postgres") as connection, connection.cursor() as cursor:
        drop_database(cursor, KOJI)
        cursor.execute("CREATE DATABASE koji OWNER koji")
    _run("pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={KOJI}", str(dump))
    with connected(KOJI) as connection, connection.cursor() as cursor:
        scripts = schema.upgrades()
        for version, path in schema.pending(scripts, schema.version_of(cursor, scripts)).items():
            entry.log(f"converting the database to the schema of Koji {schema.text(version)}")
            # As Koji's role, which then owns what they create.
            _run("psql", KOJI, "--quiet", "--set=ON_ERROR_STOP=1", f"--file={path}",
                 PGOPTIONS="-c role=koji")  # fmt: skip
        schema.record(cursor)
        cursor.execute("DELETE FROM sessions")
        cursor.execute("UPDATE host SET ready = FALSE")
        cursor.execute(
            "UPDATE task SET state = %s, host_id = NULL WHERE state IN %s", [FREE, (OPEN, ASSIGNED)]
        )
        cursor.execute("VACUUM (ANALYZE)")


def _run(program: str, *arguments: str, **environment: str) -> None:
    command = [str(BINARIES / program), "--username=postgres", "--host=/run/postgresql", *arguments]
    ended = subprocess.run(command, check=False, env={**os.environ, **environment})
    if ended.returncode:
        raise entry.Fatal(
            f"{program} failed with status {ended.returncode}", hint="its message is above"
        )


def main() -> int:
    """Load the dump if there is one; the next start repeats a load that was interrupted."""
    if not DUMP.exists():
        return 0
    entry.log("loading Koji's database from a dump")
    # Its owner has the number that the account has in the image that made it.
    for path in (RESTORED, DUMP):
        shutil.chown(path, "postgres", "postgres")
    entry.drop_privileges("postgres")
    with temporary_server(CLUSTER):
        load(DUMP)
    os.sync()  # the temporary server does not
    DUMP.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-database", main))
