"""Move a system to newer images: its data is converted as a restore converts a backup's.

The system is exchanged twice. The first time is a trial, which is undone; it leaves nothing of its
check in the data. The second one takes what was written until then.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from nagoya.engine import transfer
from nagoya.errors import NagoyaError
from nagoya.system.archive import unpacked
from nagoya.system.backup import prepare_parts
from nagoya.system.replacement import recover, replace_state, swap
from nagoya.system.restore import check_versions, put_part
from nagoya.system.snapshot_operation import CLEANUP_SECONDS, renewed
from nagoya.system.snapshots import list_snapshots, operation_on
from nagoya.system.system import System

_SECONDS = 24 * 3600.0


class _Passed(Exception):
    """The trial is over."""


def upgrade(system: System, check: Callable[[], None], seconds: float) -> None:
    """Create a running system's containers from the present images, with all data.

    `check` raises NagoyaError if the new system is no good. Raises LifecycleError, and NotReady if
    one of both is not ready after `seconds`; the system is as it was then.
    """

    def trial() -> None:
        check()
        raise _Passed

    recover(system)
    old = [snapshot.name for snapshot in list_snapshots(system)]
    with system.lock():
        containers = system.observe().containers
        wanted = {
            name: state.declared
            for name, state in containers.items()
            if state.declared in system.declaration.containers
        }
        with suppress(_Passed):
            replace_state(system, wanted, lambda: _fill(system), trial, seconds)
        system.progress.log("the trial was successful; upgrading")
        replace_state(system, wanted, lambda: _fill(system), lambda: None, seconds)
    if old:
        system.progress.log(f"deleted the snapshots {', '.join(old)}: they are of the old images")


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
                    if system.declaration.containers[part.declared].run_once:
                        swap(system, part.declared, "adopt", part.path)
                    else:
                        chunks = transfer.read_chunks(part.source, part.path)
                        put_part(system, part.declared, unpacked(chunks))
        except BaseException:
            with suppress(NagoyaError):
                operation.ask("release", only=holders, seconds=CLEANUP_SECONDS)
            raise
        finally:
            with suppress(NagoyaError):
                operation.ask("discard", seconds=CLEANUP_SECONDS)
