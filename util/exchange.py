"""How a builder asks the hub's registrar for its certificate and its registration.

Both mount the folder FOLDER, and the builder nothing else of the credentials:

    koji_ca_cert.crt   the authority's certificate, from the registrar
    NAME.request       from the builder NAME, signed with its key, which never leaves the builder
    NAME.reply         the answer

A remote builder, which mounts nothing of the hub's, sends the same to its /builders, with the
certificate of its bundle: see koji-hub/builders.py.

Any builder can write here, so that neither side believes a file: a request has to be signed, and
the certificate in a reply has to fit the builder's key and the authority.
"""

import base64
import json
import os
import secrets
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

FOLDER = Path("etc/pki/koji-builders")
AUTHORITY = "koji_ca_cert.crt"
# Seconds that a request is valid.
LIFE = 60.0
LARGEST = 1 << 16
_HASH = ec.ECDSA(hashes.SHA256())


def make(key: ec.EllipticCurvePrivateKey, name: str, verb: str, **details: object) -> bytes:
    """A signed request."""
    sent = {"name": name, "verb": verb, "id": secrets.token_hex(16), "time": time.time(), **details}
    body = json.dumps(sent)
    return json.dumps(
        {
            "body": body,
            "key": public_pem(key.public_key()),
            "signature": base64.b64encode(key.sign(body.encode(), _HASH)).decode(),
        }
    ).encode()


def verify(request: bytes) -> tuple[dict[str, Any], ec.EllipticCurvePublicKey]:
    """The body of a request, and the key that it is signed with.

    Raises ValueError if it is not signed with that key, or too old.
    """
    try:
        sent = json.loads(request)
        key = serialization.load_pem_public_key(sent["key"].encode())
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise ValueError("the key is not of the kind that the authority certifies")
        key.verify(base64.b64decode(sent["signature"]), sent["body"].encode(), _HASH)
        body = dict(json.loads(sent["body"]))
        if not abs(time.time() - body["time"]) < LIFE:
            raise ValueError("it is too old, or a clock is wrong")
        if not all(isinstance(body[field], str) for field in ("name", "verb", "id")):
            raise ValueError("it is incomplete")
    except InvalidSignature:
        raise ValueError("its signature is wrong") from None
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"it is incomplete: {error!r}") from error
    return body, key


def public_pem(key: ec.EllipticCurvePublicKey) -> str:
    """A public key, as text."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def read(path: Path) -> bytes:
    """A file that another container has written.

    Raises OSError for a link, ValueError for anything but a small regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            raise ValueError("it is not a small file")
        return file.read(LARGEST)


def reply(request: Mapping[str, Any], **details: object) -> bytes:
    """The answer to a request."""
    return json.dumps({"id": request["id"], **details}).encode()
