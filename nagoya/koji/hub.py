"""The connection from the host to a system's hub, by the profile that toji wrote.

Koji's client library is imported here alone, and only when it is needed: building and starting
systems works without it.
"""

import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import urlopen

from nagoya.engine import containers
from nagoya.engine.published import OVERRIDE
from nagoya.errors import LifecycleError
from nagoya.koji.certificates import is_expired
from nagoya.koji.profile import ADMIN, UPLOAD_BLOCKSIZE, Profile, local_urls
from nagoya.system.system import System

_LOGIN_SECONDS = 15
_DUPLICATE = "UniqueViolation"
"""In a fault: psycopg2's name of it."""


@dataclass(frozen=True)
class HubConnection:
    """A system's hub, as its profile describes it."""

    profile: Profile

    @classmethod
    def of(cls, system: System) -> Self:
        """The hub of a system, reached at its published port, and without the proxies that the
        environment names.

        Raises LifecycleError if its profile cannot be read.
        """
        profile = Profile.load(system)
        hub = containers.get(system.engine, f"{system.name}-{profile.hub}")
        local = local_urls(containers.state(hub, reload=False))
        bypass_proxies(urlsplit(local["hub"]).hostname or "")
        return cls(replace(profile, urls={**profile.urls, **local}))

    def session(self, user: str | None = ADMIN, *, seconds: float | None = None) -> Any:
        """A new `koji.ClientSession`: logged in as a user who has a certificate beside the
        profile's, or not logged in for None. Raises LifecycleError if the hub refuses.

        A call may wait for hours, such as for a snapshot's write lock, unless `seconds` limits it.
        """
        koji, ca = koji_module(), str(self.profile.ca)
        options = {
            "serverca": ca, "max_retries": 3, "retry_interval": 1, "auth_timeout": _LOGIN_SECONDS,
            "upload_blocksize": UPLOAD_BLOCKSIZE,
        }  # fmt: skip
        if seconds is not None:
            options |= {"timeout": seconds, "max_retries": 0}
        session = without_logout(koji.ClientSession)(self.profile.urls["hub"], opts=options)
        try:
            if user is not None:
                session.ssl_login(cert=str(self.profile.certificate(user)), serverca=ca)
        except (koji.GenericError, OSError) as error:
            raise self._login_error(user, str(error)) from None
        return session

    def download(self, url: str) -> bytes:
        """What the hub serves at a URL, by verified HTTPS. Raises LifecycleError."""
        context = ssl.create_default_context(cafile=str(self.profile.ca))
        try:
            with urlopen(url, context=context, timeout=60) as response:
                content: bytes = response.read()
        except OSError as error:
            raise LifecycleError(f"{url} cannot be downloaded: {error}") from None
        return content

    def _login_error(self, user: str | None, error: str) -> LifecycleError:
        """The client wraps every cause in an AuthError, and names it in the text alone."""
        profile = self.profile
        url, toji = profile.urls["hub"], f"toji --system {profile.system}"
        if user is not None and is_expired(profile.certificate(user)):
            error = "alert certificate expired"
        causes = {
            "database outage": (
                f"the hub at {url} does not reach its database",
                f"`{toji} status` shows whether the database runs",
            ),
            "certificate has expired": (
                f"the certificate of the hub at {url} has expired",
                f"{toji} credentials renew",
            ),
            "certificate is not yet valid": (
                f"the certificate of the hub at {url} is not valid yet",
                "this machine's clock is behind, or was ahead when the certificate was made",
            ),
            "alert certificate expired": (
                f"the certificate of {user} has expired",
                f"{toji} credentials renew",
            ),
            "alert certificate revoked": (
                f"the certificate of {user} was revoked",
                f"`{toji} credentials issue {user}` issues another",
            ),
            # Where the connection is closed before its reason is read.
            "EOF occurred in violation of protocol": (
                f"the hub at {url} closed the connection: it restarts, or refuses the certificate "
                f"of {user}",
                f"try again; `{toji} credentials list` shows whether it was revoked",
            ),
            "certificate verify failed": (
                f"the hub at {url} has a certificate that {profile.ca} did not issue",
                f"the credentials were replaced while it ran; `{toji} stop` and `{toji} start`",
            ),
            "ProxyError": (
                f"a proxy that the environment names does not lead to the hub at {url}",
                f"export no_proxy={urlsplit(url).hostname}; the koji client needs it too",
            ),
            "Timeout": (
                f"the hub at {url} did not answer within {_LOGIN_SECONDS} s",
                f"`{toji} status` shows whether it and its database run",
            ),
            "exceptions.ConnectionError": (
                f"nothing answers at {url}",
                f"`{toji} status` shows whether the hub runs; a process in a container may need "
                f"{OVERRIDE}, the host on which it reaches the engine's ports",
            ),
        }
        for text, (message, hint) in causes.items():
            if text in error:
                return LifecycleError(message, hint)
        return LifecycleError(
            f"the hub at {url} rejected the login of {user}: {' '.join(error.split())}",
            f"`{toji} wait` shows whether the hub is ready",
        )


def without_logout(session_class: Any) -> Any:
    """A `koji.ClientSession` whose destructor calls nothing: Python ignores a Ctrl-C there."""
    return type("Session", (session_class,), {"__del__": lambda self: None})


def bypass_proxies(host: str) -> None:
    """Reach a host without a proxy, in this process and those that it starts."""
    hosts = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    if not {"*", host} & set(hosts.replace(",", " ").split()):
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = f"{hosts},{host}".lstrip(",")


def koji_module() -> Any:
    """Koji's client library, which the extra `client` installs."""
    try:
        import koji  # noqa: PLC0415 - see above
    except ImportError:
        raise LifecycleError(
            "Koji's client library is not installed",
            "pip install koji==1.36.1 (on Debian it needs gcc, python3-dev and libkrb5-dev)",
        ) from None
    return koji


@contextmanager
def hub_errors() -> Iterator[None]:
    """Turn a call that the hub refuses, or a connection that breaks, into a LifecycleError."""
    try:
        yield
    except Exception as error:
        koji, requests = sys.modules.get("koji"), sys.modules.get("requests")
        if koji and isinstance(error, (koji.GenericError, koji.xmlrpcplus.Fault)):
            reason = str(getattr(error, "faultString", error))
            if _DUPLICATE in reason:
                raise LifecycleError(
                    "the hub: something with that name was created at the same moment, "
                    f"by another program: {reason.partition('DETAIL:')[2].strip() or reason}",
                    "run the same command again",
                ) from error
            raise LifecycleError(f"the hub: {reason}") from error
        if requests and isinstance(error, requests.RequestException):
            raise LifecycleError(
                f"the connection to the hub broke: {error}",
                "`toji wait` returns when the hub is ready; then run the same command again",
            ) from error
        raise
