"""The hub's WSGI entry for builders that share no folder with it: it passes their requests on to
the registrar.

POST leaves a request (util/exchange.py), which GET gets the answer to: 404 means "not yet". Whoever
calls shows a certificate of the system's authority, and speaks for the name in it alone.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

# Apache's user owns it, and nobody else writes there.
FOLDER = Path("/run/koji-hub/elsewhere")

if __name__.startswith("_mod_wsgi_"):
    # Last, so that nothing here hides a module of Koji's.
    sys.path.append(str(Path(__file__).parent))


def application(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request."""
    status, answer = respond(environ, FOLDER)
    length = str(len(answer))
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", length)])
    return [answer]


def respond(environ: Mapping[str, Any], folder: Path) -> tuple[str, bytes]:
    """The status of an answer, and the answer: a sentence where it is an error."""
    if environ.get("SSL_CLIENT_VERIFY") != "SUCCESS":
        return "403 Forbidden", b"a builder shows its certificate here"
    # The hub's processes do without them until a builder calls.
    from util import exchange, files  # noqa: PLC0415

    name = environ["SSL_CLIENT_S_DN_CN"]
    if not folder.is_dir():
        return "503 Service Unavailable", b"the registrar is beside another hub"
    if environ["REQUEST_METHOD"] != "POST":
        try:
            return "200 OK", (folder / f"{name}.reply").read_bytes()
        except FileNotFoundError:
            return "404 Not Found", b"there is no answer"
    request = environ["wsgi.input"].read(exchange.LARGEST)
    try:
        if exchange.verify(request)[0]["name"] != name:
            raise ValueError("its name is not that of the certificate")
    except ValueError as error:
        return "400 Bad Request", f"the hub cannot use the request: {error}".encode()
    files.write(folder / f"{name}.request", request)
    return "202 Accepted", b""
