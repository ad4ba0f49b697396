"""Registers builders, certifies their keys, and frees the tasks of those that are gone.

It is a sidecar of Apache, and runs as root.

Builders hold no key but their own, and see nothing of the credentials. They ask here, by a file in
a folder that they share with the hub (util/exchange.py). A builder gets a certificate for its own
name only: not for a user's or that of a part of Koji, nor for another builder's that is at work. A
key whose certificate was revoked gets none any more; its owner can only leave.

Remote builders ask through Apache (builders.py), which has verified their certificates.
"""

import secrets
import sys
import time
import xmlrpc.client
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import builders
import koji
import registration
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from lost_tasks import LostTasks, host_timeout

from util import certificates, credentials, entry, exchange, files
from util.hub import hub

URL = "https://localhost/kojihub"
# The certificates that were issued to each builder, the last one at the end. A builder that returns
# is known by its key, and `toji credentials revoke` reads it here.
ISSUED = Path("run/koji-hub/builders")
PAUSE = 0.2
# A host that has checked in within so many seconds is at work.
ALIVE = 30.0


def publish_authority(folder: Path, shared: Path) -> None:
    """Tell builders which authorities to trust."""
    files.write(shared / exchange.AUTHORITY, (folder / exchange.AUTHORITY).read_bytes())


class Refused(Exception):
    """The reason for a refusal; with `later` the builder may ask again."""

    def __init__(self, reason: str, *, later: bool = False) -> None:
        super().__init__(reason)
        self.later = later


class Registrar:
    """Answers the requests in the folder that it shares with builders."""

    def __init__(self, root: Path) -> None:
        self.credentials = root / credentials.FOLDER
        self.folder = root / exchange.FOLDER
        self.elsewhere = root / builders.FOLDER.relative_to("/")
        self.issued = root / ISSUED
        # The time of the last request of each builder: an earlier one is a copy of somebody else's.
        self._last: dict[str, float] = {}

    def prepare(self) -> None:
        """Make the folders, and tell builders which authorities to trust."""
        for folder in (self.folder, self.issued):
            folder.mkdir(parents=True, exist_ok=True)
        publish_authority(self.credentials, self.folder)
        # An image that was made of a hub has those of another authority.
        trusted = certificates.load_all(self.credentials / exchange.AUTHORITY)
        issuers = [authority.subject for authority in trusted]
        for path in self.issued.glob("*.crt"):
            valid = [issued for issued in certificates.load_all(path) if issued.issuer in issuers]
            if valid:
                files.write(path, b"".join(map(certificates.pem, valid)))
            else:
                path.unlink()

    def answer_all(self) -> None:
        """Answer what is there now."""
        folders = (self.folder, self.elsewhere)
        for path in sorted(path for folder in folders for path in folder.glob("*.request")):
            try:
                # The builder may write another one while this is answered; and nobody knows this
                # name, to have something there before.
                taken = path.rename(path.with_name(f".{secrets.token_hex(8)}"))
                try:
                    request = exchange.read(taken)
                finally:
                    taken.unlink()
                self._answer(path, request)
            # Whatever a builder wrote, the others get their answers.
            except Exception as error:
                entry.log(f"{path.name!r} is ignored: {type(error).__name__}: {error}")

    def _answer(self, path: Path, request: bytes) -> None:
        name = path.stem
        body, key = exchange.verify(request)
        if body["name"] != name or not certificates.is_name(name):
            raise ValueError("its name is not the builder's")
        if body["time"] <= self._last.get(name, 0):
            raise ValueError("it is a copy")
        try:
            answer = self.carry_out(body, key, elsewhere=path.parent == self.elsewhere)
        except Refused as refusal:
            entry.log(f"{body['verb']} of {name} refused: {refusal}")
            answer = {"refused": str(refusal), "later": refusal.later}
        # Koji's client says AuthError of each log-in that fails, also where the database is away.
        except (koji.AuthError, koji.ServerOffline, requests.exceptions.RequestException) as error:
            answer = {"refused": f"the hub does not answer: {error}", "later": True}
        except (koji.GenericError, xmlrpc.client.Fault) as error:
            answer = {"refused": f"the hub says: {error}"}
        self._last[name] = body["time"]
        files.write(path.with_suffix(".reply"), exchange.reply(body, **answer))

    def carry_out(
        self, body: dict[str, Any], key: ec.EllipticCurvePublicKey, *, elsewhere: bool = False
    ) -> dict[str, object]:
        """What to answer; a builder `elsewhere` has shown a certificate of its name. Raises
        Refused."""
        name, verb = body["name"], body["verb"]
        self.check_name(name)
        revoked = certificates.load_all(self.credentials / f"certs/revoked/{name}.crt")
        if verb != "leave" and key in [certificate.public_key() for certificate in revoked]:
            raise Refused(f"the certificate of {name} was revoked")
        if error := certificates.date_error(self.credentials, ["kojiadmin"]):
            raise Refused(f"{error}; {error.hint}", later=True)
        session = self.login()
        try:
            self.check_user(session, name)
            self._remember(name, key, str(body.get("certificate", "")))
            known = elsewhere or self._is_known(name, key)
            if not known and verb != "join":
                raise Refused("it has another key than the builder of that name")
            # A bundle is one builder's, in which `first` is the container that reads it first.
            if (not known or body.get("first")) and self.is_at_work(session, name):
                raise Refused(f"another builder named {name} is at work", later=True)
            match verb:
                case "join":
                    message = registration.join(session, {**body["builder"], "name": name})
                    return {"said": message, **self._certified(name, key)}
                case "renew":
                    return self._certified(name, key)
                case "disable":
                    return {"tasks": registration.disable(session, name)}
                case "leave":
                    return {"said": registration.leave(session, name)}
            raise Refused(f"unknown verb {verb!r}")
        finally:
            session.logout()

    def check_name(self, name: str) -> None:
        """Raise Refused for the name of a part of Koji, or of one of the authority's people."""
        # These have a file for their browser.
        if name in credentials.RESERVED or (self.credentials / f"{name}_browser_cert.p12").exists():
            raise Refused(f"{name!r} is the name of a user")

    @staticmethod
    def check_user(session: koji.ClientSession, name: str) -> None:
        """Raise Refused for the name of a user of the hub's."""
        user = session.getUser(name)
        if user is not None and user["usertype"] != koji.USERTYPES["HOST"]:
            raise Refused(f"{name!r} is the name of a user")

    def login(self) -> koji.ClientSession:
        """A session of kojiadmin. Raises what a call of the hub raises."""
        session = koji.ClientSession(URL, {"timeout": 30, "anon_retry": False, "max_retries": 1})
        authority = str(self.credentials / exchange.AUTHORITY)
        session.ssl_login(str(self.credentials / "kojiadmin.pem"), None, authority)
        return session

    def _certified(self, name: str, key: ec.EllipticCurvePublicKey) -> dict[str, object]:
        """A builder's certificate, and the authorities that one elsewhere has to trust."""
        authority = (self.credentials / exchange.AUTHORITY).read_text()
        return {"certificate": self.certify(name, key), "authority": authority}

    def certify(self, name: str, key: ec.EllipticCurvePublicKey) -> str:
        """The certificate of a builder's key; a new one if there is none, or it is due."""
        issued = [
            certificate
            for certificate in certificates.load_all(self.issued / f"{name}.crt")
            if certificates.end(certificate) > datetime.now(UTC)
        ]
        last = issued[-1] if issued else None
        if (
            last is None
            or last.public_key() != key
            or certificates.is_due(last)
            or certificates.is_of_former(self.credentials, last)
        ):
            last = certificates.Authority.load(self.credentials).sign(name, key, client=True)
            pems = b"".join(map(certificates.pem, [*issued, last]))
            files.write(self.issued / f"{name}.crt", pems)
            entry.log(f"issued a certificate for {name}")
        return certificates.pem(last).decode()

    def _remember(self, name: str, key: ec.EllipticCurvePublicKey, shown: str) -> None:
        """Record the certificate that a builder shows, if there is no record: this container may
        have replaced the one that issued it."""
        path = self.issued / f"{name}.crt"
        if path.exists():
            return
        trusted = certificates.load_all(self.credentials / exchange.AUTHORITY)
        for certificate in certificates.split(shown.encode()):
            own = certificate.public_key() == key and certificates.is_for(certificate, name)
            valid = certificates.end(certificate) > datetime.now(UTC)
            if own and valid and certificates.is_issued_by(certificate, trusted):
                files.write(path, certificates.pem(certificate))

    def _is_known(self, name: str, key: ec.EllipticCurvePublicKey) -> bool:
        issued = certificates.load_all(self.issued / f"{name}.crt")
        return bool(issued) and issued[-1].public_key() == key

    @staticmethod
    def is_at_work(session: koji.ClientSession, name: str) -> bool:
        """Whether the host of that name has checked in lately."""
        host = session.getHost(name)
        if host is None or not host["enabled"]:
            return False
        update = session.getLastHostUpdate(host["id"], ts=True)
        return update is not None and time.time() - update < ALIVE


def main() -> int:
    """Answer requests, and free lost tasks, until the container ends."""
    root = Path("/")
    registrar = Registrar(root)
    registrar.prepare()
    lost_tasks = LostTasks(hub(URL), host_timeout(root))
    while True:
        registrar.answer_all()
        lost_tasks.free(registrar.login)
        time.sleep(PAUSE)


if __name__ == "__main__":
    sys.exit(entry.run("koji-hub", main))
