"""Anonymous calls to the hub over verified HTTPS, with the standard library alone.

Health checks run this about twice a second, so it stays light. Logins are done with Koji's own
client library, where they are needed.
"""

import http.client
import ssl
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AUTHORITY = Path("/etc/pki/koji/koji_ca_cert.crt")

# X509_V_ERR_CERT_HAS_EXPIRED
_HAS_EXPIRED = 10

# What a hub that is not up yet, or not in reach, makes a call raise.
UNREACHABLE = (OSError, http.client.HTTPException, xmlrpc.client.Error)


@contextmanager
def failures(name: str) -> Iterator[None]:
    """Turn what a call of `name` raises into a LookupError with a sentence, such as `the hub does
    not answer`."""
    try:
        yield
    except TimeoutError:
        raise LookupError(f"{name} does not answer") from None
    except xmlrpc.client.ProtocolError as error:
        raise LookupError(f"{name} answers {error.errcode} {error.errmsg}") from None
    except xmlrpc.client.Fault as fault:
        raise LookupError(f"{name}: {fault.faultString}") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LookupError(f"{name} cannot be reached: {reason}") from None


def hub(
    url: str, ca: Path = AUTHORITY, client_pem: Path | None = None, timeout: float = 5.0
) -> xmlrpc.client.ServerProxy:
    """The hub at `url` (https://HOST/kojihub), as far as the certificate authority `ca` vouches.

    `client_pem` (key and certificate in one file) is shown to a server that asks for it.
    `timeout` in seconds holds for connecting and for each read. Calls raise OSError (refused,
    timed out, ssl.SSLError), http.client.HTTPException, or xmlrpc.client.Error (ProtocolError
    for an HTTP status, Fault for Koji's own errors), `UNREACHABLE` for short.
    Here OSError means that `ca` or `client_pem` cannot be read.
    """
    context = ssl.create_default_context(cafile=str(ca))
    if client_pem is not None:
        context.load_cert_chain(str(client_pem))
    return xmlrpc.client.ServerProxy(url, transport=_Transport(context, timeout), allow_none=True)


class _Transport(xmlrpc.client.SafeTransport):
    """The standard transport, which has no time limit, with one."""

    def single_request(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().single_request(*arguments, **options)
        except ssl.SSLCertVerificationError as error:
            if error.verify_code == _HAS_EXPIRED:
                raise OSError(
                    "its certificate has expired; `toji credentials renew` renews it"
                ) from None
            raise

    def __init__(self, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(context=context)
        self._timeout = timeout

    def make_connection(
        self, host: tuple[str, dict[str, str]] | str
    ) -> http.client.HTTPSConnection:
        connection = super().make_connection(host)
        connection.timeout = self._timeout
        return connection
