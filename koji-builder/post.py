"""How a request reaches the hub's registrar, and its answer this builder: by the folder that both
share, or by HTTPS from another machine. util/exchange.py has their form."""

import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from util import credentials, exchange, files

TIMEOUT = 5.0


class Refused(Exception):
    """The registrar refused the request."""


class NotYet(Refused):
    """The registrar refused the request for now; a later one may succeed."""


class Folder:
    """The folder that builders share with the hub."""

    hint = f"mount the same volume at /{exchange.FOLDER} in the hub and in this builder"

    def __init__(self, root: Path, name: str) -> None:
        self._folder, self._name = root / exchange.FOLDER, name

    def send(self, request: bytes) -> None:
        files.write(self._folder / f"{self._name}.request", request)

    def receive(self) -> bytes:
        """The last answer. Raises OSError or ValueError if there is none."""
        return exchange.read(self._folder / f"{self._name}.reply")


class Https:
    """The hub's /builders, which verifies this builder's certificate."""

    hint = "the hub's log says what it made of the request"

    def __init__(self, root: Path, name: str, url: str) -> None:
        self._folder, self._name, self._url = root / credentials.FOLDER, name, urlsplit(url)

    def send(self, request: bytes) -> None:
        """Raises Refused, or NotYet if the hub is not in reach."""
        try:
            status, answer = self._call("POST", request)
        except (OSError, http.client.HTTPException) as error:
            reason = str(error).upper().replace(" ", "_")
            for word, why in (("REVOKED", "was revoked"), ("EXPIRED", "has expired")):
                if f"CERTIFICATE_{word}" in reason:
                    raise Refused(f"the certificate of {self._name} {why}") from error
            raise NotYet(f"the hub cannot be reached: {error}") from error
        if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise NotYet(f"the hub answers {status}")
        if status == http.HTTPStatus.NOT_FOUND:
            raise Refused(f"there is no {self._url.geturl()}; the hub's image is older")
        if status != http.HTTPStatus.ACCEPTED:
            raise Refused(answer.decode(errors="replace"))

    def receive(self) -> bytes:
        """The last answer. Raises OSError or ValueError if there is none."""
        try:
            status, answer = self._call("GET")
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        if status != http.HTTPStatus.OK:
            raise ValueError(f"the hub answers {status}")
        return answer

    def _call(self, method: str, body: bytes | None = None) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self._folder / exchange.AUTHORITY))
        context.load_cert_chain(str(self._folder / f"{self._name}.pem"))
        connection = http.client.HTTPSConnection(
            self._url.hostname or "", self._url.port, timeout=TIMEOUT, context=context
        )
        try:
            try:
                connection.request(method, self._url.path, body)
            except OSError:
                # With TLS 1.3 a hub that refuses the certificate says so later, and then hangs up.
                if connection.sock:
                    connection.sock.recv(1)
                raise
            answer = connection.getresponse()
            return answer.status, answer.read(exchange.LARGEST)
        finally:
            connection.close()
