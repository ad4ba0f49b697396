"""moromi: builds the images that moromi.yml declares."""

import dataclasses
import sys

import click

from nagoya import __version__
from nagoya.build import base_image, diagram, sources
from nagoya.build.builder import Build, checkout
from nagoya.build.planner import Operation
from nagoya.build.steps import BuildOptions
from nagoya.cli.common import (
    Program,
    Settings,
    age,
    arguments_option,
    command,
    config_option,
    debug_option,
    json_option,
    names_argument,
    on_system,
    print_json,
    quiet_option,
    system_option,
    verbose_option,
)
from nagoya.cli.moromi_registry import pull, push
from nagoya.engine import images as engine_images
from nagoya.errors import SourceError, UsageError, did_you_mean
from nagoya.system.system import System
from nagoya.utils.graph import waves
from nagoya.utils.parallel import raise_failures, run_graph


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@config_option("moromi.yml in this folder, else nagoya")
@quiet_option
@verbose_option
@debug_option
@click.version_option(__version__)
def cli() -> None:
    """Build the images of a Koji: hub, database, builder, credentials, top directory.

    \b
      moromi build            all images, in order, in parallel
      moromi build koji-hub   one image, and those that it is built from
      moromi run              build what is missing, then start the system
      moromi plan             what would be built and why, and the order of starts
      moromi pull REGISTRY    what somebody else has built, and pushed with `moromi push`

    Unchanged images are not rebuilt. The base image and sources are fetched as needed.
    """


@names_argument
@arguments_option
@click.option("--no-cache", is_flag=True, help="Run every step of the named images again.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, as `moromi plan` does.")
@command
def build(
    settings: Settings,
    names: tuple[str, ...],
    arguments: dict[str, str],
    no_cache: bool,
    dry_run: bool,
) -> None:
    """Build images, all or those named.

    The images that they are built from are built before.

    \b
      moromi build
      moromi build koji-hub --no-cache -v
      moromi build --build-arg http_proxy=http://proxy:3128
      moromi build demo           starts a system and makes images of its containers

    Images made from a running system are built only if they are named, or a named one needs them.

    If an image fails, its dependents are skipped and the rest are still built; the exit status
    is 6.
    """
    declared, options = settings.declaration, BuildOptions(arguments, no_cache)
    if dry_run:
        _print_plan(Build(settings.engine, declared, names, options, settings.progress()).plan())
        return
    with settings.progress() as progress:
        Build(settings.engine, declared, names, options, progress).run()


@system_option
@command
def run(settings: Settings) -> None:
    """Build the images that are missing, then start the system.

    The same as `moromi build` of the missing images, then `toji init`.

    \b
      moromi run
      moromi run --system second
    """
    declared, engine = settings.declaration, settings.engine
    wanted = [name for name, image in declared.images.items() if not image.system]
    used = {container.image for container in declared.containers.values()}
    wanted += [name for name in used if name in declared.produced_by]
    missing = [name for name in wanted if not engine_images.exists(engine, name)]
    if missing:
        with settings.progress() as progress:
            Build(engine, declared, missing, progress=progress).run()
    on_system(settings, System.init, declaration=declared)


@names_argument
@json_option
@click.option("--mermaid", is_flag=True, help="Draw the system for Mermaid.")
@command
def plan(settings: Settings, names: tuple[str, ...], as_json: bool, mermaid: bool) -> None:
    """Show what `moromi build` would do and why.

    It also shows the order in which containers start: those in one line start in parallel, once
    those in the lines above have started. The drawing shows containers with their volumes,
    links and ports; it needs no engine.

    \b
      moromi plan
      moromi plan koji-hub --json
      moromi plan --mermaid
    """
    declared = settings.declaration
    if mermaid:
        print(diagram.mermaid(declared))
        return
    operations = Build(settings.engine, declared, names, progress=settings.progress()).plan()
    order = waves({name: container.needs for name, container in declared.containers.items()})
    produces = {name: image.outputs for name, image in declared.images.items() if image.system}
    if as_json:
        images = [dataclasses.asdict(operation) for operation in operations.values()]
        print_json(images=images, containers=order, produces=produces)
        return
    print("images")
    _print_plan(operations, "  ")
    print("containers")
    for number, line in enumerate(order, 1):
        print(f"  {number}  {' '.join(line)}")
    for name, outputs in produces.items():
        print(f"{name} produces {', '.join(outputs)}")


def _print_plan(operations: dict[str, Operation], indent: str = "") -> None:
    width = max(map(len, operations), default=0)
    for name, operation in operations.items():
        action = "" if operation.action == "keep" else f"{operation.action}: "
        print(f"{indent}{name:{width}}  {action}{operation.cause}")


@click.argument("names", nargs=-1, metavar="[SOURCE]...")
@command
def fetch(settings: Settings, names: tuple[str, ...]) -> None:
    """Fetch sources, all or those named, into src/NAME/.

    Archives that were fetched before come from the cache ($XDG_CACHE_HOME/nagoya), without any
    network. An existing src/NAME/ is left alone; delete it to have it unpacked again.

    \b
      moromi fetch
      docker build -f koji-hub/Dockerfile -t koji-hub .
    """
    declared = settings.declaration
    unknown = sorted(set(names) - set(declared.sources))
    if unknown:
        raise UsageError(
            f"{declared.path} declares no source '{unknown[0]}'"
            f"{did_you_mean(unknown[0], declared.sources)}",
            f"it declares {', '.join(declared.sources) or 'none'}",
        )
    with settings.progress() as progress:

        def ensure(name: str) -> None:
            sources.ensure(declared.source_dirs[name], name, declared.sources[name], progress)

        results = run_graph(dict.fromkeys(names or declared.sources, ()), ensure, workers=2)
    raise_failures(results, SourceError, "some sources could not be fetched")


@click.option("--install", is_flag=True, help="Install mmdebstrap if it is missing.")
@command
def base(settings: Settings, install: bool) -> None:
    """Pull the base image, or make it with mmdebstrap.

    If no registry has the image, mmdebstrap makes it, under the name that it has in the registry,
    so that plain `docker build` works too. An existing one is left alone.

    \b
      moromi base
      moromi base --install
    """
    declared = settings.declaration.base
    with settings.progress() as progress:
        base_image.ensure(settings.engine, declared, progress, install=install)


@click.option("--dry-run", is_flag=True, help="Show what would be removed, and stop.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@command
def clean(settings: Settings, dry_run: bool, yes: bool) -> None:
    """Remove images that a newer build has replaced.

    Only images that were built from the folders of this moromi.yml are removed, and none that a
    container is made from.

    \b
      moromi clean --dry-run
      moromi clean --yes
    """
    checkouts = {checkout(folder) for folder in settings.declaration.contexts.values()}
    unused = []
    for image in engine_images.untagged(settings.engine, checkouts):
        label = f"{image.name} {image.id.removeprefix('sha256:')[:12]}, {age(image.created)} old"
        if image.used_by:
            print(f"keep    {label}: {', '.join(image.used_by)} is made from it")
        else:
            print(f"remove  {label}")
            unused.append(image)
    if not unused:
        print("nothing to remove")
        return
    if dry_run:
        return
    if not (yes or sys.stdin.isatty()):
        raise UsageError("stdin is not a terminal, so nothing was removed", "add --yes")
    if not (yes or click.confirm(f"Remove {_count(len(unused))}?")):
        return
    freed = [engine_images.remove_untagged(settings.engine, image.id) for image in unused]
    removed = [size for size in freed if size is not None]
    print(f"{_count(len(removed))} removed, {sum(removed) / 1e6:.1f} MB freed")


def _count(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"


for _command in (build, run, plan, fetch, base, clean, push, pull):
    cli.add_command(_command)
