"""Users beside kojiadmin: a certificate from the instance's own authority, and an account."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from nagoya.config.values import StrictModel
from nagoya.errors import LifecycleError, UsageError, did_you_mean
from nagoya.koji import credentials
from nagoya.koji.certificates import RESERVED, is_expired
from nagoya.koji.hub import HubConnection
from nagoya.koji.profile import CA
from nagoya.system.system import System, require_system

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,61}[A-Za-z0-9_])?")


class User(StrictModel):
    """A seed's document: a user's account, and what the user may do."""

    type: Literal["user"]
    name: str
    permissions: tuple[str, ...] = ()


def add(system: System, name: str, permissions: Collection[str] = ()) -> Path:
    """Make sure that a user can log in and has some permissions; the certificate's path.

    An existing account keeps its permissions, a valid certificate is left unchanged. Raises
    UsageError if the name cannot be a user's, LifecycleError if there is no such permission.
    """
    hub = HubConnection.of(system)
    check_name(name, require_system(system.engine, system.name))
    session = hub.session()
    for problem in unknown_permissions(session, permissions):
        raise LifecycleError(
            problem,
            f"`koji -p {hub.profile.name} list-permissions` lists them; "
            "a seed's `permission` document adds one",
        )
    certificate = hub.profile.certificate(name)
    if not certificate.exists() or is_expired(certificate):
        credentials.issue(system, [name])
    create(session, name)
    grant(session, name, permissions)
    return certificate


def check_name(name: str, builders: Collection[str] = ()) -> None:
    """Raise UsageError for a name that no user can have. Builders log in by the names of their
    containers."""
    if name in (*RESERVED, CA.removesuffix(".crt")) or name in builders:
        raise UsageError(
            f"'{name}' is reserved: a part of the system has that name", "choose another name"
        )
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot be a user's name",
            "use letters, digits, underscores, and inner dots and dashes, at most 63 of them",
        )


def create(session: Any, name: str) -> bool:
    """Create an account; False if it exists."""
    if session.getUser(name) is not None:
        return False
    session.createUser(name)
    return True


def grant(session: Any, name: str, permissions: Collection[str]) -> bool:
    """Grant the permissions that a user lacks; False if there are none."""
    missing = set(permissions) - set(session.getUserPerms(name))
    for permission in sorted(missing):
        session.grantPermission(name, permission)
    return bool(missing)


def unknown_permissions(
    session: Any, permissions: Collection[str], declared: Collection[str] = ()
) -> list[str]:
    """A sentence for each permission that the hub does not have, and that is not `declared`."""
    known = {permission["name"] for permission in session.getAllPerms()}.union(declared)
    return [
        f"the hub has no permission '{permission}'{did_you_mean(permission, known)}"
        for permission in permissions
        if permission not in known
    ]
