"""Debian's PostgreSQL, in a container that is no part of a Koji.

Its certificate is of an authority of the site's, for the name db.example.com. The role `koji` logs
in with the hub's certificate, any other one with a password.
"""

import io
import tarfile
from pathlib import Path

from docker.models.containers import Container

from tests.image.tracked import Containers, execute, wait_until
from util.certificates import Authority

NAME = "db.example.com"
ROLE, PASSWORD = "alice", r"a:b\c 'd'"

# koji-database has the server's programs; this makes a cluster of its own.
START = r"""
cd /srv
chown -R postgres /srv
cat >hba <<END
local all all trust
hostssl koji,nowhere koji all cert map=koji
hostssl all +people all scram-sha-256
END
echo 'koji kojihub koji' >ident
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
bin=/usr/lib/postgresql/bin
as $bin/initdb --pgdata=data --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >/dev/null
exec setpriv --reuid=postgres --regid=postgres --clear-groups $bin/postgres -D data \
    -c listen_addresses='*' -c unix_socket_directories=/srv \
    -c ssl=on -c ssl_ca_file=/srv/clients.crt \
    -c ssl_cert_file=/srv/server.pem -c ssl_key_file=/srv/server.pem \
    -c hba_file=/srv/hba -c ident_file=/srv/ident
"""
ROLES = f"""
CREATE ROLE people;
CREATE ROLE koji LOGIN;
CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD.replace("'", "''")}' IN ROLE people;
"""


class PostgreSQL:
    """A server that is up; `authority` is the certificate of the authority that knows it."""

    def __init__(self, containers: Containers, folder: Path, clients: bytes, image: str) -> None:
        folder.mkdir()
        Authority.create(folder).issue("server", (NAME,), server=True)
        self.authority = (folder / "koji_ca_cert.crt").read_bytes()
        self.container: Container = containers.create(
            image, "-c", START, entrypoint="bash", stop_signal="SIGINT"
        )
        put(self.container, "/srv", "server.pem", (folder / "server.pem").read_bytes())
        put(self.container, "/srv", "clients.crt", clients)
        self.container.start()
        wait_until(lambda: self.ask("SELECT 1") == "1", 120, "PostgreSQL answers")
        self.sql(ROLES)

    def ask(self, query: str, database: str = "postgres") -> str:
        """What psql answers as the superuser, or says if it fails."""
        command = ["psql", "-h", "/srv", "-U", "postgres", "-qAt", "-v", "ON_ERROR_STOP=1"]
        return execute(self.container, *command, "-d", database, "-c", query)[1].strip()

    def sql(self, text: str, database: str = "postgres") -> None:
        """Run statements, each by itself."""
        for statement in filter(str.strip, text.split(";")):
            answer = self.ask(statement, database)
            assert "ERROR" not in answer, answer


def put(container: Container, folder: str, name: str, content: bytes) -> None:
    """Put a file that only root can read into a container, as `docker cp` does."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o600
        tar.addfile(member, io.BytesIO(content))
    assert container.put_archive(folder, archive.getvalue())
