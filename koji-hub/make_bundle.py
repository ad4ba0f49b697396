"""Make a bundle (util/bundle.py) for a remote builder: `make_bundle.py NAME HUB-URL`.

It prints the bundle as a line of JSON, and records the certificate where the registrar records its
own. The builder registers itself when it starts.
"""

import fcntl
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import koji
import registrar
import requests
import tls

from util import certificates, entry
from util.bundle import Bundle
from util.names import Names


def check_host(root: Path, host: str) -> None:
    """Raise Fatal unless builders that call the hub by this name see a certificate for it that they
    trust."""
    names = tls.names_of(certificates.load(root / tls.HUB))
    valid = {*names.dns, *map(str, names.ips)}
    site = os.environ.get("KOJI_WEB_URL", "") if (root / tls.SITE).exists() else ""
    known = ", ".join(sorted(valid - {"kojihub", "koji", "localhost", "127.0.0.1", "::1"}))
    others = f"; there are: {known}" if known else ""
    if host == urlsplit(site).hostname:
        raise entry.Fatal(
            f"the hub shows the site's certificate to those who call {host}, and builders trust "
            "the system's authority alone",
            hint=f"choose another of the hub's names with --url{others}. KOJI_HUB_NAMES adds one",
        )
    wanted = Names.parse([host], lambda why: None)
    if not {*wanted.dns, *map(str, wanted.ips)} <= valid:
        raise entry.Fatal(
            f"the hub's certificate is not valid for {host}",
            hint=f"choose another name with --url{others}. KOJI_HUB_NAMES of the hub adds one",
        )


def check_name(own: registrar.Registrar, name: str) -> None:
    """Raise Fatal if a new builder cannot have this name."""
    try:
        own.check_name(name)
        session = own.login()
        try:
            own.check_user(session, name)
            at_work = own.is_at_work(session, name)
        finally:
            session.logout()
    except registrar.Refused as refusal:
        raise entry.Fatal(str(refusal), hint="choose another name") from refusal
    except (koji.GenericError, requests.exceptions.RequestException) as error:
        raise entry.Fatal(f"the hub does not answer: {error}", hint="`toji wait`") from error
    revoked = certificates.load_all(own.credentials / f"certs/revoked/{name}.crt")
    valid = [
        certificate
        for certificate in certificates.load_all(own.issued / f"{name}.crt")
        if certificates.end(certificate) > datetime.now(UTC) and certificate not in revoked
    ]
    # One that was revoked a moment ago has checked in lately, and does no more.
    if valid or (at_work and not revoked):
        raise entry.Fatal(
            f"there is a builder named {name} already",
            hint="choose another name; or, if its bundle was lost or its machine is gone, "
            f"`toji credentials revoke {name}` first",
        )


def make(root: Path, name: str, hub: str) -> Bundle:
    """A bundle, whose certificate is on record. Raises Fatal."""
    if not certificates.is_name(name):
        raise entry.Fatal(
            f"{name!r} cannot be a builder's name",
            hint="use up to 63 letters, digits, underscores, and inner dots and dashes",
        )
    check_host(root, urlsplit(hub).hostname or "")
    own = registrar.Registrar(root)
    lock = os.open(own.issued, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        check_name(own, name)
        key = certificates.make_key()
        certificate = own.certify(name, key.public_key())
    finally:
        os.close(lock)
    authority = (own.credentials / "koji_ca_cert.crt").read_text()
    return Bundle(name, hub, certificates.key_pem(key).decode(), certificate, authority)


def main(argv: Sequence[str] | None = None) -> int:
    """Make a bundle and print it."""
    name, hub = sys.argv[1:] if argv is None else argv
    print(make(Path("/"), name, hub).text())
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-hub", main))
