"""What a shell proposes for the names of systems, containers and snapshots.

A shell asks with each press of Tab, so whatever goes wrong is answered with no proposal.
"""

from collections.abc import Callable, Iterable

import click

from nagoya.config import loader
from nagoya.engine import connect, containers
from nagoya.system.listing import list_systems
from nagoya.system.snapshots import list_snapshots
from nagoya.system.system import System
from nagoya.utils.progress import Progress

_SECONDS = 3.0


def _completion(
    names: Callable[[str], Iterable[str]],
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        try:
            system = getattr(context.find_root().obj, "system", "koji")
            return sorted(name for name in names(system) if name.startswith(incomplete))
        except Exception:
            return []

    return complete


def _snapshots(system: str) -> Iterable[str]:
    declaration = loader.read(loader.locate(None))
    subject = System(connect(), declaration, system, Progress(quiet=True))
    return (snapshot.name for snapshot in list_snapshots(subject, _SECONDS))


complete_system = _completion(lambda system: (info.name for info in list_systems(connect())))
complete_container = _completion(lambda system: containers.list_containers(connect(), system))
complete_snapshot = _completion(_snapshots)
