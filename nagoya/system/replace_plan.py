"""Plans that put new containers in the place of a system's, and back. Pure, as `plan` is.

The old containers are stopped and set aside, under other names; they are removed only once the new
ones are ready. Containers that only fill a volume (`run_once`) stay; the volume's content is
replaced.
"""

from collections.abc import Mapping
from dataclasses import replace

from nagoya.config.declaration import Declaration
from nagoya.errors import LifecycleError
from nagoya.system.observed import ObservedSystem, differences
from nagoya.system.plan import Plan
from nagoya.system.reconcile import Reconciliation


def volumes(declaration: Declaration, observed: ObservedSystem, wanted: Mapping[str, str]) -> Plan:
    """Create the volumes and the containers that fill them, also those that lack a volume.

    `wanted` are the host names of the new containers, with those that moromi.yml declares. Raises
    LifecycleError if one of them cannot be created.
    """
    if unknown := sorted(set(wanted.values()) - set(declaration.containers)):
        raise LifecycleError(
            f"{declaration.path} declares no container '{unknown[0]}'",
            "the backup is of a system with one; name its moromi.yml with -c",
        )
    draft = Reconciliation(declaration, observed, wanted)
    names = _members(draft, wanted)
    draft.check_images(names)
    filling = [name for name in names if _fills(draft, name)]
    phrase = "changed volumes"
    changes = differences(observed, declaration)
    draft.bring_up(filling, {name: phrase for name in filling if phrase in changes.get(name, ())})
    return draft.plan("prepare")


def stage(
    declaration: Declaration,
    observed: ObservedSystem,
    wanted: Mapping[str, str],
    *,
    keep_ports: bool = True,
) -> Plan:
    """Create new containers beside those that run, once the volumes are there.

    Without `keep_ports` they get others than those that run.
    """
    if not keep_ports:
        without = {name: replace(s, ports={}) for name, s in observed.containers.items()}
        observed = replace(observed, containers=without)
    draft = Reconciliation(declaration, observed, wanted)
    for name in _members(draft, wanted):
        if _fills(draft, name):
            continue
        if name in observed.replacements:
            draft.add("remove replacement", name, "left by an interrupted command")
        draft.create_beside(name, "restore")
    return draft.plan("prepare")


def exchange(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Stop what runs, set it aside, and give the new containers their names."""
    draft = Reconciliation(declaration, observed)
    present = [state for state in draft.present() if not _fills(draft, state.name)]
    for state in reversed(present):
        draft.stop(state, "replaced", draft.after_dependents(state.name))
    for state in present:
        draft.add("set aside", state.name, "replaced", draft.after(s.name for s in present))
    # Only then: a container that stands beside one that was set aside is new (see `replaced`).
    done = draft.after(state.name for state in present)
    for name in draft.ordered():
        if name in observed.replacements:
            draft.add("keep replacement", name, "restored", done)
    return draft.plan("replace")


def replaced(observed: ObservedSystem) -> bool:
    """Whether new containers already have the names of those that were set aside."""
    return any(name in observed.containers for name in observed.aside)


def remove_new(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Remove the new containers that already have an old one's name."""
    draft = Reconciliation(declaration, observed)
    new = [s for s in draft.present() if replaced(observed) and not _fills(draft, s.name)]
    for state in reversed(new):
        draft.add("remove", state.name, "the restore failed", draft.after_dependents(state.name))
    return draft.plan("remove the new containers of")


def restore_old(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Give the old containers their names back, once the new ones and the volumes' new content are
    gone."""
    draft = Reconciliation(declaration, observed)
    for name in observed.replacements:
        draft.add("remove replacement", name, "the restore failed")
    for name in observed.aside:
        draft.add("put back", name, "the restore failed")
    return draft.plan("put back")


def remove_old(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Remove the old containers, those without a successor first.

    As long as one with a successor is there, `replaced` is true, and `recover` does not take this
    for an exchange to undo.
    """
    draft = Reconciliation(declaration, observed)
    last = [name for name in observed.aside if name in observed.containers]
    first = [name for name in observed.aside if name not in last]
    for name in first:
        draft.add("remove old", name, "not in the new state")
    for name in last:
        draft.add("remove old", name, "replaced", draft.after(first))
    return draft.plan("remove the old containers of")


def _members(draft: Reconciliation, wanted: Mapping[str, str]) -> list[str]:
    """What the new system has, dependencies first."""
    return [name for name in draft.ordered() if name in {*draft.declaration.containers, *wanted}]


def _fills(draft: Reconciliation, name: str) -> bool:
    settings = draft.settings(name)
    return bool(settings and settings.run_once)
