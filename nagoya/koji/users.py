"""Users beside kojiadmin: a certificate of the instance's own authority, and an account.

The certificate is made where the authority is: in a container of the credentials' own image that
mounts their volume, has no network, and is gone again at once. The authority's key stays there.
"""

import json
import secrets
from pathlib import Path

from nagoya.engine import containers
from nagoya.engine.containers import CONTAINER_LABEL, SYSTEM_LABEL
from nagoya.errors import LifecycleError
from nagoya.koji.hub import HubConnection
from nagoya.system.system import System, require_system
from nagoya.utils import files

CERTIFY_LABEL = "nagoya.certify"
"""On an image: its arguments, as a JSON list, that come before the names of users who are to have a
certificate in the volumes that it mounts."""

_PKI = "/etc/pki/koji"


def add(system: System, name: str) -> Path:
    """See to it that a user may log in; the certificate's path, which lies beside kojiadmin's.

    What is there already stays: the account with its permissions, the certificate. Raises
    LifecycleError where the name cannot be a user's.
    """
    access = HubConnection.to(system.name, system.owner.home)
    certificate = access.certificate.parent / f"{name}.pem"
    if not certificate.exists():
        _certify(system, name, certificate.parent)
    session = access.session()
    if session.getUser(name) is None:
        session.createUser(name)
    return certificate


def _certify(system: System, name: str, folder: Path) -> None:
    present = require_system(system.engine, system.name).values()
    keeper = next((one for one in present if containers.label(one, CERTIFY_LABEL)), None)
    if keeper is None:
        raise LifecycleError(
            f"no container of '{system.name}' can issue a certificate",
            "its credentials come from an image older than this; `toji remove`, `moromi build`",
        )
    command = json.loads(containers.label(keeper, CERTIFY_LABEL) or "[]")
    status, said = containers.run_helper(
        keeper,
        f"{system.name}-certify-{secrets.token_hex(4)}",
        [*command, name],
        {SYSTEM_LABEL: system.name, CONTAINER_LABEL: "", **system.owner.labels},
    )
    if status:
        raise LifecycleError(f"no certificate for '{name}': {said.strip()}")
    for file in (f"{name}_browser_cert.p12", f"{name}.pem"):
        files.write(folder / file, containers.read_file(keeper, f"{_PKI}/{file}"))
