"""The credentials of a system, in its volume, and a user's on the host.

They are changed where the authority is: in a short-lived container of the credentials volume's
image, with that volume and no network. The authority's key never leaves the volume.
"""

import json
import secrets
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from nagoya.engine import Handle, containers, transfer
from nagoya.engine.exec import execute
from nagoya.engine.helper import run_helper
from nagoya.errors import LifecycleError, did_you_mean
from nagoya.koji.certificates import (
    CREDENTIALS_LABEL,
    RESERVED,
    Certificate,
    read_certificates,
)
from nagoya.koji.profile import ADMIN, CA, Profile
from nagoya.system import plan
from nagoya.system.container import SystemContainer
from nagoya.system.system import System, require_system
from nagoya.utils import files

PKI = "/etc/pki/koji"
CREDENTIALS = (CA, f"{ADMIN}.pem", f"{ADMIN}_browser_cert.p12")
RELOAD_LABEL = "nagoya.reload-credentials"
"""On an image: a command, as a JSON list, that has its daemons use the credentials as they are."""
RENEW_LABEL = "nagoya.renew-certificate"
"""On an image of builders: a command, as a JSON list, that gets a certificate of the authority."""
_RELOAD_SECONDS = 60


def extract_credentials(container: SystemContainer) -> None:
    """Copy what a client needs out of the credentials volume, readable by its owner only.

    Users' files of an authority that is trusted no more, such as one before a restore, are deleted.
    """
    profile = Profile(container.system, container.home)
    folder = profile.folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = container.read_file(f"{PKI}/{CA}")
    if profile.ca.exists() and not _share(profile.ca.read_bytes(), authority):
        for path in (*folder.glob("*.pem"), *folder.glob("*.p12")):
            path.unlink()
    for name in CREDENTIALS:
        files.write(folder / name, container.read_file(f"{PKI}/{name}"))


def cleanup_credentials(container: SystemContainer) -> None:
    """Delete the system's folder of credentials, those of `toji user` included."""
    shutil.rmtree(Profile(container.system, container.home).folder, ignore_errors=True)


def authority_of(system: System) -> Handle:
    """The container whose volume has the authority. Raises LifecycleError if there is none."""
    for handle in _present(system).values():
        if containers.label(handle, CREDENTIALS_LABEL):
            return handle
    raise LifecycleError(
        f"no container of '{system.name}' has the authority that issues certificates",
        f"`toji --system {system.name} up` creates it again; if its image is of an older Nagoya, "
        "`moromi build` first",
    )


def issue(system: System, names: Collection[str]) -> list[str]:
    """Issue certificates for users, and write their files on the host; the names that got one.

    A valid certificate is left as it is, an expired one is renewed. Raises LifecycleError for the
    name of a builder.
    """
    with system.lock():
        authority = authority_of(system)
        present = _certificates(system)
        for name in names:
            if name in present and present[name].kind == "builder":
                raise LifecycleError(f"'{name}' is the name of a builder", "choose another name")
        issued = _change(system, authority, "issue", *names)
        _write(system, authority, names)
        return issued


def renew(system: System, names: Sequence[str], *, everything: bool = False) -> list[str]:
    """Renew certificates of users and parts: these, else those that end soon, or all; the names.

    Their keys stay. Koji's parts use theirs at once.
    """
    with system.lock():
        authority = authority_of(system)
        present = _certificates(system)
        for name in names:
            _check_renewable(name, present)
        renewed = _change(system, authority, "renew", *(["--all"] if everything else names))
        _write(system, authority, _on_host(system, renewed))
        if not set(RESERVED).isdisjoint(renewed):
            _reload(system)
        return renewed


def rotate(system: System) -> list[str]:
    """Make another authority, beside the one that is there, and renew clients' certificates; their
    names. Where a former authority is not retired yet, it completes what was interrupted."""
    return _replace_authority(system, "rotate")


def retire(system: System) -> list[str]:
    """End the trust in the former authority, and renew what it had issued; the names."""
    return _replace_authority(system, "retire")


def _replace_authority(system: System, verb: str) -> list[str]:
    with system.lock():
        authority = authority_of(system)
        renewed = _change(system, authority, verb)
        # Also those that an interrupted command renewed.
        _write(system, authority, _on_host(system, _certificates(system)))
        profile = Profile(system.name, system.owner.home)
        files.write(profile.ca, transfer.read_file(authority, f"{PKI}/{CA}"))
        _reload(system)
        _reload(system, RENEW_LABEL)
        return renewed


def revoke(system: System, names: Sequence[str]) -> None:
    """Revoke the certificates of these names, and end their sessions.

    A part of Koji and kojiadmin get new ones. A builder is restarted, since its kojid would retry
    for ever. Revoking a name twice is no error: the first attempt may have been interrupted. Raises
    LifecycleError if a name has none.
    """
    with system.lock():
        authority = authority_of(system)
        present = _certificates(system)
        for name in names:
            _check_present(name, present)
        for name in names:
            _change(system, authority, "revoke", name, *present[name].issued)
        _reload(system)
        for name in _on_host(system, names):
            if name == ADMIN:
                _write(system, authority, [name])
            else:
                for path in _paths(system, name):
                    path.unlink(missing_ok=True)
    running = [n for n, handle in _present(system).items() if containers.state(handle).running]
    if builders := [n for n in names if present[n].kind == "builder" and n in running]:
        system.restart(builders)


def _share(first: bytes, second: bytes) -> bool:
    """Whether two files in PEM have a certificate in common."""
    end = b"-----END CERTIFICATE-----"
    blocks = [{block.strip() for block in text.split(end)[:-1]} for text in (first, second)]
    return not blocks[0].isdisjoint(blocks[1])


def _certificates(system: System) -> dict[str, Certificate]:
    return {each.name: each for each in read_certificates(_present(system))}


def _check_renewable(name: str, present: Mapping[str, Certificate]) -> None:
    _check_present(name, present)
    if present[name].kind == "builder":
        raise LifecycleError(f"'{name}' is a builder, which renews its own certificate")
    if present[name].revoked:
        raise LifecycleError(
            f"the certificate of '{name}' was revoked",
            f"`toji credentials issue {name}` issues another one",
        )


def _check_present(name: str, present: Mapping[str, Certificate]) -> None:
    if name not in present:
        raise LifecycleError(
            f"there is no certificate of '{name}'{did_you_mean(name, present)}",
            "`toji credentials list` shows all",
        )


def _present(system: System) -> dict[str, Handle]:
    return require_system(system.engine, system.name)


def _change(system: System, authority: Handle, verb: str, *arguments: str) -> list[str]:
    """Run a command of the credentials' image; the names that it changed."""
    status, output = run_helper(
        authority,
        f"{system.name}-certify-{secrets.token_hex(4)}",
        [verb, *arguments],
        system.owner.container_labels(system.name),
    )
    if status:
        raise LifecycleError(f"could not {verb} certificates: {output.strip()}")
    return output.split()


def _reload(system: System, label: str = RELOAD_LABEL) -> None:
    """Have every container use the credentials as they are now, unless it was stopped."""
    waiting = []
    for name, handle in _present(system).items():
        command, state = containers.label(handle, label), containers.state(handle)
        # It may have ended because a certificate had expired. The engine may wait a minute before
        # it starts the container again, and until then the log still names that certificate.
        if command is not None and state.status == "restarting":
            waiting.append(name)
        if command is None or not state.running:
            continue
        status, output = execute(handle, json.loads(command), seconds=_RELOAD_SECONDS)
        if status:
            raise LifecycleError(
                f"{name} still uses the former credentials: {output.strip()}",
                f"`toji --system {system.name} restart {name}`",
            )
    if waiting:
        system.apply(plan.restart(system.declaration, system.observe(), waiting))


def _on_host(system: System, names: Collection[str]) -> list[str]:
    """The names whose files this user has."""
    return [name for name in names if _paths(system, name)[0].exists()]


def _paths(system: System, name: str) -> tuple[Path, Path]:
    profile = Profile(system.name, system.owner.home)
    return profile.certificate(name), profile.browser_certificate(name)


def _write(system: System, authority: Handle, names: Collection[str]) -> None:
    for name in names:
        for path in _paths(system, name):
            files.write(path, transfer.read_file(authority, f"{PKI}/{path.name}"))
