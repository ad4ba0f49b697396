"""Starts PostgreSQL, whose cluster was made while the image was built.

It needs its own key at /etc/pki/koji, and the authority and the revoked certificates that the hub's
is checked against: a volume of its own, which it waits for, or all credentials. PostgreSQL gets
copies, in memory.

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

from util import certificates, credentials, entry, files
from util.environment import Environment
from util.waiting import wait_until

# Links that the Dockerfile makes.
POSTGRES = "/usr/lib/postgresql/bin/postgres"
CLUSTER = "/var/lib/postgresql/koji"
USER = "postgres"
RESTORE = "/usr/lib/nagoya/restore.py"

# Where koji.conf says that they are. On a tmpfs, so that `docker commit` of the container
# leaves the key out of the image.
COPIES = Path("dev/shm/koji-database")
# Key and certificate come from one file: a new key must not be used with the old certificate.
COPIED = {
    "server.crt": "kojidatabase.pem",
    "server.key": "kojidatabase.pem",
    "ca.crt": "koji_ca_cert.crt",
}
REVOKED = "revoked.crl"
SOCKETS = Path("run/postgresql")
# Seconds for koji-credentials-volume, which may start at the same moment, to fill the volume.
PATIENCE = 60.0


def wait_for_credentials(root: Path, seconds: float) -> None:
    """Wait until the volume at /etc/pki/koji is filled. Raises Fatal."""
    folder = root / credentials.FOLDER
    if folder.is_dir():
        wait_until(
            lambda: credentials.require(root),
            seconds,
            f"koji-credentials-volume to fill {folder}",
            retry=entry.Fatal,
            hint=f"start it with the same volume at /{credentials.DATABASE}",
        )


def copy_credentials(root: Path, user: str) -> None:
    """Copy the database's key and certificates for `user`. Raises Fatal if there are none."""
    folder = credentials.require(root)
    if error := certificates.date_error_of({"kojidatabase": folder / "kojidatabase.pem"}):
        raise error
    for target, source in COPIED.items():
        files.private_copy(folder / source, root / COPIES / target, user)
    files.write(root / COPIES / REVOKED, certificates.revocations_of(folder), owner=user)


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
    wait_for_credentials(Path("/"), PATIENCE)
    copy_credentials(Path("/"), USER)
    make_socket_directory(Path("/"), USER)
    # Another program, since it drops its privileges.
    if status := subprocess.run([sys.executable, RESTORE], check=False).returncode:
        return status
    # Not in koji.conf, which a cluster of an earlier Nagoya has without it.
    revoked = f"ssl_crl_file=/{COPIES / REVOKED}"
    return entry.exec_command([POSTGRES, "-D", CLUSTER, "-c", revoked, *argv], user=USER)


if __name__ == "__main__":
    sys.exit(entry.run("koji-database", main))
