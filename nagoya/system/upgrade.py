"""Move a system to newer images: its data is converted as a restore converts a backup's.

The system is exchanged twice. The first time is a trial, which is undone, so that its builds leave
nothing in the data. The second time takes over all that was written until then.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from nagoya.engine import containers
from nagoya.errors import LifecycleError, NagoyaError
from nagoya.system import reconcile
from nagoya.system.backup import BACKUP_LABEL, prepare_parts
from nagoya.system.observed import data_paths, differences
from nagoya.system.owner import Owner
from nagoya.system.replacement import TrialPassed, recover, replace_state, swap, trial_home
from nagoya.system.restore import check_versions, image_versions, newer_versions, put_part
from nagoya.system.snapshot_operation import CLEANUP_SECONDS, renewed
from nagoya.system.snapshots import list_snapshots, operation_on
from nagoya.system.system import System
from nagoya.utils.tar import unpacked

_SECONDS = 24 * 3600.0


def upgrade(system: System, check: Callable[[System], object], seconds: float) -> None:
    """Create a running system's containers from the present images, with all data.

    `check` raises NagoyaError if the system of the trial is not good. Raises LifecycleError, and
    NotReady if either exchange is not ready after `seconds`; the system is as it was then.
    """
    recover(system)
    with system.lock():
        old = [snapshot.name for snapshot in list_snapshots(system)]
        observed = system.observe()
        if not differences(observed, system.declaration):
            system.progress.log(
                f"'{system.name}' has the present images already: nothing to upgrade"
            )
            return
        wanted = {
            name: state.declared
            for name, state in observed.containers.items()
            if state.declared in system.declaration.containers
        }
        try:
            with suppress(TrialPassed):
                _try_out(system, wanted, check, seconds)
        finally:
            shutil.rmtree(trial_home(system), ignore_errors=True)
        replace_state(system, wanted, lambda: _fill(system), lambda: None, seconds)
    if old:
        system.progress.log(f"deleted the snapshots {', '.join(old)}: they need the old images")


def _try_out(
    system: System,
    wanted: Mapping[str, str],
    check: Callable[[System], object],
    seconds: float,
) -> None:
    """Raise TrialPassed if the new system is good.

    It has ports of its own, and its profile in another home, so that no client reaches it, whose
    work would be lost.
    """
    trial = System(
        system.engine,
        system.declaration.with_free_ports(),
        system.name,
        system.progress,
        creator=Owner(Owner.user().name, home_override=str(trial_home(system))),
    )

    def checked() -> None:
        trial.progress.log("the addresses below belong to the trial and disappear with it:")
        started = reconcile.init(trial.declaration, trial.observe())
        trial.apply(replace(started, notices=()))  # its callbacks write the profile
        check(trial)
        raise TrialPassed

    replace_state(trial, wanted, lambda: _fill(trial), checked, seconds, keep_ports=False)


def check_up(system: System) -> None:
    """Raise LifecycleError if `toji up` would put newer programs on a database of an older schema.

    Containers with data keep it when the others are recreated from newer images.
    """
    observed = system.observe()
    for name, state in observed.containers.items():
        settings = system.declaration.containers.get(state.declared)
        image = observed.images.get(settings.image) if settings else None
        if not image or image.id == state.image_id or not data_paths(state.labels):
            continue
        handle = containers.get(system.engine, state.container)
        if containers.label(handle, BACKUP_LABEL):
            old, new = image_versions(system, handle), image_versions(system, handle, image.id)
            schema = {key: old[key] for key in ("schema",) if key in old}
            if newer := newer_versions(schema, new):
                raise LifecycleError(
                    f"{name} has data that is newer than the present images: {', '.join(newer)}",
                    f"name the moromi.yml with the newer Koji with -c; `toji --system {system.name}"
                    " start` starts the old containers again",
                )
            if old.get("schema") != new.get("schema"):
                raise LifecycleError(
                    f"{name} has data of the schema {old.get('schema')}, and the present images "
                    f"need {new.get('schema')}",
                    f"`toji --system {system.name} upgrade --backup FILE` converts it; "
                    f"`toji --system {system.name} start` starts the old containers again",
                )


def _fill(system: System) -> None:
    """Put the data into the new containers. Writes are locked until the hub is stopped, at most for
    a minute after this."""
    with operation_on(system, time.monotonic() + _SECONDS) as operation:
        declared = {name: state.declared for name, state in system.observe().containers.items()}
        for name, versions in operation.ask("describe").items():
            check_versions(system, declared[name], versions)
        holders = operation.agents_with("hold")
        operation.ask("hold")
        try:
            with renewed([operation.agents[name].handle for name in holders]):
                operation.ask("cut")
                for part in prepare_parts(system, operation, credentials=False):
                    settings = system.declaration.containers.get(part.declared)
                    if settings and settings.run_once:
                        swap(system, part.declared, "adopt", part.path)
                    else:
                        put_part(system, part.declared, unpacked(part.chunks()))
        except BaseException:
            with suppress(NagoyaError):
                operation.ask("release", only=holders, seconds=CLEANUP_SECONDS)
            raise
        finally:
            with suppress(NagoyaError):
                operation.ask("discard", seconds=CLEANUP_SECONDS)
