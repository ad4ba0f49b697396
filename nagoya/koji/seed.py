"""Seeds: files of YAML documents that fill a blank Koji, and can be applied again and again.

koji-habitude applies tags, targets, groups, packages, channels, permissions and external
repositories (nagoya/koji/habitude.py). Three types are Nagoya's: `user` (koji-habitude's makes
calls that Koji learned after 1.30), `policy` and `import`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nagoya.config.validation import describe_errors
from nagoya.config.values import StrictModel
from nagoya.config.yaml_file import read_documents
from nagoya.errors import (
    DeclarationError,
    LifecycleError,
    UsageError,
    did_you_mean,
)
from nagoya.koji import habitude, users
from nagoya.koji.hub import HubConnection, hub_errors
from nagoya.koji.importer import has_builds, import_rpms
from nagoya.koji.imports import Import, Selection, find_rpms
from nagoya.koji.policies import Policy, apply_policies
from nagoya.koji.users import User
from nagoya.system.system import System
from nagoya.utils.lock import locked_for_all

_MODELS: dict[str, type[StrictModel]] = {"user": User, "policy": Policy, "import": Import}


@dataclass(frozen=True)
class Seed:
    """A seed file's documents: those of Nagoya's types by their numbers, from 1, and those of
    koji-habitude's with their file and line."""

    path: Path
    users: dict[int, User] = field(default_factory=dict)
    policies: dict[int, Policy] = field(default_factory=dict)
    imports: dict[int, Import] = field(default_factory=dict)
    habitude: list[dict[str, Any]] = field(default_factory=list)


def read_seed(path: Path) -> Seed:
    """Read a seed file. Raises DeclarationError with every unknown type, and every problem in a
    document of Nagoya's types."""
    # Empty documents, such as after a `---` at the end, do not count.
    documents = [
        (line, document) for line, document in read_documents(path) if document is not None
    ]
    # koji-habitude's templates have names that are types for further documents.
    mappings = [document for _, document in documents if isinstance(document, dict)]
    templates = {str(each.get("name")) for each in mappings if each.get("type") == "template"}
    known = {*_MODELS, *habitude.TYPES, *templates}
    seed, problems = Seed(path), []
    for number, (line, document) in enumerate(documents, 1):
        kind = document.get("type") if isinstance(document, dict) else None
        if not isinstance(kind, str):
            problems.append(f"document {number}: needs a 'type'")
        elif kind not in known:
            problems.append(f"document {number}: unknown type '{kind}'{did_you_mean(kind, known)}")
        elif not isinstance(document.get("name", ""), str):
            problems.append(f"document {number} ({kind}): put quotes around its 'name'")
        elif kind not in _MODELS:
            seed.habitude.append({**document, "__file__": str(path), "__line__": line})
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
            seed.users[number] = value
        case Import():
            seed.imports[number] = value
        case Policy():
            for earlier, policy in seed.policies.items():
                if policy.name == value.name:
                    return [f"document {earlier} has the policy '{value.name}' already"]
            seed.policies[number] = value
    return []


def apply_seed(system: System, seed: Seed) -> None:
    """Fill a system's hub; what differs from the file is changed.

    Raises DeclarationError or LifecycleError; whatever can be checked is checked before anything is
    changed.
    """
    progress = system.progress

    def done(name: str, changes: str) -> None:
        progress.update(name, "done", changes or "unchanged")

    def waiting() -> None:
        progress.update("seed", "working", "waiting for another toji that seeds this system")

    with ExitStack() as stack:
        # Two at once would create the same things, and one of them fail.
        stack.enter_context(locked_for_all(f"seed-{system.name}", waiting))
        hub = HubConnection.of(system)
        session = hub.session()
        _check_references(hub, session, seed)
        rpms: dict[int, Selection] = {}
        for number, document in seed.imports.items():
            show = partial(progress.update, f"import to {document.tag}", "working")
            with _named(seed, number, document):
                if not has_builds(session, document):
                    selection = find_rpms(system, document, seed.path.parent, show)
                    rpms[number] = stack.enter_context(selection)
        if seed.policies:
            progress.update("policies", "working")
            restarted = apply_policies(system, hub.profile.hub, seed.policies, str(seed.path))
            done("policies", "hub restarted" if restarted else "")
            session = hub.session()
        # Accounts come before koji-habitude's packages, which name owners; permissions come after
        # its own.
        changed = []
        for number, user in seed.users.items():
            with _named(seed, number, user):
                changed += [user.name] if users.create(session, user.name) else []
        if seed.habitude:
            progress.update("koji-habitude", "working")
            changes = habitude.apply(hub, seed.habitude)
            done("koji-habitude", f"{changes} changes" if changes else "")
        for number, user in seed.users.items():
            with _named(seed, number, user):
                changed += [user.name] if users.grant(session, user.name, user.permissions) else []
        if seed.users:
            done("users", ", ".join(dict.fromkeys(changed)))
        refused: list[str] = []
        for number, document in seed.imports.items():
            name, summary = f"import to {document.tag}", ""
            if number in rpms:
                show = partial(progress.update, name, "working")
                with _named(seed, number, document):
                    outcome = import_rpms(hub, session, document, rpms[number], show)
                refused += outcome.refused
                if outcome.rpms or outcome.tagged:
                    summary = f"{outcome.rpms} RPMs imported, {outcome.tagged} builds tagged"
            done(name, summary)
    if refused:
        raise LifecycleError(
            "\n".join([f"{seed.path}: not imported:", *(f"  {line}" for line in refused)]),
            "builds that may lack one of these RPMs were not tagged, all others were; "
            "correct this, and apply the seed again for the rest",
        )


def _check_references(hub: HubConnection, session: Any, seed: Seed) -> None:
    """Raise DeclarationError for the permissions and tags that neither the hub nor the seed has."""
    names = [user.name for user in seed.users.values()]
    declared = habitude.check(hub, seed.habitude, names) if seed.habitude else set()
    permissions = {name for kind, name in declared if kind == "permission"}
    problems = [
        f"document {number} (user): {problem}"
        for number, user in seed.users.items()
        for problem in users.unknown_permissions(session, user.permissions, permissions)
    ]
    problems += [
        f"document {number} (import): the hub has no tag '{document.tag}'"
        for number, document in seed.imports.items()
        if ("tag", document.tag) not in declared and not session.getTag(document.tag)
    ]
    problems += [
        f"document {number} (import): the hub has no user '{document.owner}'"
        for number, document in seed.imports.items()
        if document.owner and document.owner not in names and not session.getUser(document.owner)
    ]
    if problems:
        hint = "nothing was changed; correct the names, or add documents that declare them"
        raise DeclarationError(str(seed.path), problems, hint)


@contextmanager
def _named(seed: Seed, number: int, document: User | Import) -> Iterator[None]:
    """Name the document in the error that its calls of the hub raise."""
    try:
        with hub_errors():
            yield
    except LifecycleError as error:
        where = f"{seed.path}: document {number} ({document.type})"
        raise LifecycleError(f"{where}: {error.message}", error.hint) from error
