"""The verbs that act on a system as a whole: up, init, start, stop, restart, remove, scale."""

import re
from dataclasses import replace

import click

from nagoya.build.builder import Build
from nagoya.build.pull import pull
from nagoya.build.release import Address
from nagoya.cli.common import Settings, command, dry_run_option, duration_option, on_system
from nagoya.cli.completion import complete_container
from nagoya.cli.toji_status import wait_until_ready
from nagoya.errors import LifecycleError
from nagoya.system.listing import list_systems
from nagoya.system.readiness import WAIT_SECONDS
from nagoya.system.replacement import recover
from nagoya.system.system import DRAIN_SECONDS, System
from nagoya.system.upgrade import check_up
from nagoya.utils.parallel import raise_failures, run_graph

_DIGITS = 3
"""The most digits of a count of copies."""


@click.option(
    "--recreate", multiple=True, metavar="CONTAINER",
    help="Recreate this container even if nothing changed or it holds data; the data is copied.",
)  # fmt: skip
@click.option("--build", is_flag=True, help="First build the images that changed.")
@click.option(
    "--from", "registry", metavar="REGISTRY", help="First pull the images, as `moromi pull` does."
)
@duration_option(WAIT_SECONDS)
@dry_run_option
@command
def up(
    settings: Settings,
    *,
    recreate: tuple[str, ...],
    build: bool,
    registry: str | None,
    timeout: float,
    dry_run: bool,
) -> None:
    """Make a system match its moromi.yml. Waits until it is ready.

    Creates what is missing and starts what is stopped. A container whose image or settings changed
    is recreated on the ports and volumes that it had; a builder finishes its tasks first. The
    database is recreated only with --recreate kojidatabase.

    \b
      toji up
      toji up --build             build first what changed, as `moromi build` does
      toji up --from registry.example.com/koji
      toji up --dry-run
      toji up --recreate kojidatabase
    """
    if build and dry_run:
        raise click.UsageError(
            "--build cannot be combined with --dry-run; `moromi plan` shows what it would build"
        )
    if registry and (build or dry_run):
        raise click.UsageError("--from cannot be combined with --dry-run or --build")
    if build or registry:
        declared = settings.system_declaration
        images = {container.image for container in declared.containers.values()}
        address = Address.parse(registry, declared.tag) if registry else None
        with settings.progress() as progress:
            if address:
                pull(settings.engine, declared, address, images, progress)
            else:
                Build(settings.engine, declared, images, progress=progress).run()

    def verb(system: System) -> None:
        if not dry_run:
            check_up(system)
        system.up(recreate)

    if not dry_run and on_system(settings, recover):
        settings = replace(settings)  # another file may have declared what there is now
    on_system(settings, verb, dry_run=dry_run)
    if not dry_run:
        wait_until_ready(settings, timeout)


@dry_run_option
@command
def init(settings: Settings, dry_run: bool) -> None:
    """Create and start what is declared and does not run yet.

    Returns once everything is started, which is before everything is ready: see `toji wait`.
    Reports containers that differ from the declaration; `toji up` recreates them.

    \b
      toji init
      toji init --system second
    """
    on_system(settings, lambda system: system.check_started(system.init()), dry_run=dry_run)


@dry_run_option
@command
def start(settings: Settings, dry_run: bool) -> None:
    """Start a stopped system; its data is as it was.

    \b
      toji start
    """
    on_system(settings, lambda system: system.check_started(system.start()), dry_run=dry_run)


@dry_run_option
@command
def stop(settings: Settings, dry_run: bool) -> None:
    """Stop a system and keep its data. Builders stop first, the database last.

    Do not run `docker container prune` on a stopped system: it removes the database.

    \b
      toji stop
    """
    on_system(settings, System.stop, dry_run=dry_run)


@click.argument("names", nargs=-1, metavar="[CONTAINER]...", shell_complete=complete_container)
@duration_option(WAIT_SECONDS)
@dry_run_option
@command
def restart(settings: Settings, names: tuple[str, ...], timeout: float, dry_run: bool) -> None:
    """Restart containers, all or those named. Waits until the system is ready.

    They keep their files. Tasks of a builder that is restarted go back to the hub.

    \b
      toji restart koji kojibuilder
    """
    on_system(settings, lambda system: system.restart(names), dry_run=dry_run)
    if not dry_run:
        wait_until_ready(settings, timeout)


@click.option(
    "--stale", is_flag=True, help="Remove every system whose process ended without removing it."
)
@dry_run_option
@command
def remove(settings: Settings, stale: bool, dry_run: bool) -> None:
    """Remove a system with all its data.

    Its containers, volumes, network and profile are deleted.

    \b
      toji remove
      toji remove --system second
      toji remove --stale
    """
    if not stale:
        on_system(settings, System.remove, dry_run=dry_run)
        return

    def task(name: str) -> None:
        on_system(replace(settings, system=name), System.remove, dry_run=dry_run)
        print(f"{'would remove' if dry_run else 'removed'} {name}")

    names = [system.name for system in list_systems(settings.engine) if system.stale]
    results = run_graph(dict.fromkeys(names, ()), task, workers=1)
    raise_failures(results, LifecycleError, "some stale systems were not removed")


@click.argument("wanted", nargs=-1, required=True, metavar="NAME=N...")
@duration_option(
    DRAIN_SECONDS, "--drain-timeout", "How long a removed builder may take to finish its tasks."
)
@dry_run_option
@command
def scale(settings: Settings, wanted: tuple[str, ...], drain_timeout: float, dry_run: bool) -> None:
    """Set how many copies of a container run.

    A removed builder gets no new tasks, and first finishes those that it has.

    \b
      toji scale kojibuilder=3
    """
    counts = {}
    for text in wanted:
        match = re.fullmatch(r"([a-z0-9-]+)=(\d+)", text)
        if match is None:
            raise click.UsageError(f"'{text}' is not of the form NAME=N, as in kojibuilder=3")
        if len(match[2]) > _DIGITS:
            raise click.UsageError(f"'{text}' is too many; the maximum is {10**_DIGITS - 1}")
        counts[match[1]] = int(match[2])

    def verb(system: System) -> None:
        for name, count in counts.items():
            system.scale(name, count, drain_timeout)

    on_system(settings, verb, dry_run=dry_run)
