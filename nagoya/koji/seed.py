"""Seeds: files of YAML documents that fill a blank Koji, and can be applied again and again.

koji-habitude applies tags, targets, groups, packages, channels, permissions and external
repositories (nagoya/koji/habitude.py). Three types are Nagoya's: `user` (koji-habitude's makes
calls that Koji learned after 1.30), `policy` and `import`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from nagoya.config.model import StrictModel
from nagoya.config.validation import describe_errors
from nagoya.errors import DeclarationError, NagoyaError, did_you_mean
from nagoya.koji import habitude, users
from nagoya.koji.hub import HubConnection
from nagoya.koji.imports import Import, import_rpms
from nagoya.koji.policies import Policy, apply_policies
from nagoya.koji.users import User
from nagoya.system.system import System
from nagoya.utils.progress import Progress

_MODELS: dict[str, type[StrictModel]] = {"user": User, "policy": Policy, "import": Import}


@dataclass(frozen=True)
class Seed:
    """A seed file's documents by type; `policies` are by the numbers of their documents, from 1."""

    path: Path
    users: list[User] = field(default_factory=list)
    policies: dict[int, Policy] = field(default_factory=dict)
    imports: list[Import] = field(default_factory=list)
    habitude: list[dict[str, Any]] = field(default_factory=list)


def read_seed(path: Path) -> Seed:
    """Read a seed file. Raises DeclarationError with every unknown type, and every problem in a
    document of Nagoya's types."""
    try:
        documents = list(yaml.safe_load_all(path.read_text()))
    except FileNotFoundError:
        raise NagoyaError(f"{path}: no such file", exit_code=DeclarationError.exit_code) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DeclarationError(str(path), [f"cannot be read: {error}"]) from None
    seed, problems = Seed(path), []
    known = {*_MODELS, *habitude.TYPES, *_templates(documents)}
    # Empty documents, such as after a `---` at the end, do not count.
    for number, document in enumerate((each for each in documents if each is not None), 1):
        kind = document.get("type") if isinstance(document, dict) else None
        if not isinstance(kind, str):
            problems.append(f"document {number}: needs a 'type'")
        elif kind not in known:
            problems.append(f"document {number}: unknown type '{kind}'{did_you_mean(kind, known)}")
        else:
            problems += [
                f"document {number} ({kind}): {problem}"
                for problem in _add(seed, number, kind, document)
            ]
    if problems:
        raise DeclarationError(str(path), problems)
    return seed


def _templates(documents: list[Any]) -> set[str]:
    """koji-habitude's templates, whose names are types for further documents."""
    return {
        str(document.get("name"))
        for document in documents
        if isinstance(document, dict) and document.get("type") == "template"
    }


def _add(seed: Seed, number: int, kind: str, document: dict[str, Any]) -> list[str]:
    """Add a document to its list; its problems."""
    if kind not in _MODELS:
        seed.habitude.append(document)
        return []
    try:
        value = _MODELS[kind].model_validate(document)
    except ValidationError as error:
        return describe_errors(error, _MODELS[kind])
    match value:
        case User():
            seed.users.append(value)
        case Import():
            seed.imports.append(value)
        case Policy():
            for earlier, policy in seed.policies.items():
                if policy.name == value.name:
                    return [f"document {earlier} has the policy '{value.name}' already"]
            seed.policies[number] = value
    return []


def apply_seed(system: System, seed: Seed) -> None:
    """Fill a system's hub; what it has already is left unchanged. Raises LifecycleError."""
    progress = system.progress
    hub = HubConnection.of(system)
    if seed.policies:
        progress.update("policies", "working")
        changed = apply_policies(system, hub.profile.hub, seed.policies, str(seed.path))
        _done(progress, "policies", "hub restarted" if changed else "")
    session = hub.session()
    # Before koji-habitude, whose packages may name owners; their permissions may be its documents.
    changed_users = [user.name for user in seed.users if users.create(session, user.name)]
    if seed.habitude:
        progress.update("koji-habitude", "working")
        changes = habitude.apply(hub, seed.habitude)
        _done(progress, "koji-habitude", f"{changes} changes" if changes else "")
    changed_users += [
        user.name for user in seed.users if users.grant(session, user.name, user.permissions)
    ]
    if seed.users:
        _done(progress, "users", ", ".join(dict.fromkeys(changed_users)))
    for wanted in seed.imports:
        _import(system, session, seed, wanted)


def _import(system: System, session: Any, seed: Seed, wanted: Import) -> None:
    name = f"import to {wanted.tag}"

    def show(detail: str) -> None:
        system.progress.update(name, "working", detail)

    show("reading RPMs")
    imported = import_rpms(system, session, wanted, seed.path.parent, show)
    _done(system.progress, name, ", ".join(wanted.builds) if imported else "")


def _done(progress: Progress, name: str, changes: str) -> None:
    progress.update(name, "done", changes or "unchanged")
