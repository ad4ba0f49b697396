"""Makes the system's certificate authority, and the certificates of the hub, the database and
Koji's own users.

The first start writes them to the volume /etc/pki/koji (`util/certificates.py` shows the layout).
A later start checks them and changes nothing.

The arguments `user NAME...` issue certificates for more users:

    docker run --rm --volumes-from kojicreds koji-credentials-volume user alice

The user has to be added on the hub too (`koji add-user alice`). A user keeps an existing
certificate.

Environment variables, each a list separated by commas or blanks:

KOJI_HUB_NAMES        DNS names and IP addresses of the hub, in addition to koji, localhost and the
                      loopback addresses
KOJI_DATABASE_NAMES   the same for the database, in addition to kojidatabase, localhost and the
                      loopback addresses
"""

import ipaddress
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from util import certificates, credentials, entry, files
from util.environment import Environment

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Names:
    """The names of a server, in the two forms that a certificate distinguishes."""

    dns: tuple[str, ...]
    ips: tuple[certificates.Address, ...]


def read_names(environment: Environment, variable: str, own: Sequence[str]) -> Names:
    """The names of one server: its `own`, the loopback's, and those that the variable adds."""
    dns: list[str] = []
    ips: list[certificates.Address] = []
    for word in (*own, *LOOPBACK, *environment.words(variable)):
        try:
            ips.append(ipaddress.ip_address(word))
        except ValueError:
            # A name of digits and dots is a mistyped address.
            if not certificates.is_name(word) or word.replace(".", "").isdigit():
                environment.wrong(variable, f"{word!r} is neither a DNS name nor an IP address")
            dns.append(word)
    return Names(tuple(dns), tuple(ips))


def make_credentials(root: Path, hub: Names, database: Names) -> None:
    """Fill the empty volume below `root`, its marker last."""
    folder = root / credentials.FOLDER
    authority = certificates.Authority.create(folder)
    authority.issue("kojihub", hub.dns, hub.ips, server=True, client=True)
    authority.issue("kojidatabase", database.dns, database.ips, server=True)
    for client in credentials.CLIENTS:
        authority.issue(client, client=True, browser=client == "kojiadmin")
    files.mark_done(folder)


def check_credentials(root: Path) -> None:
    """Raise Fatal if a certificate does not fit its key or its authority, or has expired."""
    for name in credentials.RESERVED:
        certificates.check(root / credentials.FOLDER, name)


def prepare(root: Path, hub: Names, database: Names) -> None:
    """Make the credentials, unless an earlier start has, and check them."""
    folder = root / credentials.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if files.done(folder):
        entry.log(f"{folder} is complete already")
    else:
        make_credentials(root, hub, database)
        entry.log(f"made the certificates in {folder}; the hub is {', '.join(hub.dns)}")
    check_credentials(root)


def issue_for_users(root: Path, names: Sequence[str]) -> None:
    """Issue a certificate for each user without one. Raises Fatal for a name no user can have."""
    folder = root / credentials.FOLDER
    if not names:
        raise entry.Fatal("`user` needs the names of users", hint="user alice bob")
    if not files.done(folder):
        raise entry.Fatal(
            f"there is no certificate authority in {folder}",
            hint="run koji-credentials-volume first, then use `--volumes-from kojicreds`",
        )
    for name in names:
        if name in credentials.RESERVED:
            raise entry.Fatal(
                f"{name!r} is reserved: the system itself logs in with that certificate",
                hint="choose another name",
            )
        if not (folder / f"certs/{name}.crt").exists():
            certificates.Authority.load(folder).issue(name, client=True, browser=True)
        # Only people get a file for their browser.
        elif not (folder / f"{name}_browser_cert.p12").exists():
            raise entry.Fatal(
                f"{name!r} is the name of a builder, which has a certificate of its own",
                hint="choose another name",
            )
        certificates.check(folder, name)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the credentials, issue users' certificates, or run the command in the arguments."""
    argv = sys.argv[1:] if argv is None else argv
    if entry.passes_through(argv, own=("user",)):
        entry.exec_command(argv)
    if argv:
        issue_for_users(Path("/"), argv[1:])
        return 0
    environment = Environment(os.environ)
    hub = read_names(environment, "KOJI_HUB_NAMES", ["koji"])
    database = read_names(environment, "KOJI_DATABASE_NAMES", [])
    environment.check()
    prepare(Path("/"), hub, database)
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-credentials-volume", main))
