"""Seeds: files of YAML documents that fill a blank Koji, and can be applied again and again.

koji-habitude applies tags, targets, groups, packages, channels, permissions and external
repositories (nagoya/koji/habitude.py). Three types are Nagoya's: `user` (koji-habitude's makes
calls that Koji learned after 1.30), `policy` and `import`.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from nagoya.config.model import StrictModel
from nagoya.config.validation import describe_errors
from nagoya.errors import DeclarationError, NagoyaError, UsageError, did_you_mean
from nagoya.koji import habitude, users
from nagoya.koji.hub import HubConnection
from nagoya.koji.imports import Import, import_rpms
from nagoya.koji.policies import Policy, apply_policies
from nagoya.koji.users import User
from nagoya.system.system import System

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
    # Empty documents, such as after a `---` at the end, do not count.
    documents = [document for document in documents if document is not None]
    types = [doc.get("type") if isinstance(doc, dict) else None for doc in documents]
    # koji-habitude's templates have names that are types for further documents.
    pairs = list(zip(types, documents, strict=True))
    templates = {str(document.get("name")) for kind, document in pairs if kind == "template"}
    known = {*_MODELS, *habitude.TYPES, *templates}
    seed, problems = Seed(path), []
    for number, (kind, document) in enumerate(pairs, 1):
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
            try:
                users.check_name(value.name)
            except UsageError as error:
                return [error.message]
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

    def done(name: str, changes: str) -> None:
        progress.update(name, "done", changes or "unchanged")

    hub = HubConnection.of(system)
    if seed.policies:
        progress.update("policies", "working")
        restarted = apply_policies(system, hub.profile.hub, seed.policies, str(seed.path))
        done("policies", "hub restarted" if restarted else "")
    session = hub.session()
    # Before koji-habitude, whose packages may name owners; their permissions may be its documents.
    changed_users = [user.name for user in seed.users if users.create(session, user.name)]
    if seed.habitude:
        progress.update("koji-habitude", "working")
        changes = habitude.apply(hub, seed.habitude)
        done("koji-habitude", f"{changes} changes" if changes else "")
    changed_users += [
        user.name for user in seed.users if users.grant(session, user.name, user.permissions)
    ]
    if seed.users:
        done("users", ", ".join(dict.fromkeys(changed_users)))
    for document in seed.imports:
        name = f"import to {document.tag}"
        progress.update(name, "working", "reading RPMs")
        show = partial(progress.update, name, "working")
        imported = import_rpms(system, session, document, seed.path.parent, show)
        done(name, ", ".join(document.builds) if imported else "")
