"""Bundles: what a builder on another machine needs, in one file, made by the system's hub."""

import json
import re
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from nagoya.engine import containers
from nagoya.engine.exec import execute
from nagoya.errors import LifecycleError, UsageError
from nagoya.koji.profile import Profile
from nagoya.system.system import System, require_system

BUNDLE_LABEL = "nagoya.make-bundle"
"""On the hub's image: a command, as a JSON list, that takes a builder's name and the hub's URL, and
prints a bundle as a line of JSON."""
_SECONDS = 60
_LAN = "docs/lan.md says how a system gets a name that other machines reach"


def make(system: System, name: str, url: str | None = None) -> bytes:
    """A bundle for a new builder, which calls the hub at `url`, else at the profile's.

    Raises UsageError for the name of a container or an URL that is none, and LifecycleError if
    other machines cannot reach the hub, or if the hub does not run or refuses.
    """
    present = require_system(system.engine, system.name)
    declared = "|".join(map(re.escape, {*present, *system.declaration.containers}))
    if re.fullmatch(rf"({declared})(-\d+)?", name):
        raise UsageError(f"'{name}' is the name of a container of the system", "choose another")
    profile = Profile.load(system)
    hub = present[profile.hub]
    state = containers.state(hub)
    address = url_of(url) if url else published_url(profile.urls["hub"], state.addresses[443])
    command = containers.label(hub, BUNDLE_LABEL)
    if command is None:
        raise LifecycleError(
            f"the image of {profile.hub} is of an older Nagoya, which makes no bundles",
            f"`moromi build`, then `toji --system {system.name} up`",
        )
    if not state.running:
        raise LifecycleError(
            f"{profile.hub} does not run, and it makes the bundle",
            f"`toji --system {system.name} start`",
        )
    with system.lock():
        status, output = execute(hub, [*json.loads(command), name, address], seconds=_SECONDS)
    if status:
        message, _, hint = output.strip().partition("\n  hint: ")
        raise LifecycleError(message.removeprefix("koji-hub: "), hint or None)
    # Beside it is the log, in any order.
    (bundle,) = (line for line in output.splitlines() if line.startswith("{"))
    return f"{bundle}\n".encode()


def url_of(text: str) -> str:
    """The URL of a hub from what a user wrote, `https://HOST[:PORT]`. Raises UsageError."""
    try:
        parts = urlsplit(text)
        fits = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.path.rstrip("/") not in ("", "/kojihub"):
        raise UsageError(f"'{text}' is not the URL of a hub", "https://koji.example.com")
    if "@" in parts.netloc:
        raise UsageError(
            "the URL of the hub must not contain a user name or a password",
            "leave it out: the builder logs in with the certificate of its bundle",
        )
    if is_own_address(parts.hostname or ""):
        raise UsageError(f"with '{text}' each machine calls itself", _LAN)
    return f"https://{parts.netloc}/kojihub"


def published_url(url: str, address: str) -> str:
    """The profile's URL of the hub, whose port is published on an address.

    Raises LifecycleError if other machines do not reach it.
    """
    host = urlsplit(url).hostname or ""
    if ip_address(address).is_loopback:
        raise LifecycleError(
            f"the hub's port is published on {address} alone, which no other machine reaches",
            f"{_LAN}; `--url https://HOST` names a proxy that passes TLS on",
        )
    if is_own_address(host):
        raise LifecycleError(
            f"the profile's address of the hub, {url}, works only on this machine",
            f"`--url https://HOST` names one that the other machine reaches; {_LAN}",
        )
    return url


def is_own_address(host: str) -> bool:
    """Whether a name or an address means the machine that uses it, such as `127.1` or `::`."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name if ":" in name else socket.inet_aton(name))
    except (OSError, ValueError):
        return False
    return address.is_loopback or address.is_unspecified
