"""Makes the system's certificate authority, and the certificates of the hub, the database and
Koji's own users.

The first start writes them to the volume /etc/pki/koji (`util/certificates.py` shows the layout).
A later start checks them and changes nothing. Whatever changes them, the database's are copied to
the volume /etc/pki/koji-database, if that is mounted: it sees no other keys then.

Arguments change the certificates; `toji credentials` uses them:

    docker run --rm --volumes-from kojicreds koji-credentials-volume issue alice

issue NAME...         a key and a certificate for a user, who has to be added on the hub too
                      (`koji add-user alice`). A valid certificate is left as it is, an expired one
                      is renewed.
renew [NAME...]       a certificate that ends later, for the same key: of these names, else of those
                      that expire within 60 days
renew --all           the same for all
rotate                make another authority; clients get certificates of it. The former one stays
                      trusted, and its certificates for the hub and the database stay
retire                end the trust in the former authority; its certificates are invalid
revoke NAME [CERT...] end the validity of NAME's certificate and of more, in PEM. A part of Koji and
                      kojiadmin get a new key, a user's files are deleted.

Each prints the names that it changed, one a line. The hub and the database read what changed when
they start, or when reload_credentials.py makes them.

Environment variable, a list separated by commas or blanks:

KOJI_DATABASE_NAMES   DNS names and IP addresses of the database, in addition to kojidatabase,
                      localhost and the loopback addresses

The hub adds names to its certificate itself: see KOJI_HUB_NAMES in koji-hub's entrypoint.py.
"""

import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from cryptography import x509

from util import certificates, credentials, entry, files
from util.environment import Environment
from util.names import LOOPBACK, Names

VERBS = ("issue", "renew", "revoke", "rotate", "retire")
FOR_DATABASE = {
    "koji_ca_cert.crt": 0o644,
    certificates.REVOCATIONS: 0o644,
    "kojidatabase.pem": 0o600,
}
DATABASE_NAMES = "KOJI_DATABASE_NAMES"


def make_credentials(root: Path, database: Names) -> None:
    """Fill the empty volume below `root`, its marker last."""
    hub = Names.parse(("koji", *LOOPBACK), entry.log)
    folder = root / credentials.FOLDER
    authority = certificates.Authority.create(folder)
    authority.issue("kojihub", hub.dns, hub.ips, server=True, client=True)
    authority.issue("kojidatabase", database.dns, database.ips, server=True)
    for client in credentials.CLIENTS:
        authority.issue(client, client=True, browser=client == "kojiadmin")
    files.mark_done(folder)


def check_credentials(root: Path) -> None:
    """Raise Fatal if a certificate does not fit its key or its authority, or has expired."""
    for name in credentials.PARTS:
        certificates.check(root / credentials.FOLDER, name)


def prepare(root: Path, database: Names) -> None:
    """Make the credentials, unless an earlier start has, and check them."""
    folder = root / credentials.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if files.done(folder):
        entry.log(f"{folder} is complete already")
        if not (folder / certificates.REVOCATIONS).exists():  # of an earlier Nagoya
            certificates.Authority.load(folder).write_revocations()
    else:
        make_credentials(root, database)
        entry.log(f"made the certificates in {folder}")
    check_credentials(root)
    copy_for_database(root)


def copy_for_database(root: Path) -> None:
    """Copy the database's key and certificates to its own volume, if that is mounted."""
    target = root / credentials.DATABASE
    if target.is_dir():
        for name, mode in FOR_DATABASE.items():
            files.write(target / name, (root / credentials.FOLDER / name).read_bytes(), mode)
        files.mark_done(target)


class Issuer:
    """Changes the certificates in the volume below `root`. Raises Fatal if it has no authority."""

    def __init__(self, root: Path) -> None:
        self.folder = root / credentials.FOLDER
        if not files.done(self.folder):
            raise entry.Fatal(
                f"there is no certificate authority in {self.folder}",
                hint="run koji-credentials-volume first, then use `--volumes-from kojicreds`",
            )
        self.authority = certificates.Authority.load(self.folder)

    def issue(self, names: Sequence[str]) -> list[str]:
        """Issue a certificate for each user without one, and renew what has expired."""
        issued = []
        for name in names:
            if name in credentials.RESERVED:
                raise entry.Fatal(
                    f"{name!r} is reserved for the system itself",
                    hint="choose another name",
                )
            if not (self.folder / f"certs/{name}.crt").exists():
                self.authority.issue(name, client=True, browser=True)
            elif not self._is_user(name):
                raise entry.Fatal(
                    f"{name!r} is the name of a builder, which has a certificate of its own",
                    hint="choose another name",
                )
            elif certificates.date_error(self.folder, [name]):
                self.authority.renew(name)
            else:
                certificates.check(self.folder, name)
                continue
            issued.append(name)
        return issued

    def renew(self, names: Sequence[str], *, everything: bool = False) -> list[str]:
        """Renew the certificates of these names, or those that are due, or all."""
        present = self._names()
        if unknown := [name for name in names if name not in present]:
            raise entry.Fatal(
                f"there is no certificate of {', '.join(unknown)}",
                hint=f"there are those of {', '.join(present)}",
            )
        due = [
            name
            for name in present
            if everything or certificates.is_due(certificates.load(self.folder / f"{name}.pem"))
        ]
        for name in names or due:
            self.authority.renew(name)
        return [*(names or due)]

    def rotate(self) -> list[str]:
        """Make another authority, and renew the certificates of all clients.

        Where the former one is not retired yet, this completes what was interrupted.
        """
        if self.authority.former is None:
            self.authority = self.authority.rotate()
        else:
            self.authority.write_revocations()
        return self._renew_former(set(self._names()).difference(credentials.SERVERS))

    def retire(self) -> list[str]:
        """End the trust in the former authority, if there is one, and renew what it had issued."""
        if self.authority.former:
            self.authority = self.authority.retire()
        else:
            self.authority.write_revocations()
        return self._renew_former(self._names())

    def revoke(self, name: str, others: Sequence[x509.Certificate]) -> list[str]:
        """Revoke NAME's certificate, and others of that name."""
        if not certificates.is_name(name):
            raise entry.Fatal(f"{name!r} cannot be the name in a certificate")
        own = self.authority.issued(name)
        if not own and not others:
            raise entry.Fatal(f"there is no certificate of {name!r} to revoke")
        self.authority.revoke(name, [*own, *others])
        if name in credentials.PARTS:
            self.authority.renew(name, new_key=True)
            return [name]
        # The certificate last, since it says that the others are there.
        renewed = f"{certificates.RENEWED}/{name}.crt"
        for file in (f"{name}.pem", f"{name}_browser_cert.p12", f"private/{name}.key", renewed):
            (self.folder / file).unlink(missing_ok=True)
        (self.folder / f"certs/{name}.crt").unlink(missing_ok=True)
        return [name]

    def _names(self) -> list[str]:
        """The parts of Koji and the users. Builders, which may have files here from an earlier
        Nagoya, renew theirs themselves."""
        names = sorted(path.stem for path in (self.folder / "certs").glob("*.crt"))
        users = [name for name in names if name not in credentials.PARTS and self._is_user(name)]
        return [*credentials.PARTS, *users]

    def _renew_former(self, names: Collection[str]) -> list[str]:
        """Renew those of these names that another authority than this one has issued, or whose
        files differ, since their renewal was interrupted."""
        renewed = []
        for name in self._names():
            if name not in names:
                continue
            paths = self.folder / f"{name}.pem", self.folder / f"certs/{name}.crt"
            pem, issued = map(certificates.load, paths)
            if pem != issued or certificates.is_of_former(self.folder, pem):
                self.authority.renew(name)
                renewed.append(name)
        return renewed

    def _is_user(self, name: str) -> bool:
        # Only people get a file for their browser.
        return (self.folder / f"{name}_browser_cert.p12").exists()


def change(root: Path, verb: str, arguments: Sequence[str]) -> list[str]:
    """Carry out a verb; the names whose certificates changed."""
    if verb in ("issue", "revoke") and not arguments:
        raise entry.Fatal(f"`{verb}` needs a name", hint=f"{verb} alice")
    issuer = Issuer(root)
    match verb:
        case "issue":
            return issuer.issue(arguments)
        case "renew" if arguments == ["--all"]:
            return issuer.renew([], everything=True)
        case "renew":
            return issuer.renew(arguments)
        case "rotate":
            return issuer.rotate()
        case "retire":
            return issuer.retire()
    others = certificates.split("\n".join(arguments[1:]).encode())
    return issuer.revoke(arguments[0], others)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the credentials, change certificates, or run the command in the arguments."""
    argv = sys.argv[1:] if argv is None else argv
    if entry.passes_through(argv, own=VERBS):
        entry.exec_command(argv)
    if argv:
        print(*change(Path("/"), argv[0], list(argv[1:])), sep="\n")
        copy_for_database(Path("/"))
        return 0
    environment = Environment(os.environ)
    words = (*LOOPBACK, *environment.words(DATABASE_NAMES))
    database = Names.parse(words, lambda why: environment.wrong(DATABASE_NAMES, why))
    environment.check()
    prepare(Path("/"), database)
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-credentials-volume", main))
