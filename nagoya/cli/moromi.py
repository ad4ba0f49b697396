"""moromi: builds the images that moromi.yml declares."""

import json
from collections.abc import Callable

import click

from nagoya import __version__
from nagoya.build import base_image, builder, sources
from nagoya.cli.common import (
    Settings,
    config_option,
    json_option,
    quiet_option,
    resumable,
    system_option,
    verbose_option,
)
from nagoya.cli.common import (
    run as run_group,
)
from nagoya.engine import images as engine_images
from nagoya.errors import SourceError
from nagoya.system.system import System
from nagoya.utils.graph import waves
from nagoya.utils.parallel import raise_failures, run_graph


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@quiet_option
@verbose_option
@click.version_option(__version__)
def cli() -> None:
    """Build the images of a Koji: hub, database, builder, credentials, top directory.

    \b
      moromi build            all images, in order, in parallel
      moromi build koji-hub   one, and what it stands on
      moromi run              build what is missing, then start the system
      moromi plan             what is built and started, after what

    What is unchanged is not built again. The base image and the sources are seen to along the way.
    """


def _command(function: Callable[..., None]) -> click.Command:
    """A command of moromi; the shared options may stand behind it too."""
    for option in (config_option, quiet_option, verbose_option):
        function = option(function)
    return cli.command()(click.pass_obj(function))


def _arguments(
    _: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, equals, _value in pairs:
        if not name or not equals:
            raise click.BadParameter(f"'{name}' is not of the form NAME=VALUE", param=parameter)
    return {name: value for name, _, value in pairs}


@click.argument("names", nargs=-1, metavar="[IMAGE]...")
@click.option(
    "--env", "arguments", metavar="NAME=VALUE", multiple=True, callback=_arguments,
    help="Give a value to an ARG of the Dockerfiles, as docker build --build-arg does.",
)  # fmt: skip
@click.option("--no-cache", is_flag=True, help="Do every step again, of the images named.")
@_command
def build(
    settings: Settings, names: tuple[str, ...], arguments: dict[str, str], no_cache: bool
) -> None:
    """Build images, all or those named, with what they stand on.

    \b
      moromi build
      moromi build koji-hub --no-cache -v
      moromi build --env http_proxy=http://proxy:3128
      moromi build demo           a system is started, and its containers become images

    What is made from a live system is built only where it is named, or something named needs it.

    If one fails, those that stand on it are skipped, the others finished. Ends with status 6 then.
    """
    declared = settings.declaration
    options = builder.BuildOptions(arguments, no_cache)
    with settings.progress() as progress:
        builder.build(settings.engine, declared, names, progress, options)


@system_option
@_command
def run(settings: Settings) -> None:
    """Build what is missing, then start the system.

    That is `moromi build` of the images that are missing, and `toji init`.

    \b
      moromi run
      moromi run --system second
    """
    declared, engine = settings.declaration, settings.engine
    wanted = [name for name, one in declared.images.items() if not one.system]
    wanted += [
        one.image for one in declared.containers.values() if one.image in declared.produced_by
    ]
    missing = [name for name in wanted if not engine_images.exists(engine, name)]
    if missing:
        with settings.progress() as progress:
            builder.build(engine, declared, missing, progress)
    with settings.progress() as progress, resumable(settings.system):
        System(engine, declared, settings.system, progress).init()


@json_option
@_command
def plan(settings: Settings, as_json: bool) -> None:
    """Show what is built and started, after what. Nothing is done, no engine is asked.

    Names in one line may go in parallel; each line needs only those before it.

    \b
      moromi plan
      moromi plan --json
    """
    declared = settings.declaration
    steps = builder.steps(declared)
    order = {
        "images": waves(builder.needed(steps)),
        "containers": waves({name: one.needs for name, one in declared.containers.items()}),
    }
    gives = {name: step.outputs for name, step in steps.items() if step.source_system}
    if as_json:
        print(json.dumps({"base": declared.base.image, **order, "gives": gives}, indent=2))
        return
    for what, lines in order.items():
        print(what)
        for number, names in enumerate(lines, 1):
            print(f"  {number}  {' '.join(names)}")
    for name, given in gives.items():
        print(f"{name} gives {' '.join(given)}")


@click.argument("names", nargs=-1, metavar="[SOURCE]...")
@_command
def fetch(settings: Settings, names: tuple[str, ...]) -> None:
    """Bring sources into the build context.

    All or those named, as src/NAME/. What was fetched before is taken from the cache
    ($XDG_CACHE_HOME/nagoya), without any network. What is there already stays as it is; remove
    src/NAME/ to have it unpacked anew.

    \b
      moromi fetch
      docker build -f koji-hub/Dockerfile -t koji-hub .
    """
    declared = settings.declaration
    unknown = sorted(set(names) - set(declared.sources))
    if unknown:
        raise SourceError(
            f"{declared.path} declares no source {', '.join(unknown)}",
            f"it declares {', '.join(declared.sources)}",
        )
    with settings.progress() as progress:

        def bring(name: str) -> None:
            sources.ensure(declared.source_dirs[name], name, declared.sources[name], progress)

        chosen = dict.fromkeys(names or declared.sources, ())
        outcomes = run_graph(chosen, bring, workers=2)
    raise_failures(outcomes, SourceError, "some sources could not be fetched")


@click.option("--install", is_flag=True, help="Install mmdebstrap if it is missing.")
@_command
def base(settings: Settings, install: bool) -> None:
    """Pull or make the base image, if it is not there.

    It is pulled where a registry answers, and else made with mmdebstrap. It carries the name
    that the registry has for it, so that plain `docker build` works too.

    \b
      moromi base
      moromi base --install
    """
    declared = settings.declaration.base
    with settings.progress() as progress:
        base_image.ensure(settings.engine, declared, progress, install=install)


@_command
def clean(settings: Settings) -> None:
    """Remove untagged images of moromi's.

    Those are images that it built, and that a newer one has taken the name of. Nothing else is
    touched: no image with a name, none that somebody else made.

    \b
      moromi clean
    """
    removed, kept = engine_images.remove_untagged(settings.engine)
    for label, freed in removed:
        print(f"removed {label} ({freed / 1e6:.1f} MB)")
    for label, reason in kept:
        print(f"kept    {label}: {reason}")
    total = sum(freed for _, freed in removed)
    print(f"{len(removed)} images removed, {total / 1e6:.1f} MB freed")


def main() -> None:
    """The program `moromi`."""
    run_group("moromi", cli)
