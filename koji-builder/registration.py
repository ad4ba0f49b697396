"""Register this builder on the hub, renew its certificate, drain it, disable it: `join`, `renew`,
`drain SECONDS`, `leave`.

The hub's registrar does that, with its own rights. Requests to it are signed with the builder's
key; see util/exchange.py.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import builder_file
import post
import work
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from post import NotYet, Refused
from trust import trust

from util import certificates, credentials, entry, exchange, files, processes
from util.waiting import wait_until

# Seconds that the registrar may take for one request. It answers one builder after the other.
PATIENCE = 60.0


class Builder:
    """This builder, as a client of the registrar."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.folder = root / credentials.FOLDER
        self.settings = builder_file.read(root)
        self.name = self.settings["name"]
        url = self.settings.get("registrar")
        self.post = post.Https(root, self.name, url) if url else post.Folder(root, self.name)
        self._key_file = self.folder / f"private/{self.name}.key"

    def _key(self) -> ec.EllipticCurvePrivateKey:
        if not self._key_file.exists():
            raise entry.Fatal("this builder has no key, since it has not joined the hub")
        key = serialization.load_pem_private_key(self._key_file.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def ask(self, verb: str, **details: object) -> dict[str, Any]:
        """The registrar's answer. Raises Fatal if there is none, Refused if the registrar
        refuses."""
        shown = self.folder / f"certs/{self.name}.crt"
        if shown.exists():
            details["certificate"] = shown.read_text()
        request = exchange.make(self._key(), self.name, verb, **details)
        body = json.loads(json.loads(request)["body"])
        self.post.send(request)
        answer = wait_until(
            lambda: self._reply(body["id"]),
            PATIENCE,
            "the hub's registrar",
            retry=LookupError,
            hint=self.post.hint,
        )
        if "refused" in answer:
            raise (NotYet if answer.get("later") else Refused)(answer["refused"])
        return answer

    def _reply(self, request: str) -> dict[str, Any]:
        try:
            answer = json.loads(self.post.receive())
        except (OSError, ValueError) as error:
            raise LookupError(f"there is no answer: {error}") from error
        if answer.get("id") != request:
            raise LookupError("there is no answer")
        return dict(answer)

    def join(self) -> str:
        """Register, and store the certificate that this builder gets, for the key of its bundle or
        the one that it makes at its first start."""
        if not self._key_file.exists():
            for folder, mode in (("private", 0o700), ("certs", 0o755)):
                (self.folder / folder).mkdir(mode=mode, exist_ok=True)
            key = certificates.key_pem(certificates.make_key())
            files.write(self._key_file, key, mode=0o600)
        first = not (self.folder / f"certs/{self.name}.crt").exists()
        answer = self.ask("join", builder=self.settings, first=first)
        self._store(answer)
        return str(answer["said"])

    def renew(self) -> None:
        """Get another certificate if this one ends soon or another authority issues them now, and
        trust that authority. kojid reads the certificate at its next login."""
        path = self.folder / f"certs/{self.name}.crt"
        former = path.read_bytes()
        self._store(self.ask("renew"))
        if path.read_bytes() != former:
            entry.log(f"the certificate of {self.name} was renewed")

    def _store(self, answer: Mapping[str, str]) -> None:
        authority = self.folder / exchange.AUTHORITY
        files.write(authority, answer["authority"])
        trust(self._root, authority)
        certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
        certificates.store(self.folder, self.name, self._key(), certificate)
        certificates.check(self.folder, self.name)

    def drain(self, seconds: float) -> str:
        """Take no more tasks, and wait until those that are there have ended."""
        wait_until(
            self._require_idle,
            seconds,
            f"the tasks of {self.name} to end",
            retry=_StillBusy,
            hint="stopping the builder now frees its tasks for other builders",
        )
        return f"{self.name} has finished its tasks"

    def _require_idle(self) -> None:
        try:
            tasks = self.ask("disable")["tasks"]
        except (entry.Fatal, NotYet) as error:
            # A hub that comes back finds its results.
            if work.runs_tasks(processes.processes()):
                raise _StillBusy(f"it is working, and {error}") from error
            raise
        if tasks:
            raise _StillBusy(f"it is working on {', '.join(map(str, tasks))}")


class _StillBusy(Exception):
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names."""
    command, *arguments = sys.argv[1:] if argv is None else argv
    builder = Builder(Path("/"))
    try:
        match command:
            case "join":
                # Another builder of that name may have been killed just now.
                seconds = builder.settings["hub_timeout"]
                entry.log(wait_until(builder.join, seconds, "the hub to accept it", retry=NotYet))
            case "renew":
                builder.renew()
            case "drain":
                entry.log(builder.drain(float(arguments[0])))
            case "leave":
                entry.log(str(builder.ask("leave")["said"]))
    except Refused as refusal:
        # A new container has a new key.
        again = f"`toji up --recreate {builder.name}` makes this builder again"
        if builder.settings.get("registrar"):
            again = f"`toji builder bundle {builder.name} -o FILE` makes another bundle for it"
        barred = "was revoked" in str(refusal) or "has expired" in str(refusal)
        raise entry.Fatal(
            f"the hub did not let {builder.name} {command}: {refusal}",
            hint=again if barred else None,
        ) from refusal
    return 0


if __name__ == "__main__":
    sys.exit(entry.run("koji-builder", main))
