"""Starts PostgreSQL, whose cluster was made while the image was built.

It needs the credentials at /etc/pki/koji: its own certificate, and the authority that the hub's
certificate is checked against. PostgreSQL gets copies of its own, in memory.

A dump in /var/lib/postgresql/restore/koji.dump replaces the database first (see restore.py).

It has no environment variables. Arguments that begin with a dash are PostgreSQL's, such as
`-c max_connections=200`.
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from util import credentials, entry, files
from util.environment import Environment

# Links that the Dockerfile makes.
POSTGRES = "/usr/lib/postgresql/bin/postgres"
CLUSTER = "/var/lib/postgresql/koji"
USER = "postgres"
RESTORE = "/usr/lib/nagoya/restore.py"

# Where koji.conf says that they are. On a tmpfs, so that `docker commit` of the container
# leaves the key out of the image.
COPIES = Path("dev/shm/koji-database")
COPIED = {
    "server.crt": "certs/kojidatabase.crt",
    "server.key": "private/kojidatabase.key",
    "ca.crt": "koji_ca_cert.crt",
}
SOCKETS = Path("run/postgresql")


def copy_credentials(root: Path, user: str) -> None:
    """Copy the database's key and certificates for `user`. Raises Fatal if there are none."""
    folder = credentials.require(root)
    for target, source in COPIED.items():
        files.private_copy(folder / source, root / COPIES / target, user)


def make_socket_directory(root: Path, user: str) -> None:
    """Make the directory of the socket: /run may be new at every start."""
    directory = root / SOCKETS
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    account = pwd.getpwnam(user)
    os.chown(directory, account.pw_uid, account.pw_gid)


def main(argv: Sequence[str] | None = None) -> int:
    """Execute PostgreSQL, or the command in the arguments."""
    argv = sys.argv[1:] if argv is None else argv
    if entry.passes_through(argv, own=[word for word in argv if word.startswith("-")]):
        entry.exec_command(argv)
    Environment(os.environ).check()
    copy_credentials(Path("/"), USER)
    make_socket_directory(Path("/"), USER)
    # Another program, since it drops its privileges.
    if status := subprocess.run([sys.executable, RESTORE], check=False).returncode:
        return status
    return entry.exec_command([POSTGRES, "-D", CLUSTER, *argv], user=USER)


if __name__ == "__main__":
    sys.exit(entry.run("koji-database", main))
