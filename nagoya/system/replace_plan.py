"""Plans that put new containers in the place of a system's, and back. Pure, as `plan` is.

What ran before is set aside, stopped, and is removed only once the new containers have answered.
Containers that only fill a volume (`run_once`) stay; the volume's content is replaced.
"""

from collections.abc import Mapping
from dataclasses import replace

from nagoya.config.declaration import Declaration
from nagoya.errors import LifecycleError
from nagoya.system.observed import ObservedSystem
from nagoya.system.plan import Plan
from nagoya.system.reconcile import Reconciliation


def stage(
    declaration: Declaration,
    observed: ObservedSystem,
    wanted: Mapping[str, str],
    *,
    keep_ports: bool = True,
) -> Plan:
    """Create the volumes, what fills them, and new containers beside those that run.

    `wanted` are the host names of the new containers, with those that moromi.yml declares. Without
    `keep_ports` they get others than those that run.
    """
    if not keep_ports:
        without = {name: replace(s, ports={}) for name, s in observed.containers.items()}
        observed = replace(observed, containers=without)
    if unknown := sorted(set(wanted.values()) - set(declaration.containers)):
        raise LifecycleError(
            f"{declaration.path} declares no container '{unknown[0]}'",
            "the backup is of a system with one; name its moromi.yml with -c",
        )
    draft = Reconciliation(declaration, observed, wanted)
    names = [name for name in draft.ordered() if name in {*declaration.containers, *wanted}]
    fillers = [name for name in names if draft.wanted(name).run_once]
    draft.bring_up(fillers, {})
    new = [name for name in names if name not in fillers]
    draft.check_images(new)
    for name in new:
        if name in observed.replacements:
            draft.add("remove replacement", name, "left by an interrupted command")
        draft.create_beside(name, "restore", draft.after(fillers))
    return draft.plan("prepare")


def exchange(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Stop what runs, set it aside, and give the new containers their names."""
    draft = Reconciliation(declaration, observed)
    present = [state for state in draft.present() if not _fills(draft, state.name)]
    for state in reversed(present):
        draft.stop(state, "replaced", draft.after_dependents(state.name))
    for state in present:
        draft.add("set aside", state.name, "replaced", draft.after(s.name for s in present))
    # Only then: what has a new name beside an old one is new (see `restore_old`).
    done = draft.after(state.name for state in present)
    for name in draft.ordered():
        if name in observed.replacements:
            draft.add("keep replacement", name, "restored", done)
    return draft.plan("replace")


def restore_old(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Remove the new containers, and give those that were set aside their names again."""
    draft = Reconciliation(declaration, observed)
    began = any(name in observed.containers for name in observed.aside)
    new = [s for s in draft.present() if began and not _fills(draft, s.name)]
    for name in observed.replacements:
        draft.add("remove replacement", name, "the restore failed")
    for state in reversed(new):
        draft.add("remove", state.name, "the restore failed", draft.after_dependents(state.name))
    for name in observed.aside:
        draft.add("put back", name, "the restore failed", draft.after(s.name for s in new))
    return draft.plan("put back")


def remove_old(declaration: Declaration, observed: ObservedSystem) -> Plan:
    """Remove what was set aside."""
    draft = Reconciliation(declaration, observed)
    for name in observed.aside:
        draft.add("remove old", name, "replaced")
    return draft.plan("remove what was replaced in")


def _fills(draft: Reconciliation, name: str) -> bool:
    settings = draft.settings(name)
    return bool(settings and settings.run_once)
