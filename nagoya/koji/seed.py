"""What a blank Koji is filled with: a file of YAML documents, applied as often as one likes.

koji-habitude knows tags, targets, groups, packages, channels, permissions and external
repositories, and gets its documents as they are (nagoya/koji/habitude.py). Three types are ours:
`user` (koji-habitude's own asks in a way that Koji learned after 1.30), `policy`, which is the
hub's configuration and nothing that its API could change, and `import`, for builds that were made
elsewhere.
"""

import io
import secrets
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nagoya.engine import containers
from nagoya.errors import DeclarationError, LifecycleError
from nagoya.koji import habitude, rpm
from nagoya.koji.hub import HubConnection, koji_module
from nagoya.system.readiness import wait
from nagoya.system.system import System, require_system

HUB = "koji"
POLICY_FILE = "/etc/koji-hub/hub.conf.d/50-seed.conf"
_HUB_SECONDS = 120


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class User(_Document):
    """A user who may log in with a certificate of that name, and what the user may do."""

    type: Literal["user"]
    name: str
    permissions: tuple[str, ...] = ()


class Policy(_Document):
    """One of the hub's policies, as the lines of it: `test arguments :: action`."""

    type: Literal["policy"]
    name: str
    rules: tuple[str, ...] = Field(min_length=1)


class Import(_Document):
    """Binary RPMs that become builds in a tag.

    `rpms` are files: on this machine, relative to the seed's folder, with wildcards; or in a
    `container` of the system, each by its path there. `builds` names what comes of them: where all
    of it is in the tag already, nothing is done.
    """

    type: Literal["import"]
    tag: str
    builds: tuple[str, ...] = Field(min_length=1)
    rpms: tuple[str, ...] = Field(min_length=1)
    container: str | None = None


_OURS: dict[str, type[_Document]] = {"user": User, "policy": Policy, "import": Import}


@dataclass(frozen=True)
class Seed:
    """A seed file, read: our documents, and those for koji-habitude."""

    path: Path
    ours: tuple[_Document, ...]
    habitude: tuple[dict[str, Any], ...]


def read_seed(path: Path) -> Seed:
    """Read a seed file. Raises DeclarationError with every problem in our documents."""
    try:
        documents = [one for one in yaml.safe_load_all(path.read_text()) if one is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DeclarationError(str(path), [f"cannot be read: {error}"]) from None
    ours, habitude, problems = [], [], []
    for number, document in enumerate(documents, 1):
        kind = document.get("type") if isinstance(document, dict) else None
        if not isinstance(kind, str):
            problems.append(f"document {number}: has no 'type'")
        elif kind not in _OURS:
            habitude.append(document)
        else:
            try:
                ours.append(_OURS[kind].model_validate(document))
            except ValidationError as error:
                problems += [
                    f"document {number} ({kind}): {'.'.join(map(str, item['loc']))}: {item['msg']}"
                    for item in error.errors()
                ]
    if problems:
        raise DeclarationError(str(path), problems)
    return Seed(path, tuple(ours), tuple(habitude))


def apply_seed(system: System, seed: Seed) -> None:
    """Make the hub as the seed says; what is so already stays."""
    progress = system.progress
    policies = [one for one in seed.ours if isinstance(one, Policy)]
    if policies:
        progress.update("policies", "working")
        changed = _write_policies(system, policies)
        progress.update("policies", "done", "written, hub restarted" if changed else "unchanged")
    access = HubConnection.to(system.name, system.owner.home)
    session = access.session()
    # Packages may name them as owners; what they may do may be declared by koji-habitude.
    users = [one for one in seed.ours if isinstance(one, User)]
    added = [user.name for user in users if _add_user(session, user)]
    if seed.habitude:
        progress.update("koji-habitude", "working")
        changes = habitude.apply(access, seed.habitude)
        progress.update("koji-habitude", "done", f"{changes} changes" if changes else "unchanged")
    granted = [user.name for user in users if _grant(session, user)]
    if users:
        names = ", ".join(dict.fromkeys(added + granted))
        progress.update("users", "done", names or "unchanged")
    for wanted in (one for one in seed.ours if isinstance(one, Import)):
        progress.update(f"import to {wanted.tag}", "working")
        progress.update(f"import to {wanted.tag}", "done", _import(system, session, seed, wanted))


def _write_policies(system: System, policies: list[Policy]) -> bool:
    lines = ["# Written by `toji seed`.", "[policy]"]
    for policy in policies:
        lines.append(f"{policy.name} =")
        lines += [f"    {rule}" for rule in policy.rules]
    content = "\n".join([*lines, ""]).encode()
    hub = require_system(system.engine, system.name)[HUB]
    folder, _, name = POLICY_FILE.rpartition("/")
    status, there = containers.execute(hub, ["cat", POLICY_FILE], seconds=60)
    if status == 0 and there.encode() == content:
        return False
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o644
        archive.addfile(member, io.BytesIO(content))
    containers.write_files(hub, folder, packed.getvalue())
    containers.stop(hub)
    containers.start(hub)
    wait(system, _HUB_SECONDS, only=[HUB])
    return True


def _add_user(session: Any, user: User) -> bool:
    if session.getUser(user.name) is not None:
        return False
    session.createUser(user.name)
    return True


def _grant(session: Any, user: User) -> bool:
    missing = set(user.permissions) - set(session.getUserPerms(user.name))
    for permission in sorted(missing):
        session.grantPermission(user.name, permission)
    return bool(missing)


def _import(system: System, session: Any, seed: Seed, wanted: Import) -> str:
    koji = koji_module()
    if set(wanted.builds) <= _tagged(session, wanted.tag):
        return "unchanged"
    for path in _rpms(system, seed, wanted):
        header = rpm.read(path)
        build = koji.parse_NVRA(header.source_rpm)
        nvr = f"{build['name']}-{build['version']}-{build['release']}"
        if session.getBuild(nvr) is None:
            session.createEmptyBuild(build["name"], build["version"], build["release"], None)
        known = {
            "name": header.name,
            "version": header.version,
            "release": header.release,
            "arch": header.arch,
        }
        if session.getRPM(known) is None:
            folder = f"nagoya-import/{secrets.token_hex(8)}"
            session.uploadWrapper(str(path), folder)
            session.importRPM(folder, path.name)
        if nvr not in _tagged(session, wanted.tag):
            session.tagBuildBypass(wanted.tag, nvr)
    missing = set(wanted.builds) - _tagged(session, wanted.tag)
    if missing:
        raise LifecycleError(f"the RPMs for {wanted.tag} hold no {', '.join(sorted(missing))}")
    return ", ".join(wanted.builds)


def _tagged(session: Any, tag: str) -> set[str]:
    return {one["nvr"] for one in session.listTagged(tag)}


def _rpms(system: System, seed: Seed, wanted: Import) -> Iterator[Path]:
    if wanted.container is None:
        for pattern in wanted.rpms:
            there = sorted(seed.path.parent.glob(pattern))
            if not there:
                raise LifecycleError(f"{seed.path}: no such file: {pattern}")
            yield from there
        return
    handle = require_system(system.engine, system.name).get(wanted.container)
    if handle is None:
        raise LifecycleError(f"{seed.path}: the system has no container '{wanted.container}'")
    with tempfile.TemporaryDirectory() as folder:
        for path in wanted.rpms:
            copy = Path(folder) / Path(path).name
            copy.write_bytes(containers.read_file(handle, path))
            yield copy
